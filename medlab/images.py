"""Medical images in and out: files, geometry, arrays.

SimpleITK counts voxels as (x, y, z), numpy as (z, y, x) = (D, H, W). This module is the only place where one becomes
the other: every array and every `spacing_mm` that it takes or gives is in array order, and `spacing_mm[i]` belongs to
`shape[i]`. World coordinates stay as DICOM has them: millimetres, +x to the patient's Left, +y to the back
(Posterior), +z to the head (Superior), which is the orientation "LPS".

Built by hand in lesson 10.
"""

from __future__ import annotations

import contextlib
import os
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from medlab import dicom, nifti

# Two grids count as the same within these; NIfTI keeps its geometry in float32, which costs about 1e-6.
SPACING_TOLERANCE = 1e-3  # relative: 0.1 % of the spacing
ORIGIN_TOLERANCE = 1e-2  # in voxels
DIRECTION_TOLERANCE = 1e-3  # largest difference of a direction cosine

WRITABLE = (".nii.gz", ".nii", ".mha", ".nrrd", ".png")  # JPEG is left out: it changes values


# --- Files -----------------------------------------------------------------------------------------------------------


def read(path: str | Path) -> sitk.Image:
    """Read an image file, or the DICOM series in a folder.

    A folder must hold the slices of one DICOM series and nothing else; they are put in the order of their positions in
    the patient, whatever their names. A four-dimensional file (channels or time points last, as NIfTI has them) comes
    back as a 3D image with several values a voxel.

    Args:
        path: a NIfTI, MHA, NRRD, PNG or JPEG file (what SimpleITK can read), or a folder of DICOM slices.

    Returns:
        The 2D or 3D image with spacing, origin and direction in mm. CT is in Hounsfield units. Values that are not
        finite are kept, with a warning that counts them.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the file is not an image, is cut short, or has a geometry that an image can't hold; or the series is
            not a regular stack of slices. The message names the file and the reason.
    """
    path = Path(path)
    if path.is_dir():
        return dicom.read_series(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    _refuse_truncated(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(_unreadable(path, error)) from None
    if nifti.is_nifti(path):
        image = nifti.restore_not_finite(image, path)
    _warn_not_finite(image, path)
    return _channels_last(image, path)


def write(image: sitk.Image, path: str | Path) -> None:
    """Write an image to a file, whole or not at all: it is written beside, then renamed.

    Args:
        image: any image; NIfTI, MHA and NRRD keep its geometry, PNG keeps only 8- or 16-bit grey or colour values.
        path: the file to make or to replace; its name ends in .nii.gz, .nii, .mha, .nrrd or .png.

    Raises:
        FileNotFoundError: the folder is not there.
        ValueError: another ending (JPEG would change the values), or the format can't hold this type of value.
    """
    _require_image(image, "write")
    path = Path(path)
    suffix = next((ending for ending in WRITABLE if path.name.lower().endswith(ending)), None)
    if suffix is None:
        raise ValueError(f"{path}: the name of an image file must end in {', '.join(WRITABLE)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    bare = sitk.Image(image)  # the header fields of the file it came from may not fit this grid: leave them out
    for key in bare.GetMetaDataKeys():
        bare.EraseMetaData(key)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{suffix}")
    try:
        sitk.WriteImage(bare, str(beside), useCompression=True)
        beside.replace(path)
    except RuntimeError as error:
        raise ValueError(f"{path}: cannot be written: {_last_line(error)}") from None
    finally:
        beside.unlink(missing_ok=True)


def _refuse_truncated(path: Path) -> None:
    """SimpleITK fills what is missing at the end of a NIfTI or JPEG file with zeros and says nothing."""
    if nifti.is_nifti(path):
        nifti.refuse_truncated(path)
    if path.name.lower().endswith((".jpg", ".jpeg")):
        with path.open("rb") as file:
            file.seek(-min(4096, path.stat().st_size), os.SEEK_END)
            if b"\xff\xd9" not in file.read():  # the end-of-image marker
                raise ValueError(f"{path}: the file is cut short (no end-of-image marker); fetch it again")


def _channels_last(image: sitk.Image, path: Path) -> sitk.Image:
    """A 4D image as a 3D image with several values a voxel."""
    if image.GetDimension() < 4:
        return image
    if image.GetDimension() > 4 or image.GetNumberOfComponentsPerPixel() > 1:
        raise ValueError(f"{path}: the image has {image.GetDimension()} dimensions, at most 4 can be read")
    parts = [image[..., i] for i in range(image.GetSize()[3])]
    return parts[0] if len(parts) == 1 else sitk.Compose(parts)


def _warn_not_finite(image: sitk.Image, path: Path) -> None:
    if "float" not in image.GetPixelIDTypeAsString():
        return
    bad = int(np.count_nonzero(~np.isfinite(sitk.GetArrayViewFromImage(image))))
    if bad:
        warnings.warn(f"{path}: NaN or infinite values, {bad:,} in all; they were kept", stacklevel=3)


def _unreadable(path: Path, error: RuntimeError) -> str:
    reason = _last_line(error)
    if "No such file" in reason:  # what ITK says of an MHA file with too few bytes
        reason = "fewer bytes than the header promises"
    return f"{path}: cannot be read as an image: {reason}"


def _last_line(error: Exception) -> str:
    return [line for line in str(error).splitlines() if line.strip()][-1].strip()


# --- Arrays ----------------------------------------------------------------------------------------------------------


def array(image: sitk.Image) -> np.ndarray:
    """Values of an image as a copy: (D, H, W) or (H, W), with a last axis C where a voxel has several values."""
    _require_image(image, "array")
    return sitk.GetArrayFromImage(image)


def image_like(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    """An image with these values on the grid of another.

    Args:
        values: shape of `array(image)`, with or without a last axis of channels; a bool mask becomes uint8, float16
            becomes float32.
        image: gives spacing, origin and direction.

    Raises:
        TypeError: `image` is no image.
        ValueError: the shapes don't fit.
    """
    _require_image(image, "image_like")
    size = image.GetSize()[::-1]  # (D, H, W)
    if values.shape[: len(size)] != size or values.ndim > len(size) + 1:
        raise ValueError(f"values of shape {values.shape} don't fit on an image of shape {size} (channels come last)")
    made = from_array(values, channels=values.ndim > len(size))
    made.CopyInformation(image)
    return made


def from_array(values: np.ndarray, spacing_mm: Sequence[float] | None = None, *, channels: bool = False) -> sitk.Image:
    """An image from an array, with its origin at 0 and its axes along the world's.

    Args:
        values: (D, H, W) or (H, W), with a last axis C if `channels`; bool becomes uint8, float16 becomes float32.
        spacing_mm: voxel size in mm along each axis, in array order; 1 mm if not given.
        channels: the last axis holds the values of one voxel.
    """
    if values.ndim - channels not in (2, 3):
        raise ValueError(f"values must be (D, H, W) or (H, W), plus a last axis if channels=True, got {values.shape}")
    lossless = {np.dtype(bool): np.uint8, np.dtype(np.float16): np.float32}.get(values.dtype, values.dtype)
    made = sitk.GetImageFromArray(np.ascontiguousarray(values, dtype=lossless), isVector=channels)
    if spacing_mm is not None:
        made.SetSpacing(checked_spacing(spacing_mm, made.GetDimension())[::-1])
    return made


def spacing_mm(image: sitk.Image) -> tuple[float, ...]:
    """Voxel size in mm in array order: `spacing_mm(image)[i]` belongs to `array(image).shape[i]`."""
    _require_image(image, "spacing_mm")
    return tuple(image.GetSpacing()[::-1])


def orientation(image: sitk.Image) -> str:
    """Where the three voxel axes (x, y, z) point in the patient, as letters: "LPS" means to Left, Posterior, Superior.

    For an oblique image, the nearest such letters.
    """
    _require_3d(image, "an orientation")
    return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())


def window(volume: np.ndarray, level: float, width: float) -> np.ndarray:
    """Grey values of a volume seen through a window: 0 at `level - width / 2` and below, 1 at `level + width / 2`.

    Args:
        volume: any shape and number type, such as Hounsfield units.
        level: middle of the window, in the units of the volume. Lung -600, soft tissue 40.
        width: of the window, above 0. Lung 1500, soft tissue 400.

    Returns:
        float32 in 0..1, shape of `volume`; NaN stays NaN.

    Raises:
        TypeError: an image instead of its array.
        ValueError: a level that is not finite, or a width that is not finite or not above 0.
    """
    if isinstance(volume, sitk.Image):  # numpy would take it for one long row of numbers
        raise TypeError("window takes an array (D, H, W), got a SimpleITK image: use images.array(image)")
    if not (np.isfinite(level) and 0 < width < np.inf):
        raise ValueError(f"a window needs a finite level and a finite width above 0, got {level} and {width}")
    scaled = (np.asarray(volume, dtype=np.float32) - np.float32(level - width / 2)) / np.float32(width)
    return np.clip(scaled, 0.0, 1.0)


# --- Grids -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie, in SimpleITK's order (x, y, z)."""

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]


def grid(source: sitk.Image | Path) -> Grid:
    """The grid of an image, or of an image file of which only the header is read."""
    if not isinstance(source, str | Path):
        _require_image(source, "a grid", "or the path of a file")
    if isinstance(source, sitk.Image):
        return Grid(source.GetSize(), source.GetSpacing(), source.GetOrigin(), source.GetDirection())
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(source))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(_unreadable(source, error)) from None
    n = min(reader.GetDimension(), 3)
    direction = np.reshape(reader.GetDirection(), (reader.GetDimension(),) * 2)[:n, :n]
    origin = reader.GetOrigin()[:n]
    return Grid(reader.GetSize()[:n], reader.GetSpacing()[:n], origin, tuple(direction.ravel().tolist()))


def check_same_grid(
    image: sitk.Image | Path, labels: sitk.Image | Path, *, names: tuple[str, str] = ("the image", "the labels")
) -> None:
    """Raise unless both lie on the same grid: size, spacing, origin and direction.

    Allowed are 0.1 % of the spacing, 1 % of a voxel in the origin and 0.001 in a direction cosine.

    Args:
        image: an image, or the path of an image file of which only the header is read.
        labels: as `image`.
        names: what to call the two in the message, such as the file names.

    Raises:
        ValueError: names both and says what differs.
    """
    differences = list(_differences(grid(image), grid(labels)))
    if differences:
        raise ValueError(f"{names[0]} and {names[1]} lie on different grids: {'; '.join(differences)}")


def _differences(a: Grid, b: Grid) -> Iterator[str]:
    if a.size != b.size:
        yield f"size {_numbers(a.size)} and {_numbers(b.size)} voxels (x, y, z)"
    if len(a.size) != len(b.size):
        return
    if not np.allclose(a.spacing_mm, b.spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
        yield f"spacing {_numbers(a.spacing_mm)} and {_numbers(b.spacing_mm)} mm"
    if np.any(np.abs(np.subtract(a.origin_mm, b.origin_mm)) > ORIGIN_TOLERANCE * min(a.spacing_mm)):
        yield f"origin {_numbers(a.origin_mm)} and {_numbers(b.origin_mm)} mm"
    if not np.allclose(a.direction, b.direction, rtol=0, atol=DIRECTION_TOLERANCE):
        yield f"direction {_numbers(a.direction)} and {_numbers(b.direction)}"


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def resample(
    image: sitk.Image,
    *,
    spacing_mm: Sequence[float] | None = None,
    like: sitk.Image | None = None,
    labels: bool = False,
) -> sitk.Image:
    """The image on another grid: linear interpolation, nearest voxel for labels.

    Args:
        image: 2D or 3D.
        spacing_mm: wanted voxel size in mm, in array order. The new grid has the direction and the centre of the old,
            and its size rounded to whole voxels. Nothing is smoothed before: a much larger voxel size can alias.
        like: an image whose grid is wanted instead. Outside `image` the result is its smallest value, 0 for labels.
        labels: the values are labels; they are never mixed, and their type stays.

    Returns:
        Values of labels in their own type, others as float32 (float64 where float32 can't hold them). On the grid that
        it has already, every value stays exactly as it is.

    Raises:
        TypeError: `image` or `like` is no image.
        ValueError: not exactly one of `spacing_mm` and `like` is given, or it does not fit.
    """
    _require_image(image, "resample")
    if (spacing_mm is None) == (like is None):
        raise ValueError("resample needs one of spacing_mm and like, and not both")
    target = (
        grid(like)
        if like is not None
        else _regrid(grid(image), checked_spacing(spacing_mm, image.GetDimension())[::-1])
    )
    if len(target.size) != image.GetDimension():
        raise ValueError(f"the image has {image.GetDimension()} dimensions and the grid wanted has {len(target.size)}")
    if not labels:
        image = _as_float(image)
    if grid(image) == target:
        return sitk.Image(image)
    outside = 0.0 if labels else float(sitk.GetArrayViewFromImage(image).min())
    method = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
    places = (target.origin_mm, target.spacing_mm, target.direction)
    return sitk.Resample(image, target.size, sitk.Transform(), method, *places, outside, image.GetPixelID())


def _regrid(old: Grid, spacing: tuple[float, ...]) -> Grid:
    """The grid of another voxel size with the same centre; at most half a new voxel is gained or lost in extent."""
    extent = np.multiply(old.size, old.spacing_mm)
    size = np.maximum(1, np.round(extent / spacing)).astype(int)
    shift = (np.multiply(np.subtract(old.size, 1), old.spacing_mm) - (size - 1) * np.asarray(spacing)) / 2
    matrix = np.reshape(old.direction, (len(spacing), -1))
    origin = np.asarray(old.origin_mm) + matrix @ shift
    return Grid(tuple(size.tolist()), spacing, tuple(origin.tolist()), old.direction)


def _as_float(image: sitk.Image) -> sitk.Image:
    """float32, or float64 where float32 would lose values."""
    dtype = sitk.GetArrayViewFromImage(image).dtype
    wide = np.result_type(dtype, np.float32) == np.float64
    vector = image.GetNumberOfComponentsPerPixel() > 1
    if wide:
        return sitk.Cast(image, sitk.sitkVectorFloat64 if vector else sitk.sitkFloat64)
    return sitk.Cast(image, sitk.sitkVectorFloat32 if vector else sitk.sitkFloat32)


def reorient(image: sitk.Image, letters: str = "LPS") -> sitk.Image:
    """The same voxels with their axes swapped and flipped so that they point as the letters say.

    Every voxel keeps its value and its place in the patient; nothing is interpolated. An oblique image gets the nearest
    such axes and stays oblique.

    Args:
        image: 3D.
        letters: one of L R, one of P A, one of S I, in any order: 48 orientations; x, y and z point there.
    """
    _require_3d(image, "reorient")
    if len(letters) != 3 or any(len(set(letters) & set(pair)) != 1 for pair in ("LR", "PA", "SI")):
        raise ValueError(f"an orientation is one letter each of LR, PA and SI, such as LPS, got {letters!r}")
    return sitk.DICOMOrient(image, letters)


def _require_image(image: object, what: str, else_what: str = "") -> None:
    if not isinstance(image, sitk.Image):
        wanted = f"a SimpleITK image {else_what}".rstrip()
        raise TypeError(
            f"{what} needs {wanted}, got {type(image).__name__}; images.image_like(values, image) makes an image of "
            "an array"
        )


def _require_3d(image: sitk.Image, what: str) -> None:
    _require_image(image, what)
    if image.GetDimension() != 3:
        raise ValueError(f"{what} needs a 3D image, got {image.GetDimension()} dimensions")


def checked_spacing(values: Sequence[float] | None, n: int) -> tuple[float, ...]:
    """The spacing as `n` numbers in array order; raises ValueError unless each is above 0 and finite."""
    numbers: tuple[Any, ...] = ()
    with contextlib.suppress(TypeError, ValueError):
        numbers = tuple(float(value) for value in (() if values is None else values))
    if len(numbers) != n or not all(0 < number < np.inf for number in numbers):
        order = "(z, y, x)" if n == 3 else "(y, x)"
        raise ValueError(f"spacing_mm must be {n} positive numbers in {order} order, got {values!r}")
    return numbers
