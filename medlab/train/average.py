"""A moving average of a model, which often predicts better than the model itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The exponential moving average of all numbers of a model: weights, and batch norm's statistics.

    The statistics are averaged like the weights, not copied: they belong to the same stretch of training. The decay
    rises with the steps to what was asked for, as (1 + n) / (10 + n), so that the first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.live = list(model.state_dict().values())  # these share their memory with the model
        self.values = [tensor.clone() for tensor in self.live]

    def update(self, step: int) -> None:
        """Take in what the model is after so many steps, from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(self.values, self.live, strict=True))
        averaged = [(value, tensor) for value, tensor in pairs if tensor.is_floating_point()]
        get_ema_multi_avg_fn(decay)(*map(list, zip(*averaged, strict=True)), None)
        for value, tensor in pairs:
            if not tensor.is_floating_point():  # batch norm's count of batches
                value.copy_(tensor)

    def put(self, values: list[Tensor] | None = None) -> None:
        """Give the model the average, or these values."""
        for tensor, value in zip(self.live, values or self.values, strict=True):
            tensor.copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the average inside the block, and what it trains outside."""
        trained = [tensor.clone() for tensor in self.live]
        self.put()
        try:
            yield
        finally:
            self.put(trained)

    def state_dict(self) -> dict[str, list[Tensor]]:
        """For a checkpoint."""
        return {"values": self.values}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """From a checkpoint."""
        for value, stored in zip(self.values, state["values"], strict=True):
            value.copy_(stored)
