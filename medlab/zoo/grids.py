"""From any image to the grid that a model was trained on, and from there back onto the image's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk

from medlab import images


def require(image: sitk.Image, grid: dict[str, Any], name: str) -> None:
    """Raise unless an image lies on the grid of a recipe: training does not resample.

    Raises:
        ValueError: names the case and says what differs.
    """
    spacing = images.spacing_mm(image)
    if images.orientation(image) != grid["orientation"] or not np.allclose(spacing, wanted_mm(image, grid)):
        raise ValueError(
            f"{name} has orientation {images.orientation(image)} and spacing {spacing} mm (z, y, x); the recipe trains "
            f"on {grid['orientation']} and {grid['spacing_mm']} to {grid.get('spacing_most_mm', grid['spacing_mm'])} mm"
        )


def wanted_mm(image: sitk.Image, grid: dict[str, Any]) -> tuple[float, ...]:
    """The voxel size at which the model sees an image, (z, y, x): its own where the model was trained on it."""
    low, high = np.array(grid["spacing_mm"]), np.array(grid.get("spacing_most_mm", grid["spacing_mm"]))
    return tuple(np.clip(images.spacing_mm(image), low, high).tolist())


def to_model(image: sitk.Image, grid: dict[str, Any]) -> sitk.Image:
    """The image with the axes and the voxel size of the training images, float.

    Where voxels get larger, the image is smoothed first, so that what the larger voxels can't show does not turn into
    noise: Gaussian, so wide that a voxel of the old size becomes about one of the new.
    """
    turned = images.reorient(image, grid["orientation"])
    wanted = wanted_mm(turned, grid)
    own = images.spacing_mm(turned)
    if np.allclose(own, wanted, rtol=images.SPACING_TOLERANCE):
        return turned
    sigma = [0.42 * np.sqrt(max(0.0, new**2 - old**2)) for new, old in zip(wanted, own, strict=True)]
    return images.resample(_smoothed(turned, sigma), spacing_mm=wanted)


def _smoothed(image: sitk.Image, sigma_mm: list[float]) -> sitk.Image:
    """Gaussian smoothing, sigma in mm per axis (z, y, x); 0 leaves an axis as it is."""
    for axis, sigma in enumerate(sigma_mm[::-1]):
        if sigma > 0 and image.GetSize()[axis] >= 4:  # the recursive filter needs four voxels
            image = sitk.RecursiveGaussian(image, sigma, direction=axis)
    return image


def back(probabilities: np.ndarray, seen: sitk.Image, image: sitk.Image) -> sitk.Image:
    """The most probable label at every voxel of the image.

    Args:
        probabilities: (K, D, H, W) on the grid of `seen`.
        seen: what `to_model` made of the image.
        image: the image; its grid is what comes back.

    Returns:
        uint8 labels on exactly the grid of the image. Probabilities, not labels, are interpolated; of equal ones the
        lowest label wins.
    """
    turned = images.orientation(seen)
    own = images.reorient(image, turned)
    if images.grid(seen).size == images.grid(own).size and np.allclose(seen.GetSpacing(), own.GetSpacing()):
        labels = images.image_like(probabilities.argmax(0).astype(np.uint8), own)
    else:
        labels = images.image_like(_interpolated(probabilities, seen, own), own)
    return images.image_like(images.array(images.reorient(labels, images.orientation(image))), image)


def _interpolated(probabilities: np.ndarray, seen: sitk.Image, own: sitk.Image) -> np.ndarray:
    """Labels (D, H, W) on another grid, one class at a time: never more than two classes of it in memory."""
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(own)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.UseNearestNeighborExtrapolatorOn()  # the outermost voxels may reach beyond the grid by half a voxel
    best = np.full(own.GetSize()[::-1], -np.inf, dtype=np.float32)
    labels = np.zeros(best.shape, dtype=np.uint8)
    for label, values in enumerate(probabilities):
        here = images.array(resampler.Execute(images.image_like(values.astype(np.float32), seen)))
        labels[here > best] = label
        np.maximum(best, here, out=best)
    return labels
