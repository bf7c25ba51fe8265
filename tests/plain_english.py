"""Find old-fashioned English: `python -m tests.plain_english`, or with some files and folders.

Prints `file:line: "found words": what to write instead` (for a notebook, the line of the cell).
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("course_utils", "tests", "notebooks", "README.md", "CONTRIBUTING.md", "Makefile")
SKIPPED = ("plain_english.py", "test_plain_english.py")

_VERB = r"(is|are|was|were|has|have|can|cannot|may|must|does|do)\b"
_AFTER_NO = "longer|more|less|better|worse|wider|higher|lower|larger|smaller|faster|slower|such"
# Regular expression -> what to write instead. A space also matches the end of a line.
ANYWHERE = {
    r"\bh[au]ng(s|ing)? on\b": "depends on",
    r"\bwhoever\b": '"if you ..." or "a reader who ..."',
    r"\bso as to\b": "to",
    r"\b(is|are|was) to be had\b": '"there is", "can be loaded"',
    r"\bhow-?manieth\b": '"rank", "position"',
    r"\bheed(s|ed|ing)?\b": '"uses", "respects"',
    r"\banew\b": '"again", "new"',
    r"\bmend(s|ed|ing)?\b": '"repair", "correct"',
    r"\b(shall|lest|upon|thereof|therein|whereof|wherein)\b": '"will", "so that", "on", "in it"',
    r"\bbears? (with|a|the|it|no|them)\b": '"tolerates", "works with"',
    r"\b(is|are|was|were) told(?! (apart|to|that|about|by)\b)": '"is given", "is shown"',
    rf", for (it|they|he|she|we|one|there|(the|a|an) \w+) {_VERB}": "because",
    rf"(?<!here) (is|are|was) no (?!({_AFTER_NO})\b)[a-z]+": '"is not a ..."',
}
SUMMARY = {
    r"^(What|How|Who|Whose|Which|Whether)\b": 'a verb ("Return ..."); for a class, a noun',
    r"\bgives?\b": '"returns", "has"',
}


def texts(path: Path) -> list[tuple[int, str]]:
    """Return (line number, text) of each cell of a notebook, or of the whole file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return [(1, source)]
    cells = {json.dumps(cell["id"]): cell["source"] for cell in json.loads(source)["cells"]}
    lines = {name: source[: source.index(name)].count("\n") + 1 for name in cells}
    return [(lines[name], "".join(cells[name]).replace("\n", " ")) for name in cells]


def summaries(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, first line) of each docstring of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and (docstring := ast.get_docstring(node)):
            yield node.body[0].lineno, docstring.splitlines()[0]


def find(path: Path) -> list[tuple[int, str, str]]:
    """Return (line number, found words, what to write instead) for one file."""
    places = [(*place, ANYWHERE) for place in texts(path)]
    if path.suffix == ".py":
        places += [(*place, SUMMARY) for place in summaries(path)]
    found = []
    for line, text, table in places:
        for pattern, instead in table.items():
            for match in re.finditer(pattern.replace(" ", r"\s+(?:#\s+)?"), text, re.IGNORECASE):
                words = " ".join(match[0].replace("#", "").split())
                found.append((line + text.count("\n", 0, match.start()), words, instead))
    return sorted(found)


def main(arguments: Sequence[str] = ()) -> int:
    """Print all findings; return the exit status."""
    status = 0
    for place in map(Path, arguments or [os.path.relpath(ROOT / name) for name in PLACES]):
        files = [*place.rglob("*.py"), *place.rglob("*.ipynb")] if place.is_dir() else [place]
        for path in sorted(path for path in files if path.name not in SKIPPED):
            for line, words, instead in find(path):
                print(f'{path}:{line}: "{words}": {instead}')
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
