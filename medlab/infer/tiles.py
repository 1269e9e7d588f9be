"""How a volume is cut: into tiles with a halo, or into windows that overlap and are blended."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """One axis of a tile, in voxels of the padded volume.

    Attributes:
        start: where the network's input begins.
        stop: where it ends.
        low: where what is kept of its output begins.
        high: where that ends.
        weights: (high - low,) of the output in a blend; None where it stands alone.
    """

    start: int
    stop: int
    low: int
    high: int
    weights: Tensor | None = None


def with_halo(size: int, core: int, halo: int) -> list[Part]:
    """Cores side by side, each with a halo as far as the volume goes."""
    return [
        Part(max(0, low - halo), min(size, low + core + halo), low, min(size, low + core))
        for low in range(0, size, core)
    ]


def fitting(
    sizes: Sequence[int], halos: Sequence[int | None], multiple: int, most_voxels: float
) -> list[list[Part]] | None:
    """The tiles of `with_halo` that cost the least and have at most so many voxels, axis by axis; None if none has.

    Args:
        sizes: of the padded volume, all divisible by `multiple`.
        halos: how far a voxel reaches along each axis; None where the axis must stay whole.
        multiple: cores and halos are multiples of this, so that pooling falls as in the whole volume.
        most_voxels: of a tile, its halo included.
    """
    choices = []
    for size, halo in zip(sizes, halos, strict=True):
        blocks = size // multiple
        cores = {size} if halo is None else {-(-blocks // n) * multiple for n in range(1, blocks + 1)}
        choices.append([with_halo(size, core, halo or 0) for core in sorted(cores)])
    best, least = None, math.inf
    for parts in itertools.product(*choices):
        lengths = [[part.stop - part.start for part in axis] for axis in parts]
        cost = math.prod(map(sum, lengths))
        if math.prod(map(max, lengths)) <= most_voxels and cost < least:
            best, least = list(parts), cost
    return best


def windows(size: int, patch: int, overlap: float) -> list[Part]:
    """Windows of one length that cover an axis and overlap, with Gaussian weights that sum to 1 at every voxel.

    Args:
        size: of the padded volume, at least `patch`.
        patch: length of a window.
        overlap: share of a window that the next one covers too, 0 to below 1; at least so much.
    """
    count = math.ceil((size - patch) / max(1, math.floor(patch * (1 - overlap)))) + 1
    starts = [round(i * (size - patch) / max(1, count - 1)) for i in range(count)]
    bell = gaussian(patch)
    total = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + patch] += bell
    return [
        Part(start, start + patch, start, start + patch, (bell / total[start : start + patch]).float())
        for start in starts
    ]


def gaussian(patch: int) -> Tensor:
    """(patch,) float64: a bell around the middle whose standard deviation is an eighth of the window.

    Source: the width is that of nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    at = torch.arange(patch, dtype=torch.float64) - (patch - 1) / 2
    return torch.exp(-((at / (patch / 8)) ** 2) / 2)
