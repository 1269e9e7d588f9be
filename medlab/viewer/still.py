"""Slices side by side in a matplotlib figure, for text and print."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medlab.viewer.scene import HEAT_MAP, OPACITY, Plane, Scene, build, heat_range, label_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 9.0


def montage(
    image: Any,
    labels: Any = None,
    *,
    slices: int | Sequence[int] = 6,
    probability: Any = None,
    label_names: Mapping[int, str] | None = None,
    window: tuple[float, float] | str | None = None,
    plane: str | None = None,
) -> Figure:
    """A figure of several slices side by side, for text and print.

    Every slice has its physical aspect and the four orientation letters, the patient's right is on the left. Labels are
    drawn in the colour-blind-safe palette of Okabe and Ito, with a legend of names and volumes.

    Args:
        image: a `SimpleITK.Image`, an array or a tensor: (H, W), (D, H, W), or colour with a last axis of 3.
        labels: whole numbers on the same grid; 0 is background.
        slices: how many slices, spread over the labels (or over the volume), or their array indices.
        probability: values in 0..1 on the same grid, drawn as a heat map with a colour bar.
        label_names: label value -> name.
        window: (level, width) in the units of the image, or the name of a preset such as "lung".
        plane: "axial", "coronal" or "sagittal"; by default the one along which the image was cut.

    Returns:
        A matplotlib figure. Its `alt` is a line that describes it: `plots.show(figure, alt=figure.alt)`.

    Raises:
        ValueError: shapes that do not match, an empty image, an unknown plane, a slice that does not exist.
        TypeError: `slices` is neither a whole number nor some of them.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    scene = build(image, labels, probability=probability, label_names=label_names, window=window)
    shown = scene.plane(plane) if plane else _along_slices(scene)
    positions = _positions(scene, shown, slices)
    columns, rows, size = _grid(scene, shown, len(positions))
    engine = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    figure = Figure(figsize=size, layout=engine)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, position in zip(axes.flat, positions, strict=False):
        _draw_slice(ax, scene, shown, position)
    _draw_keys(figure, scene, axes)
    number = len(positions)
    what = "" if scene.flat else f"{number} {shown.name} slice{'s' if number > 1 else ''}. "
    figure.alt = what + scene.describe()  # type: ignore[attr-defined]
    return figure


def _along_slices(scene: Scene) -> Plane:
    """The plane in which the voxels are smallest: the one in which the scanner made its pictures."""
    return max(scene.planes, key=lambda plane: scene.spacing_mm[plane.axes[2]])


def _positions(scene: Scene, plane: Plane, slices: int | Sequence[int]) -> list[int]:
    count = scene.shape[plane.axes[2]]
    if not isinstance(slices, (int, np.integer)):
        try:
            slices = [operator.index(index) for index in slices]
        except TypeError:
            raise TypeError(f"slices must be a whole number or a list of array indices, got {slices!r}") from None
        for index in slices:
            if not 0 <= index < count:
                raise ValueError(f"slices must be in 0..{count - 1} ({plane.name}), got {index}")
        return [plane.position(index, scene.shape) for index in slices]
    if slices < 1:
        raise ValueError(f"slices must be at least 1, got {slices}")
    first, last = 0.1 * (count - 1), 0.9 * (count - 1)
    overlay = scene.probability if scene.labels is None else scene.labels.index
    if overlay is not None and overlay.any():
        others = tuple(axis for axis in range(3) if axis != plane.axes[2])
        filled = np.flatnonzero(overlay.any(axis=others))
        ends = sorted(plane.position(int(i), scene.shape) for i in (filled[0], filled[-1]))
        first, last = ends[0] + 0.08 * (ends[1] - ends[0]), ends[1] - 0.08 * (ends[1] - ends[0])
    spread = np.linspace(first, last, slices) if slices > 1 else np.array([(first + last) / 2])
    return sorted({int(np.floor(p + 0.5)) for p in spread})


def _grid(scene: Scene, plane: Plane, count: int) -> tuple[int, int, tuple[float, float]]:
    """Columns, rows and size in inches so that the panels fill the width of a page and are not too small."""
    across, down = (scene.shape[a] * scene.spacing_mm[a] for a in plane.axes[:2])
    aspect = float(np.clip(down / across, 0.2, 4))
    columns = count if count <= 4 else min(count, max(3, round(np.sqrt(count * aspect * 2.2))))
    rows = -(-count // columns)
    columns = -(-count // rows)  # as even as the rows allow
    bar = 0.0 if scene.colour and scene.probability is None else 0.8
    panel = min((WIDTH_INCHES - bar) / columns, 4.0 / aspect, 6.5 / (aspect * rows), 4.5)
    legend_rows = 0 if scene.labels is None else -(-min(len(scene.labels.names), 17) // 4)
    keys = 0.05 + (0.2 + 0.18 * legend_rows if legend_rows else 0)
    return columns, rows, (max(panel * columns + bar, 3.2), panel * aspect * rows + keys)


def grey(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Values through a window as 0..255, rounded; what is not finite comes out as 0."""
    level, width = window
    scaled = (np.nan_to_num(values.astype(np.float64)) - (level - width / 2)) / width
    return np.floor(np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8)


def base_picture(scene: Scene, plane: Plane, position: int, frame: int = 0) -> np.ndarray:
    """A slice of the image as (rows, columns, 3) uint8, without overlays."""
    picture = plane.cut(scene.volume[frame], position)
    if scene.colour:
        return np.ascontiguousarray(picture)
    return np.repeat(grey(picture, scene.window)[..., None], 3, axis=-1)


def _draw_slice(ax: Axes, scene: Scene, plane: Plane, position: int) -> None:
    picture = base_picture(scene, plane, position)
    height, width = picture.shape[:2]
    across, down = (scene.spacing_mm[a] for a in plane.axes[:2])
    extent = (0.0, width * across, height * down, 0.0)  # mm, so that the aspect is the patient's
    ax.imshow(picture, extent=extent, interpolation="nearest")
    if scene.probability is not None:
        heat = plane.cut(scene.probability, position)
        low, high = heat_range(scene)
        alpha = np.clip((heat - low) / (high - low), 0, 1) * 0.75
        ax.imshow(heat, cmap=HEAT_MAP, vmin=low, vmax=high, alpha=alpha, extent=extent, interpolation="nearest")
    if scene.labels is not None:
        _draw_labels(ax, plane.cut(scene.labels.index, position), extent)
    _draw_letters(ax, plane)
    if not scene.flat:
        index = plane.position(position, scene.shape)
        text = f"{'zyx'[plane.axes[2]]} = {index}"
        ax.text(0.02, 0.02, text, transform=ax.transAxes, fontsize=7, **_WHITE)


_WHITE: dict[str, Any] = {"color": "white", "bbox": {"facecolor": "black", "alpha": 0.45, "pad": 1.2, "linewidth": 0}}


def _draw_labels(ax: Axes, index: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """Labels as a wash of colour with a sharp edge."""
    present = [int(i) for i in np.unique(index) if i]
    if not present:
        return
    colours = np.array(label_colours(max(present)))
    wash = np.zeros((*index.shape, 4))
    wash[index > 0, :3] = colours[index[index > 0] - 1] / 255
    wash[..., 3] = (index > 0) * OPACITY
    ax.imshow(wash, extent=extent, interpolation="nearest")
    height, width = index.shape
    x = (np.arange(-1, width + 1) + 0.5) * extent[1] / width  # one empty voxel around, so that edges close
    y = (np.arange(-1, height + 1) + 0.5) * extent[2] / height
    for label in present:
        mask = np.pad(index == label, 1).astype(np.float32)
        ax.contour(x, y, mask, levels=[0.5], colors=[tuple(colours[label - 1] / 255)], linewidths=1.0)
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])


def _draw_letters(ax: Axes, plane: Plane) -> None:
    places = (
        (0.015, 0.5, "left", "center"),
        (0.985, 0.5, "right", "center"),
        (0.5, 0.985, "center", "top"),
        (0.5, 0.02, "center", "bottom"),
    )
    for letter, (x, y, ha, va) in zip(plane.letters, places, strict=True):
        if letter:
            ax.text(x, y, letter, ha=ha, va=va, transform=ax.transAxes, fontsize=8, fontweight="bold", **_WHITE)


def _draw_keys(figure: Figure, scene: Scene, axes: np.ndarray) -> None:
    """The colour bar of the window (or of the heat map), and the legend of the labels."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Patch

    if scene.probability is not None:
        low, high = heat_range(scene)
        mappable, label = (
            ScalarMappable(Normalize(low, high), HEAT_MAP),
            "probability" if (low, high) == (0, 1) else "value",
        )
    else:
        level, width = scene.window
        mappable = ScalarMappable(Normalize(level - width / 2, level + width / 2), "gray")
        label = scene.unit or "value"
    if not scene.colour or scene.probability is not None:
        bar = figure.colorbar(mappable, ax=axes, location="right", fraction=0.03, pad=0.01, shrink=0.8, aspect=25)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_linewidth(0.4)
    if scene.labels is not None and scene.labels.names:
        colours = label_colours(len(scene.labels.names))
        listed = [entry for entry in zip(scene.labels.names, scene.labels.counts, colours, strict=True) if entry[1]]
        handles = [
            Patch(
                facecolor=(colour[0] / 255, colour[1] / 255, colour[2] / 255), label=f"{name}  {scene.size_of(count)}"
            )
            for name, count, colour in listed[:16]
        ]
        if len(listed) > 16:
            handles.append(Patch(facecolor="none", label=f"and {len(listed) - 16} more"))
        columns = min(len(handles), 4)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
