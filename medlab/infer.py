"""Prediction of whole volumes: slice by slice with neighbours for a 2D network, at once for a 3D one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medlab import gpu, images, metrics

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["dice_table", "predict", "predict_case"]


def predict(model: nn.Module, volume: Tensor, *, batch_size: int = 64) -> Tensor:
    """The most probable label of every voxel.

    A 2D network with more input channels than the volume gets the neighbouring slices as the other channels; beyond
    the first and last slice, that slice stands in. The volume is padded with 0 to a size that the network takes, and
    the labels are cut back.

    Args:
        model: with the attributes `dims`, `in_channels` and `multiple`, like `models.unet.UNet`.
        volume: (C, D, H, W) float, normalised as in training (`gpu.normalise`).
        batch_size: slices at a time, where the network is 2D.

    Returns:
        (D, H, W) uint8 on the model's device.

    Raises:
        ValueError: if the volume's channels do not fit the model's.
    """
    home = next(model.parameters()).device
    precision = gpu.precision(home)
    dims, multiple = int(model.dims), int(model.multiple)  # type: ignore[arg-type]
    inputs, size = _inputs(model, volume.to(home)), volume.shape[-dims:]
    # Evenly on both sides, as Resident pads.
    pads = [(-n % multiple) for n in size]
    before = [p // 2 for p in pads]
    inputs = F.pad(inputs, [n for p, b in zip(pads[::-1], before[::-1], strict=True) for n in (b, p - b)])
    inside = (..., *(slice(b, b + n) for b, n in zip(before, size, strict=True)))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), precision.autocast(home):
            parts = [
                model(part.to(memory_format=precision.memory_format(dims)))[inside].argmax(1)
                for part in inputs.split(batch_size)
            ]
    finally:
        model.train(was_training)
    return torch.cat(parts).to(torch.uint8).reshape(volume.shape[1:])


def predict_case(model: nn.Module, image: sitk.Image) -> sitk.Image:
    """Labels of one image, uint8, on exactly the image's own grid.

    Args:
        model: a trained network, see `predict`.
        image: with the spacing and the orientation that the network was trained on.

    Raises:
        ValueError: if the image's channels do not fit the model's.
    """
    volume = images.array(image)
    flat = image.GetDimension() == 2
    if flat:
        volume = volume[None]
    if volume.ndim == 3:
        volume = volume[..., None]
    labels = predict(model, torch.from_numpy(np.moveaxis(gpu.normalise(volume), -1, 0))).cpu().numpy()
    return images.image_like(labels[0] if flat else labels, image)


def dice_table(model: nn.Module, data: gpu.Resident) -> np.ndarray:
    """Dice of every case and foreground class, over whole volumes.

    Args:
        model: a trained network, see `predict`.
        data: the cases to score, already on the device.

    Returns:
        (cases, classes - 1) float64; `metrics.mean_dice` makes one number of it.
    """
    classes = range(1, max(data.classes, int(getattr(model, "classes", 0))))
    rows = []
    for index in range(len(data)):
        volume, truth = data.volume(index)
        rows.append(metrics.dice_per_class(predict(model, volume), truth, classes))
    return np.stack(rows)


def _inputs(model: nn.Module, volume: Tensor) -> Tensor:
    """What the network takes: (D, C * slices, H, W) for a 2D one, (1, C, D, H, W) for a 3D one."""
    channels, depth = volume.shape[:2]
    wanted = int(model.in_channels)  # type: ignore[arg-type]
    if model.dims == 3 and wanted == channels:
        return volume[None]
    if model.dims == 2 and wanted % channels == 0 and wanted // channels % 2 == 1:
        context = wanted // channels // 2
        at = torch.arange(depth)[:, None] + torch.arange(-context, context + 1)  # (D, slices)
        return volume[:, at.clamp(0, depth - 1).to(volume.device)].movedim(0, 1).flatten(1, 2)
    raise ValueError(
        f"the model takes {wanted} channels ({model.dims}D), which {channels} channels of the volume "
        f"{tuple(volume.shape)} cannot give; a 2D model takes an odd number of slices of each channel"
    )
