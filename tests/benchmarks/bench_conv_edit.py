"""Correctness and speed of `edit_conv` on the convolutions of torchvision's classifiers.

- Right: twelve kinds of edit on `--convs N` layers (6; 0 for all) of every model, on the meta
  device: the network runs, its outputs keep their shapes, the layer has the new settings, no layer
  is missing; a change of the output's channels is refused.
- Exact: with real weights, the kinds that keep the function do keep it.
- Fast: the median time of single edits with one thread, relative to other work on the same network,
  and its growth with the network's depth.

    python -m tests.benchmarks.bench_conv_edit --convs 2 --models "resnet|vgg"
"""

from __future__ import annotations

import argparse
import copy
import re
import statistics
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models

from course_utils.conv import edit_conv
from course_utils.models import SimpleCNN
from tests.benchmarks.report import verdict
from tests.conv.edit import zoo_edits

# Highest time of an edit, relative to a copy of the network that runs without numbers.
OWN_LIMIT, RESNET_LIMIT, GROWTH_LIMIT = 5, 3, 1.5
REAL = ("resnet18", "resnext50_32x4d", "densenet121", "googlenet", "mobilenet_v3_small")
REAL += ("efficientnet_b0", "shufflenet_v2_x0_5", "squeezenet1_1", "vgg11_bn", "convnext_tiny")
DEPTHS = (8, 16, 32, 64)
ROUNDS = 7


class WeightsOnMeta(TorchFunctionMode):
    """Create new weights on the meta device, which saves minutes; computed tables keep values."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def build(name: str) -> nn.Module:
    auxiliary = name in ("googlenet", "inception_v3")
    options = {"init_weights": False, "aux_logits": True} if auxiliary else {}
    return models.get_model(name, weights=None, **options).eval()


def on_meta(name: str) -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return a model on the meta device, and an input of the size that it was made for."""
    with WeightsOnMeta():
        model = build(name).to("meta")
    ready = models.get_model_weights(name).DEFAULT.transforms.keywords
    side = getattr(model, "image_size", None) or ready.get("crop_size", 224)
    return model, (torch.empty(2, 3, side, side, device="meta"),)


def outcome(model: nn.Module, inputs: tuple, name: str, changes: dict, before: tuple) -> str:
    """Return the result of one edit in a word or two: "right", or what is wrong."""
    former, layers, gives_output, modes = before
    refuse = gives_output and "out_channels" in changes
    try:
        result = edit_conv(model, name, example_input=inputs, **changes)
    except ValueError:
        return "right" if refuse else "refused"
    except Exception:
        return "stopped"
    if refuse:
        return "not refused"
    try:
        shapes = zoo_edits.shapes(result, inputs, modes)
    except Exception:
        return "does not run"
    if shapes != former:
        return "other shape"
    if list(zoo_edits.problems(result, name, changes)):
        return "not obeyed"
    return "right" if layers <= set(zoo_edits.layers_with_weights(result)) else "layer gone"


def right(names: list[str], convs: int) -> int:
    """Print a table of all kinds of edit; return the exit status."""
    found: dict[str, Counter] = defaultdict(Counter)
    seconds: dict[str, list[float]] = defaultdict(list)
    wrong = []
    for model_name in names:
        model, inputs = on_meta(model_name)
        modes = (True, False) if getattr(model, "aux_logits", False) else (False,)
        former = zoo_edits.shapes(model, inputs, modes)
        seen = zoo_edits.sizes_seen(model, inputs)
        layers = set(zoo_edits.layers_with_weights(model))
        for name in zoo_edits.spread(list(seen), convs or len(seen)):
            conv = model.get_submodule(name)
            last = zoo_edits.gives_the_output(model, name, inputs, former, modes)
            for kind, changes in zoo_edits.kinds(conv).items():
                if not zoo_edits.fits(conv, changes, seen[name]):
                    continue
                started = time.perf_counter()
                word = outcome(model, inputs, name, changes, (former, layers, last, modes))
                seconds[kind].append(time.perf_counter() - started)
                found[kind][word] += 1
                if word != "right":
                    wrong.append(f"{model_name} {name} {kind}: {word}")
        print(f"  {model_name}", file=sys.stderr, flush=True)
    for kind, words in sorted(found.items()):
        others = {word: n for word, n in words.items() if word != "right"} or ""
        share, each = words["right"] / words.total(), statistics.mean(seconds[kind])
        counts = f"{words['right']:>6}{words.total():>6}"
        print(f"{kind:<20}{counts}{share:>8.1%}{each:>7.2f} s {others}")
    print(*wrong[:40], sep="\n")
    total = sum(words.total() for words in found.values())
    return verdict("edits that are wrong", f"{total} edits", [("wrong", len(wrong), 0)])


def exact(names: list[str], convs: int) -> int:
    """Check that the function stays the same; weights and statistics differ between channels."""
    kept, worst = Counter(), Counter()
    for model_name in (name for name in REAL if name in names):
        torch.manual_seed(0)
        model, inputs = build(model_name), (torch.randn(2, 3, 96, 96),)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        output = zoo_edits.run(model, inputs)
        seen = list(zoo_edits.sizes_seen(model, inputs))
        for name in zoo_edits.spread(seen, convs or len(seen)):
            changes = zoo_edits.kinds(model.get_submodule(name))
            for kind in (kind for kind in zoo_edits.EXACT if kind in changes):
                if model_name.startswith("convnext") and kind == "out_+25%":
                    continue  # uneven copies in front of a LayerNorm
                try:
                    result = edit_conv(model, name, example_input=inputs, **changes[kind])
                except ValueError:
                    continue  # counted above
                change = zoo_edits.difference(output, zoo_edits.run(result, inputs))
                kept[kind, change <= zoo_edits.TOLERANCE] += 1
                worst[kind] = max(worst[kind], change)
    status = 0
    for kind, difference in worst.items():
        figures = f"{kept[kind, True]} of {kept[kind, True] + kept[kind, False]}"
        limits = [("largest difference", difference, zoo_edits.TOLERANCE)]
        status |= verdict(f"function kept: {kind}", figures, limits)
    return status


def seconds_of(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def median_seconds(
    model: nn.Module, names: list[str], side: int, channels: int = 3
) -> tuple[float, float]:
    """Return the median seconds of an edit, and of a copy of the model that runs without numbers.

    The edits double the channels, or make the kernel or the stride larger. Edits and copies are
    measured in turn.
    """
    batch, edits, copies = torch.zeros(1, channels, side, side), [], []
    for _ in range(ROUNDS):
        for name in names:
            changes = zoo_edits.kinds(model.get_submodule(name))
            for kind in ("out_x2", "kernel+2_same", "stride_x2"):
                edit = partial(edit_conv, model, name, example_input=batch, **changes[kind])
                edits.append(seconds_of(edit))
                copies.append(seconds_of(lambda: copy.deepcopy(model).to("meta")(batch.to("meta"))))
    return statistics.median(edits), statistics.median(copies)


def chain(depth: int) -> nn.Sequential:
    """Return a network of `depth` times convolution, BatchNorm and ReLU."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Conv2d(8 if i else 3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()


def fast() -> int:
    """Print the times of single edits and their growth; return the exit status."""
    bn = SimpleCNN(3, image_size=32, batch_norm=True, dropout=0.2)
    layers = ["layer1.0.conv1", "layer3.2.conv2", "layer4.2.conv3"]
    status = 0
    for name, model, names, side, channels, limit in (
        ("SimpleCNN", SimpleCNN(), ["conv1", "conv2"], 28, 1, OWN_LIMIT),
        ("SimpleCNN, BatchNorm", bn, ["conv1", "conv2"], 32, 3, OWN_LIMIT),
        ("resnet50", build("resnet50"), layers, 224, 3, RESNET_LIMIT),
    ):
        edit, bare = median_seconds(model.eval(), names, side, channels)
        figures = f"{1000 * edit:.1f} ms, copy and run {1000 * bare:.1f} ms"
        status |= verdict(f"one edit: {name}", figures, [("ratio", edit / bare, limit)])

    times = {n: median_seconds(chain(n), [str(3 * (n // 2))], 32)[0] for n in DEPTHS}
    figures = ", ".join(f"{n} layers {1000 * t:.0f} ms" for n, t in times.items())
    least, most = DEPTHS[1], DEPTHS[-1]
    growth = times[most] / times[least] / (most / least)
    return status | verdict("growth with depth", figures, [("over linear", growth, GROWTH_LIMIT)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--convs", type=int, default=6, help="layers of each model; 0 for all")
    parser.add_argument("--models", default=".", help="a regular expression")
    parser.add_argument("--only", choices=["right", "exact", "fast"], help="one part alone")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    names = [n for n in models.list_models(module=models) if re.search(options.models, n)]
    parts = {
        "fast": fast,
        "exact": partial(exact, names, min(options.convs, 4)),
        "right": partial(right, names, options.convs),
    }
    return max([part() for name, part in parts.items() if options.only in (None, name)])


if __name__ == "__main__":
    sys.exit(main())
