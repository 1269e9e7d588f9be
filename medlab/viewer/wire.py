"""How a scene travels to the browser: as 16-bit codes in compressed chunks, with what is needed to read them.

A chunk is a run of slices along the first axis of one layer (image, labels, prediction, probability) of one frame. Its
bytes are shuffled (all low bytes, then all high bytes), which lets zlib find the smooth high bytes, then deflated.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from medlab.viewer.scene import (
    ERROR_COLOURS,
    HEAT_MAP,
    NOT_FINITE_COLOUR,
    Labels,
    Scene,
    extent,
    heat_range,
    label_colours,
)

CHUNK_BYTES = 4_000_000  # raw; small enough to unpack between two frames, large enough that messages are few
CODES = (
    65532  # steps between the lowest and the highest code of a quantised image; three more stand for what is not finite
)
NAN, MINUS_INFINITE, PLUS_INFINITE = -32768, -32767, 32767


@dataclass(frozen=True)
class Chunk:
    """Which part of the scene."""

    layer: str
    frame: int
    first: int  # slice along the first axis


@dataclass(frozen=True)
class Coding:
    """value = code * slope + intercept, the code in int16."""

    slope: float
    intercept: float
    exact: bool
    special: bool  # some codes stand for NaN and infinities


class Wire:
    """The scene as it is sent, thinned to every n-th voxel where it is larger than `max_mb`."""

    def __init__(self, scene: Scene, *, compare: bool = False, plane: str | None = None, max_mb: float = 320.0) -> None:
        self.scene, self.compare, self.plane = scene, compare, plane
        self.steps = _steps(scene, max_mb)
        self.coding = _coding(scene)
        self.shape = tuple(-(-n // s) for n, s in zip(scene.shape, self.steps, strict=True))
        pixels = self.shape[1] * self.shape[2]
        self.depth = max(1, min(self.shape[0], CHUNK_BYTES // (2 * pixels)))  # slices in a chunk
        self.start = self._middle()

    # --- What there is

    def layers(self) -> dict[str, int]:
        """Name of each layer -> bytes of a voxel, in the order in which they are sent: what is small comes first."""
        scene, sizes = self.scene, {}
        for name, labels in (("labels", scene.labels), ("prediction", scene.prediction)):
            if labels is not None:
                sizes[name] = labels.index.dtype.itemsize
        if scene.probability is not None:
            sizes["probability"] = 1
        sizes["image"] = 3 if scene.colour else 2
        return sizes

    def chunks(self) -> list[Chunk]:
        """All chunks: the first frame first, from the slice that is seen first outwards."""
        starts = sorted(
            range(0, self.shape[0], self.depth), key=lambda z: abs(z + (self.depth - 1) / 2 - self.start[0])
        )
        listed = []
        for layer in self.layers():
            frames = len(self.scene.volume) if layer == "image" else 1
            listed += [Chunk(layer, frame, first) for frame in range(frames) for first in starts]
        return sorted(listed, key=lambda chunk: chunk.frame)

    def _middle(self) -> tuple[int, int, int]:
        """The voxel to look at first: the middle of what is marked, else of the volume."""
        boxes = [extent(m.index) for m in (self.scene.labels, self.scene.prediction) if m is not None]
        depth, height, width = self.scene.shape
        boxes = [box for box in boxes if box[0].stop] or [(slice(0, depth), slice(0, height), slice(0, width))]
        ends = [(min(b.start for b in sides), max(b.stop for b in sides)) for sides in zip(*boxes, strict=True)]
        index = [(start + stop) // 2 // step for (start, stop), step in zip(ends, self.steps, strict=True)]
        return index[0], index[1], index[2]

    def full(self, index: Sequence[int]) -> tuple[int, ...]:
        """The index in the array, (y, x) if it is flat, of an index on the grid that is shown."""
        whole = tuple(int(i) * s for i, s in zip(index, self.steps, strict=True))
        return whole[1:] if self.scene.flat else whole

    def coarse(self, index: Sequence[int], name: str = "index") -> list[int]:
        """The index [z, y, x] on the grid that is shown of an index in the array; ValueError if it lies outside."""
        size = self.scene.shape[1:] if self.scene.flat else self.scene.shape
        if len(index) != len(size) or not all(0 <= i < n for i, n in zip(index, size, strict=True)):
            raise ValueError(f"{name} must lie in an array of shape {size}, got {tuple(index)}")
        return [int(i) // s for i, s in zip((0, *index)[-3:], self.steps, strict=True)]

    # --- Packing

    def pack(self, chunk: Chunk) -> bytes:
        """The compressed bytes of a chunk."""
        fz, fy, fx = self.steps
        part = slice(chunk.first * fz, (chunk.first + self.depth) * fz, fz)
        return deflate(self._encode(chunk.layer, self._array(chunk.layer, chunk.frame)[part, ::fy, ::fx]))

    def packed(self, chunks: list[Chunk]) -> Iterator[tuple[Chunk, bytes]]:
        """Chunks with their bytes, in order. zlib lets other threads run, so two are packed at a time."""
        with ThreadPoolExecutor(2) as pool:
            yield from zip(chunks, pool.map(self.pack, chunks), strict=True)

    def preview(self) -> bytes:
        """The three slices of every layer through the start voxel, compressed together, for the first picture."""
        fz, fy, fx = self.steps
        parts = []
        for layer in self.layers():
            array = self._array(layer, 0)[::fz, ::fy, ::fx]
            parts += [_shuffled(self._encode(layer, np.take(array, i, axis=axis))) for axis, i in enumerate(self.start)]
        return zlib.compress(b"".join(parts), 1)

    def _array(self, layer: str, frame: int) -> np.ndarray:
        scene = self.scene
        if layer == "image":
            return scene.volume[frame]
        if layer == "probability":
            assert scene.probability is not None
            return scene.probability
        labels = scene.labels if layer == "labels" else scene.prediction
        assert labels is not None
        return labels.index

    def _encode(self, layer: str, values: np.ndarray) -> np.ndarray:
        if layer == "image" and not self.scene.colour:
            return encode(values, self.coding)
        if layer == "probability":
            low, high = heat_range(self.scene)
            return np.rint((values - low) * (255 / (high - low))).astype(np.uint8)
        return values

    # --- Description

    def meta(self) -> dict[str, Any]:
        """All that the browser must know to read and draw the chunks."""
        scene, coding = self.scene, self.coding
        return {
            "compare": self.compare,
            "alt": scene.describe(),
            "shape": list(self.shape),
            "start": list(self.start),
            "frames": len(scene.volume),
            "steps": list(self.steps),
            "depth": self.depth,
            "layers": list(self.layers().items()),
            "spacing": [s * f for s, f in zip(scene.spacing_mm, self.steps, strict=True)],
            "origin": list(scene.origin_mm),
            "direction": scene.direction.tolist(),
            "geometry": scene.has_geometry,
            "flat": scene.flat,
            "planes": [
                {"name": p.name, "axes": list(p.axes), "flips": list(p.flips), "letters": list(p.letters)}
                for p in scene.planes
            ],
            "plane": self.plane,
            "colour": scene.colour,
            "slope": coding.slope,
            "intercept": coding.intercept,
            "exact": coding.exact,
            "special": coding.special,
            "unit": scene.unit,
            "presets": [[name, *window] for name, window in scene.presets.items()],
            "notes": [*scene.notes, *self._notes()],
            "labels": self._label_list(),
            "palette": label_colours(28),  # for labels that are made in the browser
            "voxel": scene.voxel_ml if scene.has_geometry and not scene.flat else None,
            "heat": self._heat(),
            "errors": [
                [name, _rgb(colour)] for name, colour in {**ERROR_COLOURS, "wrong label": NOT_FINITE_COLOUR}.items()
            ],
        }

    def _notes(self) -> list[str]:
        notes = []
        if self.steps != (1, 1, 1):
            notes.append(
                f"too large to show whole: every {' x '.join(map(str, self.steps))}th voxel (z, y, x) is shown"
            )
        if not self.coding.exact and not self.scene.colour:
            notes.append(f"values are exact to ±{self.coding.slope / 2:.2g}")
        return notes

    def _label_list(self) -> list[dict[str, Any]]:
        first = self.scene.labels or self.scene.prediction
        if first is None:
            return []
        predicted = self.scene.prediction.counts if self.scene.prediction else [0] * len(first.values)
        columns = zip(first.values, first.names, first.counts, predicted, label_colours(len(first.values)), strict=True)
        keys = ("value", "name", "count", "predicted", "colour")
        return [dict(zip(keys, (v, n, c, p, list(rgb)), strict=True)) for v, n, c, p, rgb in columns]

    def _heat(self) -> dict[str, Any] | None:
        if self.scene.probability is None:
            return None
        from matplotlib import colormaps

        low, high = heat_range(self.scene)
        colours = (colormaps[HEAT_MAP](np.arange(256))[:, :3] * 255).round().astype(int)
        return {"low": low, "high": high, "colours": colours.tolist()}


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _steps(scene: Scene, max_mb: float) -> tuple[int, int, int]:
    """Every how manieth voxel is shown along each axis: all, unless that is too large; then the finest axis gives."""
    steps = [1, 1, 1]
    voxel_bytes = (3 if scene.colour else 2) * len(scene.volume)

    def size_mb() -> float:
        return float(np.prod([-(-n // s) for n, s in zip(scene.shape, steps, strict=True)])) * voxel_bytes / 1e6

    while size_mb() > max_mb:
        spacing = [
            mm * s if n // s > 1 else np.inf for n, mm, s in zip(scene.shape, scene.spacing_mm, steps, strict=True)
        ]
        if min(spacing) == np.inf:
            break
        steps[int(np.argmin(spacing))] += 1
    return steps[0], steps[1], steps[2]


def _coding(scene: Scene) -> Coding:
    """Whole numbers that span at most 16 bits travel as they are; others in 65,532 steps from lowest to highest."""
    volume, low, high = scene.volume, scene.low, scene.high
    if scene.colour:
        return Coding(1.0, 0.0, True, False)
    special = volume.dtype.kind == "f" and not np.isfinite([volume.min(), volume.max()]).all()
    whole = volume.dtype.kind in "iu" or (not special and _all_whole(volume))
    if whole and high - low <= 65535:
        fits = low >= -32768 and high <= 32767
        return Coding(1.0, 0.0 if fits else low + 32768, True, False)
    if low == high:
        return Coding(1.0, low, not special, special)
    return Coding((high - low) / CODES, low + (high - low) / 2, False, special)


def _all_whole(volume: np.ndarray) -> bool:
    flat = volume.reshape(-1)
    pieces = (flat[i : i + (1 << 20)] for i in range(0, flat.size, 1 << 20))  # stops at the first fraction
    return all(bool(np.all(piece == np.rint(piece))) for piece in pieces)


def encode(values: np.ndarray, coding: Coding) -> np.ndarray:
    """Codes of values, int16."""
    if coding.exact and coding.intercept == 0:
        return values.astype(np.int16, copy=False)
    if coding.exact and values.dtype.kind in "iu":
        return (values.astype(np.int64) - int(coding.intercept)).astype(np.int16)
    wide = (values.astype(np.float64) - coding.intercept) / coding.slope
    codes = np.rint(np.nan_to_num(wide, nan=0.0, posinf=0.0, neginf=0.0)).astype(np.int16)
    if coding.special:
        codes[np.isnan(values)] = NAN
        codes[np.isneginf(values)] = MINUS_INFINITE
        codes[np.isposinf(values)] = PLUS_INFINITE
    return codes


def _shuffled(values: np.ndarray) -> bytes:
    """The bytes of values, all first bytes, then all second bytes, ..."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return flat.view(np.uint8).reshape(flat.size, -1).T.tobytes() if flat.itemsize > 1 else flat.tobytes()


def deflate(values: np.ndarray) -> bytes:
    """Shuffled and compressed; level 1, for a higher one gains 1 % and takes longer than the way to the browser."""
    return zlib.compress(_shuffled(values), 1)


def edited(labels: Labels, places: np.ndarray, numbers: np.ndarray, wire: Wire) -> None:
    """Write label numbers at flat places of the grid that is shown into the label map, and recount.

    Args:
        labels: changed in place.
        places: (N,) where, each at most once, counted through `wire.shape`.
        numbers: (N,) which label, 0 for background.
        wire: knows how the grid that is shown was thinned; a shown voxel stands for those up to the next shown one.
    """
    where = np.unravel_index(places, wire.shape)
    bins = len(labels.values) + 1
    counts = np.array(labels.counts)
    for offsets in np.ndindex(*wire.steps):
        at = [w * s + o for w, s, o in zip(where, wire.steps, offsets, strict=True)]
        inside = np.all([a < n for a, n in zip(at, labels.index.shape, strict=True)], axis=0)
        voxels = tuple(a[inside] for a in at)
        counts -= np.bincount(labels.index[voxels], minlength=bins)[1:]
        labels.index[voxels] = numbers[inside]
        counts += np.bincount(labels.index[voxels], minlength=bins)[1:]
    labels.counts = counts.tolist()
