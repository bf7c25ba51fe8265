"""Static int8: whole numbers for weights and activations, with ranges that a calibration finds.

Two ways: torchao's PT2E, which stays in PyTorch, and ONNX Runtime, whose files are small and fast.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.compress.export import (
    INPUT,
    ExportError,
    OnnxNetwork,
    export_reason,
    optional,
    plain_file,
    quiet,
)
from course_utils.compress.fake_quantization import calibrate, require_pictures
from course_utils.compress.masks import require_no_masks
from course_utils.core import CourseError, atomic_write, check_writable, evaluation_mode

METHODS = ("min-max", "percentile")
"""How the range of an activation is found: all values, or all but the most extreme."""

_BATCH = 50


def has_vnni() -> bool | None:
    """Return whether this processor adds up int8 products exactly; None if that is not known.

    Intel and AMD processors with VNNI (AVX512-VNNI or AVX-VNNI, from about 2019) have one
    instruction for it, and so have ARM processors. Older ones add up two products in 16 bits, which
    hold at most 32,767; two products of 255 and 127 are 64,770, so the sum is cut off. See
    `reduce_range` of `onnx_int8`.
    """
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    try:
        found = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):  # an older PyTorch
        return None
    names = [name for name in ("avx512_vnni", "avx_vnni") if name in found]
    return any(found[name] for name in names) if names else None


def pt2e_int8(model: nn.Module, calibration: Tensor) -> nn.Module:
    """Return an int8 copy of a network, made by torchao's PT2E: prepare, calibrate, convert.

    Its weights are int8 in memory and in a file. But unless `torch.compile` makes int8 operations
    of it, it converts them back to floats in each pass, so it is slower than the network itself.

    Args:
        calibration: Pictures as the network takes them, (N, C, H, W). The ranges of all activations
            are those of these pictures.

    Raises:
        CourseError: If torchao is not installed, the network has masks or cannot be exported, or it
            does not run on the pictures.
    """
    require_no_masks(model)
    require_pictures(calibration)
    with quiet():
        optional("torchao.quantization.pt2e")
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        quantizer = x86.X86InductorQuantizer()
        quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
        calibrate(model, calibration[:1])  # a wrong shape is found here, and named
        two = calibration[[0, -1]]
        with evaluation_mode(model), torch.no_grad():
            try:
                batch = ({0: torch.export.Dim.DYNAMIC},)
                program = torch.export.export(model, (two,), dynamic_shapes=batch, strict=True)
            except Exception as error:
                reason = export_reason(error)
                raise ExportError(f"The network cannot be exported: {reason}.") from error
        prepared = prepare_pt2e(program.module(), quantizer)
        calibrate(prepared, calibration)
        converted = convert_pt2e(prepared)
    _drop_unused(converted)
    return converted


def onnx_int8(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    calibration: Tensor,
    *,
    method: str = "min-max",
    reduce_range: bool | None = None,
) -> Path:
    """Write an int8 copy of a file of `to_onnx`; return its path.

    Activations become uint8 and weights int8, with a scale for each output channel (QDQ: each
    operation stands between "quantize" and "dequantize", and ONNX Runtime joins the three).

    Args:
        source: The float file; it does not change.
        target: An older file there is replaced.
        calibration: Pictures as the network takes them, (N, C, H, W). They decide the ranges.
        method: "min-max", or "percentile", which leaves out the most extreme 0.001 % on each side.
        reduce_range: Whether weights use 7 of their 8 bits, so that no sum of two products is cut
            off (see `has_vnni`). None does so unless this processor has VNNI. A file for other
            people's processors needs True.

    Raises:
        ExportError: If `source` is missing or damaged, takes pictures of another shape, or the
            packages are not installed.
        CourseError: If `method` is not known, or there is no picture.
    """
    if method not in METHODS:
        raise CourseError(f"method={method!r}: take {' or '.join(map(repr, METHODS))}.")
    require_pictures(calibration)
    optional("onnx")
    OnnxNetwork(source)(calibration[:1])
    check_writable(target)
    with quiet():
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(quantization.CalibrationDataReader):
            def __init__(self) -> None:
                # "percentile" needs batches of one size.
                count = len(calibration)
                size = next(n for n in range(min(_BATCH, count), 0, -1) if count % n == 0)
                self.batches: Iterator[Tensor] = iter(calibration.detach().cpu().split(size))

            def get_next(self) -> dict[str, Any] | None:
                batch = next(self.batches, None)
                return None if batch is None else {INPUT: batch.float().numpy()}

        calibrate_method = {
            "min-max": quantization.CalibrationMethod.MinMax,
            "percentile": quantization.CalibrationMethod.Percentile,
        }[method]
        with tempfile.TemporaryDirectory() as folder:
            prepared, written = (os.path.join(folder, f"{name}.onnx") for name in "ab")
            try:
                quant_pre_process(os.fspath(source), prepared)
                quantization.quantize_static(
                    prepared,
                    written,
                    Reader(),
                    quant_format=quantization.QuantFormat.QDQ,
                    per_channel=True,
                    reduce_range=has_vnni() is not True if reduce_range is None else reduce_range,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                    calibrate_method=calibrate_method,
                )
                content = plain_file(onnx.load(written))
            except Exception as error:
                raise ExportError(
                    f"ONNX Runtime cannot quantize {source}: {export_reason(error)}."
                ) from error
    with atomic_write(target) as file:
        file.write(content)
    return Path(target)


def _drop_unused(program: torch.fx.GraphModule) -> None:
    """Remove the float weights, which the converted program still has and does not use."""
    used = {node.target for node in program.graph.nodes if node.op == "get_attr"}
    for name, _ in [*program.named_parameters(), *program.named_buffers()]:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(program.get_submodule(owner), attribute)
