"""Several layers made narrower in one pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from course_utils.conv import EditError, channel_groups, edit_conv, narrow
from course_utils.core import CourseError
from course_utils.models import SimpleCNN, SmallResNet
from tests.toys import same, weights

GREY = torch.randn(2, 1, 28, 28)


def widths_of(model: nn.Module) -> list[int]:
    return [layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)]


def test_coupled_layers_are_one_group():
    found = channel_groups(SmallResNet(widths=(8, 16)), example_input=GREY)
    assert [group.layers for group in found] == [
        ("stem", "stage1.0.conv2"),
        ("stage1.0.conv1",),
        ("stage2.0.conv1",),
        ("stage2.0.conv2", "stage2.0.shortcut.0"),
    ]
    assert [group.channels for group in found] == [8, 8, 16, 16]
    assert {group.step for group in found} == {1}
    assert found[3].norms == {
        "stage2.0.conv2": "stage2.0.norm2",
        "stage2.0.shortcut.0": "stage2.0.shortcut.1",
    }
    assert all(group.scores.shape == (group.channels,) for group in found)


def test_one_pass_is_the_same_as_one_edit_after_the_other():
    model = SmallResNet(widths=(8, 16)).eval()
    wants = {"stem": 4, "stage1.0.conv1": 6, "stage2.0.conv1": 5, "stage2.0.shortcut.0": 8}
    before = weights(model)
    # A later edit sees fewer weights, so only the rows' own scores may decide.
    score = {"importance": lambda weight: torch.arange(len(weight)).float() % 7}
    at_once, problems = narrow(model, wants, example_input=GREY, **score)
    one_by_one = model
    for name, width in wants.items():
        one_by_one = edit_conv(one_by_one, name, out_channels=width, example_input=GREY, **score)
    assert problems == {} and same(before, weights(model))
    assert same(weights(at_once), weights(one_by_one))
    torch.testing.assert_close(at_once(GREY), one_by_one(GREY))


def test_the_scores_of_a_layer_get_its_name():
    seen = []

    def importance(weight: Tensor, layer: str) -> Tensor:
        seen.append(layer)
        return torch.arange(len(weight)).float()

    model = SimpleCNN(widths=(4, 6))
    edited = edit_conv(model, "conv1", out_channels=2, importance=importance, example_input=GREY)
    assert seen == ["conv1"] and torch.equal(edited.conv1.weight, model.conv1.weight[2:])
    narrow(model, {"conv2": 3}, importance=importance, example_input=GREY)
    assert set(seen) == {"conv1", "conv2"}
    adapted = edit_conv(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2), nn.Conv2d(1, 2, 1)),
        "0",
        out_channels=3,
        importance=importance,
        example_input=GREY,
    )
    assert seen[-1] == "0" and adapted(GREY).shape == (2, 2, 52, 52)


class Odd(nn.Module):
    """Two plain layers, and one whose channels are counted by a number in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x))
        if x.shape[1] != 8:
            raise RuntimeError("8 channels!")
        return self.head(self.c(x))


def test_what_cannot_follow_stays_and_the_rest_shrinks():
    model = Odd()
    narrower, problems = narrow(model, {"a": 4, "b": 4, "c": 4}, example_input=GREY)
    assert widths_of(narrower) == [4, 8, 4, 3] and list(problems) == ["b"]
    assert "8 channels!" in problems["b"]
    unchanged, problems = narrow(model, {"b": 4}, example_input=GREY)
    assert same(weights(unchanged), weights(model)) and unchanged is not model


def test_groups_of_a_convolution_stay_equally_wide():
    layers = [nn.Conv2d(1, 12, 1), nn.Conv2d(12, 12, 3, groups=4), nn.Conv2d(12, 12, 3, groups=12)]
    model = nn.Sequential(*layers, nn.Conv2d(12, 2, 1))
    groups = channel_groups(model, example_input=GREY)
    assert [(g.layers, g.step) for g in groups] == [(("0",), 4), (("1",), 4)]
    narrower, _ = narrow(model, {"0": 8, "1": 4}, example_input=GREY)
    assert [(m.in_channels, m.out_channels, m.groups) for m in narrower] == [
        *((1, 8, 1), (8, 4, 4), (4, 4, 4), (4, 2, 1)),
    ]
    with pytest.raises(EditError, match="multiples of 4"):
        narrow(model, {"0": 9}, example_input=GREY)


def test_a_layer_that_runs_twice_and_weights_that_two_layers_share():
    again = nn.Conv2d(8, 8, 1)
    model = nn.Sequential(nn.Conv2d(1, 8, 1), again, again, nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1))
    model[3].weight = again.weight
    groups = channel_groups(model, example_input=GREY)
    assert [group.layers for group in groups] == [("0", "1")]
    narrower, _ = narrow(model, {"1": 5}, example_input=GREY)
    assert narrower[1] is narrower[2] and narrower[3].weight is narrower[1].weight
    assert narrower(GREY).shape == (2, 2, 28, 28) and narrower[0].out_channels == 5


def test_without_numbers():
    narrower, _ = narrow(SmallResNet(), {"stem": 8}, example_input=GREY, dry_run=True)
    assert narrower.stem.weight.is_meta and narrower.stem.out_channels == 8


@pytest.mark.parametrize(
    ("wants", "words"),
    [
        ({"no": 3}, "'no' is not a Conv2d"),
        ({"classifier": 3}, "not a Conv2d"),
        ({"stem": 0}, "from 1 to 8"),
        ({"stem": 9}, "from 1 to 8"),
        ({"stem": 2.5}, "from 1 to 8"),
        ({"stem": 4, "stage1.0.conv2": 5}, "shares its channels with stem"),
    ],
)
def test_wrong_wishes(wants, words):
    model = SmallResNet(widths=(8, 16))
    before = weights(model)
    with pytest.raises(EditError, match=words):
        narrow(model, wants, example_input=GREY)
    assert same(before, weights(model))


@pytest.mark.parametrize(
    ("importance", "words"),
    [
        (lambda weight: [1.0] * len(weight), "returns a list"),
        (lambda weight: None, "returns None"),
        (lambda weight: torch.full((len(weight),), torch.nan), "nan or infinity"),
        (lambda weight, layer: torch.ones(3), r"returns shape \(3,\)"),
    ],
)
def test_scores_that_are_none(importance, words):
    model = SmallResNet(widths=(8, 16))
    for edit in (
        lambda: narrow(model, {"stem": 4}, importance=importance, example_input=GREY),
        lambda: edit_conv(
            model, "stem", out_channels=4, importance=importance, example_input=GREY, adapter=False
        ),
    ):
        with pytest.raises(CourseError, match=words):
            edit()


def test_the_output_has_no_group():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 3, 1))
    assert [group.layers for group in channel_groups(model, example_input=GREY)] == [("0",)]
    with pytest.raises(EditError, match="output"):
        narrow(model, {"1": 2}, example_input=GREY)
    with pytest.raises(EditError, match="no Conv2d"):
        channel_groups(nn.Linear(3, 3))
