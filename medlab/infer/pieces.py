"""A volume given to a network piece by piece, so that its maps stay within the memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medlab.infer import probe, tiles
from medlab.infer.tiles import Part

Piece = tuple[tuple[slice, ...], Tensor, Tensor | None]


def pieces(
    model: nn.Module,
    volume: Tensor,
    *,
    memory_mib: float,
    batch_size: int,
    patch: Sequence[int] | None = None,
    overlap: float = 0.5,
) -> Iterator[Piece]:
    """Where (z, y, x), the logits (K, d, h, w) there, and the weights (d, h, w) if pieces are to be added up.

    Args and errors are those of `predict`; the model is in evaluation mode.
    """
    dims = int(model.dims)  # type: ignore[arg-type]
    context, sizes = _context(model, volume), volume.shape[-dims:]
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be 0 to below 1, got {overlap}")
    box = [int(model.multiple)] * dims if patch is None else _checked(model, patch)  # type: ignore[arg-type]
    pads = [-n % p if patch is None else max(0, p - n) for n, p in zip(sizes, box, strict=True)]
    before = [p // 2 for p in pads]  # evenly on both sides, as Resident pads
    padded = [n + p for n, p in zip(sizes, pads, strict=True)]
    most_voxels = _most_voxels(model, memory_mib)
    if patch is None:
        axes = _exact(model, padded, most_voxels)
    else:
        axes = [tiles.windows(n, p, overlap) for n, p in zip(padded, box, strict=True)]
    largest = math.prod(max(part.stop - part.start for part in axis) for axis in axes)
    if largest > most_voxels:
        raise ValueError(_too_little(model, memory_mib, largest))
    home = next(model.parameters()).device
    depths = _chunks(volume.shape[1], min(batch_size, int(most_voxels // largest))) if dims == 2 else [slice(None)]
    for depth, parts in itertools.product(depths, itertools.product(*axes)):
        inputs = _inputs(volume, depth, parts, before, context)
        logits = probe.logits(model, inputs.to(home))
        kept = [_kept(part, b, n) for part, b, n in zip(parts, before, sizes, strict=True)]
        where, inside, of_axes = zip(*kept, strict=True)
        logits = logits[(slice(None), slice(None), *inside)]  # (n, K, h, w) or (1, K, d, h, w)
        weights = _product(of_axes, home)
        if dims == 2:
            yield (depth, *where), logits.movedim(0, 1), weights
        else:
            yield where, logits[0], weights


def _context(model: nn.Module, volume: Tensor) -> int:
    """How many neighbouring slices on either side a 2D network sees."""
    if volume.ndim != 4 or 0 in volume.shape:
        raise ValueError(f"volume must be (C, D, H, W) and nowhere empty, got shape {tuple(volume.shape)}")
    channels, wanted = volume.shape[0], int(model.in_channels)  # type: ignore[arg-type]
    if model.dims == 3 and wanted == channels:
        return 0
    if model.dims == 2 and wanted % channels == 0 and wanted // channels % 2 == 1:
        return wanted // channels // 2
    raise ValueError(
        f"the model takes {wanted} channels ({model.dims}D), which {channels} channels of the volume "
        f"{tuple(volume.shape)} cannot give; a 2D model takes an odd number of slices of each channel"
    )


def _checked(model: nn.Module, patch: Sequence[int]) -> list[int]:
    dims, multiple = int(model.dims), int(model.multiple)  # type: ignore[arg-type]
    wanted = f"patch must be {dims} multiples of {multiple}"
    if isinstance(patch, int):
        raise TypeError(f"{wanted}, got {patch}: write {(patch,) * dims}")
    if len(patch) != dims:
        raise ValueError(f"{wanted}, got {tuple(patch)}")
    if any(p < 1 or p % multiple for p in patch):
        fits = tuple(max(multiple, round(p / multiple) * multiple) for p in patch)
        raise ValueError(f"{wanted}, got {tuple(patch)}; {fits} would fit")
    return list(patch)


def _most_voxels(model: nn.Module, memory_mib: float) -> float:
    """How many voxels the network may be given at a time."""
    fixed, voxel = probe.needs(model)
    return (memory_mib * 2**20 - fixed) / voxel


def _exact(model: nn.Module, padded: list[int], most_voxels: float) -> list[list[Part]]:
    """The whole volume where it fits, else tiles with a halo; too large ones where even the smallest do not."""
    if math.prod(padded) <= most_voxels:
        return [[Part(0, n, 0, n)] for n in padded]
    multiple = int(model.multiple)  # type: ignore[arg-type]
    halos = probe.reaches(model, padded)
    found = tiles.fitting(padded, halos, multiple, most_voxels)
    if found is None:
        cores = [n if halo is None else multiple for n, halo in zip(padded, halos, strict=True)]
        found = [tiles.with_halo(n, c, halo or 0) for n, c, halo in zip(padded, cores, halos, strict=True)]
    return found


def _too_little(model: nn.Module, memory_mib: float, voxels: int) -> str:
    fixed, voxel = probe.needs(model)
    return (
        f"memory_mib={memory_mib:g} is too little: the smallest piece that this network can be given takes "
        f"{(fixed + voxel * voxels) / 2**20:.0f} MiB; raise memory_mib, or blend windows of a smaller `patch`"
    )


def _chunks(count: int, size: int) -> list[slice]:
    return [slice(i, min(count, i + size)) for i in range(0, count, size)]


def _inputs(volume: Tensor, depth: slice, parts: Sequence[Part], before: Sequence[int], context: int) -> Tensor:
    """What the network takes: (n, C * slices, h, w) for a 2D one, (1, C, d, h, w) for a 3D one, padded with 0."""
    sizes = volume.shape[-len(parts) :]
    real, pads = [], []
    for part, b, n in zip(parts, before, sizes, strict=True):
        low, high = max(0, part.start - b), min(n, part.stop - b)
        real.append(slice(low, high))
        pads.append((low - (part.start - b), part.stop - b - high))
    if len(parts) == 3:
        cut = volume[(slice(None), *real)][None]  # (1, C, d, h, w)
    else:
        cut = volume[(slice(None), slice(None), *real)]  # (C, D, h, w)
        z = torch.arange(depth.start, depth.stop)[:, None] + torch.arange(-context, context + 1)  # (n, slices)
        cut = cut[:, z.clamp(0, volume.shape[1] - 1).to(cut.device)].movedim(0, 1).flatten(1, 2)
    return F.pad(cut, [n for pair in reversed(pads) for n in pair])


def _kept(part: Part, before: int, size: int) -> tuple[slice, slice, Tensor | None]:
    """Where a part lies in the volume, where that is in the network's output, and its weights."""
    low, high = max(part.low, before), min(part.high, before + size)
    weights = None if part.weights is None else part.weights[low - part.low : high - part.low]
    return slice(low - before, high - before), slice(low - part.start, high - part.start), weights


def _product(weights: Sequence[Tensor | None], device: torch.device) -> Tensor | None:
    """Weights of voxels (d, h, w) or (h, w) from those of the axes."""
    found: Tensor | None = None
    for axis in weights:
        if axis is not None:
            found = axis.to(device) if found is None else found[..., None] * axis.to(device)
    return found
