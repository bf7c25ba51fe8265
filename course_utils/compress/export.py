"""Export a network to ONNX, and run such a file with ONNX Runtime.

ONNX is a file format for networks that does not depend on PyTorch: the file contains the weights
and the list of operations. ONNX Runtime is a program that only runs such files, and runs them fast.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import traceback
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from course_utils.compress.masks import require_no_masks
from course_utils.core import (
    CourseError,
    atomic_write,
    check_writable,
    device_of,
    evaluation_mode,
    file_exists,
)

INPUT = "images"
"""The name of the input in the files of `to_onnx`."""

_LARGEST = 2**31  # bytes in one file of Protocol Buffers
_TOLERANCE = 1e-3  # of the largest score
_DTYPES = {"float": torch.float32, "double": torch.float64, "float16": torch.float16}
_LIBRARIES = str(Path(torch.__file__).parents[1])


class ExportError(CourseError):
    """A network that cannot become an ONNX file, or a file that cannot be used."""


def to_onnx(model: nn.Module, example_input: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write a network in eval mode into one ONNX file; return the path.

    The file takes batches of any number of pictures. Before it is written, `onnx.checker` checks
    it, and ONNX Runtime runs it on other pictures and other numbers of them: the outputs must be
    those of the network. The network does not change.

    Args:
        model: Takes a tensor and returns one or several.
        example_input: Pictures (N, C, H, W) as the network takes them. Only their shape, number
            format and range count.
        path: Ends in ".onnx" by custom. An older file there is replaced.

    Raises:
        ExportError: If the network does not run on the example, uses an operation that ONNX does
            not have, decides by the values of a tensor, fixes the number of pictures, or computes
            something outside of PyTorch; or if onnx, onnxscript or onnxruntime is not installed.
        CourseError: If the network has masks, or the file cannot be written.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        optional(name)
    require_no_masks(model)
    if not isinstance(example_input, Tensor) or example_input.dim() < 2 or not len(example_input):
        given = getattr(example_input, "shape", type(example_input).__name__)
        raise ExportError(
            f"The example is {given}: give a tensor with at least one picture, (N, C, H, W)."
        )
    if sum(p.numel() * p.element_size() for p in model.parameters()) >= _LARGEST:
        raise ExportError("The weights have more than 2 GB, which one ONNX file cannot contain.")
    check_writable(path)
    example = example_input.detach().to(device_of(model))
    with evaluation_mode(model), torch.no_grad():
        batches = [_like(example, count) for count in (2, 3, 1)]
        expected = [_run(model, batch) for batch in batches]
        content = _exported(model, batches[0])
        _compare(content, batches, expected)
    with atomic_write(path) as file:
        file.write(content)
    return Path(path)


def run_onnx(path: str | os.PathLike[str], images: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Return what the network in an ONNX file computes, by ONNX Runtime with one thread.

    To run a file several times, make an `OnnxNetwork` once, because opening it takes time.

    Raises:
        ExportError: If there is no such file, it is damaged, or it takes pictures of another shape.
    """
    return OnnxNetwork(path)(images)


class OnnxNetwork(nn.Module):
    """An ONNX file, run by ONNX Runtime on the CPU. `evaluate` and `measure_latency` take it.

    Args:
        path: Of the file. It is read once.
        threads: With which it computes. One makes times comparable with `measure_latency`, which
            lets PyTorch use one.

    Shape:
        As of the network that was exported.

    Raises:
        ExportError: If there is no such file, it is damaged, or onnxruntime is not installed; on a
            call, if the pictures have another shape than the file needs.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1) -> None:
        super().__init__()
        self.path = Path(path)
        if not file_exists(path, ExportError):
            raise ExportError(f"There is no file {path}: write it with to_onnx(model, ..., path).")
        self._session = _session(str(self.path), self.path, threads)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        (wanted,) = self._session.get_inputs()
        dtype = _DTYPES.get(wanted.type.removeprefix("tensor(").removesuffix(")"), images.dtype)
        array = images.detach().to("cpu", dtype).numpy()
        try:
            found = self._session.run(None, {wanted.name: array})
        except Exception as error:  # ONNX Runtime's errors have no common class
            needed = ", ".join("N" if isinstance(n, str) else str(n) for n in wanted.shape)
            raise ExportError(
                f"{self.path.name} cannot run on pictures {tuple(images.shape)}: it takes "
                f"({needed}) and says {_first_line(error)!r}."
            ) from error
        tensors = tuple(map(torch.from_numpy, found))
        return tensors[0] if len(tensors) == 1 else tensors

    def extra_repr(self) -> str:
        return self.path.name


def optional(name: str) -> ModuleType:
    """Return a package that only the export needs.

    Raises:
        ExportError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ExportError(
            f"{package} cannot be imported ({_first_line(error)}): python -m pip install {package} "
            "installs it."
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let libraries print, warn and log nothing inside the block."""
    disabled = logging.root.manager.disable
    silent = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(silent),
        contextlib.redirect_stderr(silent),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


def plain_file(proto: Any) -> bytes:
    """Return the bytes of an ONNX network, without the notes of the program that made it.

    These notes, such as the line of Python behind each operation, would be a tenth of a small file,
    and name the folders of this machine.
    """
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    del graph.value_info[:]
    for node in graph.node:
        node.doc_string = ""
    return proto.SerializeToString()


def _like(example: Tensor, count: int) -> Tensor:
    """Return `count` pictures of the example's shape: its first, then random ones in its range."""
    first = example[:1]
    if not first.is_floating_point():
        return first.expand(count, *first.shape[1:]).contiguous()
    low, high = float(first.min()), float(first.max())
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count - 1, *first.shape[1:], dtype=torch.float64, generator=generator)
    return torch.cat([first, (low + (high - low) * noise).to(first)])


def _run(model: nn.Module, batch: Tensor) -> list[Tensor]:
    try:
        outputs = tree_leaves(model(batch))
    except Exception as error:
        raise ExportError(
            f"The network does not run on pictures {tuple(batch.shape)}: {_first_line(error)}."
        ) from error
    if not outputs or not all(isinstance(one, Tensor) for one in outputs):
        raise ExportError("The network must return tensors: an ONNX file has no other outputs.")
    return outputs


def _exported(model: nn.Module, batch: Tensor) -> bytes:
    import onnx

    try:
        with quiet():
            program = torch.onnx.export(
                model,
                (batch,),
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=[INPUT],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            )
            proto = program.model_proto
            proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
            content = plain_file(proto)
            onnx.checker.check_model(content, full_check=True)
    except Exception as error:
        if "conflicts between user-specified ranges" in str(error):
            raise _fixed_number("as a loop over the pictures does") from error
        raise ExportError(f"The network cannot be exported: {export_reason(error)}.") from error
    return content


def _compare(content: bytes, batches: list[Tensor], expected: list[list[Tensor]]) -> None:
    """Raise an `ExportError` unless the file computes what the network has computed."""
    session = _session(content, Path("the new file"), 1)
    for batch, wanted in zip(batches, expected, strict=True):
        try:
            found = session.run(None, {INPUT: batch.cpu().numpy()})
        except Exception as error:
            raise _fixed_number(_first_line(error)) from error
        for mine, theirs in zip(map(torch.from_numpy, found), wanted, strict=True):
            theirs = theirs.cpu()
            if mine.shape != theirs.shape:
                raise _fixed_number(f"{tuple(mine.shape)} instead of {tuple(theirs.shape)}")
            difference = float((mine.double() - theirs.double()).abs().nan_to_num().amax())
            scale = float(theirs.double().abs().nan_to_num().amax())
            same_nan = torch.equal(mine.isnan(), theirs.isnan())
            if difference > _TOLERANCE * max(scale, 1e-6) or not same_nan:
                raise ExportError(
                    f"The file would compute something else than the network: the outputs differ "
                    f"by {difference:.2g}, and the largest is {scale:.2g}. Look in forward for "
                    "random numbers, NumPy, or values that PyTorch does not compute."
                )


def _fixed_number(detail: str) -> ExportError:
    return ExportError(
        "The network cannot be exported for any number of pictures: its forward fixes the number "
        f"({detail}). Let it compute all pictures of a batch at once, for example by x.flatten(1)."
    )


def _session(source: str | bytes, path: Path, threads: int) -> Any:
    optional("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(
            f"{path} is damaged or not an ONNX file ({_first_line(error)}): export the network "
            "again with to_onnx."
        ) from error
    if len(session.get_inputs()) != 1:
        names = ", ".join(one.name for one in session.get_inputs())
        raise ExportError(f"{path} has the inputs {names}: only networks with one are run here.")
    return session


def export_reason(error: BaseException) -> str:
    """Return why an export failed: the operation, or the line of the network's own code."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    for cause in causes:
        if found := re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", str(cause)):
            name = found[1].replace("._", ".", 1)
            return f"ONNX has no operation for {name}; replace it in the network"
    last = causes[-1]
    frames = traceback.extract_tb(last.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES) and frame.line]
    own = [frame for frame in own if Path(frame.filename).parent != Path(__file__).parent]
    where = f" in `{own[-1].line.strip()}` (line {own[-1].lineno})" if own else ""
    if "data-dependent" in str(last):
        return f"it decides by the values of a tensor{where}, but the file has one fixed path"
    return f"{_first_line(last).partition('. ')[0]}{where}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0])
    return re.sub(r"^Load model from .* failed:", "", text).strip().rstrip(".")
