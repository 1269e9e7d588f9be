"""What lesson 40 records of other libraries, measured anew, and what its text claims of its own masks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import surface_distance
import torch
from monai import __version__ as monai_version
from monai import metrics as monai_metrics

from medlab import exercises, metrics

pytestmark = [  # of the peers' own code; what MONAI says of empty masks is what the lesson shows
    pytest.mark.filterwarnings(r"ignore::FutureWarning:monai\..*"),
    pytest.mark.filterwarnings(r"ignore::UserWarning:monai\..*"),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:surface_distance\..*"),
]

LESSON = Path(__file__).parent.parent / "notebooks" / "40_segmentation_metrics.ipynb"
SOURCES = {cell.id: cell.source for cell in nbformat.read(LESSON, as_version=4).cells}
SQUARE = np.zeros((64, 64), bool)
SQUARE[8:28, 8:28] = True
SPOTTED = SQUARE.copy()
SPOTTED[48:51, 48:51] = True


def assigned(cell: str, name: str) -> Any:
    """The value that a cell of the lesson gives to a name."""
    for node in ast.walk(ast.parse(SOURCES[cell])):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{cell} does not assign {name}")


def pair() -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth of section 1."""
    lesson: dict[str, Any] = {"np": np}
    exec(SOURCES["metrics-pair"], lesson)
    return lesson["prediction"], lesson["truth"]


def monai(function: Any, prediction: np.ndarray, truth: np.ndarray, *given: Any, **options: Any) -> float:
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    return function(*tensors, *given, include_background=True, **options).item()


@pytest.fixture(autouse=True)
def _numpy_1_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """surface-distance 0.1 still asks for names that NumPy 2 and SciPy have dropped."""
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)


def deepmind(prediction: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    return surface_distance.compute_surface_distances(truth, prediction, (1, 1))


def test_the_recorded_values_of_the_small_pair():
    assert monai_version == "1.6.1"  # as the lesson says
    found = deepmind(*pair())
    measured = {
        "hausdorff_mm": (
            monai(monai_metrics.compute_hausdorff_distance, *pair()),
            surface_distance.compute_robust_hausdorff(found, 100),
        ),
        "hd95_mm": (
            monai(monai_metrics.compute_hausdorff_distance, *pair(), percentile=95),
            surface_distance.compute_robust_hausdorff(found, 95),
        ),
        "average_surface_distance_mm": (
            monai(monai_metrics.compute_average_surface_distance, *pair(), symmetric=True),
            None,  # it gives two numbers, one a direction
        ),
        "surface_dice": (
            monai(monai_metrics.compute_surface_dice, *pair(), [1.0]),
            surface_distance.compute_surface_dice_at_tolerance(found, 1.0),
        ),
    }
    recorded = assigned("metrics-recorded", "RECORDED")
    assert recorded.keys() == measured.keys()
    for name, values in recorded.items():
        for theirs, value in zip(measured[name], values, strict=True):
            assert value == (None if theirs is None else pytest.approx(theirs, abs=5e-5)), name


def test_monai_averages_one_direction_unless_it_is_told_otherwise():
    distances = metrics.surface_distances(*pair(), (1, 1))
    one_way = monai(monai_metrics.compute_average_surface_distance, *pair())
    assert one_way == pytest.approx(distances.prediction_to_truth_mm.mean(), abs=1e-6)
    assert one_way != pytest.approx(distances.average_mm(), abs=0.01)


def test_the_recorded_hd95_of_the_square_and_the_spot():
    recorded = assigned("metrics-hd95-table", "RECORDED_HD95")
    directed = {"percentile": 95, "directed": True}
    measured = {
        "larger of two percentiles": monai(
            monai_metrics.compute_hausdorff_distance, SPOTTED, SQUARE, percentile=95, directed=False
        ),
        "directed, prediction to truth": monai(monai_metrics.compute_hausdorff_distance, SPOTTED, SQUARE, **directed),
        "directed, truth to prediction": monai(monai_metrics.compute_hausdorff_distance, SQUARE, SPOTTED, **directed),
        "surface elements": surface_distance.compute_robust_hausdorff(deepmind(SPOTTED, SQUARE), 95),
    }
    assert recorded.keys() - measured.keys() == {"pooled"}  # MedPy, which is no dependency of the tests
    for name, value in measured.items():
        assert recorded[name][1] == pytest.approx(value, abs=5e-5), name


def test_the_square_of_the_lesson_is_this_one():
    lesson: dict[str, Any] = {
        "np": np,
        "metrics": metrics,
        "distances": lambda p, t: (np.zeros(1), np.zeros(1)),
    }
    exec(SOURCES["metrics-square"], lesson)
    np.testing.assert_array_equal(lesson["square"], SQUARE)
    np.testing.assert_array_equal(lesson["spotted"], SPOTTED)


def monai_average(percentile: float | None) -> tuple[float, float]:
    """Mean and number of patients of ten, of whom nine were missed."""
    metric = monai_metrics.HausdorffDistanceMetric(include_background=True, percentile=percentile, get_not_nans=True)
    truth = torch.from_numpy(SQUARE)[None, None].float()
    metric(truth.roll(2, dims=2), truth)
    for _ in range(9):
        metric(torch.zeros_like(truth), truth)
    mean, patients = (value.item() for value in metric.aggregate())
    return mean, patients


def test_an_average_of_monai_leaves_out_the_patients_that_were_missed():
    assert monai_average(95) == assigned("metrics-drop", "MONAI_SAYS")


def test_without_a_percentile_it_does_not():
    assert monai_average(None) == (np.inf, 10)


def test_the_playground_of_the_lesson_begins_away_from_the_solution():
    mask = exercises.masks.TRUTH
    assert mask.shape == (24, 32)
    assert mask.sum() == 119
    scores = metrics.evaluate(exercises.masks.my_prediction, mask)["1"]
    assert scores["dice"] > exercises.masks.HIGH_DICE
    assert scores["hd95_mm"] > exercises.masks.FAR_MM


def test_the_worked_answer_to_40_3_counts_its_pixels():
    prediction, mask = exercises.masks.my_prediction, exercises.masks.TRUTH
    pixels, border = prediction.sum(), exercises.masks.my_surface(prediction).sum()
    assert f"4 of {pixels} pixels" in exercises.masks.PREDICTION.why
    assert f"4 of {border} surface pixels" in exercises.masks.PREDICTION.why
    assert (prediction & ~mask).sum() == 4
