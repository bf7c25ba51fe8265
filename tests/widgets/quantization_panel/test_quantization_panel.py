from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.compress import layer_errors, quantize
from course_utils.core import CourseError
from course_utils.widgets import quantization_panel
from course_utils.widgets.quantization_panel.picture import WIDTH, height_of
from tests.toys import same, toy_model, weights


@pytest.fixture
def panel():
    return quantization_panel(toy_model())


def test_it_shows_what_quantize_returns_and_the_network_stays(panel):
    before = weights(panel._model)
    for per_channel in (True, False):
        panel.set(layer="0", filter=2, bits=3, per_channel=per_channel, symmetric=False)
        weight = panel._model[0].weight.detach()
        q = quantize(weight, 3, channel_axis=0 if per_channel else None)
        shown = panel.result
        assert panel.error == ""
        assert torch.equal(shown.after, q.values()[2]) and torch.equal(shown.before, weight[2])
        assert torch.equal(shown.levels, q.levels(2)) and len(shown.levels) == 8
        assert len(shown.sharing) == (9 if per_channel else 54)
        assert shown.largest_move <= shown.scale / 2 + 1e-6
        options = {"per_channel": per_channel, "symmetric": False}
        assert shown.errors == layer_errors(panel._model, 3, **options)
        whose = "this filter" if per_channel else "the whole layer"
        assert "3 bits: 8 levels" in panel.summary and whose in panel.summary
    assert same(before, weights(panel._model))


def test_the_code_makes_the_same(panel):
    panel.set(layer="6", filter=1, bits=5, symmetric=True)
    names = {"model": panel._model}
    exec(panel.shown_code.replace("rounded.codes", "found = rounded.codes"), names)
    assert torch.equal(names["found"][1].view(1, 1, -1), panel.result.after)
    assert panel.result.zero_point == 0 and len(panel.result.levels) == 31


def test_a_layer_offers_its_own_filters(panel):
    panel.set(layer="0", filter=5)
    assert panel.controls["filter"].max == 5
    panel.set(layer="6")
    assert panel.result.number == 0 and panel.controls["filter"].max == 2


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_picture_is_drawn(bits):
    wide = nn.Sequential(
        nn.Conv2d(40, 2, 3), *[nn.Conv2d(2, 2, (1, 2), bias=False) for _ in range(12)]
    )
    nn.init.zeros_(wide[1].weight)
    panel = quantization_panel(wide, bits=bits, layer="11")
    for layer in ("0", "1", "12"):
        panel.set(layer=layer)
        assert panel.error == ""
        size = Image.open(io.BytesIO(panel.shown_picture)).size
        assert size == (WIDTH, height_of(len(panel.result.errors)))


def test_what_cannot_be_shown():
    with pytest.raises(CourseError, match="no convolution"):
        quantization_panel(nn.Flatten())
    with pytest.raises(CourseError, match="no control"):
        quantization_panel(toy_model(), bit=3)
    broken = toy_model()
    with torch.no_grad():
        broken[0].weight[0] = torch.nan
    with pytest.raises(CourseError, match="nan or infinite"):
        quantization_panel(broken)


def test_a_network_that_breaks_later_is_named_in_the_error_line(panel):
    with torch.no_grad():
        panel._model[0].weight[0] = torch.inf
    panel.set(bits=4)
    assert "nan or infinite" in panel.error
