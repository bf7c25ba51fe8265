"""Edits on what networks really take and return: films, single pictures, lists, names, objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from course_utils.conv import ConvEditor, edit_conv
from course_utils.conv.meta import tensors_in

PICTURE = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
BATCH = torch.stack([PICTURE, PICTURE.flip(1)])


class Pair(NamedTuple):
    low: Tensor
    high: Tensor


@dataclass
class Output:
    logits: Tensor
    note: str = "none"


class Bundle(dict):
    """A dictionary of a library's own, as some return."""


class Net(nn.Module):
    """Two convolutions, with something before them and behind them."""

    def __init__(self, before=lambda x: x, after=lambda y: y, dims: int = 4):
        super().__init__()
        self.before, self.after = before, after
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, *args, **kwargs):
        return self.after(self.b(self.a(self.before(*args, **kwargs)).relu()))


def film(x: Tensor) -> Tensor:
    return x.unflatten(0, (-1, 8)).flip(1).flatten(0, 1)


def sizes_asked(x: Tensor) -> Tensor:
    assert x.shape == (1, 3, 8, 8)
    return x


def of_list(pictures: list[Tensor]) -> Tensor:
    assert isinstance(pictures, list) and {p.ndim for p in pictures} == {3}
    return torch.stack(pictures)


INPUTS = [
    (film, torch.cat([BATCH] * 4)),
    (film, torch.cat([BATCH] * 4).to("meta")),
    (sizes_asked, PICTURE[None]),
    (lambda x: x if x.ndim == 3 else None, PICTURE),
    (of_list, [PICTURE, PICTURE]),
    (lambda x, *, scale: x * scale, {"x": BATCH, "scale": 2.0}),
    (lambda x, scale: x * scale, (BATCH, torch.tensor(2.0))),
    (lambda x, scale=1: x * scale, (BATCH, {"scale": 2.0})),
    (lambda both: both["x"] + both["y"], {"x": BATCH, "y": BATCH}),
    (lambda pair: pair.low + pair.high, Pair(BATCH, BATCH)),
    (lambda one: one.logits, Output(BATCH)),
    (lambda box: box.numpy, SimpleNamespace(numpy=BATCH)),
    (lambda x, boxes: x[: len(boxes)], (BATCH, torch.ones(1, 5, 4))),
    (lambda x: x.mean(1).unflatten(1, (8, 1)).permute(0, 3, 1, 2)[:, :3], torch.ones(2, 8, 8, 6)),
]


@pytest.mark.parametrize(("before", "given"), INPUTS)
@pytest.mark.parametrize("changes", [{"out_channels": 12}, {"kernel_size": 5}])
def test_the_example_is_used_as_it_is_given(before, given, changes):
    model = Net(before).eval()
    new, report = edit_conv(
        model, "a", example_input=given, adapter=False, return_report=True, **changes
    )
    assert report.same_function
    assert new.a.out_channels == changes.get("out_channels", 8)


OUTPUTS = [
    lambda y: {"out": y, "aux": [y.mean(1), 3]},
    lambda y: Bundle(out=y),
    lambda y: Output(y),
    lambda y: [Pair(y, y), None],
    lambda y: SimpleNamespace(maps=[Output(y)]),
]


@pytest.mark.parametrize("after", OUTPUTS)
def test_outputs_of_any_kind_are_compared(after):
    model = Net(after=after).eval()
    new, report = edit_conv(
        model, "a", example_input=BATCH, out_channels=12, stride=2, return_report=True
    )
    shapes = [[t.shape for t in tensors_in(m(BATCH))] for m in (model, new)]
    assert shapes[0] == shapes[1] != []
    assert report.same_function is False  # and it is resized
    with pytest.raises(ValueError, match="network's output"):
        edit_conv(model, "b", example_input=BATCH, out_channels=5)


def test_one_picture_becomes_a_batch_where_the_model_needs_one():
    model = Net(after=lambda y: y.mean((2, 3))).eval()
    assert edit_conv(model, "a", example_input=PICTURE, out_channels=12).b.in_channels == 12


def test_a_part_for_training_is_followed_from_a_batch_of_one():
    class Helped(Net):
        def __init__(self):
            super().__init__()
            self.help = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2))

        def forward(self, x):
            x = self.a(x)
            return (self.b(x), self.help(x.mean((2, 3)))) if self.training else self.b(x)

    model = Helped().eval()
    new = edit_conv(model, "a", example_input=BATCH[:1], out_channels=12, adapter=False)
    assert new.help[1].in_features == 12
    assert len(new.train()(BATCH)) == 2


def test_transposed_convolutions_take_single_pictures():
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ConvTranspose2d(6, 5, 2), nn.Conv2d(5, 2, 1))
    new = edit_conv(model, "0", example_input=PICTURE, out_channels=9, adapter=False)
    assert torch.allclose(new(PICTURE), model(PICTURE), atol=1e-5)


@pytest.mark.parametrize(
    "given",
    [
        [PICTURE, PICTURE],
        {"x": BATCH, "sizes": (2, 3)},
        (BATCH, {"flag": None, "weights": [torch.ones(2, dtype=torch.int64)]}),
    ],
)
def test_code_writes_every_kind_of_input(given):
    def before(x, *_, **__):
        return torch.stack(x) if isinstance(x, list) else x

    editor = ConvEditor(Net(before).eval(), given)
    editor.edit("a", out_channels=12)
    variables = {"model": Net(before).eval()}
    exec(editor.code(), variables)
    assert variables["model"].a.out_channels == 12
    assert isinstance(variables["example_input"], type(given))
    assert isinstance(given, (list, tuple, Mapping))


def test_what_cannot_be_written_is_said():
    editor = ConvEditor(Net(lambda one: one.logits).eval(), Output(BATCH))
    editor.edit("a", out_channels=12)
    with pytest.raises(ValueError, match="plain Python"):
        editor.code()
