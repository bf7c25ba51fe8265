"""The multiply-adds of `layer_table`, beside those of PyTorch's own counter.

For every network of torchvision that runs on the meta device: classification, segmentation, video
and optical flow. With `--models` a pattern chooses some of them.

    python -m tests.benchmarks.bench_layer_table --models "vit|swin"
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from course_utils.conv import layer_table
from tests.benchmarks.bench_conv_edit import WeightsOnMeta
from tests.benchmarks.report import verdict

_SIDES = {"inception_v3": 299, "raft": 128, "r": 64, "mc3": 64, "swin3d": 64}
_KINDS = ("", "segmentation", "video", "optical_flow")


def network(name: str, kind: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a network without numbers, and two pictures, clips, or pairs of pictures."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    options |= {"weights_backbone": None} if kind == "segmentation" else {}
    with WeightsOnMeta():
        model = models.get_model(name, weights=None, **options).eval().requires_grad_(False)
    small = kind in ("video", "optical_flow") or name == "inception_v3"
    starts = [start for start in _SIDES if name.startswith(start) and small]
    side = _SIDES[starts[0]] if starts else 224
    shape = (2, 3, 16, side, side) if kind == "video" else (2, 3, side, side)
    inputs = (torch.zeros(shape, device="meta"),) * (1 + (kind == "optical_flow"))
    return model.to("meta"), inputs


def counted(model: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Return the multiply-adds of one picture by PyTorch's counter."""
    with FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops() // 2 // 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="", help="a pattern: only the networks that have it")
    pattern = parser.parse_args().models
    warnings.simplefilter("ignore")
    status = count = 0
    for name in models.list_models():
        kind = models.get_model_builder(name).__module__.split(".")[2:-1]
        kind = kind[0] if kind else ""
        if kind not in _KINDS or not re.search(pattern, name):
            continue
        model, inputs = network(name, kind)
        expected = counted(model, inputs)
        rows = layer_table(model, inputs)
        found = sum(row.multiply_adds or 0 for row in rows)
        # Each row is rounded down: what does not depend on the batch may be odd.
        limit = [("difference", abs(found - expected), len(rows))]
        status |= verdict(name, f"{found / 1e9:9.3f} G", limit)
        count += 1
    print(f"{count} networks")
    return status


if __name__ == "__main__":
    sys.exit(main())
