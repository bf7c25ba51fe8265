"""Undo, redo, and the chain as Python."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ConvEditor, EditError, ImpossibleSetting
from course_utils.conv.edit.editor import _literal
from course_utils.core.errors import CourseError
from tests.toys import same, weights

BATCH = torch.zeros(2, 3, 12, 12)


class Shortcut(nn.Module):
    """Adds its input to the output of its convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


def network() -> nn.Sequential:
    """Return a network whose channels all have other weights and statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
            *(Shortcut(6), nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(8 * 36, 5)),
        )
        model[1].running_mean.normal_()
    return model


EDITS = (
    ("0", {"out_channels": 9}),
    ("5", {"kernel_size": (5, 3), "bias": True}),
    ("4.conv", {"stride": 2}),  # the sum behind it needs the former size: with an adapter
    ("5", {"out_channels": 4, "importance": "l2"}),
)


def edited(count: int = len(EDITS), **options) -> ConvEditor:
    editor = ConvEditor(network(), BATCH, **options)
    for name, changes in EDITS[:count]:
        editor.edit(name, **changes)
    return editor


def run(code: str, **names):
    exec(code, names)
    return names


def test_each_edit_gives_a_new_model_and_a_report():
    model = network()
    before = weights(model)
    editor = ConvEditor(model, BATCH)
    assert editor.model is model and editor.reports == ()
    states = [model]
    for number, (name, changes) in enumerate(EDITS, start=1):
        report = editor.edit(name, **changes)
        assert report.name == name and report is editor.reports[-1]
        assert len(editor.reports) == number
        assert editor.model not in states
        states.append(editor.model)
    assert editor.model[0].out_channels == 9 and editor.model[5].kernel_size == (5, 3)
    assert same(before, weights(model))
    assert editor.model(BATCH).shape == (2, 5)


def test_undo_and_redo_restore_bit_for_bit():
    editor = ConvEditor(network(), BATCH)
    states = [(editor.model, weights(editor.model))]
    for name, changes in EDITS:
        editor.edit(name, **changes)
        states.append((editor.model, weights(editor.model)))
    reports = editor.reports
    for number in reversed(range(len(EDITS))):
        model, values = states[number]
        assert editor.undo() is editor.model is model
        assert same(weights(model), values)
        assert editor.reports == reports[:number]
    for number, (model, values) in enumerate(states[1:], start=1):
        assert editor.redo() is editor.model is model
        assert same(weights(model), values)
        assert editor.reports == reports[:number]


def test_what_can_be_undone_and_redone():
    editor = edited(2)
    assert (editor.can_undo, editor.can_redo) == (True, False)
    editor.undo()
    assert (editor.can_undo, editor.can_redo) == (True, True)
    editor.undo()
    assert (editor.can_undo, editor.can_redo) == (False, True)


def test_nothing_to_undo_or_redo_is_said_in_words():
    editor = edited(1)
    model = editor.model
    with pytest.raises(CourseError, match="nothing to redo"):
        editor.redo()
    assert editor.model is model
    first = editor.undo()
    with pytest.raises(CourseError, match="nothing to undo"):
        editor.undo()
    assert editor.model is first and editor.redo() is model


def test_a_new_edit_replaces_what_was_undone():
    editor = edited(2)
    editor.undo()
    former = editor.model
    editor.edit("5", dilation=2)
    assert not editor.can_redo
    assert [report.changes for report in editor.reports] == [{"out_channels": 9}, {"dilation": 2}]
    assert editor.undo() is former


@pytest.mark.parametrize(
    ("name", "changes", "error"),
    [
        ("0", {"stride": 0}, ImpossibleSetting),
        ("nowhere", {"stride": 2}, EditError),
        ("0", {"example_input": BATCH}, CourseError),
        ("0", {"return_report": True}, CourseError),
    ],
)
def test_an_edit_that_fails_changes_nothing(name, changes, error):
    editor = edited(2)
    editor.undo()
    model, reports, code = editor.model, editor.reports, editor.code()
    values = weights(model)
    with pytest.raises(error):
        editor.edit(name, **changes)
    assert editor.model is model and same(values, weights(model))
    assert editor.reports == reports and editor.can_redo and editor.code() == code


def test_options_hold_for_every_edit_and_an_edit_may_have_its_own():
    editor = edited(2, adapter=False)
    with pytest.raises(EditError):
        editor.edit("4.conv", stride=2)
    editor.edit("4.conv", stride=2, adapter=True)
    assert editor.reports[-1].adapters == ("4.conv",)
    with pytest.raises(CourseError, match="return_report"):
        ConvEditor(network(), BATCH, return_report=True)


def test_training_a_state_belongs_to_that_state():
    editor = edited(1)
    before = editor.undo()[0].bias.clone()
    with torch.no_grad():
        editor.redo()[0].bias += 1
    trained = editor.model[0].bias.clone()
    assert torch.equal(editor.undo()[0].bias, before)
    assert torch.equal(editor.redo()[0].bias, trained)


@pytest.mark.parametrize("options", [{}, {"importance": "l2"}])
def test_the_code_repeats_the_chain(options):
    editor = edited(**options)
    result = run(editor.code(), model=network())["model"]
    assert [type(m) for m in result.modules()] == [type(m) for m in editor.model.modules()]
    assert same(weights(result), weights(editor.model))
    editor.model.eval(), result.eval()
    pictures = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    assert torch.equal(result(pictures), editor.model(pictures))


def test_the_code_leaves_out_what_is_undone():
    editor = edited(2)
    code = edited(1).code()
    editor.undo()
    assert editor.code() == code
    assert same(weights(run(code, model=network())["model"]), weights(editor.model))
    assert editor.undo()[0].out_channels == 6
    assert run(editor.code(), model=1)["model"] == 1  # valid Python that does nothing


def test_the_code_of_an_attribute():
    class Project:
        backbone = network()

    editor = edited(2)
    run(editor.code("self.backbone"), self=Project)
    assert same(weights(Project.backbone), weights(editor.model))


def test_the_code_without_an_example_input():
    editor = ConvEditor(nn.Sequential(nn.Conv2d(3, 4, 3)))
    editor.edit("0", kernel_size=5)
    assert editor.code() == (
        'from course_utils.conv import edit_conv\n\nmodel = edit_conv(model, "0", kernel_size=5)\n'
    )


def test_long_lines_of_code_are_broken():
    code = edited().code()
    assert max(map(len, code.splitlines())) <= 88
    assert '    importance="l2",\n)\n' in code


def test_changes_are_kept_as_they_were_given():
    editor, sizes = ConvEditor(network(), BATCH), [5, 3]
    editor.edit("0", kernel_size=sizes)
    sizes[0] = 7
    assert "kernel_size=(5, 3)" in editor.code()


@pytest.mark.parametrize("name", ["", "2nd", "a b", "class", "self.", "torch", "example_input"])
def test_what_is_no_variable(name):
    with pytest.raises(CourseError, match="name"):
        edited(1).code(name)


def test_what_cannot_be_written_as_text():
    editor = edited(1, importance=lambda weight: weight.flatten(1).sum(1))
    with pytest.raises(CourseError, match="can't be written"):
        editor.code()


@pytest.mark.parametrize(
    "value", [3, True, None, 0.5, "same", 'a"b\\c', "it's", (3, 5), (1,), (), ((1, 2), "x")]
)
def test_literals(value):
    assert eval(_literal(value)) == value


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1, 3, 8, 8),
        torch.ones(2, 3, dtype=torch.float16),
        torch.ones(4, dtype=torch.int64),
        torch.tensor(1.0),
        torch.ones(2, device="meta"),
    ],
)
def test_tensors_are_written_as_their_shape(tensor):
    (again,) = eval(_literal((tensor,)))
    described = (tensor.shape, tensor.dtype, tensor.device)
    assert (again.shape, again.dtype, again.device) == described
