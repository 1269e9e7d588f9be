"""Where things are: images and labels move together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medlab.augment import trilinear
from medlab.augment.drawing import even, in_range, smooth_field

# Control points of the elastic field: so many cells cover the patch along every axis.
ELASTIC_CELLS = 4
# A cubic B-spline of displacements folds nowhere if no control point moves more than 0.40 of a cell in 3D (0.48 in
# 2D): Choi and Lee 2000, Graphical Models 62, 411-427, doi:10.1006/gmod.2000.0531. In per cent of the patch:
ELASTIC_LIMIT = 0.40 * 100 / ELASTIC_CELLS


def deform(
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    *,
    rotation_degrees: float = 0.0,
    scale_percent: float = 0.0,
    shift_percent: float = 0.0,
    shear_degrees: float = 0.0,
    elastic_percent: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, shift, shear and bend every image of a batch by its own amount, about its centre.

    All of it makes one grid, in which images are interpolated once, linearly, and labels by the nearest voxel. Beyond
    the patch its edge is continued, in images and in labels alike. Nothing folds: every voxel keeps its neighbours.

    Args:
        images: (B, C, H, W) or (B, C, D, H, W) float, voxels of equal edges.
        labels: (B, H, W) or (B, D, H, W) integers; or (B,) classes, which come back as they are.
        generator: on the images' device.
        rotation_degrees: largest angle, about every axis, 0 to 180.
        scale_percent: largest change of size, 0 to 99.
        shift_percent: largest shift, of the size along each axis, 0 to 100.
        shear_degrees: largest angle between an axis and where it was, for every two axes, 0 to 45.
        elastic_percent: how far a control point of the smooth field moves at most, of the size along each axis, 0 to
            10. Four by four (by four) cells of control points cover the patch.

    Returns:
        Images and labels of the same shapes and dtypes.

    Raises:
        ValueError: if a strength is outside its range or the shapes do not belong together.
    """
    _check(images, labels)
    in_range("rotation_degrees", rotation_degrees, 180.0)
    in_range("scale_percent", scale_percent, 99.0)
    in_range("shift_percent", shift_percent, 100.0)
    in_range("shear_degrees", shear_degrees, 45.0)
    in_range("elastic_percent", elastic_percent, ELASTIC_LIMIT)
    if rotation_degrees == scale_percent == shift_percent == shear_degrees == elastic_percent == 0:
        return images, labels
    batch, dims = len(images), images.ndim - 2
    pairs = 1 if dims == 2 else 3  # of axes
    angles = even(images, (batch, pairs), generator) * torch.pi * rotation_degrees / 180
    zoom = 1 + even(images, (batch, 1, 1), generator) * scale_percent / 100
    turn = _rotation(angles)
    shift = even(images, (batch, dims, 1), generator) * 2 * shift_percent / 100
    if shear_degrees:
        turn = turn @ _shear(even(images, (batch, pairs), generator) * math.radians(shear_degrees))
    # affine_grid works in a box from -1 to 1 along every axis, in (x, y, z) order: the rotation is written in
    # voxels and carried over, or it would shear a patch that is not square.
    half = torch.cat([images.new_full((1,), n / 2) for n in images.shape[:1:-1]])  # (dims,); filled, not copied: a GPU
    # would make the host wait for a copy
    matrix = turn / zoom * half / half[:, None]  # (B, dims, dims)
    bend = None
    if elastic_percent:  # bent first, then moved as a whole: two maps that do not fold make a third
        points = even(images, (batch, dims, *[ELASTIC_CELLS + 3] * dims), generator) * 2 * elastic_percent / 100
        bend = smooth_field((matrix @ points.flatten(2)).view_as(points), images.shape[2:])  # (B, dims, *S)
    return _sample(images, labels, torch.cat([matrix, shift], dim=2), bend)


def flip(images: Tensor, labels: Tensor, generator: torch.Generator, *, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mirror every image of a batch, and its labels, along each of the axes with probability one half.

    Args:
        images: (B, C, *S).
        labels: (B, *S); or (B,) classes, which come back as they are.
        generator: on the images' device.
        axes: spatial axes, 0 is the first of S. Ask for left and right only where a mirrored body is a possible one.

    Raises:
        TypeError: if the axes are a single number.
        ValueError: if an axis is not there or the shapes do not belong together.
    """
    _check(images, labels)
    dims = images.ndim - 2
    if isinstance(axes, int):
        raise TypeError(f"axes must be a tuple of 0 to {dims - 1}, got {axes}: write ({axes},)")
    for axis in axes:
        if not 0 <= axis < dims:
            raise ValueError(f"axes must be 0 to {dims - 1} for images {tuple(images.shape)}, got {axis}")
        chosen = torch.rand(len(images), device=images.device, generator=generator) < 0.5
        images = torch.where(_broadcast(chosen, images), images.flip(axis + 2), images)
        if labels.ndim > 1:
            labels = torch.where(_broadcast(chosen, labels), labels.flip(axis + 1), labels)
    return images, labels


def _sample(images: Tensor, labels: Tensor, matrix: Tensor, bend: Tensor | None) -> tuple[Tensor, Tensor]:
    """Images and labels at the places of one grid: matrix (B, dims, dims + 1) times the voxel's, plus bend."""
    if trilinear.is_faster(images):
        return trilinear.sample(images, labels, matrix, bend)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)  # (B, *S, dims)
    if bend is not None:
        grid = grid + bend.movedim(1, -1)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if labels.ndim == 1:
        return moved, labels
    truth = labels.unsqueeze(1).to(images.dtype)
    truth = F.grid_sample(truth, grid, mode="nearest", padding_mode="border", align_corners=False)
    return moved, truth.squeeze(1).to(labels.dtype)


def _rotation(angles: Tensor) -> Tensor:
    """(B, 1) angles in radians -> (B, 2, 2); (B, 3) about x, y and z -> (B, 3, 3)."""
    cosines, sines = angles.cos(), angles.sin()
    if angles.shape[1] == 1:
        rows = [torch.cat([cosines, -sines], 1), torch.cat([sines, cosines], 1)]
        return torch.stack(rows, 1)
    result = torch.eye(3, dtype=angles.dtype, device=angles.device).expand(len(angles), 3, 3)
    for axis, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        turn = torch.eye(3, dtype=angles.dtype, device=angles.device).repeat(len(angles), 1, 1)
        turn[:, i, i] = turn[:, j, j] = cosines[:, axis]
        turn[:, i, j], turn[:, j, i] = -sines[:, axis], sines[:, axis]
        result = result @ turn
    return result


def _shear(angles: Tensor) -> Tensor:
    """(B, 1) or (B, 3) angles in radians, one for every two axes -> (B, 2, 2) or (B, 3, 3), determinant 1.

    Triangular, x along y and z, y along z: with a rotation that is every shear there is.
    """
    dims = 2 if angles.shape[1] == 1 else 3
    result = torch.eye(dims, dtype=angles.dtype, device=angles.device).repeat(len(angles), 1, 1)
    rows, columns = torch.triu_indices(dims, dims, offset=1, device=angles.device)
    result[:, rows, columns] = angles.tan()
    return result


def _broadcast(chosen: Tensor, like: Tensor) -> Tensor:
    return chosen.view(-1, *[1] * (like.ndim - 1))


def _check(images: Tensor, labels: Tensor) -> None:
    if images.ndim not in (4, 5) or labels.shape not in ((len(images),), (len(images), *images.shape[2:])):
        raise ValueError(
            "images must be (B, C, H, W) or (B, C, D, H, W) and labels (B, ...) of the same spatial size or (B,) "
            f"classes, got {tuple(images.shape)} and {tuple(labels.shape)}"
        )
