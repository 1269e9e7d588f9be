"""A DICOM CT series of a made-up person, sound or with one of the faults that a reader has to refuse."""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from medlab.phantoms.chest import chest_patient

Fault = Literal["gantry tilt", "uneven gap", "missing slice"]
_FAULTS = ("gantry tilt", "uneven gap", "missing slice")
_TILT_DEG = 15.0
_INTERCEPT = -1024  # stored values begin at 0, Hounsfield units at -1024


def write_dicom_series(folder: str | Path, image: sitk.Image | None = None, *, fault: Fault | None = None) -> Path:
    """Write a CT volume as one DICOM file per slice into a new folder; return the folder.

    The files are uncompressed (explicit VR, little endian) and named out of slice order, as in many archives; instance
    numbers run from the head to the feet. Name, number, dates and identifiers are made up and follow from the image and
    the fault alone, so that two runs write the same bytes.

    Args:
        folder: must not exist yet, or be empty.
        image: 3D, whole Hounsfield units from -1024 on; chest patient 0 where none is given.
        fault: None for a sound series; "gantry tilt": slices tilted by 15 degrees, stacked straight up, so that they
            shift along their own planes; "uneven gap": every second slice of the lower half, every third of the
            upper one; "missing slice": one from the middle is not there.

    Raises:
        FileExistsError: the folder holds something.
        ValueError: unknown fault, image not 3D, values below -1024, or fewer than 12 slices where one is to be spoilt.

    Source: DICOM PS3.3, CT Image IOD (A.3), Image Plane (C.7.6.2).
    """
    image = chest_patient(0).image if image is None else image
    folder = Path(folder)
    if fault is not None and fault not in _FAULTS:
        raise ValueError(f"fault must be None or one of {', '.join(_FAULTS)}, got {fault!r}")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files already; a series needs a folder of its own: give a new one")
    volume = _hounsfield(image, fault)
    slices = _slices(image, volume, fault)
    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    series = hashlib.sha256(
        volume.tobytes() + repr((image.GetSpacing(), image.GetOrigin(), fault)).encode()
    ).hexdigest()
    names = np.random.default_rng(0).permutation(len(slices))
    for number, (pixels, position, axes) in enumerate(slices):
        dataset = _dataset(series, len(slices) - number)
        _place(dataset, position, axes, image.GetSpacing())
        _set_pixels(dataset, pixels)
        dataset.save_as(part / f"CT{names[number] + 1:04d}.dcm", enforce_file_format=True)
    if folder.exists():
        folder.rmdir()
    return part.rename(folder)


_Slice = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # pixels (H, W); place of the first one, mm; axes of rows and columns


def _hounsfield(image: sitk.Image, fault: Fault | None) -> np.ndarray:
    if image.GetDimension() != 3:
        raise ValueError(f"image must be 3D, got {image.GetDimension()}D")
    volume = sitk.GetArrayFromImage(image)
    if volume.min() < _INTERCEPT:
        raise ValueError(f"Hounsfield units must be {_INTERCEPT} or more, got {volume.min()}; clip the image first")
    if fault is not None and len(volume) < 12:
        raise ValueError(f"a series with the fault {fault!r} needs 12 slices or more, got {len(volume)}")
    return volume


def _slices(image: sitk.Image, volume: np.ndarray, fault: Fault | None) -> list[_Slice]:
    """Return the slices in the order of the volume."""
    if fault == "gantry tilt":
        return _tilted(image)
    half = len(volume) // 2
    chosen = list(range(len(volume)))
    if fault == "uneven gap":
        chosen = [*range(0, half, 2), *range(half, len(volume), 3)]
    elif fault == "missing slice":
        chosen.remove(half)
    axes = np.reshape(image.GetDirection(), (3, 3)).T[:2]  # (2, 3)
    return [(volume[k], np.array(image.TransformIndexToPhysicalPoint((0, 0, k))), axes) for k in chosen]


def _tilted(image: sitk.Image) -> list[_Slice]:
    """Cut the volume along planes turned about the first axis; every plane begins above the one before."""
    across, down, up = np.reshape(image.GetDirection(), (3, 3)).T
    tilt = np.deg2rad(_TILT_DEG)
    turned, normal = np.cos(tilt) * down + np.sin(tilt) * up, np.cos(tilt) * up - np.sin(tilt) * down
    slices = []
    for k in range(image.GetDepth()):
        plane = sitk.Image([*image.GetSize()[:2], 1], image.GetPixelID())
        plane.SetSpacing(image.GetSpacing())
        plane.SetDirection(np.stack([across, turned, normal], axis=1).ravel())
        plane.SetOrigin(image.TransformIndexToPhysicalPoint((0, 0, k)))
        cut = sitk.Resample(image, plane, sitk.Transform(), sitk.sitkLinear, -1000.0)
        slices.append((sitk.GetArrayFromImage(cut)[0], np.array(plane.GetOrigin()), np.stack([across, turned])))
    return slices


def _dataset(series: str, number: int) -> FileDataset:
    """Return a header with everything but place and pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, "slice", str(number)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
        generate_uid(entropy_srcs=[series, level]) for level in ("study", "series", "frame")
    )
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Phantom^Adam", "PHANTOM-0001", "O"
    dataset.PatientBirthDate, dataset.StudyDate, dataset.SeriesDate = "19700101", "20240102", "20240102"
    dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "120000", "1", ""
    dataset.ReferringPhysicianName, dataset.PatientPosition, dataset.PositionReferenceIndicator = "", "HFS", ""
    dataset.Modality, dataset.Manufacturer, dataset.SeriesDescription = "CT", "medlab phantoms", "Synthetic CT"
    dataset.ImageType, dataset.BodyPartExamined, dataset.KVP = ["ORIGINAL", "PRIMARY", "AXIAL"], "CHEST", "120"
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 1, 1, number
    return dataset


def _place(dataset: pydicom.Dataset, position: np.ndarray, axes: np.ndarray, spacing: tuple[float, ...]) -> None:
    dataset.ImagePositionPatient = _decimals(*position)
    dataset.ImageOrientationPatient = _decimals(*axes.ravel())
    dataset.PixelSpacing = _decimals(spacing[1], spacing[0])  # between rows, between columns
    (dataset.SliceThickness,) = _decimals(spacing[2])
    dataset.GantryDetectorTilt = DSfloat(_TILT_DEG if abs(axes[1, 2]) > 1e-6 else 0.0)


def _decimals(*values: float) -> list[DSfloat]:
    """Return numbers that fit the 16 characters of DICOM's decimal strings."""
    return [DSfloat(float(value), auto_format=True) for value in values]


def _set_pixels(dataset: pydicom.Dataset, pixels: np.ndarray) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", str(_INTERCEPT), "HU"
    dataset.WindowCenter, dataset.WindowWidth = "40", "400"
    dataset.PixelData = (pixels.astype(np.int32) - _INTERCEPT).astype("<u2").tobytes()
