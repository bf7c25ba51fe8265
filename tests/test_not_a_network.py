"""A class, a name or None is refused, in one sentence, by all that takes a network."""

from __future__ import annotations

import pytest
import torch

from course_utils.conv import ConvEditor, edit_conv, layer_table, list_convs, network_graph
from course_utils.core import CourseError
from course_utils.metrics import compare_models, evaluate, top_classes
from course_utils.metrics.latency import measure_latency
from course_utils.models import SimpleCNN, fold_batch_norm, pretrained_card
from course_utils.training import fit
from course_utils.widgets import one_click_lab
from tests.toys import stripes

X = torch.zeros(2, 1, 8, 8)
HALF = torch.full((1,), 0.5)
ENTRANCES = {
    "edit_conv": lambda model: edit_conv(model, "conv1", out_channels=4),
    "ConvEditor": ConvEditor,
    "layer_table": lambda model: layer_table(model, X),
    "list_convs": lambda model: list_convs(model, X),
    "network_graph": lambda model: network_graph(model, X),
    "fold_batch_norm": fold_batch_norm,
    "evaluate": lambda model: evaluate(model, stripes(4), mean=HALF, std=HALF),
    "top_classes": lambda model: top_classes(
        model, torch.zeros(3, 64, 64), pretrained_card("efficientnet_lite0")
    ),
    "measure_latency": lambda model: measure_latency({"one": model}, X),
    "compare_models": lambda model: compare_models({"one": model}, (X, torch.zeros(2))),
    "fit": lambda model: fit(model, None),
    "one_click_lab": lambda model: one_click_lab(models={"one": model}),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("given", [SimpleCNN, None, "resnet18"], ids=repr)
def test_what_is_not_a_network_is_one_sentence(entrance, given):
    with pytest.raises(CourseError, match=r"a class, not yet a network|must be a network"):
        ENTRANCES[entrance](given)
