"""Execute the notebooks and write their outputs, so that running it twice changes nothing.

    python -m tests.notebooks.refresh            # all of them
    python -m tests.notebooks.refresh 01 02_1    # those whose names begin with 01 or 02_1

A notebook is written only if every cell ran well: no error except in cells with the tag
`raises-exception` (which must raise one), nothing on stderr, nothing that names this machine, no
picture that cannot be seen; and if its checks (tests/notebooks/checks) passed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tests.notebooks import pictures
from tests.notebooks.after_cells import cell_after

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
RAISES = "raises-exception"

_KEPT_CELL_METADATA = ("tags", "slideshow")
# What answers a question is folded by JupyterLab until the reader clicks on it: output or code.
_FOLDS = ("outputs_hidden", "source_hidden")
_WIDGET = "application/vnd.jupyter.widget-view+json"
# The text of a progress bar before its first step; sanitize.cfg has the same pattern.
_BAR = re.compile(r"( ) *\d+%\|[^|]*\| *\d+/(\d+) \[[^\]]*\?(\w+)/s\]")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")


def find(names: Sequence[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the notebooks whose file names begin with one of `names`, or all, in order.

    Raises:
        FileNotFoundError: no notebook begins with one of the names.
    """
    notebooks = sorted(folder.glob("*.ipynb"))
    stems = tuple(Path(name).name.removesuffix(".ipynb") for name in names)
    for stem in stems:
        if not any(path.stem.startswith(stem) for path in notebooks):
            there = ", ".join(path.stem for path in notebooks) or "none"
            raise FileNotFoundError(
                f"No notebook in {folder} begins with {stem!r}. There are: {there}."
            )
    return [path for path in notebooks if path.stem.startswith(stems or "")]


def execute(
    notebook: NotebookNode, folder: Path, timeout: int = 300, after: NotebookNode | None = None
) -> NotebookNode:
    """Run all cells of a copy in a new kernel with the Python that runs this, in `folder`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell without the tag `raises-exception` failed, or
            the checks after the last cell.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.from_dict(notebook)
    cells = list(notebook.cells)
    notebook.cells += [] if after is None else [after]
    # Without folders to search, "python3" can only be the Python that runs this line.
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--Application.log_level=40"],  # only errors, no advice on transports
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as profile:
        # The maintainer's own IPython start-up files and data must not change the outputs.
        environment = {k: v for k, v in os.environ.items() if k != "COURSE_DATA_DIR"}
        client.execute(env=environment | {"IPYTHONDIR": profile})
    notebook.cells = cells
    return notebook


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without what differs between runs and machines and is not for the reader."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        kept = {name: cell.metadata[name] for name in _KEPT_CELL_METADATA if name in cell.metadata}
        jupyter = cell.metadata.get("jupyter", {})
        if folds := {name: True for name in _FOLDS if jupyter.get(name)}:
            kept["jupyter"] = folds
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = merge_streams([tidy_output(output) for output in cell.outputs])
    return notebook


def tidy_output(output: NotebookNode) -> NotebookNode:
    """Return an output without its dead widget, and a traceback without this machine's files."""
    output = nbformat.from_dict(output)
    if output.output_type == "error":
        # The reader needs the line of the cell and the message, not the lines of the library.
        output.traceback = [
            part for part in output.traceback if not _ANSI.sub("", part).startswith("File ")
        ]
    elif "data" in output and len(output.data) > 1:
        # Without a kernel, a reference to a widget is shown as an error instead of the picture.
        output.data.pop(_WIDGET, None)
        if "text/plain" in output.data:
            # A saved progress bar would always show 0 %.
            output.data["text/plain"] = _BAR.sub(r"\1\2 \3s", output.data["text/plain"])
    return output


def merge_streams(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring pieces of one stream: where a stream is cut depends only on time."""
    merged: list[NotebookNode] = []
    for stream, group in itertools.groupby(outputs, lambda output: output.get("name")):
        copies = [nbformat.from_dict(output) for output in group]
        if stream:
            copies[0].text = "".join(output.text for output in copies)
        merged += copies[:1] if stream else copies
    return merged


def problems(notebook: NotebookNode, private: Sequence[str] = ()) -> list[str]:
    """Return what must not be committed, a line each; `private` are names of this machine."""
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        errors = [output for output in cell.outputs if output.output_type == "error"]
        may_raise = RAISES in cell.metadata.get("tags", [])
        if errors and not may_raise:
            found.append(f"cell {number}: {errors[0].ename}: {errors[0].evalue}")
        if may_raise and not errors:
            found.append(f"cell {number}: tagged {RAISES}, but it raised nothing")
        for output in cell.outputs:
            text = output_text(output)
            if output.get("name") == "stderr":
                found.append(f"cell {number}: on stderr: {text.strip()[:200]}")
            if _ADDRESS.search(text):
                found.append(f"cell {number}: shows a memory address: {text.strip()[:200]}")
            found += [f"cell {number}: names {p!r}" for p in private if p in text]
    return found


def output_text(output: NotebookNode) -> str:
    """Return all text of an output."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return _ANSI.sub("", "\n".join([*output.traceback, output.evalue]))
    return "\n".join(
        value
        for kind, value in output.data.items()
        if isinstance(value, str) and not kind.startswith("image/")
    )


def refresh(path: Path) -> tuple[bool, list[str]]:
    """Run one notebook, write it if it has no problem; return (file changed, problems)."""
    from nbclient.exceptions import CellExecutionError

    before = path.read_text(encoding="utf-8")
    try:
        read = nbformat.reads(before, as_version=4)
        notebook = tidy(execute(read, path.parent, after=cell_after(path)))
    except CellExecutionError as error:
        return False, [_ANSI.sub("", str(error))]
    private = [text for text in (str(ROOT), str(Path.home()), sys.prefix) if len(text) > 1]
    found = problems(notebook, private) + pictures.problems(notebook.cells)
    if not found:
        pictures.compact(notebook.cells)
    after = nbformat.writes(notebook) + "\n"
    if found or after == before:
        return False, found
    path.write_text(after, encoding="utf-8")
    return True, []


def main(arguments: Sequence[str] | None = None) -> int:
    """Refresh the named notebooks; return 1 if one could not be written, 2 if one is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names; none for all notebooks")
    try:
        paths = find(parser.parse_args(arguments).names)
    except FileNotFoundError as error:
        print(
            error, "Give beginnings of these names, or nothing for all notebooks.", file=sys.stderr
        )
        return 2
    status = 0
    for path in paths:
        start = time.perf_counter()
        changed, found = refresh(path)
        state = "not written" if found else "written" if changed else "unchanged"
        print(f"{path.name}: {state}, {time.perf_counter() - start:.0f} s", flush=True)
        for line in found:
            print(f"  {line}", flush=True)
        status |= bool(found)
    return status


if __name__ == "__main__":
    sys.exit(main())
