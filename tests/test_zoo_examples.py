import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from sklearn import metrics as reference

import medlab
from medlab import images
from medlab.wfdb import Record
from medlab.zoo import examples
from medlab.zoo.recipe import recipe

CUT = {"hz": 100.0, "before_s": 0.2, "samples": 50}


def record(times_s, heights=None, *, sampling_hz=200.0, seconds=20, offset_mv=0.0):
    """Triangles 60 ms wide at the given times, on a constant."""
    n = int(seconds * sampling_hz)
    at = np.arange(n) / sampling_hz
    heights = np.ones(len(times_s)) if heights is None else heights
    signal = sum(h * np.clip(1 - np.abs(at - t) / 0.03, 0, None) for t, h in zip(times_s, heights, strict=True))
    samples = np.rint(np.array(times_s) * sampling_hz).astype(np.int64)
    signals = np.stack([signal + offset_mv, 0 * signal], axis=1).astype(np.float32)
    return Record("x", signals, sampling_hz, ("MLII", "V1"), samples, np.array(["N"] * len(samples)))


def regular(**options):
    return record(np.arange(1, 19, 1.0), **options)


def test_a_window_has_its_peak_where_the_recipe_puts_it():
    windows = examples.beat_inputs(regular(), CUT)
    assert windows.shape == (18, 4, 50)
    assert windows.dtype == np.float32
    np.testing.assert_array_equal(windows[:, 0].argmax(1), 20)  # 0.2 s at 100 samples a second
    np.testing.assert_allclose(windows[:, 0, 20], 1, atol=1e-6)


def test_windows_do_not_depend_on_sampling_gain_or_offset():
    slow = examples.beat_inputs(regular(sampling_hz=200.0), CUT)
    fast = examples.beat_inputs(regular(sampling_hz=500.0), CUT)
    np.testing.assert_allclose(slow, fast, atol=0.02)
    loud = record(np.arange(1, 19, 1.0), np.full(18, 7.0), offset_mv=3.0)
    np.testing.assert_allclose(slow, examples.beat_inputs(loud, CUT), atol=1e-4)


def test_an_early_beat_is_near_the_last_and_far_from_the_next():
    times = np.arange(1, 19, 1.0)
    times[9] -= 0.36  # 0.64 s after the last, 1.36 s before the next
    rhythm = examples.beat_inputs(record(times), CUT)[:, 2:, 0]
    np.testing.assert_allclose(rhythm[9], np.log([0.64, 1.36]) / np.log(1.25), atol=1e-5)
    np.testing.assert_allclose(rhythm[9, 0], -2, atol=1e-5)  # 0.64 = 1.25 ** -2
    np.testing.assert_allclose(rhythm[[3, 15]], 0, atol=1e-5)


def test_the_rhythm_is_told_by_the_beats_nearby():
    slow_then_fast = np.concatenate([np.arange(1, 61, 1.0), 60 + np.arange(1, 121) * 0.5])
    rhythm = examples.beat_inputs(record(slow_then_fast, seconds=125), CUT)[:, 2:, 0]
    np.testing.assert_allclose(rhythm[[20, 150]], 0, atol=1e-5)


def test_what_differs_from_the_typical_beat_stands_in_the_second_channel():
    heights = np.ones(18)
    heights[5] = -1
    shapes = examples.beat_inputs(record(np.arange(1, 19, 1.0), heights), CUT)[:, 1]
    np.testing.assert_allclose(shapes[[0, 17]], 0, atol=1e-6)
    np.testing.assert_allclose(shapes[5].min(), -2, atol=1e-5)


def test_a_beat_at_the_edge_of_the_recording_has_a_whole_window():
    windows = examples.beat_inputs(record([0.01, 1.0, 2.0, 3.0, 3.99], seconds=4), CUT)
    assert np.isfinite(windows).all()
    assert windows.shape == (5, 4, 50)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: record([1.0, 2.0]), "record x has 2 beats; at least 3"),
        (lambda: record([1.0, 2.0, 3.0], np.zeros(3)), "record x is constant around its beats"),
    ],
)
def test_a_recording_without_a_rhythm_or_a_heart_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        examples.beat_inputs(bad(), CUT)


def test_beats_of_the_built_in_cohort_are_read_with_their_classes():
    wanted = recipe("lstm-ecg")
    cohort = medlab.load("ecg", patients=10)
    values, classes = examples.of(wanted, cohort, ["validation", "validation"])
    beats = cohort.validation[0].target.classes
    np.testing.assert_array_equal(classes.numpy(), np.concatenate([beats, beats]))
    assert values.shape == (len(classes), wanted.model["in_channels"], wanted.sampling["samples"])


def test_a_picture_is_normalised_by_itself_and_brought_to_size():
    values = ndimage.gaussian_filter(np.random.default_rng(0).random((28, 28)), 1)
    small = examples.picture(images.from_array(values), (28, 28))
    np.testing.assert_allclose(small[0, 0], (values - values.mean()) / values.std(), atol=1e-5)
    np.testing.assert_allclose(examples.picture(images.from_array(values * 1e6 + 3), (28, 28)), small, atol=1e-4)
    large = np.kron(values, np.ones((4, 4)))
    assert np.corrcoef(examples.picture(images.from_array(large), (28, 28)).ravel(), small.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_that_of_scikit_learn_ties_included(seed):
    rng = np.random.default_rng(seed)
    truth, scores = rng.integers(0, 2, 60), rng.integers(0, 12, 60) / 12
    assert examples.area_under_curve(scores, truth) == pytest.approx(reference.roc_auc_score(truth, scores))
    u = stats.mannwhitneyu(scores[truth == 1], scores[truth == 0]).statistic
    assert examples.area_under_curve(scores, truth) == pytest.approx(u / (truth.sum() * (1 - truth).sum()))


def test_the_area_under_the_curve_needs_both_classes():
    assert np.isnan(examples.area_under_curve(np.array([0.1, 0.9]), np.array([1, 1])))


def test_beat_scores_worked_out_by_hand():
    truth, said = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])
    scores = examples.beat_scores(said, truth)
    assert scores == {0: (2 / 3, 2 / 3, 2 / 3), 1: (1 / 2, 1 / 3, 2 / 5), 2: (0.0, 0.0, 0.0)}


def test_validation_goes_by_auc_for_pictures_and_by_mean_f1_for_beats():
    found = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert examples.score(recipe("cnn-breast"), found, torch.tensor([0, 1, 1])) == 1
    beats = np.eye(4)[[0, 0, 2, 2]]
    assert examples.score(recipe("lstm-ecg"), beats, torch.tensor([0, 0, 2, 1])) == pytest.approx((1 + 0 + 2 / 3) / 3)
