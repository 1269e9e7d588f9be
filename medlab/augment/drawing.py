"""What all augmentations share: even draws, checks, smooth fields, and linear maps along the axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def even(like: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Evenly drawn from -1 to 1."""
    return torch.rand(shape, device=like.device, dtype=like.dtype, generator=generator) * 2 - 1


def one_an_image(images: Tensor) -> tuple[int, ...]:
    """The shape (B, 1, ..., 1) of one number an image."""
    return (len(images), *[1] * (images.ndim - 1))


def in_range(name: str, value: float, most: float = float("inf")) -> None:
    """Refuse a strength that is negative, too large or NaN."""
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be 0 to {most:g}, got {value}")


def along_axes(images: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Apply one linear map along every spatial axis.

    Args:
        images: (B, C, *S).
        maps: one (m, n) for all images, or (B, m, n) for each its own, per axis of S, n its length.

    Returns:
        (B, C, *M), the lengths m.
    """
    for axis, one in enumerate(maps, start=2):
        last = images.movedim(axis, -1)  # (B, C, ..., n)
        if one.ndim == 3:
            one = one.view(len(one), *[1] * (last.ndim - 3), *one.shape[1:])
        images = (last @ one.transpose(-1, -2)).movedim(-1, axis)
    return images


def smooth_field(points: Tensor, size: Sequence[int]) -> Tensor:
    """The uniform cubic B-spline through a coarse grid of control points, at the centres of the voxels.

    It lies between the lowest and the highest of its points and has two continuous derivatives.

    Args:
        points: (B, C, *P), P at least 4 along every axis: P - 3 cells cover the patch.
        size: S, voxels along every axis.

    Returns:
        (B, C, *S).
    """
    return along_axes(points, [_spline(n, points.shape[2 + i], points) for i, n in enumerate(size)])


def _spline(n: int, points: int, like: Tensor) -> Tensor:
    """(n, points): the weights of the control points at n voxel centres."""
    place = (torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) * ((points - 3) / n)  # in cells
    cell = place.floor().clamp_max(points - 4)
    t = place - cell
    parts = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    weights = torch.zeros((n, points), device=like.device, dtype=like.dtype)
    return weights.scatter_(1, cell.long()[:, None] + torch.arange(4, device=like.device), torch.stack(parts, 1) / 6)
