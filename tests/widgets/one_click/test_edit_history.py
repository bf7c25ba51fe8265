from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ImpossibleSetting
from course_utils.conv.edit.settings import simple_settings
from course_utils.core.errors import CourseError
from course_utils.widgets.one_click.brief_training import BrieflyTrained
from course_utils.widgets.one_click.edit_history import EditHistory
from course_utils.widgets.one_click.edit_result import FOLLOWS
from course_utils.widgets.one_click.networks import NetworkChoice, networks
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()


@pytest.fixture
def history() -> EditHistory:
    return EditHistory(
        NetworkChoice("toy", toy_model, "from tests.toys import toy_model", "model = toy_model()"),
        DATA,
    )


def wanted(history: EditHistory, layer: str = "0", **changes: object) -> dict:
    return simple_settings(history.current.convs[layer]) | {"padding": FOLLOWS} | changes


def test_the_settings_of_the_layer_itself_change_nothing(history):
    result = history.preview("0", wanted(history))
    assert (
        result.edited is None
        and result.original is None
        and history.changes("0", wanted(history)) == {}
    )


def test_the_edit_is_made_once_for_all_images(history):
    first, second = (history.preview("0", wanted(history, out_channels=9), k) for k in (0, 5))
    assert first.edited is second.edited and second.index == 5
    assert history.preview("0", wanted(history), 10**6).index == 23


def test_only_the_last_edits_are_kept(history):
    for channels in range(7, 20):
        history.preview("0", wanted(history, out_channels=channels))
    assert len(history._previews) == 4


def test_an_applied_edit_is_what_the_next_one_starts_from(history):
    before = weights(history.original.model)
    history.apply(history.preview("0", wanted(history, out_channels=9)))
    result = history.preview("0", wanted(history, kernel_size=5))
    assert result.before.model[0].out_channels == 9 and result.original is history.original
    assert result.after.model[0].kernel_size == (5, 5)
    assert same(before, weights(history.original.model))


def test_undo_and_redo_return_the_same_networks(history):
    history.apply(history.preview("0", wanted(history, out_channels=9)))
    edited = history.current
    assert history.can_undo and not history.can_redo
    history.undo()
    assert history.current is history.original and history.can_redo and not history.can_undo
    history.redo()
    assert history.current is edited


def test_nothing_to_undo_or_redo_is_an_error(history):
    with pytest.raises(CourseError, match="nothing to undo"):
        history.undo()
    with pytest.raises(CourseError, match="nothing to redo"):
        history.redo()


def test_an_impossible_setting_changes_nothing(history):
    with pytest.raises(ImpossibleSetting):
        history.preview("0", wanted(history, groups=2))
    assert history.preview("0", wanted(history)).edited is None


def test_a_trained_copy_belongs_to_its_chain_of_edits(history):
    result = history.preview("0", wanted(history, out_channels=9))
    edited, plain = history.not_trained(result)
    history.trained |= {
        edited: BrieflyTrained(nn.Identity(), 0.75, 60),
        plain: BrieflyTrained(nn.Identity(), 0.5, 60),
    }
    result = history.preview("0", wanted(history, out_channels=9))
    assert result.trained == (0.5, 0.75) and history.not_trained(result) == {}
    assert history.trained_copy(result).accuracy == 0.75
    assert history.preview("0", wanted(history, out_channels=10)).trained == (0.5, None)
    history.apply(result)
    result = history.preview("0", wanted(history))
    assert result.trained == (0.75, 0.75) and history.trained_copy(result).accuracy == 0.75


def test_the_code_makes_the_network_of_the_picture(history):
    history.apply(history.preview("0", wanted(history, out_channels=9)))
    history.apply(history.preview("0", wanted(history, padding="same", bias=False)))
    result = history.preview("0", wanted(history, kernel_size=5, padding_mode="reflect"))
    code = history.code(result)
    names: dict = {}
    exec(code, names)
    assert same(weights(names["model"]), weights(result.after.model))
    assert code.count("edit_conv(") == 3 and code.count("example_input = ") == 1
    assert code.index("import") < code.index("model = toy_model()") < code.index("edit_conv(model")
    with torch.no_grad():
        images = history.original.held_out.images
        assert torch.allclose(names["model"].eval()(images), result.after.outputs(24), atol=1e-6)


@pytest.mark.parametrize("edited", [False, True])
def test_the_code_of_one_edit_or_none_runs_too(history, edited):
    result = history.preview("0", wanted(history, **({"out_channels": 9} if edited else {})))
    names: dict = {}
    exec(history.code(result), names)
    assert names["model"][0].out_channels == (9 if edited else 6)


def test_the_code_for_torchvisions_networks_imports_it_at_the_top():
    network = networks()["squeezenet1_1"]
    history = EditHistory(network, DATA)
    layer = next(iter(history.current.convs))
    result = history.preview(layer, wanted(history, layer, kernel_size=5))
    lines = history.code(result).splitlines()
    assert lines[:2] == ["import torch", "import torchvision"]
    exec(history.code(result), {})


def test_a_network_without_a_name_is_called_model():
    history = EditHistory(networks(toy_model())["yours"], DATA)
    assert "# model: the network that you gave" in history.code(
        history.preview("0", wanted(history))
    )
