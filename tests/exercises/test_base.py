"""All exercises: stub, solution and hints, and a check that survives any answer."""

from __future__ import annotations

import ast
import importlib
import json
import math
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.exercises import base, check, find, hint, names, solution
from course_utils.exercises.base import exercise

EXERCISES = {
    "00": "first_slider",
    "01": "parameters dense_parameters_same_output gradient equivariance same_budget",
    "02_1": ("cross_correlate output_map output_size line_kernel receptive_field"),
    "02_2": "flat_features build_cnn training_step accuracy evaluate_whole",
    "02_3": "he_std initialise l1_penalty decay_groups mean_std random_flip",
    "03_1": "largest_rate adam_changes fitted_drops warmup_cosine",
    "03_2": "followers grow_kernel widen separable_cost slim",
    "03_3": "random_search grid log_uniform evolve halving front",
    "04_1": (
        "kept_channels remove_channels taylor_scores scale_and_zero_point round_channels "
        "round_with_gradient"
    ),
    "04_2": "top_down sides iou nms precision_recall",
    "04_3": "soften distillation_loss freeze part_rates confusion nearest",
    "05_1": "normalised_range leaked mean_of_views stratified_split averaged",
    "05_2": "precision_recall macro_f1 auc calibration_error mcnemar diagnosis",
    "05_3": "fgsm_step nearest_allowed worst_group advantage remedies",
}
NAMES = [f"{chapter}.{title}" for chapter, titles in EXERCISES.items() for title in titles.split()]
FUNCTIONS = [name for name in NAMES if not find(name).is_value]


def in_notebook(text: str) -> dict:
    """Return what the cell `text` defines in a notebook with the usual imports."""
    namespace = {"torch": torch, "nn": nn, "check": check, "Callable": Callable}
    exec(compile(text, "<cell>", "exec", dont_inherit=True), namespace)
    return namespace


def test_names_lists_every_exercise_once():
    assert names() == NAMES
    for chapter, titles in EXERCISES.items():
        assert names(chapter) == [f"{chapter}.{title}" for title in titles.split()]
    assert names("no such chapter") == []
    modules = sorted(path.stem for path in Path(base.__file__).parent.glob("ch*.py"))
    assert modules == [f"ch{chapter}" for chapter in base.CHAPTERS]


def test_only_the_chapter_that_is_asked_for_is_imported(monkeypatch):
    imported = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    assert find("03_2.widen").name == "03_2.widen"
    assert imported == ["course_utils.exercises.ch03_2"]


def test_the_solution_is_solved_and_so_is_its_printed_text_in_a_cell(solved, capsys):
    for name in NAMES:
        found = find(name)
        solved(name, found.worked() if found.is_value else found.worked)
        capsys.readouterr()
        solution(name)
        text = capsys.readouterr().out
        assert "@exercise" not in text, name
        solved(name, in_notebook(text)[found.variable])


def test_stub_has_the_signature_and_docstring_of_the_solution_and_no_body():
    for name in NAMES:
        found, text = find(name), find(name).stub
        assert max(len(row) for row in text.splitlines()) <= 100, name
        if found.is_value:
            assert text.endswith(f"\n{found.variable} = ...\n"), name
            assert found.task in text, name
            continue
        (written,) = ast.parse(text).body
        (worked,) = ast.parse(found.solution).body
        assert ast.dump(written.args) == ast.dump(worked.args), name
        assert ast.dump(written.returns) == ast.dump(worked.returns), name
        assert ast.get_docstring(written) == ast.get_docstring(worked), name
        assert [ast.unparse(statement) for statement in written.body[1:]] == ["..."], name
        assert len(worked.body) > 1, name


def test_cell_is_the_stub_and_its_check_and_not_solved_yet(capsys):
    for name in NAMES:
        assert find(name).cell.startswith(find(name).stub), name
        in_notebook(find(name).cell)
        said = capsys.readouterr().out
        assert said.startswith("… not solved yet: ") and said.endswith(f'hint("{name}")\n'), name


def test_cells_of_the_notebooks_are_those_of_the_exercises():
    cells = {}
    for path in (Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"):
        for found in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(found["source"])
            named = re.search(r'^check\("(.+?)"', text, re.M)
            if named and found["cell_type"] == "code":
                cells[named[1]] = text
    assert cells.keys() == set(NAMES)
    assert [name for name in NAMES if cells[name].strip() != find(name).cell.strip()] == []


def test_task_is_one_sentence_and_there_are_two_or_three_hints():
    for name in NAMES:
        found = find(name)
        assert 20 <= len(found.task) <= 100, name
        assert found.task[-1] in ".:", name
        assert 2 <= len(found.hints) <= 3, name
        assert len(set(found.hints)) == len(found.hints), name
        assert all("\n" not in text for text in found.hints), name


def raising(error):
    def answer(*arguments):
        raise error

    return answer


def test_no_answer_is_not_solved_yet(line):
    for name in NAMES:
        functions = [lambda *a: None, lambda *a: ..., raising(NotImplementedError)]
        for nothing in (None, ..., *(functions if name in FUNCTIONS else [])):
            assert line(name, nothing).startswith("… not solved yet: "), name


def recurses(*arguments):
    return recurses(*arguments)


class HostileError(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")


def test_an_exception_of_the_answer_becomes_one_line(line):
    for name in FUNCTIONS:
        for function, kind in (
            (raising(KeyError("first line\nsecond line")), "KeyError"),
            (raising(SystemExit("leaving")), "SystemExit: leaving"),
            (recurses, "RecursionError"),
            (raising(HostileError), "HostileError"),
            (lambda *, no_such_argument: 1, "TypeError"),
        ):
            said = line(name, function)
            assert said.startswith("✘ ") and kind in said, name


def fails(self, *arguments):
    raise RuntimeError("no")


class Hostile:
    """Equals everything, and raises in all other operations."""

    __repr__ = __bool__ = __iter__ = fails
    shape = property(fails)

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


RUBBISH = (
    *(0, 1, 0.5, -1, math.nan, math.inf, True, 1j, "13", b"13"),
    *([], [[1], [2, 3]], {"a": 1}, object(), Hostile(), int),
    *(torch.tensor(0.0), torch.tensor(math.nan), torch.zeros(0), torch.zeros(3, 3)),
    *(torch.ones(3, 3), torch.full((3, 3), math.nan), torch.ones(3, 3, dtype=torch.complex64)),
    *(torch.zeros(3, 3, device="meta"), (torch.zeros(1), torch.zeros(1))),
    *(nn.Linear(2, 2), nn.Sequential()),
)


def test_rubbish_is_never_solved_and_never_raises(line):
    for name in NAMES:
        for place, thing in enumerate(RUBBISH):
            if name not in FUNCTIONS or callable(thing):
                assert not line(name, thing).startswith("✔"), f"{name}: {place}"
            if name in FUNCTIONS:
                returns = line(name, lambda *a, it=thing: it)
                assert not returns.startswith("✔"), f"{name}: returns {place}"


def test_returning_an_argument_is_never_solved(line):
    for name in FUNCTIONS:
        for place in range(2):
            said = line(name, lambda *a, place=place: a[place % len(a)] if a else 0)
            assert not said.startswith("✔"), name


def test_prints_and_warnings_of_the_answer_are_not_shown(line):
    def chatty(n, k, s=1, p=0, d=1):
        print("n is", n)
        print("and that is that", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        return (n + 2 * p - d * (k - 1) - 1) // s + 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert line("02_1.output_size", chatty).startswith("✔")


def test_check_leaves_the_notebooks_state_alone(line):
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)

    def meddling(n, k, s=1, p=0, d=1):
        torch.manual_seed(99)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return 0

    with torch.no_grad():
        line("02_1.output_size", meddling)
        assert not torch.is_grad_enabled()
        assert line("02_2.training_step", find("02_2.training_step").worked).startswith("✔")
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.rand(3), want)


def test_checks_say_the_same_at_every_call(line):
    def answer(layer):
        return layer.weight.std().item()

    assert line("02_3.he_std", answer) == line("02_3.he_std", answer)
    for name in FUNCTIONS:
        wrong = line(name, lambda *a: object())
        assert wrong == line(name, lambda *a: object())
        assert "0x" not in wrong


def test_hints_come_one_by_one_and_start_again(capsys):
    name = "02_1.output_size"
    hints = find(name).hints
    for _ in range(len(hints) + 2):
        hint(name)
    *said, end, again = capsys.readouterr().out.splitlines()
    assert said == [f"Hint {i} of {len(hints)}: {text}" for i, text in enumerate(hints, start=1)]
    assert f'solution("{name}")' in end and again == said[0]


@pytest.mark.parametrize(("value", "shown"), [("off", False), (" OFF", False), ("on", True)])
def test_a_teacher_can_switch_the_solutions_off(capsys, monkeypatch, value, shown):
    monkeypatch.setenv("COURSE_SOLUTIONS", value)
    name = "02_1.cross_correlate"
    solution(name)
    said = capsys.readouterr().out
    assert ("def cross_correlate" in said) == shown and ("ask your teacher" in said) != shown
    for _ in range(len(find(name).hints) + 1):
        hint(name)
    end = capsys.readouterr().out.splitlines()[-1]
    assert end.startswith("That was the last hint. ") and (f'solution("{name}")' in end) == shown
    with pytest.raises(CourseError, match="no exercise called"):
        solution("02_1.nothing")


def test_an_unknown_name_offers_close_ones():
    for given, meant in (
        ("02_1.output_sise", "02_1.output_size"),
        ("output_size", "02_1.output_size"),
        ("2_1.output_size", "02_1.output_size"),
        ("02_1.initialise", "02_3.initialise"),
        ("initialize", "02_3.initialise"),
        ("01.dense_parameters", "01.dense_parameters_same_output"),
    ):
        for ask in (hint, solution, find, lambda name: check(name, 1)):
            with pytest.raises(CourseError, match=f"^.*{re.escape(repr(given))}.*{meant}.*$"):
                ask(given)
    with pytest.raises(CourseError, match=", ".join(map(re.escape, NAMES))):
        hint("???")


def test_arguments_in_the_wrong_order_are_explained():
    with pytest.raises(CourseError, match=r"00\.first_slider.*function"):
        check(find("02_1.output_size").worked, "02_1.output_size")


def test_two_exercises_cannot_share_a_name():
    with pytest.raises(ValueError, match=r"02_1\.output_size"):

        @exercise("02_1.output_size", check=str, hints=())
        def other() -> int:
            """Another one."""
            return 1

    assert find("02_1.output_size").variable == "output_size"


def test_solution_of_a_value_is_an_assignment(capsys):
    solution("00.first_slider")
    assert capsys.readouterr().out == (
        'first_slider = {"kernel_size": 3, "stride": 2, "padding": 1}\n'
    )
    solution("02_1.line_kernel")
    assert capsys.readouterr().out == (
        "line_kernel = [\n    [-1.0, -1.0, -1.0],\n    [2.0, 2.0, 2.0],\n"
        "    [-1.0, -1.0, -1.0],\n]\n"
    )
