from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from course_utils.widgets.one_click import picture as module
from course_utils.widgets.one_click.edit_result import EditResult, edit_network
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from tests.toys import toy_data, toy_model

DATA = toy_data()


def test_the_picture_keeps_its_size_whatever_the_edit():
    network = MeasuredNetwork.for_data(toy_model(), DATA)
    size = module.WIDTH, module.height_of(network)
    for changes in ({"out_channels": 60}, {"stride": 3}, {"kernel_size": 9}):
        result = EditResult(network, "0", edit_network(network, "0", changes))
        assert Image.open(io.BytesIO(module.draw(result))).size == size


@pytest.mark.parametrize(("side", "count"), [(7, 16), (28, 16), (32, 9), (56, 16), (112, 16)])
def test_as_many_maps_as_fill_their_square(side, count):
    assert module._map_count(side) == count


def test_the_maps_of_both_sides_share_one_scale():
    """Larger values after the edit make the colours before it paler."""
    network = MeasuredNetwork.for_data(toy_model(), DATA)
    plain, louder = EditResult(network, "0"), EditResult(network, "0")
    vars(louder)["maps"] = plain.maps[0], 5 * plain.maps[0]
    left = module.WIDTH - module.EDGE - 2 * module._MAPS - module._GAP
    top = module._TOP + module.Drawing(network, "0", module._TOP).height + 32
    before = slice(top, top + 100), slice(left, left + 100)
    one, other = (np.asarray(Image.open(io.BytesIO(module.draw(r)))) for r in (plain, louder))
    assert (one[before] != other[before]).any()
