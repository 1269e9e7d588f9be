"""Lesson 41: its intervals keep their promise, its tests are scipy's, and its controls redraw."""

from __future__ import annotations

import types
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_score

from medlab.exercises import evaluation

LESSON = Path(__file__).parent.parent / "notebooks" / "41_honest_evaluation.ipynb"
NOTEBOOK = nbformat.read(LESSON, as_version=4)
CELLS = {cell.id: cell for cell in NOTEBOOK.cells}

quick = settings(max_examples=30, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)


def run_cells(*wanted: str, **names: object) -> types.SimpleNamespace:
    """Cells of the lesson, by id, after its imports and with these names already there."""
    matplotlib.use("agg")
    found: dict[str, object] = dict(names)
    for name in ("imports", "frame", *wanted):
        exec(compile(CELLS[name].source, name, "exec"), found)
    return types.SimpleNamespace(**found)


@pytest.fixture(scope="module")
def lesson() -> types.SimpleNamespace:
    differences = stats.norm(0.01, 0.02).ppf((np.arange(4000) + 0.5) / 4000)
    nothing = {"groups": {}, "fair": np.zeros(0), "results": {}, "resamples": 199}
    cells = ("bca", "power", "groups-test", "holm", "temp")
    return run_cells(*cells, d=differences, seed=0, **nothing)


# Intervals ------------------------------------------------------------------------------------------------------------


def test_95_percent_intervals_catch_the_true_mean_in_93_to_97_of_100_studies(lesson: types.SimpleNamespace) -> None:
    rng, population = np.random.default_rng(41), stats.beta(8, 2)  # Dice of 100 patients: lopsided, mean 0.8
    caught = np.zeros(2)
    for _ in range(1000):
        values, draws = population.rvs(100, random_state=rng), rng.integers(0, 100, (600, 100))
        intervals = evaluation.my_percentile_interval(values, draws), lesson.bca_interval(values, draws)
        caught += [low <= population.mean() <= high for low, high in intervals]
    assert (caught >= 930).all(), caught
    assert (caught <= 970).all(), caught


def test_intervals_of_12_patients_catch_it_in_88_to_93_of_100_studies_bca_more_often(
    lesson: types.SimpleNamespace,
) -> None:
    rng, population = np.random.default_rng(41), stats.beta(8, 2)
    caught = np.zeros(2)
    for _ in range(1000):
        values, draws = population.rvs(12, random_state=rng), rng.integers(0, 12, (600, 12))
        intervals = evaluation.my_percentile_interval(values, draws), lesson.bca_interval(values, draws)
        caught += [low <= population.mean() <= high for low, high in intervals]
    assert 880 <= caught[0] < caught[1] <= 930, caught


@quick
@given(seed=seeds, n=st.integers(5, 30), level=st.sampled_from([0.8, 0.9, 0.95]))
@pytest.mark.parametrize("statistic", [np.mean, np.var])
def test_both_intervals_are_scipys(lesson: types.SimpleNamespace, statistic, seed: int, n: int, level: float) -> None:
    values = np.random.default_rng(seed).beta(4, 1.5, n)
    draws = np.random.default_rng(seed + 1).integers(0, n, (500, n))

    def scipys(method: str, of=statistic):
        options = {"n_resamples": 500, "rng": np.random.default_rng(seed + 1), "confidence_level": level}
        return stats.bootstrap((values,), of, method=method, **options).confidence_interval

    np.testing.assert_allclose(lesson.bca_interval(values, draws, level, statistic), scipys("BCa"), rtol=1e-9)
    ours = evaluation.my_percentile_interval(values, draws, level)
    np.testing.assert_allclose(ours, scipys("percentile", np.mean), rtol=1e-9)


# Comparisons ----------------------------------------------------------------------------------------------------------


@quick
@given(seed=seeds, n=st.integers(2, 9))
def test_the_permutation_test_over_all_worlds_is_scipys(seed: int, n: int) -> None:
    differences = np.random.default_rng(seed).integers(-6, 9, n).astype(float)
    worlds = 1 - 2 * ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1)  # every choice of signs but ours
    found = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert evaluation.my_permutation_p(differences, worlds) == pytest.approx(min(1.0, found.pvalue))


@quick
@given(seed=seeds, n=st.integers(2, 8))
def test_equal_worlds_count_though_decimals_are_rounded(seed: int, n: int) -> None:
    whole = np.random.default_rng(seed).integers(-9, 10, n).astype(float)
    worlds = 1 - 2 * ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1)
    assert evaluation.my_permutation_p(whole / 100, worlds) == evaluation.my_permutation_p(whole, worlds)
    four = 1 - 2 * ((np.arange(1, 16)[:, None] >> np.arange(4)) & 1)
    assert evaluation.my_permutation_p(np.array([0.1, 0.2, 0.3, -0.3]), four) == 0.75


@pytest.mark.parametrize(("n", "difference"), [(10, 0.0), (10, 0.02), (30, 0.01), (120, 0.005)])
def test_simulated_power_is_that_of_the_noncentral_t(lesson: types.SimpleNamespace, n: int, difference: float) -> None:
    found = lesson.power(n, difference, np.random.default_rng(1), studies=4000)
    edge, shift = stats.t.ppf(0.975, n - 1), difference / 0.02 * np.sqrt(n)
    expected = stats.nct.sf(edge, n - 1, shift) + stats.nct.cdf(-edge, n - 1, shift)
    assert found == pytest.approx(expected, abs=0.03)


def test_a_random_group_is_found_different_in_one_of_twenty(lesson: types.SimpleNamespace) -> None:
    rng = np.random.default_rng(2)
    values, group = rng.normal(size=24), np.arange(24) < 10
    p = np.array([lesson.gap_and_p(values, rng.permutation(group), rng)[1] for _ in range(400)])
    assert 0.02 <= np.mean(p < 0.05) <= 0.08
    gap, p_value = lesson.gap_and_p(np.where(group, 1.0, 0.0), group, rng)
    assert (gap, p_value) == (1.0, 1 / 200)
    assert lesson.gap_and_p(np.array([1.0, 0, 0, 0]), np.arange(4) < 2, rng)[1] == 1  # both signs of the gap count


@quick
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_its_definition(lesson: types.SimpleNamespace, p: list[float]) -> None:
    order = np.argsort(p, kind="stable")
    expected = [max((len(p) - rank) * p[i] for rank, i in enumerate(order[: place + 1])) for place in range(len(p))]
    np.testing.assert_allclose(lesson.holm(p)[order], np.minimum(expected, 1))


# Alarms and calibration -----------------------------------------------------------------------------------------------


@quick
@given(hits=st.integers(1, 50), missed=st.integers(1, 50), false=st.integers(1, 50), cleared=st.integers(1, 50))
def test_predictive_values_are_shares_of_counted_people(hits: int, missed: int, false: int, cleared: int) -> None:
    ill = np.repeat([1, 1, 0, 0], [hits, missed, false, cleared])
    alarm = np.repeat([1, 0, 1, 0], [hits, missed, false, cleared])
    found = evaluation.my_predictive_values(hits / (hits + missed), cleared / (cleared + false), ill.mean())
    np.testing.assert_allclose(found, [precision_score(ill, alarm), precision_score(1 - ill, 1 - alarm)])


@quick
@given(seed=seeds, n=st.integers(1, 200), bins=st.integers(2, 15))
def test_the_calibration_error_weighs_scikit_learns_bins(seed: int, n: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.01, 0.99, n)
    right = rng.random(n) < confidence
    shares, means = calibration_curve(right, confidence, n_bins=bins)
    counts = np.histogram(confidence, np.linspace(0, 1, bins + 1))[0]
    expected = (np.abs(shares - means) * counts[counts > 0]).sum() / n
    assert evaluation.my_ece(confidence, right, bins) == pytest.approx(expected)


@quick
@given(seed=seeds, temperature=st.floats(0.3, 5))
def test_cooling_probabilities_is_dividing_the_logits(
    lesson: types.SimpleNamespace, seed: int, temperature: float
) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(7, 4)))
    found = torch.from_numpy(lesson.cooled(logits.softmax(-1).numpy(), temperature))
    torch.testing.assert_close(found, (logits / temperature).softmax(-1))
    assert torch.equal(found.argmax(-1), logits.argmax(-1))


# Folds ----------------------------------------------------------------------------------------------------------------


@quick
@given(owners=st.lists(st.integers(0, 9), min_size=1, max_size=80), folds=st.integers(2, 6))
def test_folds_share_no_patient_and_are_even(owners: list[int], folds: int) -> None:
    folds = min(folds, len(set(owners)))
    fold = evaluation.my_patient_folds([f"P{owner}" for owner in owners], folds)
    pairs = {(owner, int(f)) for owner, f in zip(owners, fold, strict=True)}
    assert len(pairs) == len(set(owners))  # each patient in one fold
    filled = np.bincount(fold, minlength=folds)
    assert len(filled) == folds
    assert filled.min() > 0
    assert np.ptp(filled) <= np.bincount(owners).max()


# What a reader sees ---------------------------------------------------------------------------------------------------


def test_the_published_lines_stand_there_and_fail_as_told() -> None:
    published = CELLS["claim-md"].source
    assert "load_medical_images" in published
    assert "model.fit(data)\nmodel.evaluate(data)" in published
    assert CELLS["claim-import"].outputs[0].text.startswith("ImportError: cannot import name 'load_medical_images'")
    assert "learned from: 100%" in CELLS["coin"].outputs[0].text


def test_moving_a_control_redraws_the_thousand_slices() -> None:
    shows = np.arange(200) < 20
    score = np.where(shows, 50.0, 1.0) + np.arange(200) / 7
    names = {"score": score, "shows": shows, "ours": 0.1, "rare": 0.005, "thresholds": {"watchful": 30.0}}
    cells = ("play-draw", "play-curves", "play-still", "play", "play-controls")
    sensitivity, false_rate = np.array([0.5, 1.0]), np.array([0.0, 1.0])
    panel = run_cells(*cells, sensitivity=sensitivity, false_rate=false_rate, **names)
    first = panel.picture.value
    panel.prevalence_slider.value = 0.01
    second = panel.picture.value
    panel.threshold_slider.value = 55.0
    assert len({first, second, panel.picture.value}) == 3
    assert "prevalence 1.0%" in second
    assert "running kernel" in repr(panel.Panel())
