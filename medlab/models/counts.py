"""How large a network is: numbers that training may change, and multiply-adds that one forward pass takes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["multiply_adds", "parameter_count"]


def parameter_count(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def multiply_adds(model: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of one forward pass over these inputs, the whole batch together.

    Counted are convolutions, transposed convolutions, linear and recurrent layers, every tap of a kernel also where
    it reads padding. Left out is what has no product with weights: bias, batch norm, activations, pooling, gates.
    Nothing is computed: a copy of the model runs on tensors that have a shape and no numbers, so that a large
    volume counts as fast as a small one.

    Args:
        model: any network.
        inputs: what its `forward` takes.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(*(tensor.to("meta") for tensor in inputs))
    return counter.get_total_flops() // 2  # it counts a multiplication and an addition as two
