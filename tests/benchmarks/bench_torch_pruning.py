"""Time to halve one convolution, trace included, beside the same with torch-pruning.

torch-pruning (Fang et al. 2023, "DepGraph: Towards any structural pruning") is not a dependency of
the course. Where it is not installed, the benchmark says so and ends well:

    python -m tests.benchmarks.bench_torch_pruning --rounds 5 --models "resnet50|densenet121"

Both start from the same network and the same picture, keep the channels with the largest l1 norms,
and take turns, with one thread; the processor time counts. `edit_conv` leaves the network as it is,
and checks that the new one runs. torch-pruning changes a network in place and does not check it; so
the copy that it needs for the same result is a part of its time. It is printed without it, too.
"""

from __future__ import annotations

import argparse
import copy
import re
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torchvision import models

from course_utils.conv import edit_conv
from tests.benchmarks.report import verdict

LAYERS = {
    "resnet50": "layer3.2.conv2",
    "mobilenet_v3_large": "features.7.block.0.0",
    "densenet121": "features.denseblock3.denselayer12.conv2",
}
LIMIT = 1.0  # of the time of torch-pruning


def by_us(model: nn.Module, name: str, picture: Tensor) -> nn.Module:
    """Return a copy in which a convolution has half of its channels."""
    half = model.get_submodule(name).out_channels // 2
    return edit_conv(model, name, example_input=picture, out_channels=half)


def by_torch_pruning(model: nn.Module, name: str, picture: Tensor) -> nn.Module:
    """Halve the channels of a convolution in place; return the network."""
    import torch_pruning as tp

    conv = model.get_submodule(name)
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=picture)
    every = list(range(conv.out_channels))
    group = graph.get_pruning_group(conv, tp.prune_conv_out_channels, idxs=every)
    scores = tp.importance.GroupMagnitudeImportance(p=1)(group)
    least = scores.argsort()[: conv.out_channels // 2].tolist()
    graph.get_pruning_group(conv, tp.prune_conv_out_channels, idxs=least).prune()
    return model


def seconds_of(action: Callable[[], nn.Module]) -> tuple[float, nn.Module]:
    """Return the processor seconds of an action, and its network."""
    began = time.process_time()
    result = action()
    return time.process_time() - began, result


def compare(name: str, rounds: int) -> int:
    """Print the medians for one network; return the exit status.

    Raises:
        RuntimeError: the two do not make networks of the same shapes.
    """
    torch.manual_seed(0)
    model, layer = models.get_model(name, weights=None).eval(), LAYERS[name]
    picture = torch.zeros(1, 3, 224, 224)
    ours, theirs, copies = [], [], []
    for number in range(rounds + 1):
        copy_seconds, copied = seconds_of(lambda: copy.deepcopy(model))
        our_seconds, our_model = seconds_of(lambda: by_us(model, layer, picture))
        their_seconds, their_model = seconds_of(
            lambda copied=copied: by_torch_pruning(copied, layer, picture)
        )
        if number:  # the first round imports and fills caches
            ours.append(our_seconds)
            theirs.append(their_seconds + copy_seconds)
            copies.append(copy_seconds)
    shapes = [[p.shape for p in one.parameters()] for one in (our_model, their_model)]
    if shapes[0] != shapes[1]:
        raise RuntimeError(f"{name}: torch-pruning changed other sizes than edit_conv")
    medians = statistics.median(ours), statistics.median(theirs)
    figures = f"{1000 * medians[0]:.0f} ms, torch-pruning {1000 * medians[1]:.0f} ms"
    figures += f" (without its copy {1000 * (medians[1] - statistics.median(copies)):.0f})"
    return verdict(f"halve {name}", figures, [("ratio", medians[0] / medians[1], LIMIT)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each one halves")
    parser.add_argument("--models", default=".", help="a regular expression")
    options = parser.parse_args(arguments)
    if find_spec("torch_pruning") is None:
        print(f"{'halve a layer':<52}not measured: torch_pruning is not installed")
        return 0
    torch.set_num_threads(1)
    names = [name for name in LAYERS if re.search(options.models, name)]
    return max((compare(name, options.rounds) for name in names), default=0)


if __name__ == "__main__":
    sys.exit(main())
