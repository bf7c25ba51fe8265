"""Was this one step of SGD on this batch, and if not, what was it?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises.answers import Unsolved, Wrong, number, same, shown


def flat_parameters(model: nn.Module) -> Tensor:
    """A copy of all parameters in one row."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).clone()


def check_movement(
    moved: Tensor, slope: Tensor, rubbish: Tensor, rate: float, where: str, silent: bool
) -> None:
    """Compare how far the parameters went with one SGD step.

    Args:
        moved: after minus before; slope: gradient of the loss; rubbish: gradients of before (all
            parameters in one row each).
        silent: whether the step returned nothing, so that it may be the stub.
    """
    if not bool(moved.any()):
        if silent:
            raise Unsolved("training_step moves no parameter and returns nothing so far")
        raise Wrong(
            f"{where} no parameter moved: is there loss.backward(), then optimizer.step(), and "
            "zero_grad() before both of them, not between?"
        )
    if not bool(torch.isfinite(moved).all()):
        raise Wrong(f"{where} a parameter became nan or infinite")
    if torch.allclose(moved, -rate * slope, rtol=1e-3, atol=1e-6):
        return
    if bool(rubbish.any()) and torch.allclose(
        moved, -rate * (slope + rubbish), rtol=1e-3, atol=1e-5
    ):
        raise Wrong(
            f"{where} the gradients were added to those left over from before: "
            "optimizer.zero_grad() has to come before loss.backward()"
        )
    ratio = (moved @ slope / (slope @ slope)).item() / -rate
    uphill = "uphill, " if ratio < 0 else ""
    if torch.allclose(moved, -rate * ratio * slope, rtol=1e-2, atol=1e-5):
        raise Wrong(
            f"{where} the parameters moved {uphill}{shown(ratio)} times as far as one SGD step on "
            "the mean cross-entropy would move them"
        )
    got, want = moved.abs().max().item(), (rate * slope).abs().max().item()
    raise Wrong(
        f"{where} the parameters moved by up to {shown(got)}, not along the gradient of the mean "
        f"cross-entropy of the logits (that is up to {shown(want)})"
    )


def check_returned_loss(returned: Any, want: float, where: str) -> None:
    """The loss before the step, as a plain number."""
    if returned is None or returned is Ellipsis:
        raise Unsolved("training_step moves the parameters rightly, but returns no loss so far")
    if isinstance(returned, Tensor) and returned.requires_grad:
        raise Wrong(
            f"{where} the loss is returned as a tensor that keeps the whole graph in memory: "
            "return loss.item()"
        )
    got = number(returned, where)
    if not same(float(got), want):
        raise Wrong(
            f"{where} you returned the loss {shown(float(got))}, it was {shown(want)} "
            "(before the step, mean over the batch)"
        )
