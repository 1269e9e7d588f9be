"""A folder of DICOM slices as one volume, or the reason why it is none.

The slices are put in the order of their positions in the patient, never of their names or numbers. What can't be put on
one regular grid (a tilted gantry, uneven gaps, a missing slice, several series, mixed sizes) is refused: stacking it
anyway would give a volume whose distances are wrong.

Shown in lesson 10.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

DRIFT_PIXELS = 0.1  # a slice may lie this far, in its plane, from where a straight stack would put it
GAP_TOLERANCE = 0.1  # and this part of a gap from its place on an even grid: positions are often rounded to 0.1 mm
ORIENTATION_TOLERANCE = 1e-4  # between the direction cosines of two slices

_TAGS = [
    "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "SliceThickness", "GantryDetectorTilt",
]  # fmt: skip


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: str
    size: tuple[int, int]  # rows, columns
    position: np.ndarray  # (3,) mm, centre of the first pixel
    axes: np.ndarray  # (3, 3), columns: direction of growing column, of growing row, and of the slices
    spacing: tuple[float, float]  # mm between rows, between columns
    thickness: float | None
    tilt: float  # degrees, as the header has it

    @property
    def height(self) -> float:
        """Position in mm along the normal of the slice."""
        return float(self.position @ self.axes[:, 2])


def read_series(folder: Path) -> sitk.Image:
    """Read a folder that holds the slices of one series.

    Args:
        folder: DICOM files of one series; hidden files and a DICOMDIR are passed over.

    Returns:
        3D image with the rescaled values (CT: Hounsfield units), the slices in order of position, the origin in the
        first slice, z pointing along the normal of the slices.

    Raises:
        FileNotFoundError: the folder is empty.
        ValueError: names the file and the reason.
    """
    slices = [_header(path) for path in _files(folder)]
    _refuse_mixed(folder, slices)
    slices.sort(key=lambda one: one.height)
    gap = _slice_gap(folder, slices)
    volume = np.concatenate([_pixels(one.path) for one in slices])  # (D, H, W) or (D, H, W, 3)
    image = sitk.GetImageFromArray(volume, isVector=volume.ndim == 4)
    first = slices[0]
    image.SetSpacing((first.spacing[1], first.spacing[0], gap))
    image.SetOrigin(first.position.tolist())
    image.SetDirection(first.axes.ravel().tolist())
    return image


def _files(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [path for path in files if path.name != "DICOMDIR"]
    if not files:
        inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
        hint = f"; it holds the folders {', '.join(inside[:5])}" if inside else ""
        raise FileNotFoundError(f"{folder}: the folder holds no DICOM file{hint}")
    return files


def _header(path: Path) -> _Slice:
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError) as error:
        inside = [one.name for one in sorted(path.parent.iterdir()) if one.is_dir()]
        hint = f", or read the folder {' or '.join(inside[:5])} in it" if inside else ""
        raise ValueError(f"{path}: not a DICOM file ({error}); move it out of the folder{hint}") from None
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"{path}: holds {header.NumberOfFrames} frames; only series of single slices can be read")
    missing = [tag for tag in _TAGS[:3] + _TAGS[4:7] if not header.get(tag)]
    if missing:
        raise ValueError(f"{path}: the DICOM header has no {', '.join(missing)}: its place in a volume is unknown")
    across, down = np.reshape(np.asarray(header.ImageOrientationPatient, dtype=float), (2, 3))
    return _Slice(
        path=path,
        series=str(header.SeriesInstanceUID),
        size=(int(header.Rows), int(header.Columns)),
        position=np.asarray(header.ImagePositionPatient, dtype=float),
        axes=np.stack([across, down, np.cross(across, down)], axis=1),
        spacing=(float(header.PixelSpacing[0]), float(header.PixelSpacing[1])),
        thickness=float(header.SliceThickness) if header.get("SliceThickness") else None,
        tilt=float(header.get("GantryDetectorTilt") or 0),
    )


def _refuse_mixed(folder: Path, slices: list[_Slice]) -> None:
    """All slices must be of one series and lie in parallel, with the same pixels."""
    _refuse_differing(folder, "series", {one.path.name: one.series for one in slices})
    _refuse_differing(folder, "sizes (rows, columns)", {one.path.name: one.size for one in slices})
    _refuse_differing(folder, "pixel spacings in mm", {one.path.name: one.spacing for one in slices})
    axes = {one.path.name: tuple(np.round(one.axes, 6).ravel()[[0, 3, 6, 1, 4, 7]].tolist()) for one in slices}
    if max(np.abs(one.axes - slices[0].axes).max() for one in slices) > ORIENTATION_TOLERANCE:
        _refuse_differing(folder, "orientations", axes)


def _refuse_differing(folder: Path, what: str, values: Mapping[str, object]) -> None:
    counts = Counter(values.values()).most_common()
    if len(counts) > 1:
        examples = {value: name for name, value in reversed(list(values.items()))}
        listed = "; ".join(f"{value} in {examples[value]}" + f" and {n - 1} more" * (n > 1) for value, n in counts[:4])
        raise ValueError(f"{folder}: {len(counts)} different {what}: {listed}. Keep one series in a folder of its own")


def _slice_gap(folder: Path, slices: list[_Slice]) -> float:
    """Distance in mm between neighbouring slices, once it is sure that there is only one.

    Raises:
        ValueError: names every reason why the slices are not a regular stack.
    """
    if len(slices) == 1:
        if not slices[0].thickness:
            raise ValueError(f"{slices[0].path}: a single slice without SliceThickness has no known depth")
        return slices[0].thickness
    heights = np.array([one.height for one in slices])
    problems = [*_tilt(slices, heights), *_gaps(slices, heights)]
    if problems:
        raise ValueError(f"{folder}: the slices are not a regular stack: {'; '.join(problems)}")
    return float((heights[-1] - heights[0]) / (len(slices) - 1))


def _tilt(slices: list[_Slice], heights: np.ndarray) -> list[str]:
    first, last = slices[0], slices[-1]
    steps = np.array([one.position for one in slices]) - first.position  # (n, 3)
    drift = np.linalg.norm(steps - np.outer(heights - heights[0], first.axes[:, 2]), axis=1)
    if drift.max() <= DRIFT_PIXELS * min(first.spacing) or heights[-1] == heights[0]:
        return []
    angle = np.degrees(np.arctan2(drift[-1], heights[-1] - heights[0]))
    said = f", and {first.tilt:g} degrees by the header" if first.tilt else ""
    tilt = f"gantry tilt of {angle:.1f} degrees by the positions{said}"
    ends = f"{first.path.name} and {last.path.name}"
    return [f"{tilt}: the slices of {ends} are shifted by {drift[-1]:.1f} mm in their own plane"]


def _gaps(slices: list[_Slice], heights: np.ndarray) -> list[str]:
    gaps = np.diff(heights)
    pairs = [f"{a.path.name} and {b.path.name}" for a, b in itertools.pairwise(slices)]
    twice = [pair for pair, gap in zip(pairs, gaps, strict=True) if gap < 1e-3]
    if twice:
        return [f"{twice[0]} lie at the same position, one of {len(twice)} such pairs"]
    typical = float(np.median(gaps))
    folds = np.round(gaps / typical)
    if np.any(folds > 1) and np.all(np.abs(gaps / typical - folds) < GAP_TOLERANCE):
        holes = [(pair, int(n) - 1) for pair, n in zip(pairs, folds, strict=True) if n > 1]
        listed = ", ".join(f"{n} between {pair}" for pair, n in holes[:4])
        return [f"missing slices, {sum(n for _, n in holes)} in all ({typical:.2f} mm apart otherwise): {listed}"]
    numbers = np.arange(len(heights))
    even = np.polyval(np.polyfit(numbers, heights, 1), numbers)
    if np.abs(heights - even).max() <= GAP_TOLERANCE * typical:
        return []
    small, large = int(gaps.argmin()), int(gaps.argmax())
    return [f"uneven gaps: {gaps[small]:.2f} mm between {pairs[small]}, {gaps[large]:.2f} mm between {pairs[large]}"]


def _pixels(path: Path) -> np.ndarray:
    """Rescaled values of one slice, (1, H, W) or (1, H, W, 3), in the type that holds them."""
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(os.fspath(path), imageIO="GDCMImageIO"))
    except RuntimeError as error:
        reason = [line for line in str(error).splitlines() if line.strip()][-1].strip()
        raise ValueError(f"{path}: the pixels can't be read, the file may be cut short: {reason}") from None
