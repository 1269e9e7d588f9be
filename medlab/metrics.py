"""Metrics on masks and label maps: what a result is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["dice", "dice_per_class", "mean_dice"]


def dice(prediction: Any, truth: Any) -> float:
    """Twice the overlap over the sum of the two sizes, in [0, 1].

    Args:
        prediction: bool mask, array or tensor, any shape.
        truth: bool mask of the same shape.

    Returns:
        1 for equal masks, 0 for masks that share no voxel. Both empty: 1. One empty: 0.

    Raises:
        TypeError: if a mask is not bool: for label maps use `dice_per_class`.
        ValueError: if the shapes differ.

    Source: Dice 1945, doi:10.2307/1932409. Built by hand in lesson 40.
    """
    a, b = _array(prediction), _array(truth)
    for name, mask in (("prediction", a), ("truth", b)):
        if mask.dtype != np.bool_:
            raise TypeError(f"{name} must be a bool mask, got {mask.dtype}: compare first, as in `labels == 1`")
    if a.shape != b.shape:
        raise ValueError(f"prediction and truth must have the same shape, got {a.shape} and {b.shape}")
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else 1.0


def dice_per_class(prediction: Any, truth: Any, classes: Sequence[int]) -> np.ndarray:
    """Dice of every class of one pair of label maps.

    Args:
        prediction: integer labels, array or tensor, any shape.
        truth: integer labels of the same shape.
        classes: the labels to score, usually 1..K-1 (without the background).

    Returns:
        (len(classes),) float64 in [0, 1]; a class in neither map scores 1, in one only 0.

    Raises:
        TypeError: if the labels are not integers.
        ValueError: if the shapes differ.
    """
    a, b = _array(prediction), _array(truth)
    for name, labels in (("prediction", a), ("truth", b)):
        if labels.dtype.kind not in "iub":
            raise TypeError(f"{name} must hold integer labels, got {labels.dtype}")
    return np.array([dice(a == label, b == label) for label in classes])


def mean_dice(table: Any) -> float:
    """Mean over the classes of each case, then over the cases, of a (cases, classes) table of Dice.

    Args:
        table: (N, K) numbers in [0, 1], one row a case, as `dice_per_class` gives them.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: if the table is empty or is not two-dimensional.
    """
    values = _array(table)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"table must be (cases, classes) with at least one of each, got shape {values.shape}")
    return float(values.mean(axis=1).mean())


def _array(values: Any) -> np.ndarray:
    """A numpy view of an array, or of a tensor on whatever device."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
