"""All metrics of a pair of label maps in one report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medlab.metrics.inputs import flat_or_solid, joint_box, label_maps, small_integers, spacing_of
from medlab.metrics.surfaces import NOTHING, SurfaceDistances, checked_tolerance, label_distances


def evaluate(
    prediction: Any,
    truth: Any,
    *,
    label_names: Mapping[int, str] | None = None,
    spacing_mm: Sequence[float] | None = None,
    tolerance_mm: float = 1.0,
) -> dict[str, dict[str, float]]:
    """Every metric of every label of one case, from one computation.

    Args:
        prediction: integer labels (or a bool mask, which is label 1), array or tensor, (D, H, W) or (H, W);
            0 is the background and is not scored.
        truth: the same, of the same shape.
        label_names: of the labels to score, such as `cohort.label_names`; an entry for 0 is left out. A label in
            neither map is scored as two empty masks. By default the labels in either map, named "1", "2", ...
        spacing_mm: voxel size, one positive number an axis, in array order; 1 mm by default.
        tolerance_mm: of the surface Dice.

    Returns:
        For each name a dictionary with

        - `dice`, `iou`, `precision`, `recall` in [0, 1]: 1 where both masks are empty; where one is, 0;
        - `volume_error_ml`: volume of the prediction minus that of the truth (of a picture, as if 1 mm thick);
        - `hausdorff_mm`, `hd95_mm`, `average_surface_distance_mm`: 0 where both masks are empty, infinite where one is;
        - `surface_dice` in [0, 1] at the tolerance: 1 where both masks are empty, 0 where one is.

    Raises:
        TypeError: if the labels are not integers.
        ValueError: if the shapes differ, the maps are not 2D or 3D, the spacing or the tolerance is not possible, a
            label is negative or is not named in `label_names`, or two labels share a name.
    """
    a, b = label_maps(prediction, truth)
    flat_or_solid(a.shape)
    spacing = spacing_of(spacing_mm, a.ndim)
    checked_tolerance(tolerance_mm)
    box = joint_box(a, b)
    if box is None:
        a, b, surfaces = np.zeros(0, np.uint8), np.zeros(0, np.uint8), {}
    else:
        a, b = small_integers(a[box], "prediction"), small_integers(b[box], "truth")
        surfaces = label_distances(a, b, spacing)
    voxel_ml = float(np.prod(spacing)) / 1000
    report = {}
    for label, name in _names(label_names, list(surfaces)).items():
        report[name] = _overlap(a, b, label, voxel_ml) | _distances(surfaces.get(label, NOTHING), tolerance_mm)
    return report


def _names(label_names: Mapping[int, str] | None, present: list[int]) -> dict[int, str]:
    """Label and name of what is to be scored; raises ValueError where a label has no name, or not its own."""
    if label_names is None:
        return {label: str(label) for label in present}
    names = {int(label): str(name) for label, name in label_names.items() if label != 0}
    unknown = sorted(set(present) - set(names))
    if unknown:
        raise ValueError(f"label_names names {sorted(names)}, but the maps also hold {unknown}: name every label")
    if len(set(names.values())) < len(names):
        raise ValueError(f"label_names must give every label its own name, got {list(names.values())}")
    return names


def _overlap(a: np.ndarray, b: np.ndarray, label: int, voxel_ml: float) -> dict[str, float]:
    """The metrics that count voxels."""
    mine, theirs = a == label, b == label
    predicted, true = int(np.count_nonzero(mine)), int(np.count_nonzero(theirs))
    mine &= theirs
    both = int(np.count_nonzero(mine))
    empty = float(predicted == 0 and true == 0)  # the score of 0 / 0
    return {
        "dice": 2 * both / (predicted + true) if predicted + true else empty,
        "iou": both / (predicted + true - both) if predicted + true else empty,
        "precision": both / predicted if predicted else empty,
        "recall": both / true if true else empty,
        "volume_error_ml": (predicted - true) * voxel_ml,
    }


def _distances(surfaces: SurfaceDistances, tolerance_mm: float) -> dict[str, float]:
    """The metrics that follow from the distances between the surfaces."""
    return {
        "hausdorff_mm": surfaces.hausdorff_mm(),
        "hd95_mm": surfaces.hausdorff_mm(95),
        "average_surface_distance_mm": surfaces.average_mm(),
        "surface_dice": surfaces.surface_dice(tolerance_mm),
    }
