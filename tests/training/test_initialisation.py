from __future__ import annotations

import copy
import itertools
import math
import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from course_utils.core import CourseError
from course_utils.training.initialisation import ACTIVATIONS, SCHEMES, initialise, signal_spread
from course_utils.training.precision import Precision


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Smooth blobs, like photographs: neighbouring pixels are alike."""
    noise = torch.rand(12, 1, 7, 7, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(noise, size=(28, 28), mode="bilinear")


def wide_model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(400, 300)
    )


# What the papers say the standard deviation of a weight is, from (n_in, n_out), for ReLU.
PAPERS = {
    "default": lambda i, o: 1 / math.sqrt(3 * i),
    "zeros": lambda i, o: 0.0,
    "normal 0.01": lambda i, o: 0.01,
    "normal 1": lambda i, o: 1.0,
    "xavier": lambda i, o: math.sqrt(2 / (i + o)),
    "he": lambda i, o: math.sqrt(2 / i),
    "he read as variance": lambda i, o: math.sqrt(math.sqrt(2 / i)),
    # Each of the 64 (300) rows has length √2; n_in numbers share it.
    "orthogonal": lambda i, o: math.sqrt(2 / i),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_have_the_spread_of_the_paper(scheme):
    model = initialise(wide_model(), scheme, seed=0)
    for layer, n_in, n_out in ((model[0], 16 * 9, 64 * 9), (model[4], 400, 300)):
        expected = PAPERS[scheme](n_in, n_out)
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.03)
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=0.05 * expected + 1e-9)


def test_default_is_exactly_what_the_constructors_do():
    """Same generator, same order: layer by layer, weight before bias."""
    torch.manual_seed(5)
    fresh = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(7, 4), nn.ConvTranspose2d(3, 5, 2))
    drawn = initialise(copy.deepcopy(fresh), "default", seed=5)
    for a, b in zip(fresh.parameters(), drawn.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("nonlinearity", ["relu", "leaky_relu", "tanh", "sigmoid", "selu"])
def test_gain_is_that_of_torch(nonlinearity):
    gain = nn.init.calculate_gain(nonlinearity)
    conv = nn.Conv2d(16, 64, 3)
    for scheme, std in (("he", gain / 12), ("he read as variance", math.sqrt(gain / 12))):
        initialise(conv, scheme, nonlinearity=nonlinearity, seed=0)
        assert float(conv.weight.detach().std()) == pytest.approx(std, rel=0.03)
    initialise(conv, "orthogonal", nonlinearity=nonlinearity, seed=0)
    rows = conv.weight.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, gain**2 * torch.eye(64), rtol=0, atol=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_seed_same_weights_and_the_global_generator_stays(scheme):
    models = [wide_model() for _ in range(3)]
    before = torch.get_rng_state()
    for model, seed in zip(models, (1, 1, 2), strict=True):
        assert initialise(model, scheme, seed=seed) is model
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(models[0][0].weight, models[1][0].weight)
    assert torch.equal(models[0][0].weight, models[2][0].weight) == (scheme == "zeros")


def test_biases_and_norms_are_reset_and_gradients_stay_on():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.PReLU())
    with torch.no_grad():
        for tensor in (*model.parameters(), model[1].running_mean, model[1].running_var):
            tensor.fill_(7.0)
    initialise(model, "he", seed=0)
    assert model[0].bias.eq(0).all()
    for norm in model[1:3]:
        assert norm.weight.eq(1).all() and norm.bias.eq(0).all()
    assert model[1].running_mean.eq(0).all() and model[1].running_var.eq(1).all()
    assert model[3].weight.eq(7).all(), "other layers do not change"
    assert all(p.requires_grad for p in model.parameters())


def test_an_unknown_name_or_a_weight_that_cannot_be_set():
    linear, pruned = nn.Linear(3, 3), nn.Conv2d(1, 4, 3)
    prune.identity(pruned, "weight")
    for words, layer, scheme, nonlinearity in (
        (r"'He'.*he read as variance", linear, "He", "relu"),
        (r"'swish'.*leaky_relu", linear, "he", "swish"),
        (r"'0'.*pruning mask", pruned, "he", "relu"),
        ("parametrisation", parametrizations.weight_norm(nn.Linear(3, 3)), "he", "relu"),
        ("shape yet", nn.LazyConv2d(4, 3), "he", "relu"),
    ):
        with pytest.raises(CourseError, match=words):
            initialise(nn.Sequential(layer), scheme, nonlinearity=nonlinearity, seed=0)


# The spread after 20 layers with ReLU, as a band of powers of ten: (activations, gradients).
TWENTY_LAYERS = {
    "default": ((-9, -7), (-9, -6)),
    "normal 0.01": ((-18, -15), (-16, -13)),
    "normal 1": ((22, 25), (22, 25)),
    "xavier": ((-5, -3), (-4, -2)),
    "he": ((-1, 1), (-1, 1)),
    "he read as variance": ((10, 13), (10, 13)),
    "orthogonal": ((-1, 1), (-1, 1)),
}


@pytest.mark.parametrize("scheme", TWENTY_LAYERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_layers_of_relu(scheme, seed, pictures):
    spread = signal_spread(scheme, 20, "relu", False, images=pictures, seed=seed)
    assert len(spread.activation_std) == len(spread.gradient_std) == 20
    (low, high), (gradient_low, gradient_high) = TWENTY_LAYERS[scheme]
    assert 10**low < spread.activation_std[-1] < 10**high
    assert 10**gradient_low < spread.gradient_std[0] < 10**gradient_high
    assert spread.gradient_std[-1] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("scheme", "activation", "batch_norm", "verdict"),
    [
        ("he", "relu", False, "Activations hold.* Gradients hold"),
        ("he read as variance", "relu", False, "Activations explode.*10¹.* Gradients explode"),
        ("default", "relu", False, "Activations vanish.*about 10⁻⁸.* Gradients vanish"),
        ("normal 1", "tanh", False, "Activations hold.* Gradients explode"),
        ("he", "sigmoid", False, "Gradients vanish"),
        ("zeros", "relu", False, "Activations are dead.* Gradients are dead.*layer 19"),
        ("zeros", "tanh", True, "Activations are dead.* Gradients are dead"),
        ("normal 0.01", "relu", True, "Activations hold.* Gradients grow.*about 40"),
    ],
)
def test_verdict(scheme, activation, batch_norm, verdict, pictures):
    spread = signal_spread(scheme, 20, activation, batch_norm, images=pictures)
    assert re.search(verdict, spread.verdict), spread.verdict


def test_a_number_near_one_is_not_rounded_to_a_power_of_ten(pictures):
    spread = signal_spread("default", 5, images=pictures)
    digit = f"{spread.activation_std[-1]:.1g}"
    assert f"Activations shrink: spread 1 at the input, about {digit} after" in spread.verdict


def test_overflow_and_underflow_are_described_in_words(pictures):
    spread = signal_spread("normal 1", 50, images=pictures)
    assert not math.isfinite(spread.activation_std[-1])
    assert "beyond float32's range" in spread.verdict
    first = sum(map(math.isfinite, spread.activation_std)) + 1
    assert f"from layer {first} on" in spread.verdict
    assert "less than 10⁻³⁰" in signal_spread("normal 0.01", 50, images=pictures).verdict


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_setting_gives_words_and_no_warning(activation, batch_norm, pictures):
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scheme, depth in itertools.product(SCHEMES, (1, 2)):
            spread = signal_spread(scheme, depth, activation, batch_norm, width=8, images=pictures)
            assert "nan" not in spread.verdict and spread.verdict.count(".") >= 2
    assert torch.equal(before, torch.get_rng_state())


def test_brightness_and_contrast_of_the_pictures_do_not_matter(pictures):
    one, other = (signal_spread("he", 5, images=p) for p in (pictures, pictures * 40 + 9))
    assert one.activation_std == pytest.approx(other.activation_std, rel=1e-3)
    assert one.verdict == other.verdict


RANDOM = torch.rand(2, 1, 8, 8)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("pictures", {"images": torch.zeros(2, 1, 8, 8)}),
        ("pictures", {"images": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)}),
        ("pictures", {"images": RANDOM[0]}),
        ("pictures", {"images": RANDOM[:0]}),
        ("pictures", {"images": RANDOM * math.nan}),
        ("at least 1 layer", {"depth": 0}),
        (r"'swish'.*leaky_relu", {"activation": "swish"}),
        ("no scheme", {"scheme": "kaiming"}),
    ],
)
def test_what_has_no_spread(words, arguments):
    with pytest.raises(CourseError, match=words):
        signal_spread(**{"scheme": "he", "depth": 2, "images": RANDOM} | arguments)


def test_works_where_gradients_are_switched_off_and_restores_the_number_of_threads(pictures):
    with Precision(threads=2).with_threads(), torch.no_grad():
        assert signal_spread("he", 2, images=pictures).gradient_std[0] > 0
        assert torch.get_num_threads() == 2
