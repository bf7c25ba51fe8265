"""Undo, redo, and the chain as Python."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ConvEditor, EditError, ImpossibleSetting
from course_utils.conv.edit.editor import _literal
from course_utils.core.errors import CourseError
from course_utils.models.simple import SimpleCNN
from tests.conv.edit.zoo import block
from tests.toys import same, weights

BATCH = torch.zeros(2, 3, 12, 12)


@block
def shortcut(layer, x, channels):
    return x + layer(nn.Conv2d, channels, channels, 3, padding=1, name="conv")(x)


def network() -> nn.Sequential:
    """Return a network whose channels all have other weights and statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
            *(shortcut(6), nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(8 * 36, 5)),
        )
        model(BATCH)
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


def test_undo_and_redo_restore_bit_for_bit():
    editor = ConvEditor(first := network(), BATCH)
    assert editor.model is first and editor.reports == ()
    states = [(first, weights(first))]
    for name, changes in EDITS:
        report = editor.edit(name, **changes)
        assert report.name == name and report is editor.reports[-1]
        states.append((editor.model, weights(editor.model)))
    assert editor.model[0].out_channels == 9 and editor.model[5].kernel_size == (5, 3)
    assert len({id(model) for model, _ in states}) == len(states)
    reports, last = editor.reports, len(EDITS)
    for number in (*reversed(range(last)), *range(1, last + 1)):
        model, values = states[number]
        back = len(editor.reports) > number
        assert (editor.undo() if back else editor.redo()) is editor.model is model
        assert same(weights(model), values)
        assert editor.reports == reports[:number]


def test_what_can_be_undone_and_redone():
    editor = edited(2)
    assert (editor.can_undo, editor.can_redo) == (True, False)
    with pytest.raises(CourseError, match="nothing to redo"):
        editor.redo()
    editor.undo()
    assert (editor.can_undo, editor.can_redo) == (True, True)
    first = editor.undo()
    assert (editor.can_undo, editor.can_redo) == (False, True)
    with pytest.raises(CourseError, match="nothing to undo"):
        editor.undo()
    assert editor.model is first


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
    before = editor.model, editor.reports, editor.code(), editor.can_redo
    values = weights(editor.model)
    with pytest.raises(error):
        editor.edit(name, **changes)
    assert (editor.model, editor.reports, editor.code(), editor.can_redo) == before
    assert same(values, weights(editor.model))


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
    assert torch.equal(editor.undo()[0].bias, before)
    assert torch.equal(editor.redo()[0].bias, edited(1).model[0].bias + 1)


@pytest.mark.parametrize("options", [{}, {"importance": "l2"}])
def test_the_code_repeats_the_chain(options):
    editor = edited(**options)
    result = run(editor.code(), model=network())["model"]
    assert [type(m) for m in result.modules()] == [type(m) for m in editor.model.modules()]
    assert same(weights(result), weights(editor.model))
    pictures = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    assert torch.equal(result.eval()(pictures), editor.model.eval()(pictures))
    assert max(map(len, editor.code().splitlines())) <= 88
    assert '    importance="l2",\n' in editor.code()


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


def test_changes_are_kept_as_they_were_given():
    editor, sizes = ConvEditor(network(), BATCH), [5, 3]
    editor.edit("0", kernel_size=sizes)
    sizes[0] = 7
    assert "kernel_size=(5, 3)" in editor.code()


@pytest.mark.parametrize("name", ["", "2nd", "a b", "class", "self.", "torch", "example_input"])
def test_the_code_needs_the_name_of_a_variable(name):
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


def test_tensors_are_written_as_their_shape():
    floats, numbers = torch.ones(2, 3, dtype=torch.float16), torch.ones(4, dtype=torch.int64)
    tensors = (torch.ones(1, 3, 8, 8), floats, numbers, torch.tensor(1.0))
    tensors += (torch.ones(2, device="meta"),)
    for tensor, again in zip(tensors, eval(_literal(tensors)), strict=True):
        assert again.shape == tensor.shape
        assert (again.dtype, again.device) == (tensor.dtype, tensor.device)


def test_after_other_pictures_the_chain_goes_on_with_them():
    editor = ConvEditor(SimpleCNN(), torch.zeros(2, 1, 28, 28))
    editor.edit("conv1", in_channels=3)
    editor.edit("conv1", out_channels=13, divisible_by=8)
    editor.edit("classifier", out_features=4, output=True)
    space = {"model": SimpleCNN()}
    exec(editor.code(), space)
    assert "example_input = torch.zeros(2, 3, 28, 28)\n" in editor.code()
    for model in (editor.model, space["model"]):
        assert model.conv1.weight.shape == (16, 3, 3, 3)
        assert model(torch.zeros(1, 3, 28, 28)).shape == (1, 4)
    editor.undo()
    assert editor.undo().conv1.in_channels == 3
    assert _literal([{"x": torch.zeros(1)}]) == '[{"x": torch.zeros(1)}]'
    with pytest.raises(CourseError, match="dry_run"):
        editor.edit("conv1", stride=2, dry_run=True)
