"""Metrics on masks that can be counted by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays

from medlab.metrics import dice, dice_per_class, mean_dice

MASKS = arrays.arrays(bool, (2, 3, 4))


def test_dice_counts_the_overlap_twice():
    prediction = np.array([[True, True, False], [True, False, False]])
    truth = np.array([[True, False, False], [True, True, True]])
    assert dice(prediction, truth) == 2 * 2 / (3 + 4)


def test_two_empty_masks_score_one():
    assert dice(np.zeros((2, 3), bool), np.zeros((2, 3), bool)) == 1.0


def test_one_empty_mask_scores_zero():
    mask = np.zeros((2, 3), bool)
    mask[0, 1] = True
    assert dice(mask, np.zeros((2, 3), bool)) == 0.0
    assert dice(np.zeros((2, 3), bool), mask) == 0.0


@given(MASKS, MASKS)
def test_dice_does_not_mind_the_order_the_axes_or_the_kind_of_array(a, b):
    score = dice(a, b)
    assert 0 <= score <= 1
    assert score == dice(b, a) == dice(a[::-1].transpose(2, 0, 1), b[::-1].transpose(2, 0, 1))
    assert score == dice(torch.from_numpy(a), torch.from_numpy(b))
    assert dice(a, a) == 1.0


def test_dice_refuses_label_maps_and_other_shapes():
    with pytest.raises(TypeError, match="prediction must be a bool mask, got uint8: compare first"):
        dice(np.zeros((2, 3), np.uint8), np.zeros((2, 3), bool))
    with pytest.raises(TypeError, match="truth must be a bool mask, got int64"):
        dice(torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"same shape, got \(2, 3\) and \(3, 2\)"):
        dice(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


def test_dice_per_class_scores_each_class_by_itself():
    prediction = np.array([[0, 1, 1, 2], [0, 0, 2, 2]])
    truth = np.array([[0, 1, 1, 1], [0, 0, 2, 2]])
    scores = dice_per_class(prediction, truth, (1, 2, 3))
    np.testing.assert_allclose(scores, [4 / 5, 4 / 5, 1.0])  # class 3 is in neither


def test_dice_per_class_refuses_probabilities():
    with pytest.raises(TypeError, match="prediction must hold integer labels, got float32"):
        dice_per_class(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), (1,))


def test_mean_dice_is_over_the_classes_then_over_the_cases():
    assert mean_dice(np.array([[1.0, 0.5], [0.0, 0.1]])) == pytest.approx((0.75 + 0.05) / 2)


@pytest.mark.parametrize("table", [np.zeros((0, 2)), np.zeros(3)])
def test_mean_dice_of_no_cases_is_an_error_not_nan(table):
    with pytest.raises(ValueError, match=r"table must be \(cases, classes\)"):
        mean_dice(table)
