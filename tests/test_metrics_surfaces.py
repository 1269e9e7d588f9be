"""Surface distances: by hand, and against all pairs of surface voxels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from medlab.metrics import surface_distances, surfaces


def pixels(*places, shape=(4, 7)):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def surface(mask):
    """A mask without what erosion by face neighbours leaves; beyond the image all is background."""
    return mask & ~ndimage.binary_erosion(mask)


def all_pairs(prediction, truth, spacing):
    """The definition, word for word: from each surface voxel the smallest distance to any of the other surface."""
    p, t = (np.argwhere(surface(mask)) * np.array(spacing) for mask in (prediction, truth))
    distances = np.sqrt(((p[:, None] - t[None]) ** 2).sum(axis=-1))
    return distances.min(axis=1), distances.min(axis=0)


def assert_as_all_pairs(prediction, truth, spacing):
    ours = surface_distances(prediction, truth, spacing)
    forth, back = all_pairs(prediction, truth, spacing)
    np.testing.assert_allclose(ours.prediction_to_truth_mm, forth, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.truth_to_prediction_mm, back, rtol=0, atol=1e-9)
    for percentile in (0, 50, 95, 100):
        wanted = max(np.percentile(forth, percentile), np.percentile(back, percentile))
        assert ours.hausdorff_mm(percentile) == pytest.approx(wanted, rel=0, abs=1e-9)
    both = np.concatenate([forth, back])
    assert ours.average_mm() == pytest.approx(both.mean(), rel=0, abs=1e-9)
    tolerance = float(np.median(both)) * 1.0001  # not just on a distance
    assert ours.surface_dice(tolerance) == np.mean(both <= tolerance)


def random_mask(rng, shape):
    """Noise, blobs, one voxel, a box, everything: never nothing."""
    kind = rng.integers(5)
    if kind == 0:
        mask = rng.random(shape) < rng.uniform(0, 0.6)
    elif kind == 1:
        mask = ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > rng.normal(0, 0.05)
    elif kind == 2:
        mask = np.zeros(shape, bool)
    elif kind == 3:
        low = [rng.integers(size) for size in shape]
        mask = np.zeros(shape, bool)
        mask[tuple(slice(at, rng.integers(at, size) + 1) for at, size in zip(low, shape, strict=True))] = True
    else:
        mask = np.ones(shape, bool)
    mask[tuple(rng.integers(size) for size in shape)] = True
    return mask


# By hand --------------------------------------------------------------------------------------------------------------


def test_two_pixels_two_millimetres_apart():
    distances = surface_distances(pixels((1, 2)), pixels((1, 4)), (3.0, 1.0))
    assert distances.prediction_to_truth_mm.tolist() == distances.truth_to_prediction_mm.tolist() == [2.0]
    assert distances.hausdorff_mm() == distances.hausdorff_mm(95) == distances.average_mm() == 2.0
    assert distances.surface_dice(2.0) == 1.0
    assert distances.surface_dice(1.9) == 0.0


def test_spacing_belongs_to_its_axis():
    a, b = pixels((1, 2, 3), shape=(4, 5, 6)), pixels((3, 3, 3), shape=(4, 5, 6))
    assert surface_distances(a, b, (1.5, 4.0, 0.1)).hausdorff_mm() == 5.0  # 3 mm and 4 mm


def test_each_direction_has_its_own_distances():
    distances = surface_distances(pixels((0, 0), (0, 4)), pixels((0, 1)), (1, 1))
    assert distances.prediction_to_truth_mm.tolist() == [1, 3]
    assert distances.truth_to_prediction_mm.tolist() == [1]
    assert distances.average_mm() == 5 / 3
    assert distances.hausdorff_mm() == 3
    assert distances.hausdorff_mm(50) == 2  # half way from 1 to 3
    assert distances.surface_dice(1) == 2 / 3


def test_the_inside_of_a_mask_is_not_its_surface():
    block = np.zeros((5, 6, 7), bool)
    block[1:4, 1:4, 1:4] = True
    distances = surface_distances(block, block, (1, 2, 3))
    assert distances.prediction_to_truth_mm.tolist() == [0.0] * 26


def test_what_touches_the_border_of_the_image_is_surface():
    full = np.ones((3, 4, 5), bool)
    assert surface_distances(full, full, (1, 1, 1)).prediction_to_truth_mm.size == 3 * 4 * 5 - 1 * 2 * 3


def test_a_picture_is_not_a_volume_of_one_slice():
    full = np.ones((4, 5), bool)
    assert surface_distances(full, full, (1, 1)).truth_to_prediction_mm.size == 20 - 6
    assert surface_distances(full[None], full[None], (1, 1, 1)).truth_to_prediction_mm.size == 20


def test_a_square_with_a_far_false_positive():
    truth = np.zeros((60, 60), bool)
    truth[5:25, 5:25] = True
    prediction = truth.copy()
    prediction[40:43, 40:43] = True
    distances = surface_distances(prediction, truth, (1, 1))
    assert distances.hausdorff_mm() == pytest.approx(math.hypot(18, 18))
    assert distances.average_mm() == pytest.approx(distances.prediction_to_truth_mm.sum() / (76 + 8 + 76))


def test_two_empty_masks_are_no_distance_apart():
    nothing = np.zeros((3, 4, 5), bool)
    distances = surface_distances(nothing, nothing, (1, 1, 1))
    assert distances.hausdorff_mm() == distances.hausdorff_mm(95) == distances.average_mm() == 0
    assert distances.surface_dice(0) == 1


@pytest.mark.parametrize("swapped", [False, True])
def test_one_empty_mask_is_infinitely_far_and_never_nan(swapped):
    masks = [pixels((1, 1), (1, 2), (2, 5)), pixels()]
    distances = surface_distances(*(masks[::-1] if swapped else masks), (1, 2))
    assert distances.hausdorff_mm() == distances.hausdorff_mm(95) == distances.average_mm() == math.inf
    assert distances.surface_dice(1e6) == 0


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 4)])
def test_masks_without_voxels_are_empty_masks(shape):
    nothing = np.zeros(shape, bool)
    assert surface_distances(nothing, nothing, (1,) * len(shape)).hausdorff_mm() == 0


@pytest.mark.parametrize("spacing", [0.1, 0.7, float(np.float32(0.7)), 1 / 3])
def test_just_on_the_tolerance_is_within_it(spacing):
    distances = surface_distances(pixels((0, 0)), pixels((0, 3)), (1, spacing))
    assert distances.surface_dice(round(3 * spacing, 7)) == 1
    assert distances.surface_dice(3 * spacing * 0.9999) == 0


# Against all pairs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 20_000])
@pytest.mark.parametrize("seed", range(8))
def test_hundreds_of_random_masks_agree_with_all_pairs(seed, at_once, monkeypatch):
    monkeypatch.setattr(surfaces, "AT_ONCE", at_once)  # 1: as for surfaces too large to take several shells at once
    rng = np.random.default_rng(seed)
    for _ in range(50):
        shape = tuple(rng.integers(1, 14, rng.integers(2, 4)))
        spacing = tuple(np.exp(rng.uniform(-1.5, 1.5, len(shape))))
        assert_as_all_pairs(random_mask(rng, shape), random_mask(rng, shape), spacing)


@settings(deadline=None, max_examples=150)
@given(
    arrays.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7)), elements=st.booleans()),
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(0.01, 50)] * 3),
)
def test_any_masks_and_spacing_agree_with_all_pairs(prediction, seed, spacing):
    truth = random_mask(np.random.default_rng(seed), prediction.shape)
    if prediction.any():
        assert_as_all_pairs(prediction, truth, spacing)
    else:
        assert surface_distances(prediction, truth, spacing).hausdorff_mm() == math.inf


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5, 0.5, 0.5), (0.2, 3, 1)])
def test_far_surfaces_agree_with_all_pairs(spacing):
    rng = np.random.default_rng(3)
    a, b = np.zeros((2, 12, 40, 30), bool)
    a[1:4, 2:9, 3:7] = rng.random((3, 7, 4)) < 0.7
    b[8:, 25:, 20:] = rng.random((4, 15, 10)) < 0.7
    b[0, 0, 0] = True
    assert_as_all_pairs(a, b, spacing)


@pytest.mark.parametrize("spacing", [(1e-3, 1.0, 1e3), (1e3, 1e3, 1e-3)])
def test_extreme_spacings_agree_with_all_pairs(spacing):
    rng = np.random.default_rng(5)
    assert_as_all_pairs(random_mask(rng, (6, 9, 13)), random_mask(rng, (6, 9, 13)), spacing)


def test_no_spacing_makes_the_maps_grow_much():
    for spacing in [(1e3, 1e3, 1e-6), (1e-6, 1e3), (1, 1, 1)]:
        ball = surfaces._ball(spacing)
        assert max(ball.reach) <= 12
        assert len(ball.steps) <= 400


def test_the_order_of_masks_and_axes_and_the_kind_of_array_do_not_matter():
    rng = np.random.default_rng(7)
    a, b, spacing = rng.random((5, 8, 6)) < 0.3, rng.random((5, 8, 6)) < 0.3, (2.5, 0.5, 1.0)
    one = surface_distances(a, b, spacing)
    others = [
        surface_distances(b, a, spacing),
        surface_distances(a.transpose(2, 0, 1), b.transpose(2, 0, 1), (1.0, 2.5, 0.5)),
        surface_distances(a[::-1, :, ::-1], b[::-1, :, ::-1], np.array(spacing, np.float32)),
        surface_distances(np.asfortranarray(a), torch.from_numpy(b), spacing),
    ]
    for other in others:
        assert other.hausdorff_mm(95) == pytest.approx(one.hausdorff_mm(95))
        assert other.average_mm() == pytest.approx(one.average_mm())
        assert other.surface_dice(1) == one.surface_dice(1)


# Refusals -------------------------------------------------------------------------------------------------------------


def test_surface_distances_refuse_what_are_not_masks_of_one_shape():
    mask = pixels((1, 1))
    with pytest.raises(TypeError, match="truth must be a bool mask, got uint8"):
        surface_distances(mask, mask.astype(np.uint8), (1, 1))
    with pytest.raises(ValueError, match=r"same shape, got \(4, 7\) and \(7, 4\)"):
        surface_distances(mask, mask.T, (1, 1))
    with pytest.raises(ValueError, match=r"must be 2D or 3D, got shape \(1, 1, 4, 7\): take one case"):
        surface_distances(mask[None, None], mask[None, None], (1, 1, 1, 1))


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1,), 1.0, (1, 0), (1, -2), (1, math.nan), (math.inf, 1)])
def test_an_impossible_spacing_is_refused(spacing):
    with pytest.raises(ValueError, match=r"spacing_mm must be 2 positive numbers in \(y, x\) order, got"):
        surface_distances(pixels((1, 1)), pixels((1, 2)), spacing)


@pytest.mark.parametrize("percentile", [-1, 101, math.nan])
def test_an_impossible_percentile_is_refused(percentile):
    with pytest.raises(ValueError, match="percentile must be a number from 0 to 100, got"):
        surface_distances(pixels((1, 1)), pixels((1, 2)), (1, 1)).hausdorff_mm(percentile)


@pytest.mark.parametrize("tolerance", [-0.1, math.inf, math.nan])
def test_an_impossible_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance_mm must be a finite number that is not negative, got"):
        surface_distances(pixels((1, 1)), pixels(), (1, 1)).surface_dice(tolerance)
