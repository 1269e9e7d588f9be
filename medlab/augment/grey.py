"""How bright images are: one change for a whole image, or a smooth one across it.

Each works in place on its first copy: on a CPU fresh memory costs more than arithmetic.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from medlab.augment.drawing import even, in_range, one_an_image, smooth_field

BIAS_CELLS = 2  # along every axis: a coil's sensitivity varies over the whole head, not within a structure


def brightness(images: Tensor, generator: torch.Generator, *, shift: float) -> Tensor:
    """Add one number, drawn from -shift to shift, to every image (B, C, *S)."""
    in_range("shift", shift)
    return images + shift * even(images, one_an_image(images), generator) if shift else images


def contrast(images: Tensor, generator: torch.Generator, *, percent: float) -> Tensor:
    """Stretch every image (B, C, *S) about its own mean by up to `percent`, 0 to 99."""
    in_range("percent", percent, 99.0)
    if not percent:
        return images
    factor = 1 + even(images, one_an_image(images), generator) * percent / 100
    mean = images.flatten(1).mean(1).view(factor.shape)
    return (images - mean).mul_(factor).add_(mean)


def gamma(images: Tensor, generator: torch.Generator, *, percent: float) -> Tensor:
    """Bend the grey values of every image (B, C, *S) by a power between its darkest and brightest value.

    Args:
        images: any range; the darkest and the brightest value stay as they are.
        generator: on the images' device.
        percent: the exponent is drawn from 1 / (1 + percent / 100) to 1 + percent / 100, evenly in its logarithm.
    """
    in_range("percent", percent)
    if not percent:
        return images
    shape = one_an_image(images)
    low = images.flatten(1).amin(1).view(shape)
    span = (images.flatten(1).amax(1).view(shape) - low).clamp_min(1e-6)
    strength = torch.log(torch.tensor(1 + percent / 100))
    exponent = torch.exp(even(images, shape, generator) * strength.item())
    return (images - low).div_(span).pow_(exponent).mul_(span).add_(low)


def bias_field(images: Tensor, generator: torch.Generator, *, percent: float) -> Tensor:
    """Make every image (B, C, *S) brighter here and darker there, as the coil of an MR scanner does.

    The signal is multiplied by a smooth field, the same in all channels. Normalised images have lost their zero, so
    the darkest value of the image stands for it: air stays dark, and what is bright changes most.

    Args:
        images: any range; the darkest value stays as it is.
        generator: on the images' device.
        percent: the field lies between 1 / (1 + percent / 100) and 1 + percent / 100.

    Source: a cubic B-spline, as in N4 (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908).
    """
    in_range("percent", percent)
    if not percent:
        return images
    points = even(images, (len(images), 1, *[BIAS_CELLS + 3] * (images.ndim - 2)), generator)
    field = smooth_field(points * math.log1p(percent / 100), images.shape[2:]).exp()  # (B, 1, *S)
    low = images.flatten(1).amin(1).view(one_an_image(images))
    return (images - low).mul_(field).add_(low)


def noise(images: Tensor, generator: torch.Generator, *, sigma: float) -> Tensor:
    """Add Gaussian noise to images (B, C, *S); each image draws its own standard deviation from 0 to sigma."""
    in_range("sigma", sigma)
    if not sigma:
        return images
    level = torch.rand(one_an_image(images), device=images.device, generator=generator) * sigma
    return torch.randn(images.shape, device=images.device, generator=generator).mul_(level).add_(images)
