"""Time of the imports in a notebook's first code cell.

Each measurement is a new process. It is compared with importing only the libraries, which takes
most of the time. The two are measured in turn, so that other programs disturb both alike.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat

from tests.benchmarks.report import verdict

ROOT = Path(__file__).resolve().parents[2]
FLOOR = "import torch, torchvision, ipywidgets, matplotlib"
ROUNDS = 7
LIMIT = 1.2

_TIMED = """
import time
start = time.perf_counter()
{imports}
print(time.perf_counter() - start)
"""


def first_imports(path: Path) -> str:
    """Return the import statements of the first code cell that has any."""
    for cell in nbformat.read(path, as_version=4).cells:
        nodes = ast.parse(cell.source).body if cell.cell_type == "code" else []
        statements = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
        if statements:
            return "\n".join(map(ast.unparse, statements))
    return ""


def seconds(imports: str) -> float:
    answer = subprocess.run(
        [sys.executable, "-c", _TIMED.format(imports=imports)],
        cwd=ROOT / "notebooks",
        capture_output=True,
        text=True,
        check=True,
    )
    return float(answer.stdout)


def main() -> int:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    contenders = {"floor": FLOOR} | {path.stem: first_imports(path) for path in notebooks}
    # The first round only fills the disk's cache.
    rounds = [[seconds(each) for each in contenders.values()] for _ in range(ROUNDS + 1)][1:]
    medians = dict(zip(contenders, map(statistics.median, zip(*rounds, strict=True)), strict=True))
    floor = medians.pop("floor")
    status = 0
    for name, median in medians.items():
        figures = f"{median:.2f} s, the bare libraries {floor:.2f} s"
        status |= verdict(f"import for {name}", figures, [("ratio", median / floor, LIMIT)])
    return status


if __name__ == "__main__":
    sys.exit(main())
