"""The report of all metrics of all labels."""

import math

import numpy as np
import pytest
import torch

from medlab.metrics import dice_per_class, evaluate, surface_distances

KEYS = [
    *("dice", "iou", "precision", "recall", "volume_error_ml"),
    *("hausdorff_mm", "hd95_mm", "average_surface_distance_mm", "surface_dice"),
]
TRUTH = np.array([[0, 1, 1, 0, 0], [0, 1, 1, 0, 2], [0, 0, 0, 0, 2]])
PREDICTION = np.array([[0, 1, 1, 1, 0], [0, 0, 0, 0, 2], [0, 0, 0, 0, 0]])


def test_a_report_that_was_worked_out_on_paper():
    report = evaluate(PREDICTION, TRUTH, label_names={0: "background", 1: "disc", 2: "cup"}, spacing_mm=(10, 4))
    assert list(report) == ["disc", "cup"]
    disc = report["disc"]
    assert list(disc) == KEYS
    assert disc["dice"] == 2 * 2 / (3 + 4)
    assert disc["iou"] == 2 / 5
    assert disc["precision"] == 2 / 3
    assert disc["recall"] == 2 / 4
    assert disc["volume_error_ml"] == pytest.approx(-0.04)
    # Prediction to truth: 0, 0, 4 mm; truth to prediction: 0, 0, 10, 10 mm.
    assert disc["hausdorff_mm"] == 10
    assert disc["hd95_mm"] == 10
    assert disc["average_surface_distance_mm"] == pytest.approx(24 / 7)
    assert disc["surface_dice"] == 4 / 7
    assert evaluate(PREDICTION, TRUTH, spacing_mm=(10, 4), tolerance_mm=4)["1"]["surface_dice"] == 5 / 7
    assert report["cup"]["recall"] == 0.5
    assert report["cup"]["precision"] == 1


def test_a_label_in_neither_map_scores_as_two_empty_masks():
    report = evaluate(PREDICTION, TRUTH, label_names={1: "disc", 2: "cup", 3: "rim"})
    assert report["rim"] == dict(zip(KEYS, (1, 1, 1, 1, 0, 0, 0, 0, 1), strict=True))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_label_in_one_map_only_scores_zero_and_infinite_never_nan(swapped):
    maps = (np.zeros_like(TRUTH), TRUTH)
    scores = evaluate(*(maps[::-1] if swapped else maps))["1"]
    volume = 0.004 if swapped else -0.004
    assert scores == dict(zip(KEYS, (0, 0, 0, 0, volume, math.inf, math.inf, math.inf, 0), strict=True))


def test_two_empty_maps_have_only_the_labels_that_are_named():
    nothing = np.zeros((2, 3, 4), np.uint8)
    assert evaluate(nothing, nothing) == {}
    assert evaluate(nothing, nothing, label_names={1: "lesion"})["lesion"]["dice"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_every_label_scores_as_its_masks_do_alone(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        shape = tuple(rng.integers(2, 11, rng.integers(2, 4)))
        spacing = tuple(rng.uniform(0.3, 3, len(shape)))
        prediction, truth = (rng.choice(5, shape, p=[0.5, 0.2, 0.15, 0.1, 0.05]) for _ in range(2))
        names = {label: str(label) for label in range(5)}
        report = evaluate(prediction, truth, label_names=names, spacing_mm=spacing, tolerance_mm=0.9)
        dices = dice_per_class(prediction, truth, (1, 2, 3, 4))
        for label, dice in zip((1, 2, 3, 4), dices, strict=True):
            alone = surface_distances(prediction == label, truth == label, spacing)
            scores = report[str(label)]
            assert scores["dice"] == dice
            assert scores["hausdorff_mm"] == pytest.approx(alone.hausdorff_mm(), rel=1e-12)
            assert scores["hd95_mm"] == pytest.approx(alone.hausdorff_mm(95), rel=1e-12)
            assert scores["average_surface_distance_mm"] == pytest.approx(alone.average_mm(), rel=1e-12)
            assert scores["surface_dice"] == alone.surface_dice(0.9)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint16, np.int64])
def test_the_type_and_layout_of_the_labels_do_not_matter(dtype):
    wanted = evaluate(PREDICTION, TRUTH, spacing_mm=(2, 1))
    assert evaluate(PREDICTION.astype(dtype), np.asfortranarray(TRUTH), spacing_mm=(2, 1)) == wanted
    padded = np.pad(TRUTH, ((3, 0), (0, 5)))[3:, :5]  # a view
    assert evaluate(torch.from_numpy(PREDICTION.astype(np.int64)), padded.astype(dtype), spacing_mm=(2, 1)) == wanted


def test_labels_beyond_255_and_masks_are_labels_too():
    report = evaluate(PREDICTION, TRUTH)
    large = evaluate(np.array([0, 70_000, 3])[PREDICTION], np.array([0, 70_000, 3])[TRUTH])
    assert large == {"3": report["2"], "70000": report["1"]}
    assert evaluate(PREDICTION == 1, TRUTH == 1) == {"1": report["1"]}


def test_evaluate_refuses_what_it_cannot_score():
    with pytest.raises(TypeError, match="prediction must hold integer labels, got float64"):
        evaluate(PREDICTION * 1.0, TRUTH)
    with pytest.raises(ValueError, match=r"same shape, got \(3, 5\) and \(5, 3\)"):
        evaluate(PREDICTION, TRUTH.T)
    with pytest.raises(ValueError, match=r"must be 2D or 3D, got shape \(1, 1, 3, 5\)"):
        evaluate(PREDICTION[None, None], TRUTH[None, None])
    with pytest.raises(ValueError, match="truth must hold labels from 0 on, got -1"):
        evaluate(PREDICTION, np.where(TRUTH == 2, -1, TRUTH))
    with pytest.raises(ValueError, match=r"spacing_mm must be 2 positive numbers in \(y, x\) order, got \(1, 0\)"):
        evaluate(PREDICTION, TRUTH, spacing_mm=(1, 0))
    with pytest.raises(ValueError, match="tolerance_mm must be a finite number"):
        evaluate(np.zeros_like(TRUTH), np.zeros_like(TRUTH), tolerance_mm=-1)
    with pytest.raises(ValueError, match=r"label_names names \[1\], but the maps also hold \[2\]: name every label"):
        evaluate(PREDICTION, TRUTH, label_names={0: "background", 1: "disc"})
    with pytest.raises(ValueError, match="label_names must give every label its own name, got"):
        evaluate(PREDICTION, TRUTH, label_names={1: "disc", 2: "disc"})
