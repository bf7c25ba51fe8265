from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.conv import INITIALISATIONS, ConvSettings, ImpossibleSetting, build_and_run


def picture(channels: int = 1, size: int = 28) -> torch.Tensor:
    return torch.rand(channels, size, size, generator=torch.Generator().manual_seed(0))


def trained(*arguments, seed: int = 1, **keywords) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Conv2d(*arguments, **keywords)


def maps_of(layer: nn.Conv2d, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return layer(image)


def test_result_of_the_first_layer():
    result = build_and_run(ConvSettings(), picture())
    assert result.shape == (16, 28, 28) and result.weight.shape == (16, 1, 3, 3)
    assert result.formula == "⌊(28 + 2·1 − 1·(3 − 1) − 1) / 1⌋ + 1 = 28"
    assert (result.parameters, result.multiply_adds) == (160, 16 * 9 * 28 * 28)
    assert str(result.receptive_field) == "3×3" and result.trained_kernels_kept == 0
    assert torch.equal(result.maps, maps_of(result.layer, picture()))


def test_default_weights_are_pytorchs_own_and_its_random_state_stays():
    before = torch.get_rng_state()
    result = build_and_run(ConvSettings(), picture(), seed=5)
    assert torch.equal(before, torch.get_rng_state())
    layer = trained(1, 16, 3, seed=5)
    assert torch.equal(result.weight, layer.weight) and torch.equal(result.layer.bias, layer.bias)


@pytest.mark.parametrize("scheme", INITIALISATIONS)
def test_initialisations_are_seeded(scheme):
    setting = ConvSettings(4, 64, 3, groups=2, initialisation=scheme)
    first, again, other = (build_and_run(setting, picture(4), seed=s) for s in (0, 0, 1))
    assert torch.equal(first.maps, again.maps)
    assert torch.equal(first.maps, other.maps) == (scheme in ("zeros", "mean", "identity"))
    n_in, n_out = 2 * 9, 64 * 9
    variances = {"default": 1 / 3 / n_in, "he": 2 / n_in, "xavier": 2 / (n_in + n_out)}
    if scheme != "identity":
        deviation = variances.get(scheme, 0) ** 0.5
        assert first.weight.std().item() == pytest.approx(deviation, rel=0.1, abs=1e-8)


def test_mean_and_identity():
    image = picture(3)
    mean = build_and_run(ConvSettings(3, 1, 1, padding=0, initialisation="mean"), image)
    assert torch.allclose(mean.maps[0], image.mean(0), atol=1e-6)
    same = build_and_run(ConvSettings(3, 3, 5, padding=2, initialisation="identity"), image)
    assert torch.allclose(same.maps, image)


def test_impossible_settings_and_too_many_channels():
    for wrong, nearest in (
        ({"initialisation": "lecun"}, {"initialisation": "default"}),
        ({"in_channels": 3}, {"in_channels": 1}),
    ):
        with pytest.raises(ImpossibleSetting) as caught:
            build_and_run(ConvSettings(**wrong), picture())
        assert caught.value.nearest == nearest
    result = build_and_run(ConvSettings(in_channels=2), picture(3))
    assert torch.equal(result.input, picture(3)[:2])


def test_the_trained_layer_itself_and_its_bias():
    layer, image = trained(3, 8, 3, padding=1), picture(3)
    result = build_and_run(ConvSettings(3, 8), image, layer)
    assert torch.equal(result.maps, maps_of(layer, image)) and result.trained_kernels_kept == 8
    assert not result.maps.requires_grad and not result.weight.requires_grad
    result.weight.zero_()
    assert layer.weight.abs().min() > 0  # a copy, not the layer's own
    assert build_and_run(ConvSettings(3, 8, bias=False), image, layer).layer.bias is None
    layer.bias = None
    assert build_and_run(ConvSettings(3, 8), image, layer).layer.bias.tolist() == [0] * 8


def test_a_larger_kernel_gives_the_same_maps():
    layer, image = trained(1, 4, 3, padding="same"), picture()
    for size in (4, 5, (3, 7), 9):
        result = build_and_run(ConvSettings(1, 4, size, padding="same"), image, layer)
        assert torch.allclose(result.maps, maps_of(layer, image), atol=1e-6)
        assert result.trained_kernels_kept == 4


def test_a_smaller_kernel_is_cut_out_of_the_middle():
    layer = trained(1, 4, 5)
    result = build_and_run(ConvSettings(1, 4, 3), picture(), layer)
    assert torch.equal(result.weight, layer.weight[:, :, 1:4, 1:4])
    assert result.trained_kernels_kept == 0
    mixed = build_and_run(ConvSettings(1, 4, (7, 1)), picture(), layer)
    assert torch.equal(mixed.weight[:, :, 1:6], layer.weight[:, :, :, 2:3])


def test_more_kernels_and_channels_and_fewer():
    layer, image = trained(2, 4, 3), picture(3)
    more = build_and_run(ConvSettings(3, 6), image, layer, seed=3)
    fresh = build_and_run(ConvSettings(3, 6), image, seed=3)
    assert torch.equal(more.weight[:4, :2], layer.weight) and more.trained_kernels_kept == 4
    assert torch.equal(more.weight[4:], fresh.weight[4:])
    assert torch.equal(more.weight[:, 2:], fresh.weight[:, 2:])
    assert torch.equal(more.layer.bias[4:], fresh.layer.bias[4:])
    fewer = build_and_run(ConvSettings(2, 2), image, layer)
    assert torch.equal(fewer.weight, layer.weight[:2]) and fewer.trained_kernels_kept == 2
    narrow = build_and_run(ConvSettings(1, 4), image, layer)
    assert torch.equal(narrow.weight, layer.weight[:, :1]) and narrow.trained_kernels_kept == 0


def test_groups_keep_their_block_and_one_group_the_function():
    layer, image = trained(4, 6, 3, padding=1), picture(4)
    halves = build_and_run(ConvSettings(4, 6, groups=2), image, layer)
    assert torch.equal(halves.weight[:3], layer.weight[:3, :2])
    assert torch.equal(halves.weight[3:], layer.weight[3:, 2:])
    assert halves.trained_kernels_kept == 0
    grouped = trained(4, 6, 3, padding=1, groups=2)
    whole = build_and_run(ConvSettings(4, 6), image, grouped)
    assert torch.allclose(whole.maps, maps_of(grouped, image), atol=1e-6)
    assert whole.trained_kernels_kept == 6


@settings(max_examples=60, derandomize=True)
@given(
    st.builds(
        ConvSettings,
        in_channels=st.integers(0, 5),
        out_channels=st.integers(0, 9),
        kernel_size=st.integers(0, 9),
        stride=st.integers(0, 3),
        padding=st.one_of(st.integers(-1, 9), st.sampled_from(["same", "valid"])),
        dilation=st.integers(0, 3),
        groups=st.integers(0, 5),
        bias=st.booleans(),
        padding_mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
        initialisation=st.sampled_from(INITIALISATIONS),
    ),
    st.sampled_from([None, (1, 6, 3, 1), (4, 6, 5, 2), (3, 9, 2, 3)]),
)
def test_any_setting_gives_maps_or_a_way_out(setting, old):
    layer = old and trained(*old[:3], groups=old[3])
    try:
        result = build_and_run(setting, picture(4, 8), layer)
    except ImpossibleSetting as error:
        setting = replace(setting, **error.nearest)
        result = build_and_run(setting, picture(4, 8), layer)
    assert result.shape == tuple(result.maps.shape) and result.maps.isfinite().all()
    assert result.parameters == sum(p.numel() for p in result.layer.parameters())
    assert 0 <= result.trained_kernels_kept <= setting.out_channels
