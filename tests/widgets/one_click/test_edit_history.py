from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ALL_LAYERS, ImpossibleSetting, simple_settings
from course_utils.widgets.one_click.brief_training import BrieflyTrained
from course_utils.widgets.one_click.edit_history import EditHistory
from course_utils.widgets.one_click.edit_result import FOLLOWS
from course_utils.widgets.one_click.networks import NetworkChoice, networks
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()


@pytest.fixture
def history() -> EditHistory:
    code = "from tests.toys import toy_model", "model = toy_model()"
    return EditHistory(NetworkChoice("toy", toy_model, *code), DATA)


def wanted(history: EditHistory, layer: str = "0", **changes: object) -> dict:
    return simple_settings(history.current.convs[layer]) | {"padding": FOLLOWS} | changes


def test_the_settings_of_the_layer_itself_change_nothing(history):
    result = history.preview("0", wanted(history))
    assert result.edited is None and result.original is None
    assert history.changes("0", wanted(history)) == {}


def test_the_edit_is_made_once_for_all_images(history):
    first, second = (history.preview("0", wanted(history, out_channels=9), k) for k in (0, 5))
    assert first.edited is second.edited and second.index == 5
    assert history.preview("0", wanted(history), 10**6).index == 23
    for channels in range(7, 20):
        history.preview("0", wanted(history, out_channels=channels))
    assert len(history._previews) == 4, "only the last edits are kept"


def test_an_applied_edit_is_what_the_next_one_starts_from(history):
    before = weights(history.original.model)
    history.apply(history.preview("0", wanted(history, out_channels=9)))
    result = history.preview("0", wanted(history, kernel_size=5))
    assert result.before.model[0].out_channels == 9 and result.original is history.original
    assert result.after.model[0].kernel_size == (5, 5)
    assert same(before, weights(history.original.model))


def test_the_width_of_all_layers_is_one_edit(history):
    result = history.preview("0", wanted(history), width=2.0)
    assert result.edited.edit == (ALL_LAYERS, (("width_multiplier", 2.0),))
    assert result.after.model[0].out_channels == 16 and result.same_function
    assert result.edited is history.preview("0", wanted(history), 5, width=2.0).edited
    with pytest.raises(ImpossibleSetting, match="apply it first") as refused:
        history.preview("0", wanted(history, kernel_size=5), width=2.0)
    assert refused.value.nearest == {"width": 1.0}
    history.apply(result)
    result = history.preview("0", wanted(history, kernel_size=5))
    names: dict = {}
    exec(history.code(result), names)  # what the page shows makes the same network
    assert same(weights(names["model"]), weights(result.after.model))


def test_undo_and_redo_return_the_same_networks(history):
    assert not history.can_undo and not history.can_redo
    history.apply(history.preview("0", wanted(history, out_channels=9)))
    edited = history.current
    assert history.can_undo and not history.can_redo
    history.undo()
    assert history.current is history.original and history.can_redo and not history.can_undo
    history.redo()
    assert history.current is edited


def test_a_trained_copy_belongs_to_its_chain_of_edits(history):
    result = history.preview("0", wanted(history, out_channels=9))
    for edits, accuracy in zip(history.not_trained(result), (0.75, 0.5), strict=True):
        history.trained[edits] = BrieflyTrained(nn.Identity(), accuracy, 60)
    result = history.preview("0", wanted(history, out_channels=9))
    assert result.trained == (0.5, 0.75) and history.not_trained(result) == {}
    assert history.trained_copy(result).accuracy == 0.75
    assert history.preview("0", wanted(history, out_channels=10)).trained == (0.5, None)
    history.apply(result)
    result = history.preview("0", wanted(history))
    assert result.trained == (0.75, 0.75) and history.trained_copy(result).accuracy == 0.75


def test_the_code_makes_the_network_of_the_picture(history):
    names: dict = {}
    exec(history.code(history.preview("0", wanted(history))), names)
    assert names["model"][0].out_channels == 6, "no edit"
    history.apply(history.preview("0", wanted(history, out_channels=9)))
    history.apply(history.preview("0", wanted(history, padding="same", bias=False)))
    result = history.preview("0", wanted(history, kernel_size=5, padding_mode="reflect"))
    code = history.code(result)
    exec(code, names)
    assert same(weights(names["model"]), weights(result.after.model))
    assert code.count("edit_conv(") == 3 and code.count("example_input = ") == 1
    assert code.index("import") < code.index("model = toy_model()") < code.index("edit_conv(model")
    with torch.no_grad():
        images = history.original.held_out.images
        assert torch.allclose(names["model"].eval()(images), result.after.outputs(24), atol=1e-6)


def test_the_code_for_torchvisions_networks_imports_it_at_the_top():
    history = EditHistory(networks()["squeezenet1_1"], DATA)
    layer = next(iter(history.current.convs))
    code = history.code(history.preview(layer, wanted(history, layer, kernel_size=5)))
    assert code.splitlines()[:2] == ["import torch", "import torchvision"]
    exec(code, {})


def test_a_network_without_a_name_is_called_model():
    history = EditHistory(networks(toy_model())["yours"], DATA)
    code = history.code(history.preview("0", wanted(history)))
    assert "# model: the network that you gave" in code
