"""The picture that stands in for a viewer where there is no widget: what the viewer shows first, as a small PNG."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from medlab.viewer.scene import HEAT_MAP, OPACITY, Plane, Scene, heat_range, label_colours
from medlab.viewer.still import base_picture
from medlab.viewer.wire import Wire

if TYPE_CHECKING:
    import PIL.Image

PNG_BYTES = 100_000  # a lesson stores figures of at most this size
PNG_WIDTH = 760  # pixels


def still_png(scene: Scene, wire: Wire, index: tuple[int, ...]) -> bytes:
    """The viewer's picture at a voxel as a PNG of at most 100 kB, made without matplotlib so that it is not felt."""
    from PIL import Image

    panels = _panels(scene, wire, index)
    for width in (PNG_WIDTH, 560, 400, 280):
        picture = _side_by_side(panels, width).quantize(192, method=Image.Quantize.FASTOCTREE)
        packed = io.BytesIO()
        picture.save(packed, "png", compress_level=4)
        if packed.tell() <= PNG_BYTES:
            return packed.getvalue()
    raise ValueError("the picture can't be made smaller than 100 kB")  # 280 pixels of noise take 80 kB: not reached


def _panels(scene: Scene, wire: Wire, index: tuple[int, ...]) -> list[tuple[np.ndarray, float, float, Plane]]:
    """Pictures (rows, columns, 3) with their width and height in mm."""
    full = [i * s for i, s in zip(index, wire.steps, strict=True)]
    planes = [scene.plane(wire.plane)] if wire.plane else scene.planes[: 1 if wire.compare else None]
    panels = []
    for plane in planes:
        position = plane.position(full[plane.axes[2]], scene.shape)
        across, down = (scene.shape[a] * scene.spacing_mm[a] for a in plane.axes[:2])
        base = base_picture(scene, plane, position)
        for overlay in _overlays(scene, wire, plane, position):
            panels.append((base if overlay is None else overlay(base), across, down, plane))
    return panels


def _overlays(scene: Scene, wire: Wire, plane: Plane, position: int) -> list[Callable[[np.ndarray], np.ndarray] | None]:
    """How to paint over each panel of a plane."""
    maps = [plane.cut(m.index, position) for m in (scene.labels, scene.prediction) if m is not None]
    colours = [np.array([(0, 0, 0), *label_colours(len(m.values))]) for m in (scene.labels,) if m is not None]
    if wire.compare:
        truth, prediction = maps
        errors = error_classes(truth, prediction)
        table = np.array([(0, 0, 0), *(rgb for _, rgb in wire.meta()["errors"])])
        return [_wash(truth, colours[0]), _wash(prediction, colours[0]), _wash(errors, table)]
    if maps:
        return [_wash(maps[0], colours[0])]
    if scene.probability is not None:
        return [_heated(plane.cut(scene.probability, position), heat_range(scene))]
    return [None]


def error_classes(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """0 for background, 1 true positive, 2 false positive, 3 false negative, 4 labelled differently in both."""
    both = (truth > 0) & (prediction > 0)
    classes = np.where(both, np.where(truth == prediction, 1, 4), np.where(prediction > 0, 2, 3))
    return np.where((truth > 0) | (prediction > 0), classes, 0)


def _wash(index: np.ndarray, table: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def paint(base: np.ndarray) -> np.ndarray:
        painted, marked = base.copy(), index > 0
        painted[marked] = np.floor(base[marked] * (1 - OPACITY) + table[index[marked]] * OPACITY + 0.5)
        return painted

    return paint


def _heated(values: np.ndarray, limits: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    from matplotlib import colormaps

    def paint(base: np.ndarray) -> np.ndarray:
        share = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
        alpha = (2 * OPACITY * share)[..., None]
        return np.floor(base * (1 - alpha) + colormaps[HEAT_MAP](share)[..., :3] * 255 * alpha + 0.5).astype(np.uint8)

    return paint


def _side_by_side(panels: list[tuple[np.ndarray, float, float, Plane]], width: int) -> PIL.Image.Image:
    """The panels at one scale on black, with their letters."""
    from PIL import Image, ImageDraw, ImageFont

    gap = 4
    room = width - gap * (len(panels) - 1)
    scale = min(room / sum(across for _, across, _, _ in panels), 420 / max(down for _, _, down, _ in panels))
    sizes = [(max(1, round(across * scale)), max(1, round(down * scale))) for _, across, down, _ in panels]
    sheet = Image.new("RGB", (sum(w for w, _ in sizes) + gap * (len(sizes) - 1), max(h for _, h in sizes)))
    draw, font, left = ImageDraw.Draw(sheet), ImageFont.load_default(13), 0
    for (picture, _, _, plane), (w, h) in zip(panels, sizes, strict=True):
        top = (sheet.height - h) // 2
        way = Image.Resampling.NEAREST if w >= picture.shape[1] else Image.Resampling.BOX
        sheet.paste(Image.fromarray(picture).resize((w, h), way), (left, top))
        places = (
            (left + 4, top + h / 2, "lm"),
            (left + w - 4, top + h / 2, "rm"),
            (left + w / 2, top + 3, "mt"),
            (left + w / 2, top + h - 3, "mb"),
        )
        for letter, (x, y, anchor) in zip(plane.letters, places, strict=True):
            draw.text((x, y), letter, "white", font, anchor, stroke_width=2, stroke_fill="black")
        left += w + gap
    return sheet
