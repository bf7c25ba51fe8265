"""Rules for every committed notebook, checked without running it."""

from __future__ import annotations

import ast
import dis
import re
import types
from collections.abc import Iterable
from itertools import pairwise

import nbformat
import pytest

from tests.notebooks import pictures, refresh

# All notebooks of the course in order; the later ones are not written yet.
COURSE = (
    "00_start_here",
    "01_cnn_and_pytorch",
    "02_1_convolution",
    "02_2_first_cnn",
    "02_3_initialisation_and_regularisation",
    "03_1_learning_rate",
    "03_2_one_click_convolution",
    "03_3_search",
    "04_1_pruning_and_quantization",
    "04_2_feature_pyramids",
    "04_3_distillation_and_transfer",
    "05_1_case_study",
    "05_2_evaluation",
    "05_3_summary_and_outlook",
)
GLOSSARY = "glossary"
# Notebooks in which every word of theirs in the glossary is bold where it is explained.
EXPLAINING = {
    "01_cnn_and_pytorch",
    "02_1_convolution",
    "02_2_first_cnn",
    "02_3_initialisation_and_regularisation",
    "03_1_learning_rate",
    "03_2_one_click_convolution",
    "03_3_search",
    "04_2_feature_pyramids",
}
MAX_LINES = 15
MAX_BYTES = 1_500_000
# Tags and comments that make nbval skip a cell.
SKIPS = {"nbval-skip", "nbval-ignore-output"}
SKIP_COMMENT = re.compile(r"^\s*#\s*(NBVAL_SKIP|NBVAL_IGNORE_OUTPUT)\b", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#|attachment:|mailto:)([^)\s#]+)")
LABEL = re.compile(r"\*\*Exercise (\d+) · (?:easy|medium|hard) · \d+ minutes\.\*\*")
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
SHOWING = {"print", "display", "check", "hint", "solution"}

PATHS = [path for path in refresh.find([]) if path.stem != GLOSSARY]


@pytest.fixture(params=PATHS, ids=[path.stem for path in PATHS], scope="module")
def path(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(path):
    return nbformat.read(path, as_version=4)


def place(stem: str) -> int:
    """Return the number of a notebook in `COURSE`.

    Raises:
        pytest.fail.Exception: it is not there.
    """
    if stem not in COURSE:
        pytest.fail(
            f"The course has no place for notebooks/{stem}.ipynb: add its name to COURSE in "
            "tests/notebooks/test_structure.py, between the notebooks before and after it, or "
            "move the file to another folder.",
            pytrace=False,
        )
    return COURSE.index(stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(source: str) -> int:
    """Return the number of lines of code, without blank lines and comments."""
    return sum(not line.lstrip().startswith("#") for line in source.splitlines() if line.strip())


def skipped(cell) -> bool:
    return bool(SKIPS & set(cell.metadata.get("tags", []))) or bool(
        SKIP_COMMENT.search(cell.source)
    )


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a cell, an empty one for a cell of magics."""
    return ast.parse("" if source.lstrip().startswith(("%", "!")) else source)


def runs_by_number(source: str) -> list[str]:
    """Return where a cell takes a run of a panel by its number, such as `panel.runs[0]`."""
    found = [node for node in ast.walk(parsed(source)) if isinstance(node, ast.Subscript)]
    return [
        ast.unparse(node)
        for node in found
        if isinstance(node.value, ast.Attribute) and node.value.attr == "runs"
    ]


def must_show(source: str) -> bool:
    """Return whether a cell certainly shows something: it ends in a value, or prints."""
    body = parsed(source).body
    if not body or source.rstrip().endswith(";"):
        return False
    last = body[-1]
    if isinstance(last, ast.Expr) and not isinstance(last.value, (ast.Call, ast.Await)):
        return True
    calls = [
        s.value.func for s in body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call)
    ]
    return any(isinstance(called, ast.Name) and called.id in SHOWING for called in calls)


def bound(source: str) -> set[str]:
    """Return the names that a cell binds, in whatever way: `=`, `def`, `for`, `del`, ..."""
    module = compile(parsed(source), "", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    codes, names = [module], set()
    for code in codes:
        codes += [const for const in code.co_consts if isinstance(const, types.CodeType)]
        kinds = {"STORE_GLOBAL", "DELETE_GLOBAL"}
        if code is module:
            kinds |= {"STORE_NAME", "DELETE_NAME"}
        names |= {step.argval for step in dis.get_instructions(code) if step.opname in kinds}
    return names


def overwritten(sources: Iterable[str]) -> list[tuple[int, str]]:
    """Return (number of the cell, name): what an exercise cell defines and a later cell replaces.

    A reader who goes back to the exercise, or uses the answer later, finds something else there.
    """
    found, exercises = [], set()
    for number, source in enumerate(sources):
        names = bound(source)
        found += [(number, name) for name in sorted(names & exercises)]
        body = parsed(source).body
        if any(isinstance(s, ast.Expr) and is_check(s.value) for s in body):
            exercises |= names
    return found


def is_check(call: ast.expr) -> bool:
    """Return whether this is `check(...)`, which tests an exercise."""
    return isinstance(call, ast.Call) and getattr(call.func, "id", None) == "check"


def test_is_valid_and_belongs_to_the_course(path, notebook):
    nbformat.validate(notebook)
    place(path.stem)
    assert path.stat().st_size <= MAX_BYTES


def test_begins_with_its_title(path, notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    title = first.source.splitlines()[0]
    assert title.startswith("# ")
    section = re.match(r"0(\d)(?:_(\d))?_", path.stem)
    assert section, "the file's name begins with the number of its section"
    if section[1] != "0":
        wanted = "# " + ".".join(filter(None, section.groups()))
        assert title.startswith(wanted), f"begin the title with {wanted!r}, as the file's name does"
    assert re.search(r"\d+ minutes", first.source), "say how long it takes"


def test_has_a_word_between_code_cells(notebook):
    kinds = [cell.cell_type for cell in notebook.cells]
    pairs = [i for i, pair in enumerate(pairwise(kinds)) if pair == ("code", "code")]
    assert not pairs, f"two code cells in a row at {pairs}"


def test_has_short_code_cells(notebook):
    lengths = {i: lines(cell.source) for i, cell in enumerate(code_cells(notebook))}
    wrong = {i: length for i, length in lengths.items() if not 1 <= length <= MAX_LINES}
    assert not wrong, f"code cells that are empty or have more than {MAX_LINES} lines: {wrong}"


def test_leaves_its_checks_to_us(notebook):
    """A cell teaches; what we check about it is in tests/notebooks/checks."""
    found = [
        cell.source
        for cell in code_cells(notebook)
        if any(isinstance(node, ast.Assert) for node in ast.walk(parsed(cell.source)))
    ]
    assert not found


def test_keeps_the_answers_to_its_exercises(notebook):
    found = overwritten(cell.source for cell in code_cells(notebook))
    assert not found, f"cells that overwrite the function of an exercise: {found}; rename there"


def test_labels_its_exercises_in_order(notebook):
    """The cell before an exercise says its number, difficulty and minutes."""
    number = 0
    for before, cell in pairwise(notebook.cells):
        if cell.cell_type == "code" and any(map(is_check, ast.walk(parsed(cell.source)))):
            number += 1
            found = LABEL.findall(before.source)
            assert found == [str(number)], f"label exercise {number} before it: {before.source}"


def test_has_its_headings_in_order(notebook):
    """A heading is at most one level below the one before it, and there is one title."""
    text = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    levels = [len(m[1]) for source in text for m in HEADING.finditer(source)]
    assert levels[0] == 1 and 1 not in levels[1:]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels


def test_works_when_a_panel_was_cleared(notebook):
    """The reader may have pressed Clear, so there may be no run."""
    assert not [found for cell in code_cells(notebook) for found in runs_by_number(cell.source)]


def test_was_executed_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    for cell in code_cells(notebook):
        assert all(
            out.get("execution_count", cell.execution_count) == cell.execution_count
            for out in cell.outputs
        )


def test_has_its_outputs(notebook):
    bare = [c.source for c in code_cells(notebook) if must_show(c.source) and not c.outputs]
    assert not bare


def test_shows_what_a_reader_may_see(notebook):
    assert refresh.problems(notebook) == []


def test_shows_its_pictures(notebook):
    assert pictures.problems(notebook.cells) == []


def test_is_as_refresh_leaves_it(notebook):
    """Check for times, widget states, dead widgets and kernels of one machine."""
    assert refresh.tidy(notebook) == notebook


def test_is_compared_and_not_skipped(notebook):
    cells = code_cells(notebook)
    assert sum(map(skipped, cells)) <= 0.05 * len(cells)


def test_names_the_next_notebook(path, notebook):
    after = COURSE[place(path.stem) + 1 :]
    if after:
        written = (path.parent / f"{after[0]}.ipynb").exists()
        name = after[0] if written else f"hapter {after[0][1]}"
        assert notebook.cells[-1].cell_type == "markdown"
        assert name in notebook.cells[-1].source, f"name the next notebook at the end: {name}"


def test_links_lead_somewhere(path, notebook):
    links = [m for c in notebook.cells if c.cell_type == "markdown" for m in LINK.findall(c.source)]
    dead = [link for link in links if not (path.parent / link).exists()]
    assert not dead


def test_the_glossary_says_where_each_word_is_explained():
    glossary = nbformat.read(refresh.NOTEBOOKS / f"{GLOSSARY}.ipynb", as_version=4)
    nbformat.validate(glossary)
    assert refresh.tidy(glossary) == glossary and refresh.problems(glossary) == []
    text = "\n".join(cell.source for cell in glossary.cells)
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    found = [re.fullmatch(r"\| \*\*(.+)\*\* \| (.+) \| (.+\.) \| (\S+) \|", row) for row in rows]
    assert all(found) and len(found) > 80
    words = [match[1] for match in found]
    assert len(set(words)) == len(words)
    for word, _, _, number in (match.groups() for match in found):
        stem = next(name for name in COURSE if name.startswith(f"{number}_"))
        if stem in EXPLAINING:
            text = (refresh.NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8")
            name = re.split(r" \(|, ", word)[0].removesuffix("s")
            assert re.search(rf"\*\*{name}", text, re.IGNORECASE), f"{word} is not bold in {stem}"


@pytest.mark.parametrize(
    "later",
    [
        *("sides = 1", "a, (*sides, b) = f()", "sides: int = 1", "sides += 1", "del sides"),
        *("def sides(): ...", "class sides: ...", "import a.b as sides", "from a import sides"),
        *("for sides in f(): pass", "with f() as sides: pass", "if (sides := f()): pass"),
        *("[a for b in c if (sides := b)]", "def f():\n    global sides\n    sides = 1"),
        *("try: f()\nexcept E as sides: pass", "match a:\n    case [sides]: pass"),
        'def sides(): ...\ncheck("04_2.again", sides)',
    ],
)
def test_finds_an_overwritten_answer(later):
    exercise = 'def sides(x):\n    ...\n\n\ncheck("04_2.sides", sides)'
    assert overwritten(["sides = 1", exercise, "print(sides(1))", later]) == [(3, "sides")]


@pytest.mark.parametrize(
    "later",
    [
        *("sides(1)", "[sides for sides in a]", "f(sides=1)", "a.sides = 1", "sides[0] = 1"),
        *("def f(sides):\n    sides = 2", "lambda sides: sides", "%time sides = 1", "!ls sides"),
        *("class A:\n    sides = 1", "await f()", "check('04_2.sides', sides)"),
    ],
)
def test_leaves_other_uses_of_an_answer_alone(later):
    exercise = 'def sides(x):\n    ...\n\n\ncheck("04_2.sides", sides)'
    assert overwritten([exercise, later]) == []


def test_the_checks_above_can_fail():
    """Run the small functions of this file on examples."""
    assert lines("a = 1\n\n# why\nb = 2\n") == 2
    assert must_show("a = 1\na") and must_show("print(1)\na = 2") and must_show("check('x', 1)")
    assert not must_show("a = 1") and not must_show("f(1)") and not must_show("a;")
    assert runs_by_number("a = panel.runs[0].plan\nb = panel.runs") == ["panel.runs[0]"]
    assert place("00_start_here") == 0
    with pytest.raises(pytest.fail.Exception, match=r"06_new\.ipynb: add its name to COURSE"):
        place("06_new")
    skip = nbformat.v4.new_code_cell("# NBVAL_SKIP\nf()")
    tagged = nbformat.v4.new_code_cell("f()", metadata={"tags": ["nbval-ignore-output"]})
    assert skipped(skip) and skipped(tagged) and not skipped(nbformat.v4.new_code_cell("f()"))
    found = LINK.findall("[a](01_x.ipynb#top), ![b](images/b.png), [c](https://c.org)")
    assert found == ["01_x.ipynb", "images/b.png"]
