"""Training with several processes at once, one for each GPU or processor.

`python -m torch.distributed.run --nproc_per_node 2 train.py` starts the same script twice. Each
process (its number is the *rank*) computes the gradient of its own part of each batch, and
`torch.nn.parallel.DistributedDataParallel` averages the gradients (Li et al. 2020, "PyTorch
distributed: experiences on accelerating data parallel training"). In one process nothing changes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from course_utils.core import CourseError
from course_utils.data import part_of

T = TypeVar("T")

_numbers = itertools.count()


@dataclass(frozen=True)
class Group:
    """The processes that train one model together; by default this process alone.

    Attributes:
        rank: Number of this process, from 0.
        world_size: How many there are.
        messages: The gloo process group, for numbers and objects on the CPU: exchanging them does
            not make a GPU wait.
    """

    rank: int = 0
    world_size: int = 1
    messages: Any = None

    def own(self, count: int) -> slice:
        """Return the part of this rank of `count` things."""
        return part_of(count, self.rank, self.world_size)

    def share(self, count: int) -> float:
        """Return the part of this rank as a share in [0, 1]; exactly 1 in one process."""
        part = self.own(count)
        return (part.stop - part.start) / count

    def fewest_pictures(self, model: nn.Module) -> int:
        """Return how many pictures a batch needs: one for each rank, two with BatchNorm."""
        return self.world_size * (1 + has_batch_norm(model))

    def check_batch_size(self, batch_size: int, model: nn.Module) -> None:
        """Raise a `CourseError` if a batch has too few pictures for several processes."""
        needed = self.fewest_pictures(model)
        if self.world_size > 1 and batch_size < needed:
            why = ", and BatchNorm needs two pictures in each" if has_batch_norm(model) else ""
            raise CourseError(
                f"batch_size={batch_size} is shared by {self.world_size} processes{why}: give at "
                f"least {needed}, or start fewer."
            )

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Return each of `numbers` summed over the ranks, in float64."""
        if self.world_size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total, group=self.messages)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is true on any rank."""
        return self.sum([flag])[0] > 0

    def of_first(self, work: Callable[[], T]) -> T:
        """Call `work` on rank 0 alone; return its result, or raise its exception, on every rank."""
        if self.world_size == 1:
            return work()
        outcome: list[Any] = [None, None]
        try:
            if self.rank == 0:
                outcome[0] = work()
        except Exception as error:
            outcome[1] = error
            raise
        finally:
            dist.broadcast_object_list(outcome, src=0, group=self.messages)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]

    @contextlib.contextmanager
    def parallel(self, model: nn.Module, device: torch.device) -> Iterator[nn.Module]:
        """Wrap `model` so that `backward` averages the gradients over the ranks.

        All start with the weights and buffers of rank 0. The graph must be the same in every step;
        parameters that it does not use get no gradient, as in one process.
        """
        if self.world_size == 1:
            yield model
            return
        with self._batch_norm_of_all(model, device):
            # static_graph finds unused parameters by itself in the first step, also where the L1
            # penalty, which is outside the forward pass, gives them a gradient.
            yield DistributedDataParallel(model, process_group=self._of(device), static_graph=True)

    def share_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Copy the buffers of rank 0, such as running statistics, to all ranks."""
        if self.world_size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0, group=self._of(device))

    def _of(self, device: torch.device) -> Any:
        return self.messages if device.type == "cpu" else None  # None: the default group

    @contextlib.contextmanager
    def _batch_norm_of_all(self, model: nn.Module, device: torch.device) -> Iterator[None]:
        """On CUDA, let BatchNorm normalise over the batches of all ranks."""
        places = [
            (parent, name, layer)
            for parent in model.modules()
            for name, layer in parent.named_children()
            if isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm)
        ]
        if places and device.type != "cuda":
            if self.rank == 0:
                warnings.warn(
                    "The model has BatchNorm: on the CPU each process normalises over its own part "
                    "of the batch, so the numbers differ from those of one process.",
                    stacklevel=6,  # the line that calls fit
                )
            yield
            return
        try:
            for parent, name, layer in places:
                # It shares parameters and running statistics with the original layer.
                setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(layer))
            yield
        finally:
            for parent, name, layer in places:
                setattr(parent, name, layer)


def is_distributed() -> bool:
    """Return whether this process is one of several that train together."""
    if not dist.is_available():
        return False
    if dist.is_initialized():
        return dist.get_world_size() > 1
    return _number("WORLD_SIZE", 1) > 1


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether some layer normalises over the batch, which takes at least two pictures."""
    return any(isinstance(layer, _BatchNorm) for layer in model.modules())


def own_device(device: torch.device | str) -> torch.device | str:
    """Return the GPU of this process if `device` is "auto" or "cuda", otherwise `device`.

    The GPU is the one of `LOCAL_RANK`, or the current one if the launcher does not set it.

    Raises:
        CourseError: If there are fewer GPUs than processes, or the device is "mps".
    """
    if not is_distributed():
        return device
    if str(device).startswith("mps"):
        raise CourseError("device='mps' trains in one process only: take 'cpu'.")
    if str(device) not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    count = torch.cuda.device_count()
    index = _number("LOCAL_RANK", -1)
    if index >= count:
        raise CourseError(
            f"This is process {index + 1} on a machine with {count} GPUs: start at most {count} "
            "(--nproc_per_node), or take device='cpu'."
        )
    return torch.device("cuda", index if index >= 0 else torch.cuda.current_device())


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Return the group of all processes that the launcher started, for a `with` block.

    If `torch.distributed` is not initialised yet, it is initialised for the block: with nccl on
    CUDA, otherwise with gloo. A process group of the caller is used and left unchanged.

    Raises:
        CourseError: If the environment says that there are several processes, but not how they
            find each other.
    """
    if not is_distributed():
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    ours = not dist.is_initialized()
    if ours:
        _initialise("nccl" if device.type == "cuda" else "gloo")
    messages = dist.new_group(backend="gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), messages)
    finally:
        dist.destroy_process_group(None if ours else messages)


def _initialise(backend: str) -> None:
    try:
        store, rank, world_size = next(dist.rendezvous("env://"))
    except ValueError as error:
        raise CourseError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} says that there are several processes, but "
            f"they cannot find each other ({error}): start them with "
            "`python -m torch.distributed.run`, or remove WORLD_SIZE from the environment."
        ) from error
    # Each group has its own name: a second one would find the addresses of the first in the store.
    store = dist.PrefixStore(f"fit {next(_numbers)}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default
