"""What is shown: an image, its labels and its probability map, checked and brought into one form.

Arrays keep the axes in which they came, (z, y, x) = (D, H, W); nothing is flipped or copied into another orientation.
How each plane is cut out of them, so that the patient's right is on the left of the screen, is written in `Plane`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk

from medlab import images

# Okabe and Ito's palette without black: distinct for all common kinds of colour blindness. https://jfly.uni-koeln.de/color
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
ERROR_COLOURS = {"true positive": "#56B4E9", "false positive": "#D55E00", "false negative": "#F0E442"}
NOT_FINITE_COLOUR = "#CC79A7"
HEAT_MAP = "inferno"  # of matplotlib: perceptually uniform, dark where there is nothing
OPACITY = 0.4  # of labels over the image

# (level, width). CT in Hounsfield units, as most radiology textbooks have them.
CT_WINDOWS = {
    "abdomen": (40.0, 400.0),
    "lung": (-600.0, 1500.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "mediastinum": (50.0, 350.0),
    "liver": (60.0, 160.0),
    "stroke": (35.0, 30.0),
}


def label_colours(count: int) -> list[tuple[int, int, int]]:
    """Red, green and blue (0..255) for labels 1 to `count`: the palette, then paler and darker turns of it."""
    palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in OKABE_ITO], float)
    turns = [palette, palette * 0.5 + 127.5, palette * 0.6, palette * 0.75 + 63.75]
    listed = np.concatenate(turns).round().astype(int)
    return [tuple(listed[i % len(listed)].tolist()) for i in range(count)]


OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}
# Where the right edge and the lower edge of the screen lie in the patient, and where slice numbers grow to.
SCREEN = {"axial": ("L", "P", "S"), "coronal": ("L", "I", "P"), "sagittal": ("P", "I", "L")}


@dataclass(frozen=True)
class Plane:
    """How one plane is cut from an array (D, H, W)."""

    name: str
    axes: tuple[int, int, int]  # array axis that runs along a row of the picture, down a column, and through the slices
    flips: tuple[bool, bool, bool]  # whether that axis runs against the picture
    letters: tuple[str, str, str, str]  # at the left, right, top and bottom edge; empty where unknown

    def cut(self, volume: np.ndarray, position: int) -> np.ndarray:
        """Slice number `position` of (D, H, W), counted along the patient, as a picture (rows, columns)."""
        column, row, normal = self.axes
        if self.flips[2]:
            position = volume.shape[normal] - 1 - position
        picture = np.take(volume, position, axis=normal)
        if row > column:  # the two axes that are left come in rising order: the picture wants its rows first
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flips[1] else 1, :: -1 if self.flips[0] else 1]

    def position(self, index: int, shape: tuple[int, ...]) -> int:
        """The number of the slice with this array index, or the array index of this slice number."""
        return shape[self.axes[2]] - 1 - index if self.flips[2] else index


@dataclass
class Labels:
    """A label map: small numbers that stand for values, names and sizes."""

    index: np.ndarray  # (D, H, W) uint8 or uint16; 0 is background, i stands for values[i - 1]
    values: list[int]
    names: list[str]
    counts: list[int]  # voxels

    def original(self, dtype: np.dtype | None = None) -> np.ndarray:
        """The label values as they came, (D, H, W)."""
        table = np.array([0, *self.values])
        wanted = dtype or np.min_scalar_type(int(table.max())) if table.min() >= 0 else np.dtype(np.int32)
        return table.astype(wanted)[self.index]


@dataclass
class Scene:
    """An image on its grid, with what lies over it."""

    volume: np.ndarray  # (T, D, H, W), or (T, D, H, W, 3) uint8 for colour
    spacing_mm: tuple[float, float, float]  # array order
    origin_mm: tuple[float, float, float]  # x, y, z in the patient (LPS)
    direction: np.ndarray  # (3, 3), columns: where the axes x, y, z of the image point in the patient
    flat: bool  # a 2D image, without a place in a patient
    has_geometry: bool
    planes: list[Plane]
    low: float = 0.0  # smallest and largest finite value
    high: float = 0.0
    unit: str = ""
    window: tuple[float, float] = (0.0, 1.0)
    presets: dict[str, tuple[float, float]] = field(default_factory=dict)
    labels: Labels | None = None
    prediction: Labels | None = None
    probability: np.ndarray | None = None  # (D, H, W) float
    notes: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        return self.volume.shape[1], self.volume.shape[2], self.volume.shape[3]

    @property
    def colour(self) -> bool:
        """Whether the image is red, green and blue."""
        return self.volume.ndim == 5

    @property
    def voxel_ml(self) -> float:
        """Size of a voxel in ml."""
        return float(np.prod(self.spacing_mm)) / 1000

    def plane(self, name: str) -> Plane:
        """The plane of this name; ValueError if the image has none."""
        for plane in self.planes:
            if plane.name == name:
                return plane
        raise ValueError(f"plane must be one of {', '.join(p.name for p in self.planes)} for this image, got {name!r}")

    def size_of(self, count: int) -> str:
        """A number of voxels as people read it: a volume where the voxel size is known."""
        if self.flat or not self.has_geometry:
            return f"{count:,} {'pixels' if self.flat else 'voxels'}"
        ml = count * self.voxel_ml
        return f"{ml:.1f} ml" if ml >= 10 else f"{ml:.2f} ml" if ml >= 0.1 else f"{ml:.2g} ml"

    def describe(self) -> str:
        """One line for those who don't see the picture: size, spacing, range, labels with their sizes."""
        size = " x ".join(str(n) for n in (self.shape[1:] if self.flat else self.shape))
        parts = [f"{'Picture' if self.flat else 'Volume'} of {size} {'pixels' if self.flat else 'voxels'}"]
        if len(self.volume) > 1:
            parts[0] = f"{len(self.volume)} volumes of {size} voxels"
        if self.has_geometry:
            spacing = self.spacing_mm[1:] if self.flat else self.spacing_mm
            parts.append(f"spacing {' x '.join(f'{s:.3g}' for s in spacing)} mm")
        if self.colour:
            parts.append("in colour")
        else:
            parts.append(f"values {number(self.low)} to {number(self.high)} {self.unit}".rstrip())
        text = ", ".join(parts)
        for what, labels in (("labels", self.labels), ("prediction", self.prediction)):
            if labels is not None:
                text += f"; {what}: {self._list(labels)}"
        return "; ".join([text, *self.notes])

    def _list(self, labels: Labels) -> str:
        present = [(name, count) for name, count in zip(labels.names, labels.counts, strict=True) if count]
        listed = [f"{name} {self.size_of(count)}" for name, count in present[:12]]
        more = len(present) - len(listed)
        return (", ".join(listed) or "none") + (f" and {more} more" if more > 0 else "")


def number(value: float) -> str:
    """A value in as few characters as tell it apart: 4 significant digits, whole numbers whole."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e6 else f"{value:.4g}"


# --- Taking things in ------------------------------------------------------------------------------------------------


def build(
    image: Any,
    labels: Any = None,
    prediction: Any = None,
    probability: Any = None,
    *,
    label_names: Mapping[int, str] | None = None,
    window: tuple[float, float] | str | None = None,
) -> Scene:
    """Check what a caller gave and bring it into one form.

    Args:
        image: a `SimpleITK.Image`, array or tensor: (H, W), (D, H, W), (T, D, H, W), colour with a last axis of 3 or 4.
        labels: whole numbers on the same grid.
        prediction: as labels.
        probability: numbers on the same grid, mostly 0..1.
        label_names: label value -> name.
        window: (level, width), or the name of a preset.

    Raises:
        ValueError, TypeError: what can't be shown, with what was given and what is allowed.
    """
    values, geometry = _values(image, "image")
    volume, flat = _arrange(values, geometry)
    geometry = geometry or next((g for _, g in map(_peek, (labels, prediction, probability)) if g is not None), None)
    spacing, origin, direction = _placed(geometry)
    scene = Scene(
        volume, spacing, origin, direction, flat, geometry is not None, _planes(direction, volume.shape[1:4], flat)
    )
    if geometry is None and not flat:
        scene.notes.append("no geometry: voxels of 1 mm and axes along the patient are assumed")
    if not flat and (angle := _oblique_degrees(direction)) > 0.1:
        scene.notes.append(f"oblique by {angle:.1f}°, drawn on the nearest axes")
    _measure(scene, image)
    scene.labels, scene.prediction = _label_maps([labels, prediction], scene, image, label_names)
    scene.probability = _probability(probability, scene, image)
    if window is not None:
        scene.window = resolve_window(window, scene)
    return scene


def _peek(thing: Any) -> tuple[None, sitk.Image | None]:
    return None, thing if isinstance(thing, sitk.Image) else None


def _values(thing: Any, name: str) -> tuple[np.ndarray, sitk.Image | None]:
    """The values of an image, array or tensor, and the image if it is one. Tensors are known by what they can do."""
    if isinstance(thing, sitk.Image):
        if thing.GetNumberOfPixels() == 0:
            raise ValueError(f"{name} is empty: its size is {thing.GetSize()}")
        return images.array(thing), thing
    if hasattr(thing, "detach") and hasattr(thing, "cpu"):
        thing = thing.detach().cpu()
        if "bfloat16" in str(thing.dtype):  # numpy has no such type; float32 holds every value of it
            thing = thing.float()
        thing = thing.numpy()
    values = np.asarray(thing)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got an array of {values.dtype} from {type(thing).__name__}")
    if values.size == 0:
        raise ValueError(f"{name} is empty: its shape is {values.shape}")
    return values, None


def _arrange(values: np.ndarray, geometry: sitk.Image | None) -> tuple[np.ndarray, bool]:
    """(T, D, H, W) or (T, D, H, W, 3), and whether it is a flat picture."""
    if values.dtype == bool:
        values = values.view(np.uint8)
    given = values.shape
    if geometry is not None:
        channels, dims = geometry.GetNumberOfComponentsPerPixel(), geometry.GetDimension()
        if channels == 1 and dims == 4:
            return values, False
        colour = channels in (3, 4) and values.dtype == np.uint8
        if channels > 1 and not colour:
            values = np.moveaxis(values, -1, 0)
            return (values, False) if dims == 3 else (values[:, None], True)
    else:
        colour = _looks_coloured(values)
        while values.ndim > 2 + colour and values.shape[0] == 1:  # batch and channel axes of one
            values = values[0]
        dims = values.ndim - colour
    if dims not in (2, 3, 4):
        raise ValueError(
            f"image must be (H, W), (D, H, W) or (T, D, H, W), with a last axis of 3 for colour, got {given}"
        )
    if colour:
        values = _eight_bits(values[..., :3])
    for _ in range(4 - dims):
        values = values[None]
    return values, dims == 2


def _looks_coloured(values: np.ndarray) -> bool:
    """Whether the last axis holds red, green and blue: 3 or 4 long, all others longer, 8 bits or values in 0..1."""
    if values.ndim not in (3, 4) or values.shape[-1] not in (3, 4) or min(values.shape[-3:-1]) <= 8:
        return False
    return values.dtype == np.uint8 or (values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.uint8 else np.floor(values * 255 + 0.5).astype(np.uint8)


def _placed(image: sitk.Image | None) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    """Spacing in array order, origin, direction (3, 3); 1 mm and the patient's axes if nothing is known."""
    if image is None:
        return (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)
    n = min(image.GetDimension(), 3)
    _, *spacing = (1.0, 1.0, *images.spacing_mm(image))[-4:]
    x, y, z = (*image.GetOrigin(), 0.0)[:3]
    direction = np.eye(3)
    direction[:n, :n] = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:n, :n]
    return (spacing[0], spacing[1], spacing[2]), (x, y, z), direction


# --- Planes ----------------------------------------------------------------------------------------------------------


def _nearest_axes(direction: np.ndarray) -> list[int]:
    """For x, y and z of the image, the patient axis (0 L, 1 P, 2 S) that lies nearest, each used once."""
    best = max(itertools.permutations(range(3)), key=lambda axes: sum(abs(direction[a, i]) for i, a in enumerate(axes)))
    return list(best)


def _oblique_degrees(direction: np.ndarray) -> float:
    """The largest angle between an axis of the image and the patient axis that it is drawn on."""
    cosines = [abs(direction[a, i]) for i, a in enumerate(_nearest_axes(direction))]
    return float(np.degrees(np.arccos(np.clip(min(cosines), 0, 1))))


def _planes(direction: np.ndarray, shape: tuple[int, ...], flat: bool) -> list[Plane]:
    """The planes of an image: one if it is flat or one voxel thick, else three."""
    if flat:
        return [Plane("image", (2, 1, 0), (False, False, False), ("", "", "", ""))]
    nearest = _nearest_axes(direction)
    towards = {}  # patient letter -> (array axis, whether the axis runs the other way)
    for axis, patient in enumerate(nearest):
        letter = "LPS"[patient]
        towards[letter] = (2 - axis, bool(direction[patient, axis] < 0))
        towards[OPPOSITE[letter]] = (2 - axis, bool(direction[patient, axis] > 0))
    planes = []
    for name, (right, down, through) in SCREEN.items():
        axes, flips = zip(*(towards[letter] for letter in (right, down, through)), strict=True)
        planes.append(Plane(name, axes, flips, (OPPOSITE[right], right, OPPOSITE[down], down)))
    thin = [p for p in planes if shape[p.axes[2]] == 1]
    return thin[:1] or planes


# --- Values ----------------------------------------------------------------------------------------------------------


def _measure(scene: Scene, image: Any) -> None:
    """Range, unit, window and presets of the image; counts what is not finite."""
    volume = scene.volume
    if scene.colour:
        scene.low, scene.high, scene.window = 0.0, 255.0, (127.5, 255.0)
        return
    finite = volume
    low, high = volume.min(), volume.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # NaN comes through min and max
        finite = volume[np.isfinite(volume)]
        _note_not_finite(scene)
        if finite.size == 0:
            return
        low, high = finite.min(), finite.max()
    scene.low, scene.high = float(low), float(high)
    if low == high:
        scene.notes.append(f"constant image: every value is {number(scene.low)}")
        scene.window = (scene.low, 1.0)
        return
    sample = _sample(finite)
    if _is_ct(scene, image, sample):
        scene.unit = "HU"
        scene.presets = dict(CT_WINDOWS)
        scene.window = CT_WINDOWS["abdomen"]
    else:
        scene.presets = _percentile_windows(scene, sample)
        scene.window = scene.presets["1 to 99 %"]


def _note_not_finite(scene: Scene) -> None:
    counts = {
        "NaN": np.isnan(scene.volume).sum(),
        "+infinite": np.isposinf(scene.volume).sum(),
        "-infinite": np.isneginf(scene.volume).sum(),
    }
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    scene.notes.append(f"not finite: {listed} (drawn in purple)")


def _sample(values: np.ndarray) -> np.ndarray:
    """At most about 200,000 of the values, evenly spread, for percentiles. The step is odd, to cross all columns."""
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // 200_000) | 1]


def _is_ct(scene: Scene, image: Any, sample: np.ndarray) -> bool:
    """CT by its header, or by values that nothing but Hounsfield units has: whole numbers that begin at air."""
    if isinstance(image, sitk.Image) and image.HasMetaDataKey("0008|0060"):
        return image.GetMetaData("0008|0060").strip() == "CT"
    whole = sample.dtype.kind in "iu" or bool(np.all(sample == np.round(sample)))
    return whole and -3100 <= scene.low <= -800 and scene.high > 0


def _percentile_windows(scene: Scene, sample: np.ndarray) -> dict[str, tuple[float, float]]:
    """Windows for values without a unit, such as MR: from the percentiles of what is not background."""
    background = np.min(sample)
    signal = sample[sample > background]
    if signal.size < 100 or signal.size < sample.size // 50:
        signal = sample
    windows = {}
    for name, low, high in (
        ("1 to 99 %", 1, 99),
        ("5 to 95 %", 5, 95),
        ("0.1 to 99.9 %", 0.1, 99.9),
        ("25 to 75 %", 25, 75),
    ):
        a, b = (float(v) for v in np.percentile(signal, (low, high)))
        windows[name] = _between(a, b)
    windows["full range"] = _between(scene.low, scene.high)
    return windows


def _between(low: float, high: float) -> tuple[float, float]:
    """(level, width) of the window from low to high, rounded to 4 digits so that people can read and retype it."""
    level, width = float(f"{(low + high) / 2:.4g}"), float(f"{high - low:.4g}")
    return level, width if width > 0 else 1.0


def resolve_window(window: tuple[float, float] | str, scene: Scene) -> tuple[float, float]:
    """(level, width) from what a caller gave; ValueError if it is neither two numbers nor a known name."""
    if isinstance(window, str):
        known = {**CT_WINDOWS, **scene.presets}
        if window not in known:
            raise ValueError(f"window must be (level, width) or one of {', '.join(known)}, got {window!r}")
        return known[window]
    level, width = (float(v) for v in window)
    if not (np.isfinite(level) and np.isfinite(width) and width > 0):
        raise ValueError(f"window must be (level, width) with a width above 0, got {tuple(window)}")
    return level, width


# --- What lies over the image ----------------------------------------------------------------------------------------


def _overlay(thing: Any, scene: Scene, image: Any, name: str) -> np.ndarray:
    """The values of an overlay as (D, H, W), on the grid of the image or refused."""
    values, geometry = _values(thing, name)
    if geometry is not None and isinstance(image, sitk.Image) and geometry.GetDimension() == image.GetDimension():
        images.check_same_grid(image, geometry, names=("image", name))
    if values.dtype == bool:
        values = values.view(np.uint8)
    wanted = scene.shape[1:] if scene.flat else scene.shape
    while values.ndim > len(wanted) and values.shape[0] == 1:
        values = values[0]
    if values.shape != wanted:
        raise ValueError(f"{name} must have the shape of the image, {wanted}, got {values.shape}")
    return values.reshape(scene.shape)


def _label_maps(things: list[Any], scene: Scene, image: Any, names: Mapping[int, str] | None) -> list[Labels | None]:
    """Labels and prediction, with the same small number for the same value in both."""
    maps = [_whole(thing, scene, image, name) for thing, name in zip(things, ("labels", "prediction"), strict=True)]
    if names and all(m is None for m in maps):  # nothing is labelled yet, but there are names to paint with
        maps[0] = np.zeros(scene.shape, np.uint8)
    tallies = [None if m is None else _tally(m) for m in maps]
    found = set(names or ()).union(*(tally for tally in tallies if tally is not None))
    values = sorted(int(value) for value in found if value != 0)
    if len(values) > 65535:
        raise ValueError(f"labels hold {len(values):,} different values, at most 65,535 can be told apart")
    listed = [(names or {}).get(value, f"label {value}") for value in values]
    return [
        None
        if m is None or tally is None
        else Labels(_numbered(m, values), list(values), list(listed), [tally.get(v, 0) for v in values])
        for m, tally in zip(maps, tallies, strict=True)
    ]


def _whole(thing: Any, scene: Scene, image: Any, name: str) -> np.ndarray | None:
    """A label map as integers (D, H, W), in 8 bits where they fit."""
    if thing is None:
        return None
    values = _overlay(thing, scene, image, name)
    if values.dtype.kind == "f":
        if not np.all(np.mod(values, 1) == 0):  # NaN fails too
            raise ValueError(
                f"{name} must be whole numbers, got {values.dtype} with fractions; show them as probability="
            )
        values = values.astype(np.int64)
    if values.dtype != np.uint8 and values.min() >= 0 and values.max() <= 255:
        values = values.astype(np.uint8)
    return values


def _tally(values: np.ndarray) -> dict[int, int]:
    """Label value -> voxels, for the values that occur."""
    if values.dtype == np.uint8:
        filled = values[extent(values)]  # mostly far less than the volume
        return {value: int(count) for value, count in enumerate(count_bytes(filled)) if count}
    return {int(v): int(c) for v, c in zip(*np.unique(values, return_counts=True), strict=True)}


def _numbered(values: np.ndarray, listed: list[int]) -> np.ndarray:
    """Each value replaced by its place in the list, from 1; 0 stays 0."""
    if values.dtype == np.uint8 and listed == list(range(1, len(listed) + 1)):
        return values
    small = np.uint8 if len(listed) <= 255 else np.uint16
    if values.dtype == np.uint8:
        table = np.zeros(256, small)
        table[[v for v in listed if 0 < v < 256]] = [i for i, v in enumerate(listed, 1) if 0 < v < 256]
        return table[values]
    places = np.searchsorted(listed, values).clip(max=len(listed) - 1) + 1
    return np.where(values == 0, 0, places).astype(small)


def extent(values: np.ndarray) -> tuple[slice, slice, slice]:
    """The box around all that is not 0; empty if there is nothing."""
    z = np.flatnonzero(values.any(axis=(1, 2)))
    if not z.size:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    seen = np.any(values[int(z[0]) : int(z[-1]) + 1], axis=0)  # (H, W); the two passes run along memory
    y, x = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return slice(int(z[0]), int(z[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1)


def count_bytes(values: np.ndarray) -> np.ndarray:
    """How often each of 0..255 occurs, (256,). Counted two at a time, which halves the work."""
    flat = np.ascontiguousarray(values).reshape(-1)
    even = flat.size // 2 * 2
    pairs = np.zeros(65536, np.int64)
    for start in range(0, even, 1 << 20):  # in pieces that stay in the cache, for bincount widens them to 64 bits
        pairs += np.bincount(flat[start : min(start + (1 << 20), even)].view(np.uint16), minlength=65536)
    counts = pairs.reshape(256, 256).sum(0) + pairs.reshape(256, 256).sum(1)
    if flat.size > even:
        counts[flat[-1]] += 1
    return counts


def _probability(thing: Any, scene: Scene, image: Any) -> np.ndarray | None:
    if thing is None:
        return None
    values = _overlay(thing, scene, image, "probability").astype(np.float32, copy=False)
    bad = int(np.size(values) - np.isfinite(values).sum())
    if bad:
        scene.notes.append(f"probability: {bad:,} values are not finite and are shown as 0")
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return values


def heat_range(scene: Scene) -> tuple[float, float]:
    """The range of the heat map's colours: 0..1 for probabilities, else that of the values."""
    assert scene.probability is not None
    low, high = float(scene.probability.min()), float(scene.probability.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1
