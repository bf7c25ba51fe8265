from __future__ import annotations

import pytest
import torch

from course_utils.compress import mask_by_magnitude
from course_utils.core import CourseError
from course_utils.metrics import compare_models
from course_utils.plots import techniques
from tests.toys import toy_data, toy_model

MODELS = {"whole": toy_model(), "masked": mask_by_magnitude(toy_model(), 0.5)}


@pytest.mark.parametrize("with_labels", [True, False])
@pytest.mark.parametrize("latency", [True, False])
def test_a_row_for_each_network_and_a_column_for_each_quantity(with_labels, latency):
    data = toy_data()
    given = data if with_labels else (data.normalise(data.test.images), None)
    result = compare_models(MODELS, given, latency=latency, latency_batches=(1, 4), seconds=0.01)
    figure = techniques(result, accuracy="accuracy,\nvalidation")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    expected = ["accuracy,\nvalidation"] * with_labels + ["multiply-adds", "file size"]
    assert titles == expected + ["speed,\nbatch of 1", "speed,\nbatch of 4"] * latency
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["whole", "masked"]
    size = figure.axes[titles.index("file size")]
    ratio = result["masked"].file_bytes / result["whole"].file_bytes
    assert [bar.get_width() for bar in size.patches] == [1, pytest.approx(ratio)]
    assert all(name in figure.alt for name in rows) and "\n" not in figure.alt
    assert not any(c.isdigit() and c not in "14" for c in figure.alt)  # no measured numbers
    assert figure.to_png()


def test_one_network_is_no_comparison():
    images = torch.zeros(3, 1, 8, 8)
    result = compare_models({"whole": MODELS["whole"]}, (images, None), latency=False)
    with pytest.raises(CourseError, match="at least two"):
        techniques(result)
