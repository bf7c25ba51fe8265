"""Checks of one training step of 02_2.training_step: how far the parameters moved, and the loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises.answers import Unsolved, Wrong, compare_number, is_missing, shown


def flat_parameters(model: nn.Module) -> Tensor:
    """Return a copy of all parameters as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).clone()


def check_movement(
    moved: Tensor, gradient: Tensor, old_gradient: Tensor, rate: float, where: str
) -> None:
    """Compare how far the parameters moved with one SGD step.

    Args:
        moved: parameters after the step minus before it, as one vector.
        gradient: gradient of the loss, as one vector.
        old_gradient: gradients that were there before the step, as one vector.
    """
    if not bool(moved.any()):
        raise Wrong(
            f"{where} no parameter moved: is the order zero_grad(), loss.backward(), "
            "optimizer.step()?"
        )
    if not bool(torch.isfinite(moved).all()):
        raise Wrong(f"{where} a parameter became nan or infinite")
    if torch.allclose(moved, -rate * gradient, rtol=1e-3, atol=1e-6):
        return
    if bool(old_gradient.any()) and torch.allclose(
        moved, -rate * (gradient + old_gradient), rtol=1e-3, atol=1e-5
    ):
        raise Wrong(
            f"{where} the gradients were added to those of an earlier step: "
            "call optimizer.zero_grad() before loss.backward()"
        )
    ratio = (moved @ gradient / (gradient @ gradient)).item() / -rate
    uphill = "uphill, " if ratio < 0 else ""
    if torch.allclose(moved, -rate * ratio * gradient, rtol=1e-2, atol=1e-5):
        raise Wrong(
            f"{where} the parameters moved {uphill}{shown(ratio)} times as far as one SGD step on "
            "the mean cross-entropy would move them"
        )
    got, want = moved.abs().max().item(), (rate * gradient).abs().max().item()
    raise Wrong(
        f"{where} the parameters moved by up to {shown(got)}, not along the gradient of the mean "
        f"cross-entropy of the logits (that is up to {shown(want)})"
    )


def check_returned_loss(returned: Any, want: float, where: str) -> None:
    """Check that the step returned the loss before the step, as a plain number."""
    if is_missing(returned):
        raise Unsolved("training_step moves the parameters correctly, but returns no loss so far")
    if isinstance(returned, Tensor) and returned.requires_grad:
        raise Wrong(
            f"{where} the loss is returned as a tensor that keeps the whole graph in memory: "
            "return loss.item()"
        )
    compare_number(returned, want, where, "the mean loss over the batch, before the step")
