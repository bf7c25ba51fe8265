"""Initialise weights, and measure the effect on the signal in a deep stack of convolutions.

`initialise` draws new weights for any model by a named scheme. `signal_spread` sends real pictures
forward and a gradient backward through a deep stack and reports the spread (standard deviation) at
each layer.

Papers on the schemes, with n_in inputs of each output and n_out outputs of each input (for a
convolution: channels times kernel area) and the gain g of the activation (√2 for ReLU, 5/3 for
tanh):

- Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks";
- He et al. 2015, "Delving deep into rectifiers";
- Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear networks".
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from course_utils.core import CourseError, draw_default_weights, one_thread, power_of_ten

Model = TypeVar("Model", bound=nn.Module)

SCHEMES: dict[str, str] = {
    "default": "PyTorch's own: uniform, standard deviation √(1 / (3 n_in))",
    "zeros": "every weight 0",
    "normal 0.01": "normal, standard deviation 0.01",
    "normal 1": "normal, standard deviation 1",
    "xavier": "normal, standard deviation √(2 / (n_in + n_out))",
    "he": "normal, standard deviation g / √n_in (ReLU: √(2 / n_in))",
    "he read as variance": "normal, variance g / √n_in (ReLU: √(2 / n_in))",
    "orthogonal": "random orthogonal rows, times g",
}
"""Name of each scheme and, in a few words, what it draws."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
}
"""The activations of `signal_spread`, named as in `torch.nn.init.calculate_gain`."""

_GAINS = ("linear", *ACTIVATIONS, "selu")
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def initialise(model: Model, scheme: str, *, nonlinearity: str = "relu", seed: int) -> Model:
    """Draw new weights for all convolution and linear layers of `model`, in place.

    Biases become 0 (except for "default", where PyTorch draws them too). Normalisation layers are
    reset to weight 1, bias 0 and empty running statistics. Other layers do not change. The numbers
    depend on `seed` and on the order of the layers only, on every device; torch's global random
    numbers are not used.

    Args:
        scheme: one of `SCHEMES`.
        nonlinearity: the activation after the layers, which sets the gain of "he", "he read as
            variance" and "orthogonal": "relu", "leaky_relu" (slope 0.01), "tanh", "sigmoid",
            "selu" or "linear".

    Returns:
        The same model.

    Raises:
        CourseError: unknown scheme or nonlinearity, or a layer whose weight cannot be set because
            it is computed from others (pruning mask, weight norm) or has no shape yet.
    """
    if scheme not in SCHEMES:
        raise CourseError(f"There is no scheme {scheme!r}: choose one of {', '.join(SCHEMES)}.")
    if nonlinearity not in _GAINS:
        raise CourseError(
            f"There is no gain for {nonlinearity!r}: choose one of {', '.join(_GAINS)}."
        )
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, (_ConvNd, nn.Linear))]
    for name, layer in layers:
        if not isinstance(layer.weight, nn.Parameter):
            raise CourseError(
                f"The weight of layer {name!r} is computed from other tensors (a pruning mask or a"
                " parametrisation), so setting it would have no effect: remove that first."
            )
        if is_lazy(layer.weight):
            raise CourseError(
                f"Layer {name!r} has no shape yet: send one batch through the model first."
            )
    draw = _drawer(scheme, nonlinearity, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for _, layer in layers:
            draw(layer)
        for module in model.modules():
            if isinstance(module, _NORMS):
                module.reset_parameters()
    return model


def _drawer(scheme: str, nonlinearity: str, g: torch.Generator) -> Callable[[nn.Module], None]:
    """Return a function that fills the weight and the bias of one layer."""
    init = nn.init
    gain = init.calculate_gain(nonlinearity)

    def wrong_std(weight: Tensor) -> float:
        fan_in, _ = init._calculate_fan_in_and_fan_out(weight)
        return math.sqrt(gain / math.sqrt(fan_in))

    fill: dict[str, Callable[[Tensor], object]] = {
        "zeros": init.zeros_,
        "normal 0.01": lambda w: init.normal_(w, std=0.01, generator=g),
        "normal 1": lambda w: init.normal_(w, std=1.0, generator=g),
        "xavier": lambda w: init.xavier_normal_(w, generator=g),
        "he": lambda w: init.kaiming_normal_(w, 0.01, nonlinearity=nonlinearity, generator=g),
        "he read as variance": lambda w: init.normal_(w, std=wrong_std(w), generator=g),
        "orthogonal": lambda w: init.orthogonal_(w, gain=gain, generator=g),
    }

    def draw(layer: nn.Module) -> None:
        # Drawn on the CPU and copied: a seed leads to the same numbers on every device.
        weight = torch.empty(layer.weight.shape)
        bias = None if layer.bias is None else torch.zeros(layer.bias.shape)
        if scheme == "default":
            draw_default_weights(weight, bias, g)
        else:
            fill[scheme](weight)
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)

    return draw


@dataclass(frozen=True)
class SignalSpread:
    """The result of `signal_spread`; the lists have one number per layer, first layer first.

    Attributes:
        activation_std: standard deviation of the layer's output after the activation; the input has
            1. Numbers too large for float32 are `inf` or `nan`.
        gradient_std: the same for the gradient of the loss with respect to this output; the last
            layer has 1.
        verdict: both in words, rounded to one digit, or to a power of ten if far from 1.
    """

    scheme: str
    depth: int
    activation: str
    batch_norm: bool
    activation_std: list[float]
    gradient_std: list[float]
    verdict: str


@one_thread()
def signal_spread(
    scheme: str,
    depth: int,
    activation: str = "relu",
    batch_norm: bool = False,
    *,
    width: int = 64,
    images: Tensor,
    seed: int = 0,
) -> SignalSpread:
    """Measure the spread of signal and gradient in a stack of newly initialised convolutions.

    The stack repeats `depth` times: 3×3 convolution without bias, BatchNorm if wanted (Ioffe &
    Szegedy 2015), activation. Its input are the first 8 of `images`, averaged down to 8×8 pixels
    and standardised. Edges wrap around (circular padding), so that every output really has the n_in
    inputs that the schemes assume. The loss is a fixed random combination of the last outputs; its
    gradient there has a spread of 1. (With BatchNorm and ReLU the gradient grows by a factor of
    about 1.2 per layer on its way back, with every scheme: Yang et al. 2019, "A mean field theory
    of batch normalization".)

    Args:
        scheme: one of `SCHEMES`.
        activation: one of `ACTIVATIONS`; also sets the gain of the scheme.
        batch_norm: whether BatchNorm (with the batch's statistics) comes before each activation.
        width: channels of each layer.
        images: float pictures (N, C, H, W).
        seed: of weights and loss.

    Raises:
        CourseError: unknown scheme or activation, depth or width below 1, or pictures that are
            not a float tensor (N, C, H, W) with at least two different values.
    """
    if activation not in ACTIVATIONS:
        raise CourseError(
            f"There is no activation {activation!r}: choose one of {', '.join(ACTIVATIONS)}."
        )
    if depth < 1 or width < 1:
        raise CourseError(f"The stack needs at least 1 layer of width 1, not {depth} of {width}.")
    signal = _prepare(images)
    layers: list[nn.Sequential] = []
    for channels in [signal.shape[1]] + [width] * (depth - 1):
        # skip_init: the constructor would draw weights from torch's global random numbers.
        convolution = nn.utils.skip_init(
            nn.Conv2d, channels, width, 3, padding=1, padding_mode="circular", bias=False
        )
        norm = [nn.BatchNorm2d(width)] if batch_norm else []
        layers.append(nn.Sequential(convolution, *norm, ACTIVATIONS[activation]()))
    initialise(nn.Sequential(*layers), scheme, nonlinearity=activation, seed=seed)

    outputs: list[Tensor] = []
    with torch.enable_grad():
        for layer in layers:
            signal = layer(signal)
            signal.retain_grad()
            outputs.append(signal)
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(signal.shape, generator=generator)
        signal.backward(direction / direction.std())

    activation_std = [_spread(output.detach()) for output in outputs]
    gradient_std = [_spread(output.grad) for output in outputs]
    verdict = f"{_activations_in_words(activation_std)} {_gradients_in_words(gradient_std)}"
    setting = (scheme, depth, activation, batch_norm)
    return SignalSpread(*setting, activation_std, gradient_std, verdict)


def _prepare(images: Tensor) -> Tensor:
    if images.ndim != 4 or not images.is_floating_point() or 0 in images.shape:
        raise CourseError(
            "The pictures must be a float tensor of shape (N, C, H, W), not"
            f" {str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}."
        )
    small = images[:8].detach().to("cpu", torch.float32)
    small = nn.functional.interpolate(small, size=(8, 8), mode="area")
    spread = float(small.std())
    if not (0 < spread < math.inf):
        raise CourseError("The pictures have no spread (all pixels equal, inf or nan).")
    return (small - small.mean()) / spread


def _spread(values: Tensor) -> float:
    # In float64: squares of float32 numbers overflow long before the numbers themselves do.
    if bool(values.isnan().any()):
        return math.nan
    return math.inf if bool(values.isinf().any()) else float(values.double().std())


def _change(value: float) -> str:
    """Return the verb for a spread that was 1 at the start."""
    verbs = ("vanish", "shrink", "hold", "grow", "explode")
    return verbs[bisect.bisect_left((1e-3, 0.1, 10, 1e3), value)]


def _about(value: float) -> str:
    if value < 1e-30:
        return "less than 10⁻³⁰"
    if 1e-3 <= value < 1e3:
        return f"about {float(f'{value:.1g}'):g}"
    return f"about {power_of_ten(round(math.log10(value)))}"


def _activations_in_words(stds: list[float]) -> str:
    overflow = next((i for i, s in enumerate(stds, start=1) if not math.isfinite(s)), None)
    if overflow:
        return f"Activations explode: beyond float32's range (3·10³⁸) from layer {overflow} on."
    if stds[0] == 0:
        return "Activations are dead: no spread at all, already after layer 1."
    verb, last = _change(stds[-1]), len(stds)
    if verb == "hold":
        near = "is within a factor of ten of the input's"
        return f"Activations hold: the spread after layer {last} {near}."
    return f"Activations {verb}: spread 1 at the input, {_about(stds[-1])} after layer {last}."


def _gradients_in_words(stds: list[float]) -> str:
    last = len(stds)
    overflow = next((i for i in range(last, 0, -1) if not math.isfinite(stds[i - 1])), None)
    if overflow:
        return f"Gradients explode: beyond float32's range (3·10³⁸) from layer {overflow} down."
    if last == 1:
        return "With one layer there is no earlier layer for the gradient to reach."
    if stds[-2] == 0:
        return f"Gradients are dead: nothing reaches layer {last - 1} or any layer before it."
    verb = _change(stds[0])
    if verb == "hold":
        near = "is within a factor of ten of that"
        return f"Gradients hold: the spread at layer 1 {near} at layer {last}."
    return f"Gradients {verb}: spread 1 at layer {last}, {_about(stds[0])} at layer 1."
