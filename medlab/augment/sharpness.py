"""How sharp images are.

Both changes are one matrix along every axis, so that each image of a batch has its own. Along an axis of n voxels that
takes n x n numbers an image: little for patches, 50 MB for a signal of 3600 samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medlab.augment.drawing import along_axes, in_range

TRUNCATE = 4.0  # a Gaussian ends after so many standard deviations, as in scipy.ndimage


def blur(images: Tensor, generator: torch.Generator, *, sigma: float) -> Tensor:
    """Blur every image (B, C, *S) with a Gaussian of its own, its standard deviation drawn from 0 to sigma.

    Args:
        images: any range; the edge is continued, so that a constant image stays as it is.
        generator: on the images' device.
        sigma: in voxels.
    """
    in_range("sigma", sigma)
    if not sigma:
        return images
    drawn = torch.rand(len(images), device=images.device, dtype=images.dtype, generator=generator) * sigma
    return along_axes(images, [_gaussian(n, drawn, sigma) for n in images.shape[2:]])


def low_resolution(images: Tensor, generator: torch.Generator, *, percent: float) -> Tensor:
    """Make the voxels of every image (B, C, *S) larger, then interpolate back onto its own grid.

    A large voxel holds the mean of what it covers; between the centres of two the value changes linearly. Every axis
    draws its own factor, as slices are often thicker than they are wide.

    Args:
        images: any range.
        generator: on the images' device.
        percent: a voxel becomes longer by up to so much, 100 doubles it; rounded so that whole voxels fill the image.
    """
    in_range("percent", percent)
    if not percent:
        return images
    shape = (images.ndim - 2, len(images))
    factors = 1 + torch.rand(shape, device=images.device, dtype=images.dtype, generator=generator) * percent / 100
    sizes = images.shape[2:]
    return along_axes(
        images, [_coarse(n, (n / one).round().clamp_min(1)) for n, one in zip(sizes, factors, strict=True)]
    )


def _gaussian(n: int, sigmas: Tensor, most: float) -> Tensor:
    """(B, n, n): row i holds the weights of a Gaussian about i; those beyond the edges are given to the edges."""
    beyond = int(TRUNCATE * most + 0.5)
    at = torch.arange(-beyond, n + beyond, device=sigmas.device, dtype=sigmas.dtype)
    distance = at - at[beyond : beyond + n, None]  # (n, n + 2 * beyond)
    sigma = sigmas[:, None, None].clamp_min(1e-6)
    weights = torch.exp(-0.5 * (distance / sigma) ** 2) * (distance.abs() <= (TRUNCATE * sigma + 0.5).floor())
    weights = weights / weights.sum(dim=2, keepdim=True)
    inside = weights[:, :, beyond : beyond + n].clone()
    inside[:, :, 0] += weights[:, :, :beyond].sum(dim=2)
    inside[:, :, -1] += weights[:, :, beyond + n :].sum(dim=2)
    return inside


def _coarse(n: int, cells: Tensor) -> Tensor:
    """(B, n, n): the mean over each of `cells` (B,) equal parts of the axis, then linear between their centres."""
    length = (n / cells)[:, None, None]  # of a part, in voxels
    row = torch.arange(n, device=cells.device, dtype=cells.dtype)[:, None]
    column = row.T
    covered = torch.minimum((row + 1) * length, column + 1) - torch.maximum(row * length, column)
    mean = covered.clamp_min(0) / length  # (B, n parts, n voxels)
    place = ((row + 0.5) / length - 0.5).clamp_min(0).minimum(cells[:, None, None] - 1)  # of a voxel, in parts
    linear = (1 - (place - column).abs()).clamp_min(0)  # (B, n voxels, n parts)
    return linear @ mean
