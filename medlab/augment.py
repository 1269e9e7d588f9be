"""Augmentation of whole batches, on the device where they lie, in 2D and 3D.

Every strength is the largest change: 15 degrees means an angle drawn evenly from -15 to 15 for every image of the
batch. A strength of 0 changes nothing, to the bit. Built by hand in lesson 30.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Augment", "affine", "brightness", "contrast", "flip", "gamma", "noise"]


@dataclass(frozen=True)
class Augment:
    """A recipe: first where things are (image and labels together), then how bright they are (image only).

    Flips are off unless asked for: a mirrored patient has the heart on the right.

    Attributes:
        rotation_degrees: about every axis.
        scale_percent: larger or smaller, the same along every axis.
        shift_percent: of the patch's size, along every axis.
        flip_axes: spatial axes to mirror half of the time; 0 is the first after the channels.
        brightness: added, in standard deviations of the normalised image.
        contrast_percent: of the image's own contrast about its mean.
        gamma_percent: exponent of the grey values between the patch's darkest and brightest.
        noise: standard deviation of Gaussian noise, in standard deviations of the normalised image.
    """

    rotation_degrees: float = 15.0
    scale_percent: float = 15.0
    shift_percent: float = 5.0
    flip_axes: tuple[int, ...] = ()
    brightness: float = 0.2
    contrast_percent: float = 20.0
    gamma_percent: float = 0.0
    noise: float = 0.1

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augmented images (B, C, *S) float32 and labels (B, *S) int64, the same shapes."""
        images, labels = flip(images, labels, generator, axes=self.flip_axes)
        images, labels = affine(
            images,
            labels,
            generator,
            rotation_degrees=self.rotation_degrees,
            scale_percent=self.scale_percent,
            shift_percent=self.shift_percent,
        )
        images = gamma(images, generator, percent=self.gamma_percent)
        images = contrast(images, generator, percent=self.contrast_percent)
        images = brightness(images, generator, shift=self.brightness)
        return noise(images, generator, sigma=self.noise), labels


def affine(
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    *,
    rotation_degrees: float = 0.0,
    scale_percent: float = 0.0,
    shift_percent: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Rotate, scale and shift every image of a batch by its own amount, about its centre.

    Images are interpolated linearly and labels by the nearest voxel, at the same places. Beyond the patch its edge is
    continued, in images and in labels alike.

    Args:
        images: (B, C, H, W) or (B, C, D, H, W) float, voxels of equal edges.
        labels: (B, H, W) or (B, D, H, W) integers.
        generator: on the images' device.
        rotation_degrees: largest angle, about every axis, 0 to 180.
        scale_percent: largest change of size, 0 to less than 100.
        shift_percent: largest shift, of the size along each axis, 0 to 100.

    Returns:
        Images and labels of the same shapes and dtypes.

    Raises:
        ValueError: if a strength is outside its range or the shapes do not belong together.
    """
    _check(images, labels)
    _in_range("rotation_degrees", rotation_degrees, 180.0)
    _in_range("scale_percent", scale_percent, 99.0)
    _in_range("shift_percent", shift_percent, 100.0)
    if rotation_degrees == scale_percent == shift_percent == 0:
        return images, labels
    batch, dims = len(images), images.ndim - 2
    angles = _even(images, (batch, 1 if dims == 2 else 3), generator) * torch.pi * rotation_degrees / 180
    zoom = 1 + _even(images, (batch, 1, 1), generator) * scale_percent / 100
    # affine_grid works in a box from -1 to 1 along every axis, in (x, y, z) order: the rotation is written in
    # voxels and carried over, or it would shear a patch that is not square.
    half = torch.tensor(images.shape[:1:-1], dtype=images.dtype, device=images.device) / 2  # (dims,)
    matrix = _rotation(angles) / zoom * half / half[:, None]  # (B, dims, dims)
    shift = _even(images, (batch, dims, 1), generator) * 2 * shift_percent / 100
    grid = F.affine_grid(torch.cat([matrix, shift], dim=2), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    truth = labels.unsqueeze(1).to(images.dtype)
    truth = F.grid_sample(truth, grid, mode="nearest", padding_mode="border", align_corners=False)
    return moved, truth.squeeze(1).to(labels.dtype)


def flip(images: Tensor, labels: Tensor, generator: torch.Generator, *, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mirror every image of a batch, and its labels, along each of the axes with probability one half.

    Args:
        images: (B, C, *S).
        labels: (B, *S).
        generator: on the images' device.
        axes: spatial axes, 0 is the first of S. Ask for left and right only where a mirrored body is a possible one.

    Raises:
        ValueError: if an axis is not there or the shapes do not belong together.
    """
    _check(images, labels)
    dims = images.ndim - 2
    for axis in axes:
        if not 0 <= axis < dims:
            raise ValueError(f"axes must be 0 to {dims - 1} for images {tuple(images.shape)}, got {axis}")
        chosen = torch.rand(len(images), device=images.device, generator=generator) < 0.5
        images = torch.where(_broadcast(chosen, images), images.flip(axis + 2), images)
        labels = torch.where(_broadcast(chosen, labels), labels.flip(axis + 1), labels)
    return images, labels


def brightness(images: Tensor, generator: torch.Generator, *, shift: float) -> Tensor:
    """Add one number, drawn from -shift to shift, to every image (B, C, *S)."""
    _in_range("shift", shift, float("inf"))
    return images + shift * _even(images, (len(images), *[1] * (images.ndim - 1)), generator) if shift else images


def contrast(images: Tensor, generator: torch.Generator, *, percent: float) -> Tensor:
    """Stretch every image (B, C, *S) about its own mean by up to `percent`, 0 to 99."""
    _in_range("percent", percent, 99.0)
    if not percent:
        return images
    factor = 1 + _even(images, (len(images), *[1] * (images.ndim - 1)), generator) * percent / 100
    mean = images.flatten(1).mean(1).view(factor.shape)
    return mean + (images - mean) * factor


def gamma(images: Tensor, generator: torch.Generator, *, percent: float) -> Tensor:
    """Bend the grey values of every image (B, C, *S) by a power between its darkest and brightest value.

    Args:
        images: any range; the darkest and the brightest value stay as they are.
        generator: on the images' device.
        percent: the exponent is drawn from 1 / (1 + percent / 100) to 1 + percent / 100, evenly in its logarithm.
    """
    _in_range("percent", percent, float("inf"))
    if not percent:
        return images
    shape = (len(images), *[1] * (images.ndim - 1))
    low = images.flatten(1).amin(1).view(shape)
    span = (images.flatten(1).amax(1).view(shape) - low).clamp_min(1e-6)
    strength = torch.log(torch.tensor(1 + percent / 100))
    exponent = torch.exp(_even(images, shape, generator) * strength.item())
    return low + span * ((images - low) / span).pow(exponent)


def noise(images: Tensor, generator: torch.Generator, *, sigma: float) -> Tensor:
    """Add Gaussian noise to images (B, C, *S); each image draws its own standard deviation from 0 to sigma."""
    _in_range("sigma", sigma, float("inf"))
    if not sigma:
        return images
    level = torch.rand((len(images), *[1] * (images.ndim - 1)), device=images.device, generator=generator) * sigma
    return images + level * torch.randn(images.shape, device=images.device, generator=generator)


def _even(like: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Evenly drawn from -1 to 1."""
    return torch.rand(shape, device=like.device, dtype=like.dtype, generator=generator) * 2 - 1


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


def _broadcast(chosen: Tensor, like: Tensor) -> Tensor:
    return chosen.view(-1, *[1] * (like.ndim - 1))


def _check(images: Tensor, labels: Tensor) -> None:
    if images.ndim not in (4, 5) or labels.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(
            "images must be (B, C, H, W) or (B, C, D, H, W) and labels (B, ...) of the same spatial size, "
            f"got {tuple(images.shape)} and {tuple(labels.shape)}"
        )


def _in_range(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be 0 to {most:g}, got {value}")
