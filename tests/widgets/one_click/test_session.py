from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ImpossibleSetting
from course_utils.conv.edit.settings import simple_settings
from course_utils.core.errors import CourseError
from course_utils.core.runtime import one_thread
from course_utils.widgets.one_click.look import FOLLOWS, Trained
from course_utils.widgets.one_click.networks import Network, networks
from course_utils.widgets.one_click.session import Session
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()


@pytest.fixture(autouse=True)
def quietly():
    with one_thread():
        yield


@pytest.fixture
def session() -> Session:
    return Session(
        Network("toy", toy_model, "from tests.toys import toy_model", "model = toy_model()"), DATA
    )


def wanted(session: Session, layer: str = "0", **changes: object) -> dict:
    return simple_settings(session.bench.convs[layer]) | {"padding": FOLLOWS} | changes


def test_a_look_at_what_the_layer_has_changes_nothing(session):
    look = session.look("0", wanted(session))
    assert (
        look.edited is None and look.first is None and session.changes("0", wanted(session)) == {}
    )


def test_the_edit_is_made_once_however_many_pictures_are_looked_at(session):
    first, second = (session.look("0", wanted(session, out_channels=9), k) for k in (0, 5))
    assert first.edited is second.edited and second.index == 5
    assert session.look("0", wanted(session), 10**6).index == 23


def test_only_the_last_edits_are_kept(session):
    for channels in range(7, 20):
        session.look("0", wanted(session, out_channels=channels))
    assert len(session._edited) == 4


def test_an_applied_edit_is_what_the_next_one_starts_from(session):
    before = weights(session.first.model)
    session.apply(session.look("0", wanted(session, out_channels=9)))
    look = session.look("0", wanted(session, kernel_size=5))
    assert look.before.model[0].out_channels == 9 and look.first is session.first
    assert look.after.model[0].kernel_size == (5, 5)
    assert same(before, weights(session.first.model))


def test_undo_and_redo_give_the_very_networks(session):
    session.apply(session.look("0", wanted(session, out_channels=9)))
    edited = session.bench
    assert session.can_undo and not session.can_redo
    session.undo()
    assert session.bench is session.first and session.can_redo and not session.can_undo
    session.redo()
    assert session.bench is edited


def test_nothing_to_undo_or_redo_is_said(session):
    with pytest.raises(CourseError, match="nothing to undo"):
        session.undo()
    with pytest.raises(CourseError, match="nothing to redo"):
        session.redo()


def test_an_impossible_setting_leaves_all_as_it_was(session):
    with pytest.raises(ImpossibleSetting):
        session.look("0", wanted(session, groups=2))
    assert session.look("0", wanted(session)).edited is None


def test_a_trained_copy_belongs_to_its_chain_of_edits(session):
    look = session.look("0", wanted(session, out_channels=9))
    edited, plain = session.to_train(look)
    session.trainings |= {
        edited: Trained(nn.Identity(), 0.75, 60),
        plain: Trained(nn.Identity(), 0.5, 60),
    }
    look = session.look("0", wanted(session, out_channels=9))
    assert look.trained == (0.5, 0.75) and session.to_train(look) == {}
    assert session.trained(look).accuracy == 0.75
    assert session.look("0", wanted(session, out_channels=10)).trained == (0.5, None)
    session.apply(look)
    look = session.look("0", wanted(session))
    assert look.trained == (0.75, 0.75) and session.trained(look).accuracy == 0.75


def test_the_code_gives_the_network_of_the_picture(session):
    session.apply(session.look("0", wanted(session, out_channels=9)))
    session.apply(session.look("0", wanted(session, padding="same", bias=False)))
    look = session.look("0", wanted(session, kernel_size=5, padding_mode="reflect"))
    code = session.code(look)
    names: dict = {}
    exec(code, names)
    assert same(weights(names["model"]), weights(look.after.model))
    assert code.count("edit_conv(") == 3 and code.count("example_input = ") == 1
    assert code.index("import") < code.index("model = toy_model()") < code.index("edit_conv(model")
    with torch.no_grad():
        images = session.first.held_out.images
        assert torch.allclose(names["model"].eval()(images), look.after.outputs(24), atol=1e-6)


@pytest.mark.parametrize("edited", [False, True])
def test_the_code_of_one_edit_or_none_runs_too(session, edited):
    look = session.look("0", wanted(session, **({"out_channels": 9} if edited else {})))
    names: dict = {}
    exec(session.code(look), names)
    assert names["model"][0].out_channels == (9 if edited else 6)


def test_the_code_for_torchvisions_networks_imports_it_at_the_top():
    network = networks()["squeezenet1_1"]
    session = Session(network, DATA)
    layer = next(iter(session.bench.convs))
    look = session.look(layer, wanted(session, layer, kernel_size=5))
    lines = session.code(look).splitlines()
    assert lines[:2] == ["import torch", "import torchvision"]
    exec(session.code(look), {})


def test_a_network_without_a_name_is_called_model():
    session = Session(networks(toy_model())["yours"], DATA)
    assert "# model: the network that you gave" in session.code(session.look("0", wanted(session)))
