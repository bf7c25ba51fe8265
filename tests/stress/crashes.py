"""Train random small networks, each in a process of its own, and count those that die.

    python -m tests.stress.crashes --networks 1000

Convolutions of a library may write behind their memory. There is no exception then: the kernel is
gone. This command looks for that among all settings that the course's sliders reach. It trains each
network with `fit`, three steps in each number format, memory layout and number of threads that
`fit` may choose, under three instruction sets of the processor. Every fourth network is a
`SimpleCNN` after some edits by `edit_conv`. The command prints a line for each network that died,
and the counts; its exit status is 1 if one died. `--without-rule` takes channels_last for all
networks, to show that `Precision.safe_for` is needed. It needs a system that can fork.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import signal
import subprocess
import sys
import warnings
from collections import Counter

import torch
from torch import Tensor, nn

from course_utils.conv import edit_conv
from course_utils.core import CourseError
from course_utils.data import Dataset, ImageSet
from course_utils.models import SimpleCNN
from course_utils.training import Precision, fit

INSTRUCTION_SETS = {
    "default": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
}
STEPS = 3
CLASSES = 10
MOST_COST = 3e7
"""Multiply-adds of a forward pass; a costlier network gets fewer pictures."""
SECONDS = 300
"""A network that takes longer counts as one that hangs."""


def random_network(seed: int) -> tuple[nn.Module, Tensor]:
    """Return a network and its pictures, float32 (N, C, H, W); both depend only on `seed`."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    channels, size = draw.choice([1, 3, draw.randint(1, 64)]), draw.choice([7, 8, 12, 16, 28, 32])
    batch = draw.choice([1, 2, 3, 8, 16, 64])
    picture = torch.zeros(1, channels, size, size)
    make = _edited if seed % 4 == 3 else _layers
    model = make(draw, picture, norm=batch > 1)
    cost = _cost(model, picture)
    batch = max(min(batch, int(MOST_COST / cost)), min(batch, 2))
    return model, torch.rand(batch, channels, size, size)


def _layers(draw: random.Random, picture: Tensor, norm: bool) -> nn.Module:
    """Return one to three convolutions with all settings of `nn.Conv2d`, and what is between."""
    layers: list[nn.Module] = []
    channels = picture.shape[1]
    for _ in range(draw.randint(1, 3)):
        width = draw.choice([draw.randint(1, 8), draw.randint(1, 64)])
        groups = draw.choice([1, 1, 1, channels, 2, 4])
        groups = 1 if channels % groups else groups
        width = groups * max(1, width // groups)
        conv = nn.Conv2d(
            channels,
            width,
            draw.choice([1, 1, draw.randint(1, 7), (draw.randint(1, 7), draw.randint(1, 7))]),
            stride=draw.choice([1, 2, 3, (1, 2), (3, 1)]),
            padding=draw.choice([0, 0, 1, 2, 3]),
            dilation=draw.choice([1, 1, 2, 3]),
            groups=groups,
            bias=draw.random() < 0.7,
        )
        after = [nn.BatchNorm2d(width)] if norm and draw.random() < 0.5 else []
        pools = [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1)]
        after += [nn.ReLU(), draw.choice([nn.Identity(), nn.Identity(), *pools])]
        try:
            nn.Sequential(*layers, conv, *after).eval()(picture)
        except RuntimeError:  # a map that is smaller than the kernel
            continue
        layers, channels = [*layers, conv, *after], width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)
    )


def _edited(draw: random.Random, picture: Tensor, norm: bool) -> nn.Module:
    """Return a `SimpleCNN` after up to four edits of its convolutions."""
    widths = draw.randint(1, 64), draw.randint(1, 64)
    model: nn.Module = SimpleCNN(picture.shape[1], CLASSES, picture.shape[-1], widths, 0.2, norm)
    for _ in range(draw.randint(1, 4)):
        setting, values = draw.choice(
            [
                ("out_channels", [draw.randint(1, 8), draw.randint(1, 64)]),
                ("kernel_size", [1, draw.randint(1, 7)]),
                ("stride", [1, 2, 3]),
                ("dilation", [1, 2, 3]),
                ("padding", [0, 1, 2, 3]),
                ("groups", [1, 2, 4, 8]),
            ]
        )
        change = {setting: draw.choice(values)}
        try:
            model = edit_conv(
                model, draw.choice(["conv1", "conv2"]), example_input=picture, **change
            )
        except CourseError:  # groups that do not divide, or no map is left
            continue
    return model


def _cost(model: nn.Module, picture: Tensor) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(picture)
    return max(counter.get_total_flops() // 2, 1)


def train(model: nn.Module, images: Tensor, way: Precision) -> None:
    """Train a copy of a network for three steps."""
    count = STEPS * len(images)
    pixels = (255 * images).to(torch.uint8).repeat(STEPS, 1, 1, 1)
    labels, names = torch.arange(count) % CLASSES, tuple(map(str, range(CLASSES)))
    part = ImageSet(pixels, labels, names)
    data = Dataset("random", "Random", part, part.subset([]), part.subset([]))
    fit(
        copy.deepcopy(model),
        data,
        epochs=1,
        batch_size=len(images),
        device="cpu",
        precision=way,
        progress=False,
    )


def died(seed: int, ways: list[Precision]) -> str:
    """Train in a fork of this process, each way; return how that died, "" if it did not."""
    process = os.fork()
    if process == 0:
        signal.alarm(SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the C library says of a damaged heap
        status = 3
        try:
            model, images = random_network(seed)
            for way in ways:
                train(model, images, way)
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "exception" if os.WEXITSTATUS(status) else ""


def try_all(seeds: range, ways: list[Precision]) -> int:
    """Train every network every way; print those that died, and return their number."""
    counts: Counter[str] = Counter()
    for done, seed in enumerate(seeds, start=1):
        how = died(seed, ways)
        counts[how or "survived"] += 1
        if how:
            alone = [f"{way.name}: {found}" for way in ways if (found := died(seed, [way]))]
            model, images = random_network(seed)
            print(f"{how}: network {seed}, {alone}, {tuple(images.shape)}: {model}", flush=True)
        if done % 50 == 0 or done == len(seeds):
            print(f"{done}: {dict(counts)}", flush=True)
    return counts.total() - counts["survived"]


def main() -> int:
    """Start this module once for each instruction set; return 1 if a network died."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network")
    parser.add_argument("--only", choices=INSTRUCTION_SETS, help="one instruction set")
    parser.add_argument("--without-rule", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        if given.without_rule:
            Precision.safe_for = lambda self, model, images: self  # type: ignore[method-assign]
        torch.set_num_threads(1)  # a process that has started more cannot fork safely
        train(*random_network(3), Precision())  # imports what a training needs, once for all
        # Python 3.12 warns of other libraries' sleeping threads. A child that hangs is counted.
        warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
        dtypes = torch.float32, torch.bfloat16
        ways = [Precision(d, layout, t) for d in dtypes for layout in (False, True) for t in (1, 2)]
        return int(try_all(range(given.first, given.first + given.networks), ways) > 0)
    results = []
    for name, variables in INSTRUCTION_SETS.items():
        if given.only in (None, name):
            print(f"--- {name}", flush=True)
            command = [sys.executable, *sys.orig_argv[1:], "--here"]
            # Threads that wait sleep: else two of them take a second for a step on a busy machine.
            variables = os.environ | variables | {"OMP_WAIT_POLICY": "PASSIVE"}
            results.append(subprocess.run(command, env=variables).returncode)
    return max(results)


if __name__ == "__main__":
    sys.exit(main())
