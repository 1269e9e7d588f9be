"""Images in and out: one place turns (x, y, z) into (z, y, x), and nothing is lost on the way."""

from __future__ import annotations

import gzip
import itertools
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from medlab import images

ORIENTATIONS = [
    "".join(letters) for signs in itertools.product("LR", "PA", "SI") for letters in itertools.permutations(signs)
]


def oblique(angles_rad: tuple[float, float, float]) -> list[float]:
    """A proper rotation as direction cosines."""
    transform = sitk.Euler3DTransform()
    transform.SetRotation(*angles_rad)
    return list(transform.GetMatrix())


def image_of(values: np.ndarray, spacing_mm=(3.0, 1.5, 0.5), origin=(-7.0, 11.0, 40.0), direction=None) -> sitk.Image:
    """A 3D image that is neither cubic nor isotropic; spacing in array order, origin in (x, y, z)."""
    image = images.from_array(values, spacing_mm)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    return image


def numbered(shape=(4, 5, 7), dtype=np.int16, **geometry) -> sitk.Image:
    """Every voxel holds another number."""
    return image_of(np.arange(np.prod(shape), dtype=dtype).reshape(shape), **geometry)


# --- Arrays ---


def test_array_is_z_y_x_and_spacing_follows_it():
    image = sitk.Image([7, 5, 4], sitk.sitkInt16)  # x, y, z
    image.SetSpacing([0.5, 1.5, 3.0])
    image[6, 0, 2] = 9
    assert images.array(image).shape == (4, 5, 7)
    assert images.array(image)[2, 0, 6] == 9
    assert images.spacing_mm(image) == (3.0, 1.5, 0.5)


@settings(deadline=None)
@given(
    st.sampled_from([np.uint8, np.int16, np.int32, np.float32, np.float64]),
    st.lists(st.integers(1, 6), min_size=2, max_size=3),
    st.booleans(),
)
def test_array_and_image_like_are_inverse(dtype, shape, channels):
    shape = (*shape, 3) if channels else tuple(shape)
    values = (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)
    image = images.from_array(values, channels=channels)
    again = images.image_like(images.array(image), image)
    np.testing.assert_array_equal(images.array(again), values, strict=True)
    assert images.grid(again) == images.grid(image)


def test_image_like_takes_the_geometry_of_an_oblique_image():
    image = numbered(direction=oblique((0.2, -0.4, 0.1)))
    mask = images.image_like(images.array(image) > 20, image)
    assert images.grid(mask) == images.grid(image)
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert images.array(mask).sum() == 4 * 5 * 7 - 21


def test_image_like_refuses_another_shape():
    with pytest.raises(
        ValueError, match=re.escape("values of shape (7, 5, 4) don't fit on an image of shape (4, 5, 7)")
    ):
        images.image_like(np.zeros((7, 5, 4)), numbered())


def test_half_precision_is_widened_without_loss():
    values = np.array([[0.1, 65504.0]], dtype=np.float16)
    np.testing.assert_array_equal(images.array(images.from_array(values)), values.astype(np.float32), strict=True)


@pytest.mark.parametrize("spacing", [(1.0, 0.0, 1.0), (1.0, 1.0), (1.0, 1.0, float("nan")), 2.0])
def test_spacing_must_be_positive_and_complete(spacing):
    with pytest.raises(ValueError, match=r"spacing_mm must be 3 positive numbers in \(z, y, x\) order, got"):
        images.from_array(np.zeros((2, 2, 2)), spacing)


def test_spacing_may_be_an_array():
    image = images.from_array(np.zeros((2, 3, 4)), np.array([3.0, 2.0, 1.0]))
    assert image.GetSpacing() == (1.0, 2.0, 3.0)


def test_window_maps_its_ends_to_0_and_1():
    np.testing.assert_array_equal(
        images.window(np.array([-1000, -160, 40, 240, 3000], dtype=np.int16), level=40, width=400),
        np.array([0, 0, 0.5, 1, 1], dtype=np.float32),
        strict=True,
    )


@pytest.mark.parametrize(("level", "width"), [(40, 0), (40, -1), (40, np.inf), (40, np.nan), (np.nan, 400)])
def test_window_needs_a_finite_level_and_a_width(level, width):
    with pytest.raises(ValueError, match=f"finite width above 0, got {level} and {width}"):
        images.window(np.zeros(3), level, width)


def test_window_refuses_an_image_whose_axes_would_be_lost():
    with pytest.raises(TypeError, match=r"use images\.array\(image\)"):
        images.window(numbered(), 40, 400)


@pytest.mark.parametrize(
    "call",
    [
        images.array,
        images.spacing_mm,
        images.orientation,
        images.reorient,
        images.grid,
        lambda values: images.resample(values, spacing_mm=(1, 1, 1)),
        lambda values: images.resample(numbered(), like=values),
        lambda values: images.check_same_grid(numbered(), values),
        lambda values: images.image_like(numbered(), values),
        lambda values: images.write(values, "a.nii.gz"),
    ],
)
def test_an_array_in_place_of_an_image_is_named_not_printed(call):
    with pytest.raises(TypeError, match=r"needs a SimpleITK image.*, got ndarray; images\.image_like\(values, image\)"):
        call(np.zeros((4, 5, 7)))


# --- Files ---


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_values_and_geometry_survive_a_file(tmp_path, ending, dtype):
    image = numbered(dtype=dtype, direction=oblique((0.3, 0.1, -0.2)))
    images.write(image, tmp_path / f"a{ending}")
    again = images.read(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(images.array(again), images.array(image), strict=True)
    images.check_same_grid(image, again)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{ending}"]


def test_png_keeps_16_bits(tmp_path):
    image = images.from_array(np.array([[0, 300], [65535, 7]], dtype=np.uint16))
    images.write(image, tmp_path / "a.png")
    np.testing.assert_array_equal(images.array(images.read(tmp_path / "a.png")), images.array(image), strict=True)


def test_jpeg_is_not_written_because_it_changes_values(tmp_path):
    with pytest.raises(ValueError, match=r"a\.jpg: the name of an image file must end in \.nii\.gz"):
        images.write(images.from_array(np.zeros((4, 4), np.uint8)), tmp_path / "a.jpg")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.nii: there is no folder .*nowhere"):
        images.write(numbered(), tmp_path / "nowhere" / "a.nii")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    images.write(images.from_array(np.full((2, 2), 7, np.uint8)), tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: cannot be written"):
        images.write(images.from_array(np.zeros((2, 2), np.float32)), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert images.array(images.read(tmp_path / "a.png"))[0, 0] == 7


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path):
    images.write(images.from_array(np.full((2, 2), 7, np.uint8)), tmp_path / "a.png")
    old = (tmp_path / "a.png").read_bytes()
    with (tmp_path / "a.png").open("rb") as opened:
        images.write(images.from_array(np.zeros((300, 300), np.uint8)), tmp_path / "a.png")
        assert opened.read() == old


def test_four_dimensions_become_channels(tmp_path):
    parts = [numbered(), numbered() + 1000]
    sitk.WriteImage(sitk.JoinSeries(parts), tmp_path / "a.nii.gz")
    image = images.read(tmp_path / "a.nii.gz")
    assert images.array(image).shape == (4, 5, 7, 2)
    np.testing.assert_array_equal(images.array(image)[..., 1], images.array(parts[1]))
    assert images.grid(image) == images.grid(tmp_path / "a.nii.gz")  # of the file, the header alone
    images.check_same_grid(tmp_path / "a.nii.gz", parts[0])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.nii\.gz: there is no such file"):
        images.read(tmp_path / "nothing.nii.gz")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mha", "a.png", "a.jpg", "a.dcm"])
def test_a_file_that_is_no_image_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"hello " * 100)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: "):
        images.read(tmp_path / name)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd", ".png", ".jpg"])
@pytest.mark.parametrize("kept", [0.3, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, capfd, ending, kept):
    path = tmp_path / f"a{ending}"
    values = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    volume = ending not in (".png", ".jpg")
    sitk.WriteImage(images.from_array(np.stack([values] * 3) if volume else values), path, useCompression=volume)
    content = path.read_bytes()
    images.read(path)
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=rf"a{re.escape(ending)}: .*(cut short|cannot be read)"):
        images.read(path)
    capfd.readouterr()  # the readers inside SimpleITK also complain on stderr


def test_a_zipped_file_of_several_members_is_whole(tmp_path):
    image = numbered()
    images.write(image, tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    np.testing.assert_array_equal(images.array(images.read(tmp_path / "b.nii.gz")), images.array(image))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_finite_are_counted_and_kept(tmp_path, ending, dtype):
    values = np.arange(2 * 3 * 4 * 2, dtype=dtype).reshape(2, 3, 4, 2)
    values[0, 0, 1, 0], values[1, 2, 0, 1], values[0, 2, 3, 1] = np.nan, np.inf, -np.inf
    sitk.WriteImage(images.from_array(values, channels=True), tmp_path / f"a{ending}")
    with pytest.warns(UserWarning, match=rf"a{re.escape(ending)}: NaN or infinite values, 3 in all; they were kept"):
        image = images.read(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(images.array(image), values)


def test_values_that_are_not_finite_are_kept_in_four_dimensions(tmp_path):
    parts = [numbered(dtype=np.float32), numbered(dtype=np.float32)]
    parts[1][6, 0, 2] = float("nan")
    sitk.WriteImage(sitk.JoinSeries(parts), tmp_path / "a.nii.gz")
    with pytest.warns(UserWarning, match="infinite values, 1 in all"):
        values = images.array(images.read(tmp_path / "a.nii.gz"))
    assert np.argwhere(np.isnan(values)).tolist() == [[2, 0, 6, 1]]


def test_a_sheared_nifti_is_refused_with_its_name(tmp_path):
    images.write(numbered(), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<hh", content, 252, 0, 1)  # qform off, sform on
    struct.pack_into("<12f", content, 280, 1, 0.5, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.nii: cannot be read as an image: .*orthonormal"):
        images.read(tmp_path / "a.nii")


# --- Grids ---


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda image: image[:-1], r"size \(7, 5, 4\) and \(6, 5, 4\) voxels"),
        (lambda image: image.SetSpacing((0.5, 1.5, 3.01)), r"spacing \(0\.5, 1\.5, 3\) and \(0\.5, 1\.5, 3\.01\) mm"),
        (lambda image: image.SetOrigin((-7, 11, 40.01)), r"origin \(-7, 11, 40\) and \(-7, 11, 40\.01\) mm"),
        (lambda image: image.SetDirection(oblique((0.01, 0, 0))), "direction"),
    ],
)
def test_different_grids_are_named_with_what_differs(change, said):
    other = numbered()
    other = change(other) or other
    with pytest.raises(ValueError, match=rf"a\.nii and b\.nii lie on different grids: {said}"):
        images.check_same_grid(numbered(), other, names=("a.nii", "b.nii"))


def test_the_rounding_of_a_header_is_no_difference():
    image, other = numbered(), numbered()
    other.SetSpacing(np.float32([0.5, 1.5, 3.0000002]).tolist())
    other.SetOrigin((-7.000001, 11, 40))
    images.check_same_grid(image, other)


# --- Orientation ---


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("letters", ORIENTATIONS)
def test_reorient_keeps_every_voxel_in_its_place(letters):
    image = numbered(direction=oblique((0.2, -0.1, 0.15)))
    turned = images.reorient(image, letters)
    assert images.orientation(turned) == letters
    for index in itertools.product((0, 3, 6), (0, 4), (0, 2, 3)):
        place = image.TransformIndexToPhysicalPoint(index)
        assert turned[turned.TransformPhysicalPointToIndex(place)] == image[index]
    assert sorted(images.array(turned).ravel()) == sorted(images.array(image).ravel())
    back = images.reorient(turned, images.orientation(image))
    np.testing.assert_array_equal(images.array(back), images.array(image))
    np.testing.assert_allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-12)


@pytest.mark.parametrize("letters", ["LPA", "LP", "lps", "LPSS", "XYZ"])
def test_reorient_refuses_what_is_no_orientation(letters):
    with pytest.raises(ValueError, match=f"such as LPS, got '{letters}'"):
        images.reorient(numbered(), letters)


def test_orientation_needs_three_dimensions():
    with pytest.raises(ValueError, match="needs a 3D image, got 2 dimensions"):
        images.orientation(images.from_array(np.zeros((3, 4))))


# --- Resampling ---

angles = st.tuples(*[st.floats(-3, 3)] * 3)
spacings = st.tuples(*[st.floats(0.4, 4.0)] * 3)


def ramp(image: sitk.Image) -> np.ndarray:
    """World position (mm) projected on a direction, for each voxel: what linear interpolation keeps exactly."""
    shape = images.array(image).shape
    values = np.empty(shape)
    for index in np.ndindex(shape):
        values[index] = np.dot((1.0, -0.5, 0.25), image.TransformIndexToPhysicalPoint(index[::-1]))
    return values


@settings(max_examples=30, deadline=None)
@given(angles, spacings)
def test_a_ramp_is_resampled_to_the_closed_form(turn, spacing):
    image = image_of(np.zeros((4, 6, 9)), direction=oblique(turn))
    image = images.image_like(ramp(image), image)
    resampled = images.resample(image, spacing_mm=spacing)
    expected = ramp(resampled)
    inside = np.empty(expected.shape, dtype=bool)  # of the voxel centres; beyond them the border is repeated
    for index in np.ndindex(expected.shape):
        place = resampled.TransformIndexToPhysicalPoint(index[::-1])
        continuous = image.TransformPhysicalPointToContinuousIndex(place)
        inside[index] = all(0 <= c <= n - 1 for c, n in zip(continuous, image.GetSize(), strict=True))
    np.testing.assert_allclose(images.array(resampled)[inside], expected[inside], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(angles, spacings)
def test_resample_keeps_centre_direction_and_extent(turn, spacing):
    image = numbered(direction=oblique(turn))
    resampled = images.resample(image, spacing_mm=spacing)
    np.testing.assert_allclose(images.spacing_mm(resampled), spacing)
    assert resampled.GetDirection() == image.GetDirection()
    centres = [
        one.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in one.GetSize()]) for one in (image, resampled)
    ]
    np.testing.assert_allclose(*centres, atol=1e-9)
    gained = np.multiply(resampled.GetSize(), resampled.GetSpacing()) - np.multiply(image.GetSize(), image.GetSpacing())
    assert np.all((np.abs(gained) <= np.array(spacing[::-1]) / 2 + 1e-9) | (np.array(resampled.GetSize()) == 1))


@pytest.mark.parametrize("labels", [False, True])
def test_the_same_grid_changes_no_value(labels):
    values = np.random.default_rng(0).normal(0, 1e4, (4, 50, 60)).astype(np.float32)
    values[2, 30, 30] = np.inf  # which interpolation with a weight of 0 would turn into NaN around it
    image = image_of(values, spacing_mm=(3.0, 1.1, 0.7), origin=(1e3, 0.1, -7e2), direction=oblique((0.3, 0.2, 0.1)))
    for same in (images.resample(image, like=image, labels=labels), images.resample(image, spacing_mm=(3.0, 1.1, 0.7))):
        np.testing.assert_array_equal(images.array(same), values)
        assert images.grid(same) == images.grid(image)


def test_labels_are_never_mixed_and_keep_their_type():
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[:, :, 4:] = 2
    resampled = images.resample(image_of(labels), spacing_mm=(1.0, 0.7, 0.3), labels=True)
    assert set(np.unique(images.array(resampled))) == {0, 2}
    assert resampled.GetPixelID() == sitk.sitkUInt8


def test_grey_values_are_not_rounded():
    image = image_of(np.array([[[0, 1, 2, 3]]], np.int16), spacing_mm=(1, 1, 1))
    resampled = images.resample(image, spacing_mm=(1, 1, 0.5))
    assert resampled.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_allclose(images.array(resampled)[0, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_large_integers_are_resampled_in_double_precision():
    image = image_of(np.full((1, 1, 4), 2**24 + 1, np.int32))
    assert int(images.array(images.resample(image, like=image)).max()) == 2**24 + 1


def test_like_gives_exactly_its_grid_and_fills_the_outside():
    image = numbered() + 5
    like = numbered(shape=(3, 8, 2), spacing_mm=(2, 1, 1), origin=(-60, 10, 41), direction=oblique((0.1, 0, 0.2)))
    assert images.grid(images.resample(image, like=like)) == images.grid(like)
    assert images.array(images.resample(image, like=like)).max() == 5  # it lies outside: the smallest value
    assert images.array(images.resample(image, like=like, labels=True)).max() == 0


def test_several_values_a_voxel_are_resampled_together():
    values = np.stack([np.arange(8.0), 100 - np.arange(8.0)], axis=-1)[None, None]
    resampled = images.resample(images.from_array(values, channels=True), spacing_mm=(1, 1, 2))
    np.testing.assert_allclose(images.array(resampled).sum(axis=-1), 100)


def test_resample_wants_one_target():
    with pytest.raises(ValueError, match="one of spacing_mm and like, and not both"):
        images.resample(numbered())
    with pytest.raises(ValueError, match="one of spacing_mm and like, and not both"):
        images.resample(numbered(), spacing_mm=(1, 1, 1), like=numbered())


# --- Real data ---


def test_a_real_volume_is_read_as_it_is(mirror: Path):
    image = images.read(mirror / "Task04_Hippocampus/imagesTr/hippocampus_001.nii.gz")
    assert images.array(image).shape == (35, 51, 35)
    assert images.spacing_mm(image) == (1, 1, 1)
    assert images.orientation(image) == "RAS"
    assert (images.array(image).min(), images.array(image).max()) == (2, 139)
