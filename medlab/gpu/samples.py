"""Small whole images or signals with one class each, on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from medlab.gpu.device import advice_without_memory
from medlab.gpu.packing import Augmentation, fresh_generator

__all__ = ["Samples"]


class Samples:
    """Small whole images or signals with one class each, on the device; deals out random batches from there.

    Args:
        inputs: (N, C, T), (N, C, H, W) or (N, C, D, H, W) float, already normalised.
        targets: (N,) whole numbers from 0, the classes.
        device: where the tensors lie.
        augment: called as `augment(inputs, targets, generator)` on each batch.
        names: of the samples, for messages; None numbers them.

    Attributes:
        inputs: (N, C, *S) float32.
        targets: (N,) int64.
        names: one a sample.
        classes: the highest target + 1.
        channels: C.
        dims: how many axes S has: 1 for signals, 2 for images, 3 for volumes.
        generator: the source of chance, set by `medlab.seed`; its state is what a checkpoint keeps.
        last_cases: (B,) which samples the last batch holds.

    Raises:
        ValueError: if there is no sample, a value is not finite, or the shapes do not belong together.
    """

    def __init__(
        self,
        inputs: Tensor | np.ndarray,
        targets: Tensor | np.ndarray,
        *,
        device: torch.device | str = "cpu",
        augment: Augmentation | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        values, classes = torch.as_tensor(inputs), torch.as_tensor(targets)
        _check(values, classes)
        self.names = [f"sample {i}" for i in range(len(values))] if names is None else list(names)
        if len(self.names) != len(values):
            raise ValueError(f"names must be one a sample, got {len(self.names)} names and {len(values)} samples")
        self.device, self.augment = torch.device(device), augment
        with advice_without_memory(f"{len(values)} samples do not fit {self.device}", "take fewer or smaller ones"):
            self.inputs = values.to(self.device, torch.float32)
        self.targets = classes.to(self.device, torch.long)
        self.classes, self.channels, self.dims = int(classes.max()) + 1, values.shape[1], values.ndim - 2
        self.generator = fresh_generator(self.device)
        self.last_cases = torch.zeros(0, dtype=torch.long, device=self.device)

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.inputs.shape[2:]))
        return f"Samples({len(self)} of {size}, {self.classes} classes, on {self.device})"

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Samples drawn evenly, augmented: inputs (size, C, *S) float32 and classes (size,) int64."""
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        with advice_without_memory(f"a batch of {size} does not fit", "lower the batch size"):
            chance = torch.rand(size, device=self.device, generator=self.generator)
            self.last_cases = (chance * len(self)).long()
            inputs, targets = self.inputs[self.last_cases], self.targets[self.last_cases]
            return (inputs, targets) if self.augment is None else self.augment(inputs, targets, self.generator)


def _check(inputs: Tensor, targets: Tensor) -> None:
    if inputs.ndim not in (3, 4, 5) or not inputs.is_floating_point() or 0 in inputs.shape:
        raise ValueError(
            "inputs must be normalised floats (N, C, T), (N, C, H, W) or (N, C, D, H, W) with at least one sample, "
            f"got {inputs.dtype} {tuple(inputs.shape)}"
        )
    if not inputs.isfinite().all():
        bad = int((~inputs.isfinite().flatten(1).all(dim=1)).nonzero()[0])
        raise ValueError(f"inputs must be finite numbers, sample {bad} holds NaN or infinity")
    whole = not (targets.is_floating_point() or targets.is_complex())
    if targets.shape != inputs.shape[:1] or not whole or int(targets.min()) < 0:
        raise ValueError(
            f"targets must be ({len(inputs)},) whole numbers from 0, one a sample, "
            f"got {targets.dtype} {tuple(targets.shape)}"
        )
