"""What training reads of its data."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Batches(Protocol):
    """What `fit` reads of its data: `gpu.Resident`, `gpu.Prefetch` and `gpu.Samples` have it.

    Attributes:
        device: where the batches lie.
        dims: spatial axes of an input: 1 for a signal, 2 for a picture or slice, 3 for a volume.
        classes: the highest label + 1.
        names: of the cases, for messages.
        generator: the source of chance, whose state a checkpoint keeps.
        last_cases: (B,) which cases the last batch came from.
    """

    device: torch.device
    dims: int
    classes: int
    names: list[str]
    generator: torch.Generator
    last_cases: Tensor

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, *S) float32, and labels (B, *S) or one class each (B,)."""
