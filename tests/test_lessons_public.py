"""Every lesson on public data, with other parameters than the stored ones."""

import os
from pathlib import Path

import pytest

from medlab import course

LESSONS = course.find(Path(__file__).parent.parent / "notebooks")

# Small, but on real data.
OTHER_PARAMETERS: dict[str, dict[str, object]] = {
    "00_start_here": {"dataset": "msd-hippocampus", "case_number": 3, "slices": 4},
    "10_medical_images": {"dataset": "cptac-lscc-ct", "merged": 3},
    "20_convolution_and_pooling": {"dataset": "msd-hippocampus", "case_number": 3, "trials": 5},
    "21_activations_and_backprop": {"dataset": "msd-hippocampus", "steps": 200, "depth": 20},
    "22_cnn_basics": {"dataset": "breastmnist"},
    "23_rnn_basics": {"dataset": "mitdb", "trials": 5},
    "24_cnn_meets_rnn": {"dataset": "msd-hippocampus", "steps": 100, "lost": 2},
    "30_unet_2d": {"dataset": "msd-hippocampus", "seed": 1},
    "31_unet_3d": {"dataset": "msd-hippocampus", "seed": 1},
    "40_segmentation_metrics": {"dataset": "msd-hippocampus", "patients": 5, "rater_mm": 0.8},
    "41_honest_evaluation": {"dataset": "msd-hippocampus", "resamples": 1000, "voxels_per_patient": 500},
}


def test_every_lesson_runs_with_other_parameters_too():
    assert sorted(OTHER_PARAMETERS) == [lesson.stem for lesson in LESSONS]


@pytest.mark.skipif(not os.environ.get("MEDLAB_MIRROR"), reason="MEDLAB_MIRROR names no copy of the public sets")
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_runs_on_public_data(lesson, tmp_path):
    run = course.execute(lesson, tmp_path / lesson.name, OTHER_PARAMETERS[lesson.stem], limit_s=900)
    assert run.error is None
