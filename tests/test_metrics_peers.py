"""Against MONAI and surface-distance where the definitions agree, and where they differ as medlab.metrics says."""

import math
import warnings

import numpy as np
import pytest
import torch

from medlab import metrics

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what it imports
    import monai.metrics as monai
    import surface_distance

# They warn of empty masks, of an argument that MONAI passes to itself, and of names that SciPy has moved.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:monai\.metrics\.utils get_mask_edges:FutureWarning"),
    pytest.mark.filterwarnings(r"ignore:the (ground truth|prediction) of class \d+ is all 0:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:Please import `\w+` from the `scipy\.ndimage` namespace:DeprecationWarning"),
]


def random_masks(rng):
    """Two masks of one shape, not cubic: noise, one voxel, nearly full, with parts on the border; never empty."""
    shape = tuple(rng.integers(2, 13, rng.integers(2, 4)))
    pair = []
    for _ in range(2):
        mask = rng.random(shape) < rng.choice([0.02, 0.2, 0.6, 0.97])
        mask[tuple(rng.integers(size) for size in shape)] = True
        pair.append(mask)
    return *pair, tuple(np.exp(rng.uniform(-1, 1, len(shape))).tolist())


def in_monai(prediction, truth, spacing, tolerance):
    """The same metrics, from bool masks."""
    both = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    options = {"include_background": True}
    at = options | {"spacing": spacing}
    return {
        "dice": monai.compute_dice(*both, **options).item(),
        "iou": monai.compute_iou(*both, **options).item(),
        "hausdorff_mm": monai.compute_hausdorff_distance(*both, **at).item(),
        "hd95_mm": monai.compute_hausdorff_distance(*both, percentile=95, **at).item(),
        "average_surface_distance_mm": monai.compute_average_surface_distance(*both, symmetric=True, **at).item(),
        "surface_dice": monai.compute_surface_dice(*both, [tolerance], **at).item(),
    }


@pytest.mark.parametrize("seed", range(6))
def test_hundreds_of_random_masks_agree_with_monai(seed):
    rng = np.random.default_rng(seed)
    for _ in range(50):
        prediction, truth, spacing = random_masks(rng)
        tolerance = float(rng.choice(spacing))  # a distance that occurs: whether it is within must agree as well
        ours = metrics.evaluate(prediction, truth, spacing_mm=spacing, tolerance_mm=tolerance)["1"]
        for name, theirs in in_monai(prediction, truth, spacing, tolerance).items():
            assert ours[name] == pytest.approx(theirs, rel=2e-6, abs=2e-5), name  # theirs is float32


def test_confusion_counts_agree_with_monai():
    prediction, truth, _ = random_masks(np.random.default_rng(1))
    both = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    counts = monai.get_confusion_matrix(*both)
    ours = metrics.evaluate(prediction, truth)["1"]
    for name in ("precision", "recall"):
        assert ours[name] == pytest.approx(monai.compute_confusion_matrix_metric(name, counts).item())


def test_monai_loses_the_empty_prediction_that_we_count():
    empty, truth = np.zeros((2, 5, 6), bool)
    truth[1:4, 2:5] = True
    theirs = in_monai(empty, truth, (1.0, 1.0), 1.0)
    assert math.isnan(theirs["hd95_mm"])
    assert theirs["hausdorff_mm"] == math.inf
    mean = monai.HausdorffDistanceMetric(include_background=True, percentile=95)
    for prediction in (empty, empty, truth):
        mean(*(torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)))
    assert mean.aggregate().item() == 0  # two of three were missed altogether
    assert metrics.evaluate(empty, truth)["1"]["hd95_mm"] == math.inf


def test_monai_does_not_score_what_is_made_up_where_the_truth_is_empty():
    prediction, empty = np.ones((3, 4), bool), np.zeros((3, 4), bool)
    theirs = in_monai(prediction, empty, (1.0, 1.0), 1.0)
    assert math.isnan(theirs["dice"])
    assert math.isnan(theirs["iou"])
    ours = metrics.evaluate(prediction, empty)["1"]
    assert ours["dice"] == ours["iou"] == theirs["surface_dice"] == ours["surface_dice"] == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_moved_along_one_axis_is_as_far_in_surface_distance(axis):
    a, b = np.zeros((2, 11, 13, 15), bool)
    spacing = (2.5, 0.7, 1.2)
    low, moved = [2, 3, 2], [2, 3, 2]
    moved[axis] += 3
    for mask, start in ((a, low), (b, moved)):
        mask[tuple(slice(at, at + size) for at, size in zip(start, (5, 6, 8), strict=True))] = True
    theirs = surface_distance.compute_surface_distances(b, a, spacing)
    ours = metrics.surface_distances(a, b, spacing)
    assert ours.hausdorff_mm() == pytest.approx(3 * spacing[axis])
    assert surface_distance.compute_robust_hausdorff(theirs, 100) == pytest.approx(3 * spacing[axis])
    assert ours.surface_dice(3 * spacing[axis]) == 1
    assert surface_distance.compute_surface_dice_at_tolerance(theirs, 3 * spacing[axis] + 1e-9) == 1


@pytest.mark.parametrize("seed", range(4))
def test_hausdorff_is_within_one_voxel_diagonal_of_surface_distance(seed):
    """Each of its points, corners of voxels, has one of ours within half a diagonal, and the other way round."""
    rng = np.random.default_rng(100 + seed)
    for _ in range(50):
        prediction, truth, spacing = random_masks(rng)
        theirs = surface_distance.compute_surface_distances(truth, prediction, spacing)
        distances = metrics.surface_distances(prediction, truth, spacing)
        difference = distances.hausdorff_mm() - surface_distance.compute_robust_hausdorff(theirs, 100)
        assert abs(difference) <= math.hypot(*spacing) + 1e-9
        assert metrics.dice(prediction, truth) == surface_distance.compute_dice_coefficient(truth, prediction)
