"""Trained networks: those of the course, EfficientNet-Lite0, and those of torchvision and timm.

`load_pretrained("first_cnn")` returns the network of notebook 02_2, for panels and cells that need
trained kernels at once. `python -m course_utils.experiments.first_cnn` trains it again.
`load_pretrained("small_resnet")` returns the residual network of chapter 4, which
`python -m course_utils.experiments.small_resnet` trains again.
`load_pretrained("ladder_first")` and `("ladder_top")` return the first and the top network of the
case study, which `python -m course_utils.experiments.ladder --seeds 0 --ship` trains again.
`load_pretrained("efficientnet_lite0")` returns a network that knows the 1,000 classes of ImageNet.
All five work without a network connection.
"""

from __future__ import annotations

import difflib
import weakref
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from course_utils.core import (
    CourseError,
    load_checkpoint,
    load_weights,
    private_random_numbers,
    save_checkpoint,
)
from course_utils.models import imagenet
from course_utils.models.card import Card, CourseCard
from course_utils.models.imagenet import LITE0, TIMM
from course_utils.models.residual import SmallResNet
from course_utils.models.simple import SimpleCNN
from course_utils.models.staged import StagedCNN

_CLASSES = {
    "first_cnn": SimpleCNN,
    "small_resnet": SmallResNet,
    "ladder_first": StagedCNN,
    "ladder_top": StagedCNN,
}
_COMMANDS = dict.fromkeys(("ladder_first", "ladder_top"), "ladder --seeds 0 --ship")
NAMES = tuple(_CLASSES)
"""Names of the networks that the course trained."""

# A network that is edited, copied or saved is another object, so it has no entry.
_loaded: weakref.WeakKeyDictionary[nn.Module, tuple[str, str | None]] = weakref.WeakKeyDictionary()

_ASSETS = Path(__file__).parents[1] / "assets"
_NEEDED = {
    **dict.fromkeys(("model", "arguments", "recipe"), dict),
    **{"data": str, "classes": list, "mean": Tensor, "std": Tensor, "correct": int, "total": int},
}


def load_pretrained(name: str = "first_cnn", *, weights: str | None = None) -> nn.Module:
    """Return a trained network, in eval mode, on the CPU; each call makes a new one.

    Args:
        name: "first_cnn", "small_resnet", "ladder_first" or "ladder_top" (of the course),
            "efficientnet_lite0" (installed with it), a name of torchvision such as "resnet50", or
            "timm/" and a name of timm. The weights of the last two are downloaded once, and then
            come from their cache.
        weights: Which weights of torchvision, such as "IMAGENET1K_V1"; None for the best.

    Raises:
        CourseError: If there is no such network, its file is damaged or cannot be downloaded, or
            timm is not installed.
    """
    kind = _kind(name, weights)
    if kind == "timm":
        model = imagenet.load_timm(name)
    elif kind == "torchvision":
        model = imagenet.load_torchvision(name, weights)
    elif kind == LITE0:
        model = imagenet.load_lite0()
    else:
        model = _load_own(name)
    _loaded[model] = name, weights
    return model.eval()


def card_of(model: nn.Module) -> Card | None:
    """Return the card of a network that `load_pretrained` returned; None for any other network.

    A copy is another network.
    """
    loaded = _loaded.get(model)
    return None if loaded is None else pretrained_card(loaded[0], weights=loaded[1])


def pretrained_card(name: str = "first_cnn", *, weights: str | None = None) -> Card:
    """Return facts about a trained network: classes, size and normalisation of its pictures.

    For a network of the course it is a `CourseCard`, which knows accuracy and recipe as well.

    Args:
        name, weights: As for `load_pretrained`. Nothing is downloaded.

    Raises:
        CourseError: If there is no such network, or the course's file is damaged.
    """
    kind = _kind(name, weights)
    if kind == "timm":
        return imagenet.timm_card(name)
    if kind == "torchvision":
        return imagenet.torchvision_card(name, weights)
    if kind == LITE0:
        return imagenet.lite0_card()
    read = _read(name)
    content = {key: read[key] for key in _NEEDED if key != "model"}
    sides = read["arguments"].get("image_size", 28)
    size = sides if isinstance(sides, int) else max(sides)
    content |= {"classes": tuple(read["classes"]), "size": size, "resize": size}
    return CourseCard(name=name, **content)


def save_pretrained(name: str, content: dict[str, Any]) -> None:
    """Write the file that `load_pretrained` and `pretrained_card` read, in place of the old one.

    Raises:
        CourseError: If the course has no network of this name, or the file cannot be written.
    """
    save_checkpoint(_path(name), content)


def _kind(name: str, weights: str | None) -> str:
    """Return where a network comes from: "course", LITE0, "torchvision" or "timm"."""
    if name in NAMES or name == LITE0:
        kind = LITE0 if name == LITE0 else "course"
    elif isinstance(name, str) and name.startswith(TIMM):
        kind = "timm"
    elif name in (known := imagenet.torchvision_names()):
        return "torchvision"
    else:
        close = difflib.get_close_matches(str(name).lower(), [*NAMES, LITE0, *known])
        similar = f"did you mean {' or '.join(map(repr, close))}? Or take" if close else "take"
        raise CourseError(
            f"There is no trained network {name!r}: {similar} {', '.join(map(repr, NAMES))}, "
            f"{LITE0!r}, a name of torchvision such as 'resnet50', or 'timm/...'."
        )
    if weights is not None:
        raise CourseError(
            f"weights={weights!r}: only torchvision's networks have a choice of weights, and "
            f"{name!r} is not one of them; leave weights out."
        )
    return kind


def _load_own(name: str) -> nn.Module:
    content = _read(name)
    try:
        with private_random_numbers():
            model = _CLASSES[name](**content["arguments"])
    except TypeError as error:
        raise CourseError(
            f"{_path(name)} is of another kind of network: {_remedy(name)}."
        ) from error
    load_weights(model, content["model"], _path(name), f"To correct this, {_remedy(name)}.")
    return model


def _path(name: str) -> Path:
    if name not in NAMES:
        raise CourseError(f"The course trains {' and '.join(NAMES)}, not {name!r}.")
    return _ASSETS / f"{name}.pt"


def _read(name: str) -> dict[str, Any]:
    return load_checkpoint(_path(name), _NEEDED, remedy=_remedy(name))


def _remedy(name: str) -> str:
    return (
        "install the course again, or train the network again with "
        f"python -m course_utils.experiments.{_COMMANDS.get(name, name)}"
    )
