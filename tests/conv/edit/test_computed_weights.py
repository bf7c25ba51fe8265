"""Layers whose weight is computed: by a hook, a pruning mask, fake quantization."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune  # noqa: F401 (advice names them)

from course_utils.conv import EditError, edit_conv
from tests.conv.edit.small_networks import difference

PICTURES = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))


def pruned(conv: nn.Conv2d, *parts: str) -> nn.Conv2d:
    for part in parts:
        prune.random_unstructured(conv, part, 0.3)
    return conv


KINDS = {
    "weight_norm": nn.utils.weight_norm,
    "one norm": lambda conv: nn.utils.weight_norm(conv, dim=None),
    "spectral_norm": nn.utils.spectral_norm,
    "pruned": lambda conv: pruned(conv, "weight"),
    "pruned twice": lambda conv: pruned(conv, "weight", "weight"),
    "pruned bias": lambda conv: pruned(conv, "bias"),
    "new weight_norm": parametrizations.weight_norm,
    "new spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
}


@pytest.fixture(params=list(KINDS))
def model(request) -> nn.Module:
    torch.manual_seed(0)
    first = KINDS[request.param](nn.Conv2d(3, 8, 3, padding=1))
    model = nn.Sequential(first, nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1)).eval()
    model(PICTURES)  # with gradients
    return model


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize(
    "changes", [{"stride": 2}, {"padding": 0, "dilation": 2}, {"padding_mode": "circular"}]
)
def test_what_needs_no_other_weight_can_be_edited(model, changes):
    edited = edit_conv(model, "0", example_input=PICTURES, **changes)
    plain = nn.Conv2d(3, 8, 3, **{"padding": 1} | changes)
    plain.weight, plain.bias = (nn.Parameter(getattr(model[0], n)) for n in ("weight", "bias"))
    assert torch.allclose(edited[0](PICTURES), plain(PICTURES), atol=1e-6)
    edited(PICTURES).sum().backward()
    assert all(p.grad is not None for p in edited.parameters())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("changes", [{"out_channels": 16}, {"kernel_size": 5}])
def test_the_advice_makes_any_other_edit_possible(model, changes):
    with pytest.raises(EditError, match="is computed") as caught:
        edit_conv(model, "0", example_input=PICTURES, **changes)
    advice = str(caught.value).partition("Remove that first: ")[2].removesuffix(".")
    exec(advice, {"torch": torch, "model": model})
    edited = edit_conv(model, "0", example_input=PICTURES, **changes)
    assert difference(model, edited, PICTURES) < 1e-5


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("backend", ["fbgemm", "qnnpack"])
def test_layers_of_quantization_aware_training_are_followed(backend):
    from torch.ao.nn import qat
    from torch.ao.quantization import get_default_qat_qconfig

    config = get_default_qat_qconfig(backend)
    layers = qat.Conv2d(3, 8, 3, qconfig=config), nn.ReLU(), qat.Conv2d(8, 4, 1, qconfig=config)
    model = nn.Sequential(*layers)
    model(PICTURES)
    edited = edit_conv(model.eval(), "0", example_input=PICTURES, out_channels=16)
    assert edited[2].in_channels == 16
    assert difference(model, edited, PICTURES) < 0.05  # eight bits round otherwise
