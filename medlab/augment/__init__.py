"""Augmentation of whole batches, on the device where they lie: images, volumes and signals.

Every strength is the largest change: 15 degrees means an angle drawn evenly from -15 to 15 for every image of the
batch. A strength of 0 changes nothing, to the bit, and draws no random number. Built by hand in lesson 30.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medlab.augment.grey import bias_field, brightness, contrast, gamma, noise
from medlab.augment.sharpness import blur, low_resolution
from medlab.augment.space import deform, flip

__all__ = [
    "Augment",
    "bias_field",
    "blur",
    "brightness",
    "contrast",
    "deform",
    "flip",
    "gamma",
    "low_resolution",
    "noise",
]


@dataclass(frozen=True)
class Augment:
    """A recipe: where things are (image and labels together), how sharp they are, how bright (image only).

    Flips are off unless asked for: a mirrored patient has the heart on the right. Signals have no place in space:
    they keep theirs, whatever the strengths of rotation, scale, shift, shear, elastic and flips.

    Attributes:
        rotation_degrees: about every axis, 0 to 180.
        scale_percent: larger or smaller, the same along every axis, 0 to 99.
        shift_percent: of the patch's size, along every axis, 0 to 100.
        shear_degrees: between every two axes, 0 to 45.
        elastic_percent: of the patch's size, how far the control points of a smooth field move, 0 to 10.
        flip_axes: spatial axes to mirror half of the time; 0 is the first after the channels.
        blur: standard deviation of a Gaussian in voxels.
        low_resolution_percent: how much larger the voxels become before they are interpolated back; 100 doubles them.
        bias_percent: by which the signal rises or falls smoothly across the patch.
        gamma_percent: exponent of the grey values between the patch's darkest and brightest.
        contrast_percent: of the image's own contrast about its mean, 0 to 99.
        brightness: added, in standard deviations of the normalised image.
        noise: standard deviation of Gaussian noise, in standard deviations of the normalised image.
    """

    rotation_degrees: float = 15.0
    scale_percent: float = 15.0
    shift_percent: float = 5.0
    shear_degrees: float = 0.0
    elastic_percent: float = 0.0
    flip_axes: tuple[int, ...] = ()
    blur: float = 0.0
    low_resolution_percent: float = 0.0
    bias_percent: float = 0.0
    gamma_percent: float = 0.0
    contrast_percent: float = 20.0
    brightness: float = 0.2
    noise: float = 0.1

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The batch augmented, the same shapes and dtypes.

        Args:
            images: (B, C, T), (B, C, H, W) or (B, C, D, H, W) float.
            labels: (B, *S) integers, which move with the images, or (B,) classes, which stay as they are.
            generator: on the images' device.
        """
        if images.ndim > 3:
            images, labels = flip(images, labels, generator, axes=self.flip_axes)
            images, labels = deform(
                images,
                labels,
                generator,
                rotation_degrees=self.rotation_degrees,
                scale_percent=self.scale_percent,
                shift_percent=self.shift_percent,
                shear_degrees=self.shear_degrees,
                elastic_percent=self.elastic_percent,
            )
        images = blur(images, generator, sigma=self.blur)
        images = low_resolution(images, generator, percent=self.low_resolution_percent)
        images = bias_field(images, generator, percent=self.bias_percent)
        images = gamma(images, generator, percent=self.gamma_percent)
        images = contrast(images, generator, percent=self.contrast_percent)
        images = brightness(images, generator, shift=self.brightness)
        return noise(images, generator, sigma=self.noise), labels
