"""Look at volumes, labels and predictions: in a notebook (`view`, `compare`) and in print (`montage`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medlab.viewer.scene import build
from medlab.viewer.still import montage
from medlab.viewer.widget import Viewer
from medlab.viewer.wire import Wire

__all__ = ["compare", "montage", "view"]


def view(
    image: Any,
    labels: Any = None,
    probability: Any = None,
    label_names: Mapping[int, str] | None = None,
    window: tuple[float, float] | str | None = None,
    *,
    plane: str | None = None,
    max_mb: float = 320.0,
) -> Viewer:
    """An interactive viewer of a volume: three linked planes, drawn in the browser.

    Put it last in a cell. It keeps working while the kernel is busy. Points, a box and painted labels come back as
    `viewer.points`, `viewer.roi` and `viewer.labels()`.

    Args:
        image: a `SimpleITK.Image`, an array or a tensor: (H, W), (D, H, W), (T, D, H, W), colour with a last axis of 3.
        labels: whole numbers on the same grid; 0 is background.
        probability: numbers on the same grid, mostly in 0..1, drawn as a heat map.
        label_names: label value -> name.
        window: (level, width) in the units of the image, or the name of a preset such as "lung".
        plane: "axial", "coronal" or "sagittal" to see that plane alone.
        max_mb: a larger volume (as 16-bit values) is thinned before it is sent, and the viewer says so.

    Raises:
        ValueError: shapes or grids that do not match, an empty image, labels with fractions, or an unknown plane or
            window.
        TypeError: values that are not real numbers.
    """
    scene = build(image, labels, probability=probability, label_names=label_names, window=window)
    if plane is not None:
        scene.plane(plane)
    return Viewer(scene, Wire(scene, plane=plane, max_mb=max_mb))


def compare(
    image: Any,
    truth: Any,
    prediction: Any,
    label_names: Mapping[int, str] | None = None,
    window: tuple[float, float] | str | None = None,
    *,
    max_mb: float = 320.0,
) -> Viewer:
    """A viewer of truth, prediction and where they differ, side by side, with the Dice of every slice.

    Args:
        image: as for `view`.
        truth: whole numbers on the grid of the image; 0 is background.
        prediction: as truth.
        label_names: label value -> name.
        window: (level, width) in the units of the image, or the name of a preset.
        max_mb: as for `view`.

    Raises:
        ValueError: shapes or grids that do not match, an empty image, labels with fractions, an unknown window.
        TypeError: values that are not real numbers.
    """
    if truth is None or prediction is None:
        raise ValueError("compare needs both a truth and a prediction; to look at one label map, use view")
    scene = build(image, truth, prediction, label_names=label_names, window=window)
    return Viewer(scene, Wire(scene, compare=True, max_mb=max_mb))
