"""What comes in: arrays or tensors, checked, cut to what holds labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def array_of(values: Any) -> np.ndarray:
    """A numpy view of an array, or of a tensor on whatever device."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def same_shape(prediction: np.ndarray, truth: np.ndarray) -> None:
    """Raise ValueError unless both have one shape."""
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction and truth must have the same shape, got {prediction.shape} and {truth.shape}")


def masks(prediction: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as bool arrays of one shape; raises TypeError or ValueError where they are not."""
    a, b = array_of(prediction), array_of(truth)
    for name, mask in (("prediction", a), ("truth", b)):
        if mask.dtype != np.bool_:
            raise TypeError(f"{name} must be a bool mask, got {mask.dtype}: compare first, as in `labels == 1`")
    same_shape(a, b)
    return a, b


def label_maps(prediction: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as integer (or bool) arrays of one shape; raises TypeError or ValueError where they are not."""
    a, b = array_of(prediction), array_of(truth)
    for name, labels in (("prediction", a), ("truth", b)):
        if labels.dtype.kind not in "iub":
            raise TypeError(f"{name} must hold integer labels, got {labels.dtype}")
    same_shape(a, b)
    return a, b


def flat_or_solid(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the shape is that of a picture or of a volume."""
    if len(shape) not in (2, 3):
        raise ValueError(
            f"prediction and truth must be 2D or 3D, got shape {shape}: take one case and one channel at a time"
        )


def spacing_of(spacing_mm: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """The spacing as one positive number an axis, 1 mm where none is given; raises ValueError for any other."""
    if spacing_mm is None:
        return (1.0,) * ndim
    spacing = tuple(float(length) for length in np.ravel(array_of(spacing_mm)))
    if len(spacing) != ndim or not all(0 < length < np.inf for length in spacing):
        order = "(z, y, x)" if ndim == 3 else "(y, x)"
        raise ValueError(f"spacing_mm must be {ndim} positive numbers in {order} order, got {spacing_mm}")
    return spacing


def joint_box(a: np.ndarray, b: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds whatever is not 0 in either, or None where all is 0.

    Narrowed axis by axis: the first projection reads everything, the next ones only what is left.
    """
    if a.size == 0:
        return None
    shadow = np.bitwise_or.reduce(a, axis=0) | np.bitwise_or.reduce(b, axis=0)
    if not shadow.any():
        return None
    rest = range(shadow.ndim)
    box = tuple(_span(np.any(shadow, axis=tuple(other for other in rest if other != axis))) for axis in rest)
    column = tuple(axis + 1 for axis in rest)
    inside = (slice(None), *box)
    return _span(np.any(a[inside], axis=column) | np.any(b[inside], axis=column)), *box


def _span(line: np.ndarray) -> slice:
    """From the first to the last True of a line that holds one."""
    return slice(int(line.argmax()), line.size - int(line[::-1].argmax()))


def small_integers(labels: np.ndarray, name: str) -> np.ndarray:
    """The labels as uint8 where they fit, as int64 otherwise; raises ValueError for negative ones."""
    if labels.dtype.kind == "b" or labels.dtype == np.uint8:
        return labels.view(np.uint8)
    if int(labels.min()) < 0:
        raise ValueError(f"{name} must hold labels from 0 on, got {int(labels.min())}: give ignored voxels a label")
    return labels.astype(np.uint8 if int(labels.max()) < 256 else np.int64)
