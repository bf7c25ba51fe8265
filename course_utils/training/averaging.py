"""An average of the weights over the last steps, which is often better than the last weights.

Near the end of a training the weights jump around a good place, because each step sees a few
pictures only. Their average lies nearer to it (Polyak and Juditsky 1992, "Acceleration of
stochastic approximation by averaging").
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from course_utils.core import CourseError, check_network, is_number


class AveragedWeights(nn.Module):
    """A network that trains with its own weights, and answers with an average of them.

    In train mode it is `model`. After each step the average becomes
    decay · average + (1 − decay) · weights, an exponential moving average (EMA); in eval mode
    `average` answers. So `fit` measures the average on the validation pictures, and a checkpoint
    has both. The running statistics of BatchNorm are averaged as well.

    Args:
        model: A network with its first weights.
        decay: From 0 to below 1. The average reaches back over about 1 / (1 − decay) steps.

    Attributes:
        model: The network that is trained.
        average: Its copy with the averaged weights, which needs no gradient.

    Raises:
        CourseError: If `model` is not a network, or the decay is out of its range.
    """

    def __init__(self, model: nn.Module, decay: float = 0.99) -> None:
        check_network(model)
        if not (is_number(decay) and 0 <= decay < 1):
            raise CourseError(
                f"decay={decay!r}: give a share from 0 to below 1, such as 0.99 for 100 steps."
            )
        super().__init__()
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self._behind = False  # whether the weights have made a step that the average has not

    def extra_repr(self) -> str:
        return f"decay={self.decay}"

    def forward(self, *args: Any) -> Any:
        self._catch_up()
        if not self.training:
            return self._answer(*args)
        # Without gradients it is not the forward pass of a step.
        self._behind = torch.is_grad_enabled()
        return self.model(*args)

    def _answer(self, *args: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.average(*args)
        # The same values, but gradients reach the weights that are trained, as `fit` asks.
        values = dict(self.average.named_buffers())
        for name, own in self.model.named_parameters():
            values[name] = self.average.get_parameter(name) + (own - own.detach())
        return torch.func.functional_call(self.model, values, args)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return all weights, after the last step has entered the average."""
        self._catch_up()
        return super().state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights and average; a step before that does not count."""
        self._behind = False
        return super().load_state_dict(state_dict, *args, **kwargs)

    @torch.no_grad()
    def _catch_up(self) -> None:
        if not self._behind:
            return
        self._behind = False
        mine, theirs = (_floats(network) for network in (self.average, self.model))
        get_ema_multi_avg_fn(self.decay)(mine, theirs, None)


def _floats(model: nn.Module) -> list[Tensor]:
    """Return what is averaged: all but whole numbers, such as BatchNorm's count of batches."""
    tensors = (*model.parameters(), *model.buffers())
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
