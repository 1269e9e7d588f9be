"""A folder of DICOM slices is one regular volume, or an error says which file is the reason."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medlab import images

AXIAL = (1, 0, 0, 0, 1, 0)


def write_slice(path: Path, z_mm: float, value: int = 0, **changes: Any) -> None:
    """A CT slice of 3 rows and 4 columns at a height; its first pixel is `value`."""
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = f"1.2.3.{int.from_bytes(path.name.encode())}"
    header.SeriesInstanceUID, header.StudyInstanceUID, header.Modality = "1.2.3.4", "1.2.3", "CT"
    header.Rows, header.Columns = 3, 4
    header.PixelSpacing, header.SliceThickness = [0.8, 0.6], 2
    header.ImagePositionPatient, header.ImageOrientationPatient = [-10, 5, z_mm], list(AXIAL)
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    for name, change in changes.items():
        if change is None:
            delattr(header, name)
        else:
            setattr(header, name, change)
    pixels = np.zeros((header.Rows, header.Columns), np.uint16)
    pixels[0, 0] = value
    header.PixelData = pixels.tobytes()
    header.save_as(path, enforce_file_format=True)


def write_series(folder: Path, heights: list[float], **changes: Any) -> Path:
    """Slices at these heights, the first pixel counting up from 1 in the order given."""
    folder.mkdir(exist_ok=True)
    for number, z_mm in enumerate(heights, start=1):
        write_slice(folder / f"{number}.dcm", z_mm, value=number, **changes)
    return folder


def test_slices_are_put_in_order_of_position_not_of_name(tmp_path):
    image = images.read(write_series(tmp_path / "s", [30, 25, 35, 20]))
    assert images.array(image)[:, 0, 0].tolist() == [4 - 1024, 2 - 1024, 1 - 1024, 3 - 1024]
    assert images.array(image).shape == (4, 3, 4)
    assert images.spacing_mm(image) == pytest.approx((5, 0.8, 0.6))
    assert image.GetOrigin() == (-10, 5, 20)
    assert images.orientation(image) == "LPS"


def test_an_oblique_series_keeps_its_direction(tmp_path):
    c, s = np.cos(0.3), np.sin(0.3)
    folder = tmp_path / "s"
    folder.mkdir()
    normal = np.cross([1, 0, 0], [0, c, s])
    for k in range(3):
        place = (np.array([1, 2, 3]) + 2.5 * k * normal).round(6).tolist()
        write_slice(folder / f"{k}", 0, value=k, ImagePositionPatient=place, ImageOrientationPatient=[1, 0, 0, 0, c, s])
    image = images.read(folder)
    np.testing.assert_allclose(
        image.TransformIndexToPhysicalPoint((0, 0, 2)), np.array([1, 2, 3]) + 5 * normal, atol=1e-5
    )
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3))[:, 2], normal, atol=1e-6)


def test_values_are_rescaled_slice_by_slice_without_loss(tmp_path):
    folder = write_series(tmp_path / "s", [0])
    write_slice(folder / "2.dcm", 2, value=3, RescaleSlope=0.25, RescaleIntercept=0)
    write_slice(folder / "3.dcm", 4, value=60000, RescaleIntercept=0)
    assert images.array(images.read(folder))[:, 0, 0].tolist() == [1 - 1024, 0.75, 60000]


def test_a_rounded_position_is_no_gap(tmp_path):
    heights = [round(1.25 * k, 1) for k in range(8)]
    assert images.spacing_mm(images.read(write_series(tmp_path / "s", heights)))[0] == pytest.approx(1.25, abs=0.02)


def test_one_slice_is_as_thick_as_it_says(tmp_path):
    assert images.spacing_mm(images.read(write_series(tmp_path / "s", [7])))[0] == 2
    with pytest.raises(ValueError, match=r"1\.dcm: a single slice without SliceThickness"):
        images.read(write_series(tmp_path / "t", [7], SliceThickness=None))


def test_hidden_files_and_a_dicomdir_are_passed_over(tmp_path):
    folder = write_series(tmp_path / "s", [0, 2])
    for name in ("DICOMDIR", ".DS_Store", "._1.dcm"):
        (folder / name).write_bytes(b"no slice")
    assert images.read(folder).GetSize() == (4, 3, 2)


def refused(folder: Path) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        images.read(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "dicom").mkdir()
    assert "the folder holds no DICOM file; it holds the folders dicom" in refused(tmp_path)


def test_a_file_that_is_no_slice_is_refused(tmp_path):
    folder = write_series(tmp_path / "s", [0, 2])
    (folder / "notes.txt").write_text("hello")
    assert "notes.txt: not a DICOM file" in refused(folder)


def test_two_series_are_refused(tmp_path):
    folder = write_series(tmp_path / "s", [0, 2, 4])
    write_slice(folder / "b.dcm", 6, SeriesInstanceUID="9.9")
    said = refused(folder)
    assert "2 different series: 1.2.3.4 in 1.dcm and 2 more; 9.9 in b.dcm." in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Rows": 5}, "2 different sizes (rows, columns): (3, 4) in 1.dcm and 1 more; (5, 4) in b.dcm"),
        ({"PixelSpacing": [0.8, 0.7]}, "2 different pixel spacings in mm: (0.8, 0.6) in 1.dcm and 1 more"),
        ({"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}, "2 different orientations: (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)"),
        ({"NumberOfFrames": 20}, "b.dcm: holds 20 frames"),
        ({"ImagePositionPatient": None}, "b.dcm: the DICOM header has no ImagePositionPatient"),
        ({"ImagePositionPatient": [-10, 5, 2]}, "2.dcm and b.dcm lie at the same position"),
        ({"ImagePositionPatient": [-10, 5, 9]}, "uneven gaps: 2.00 mm between 1.dcm and 2.dcm, 7.00 mm between 2.dcm"),
        ({"ImagePositionPatient": [-10, 7, 4]}, "gantry tilt"),
    ],
)  # fmt: skip
def test_one_slice_that_does_not_fit_is_named(tmp_path, change, said):
    folder = write_series(tmp_path / "s", [0, 2])
    write_slice(folder / "b.dcm", 4, **change)
    assert said in refused(folder)


def test_missing_slices_are_counted_and_placed(tmp_path):
    said = refused(write_series(tmp_path / "s", [0, 2, 4, 10, 12, 16]))
    assert (
        "missing slices, 3 in all (2.00 mm apart otherwise): 2 between 3.dcm and 4.dcm, 1 between 5.dcm and 6.dcm"
        in said
    )


def test_a_tilt_is_measured_from_the_positions(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    for k in range(4):
        write_slice(folder / f"{k}.dcm", 0, ImagePositionPatient=[0, 2 * k, 2 * k], GantryDetectorTilt=45)
    assert "gantry tilt of 45.0 degrees by the positions, and 45 degrees by the header" in refused(folder)


def test_a_tilt_in_the_header_alone_is_no_tilt(tmp_path):
    assert images.read(write_series(tmp_path / "s", [0, 2], GantryDetectorTilt=5)).GetSize() == (4, 3, 2)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.999])
def test_a_slice_cut_short_is_named(tmp_path, kept):
    folder = write_series(tmp_path / "s", [0, 2, 4], Rows=64, Columns=64)
    content = (folder / "2.dcm").read_bytes()
    (folder / "2.dcm").write_bytes(content[: int(len(content) * kept)])
    assert "2.dcm" in refused(folder)


# --- Real data ---


def test_the_chest_ct_is_in_order_and_in_hounsfield_units(mirror):
    image = images.read(mirror / "CPTAC-LSCC_CT/dicom")
    assert image.GetSize() == (512, 512, 40)
    assert images.spacing_mm(image) == pytest.approx((3, 0.564453125, 0.564453125))
    assert image.GetOrigin()[2] == -216
    assert (images.array(image).min(), images.array(image).max()) == (-1024, 3071)
    by_height = sorted(
        (mirror / "CPTAC-LSCC_CT/dicom").iterdir(), key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2]
    )
    for index in (0, 7, 39):
        stored = pydicom.dcmread(by_height[index])
        np.testing.assert_array_equal(
            images.array(image)[index], stored.pixel_array.astype(int) + int(stored.RescaleIntercept)
        )


def test_the_chest_ct_without_one_slice_is_refused(mirror, tmp_path):
    shutil.copytree(mirror / "CPTAC-LSCC_CT/dicom", tmp_path / "dicom")
    (tmp_path / "dicom/000015.dcm").unlink()
    assert "missing slices, 1 in all (3.00 mm apart otherwise)" in refused(tmp_path / "dicom")


def test_the_head_ct_is_refused_with_tilt_and_gaps(mirror):
    said = refused(mirror / "CT_head_irregular/dicom")
    assert re.search(r"gantry tilt of 18\.5 degrees .*12\.dcm and 20\.dcm", said)
    assert "uneven gaps: 1.08 mm between 14.dcm and 15.dcm, 7.00 mm between 16.dcm and 17.dcm" in said


def test_the_folder_above_the_series_says_where_it_is(mirror):
    assert "LICENSE: not a DICOM file" in refused(mirror / "CT_head_irregular")
    assert "read the folder dicom in it" in refused(mirror / "CT_head_irregular")
