import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medlab import images
from medlab.zoo import grids

ORIENTATIONS = [
    "".join(letters) for axes in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*axes)
]
GRID = {"orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0]}
RANGE = {"orientation": "LPS", "spacing_mm": [2.0, 1.0, 1.0], "spacing_most_mm": [5.0, 1.0, 1.0]}


def blobs(shape=(14, 18, 22), seed=0):
    """Three classes in smooth shapes."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3)
    return np.digitize(field, np.quantile(field, [0.6, 0.85])).astype(np.uint8)


def image_of(values, spacing_mm=(1.0, 1.0, 1.0), origin=(5.0, -7.0, 11.0), direction=None):
    image = images.from_array(values, spacing_mm)
    image.SetOrigin(origin)
    image.SetDirection(np.eye(3).ravel() if direction is None else direction.ravel())
    return image


def one_hot(labels):
    return np.stack([labels == k for k in range(3)]).astype(np.float32)


def there_and_back(image, grid):
    """What comes back if a model sees every label as it is."""
    seen = grids.to_model(image, grid)
    return seen, grids.back(one_hot(np.rint(images.array(seen)).astype(int)), seen, image)


def dice(a, b):
    return 2 * np.sum((a > 0) & (b > 0)) / (np.sum(a > 0) + np.sum(b > 0))


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("letters", ORIENTATIONS)
def test_labels_come_back_voxel_for_voxel_from_every_orientation(letters):
    image = images.reorient(image_of(blobs()), letters)
    seen, labels = there_and_back(image, GRID)
    assert images.orientation(seen) == "RAS"
    assert images.grid(labels) == images.grid(image)
    assert labels.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(images.array(labels), images.array(image))


@pytest.mark.parametrize("seed", range(6))
def test_an_oblique_image_keeps_its_grid(seed):
    direction = Rotation.random(random_state=seed).as_matrix()
    image = image_of(blobs(), direction=direction)
    _, labels = there_and_back(image, GRID)
    assert images.grid(labels) == images.grid(image)
    np.testing.assert_array_equal(images.array(labels), images.array(image))


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 0.7), (1.5, 1.5, 1.5), (1.5, 0.8, 0.9), (0.5, 2.0, 1.0)])
def test_labels_of_another_spacing_come_back_on_their_own_grid(spacing):
    fine = image_of(blobs((40, 44, 48)), (0.7, 0.7, 0.7))
    image = images.resample(fine, spacing_mm=spacing, labels=True)
    seen, labels = there_and_back(image, GRID)
    assert images.spacing_mm(seen) == (1.0, 1.0, 1.0)
    assert images.grid(labels) == images.grid(image)
    assert dice(images.array(labels), images.array(image)) > 0.93


def test_spacing_within_the_range_of_the_training_is_kept():
    image = image_of(blobs(), (3.0, 1.0, 1.0))
    assert grids.to_model(image, RANGE).GetSize() == image.GetSize()
    assert images.spacing_mm(grids.to_model(image_of(blobs(), (8.0, 1.0, 1.0)), RANGE)) == (5.0, 1.0, 1.0)
    assert images.spacing_mm(grids.to_model(image_of(blobs(), (0.5, 3.0, 0.5)), RANGE)) == (2.0, 1.0, 1.0)


def test_the_range_follows_the_axes_of_the_patient_not_of_the_file():
    image = images.reorient(image_of(blobs(), (3.0, 1.0, 1.0)), "SLP")
    assert images.spacing_mm(image) == (1.0, 1.0, 3.0)
    assert images.spacing_mm(grids.to_model(image, RANGE)) == (3.0, 1.0, 1.0)


def test_every_voxel_gets_a_label_even_beyond_the_outermost_centres():
    image = image_of(np.full((17, 17, 17), 2, dtype=np.uint8), (0.2, 0.2, 0.2))  # 3.4 mm: three voxels of the model
    image[0, 0, 0] = 1
    seen = grids.to_model(image, GRID)
    all_two = one_hot(np.full(seen.GetSize()[::-1], 2))
    assert (images.array(grids.back(all_two, seen, image)) == 2).all()


def test_of_equal_probabilities_the_lowest_label_wins():
    image = image_of(blobs(), (0.7, 0.7, 0.7))
    seen = grids.to_model(image, GRID)
    even = np.full((3, *seen.GetSize()[::-1]), 1 / 3)
    assert not images.array(grids.back(even, seen, image)).any()


def test_larger_voxels_see_the_mean_not_a_stripe():
    stripes = np.zeros((12, 12, 48), dtype=np.float32)
    stripes[..., ::2] = 1  # as fine as the voxels: in voxels of 2.5 times the size only their mean is left
    seen = images.array(grids.to_model(image_of(stripes, (1.0, 1.0, 0.4)), GRID))
    assert np.abs(seen[..., 2:-2] - 0.5).max() < 0.1


def test_training_refuses_a_case_on_another_grid():
    right = images.reorient(image_of(blobs()), "RAS")
    grids.require(right, GRID, "case 7")
    with pytest.raises(ValueError, match="case 7 has orientation LPS"):
        grids.require(image_of(blobs()), GRID, "case 7")
    with pytest.raises(ValueError, match=r"spacing \(2.0, 1.0, 1.0\) mm"):
        grids.require(images.reorient(image_of(blobs(), (2.0, 1.0, 1.0)), "RAS"), GRID, "case 7")
