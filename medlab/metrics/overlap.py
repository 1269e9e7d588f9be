"""Dice: how much of two masks is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medlab.metrics.inputs import array_of, label_maps, masks


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
    a, b = masks(prediction, truth)
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
    a, b = label_maps(prediction, truth)
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
    values = array_of(table)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"table must be (cases, classes) with at least one of each, got shape {values.shape}")
    return float(values.mean(axis=1).mean())
