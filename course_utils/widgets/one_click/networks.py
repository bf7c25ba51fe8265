"""The networks that the one-click lab offers: yours, and some of the course and torchvision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from course_utils.core import CourseError, check_network, private_random_numbers
from course_utils.widgets import first_layer

YOURS = "yours"
"""The name of a network that is given without a name."""


@dataclass(frozen=True)
class NetworkChoice:
    """A network in the list of the lab."""

    label: str
    make: Callable[[], nn.Module]
    imports: str = ""  # Python code that makes the network; "" if that is not known
    line: str = ""


def networks(
    model: nn.Module | None = None, models: Mapping[str, nn.Module] | None = None
) -> dict[str, NetworkChoice]:
    """Return all networks by name: the reader's `model` and `models` first.

    Raises:
        CourseError: one of them is not an `nn.Module`.
    """
    given = ({} if model is None else {YOURS: model}) | dict(models or {})
    for name, one in given.items():
        try:
            check_network(one)
        except CourseError as error:
            raise CourseError(f"{name!r}: {error}") from None
    own = {name: _own(name, one) for name, one in given.items()}
    offered = {name: one for name, one in _ALWAYS.items() if name not in own}
    if not first_layer.is_offered():
        offered.pop("efficientnet_lite0", None)
    return own | offered


def _own(name: str, model: nn.Module) -> NetworkChoice:
    kind = type(model).__name__
    line = f"model = {name}" if name.isidentifier() and name not in (YOURS, "model") else ""
    return NetworkChoice(f"{name}: {kind}", lambda: model, line=line)


def _pretrained(name: str, title: str) -> NetworkChoice:
    def make() -> nn.Module:
        from course_utils.models import load_pretrained

        return load_pretrained(name)

    imports = "from course_utils.models import load_pretrained"
    return NetworkChoice(f"{title}, trained", make, imports, f'model = load_pretrained("{name}")')


def _torchvision(name: str, title: str) -> NetworkChoice:
    def make() -> nn.Module:
        import torchvision

        with private_random_numbers():
            torch.manual_seed(0)
            return getattr(torchvision.models, name)()

    line = f"model = torchvision.models.{name}()"
    return NetworkChoice(f"{title}, random", make, "import torchvision", line)


_ALWAYS = {
    "first_cnn": _pretrained("first_cnn", "first_cnn"),
    "resnet18": _torchvision("resnet18", "ResNet-18"),
    "squeezenet1_1": _torchvision("squeezenet1_1", "SqueezeNet"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small", "MobileNet"),
    "efficientnet_lite0": _pretrained("efficientnet_lite0", "EfficientNet-Lite0"),
}
