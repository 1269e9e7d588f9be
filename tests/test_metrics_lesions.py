"""Lesion-wise counts: by hand, and against scipy's labelling."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medlab.metrics import LesionCounts, lesion_counts

TRUTH = np.array(
    [
        [1, 1, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 1, 1, 0],
    ],
    bool,
)
PREDICTION = np.array(
    [
        [0, 0, 0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 0, 1],
    ],
    bool,
)


def test_lesions_are_counted_as_on_paper():
    counts = lesion_counts(PREDICTION, TRUTH, spacing_mm=(2, 5))
    # In array order: the block of 4, the diagonal of 2 (one lesion: corners touch), the dot, the bar of 3.
    np.testing.assert_allclose(counts.truth_ml, [0.04, 0.02, 0.01, 0.03])
    assert counts.found.tolist() == [True, False, False, True]
    # The dash of 3 that bends at a corner, the bar of 2, the dot.
    np.testing.assert_allclose(counts.prediction_ml, [0.03, 0.02, 0.01])
    assert counts.confirmed.tolist() == [True, True, False]
    assert (counts.true_positives, counts.false_negatives, counts.false_positives) == (2, 2, 1)
    assert counts.sensitivity == 2 / 4
    assert counts.f1 == 2 * 2 / (2 * 2 + 2 + 1)


def test_a_higher_overlap_asks_for_more_than_one_voxel():
    counts = lesion_counts(PREDICTION, TRUTH, overlap=0.5)
    assert counts.found.tolist() == [False, False, False, True]  # 1 of 4, 2 of 3
    assert counts.confirmed.tolist() == [False, True, False]  # 1 of 3, 2 of 2
    assert lesion_counts(PREDICTION, TRUTH, overlap=0.25).found.tolist() == [False, False, False, True]
    assert lesion_counts(PREDICTION, TRUTH, overlap=0.249).found.tolist() == [True, False, False, True]


def test_one_prediction_may_find_two_lesions_and_two_may_find_one():
    two = np.array([[1, 1, 0, 1, 1]], bool)
    one = np.ones((1, 5), bool)
    assert lesion_counts(one, two).true_positives == 2
    assert lesion_counts(one, two).false_positives == 0
    assert lesion_counts(two, one).true_positives == 1
    assert lesion_counts(two, one).false_positives == 0


@pytest.mark.parametrize(("predicted", "true"), [(False, False), (True, False), (False, True)])
def test_where_there_is_no_lesion_nothing_is_nan(predicted, true):
    counts = lesion_counts(np.full((2, 3), predicted), np.full((2, 3), true))
    assert (counts.true_positives, counts.false_negatives, counts.false_positives) == (0, true, predicted)
    assert counts.sensitivity == (0 if true else 1)
    assert counts.f1 == (0 if true or predicted else 1)


def test_counts_of_cases_can_be_added():
    counts = [lesion_counts(PREDICTION, TRUTH), lesion_counts(TRUTH, TRUTH)]
    total = LesionCounts(
        *(np.concatenate([getattr(c, name) for c in counts]) for name in LesionCounts.__dataclass_fields__)
    )
    assert total.sensitivity == 6 / 8


@pytest.mark.parametrize("seed", range(6))
def test_hundreds_of_random_masks_agree_with_scipy(seed):
    rng = np.random.default_rng(seed)
    for _ in range(50):
        shape = tuple(rng.integers(1, 12, rng.integers(2, 4)))
        prediction, truth = (rng.random(shape) < rng.choice([0, 0.02, 0.1, 0.3, 1]) for _ in range(2))
        overlap = float(rng.choice([0, 0.3, 0.5]))
        counts = lesion_counts(prediction, truth, overlap=overlap)
        for mask, other, volumes, hit in (
            (truth, prediction, counts.truth_ml, counts.found),
            (prediction, truth, counts.prediction_ml, counts.confirmed),
        ):
            labels, number = ndimage.label(mask, np.ones((3,) * mask.ndim))
            voxels = np.bincount(labels[mask], minlength=number + 1)[1:]
            shared = np.bincount(labels[mask & other], minlength=number + 1)[1:]
            np.testing.assert_allclose(volumes * 1000, voxels)
            np.testing.assert_array_equal(hit, shared > overlap * voxels)


def test_tensors_and_other_axes_give_the_same_counts():
    rng = np.random.default_rng(4)
    a, b = rng.random((4, 9, 7)) < 0.1, rng.random((4, 9, 7)) < 0.1
    one = lesion_counts(a, b, spacing_mm=(3, 1, 2))
    other = lesion_counts(torch.from_numpy(a.T.copy()), b.transpose(), spacing_mm=(2, 1, 3))
    assert one.f1 == other.f1
    np.testing.assert_allclose(np.sort(one.truth_ml), np.sort(other.truth_ml))


def test_lesion_counts_refuse_what_they_cannot_count():
    with pytest.raises(TypeError, match="prediction must be a bool mask, got int64"):
        lesion_counts(TRUTH.astype(int), TRUTH)
    with pytest.raises(ValueError, match=r"same shape, got \(4, 7\) and \(7, 4\)"):
        lesion_counts(TRUTH, TRUTH.T)
    with pytest.raises(ValueError, match=r"must be 2D or 3D, got shape \(7,\)"):
        lesion_counts(TRUTH[0], TRUTH[0])
    with pytest.raises(ValueError, match="spacing_mm must be 2 positive numbers"):
        lesion_counts(TRUTH, TRUTH, spacing_mm=(1, 1, 1))
    for overlap in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="overlap must be a share from 0 up to, not including, 1, got"):
            lesion_counts(TRUTH, TRUTH, overlap=overlap)
