"""A candidate as Python code (what `improve` found is run in test_improve)."""

from __future__ import annotations

from torch import nn

from course_utils.conv import ResidualConv2d
from course_utils.search.code import candidate_code
from tests.toys import toy_data, toy_model


def test_the_code_deepens_and_augments():
    params = {"0.out_channels": 8, "0.depth": 2, "augment": "flip", "schedule": "cosine"}
    data = toy_data()
    values = {"model": toy_model(), "data": data}
    code = candidate_code(params, 1, data.image_shape, "keep", seed=0)
    exec(compile(code, "<code>", "exec"), values)  # what a reader would paste
    model = values["model"]
    assert [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)] == [8, 8]
    assert any(isinstance(m, ResidualConv2d) for m in model.modules())
    assert len(values["history"].epoch) == 1
