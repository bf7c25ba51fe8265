from __future__ import annotations

import io

import pytest
from PIL import Image
from torch import nn

from course_utils.core.runtime import one_thread
from course_utils.widgets.one_click import picture as module
from course_utils.widgets.one_click.bench import bench_for
from course_utils.widgets.one_click.drawing import WIDTH
from course_utils.widgets.one_click.look import Look, edit
from course_utils.widgets.one_click.picture import _how_many, draw, height_of
from tests.toys import toy_data, toy_model

DATA = toy_data()


@pytest.fixture(autouse=True)
def quietly():
    with one_thread():
        yield


def test_the_picture_keeps_its_size_whatever_the_edit():
    bench = bench_for(toy_model(), DATA)
    for changes in ({"out_channels": 60}, {"stride": 3}, {"kernel_size": 9}):
        look = Look(bench, "0", edit(bench, "0", changes))
        assert Image.open(io.BytesIO(draw(look))).size == (WIDTH, height_of(bench))


@pytest.mark.parametrize(("side", "count"), [(7, 16), (28, 16), (32, 9), (56, 16), (112, 16)])
def test_as_many_maps_as_fill_their_square(side, count):
    assert _how_many(side) == count


def test_what_is_said_beside_the_legend():
    bench = bench_for(toy_model(norm=True), DATA)
    said = [
        module._remark(Look(bench, "0", edit(bench, "0", changes) if changes else None))
        for changes in ({}, {"out_channels": 9}, {"kernel_size": 5})
    ]
    assert said[0].startswith("height: size of the maps")
    assert said[1] == "followed: 1 BatchNorm2d, 1 Linear"
    assert said[2] == "no other layer had to follow"


def test_the_maps_of_both_sides_share_one_scale():
    """Twice the answer is a stronger colour, so the picture before changes with that after."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 3))
    bench = bench_for(model, DATA)
    plain, other = (
        Image.open(io.BytesIO(draw(look))).convert("RGB")
        for look in (Look(bench, "0"), Look(bench, "0", edit(bench, "0", {"padding": 4})))
    )
    assert plain.size == other.size and plain.tobytes() != other.tobytes()
