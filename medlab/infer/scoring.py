"""From images and cohorts to predictions and their Dice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
import torch

from medlab import gpu, images, metrics
from medlab.infer.volumes import Models, predict

if TYPE_CHECKING:
    import SimpleITK as sitk


class Options(TypedDict, total=False):
    """The options of `predict`, which explains them."""

    batch_size: int
    mirror_axes: Sequence[int]
    patch: Sequence[int] | None
    overlap: float
    memory_mib: float


def predict_case(model: Models, image: sitk.Image, **options: Unpack[Options]) -> sitk.Image:
    """Labels of one image, uint8, on exactly the image's own grid.

    Args:
        model: a trained network or several, see `predict`.
        image: with the spacing and the orientation that the network was trained on.
        options: those of `predict`.

    Raises:
        ValueError: if the image's channels do not fit the model's.
    """
    labels = predict(model, gpu.network_input(image), **options).cpu().numpy()
    return images.image_like(labels[0] if image.GetDimension() == 2 else labels, image)


def dice_table(model: Models, data: gpu.Resident | gpu.Prefetch, **options: Unpack[Options]) -> np.ndarray:
    """Dice of every case and foreground class, over whole volumes.

    Args:
        model: a trained network or several, see `predict`.
        data: the cases to score.
        options: those of `predict`.

    Returns:
        (cases, classes - 1) float64; `metrics.mean_dice` makes one number of it.
    """
    first = model if isinstance(model, torch.nn.Module) else model[0]
    classes = range(1, max(data.classes, int(getattr(first, "classes", 0))))
    rows = []
    for index in range(len(data)):
        volume, truth = data.volume(index)
        rows.append(metrics.dice_per_class(predict(model, volume, **options), truth, classes))
    return np.stack(rows)
