"""What a network needs, measured on small inputs: memory, and how far one voxel reaches."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medlab import gpu

_needs: weakref.WeakKeyDictionary[nn.Module, dict[Any, tuple[float, float]]] = weakref.WeakKeyDictionary()


def logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """The network's logits (B, K, *S) in the precision that pays; of several outputs, the first."""
    precision = gpu.precision(inputs.device)
    with torch.no_grad(), precision.autocast(inputs.device):
        out = model(inputs.to(memory_format=precision.memory_format(inputs.ndim - 2)))
    return out[0] if isinstance(out, tuple) else out


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside the block held at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count the memory that it took; a view or a change in place takes none."""
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in given:
                storage = tensor.untyped_storage()
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return out

    def _add(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)


def needs(model: nn.Module) -> tuple[float, float]:
    """Bytes that the network's maps take at the most: a fixed part, and bytes a voxel of the input.

    Measured by running it on two small inputs, once for each precision and device; then remembered.
    """
    home = next(model.parameters()).device
    key = (home, gpu.precision(home).dtype)
    known = _needs.setdefault(model, {})
    if key not in known:
        dims, side = int(model.dims), 2 * int(model.multiple)  # type: ignore[arg-type]
        found = []
        for length in (side, 2 * side):
            inputs = torch.zeros(1, int(model.in_channels), length, *[side] * (dims - 1), device=home)  # type: ignore[arg-type]
            with Peak() as peak:
                logits(model, inputs).float().softmax(1)
            found.append(peak.most)
        voxel = max(found[1] - found[0], 1) / side**dims
        known[key] = (max(found[0] - voxel * side**dims, 0.0), voxel)
    return known[key]


def reaches(model: nn.Module, sizes: Sequence[int]) -> list[int | None]:
    """How many voxels away a voxel still changes the logits, along each spatial axis, rounded up to the multiple.

    NaN is put into one block of `multiple` voxels; whatever can depend on it becomes NaN, whatever the weights are.
    (A gradient would miss the ways that ReLU and max pooling happen to close.) The other axes are as short as can be,
    but for those along which the reach has no end: a recurrence along one axis may spread further along the others
    with every step.

    Args:
        model: in evaluation mode.
        sizes: of the volume, multiples of the model's `multiple`; a reach as long as the volume is of no use.

    Returns:
        For each axis the reach; None if it goes through the whole volume, as with an LSTM or a norm along this axis.
    """
    lengths = [int(model.multiple)] * len(sizes)  # type: ignore[arg-type]
    found: list[int | None] = [0] * len(sizes)
    while True:
        found = [None if f is None else _reach(model, axis, sizes[axis], lengths) for axis, f in enumerate(found)]
        needed = [n if f is None else length for n, f, length in zip(sizes, found, lengths, strict=True)]
        if needed == lengths:
            return found
        lengths = needed


def _reach(model: nn.Module, axis: int, most: int, lengths: Sequence[int]) -> int | None:
    multiple = int(model.multiple)  # type: ignore[arg-type]
    home = next(model.parameters()).device
    arm = multiple
    while arm < most:
        arm = min(4 * arm, most)
        size = [2 * arm + multiple if a == axis else length for a, length in enumerate(lengths)]
        inputs = torch.zeros(1, int(model.in_channels), *size, device=home)  # type: ignore[arg-type]
        inputs.narrow(2 + axis, arm, multiple).fill_(torch.nan)
        bad = logits(model, inputs).isnan().movedim(2 + axis, 0).flatten(1).any(1).nonzero().flatten()
        found = max(arm - int(bad[0]), int(bad[-1]) + 1 - arm - multiple)
        if found < arm:
            return -(-found // multiple) * multiple
    return None
