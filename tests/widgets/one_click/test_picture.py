from __future__ import annotations

import io

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
