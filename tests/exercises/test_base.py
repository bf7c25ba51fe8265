"""What holds for every exercise: stub, solution, hints, and a check that survives any answer."""

from __future__ import annotations

import ast
import re
import sys
import warnings

import pytest
import torch
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.exercises import cell, check, find, hint, names, solution, stub
from course_utils.exercises.base import exercise

EXERCISES = {
    "00": ["first_slider"],
    "01": ["parameters", "dense_parameters_same_output", "gradient", "equivariance", "same_budget"],
    "02_1": [
        *("cross_correlate", "convolve", "output_size", "same_padding"),
        *("edge_kernel", "receptive_field"),
    ],
    "02_2": ["flat_features", "build_cnn", "training_step", "accuracy", "evaluate_whole"],
    "02_3": [
        *("he_std", "initialise", "l1_penalty", "decay_groups"),
        *("mean_std", "random_flip"),
    ],
    "03_1": ["largest_rate", "step_rate", "fitted_drops", "train_epochs", "warmup_cosine"],
    "03_2": ["widen", "grow_kernel", "separable_cost", "slim"],
    "03_3": ["grid", "log_uniform", "halving", "front"],
}
NAMES = [f"{chapter}.{title}" for chapter, titles in EXERCISES.items() for title in titles]
FUNCTIONS = [name for name in NAMES if not find(name).is_value]


def in_notebook(text: str) -> dict:
    """What the cell `text` defines in a notebook that has imported torch and nn, and no more."""
    namespace = {"torch": torch, "nn": nn}
    exec(compile(text, "<cell>", "exec", dont_inherit=True), namespace)
    return namespace


def test_names_lists_every_exercise_once():
    assert names() == NAMES
    for chapter, titles in EXERCISES.items():
        assert names(chapter) == [f"{chapter}.{title}" for title in titles]


@pytest.mark.parametrize("name", NAMES)
def test_the_worked_solution_is_solved(line, name):
    worked = find(name).worked
    answer = worked() if find(name).is_value else worked
    assert line(name, answer).startswith(f"✔ solved: {name}. ")


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_solution_pasted_into_a_cell_is_solved(line, capsys, name):
    solution(name)
    text = capsys.readouterr().out
    assert "@exercise" not in text
    answer = in_notebook(text)[find(name).variable]
    assert line(name, answer).startswith("✔ solved")


@pytest.mark.parametrize("name", NAMES)
def test_the_stub_runs_and_is_not_solved_yet(line, name):
    answer = in_notebook(stub(name))[find(name).variable]
    said = line(name, answer)
    assert said.startswith("… not solved yet: ")
    assert said.endswith(f'hint("{name}")')


@pytest.mark.parametrize("name", NAMES)
def test_stub_has_the_signature_and_docstring_of_the_solution_and_no_body(name):
    found = find(name)
    text = stub(name)
    assert max(len(row) for row in text.splitlines()) <= 100
    if found.is_value:
        assert text.endswith(f"\n{found.variable} = ...\n")
        assert found.task in text
        return
    (written,) = ast.parse(text).body
    (worked,) = ast.parse(found.solution).body
    assert ast.dump(written.args) == ast.dump(worked.args)
    assert ast.dump(written.returns) == ast.dump(worked.returns)
    assert ast.get_docstring(written) == ast.get_docstring(worked)
    assert [ast.unparse(statement) for statement in written.body[1:]] == ["..."]
    assert len(worked.body) > 1


@pytest.mark.parametrize("name", NAMES)
def test_cell_is_the_stub_and_its_check(capsys, name):
    found = find(name)
    assert found.cell.startswith(found.stub)
    namespace = {"torch": torch, "nn": nn, "check": check}
    assert cell(name) == found.cell
    exec(cell(name), namespace)
    assert capsys.readouterr().out.startswith("… not solved yet")


@pytest.mark.parametrize("name", NAMES)
def test_task_is_one_sentence_and_there_are_two_or_three_hints(name):
    found = find(name)
    assert 20 <= len(found.task) <= 100
    assert found.task[-1] in ".:"
    assert 2 <= len(found.hints) <= 3
    assert len(set(found.hints)) == len(found.hints)
    assert all("\n" not in text for text in found.hints)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nothing", [None, ...])
def test_no_answer_is_not_solved_yet(line, name, nothing):
    assert line(name, nothing).startswith("… not solved yet: ")


def raises_not_implemented(*arguments):
    raise NotImplementedError


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("empty", [lambda *a: None, lambda *a: ..., raises_not_implemented])
def test_a_function_without_result_is_not_solved_yet(line, name, empty):
    assert line(name, empty).startswith("… not solved yet: ")


def raises_two_lines(*arguments):
    raise KeyError("first line\nsecond line")


def exits(*arguments):
    sys.exit("leaving")


def recurses(*arguments):
    return recurses(*arguments)


class HostileError(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")


def raises_hostile(*arguments):
    raise HostileError


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (raises_two_lines, "KeyError"),
        (exits, "SystemExit: leaving"),
        (recurses, "RecursionError"),
        (raises_hostile, "HostileError"),
        (lambda *, no_such_argument: 1, "TypeError"),
    ],
)
def test_an_exception_of_the_answer_becomes_one_line(line, name, function, kind):
    said = line(name, function)
    assert kind in said
    assert said.startswith("✘ ")


class Hostile:
    """Claims to equal everything, and fails wherever it is looked at."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __repr__(self):
        raise RuntimeError("no repr")

    def __bool__(self):
        raise RuntimeError("neither true nor false")

    def __iter__(self):
        raise RuntimeError("not to be walked through")

    @property
    def shape(self):
        raise RuntimeError("no shape")


RUBBISH = {
    "zero": 0,
    "one": 1,
    "half": 0.5,
    "minus one": -1,
    "nan": float("nan"),
    "infinity": float("inf"),
    "true": True,
    "text": "13",
    "bytes": b"13",
    "empty list": [],
    "ragged list": [[1], [2, 3]],
    "dict": {"a": 1},
    "object": object(),
    "hostile": Hostile(),
    "class": int,
    "complex": 1j,
    "tensor 0": torch.tensor(0.0),
    "tensor nan": torch.tensor(float("nan")),
    "zeros": torch.zeros(3, 3),
    "ones": torch.ones(3, 3),
    "nan tensor": torch.full((3, 3), float("nan")),
    "complex tensor": torch.ones(3, 3, dtype=torch.complex64),
    "empty tensor": torch.zeros(0),
    "meta tensor": torch.zeros(3, 3, device="meta"),
    "two tensors": (torch.zeros(1), torch.zeros(1)),
    "module": nn.Linear(2, 2),
    "empty module": nn.Sequential(),
}


@pytest.mark.parametrize("name", NAMES)
def test_rubbish_is_never_solved_and_never_raises(line, name):
    for label, thing in RUBBISH.items():
        assert not line(name, thing).startswith("✔"), label
        if name in FUNCTIONS:
            assert not line(name, lambda *a, it=thing: it).startswith("✔"), f"returns {label}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_returning_an_argument_is_never_solved(line, name):
    for place in range(2):
        assert not line(name, lambda *a, place=place: a[place % len(a)] if a else 0).startswith("✔")


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
    said = []
    for _ in range(len(hints) + 2):
        hint(name)
        said.append(capsys.readouterr().out)
    assert said[: len(hints)] == [
        f"Hint {number} of {len(hints)}: {text}\n" for number, text in enumerate(hints, start=1)
    ]
    assert (
        said[len(hints)]
        == f'That was the last hint. solution("{name}") prints a worked solution.\n'
    )
    assert said[-1] == said[0]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("02_1.output_sise", "02_1.output_size"),
        ("output_size", "02_1.output_size"),
        ("2_1.output_size", "02_1.output_size"),
        ("02_1.initialise", "02_3.initialise"),
        ("initialize", "02_3.initialise"),
        ("01.dense_parameters", "01.dense_parameters_same_output"),
    ],
)
@pytest.mark.parametrize("ask", [hint, solution, stub, lambda name: check(name, 1)])
def test_an_unknown_name_offers_close_ones(ask, given, meant):
    with pytest.raises(CourseError, match=re.escape(f"no exercise called '{given}'")) as caught:
        ask(given)
    assert meant in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_like_nothing_lists_all():
    with pytest.raises(CourseError, match=r"there are: 00\.first_slider, 01\.parameters"):
        hint("???")


def test_arguments_in_the_wrong_order_are_explained():
    with pytest.raises(CourseError, match=r"name comes first.*type function"):
        check(find("02_1.output_size").worked, "02_1.output_size")


def test_two_exercises_cannot_share_a_name():
    with pytest.raises(ValueError, match=r"two exercises are named 02_1\.output_size"):

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
    solution("02_1.edge_kernel")
    assert capsys.readouterr().out == (
        "edge_kernel = [\n    [-1.0, 0.0, 1.0],\n    [-2.0, 0.0, 2.0],\n    [-1.0, 0.0, 1.0],\n]\n"
    )
