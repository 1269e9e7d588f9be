"""Lesson 41: folds of patients, bootstrap, permutation, predictive values, calibration, a checklist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from medlab.exercises._compare import SHAPE, VALUES, Problem
from medlab.exercises._engine import Case, Exercise, Mistake, case
from medlab.exercises._report import show, to_array

# 41.1


def my_patient_folds(patients: list[str], folds: int) -> np.ndarray:
    """Deal slices out to folds so that no patient is in two of them.

    Args:
        patients: patient of every slice, `["A", "A", "B", ...]`, in any order.
        folds: how many, at most as many as there are patients.

    Returns:
        (N,) int: the fold of every slice, 0 to folds - 1. No two folds differ by more slices than the largest
        patient has.
    """
    names, where, slices = np.unique(patients, return_inverse=True, return_counts=True)
    fold_of, filled = np.zeros(len(names), dtype=int), np.zeros(folds, dtype=int)
    for patient in np.argsort(-slices, kind="stable"):  # the largest first
        fold_of[patient] = filled.argmin()
        filled[fold_of[patient]] += slices[patient]
    return fold_of[where]


def _folds_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(["A", "A", "B", "B"], 2)
    yield case(["B", "A", "C", "A", "B", "C"], 3)
    yield case(["A"] * 5 + ["B"] + ["C"] * 5 + ["D"], 2)
    for _ in range(8):
        folds = int(rng.integers(2, 6))
        counts = rng.integers(1, 30, int(rng.integers(folds, 16)))
        slices = [f"P{n:02d}" for n, count in enumerate(counts) for _ in range(count)]
        yield case([slices[i] for i in rng.permutation(len(slices))], folds)


def _judge_folds(got: Any, expected: np.ndarray, patients: list[str], folds: int) -> Problem | None:
    if isinstance(got, (list, tuple)):
        text = f"That is a {type(got).__name__}: make it an array with `np.array(...)`."
        return Problem(SHAPE, f"an array of shape ({len(patients)},)", f"a {type(got).__name__}", text)
    dealt = to_array(got)
    if dealt is None or dealt.shape != (len(patients),):
        size = "something else" if dealt is None else f"shape {dealt.shape}"
        return Problem(SHAPE, f"shape ({len(patients)},), one fold a slice", size, "Return one number a slice.")
    if dealt.dtype.kind not in "iu":
        return Problem(SHAPE, "whole numbers", str(dealt.dtype), "Folds are numbered with whole numbers.")
    return _folds_problem(dealt, np.array(patients), folds)


def _folds_problem(dealt: np.ndarray, patients: np.ndarray, folds: int) -> Problem | None:
    used = set(dealt.tolist())
    if used == set(range(1, folds + 1)):
        return Problem(VALUES, f"folds 0 to {folds - 1}", f"folds {sorted(used)}", mistake="counted from 1")
    for patient in np.unique(patients):
        found = np.unique(dealt[patients == patient])
        if len(found) > 1:
            text = f"patient {patient} in folds {', '.join(map(str, found))}"
            return Problem(VALUES, "each patient in one fold", text, mistake="leak")
    if not used <= set(range(folds)):
        return Problem(VALUES, f"folds 0 to {folds - 1}", f"folds {sorted(used)}", mistake="a fold too many")
    if len(used) < folds:
        return Problem(VALUES, f"{folds} folds", f"slices in {len(used)} of them", mistake="empty fold")
    filled, largest = np.bincount(dealt), np.unique(patients, return_counts=True)[1].max()
    if np.ptp(filled) > largest:
        expected = f"folds that differ by {largest} slices at most"
        return Problem(VALUES, expected, f"folds of {', '.join(map(str, filled))} slices", mistake="uneven")
    return None


PATIENT_FOLDS = Exercise(
    id="41.1",
    module=__name__,
    name="my_patient_folds",
    title="Folds of patients",
    dots=2,
    hints=(
        "Deal out the patients, not the slices: every slice then follows its patient.",
        (
            "`np.unique(patients, return_inverse=True, return_counts=True)` names each patient once, says which one "
            "every slice belongs to, and how many slices each has."
        ),
        "Take the patients from the largest to the smallest, and give each to the fold that has the fewest slices yet.",
    ),
    why=(
        "The unit that is dealt out is the patient, so no patient can be in two folds. Giving each to the emptiest "
        "fold "
        "keeps the folds even: when the last patient of the fullest fold came, that fold was the emptiest, so it can't "
        "stand out by more than this patient. Beginning with the largest makes it better still. scikit-learn's "
        "GroupKFold does the same."
    ),
    cases=_folds_cases,
    judge=_judge_folds,
    mistakes=(
        Mistake(
            "leak",
            "A patient is in two folds, so a model is tested on somebody it has seen. Decide for each patient once, "
            "and "
            "let the slices follow.",
        ),
        Mistake(
            "uneven",
            "Some fold is much fuller than another: patients have different numbers of slices, so count slices, and "
            "give the next patient to the emptiest fold.",
        ),
        Mistake("empty fold", "A fold got no patient at all, so there would be nothing to test on in its turn."),
        Mistake("counted from 1", "Your folds are counted from 1: here the first one is 0."),
        Mistake("a fold too many", "There are more folds than were asked for: the last one is folds - 1."),
    ),
)
check_patient_folds = PATIENT_FOLDS.check


# 41.2


def my_percentile_interval(values: np.ndarray, draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of a mean over patients, by percentiles.

    Args:
        values: (n,) float, the score of each patient.
        draws: (B, n) int: row b says which n patients the simulated study b got; some come twice, some not at all.
        level: share of the simulated studies between the two ends, 0 to 1.

    Returns:
        (low, high): as many of the studies' means lie below low as above high, read off as `np.quantile` does.
    """
    means = values[draws].mean(axis=1)  # (B,), one simulated study each
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _interval_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([0.5, 0.9]), np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), level=0.5)
    yield case(np.array([0.2, 0.7, 0.9]), np.array([[0, 1, 1], [2, 2, 2], [1, 0, 2], [0, 0, 1], [2, 1, 2]]), level=0.8)
    for level in (0.95, 0.95, 0.9, 0.99):
        n = int(rng.integers(6, 15))
        yield case(rng.beta(6, 2, n), rng.integers(0, n, (300, n)), level=level)


def _quantiles(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    return float(np.quantile(values, low)), float(np.quantile(values, high))


def _picked(values: np.ndarray, draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Ends picked from the sorted means, by rounding their places down."""
    means = np.sort(values[draws].mean(axis=1))
    low, high = (min(int(share * len(means)), len(means) - 1) for share in ((1 - level) / 2, (1 + level) / 2))
    return float(means[low]), float(means[high])


def _wrong_interval(statistic: Callable[[np.ndarray], np.ndarray]) -> Callable[..., tuple[float, float]]:
    """The right percentiles of something else than the studies' means."""

    def interval(values: np.ndarray, draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
        return _quantiles(statistic(values[draws]), (1 - level) / 2, (1 + level) / 2)

    return interval


def _normal_interval(scale: Callable[[np.ndarray], float]) -> Callable[..., tuple[float, float]]:
    """Mean plus and minus 1.96 times some spread of the values."""

    def interval(values: np.ndarray, draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
        return float(values.mean() - 1.96 * scale(values)), float(values.mean() + 1.96 * scale(values))

    return interval


PERCENTILE_INTERVAL = Exercise(
    id="41.2",
    module=__name__,
    name="my_percentile_interval",
    title="A bootstrap interval by percentiles",
    dots=2,
    hints=(
        "`values[draws]` has the shape of draws: each row holds the scores of one simulated study.",
        "Each study has one mean. Sort them in your mind: how many may lie outside on either side?",
        "Outside lies 1 - level in all, half of it on each side: `np.quantile` at (1 - level) / 2 and (1 + level) / 2.",
    ),
    why=(
        "values[draws] replays the study B times with patients drawn from our own; the B means show how far a mean "
        "of n "
        "patients wanders by luck. Leaving (1 - level) / 2 of them outside on either side gives the interval. It is "
        "about the mean, not about the next patient: the patients themselves scatter far more widely."
    ),
    cases=_interval_cases,
    parts=("low", "high"),
    mistakes=(
        Mistake(
            "where patients lie",
            "These are percentiles of the patients' own scores. How far do the means of whole studies wander? That is "
            "less.",
            lambda values, draws, level=0.95: _quantiles(values, (1 - level) / 2, (1 + level) / 2),
        ),
        Mistake(
            "all outside on each side",
            "You left 1 - level outside on each side, so twice as much in all: the interval is too narrow. Half of it "
            "belongs on either side.",
            lambda values, draws, level=0.95: _quantiles(values[draws].mean(axis=1), 1 - level, level),
        ),
        Mistake(
            "percent for shares",
            "The ends lie hardly above the smallest mean: `np.percentile` counts from 0 to 100, `np.quantile` from 0 "
            "to "
            "1.",
            lambda values, draws, level=0.95: _quantiles(
                values[draws].mean(axis=1), (1 - level) / 200, (1 + level) / 200
            ),
        ),
        Mistake(
            "one study a column",
            "It looks as if the mean was taken down the columns: a study is a row of draws, so average along axis 1.",
            _wrong_interval(lambda drawn: drawn.mean(axis=0)),
        ),
        Mistake(
            "medians",
            "It looks as if each study was summed up by its median: here the mean is asked for.",
            _wrong_interval(lambda drawn: np.median(drawn, axis=1)),
        ),
        Mistake(
            "every value drawn",
            "It looks as if all drawn scores went into one heap: take the mean of each row first.",
            _wrong_interval(np.ravel),
        ),
        Mistake(
            "standard deviation",
            "That is the mean plus and minus 1.96 standard deviations of the patients: where patients lie, not the "
            "mean. And the draws were not used.",
            _normal_interval(lambda values: float(values.std(ddof=1))),
        ),
        Mistake(
            "standard error",
            "That is the interval of the normal curve, 1.96 standard errors. It is often close, but it can't be "
            "lopsided, "
            "and may reach beyond 1. Use the draws.",
            _normal_interval(lambda values: float(values.std(ddof=1) / np.sqrt(len(values)))),
        ),
        Mistake(
            "picked from the sorted means",
            "It looks as if two of the sorted means were picked. An end may lie between two of them: `np.quantile` "
            "goes that part of the way.",
            _picked,
        ),
        Mistake(
            "ends swapped",
            "The two ends changed places: low comes first.",
            lambda values, draws, level=0.95: my_percentile_interval(values, draws, level)[::-1],
        ),
    ),
)
check_percentile_interval = PERCENTILE_INTERVAL.check


# 41.3


def my_permutation_p(differences: np.ndarray, signs: np.ndarray) -> float:
    """How often chance alone gives a mean difference at least as large: a paired permutation test.

    Args:
        differences: (n,) float, score of model A minus score of model B of each patient.
        signs: (B, n) of 1 and -1: row b says for which patients the two models change places.

    Returns:
        The p value, two-sided: the share of mean differences as far from 0 as ours or further, among ours and the B.
    """
    shuffled = (signs * differences).mean(axis=1)  # (B,)
    as_far = np.abs(shuffled) >= np.abs(differences.mean()) - 1e-12  # with floats 0.1 + 0.2 is not exactly 0.3
    return float((1 + as_far.sum()) / (1 + len(signs)))


def _permutation_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Whole numbers, whose sums are exact, so that equal means are equal."""
    yield case(np.array([2.0, 1.0]), np.array([[1, 1], [1, -1], [-1, -1]]))
    yield case(np.array([-3.0, -1.0, 1.0]), np.array([[1, 1, 1], [-1, 1, 1], [-1, -1, -1], [1, 1, -1], [1, -1, 1]]))
    yield case(np.array([1.0, 1.0, -1.0, 2.0]), np.array([[1, -1, 1, -1], [-1, -1, 1, -1], [1, 1, 1, 1]]))
    for shift in (0, 1, 2, -2, 3):
        n = int(rng.integers(5, 9))
        yield case(rng.integers(-4, 5, n).astype(float) + shift, rng.choice([-1, 1], (200, n)))


def _share(differences: np.ndarray, signs: np.ndarray, wanted: Callable[[Any, Any], Any], *, ours: int = 1) -> float:
    """Share of shuffled means for which `wanted(shuffled, observed)` holds; ours counts where `ours` is 1."""
    shuffled = (signs * differences).mean(axis=1)
    return float((ours + wanted(shuffled, differences.mean()).sum()) / (ours + len(signs)))


PERMUTATION_P = Exercise(
    id="41.3",
    module=__name__,
    name="my_permutation_p",
    title="A paired permutation test",
    dots=2,
    hints=(
        "If both models were equally good, they could change places in any patient: the difference changes its sign.",
        "`signs * differences` has B rows, each a world where chance named the models. What is its mean difference?",
        "Count the worlds whose mean is as far from 0 as yours, or further, on either side; yours is one of them too.",
    ),
    why=(
        "Without a difference between the models, each patient's difference is as likely positive as negative, so "
        "every "
        "row of signs is a world that could have been ours. The p value is the share of worlds at least as extreme as "
        "ours. Ours is one of the possible worlds, so it counts above and below: a p value of exactly 0 would claim "
        "more "
        "than B draws can know."
    ),
    cases=_permutation_cases,
    mistakes=(
        Mistake(
            "one side only",
            "Only one direction was counted. Before looking we could not know which model would win: a difference as "
            "large the other way round counts as well.",
            lambda differences, signs: _share(differences, signs, lambda a, b: a >= b),
        ),
        Mistake(
            "ours left out",
            "Our own world is missing: it is one of those that chance could give. Count it above and below: (1 + "
            "count) / "
            "(1 + B).",
            lambda differences, signs: _share(differences, signs, lambda a, b: abs(a) >= abs(b), ours=0),
        ),
        Mistake(
            "equal not counted",
            "Worlds exactly as far from 0 as ours were left out: use >=, since the p value is about as far or further.",
            lambda differences, signs: _share(differences, signs, lambda a, b: abs(a) > abs(b)),
        ),
        Mistake(
            "the other share",
            "That is the share of worlds that are less extreme than ours: the p value is the rest.",
            lambda differences, signs: _share(differences, signs, lambda a, b: abs(a) < abs(b), ours=0),
        ),
        Mistake(
            "sum against mean",
            "It looks as if the sums of the worlds were compared with the mean of ours: compare like with like.",
            lambda differences, signs: _share(
                differences, signs, lambda a, b: abs(a) * len(differences) >= abs(b) - 1e-12
            ),
        ),
        Mistake(
            "size of each difference",
            "It looks as if the sign of each patient was dropped before averaging: take the mean first, its size then.",
            lambda differences, signs: float(
                (1 + (np.abs(signs * differences).mean(axis=1) >= abs(differences.mean())).sum()) / (1 + len(signs))
            ),
        ),
    ),
)
check_permutation_p = PERMUTATION_P.check


# 41.4


def my_predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """What an alarm, and what silence, is worth where the disease is as common as that.

    Args:
        sensitivity: share of the ill who get an alarm, 0 to 1.
        specificity: share of the healthy who get none, 0 to 1.
        prevalence: share of the ill among all who are tested, between 0 and 1.

    Returns:
        (ppv, npv): share of the ill among those with an alarm, share of the healthy among those without.
    """
    true_alarms = sensitivity * prevalence
    false_alarms = (1 - specificity) * (1 - prevalence)
    missed = (1 - sensitivity) * prevalence
    cleared = specificity * (1 - prevalence)
    return true_alarms / (true_alarms + false_alarms), cleared / (cleared + missed)


def _predictive_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(0.9, 0.8, 0.5)
    yield case(0.9, 0.8, 0.1)
    yield case(0.95, 0.98, 0.005)
    for _ in range(6):
        yield case(*(float(share) for share in rng.uniform([0.5, 0.6, 0.01], [0.99, 0.99, 0.9])))


def _bayes(hit: float, false: float, prevalence: float) -> float:
    return hit * prevalence / (hit * prevalence + false * (1 - prevalence))


PREDICTIVE_VALUES = Exercise(
    id="41.4",
    module=__name__,
    name="my_predictive_values",
    title="What an alarm is worth",
    dots=1,
    hints=(
        "Think of 1000 people: how many are ill, and how many of these get an alarm? How many of the healthy get one?",
        "Four groups: alarm or not, ill or not. The positive predictive value is ill with alarm over all with alarm.",
        "False alarms come from the healthy: (1 - specificity) of (1 - prevalence).",
    ),
    why=(
        "This is Bayes' rule, counted in people. Sensitivity and specificity look from the disease to the test, the "
        "predictive values from the test to the disease, and on that way the number of healthy people enters. Where "
        "disease is rare, a small share of the many healthy is more people than a large share of the few ill."
    ),
    cases=_predictive_cases,
    parts=("ppv", "npv"),
    mistakes=(
        Mistake(
            "prevalence ignored",
            "It looks as if ill and healthy were equally many: weigh the two groups with prevalence and 1 - "
            "prevalence.",
            lambda a, b, p: (_bayes(a, 1 - b, 0.5), _bayes(b, 1 - a, 0.5)),
        ),
        Mistake(
            "looking the wrong way",
            "Those are sensitivity and specificity again: the share of alarms among the ill is not the share of the "
            "ill "
            "among the alarms.",
            lambda a, b, p: (a, b),
        ),
        Mistake(
            "specificity for false alarms",
            "It looks as if specificity was taken as the share of false alarms: it is the share of the healthy who get "
            "none.",
            lambda a, b, p: (_bayes(a, b, p), _bayes(1 - b, 1 - a, 1 - p)),
        ),
        Mistake(
            "prevalence for everybody",
            "False alarms come from the healthy, whose share is 1 - prevalence: they seem to be weighed with "
            "prevalence, "
            "or not at all.",
            lambda a, b, p: (a * p / (a * p + (1 - b)), b * (1 - p) / (b * (1 - p) + (1 - a))),
        ),
        Mistake(
            "share of everybody",
            "Those are shares of all who are tested: divide by those with an alarm, and by those without.",
            lambda a, b, p: (a * p, b * (1 - p)),
        ),
        Mistake(
            "values swapped",
            "The two changed places: the positive predictive value comes first.",
            lambda a, b, p: my_predictive_values(a, b, p)[::-1],
        ),
    ),
)
check_predictive_values = PREDICTIVE_VALUES.check


# 41.5


def my_ece(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: how far confidence is from the truth, on average.

    Args:
        confidence: (N,) float, probability that the model gives to its own answer, 0 to 1.
        correct: (N,) bool, whether that answer was right.
        bins: number of equally wide bins from 0 to 1; a confidence of exactly 1 belongs to the last one.

    Returns:
        The distance between the mean confidence and the share right in a bin, averaged over the answers.
    """
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        inside = where == b
        if inside.any():
            gap = abs(confidence[inside].mean() - correct[inside].mean())
            error += inside.mean() * gap
    return float(error)


def _ece_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([0.95, 0.95, 0.65, 0.65]), np.array([True, False, True, True]), bins=2)
    yield case(np.array([0.9, 0.3, 0.6]), np.array([True, True, False]), bins=5)
    yield case(np.array([1.0, 1.0, 0.55, 0.85]), np.array([True, False, True, False]))
    for bins in (10, 10, 15, 4):
        n = int(rng.integers(20, 60))
        confidence = rng.uniform(0.3, 0.999, n)
        yield case(confidence, rng.random(n) < confidence**2, bins=bins)


def _gaps(confidence: np.ndarray, correct: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of the answers, mean confidence and share right of every bin that is not empty."""
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = [(np.mean(where == b), confidence[where == b].mean(), correct[where == b].mean()) for b in np.unique(where)]
    weights, means, shares = np.array(rows).T
    return weights, means, shares


def _wrong_ece(total: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> Callable[..., float]:
    return lambda confidence, correct, bins=10: float(total(*_gaps(confidence, correct, bins)))


def _middle_ece(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = [((b + 0.5) / bins, correct[where == b].mean(), np.mean(where == b)) for b in np.unique(where)]
    return float(sum(abs(middle - share) * weight for middle, share, weight in rows))


def _ece_without_ones(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    inside = confidence < 1
    weights, means, shares = _gaps(confidence[inside], correct[inside], bins)
    return float((weights * abs(means - shares)).sum() * inside.mean())


ECE = Exercise(
    id="41.5",
    module=__name__,
    name="my_ece",
    title="Expected calibration error",
    dots=2,
    hints=(
        "Sort the answers into bins by confidence: the number of the bin is confidence times bins, rounded down.",
        "In each bin compare two means: that of the confidence, and that of correct, which is the share right.",
        "Weigh each bin by its share of all answers. Skip a bin without answers, and mind a confidence of exactly 1.",
    ),
    why=(
        "Calibrated means: of the answers given with 80 % confidence, 80 % are right. No single answer can show "
        "that, so "
        "answers of similar confidence are put together. The size of the gap counts, whichever way it goes, since "
        "too sure "
        "here does not make up for too timid there; and a bin counts as much as it has answers."
    ),
    cases=_ece_cases,
    mistakes=(
        Mistake(
            "bins count alike",
            "It looks as if all bins counted alike: a bin with three answers would weigh as much as one with a "
            "thousand. "
            "Weigh with the share of answers.",
            _wrong_ece(lambda weights, means, shares: np.mean(abs(means - shares))),
        ),
        Mistake(
            "gaps cancel",
            "It looks as if gaps kept their signs, so that too sure in one bin makes up for too timid in another: take "
            "the size of each gap first.",
            _wrong_ece(lambda weights, means, shares: (weights * (means - shares)).sum()),
        ),
        Mistake(
            "one bin for all",
            "Mean confidence and share right of everything together: they can agree although every bin is wrong.",
            _wrong_ece(lambda weights, means, shares: abs((weights * (means - shares)).sum())),
        ),
        Mistake(
            "largest gap",
            "That is the largest gap, known as the maximum calibration error: here the average is asked for.",
            _wrong_ece(lambda weights, means, shares: abs(means - shares).max()),
        ),
        Mistake(
            "middle of the bin",
            "It looks as if the middle of the bin stood for its confidence: take the mean confidence of its answers.",
            _middle_ece,
        ),
        Mistake(
            "squared gaps",
            "It looks as if the gaps were squared: the plain distance is asked for.",
            _wrong_ece(lambda weights, means, shares: (weights * (means - shares) ** 2).sum()),
        ),
        Mistake(
            "1 falls out",
            "Answers with a confidence of exactly 1 got lost: 1 times bins is one bin too far, they belong to the "
            "last.",
            _ece_without_ones,
        ),
    ),
)
check_ece = ECE.check


# 41.6

# The abstract above, item by item: "good" if it says how this was done, and well; "wrong" if it says, but it was done
# in a way that spoils the result; "missing" if it does not say. Copy the dict and replace the dots:
# my_checklist = {
#     "unit of the split": ..., "choice of the model": ..., "reference standard": ..., "metric": ...,
#     "confidence interval": ..., "comparison": ..., "who the patients were": ..., "other hospitals": ...,
#     "failures": ..., "code and weights": ...,
# }
my_checklist = {
    "unit of the split": "wrong",
    "choice of the model": "wrong",
    "reference standard": "good",
    "metric": "wrong",
    "confidence interval": "wrong",
    "comparison": "wrong",
    "who the patients were": "missing",
    "other hospitals": "missing",
    "failures": "missing",
    "code and weights": "good",
}


def _judge_checklist(got: Any, expected: dict[str, str]) -> Problem | None:
    if not isinstance(got, dict):
        return Problem(SHAPE, "a dict with 10 items", show(got), "Copy the dict from the task: item, colon, verdict.")
    odd = sorted(set(expected) ^ set(got))
    if odd:
        text = "lacks" if odd[0] in expected else "has the unknown item"
        return Problem(SHAPE, "the 10 items of the task", f"{text} {odd[0]!r}", "Keep the names of the items.")
    for item, verdict in got.items():
        if verdict not in ("good", "wrong", "missing"):
            wanted = '"good", "wrong" or "missing"'
            return Problem(VALUES, wanted, f"{item}: {show(verdict)}", "One of the three words, for each item.")
    for item, verdict in expected.items():
        if got[item] != verdict:
            return Problem(VALUES, f"{item}: another verdict", f"{item}: {got[item]}", mistake=item)
    return None


CHECKLIST = Exercise(
    id="41.6",
    module=__name__,
    name="my_checklist",
    title="Review an abstract",
    dots=3,
    hints=(
        "Look for the sentence about each item first: where there is none, the verdict is missing.",
        "What is counted, slices or patients: in the split, and in the interval? What was chosen on which part?",
        "Two items are good, three are missing. The other five are told, and each spoils the result in its own way.",
    ),
    why=(
        "Slices were dealt out, so patients are in both parts; the epoch was picked on the test slices, so they are no "
        "longer a test; slices with a nodule are few, so accuracy is high for a model that finds none; the interval "
        "takes "
        "slices of one patient for independent; and the other network was tested on other data. Three readers, each "
        "without the others, are a sound reference, and code with weights lets others repeat it. Age, sex and scanner, "
        "patients from elsewhere, and what went wrong in the missed slices are not told at all."
    ),
    judge=_judge_checklist,
    mistakes=(
        Mistake(
            "unit of the split",
            "Slices were divided at random. Where are the slices of one patient then? See the first section.",
        ),
        Mistake(
            "choice of the model",
            "The epoch was chosen by its score on the test slices. What is that score worth then?",
        ),
        Mistake("reference standard", "Who drew the truth, how many were they, and did they see each other's answers?"),
        Mistake(
            "metric",
            "Few of the slices show a nodule. What accuracy has a model that finds none, and what would you ask for "
            "instead?",
        ),
        Mistake(
            "confidence interval",
            "The interval counts 248 slices. How many patients are behind them, and are slices of one patient "
            "independent?",
        ),
        Mistake(
            "comparison",
            "Both networks have a number. Were the two numbers measured on the same patients, pair by pair?",
        ),
        Mistake(
            "who the patients were",
            "Look for age, sex, scanner, or how many were ill: does the abstract tell any of it?",
        ),
        Mistake("other hospitals", "Where do the test patients come from? Search for a second place."),
        Mistake("failures", "Four slices went wrong. Does the abstract say which, or how?"),
        Mistake(
            "code and weights", "Could you repeat the study with what the abstract offers? Read its last sentence."
        ),
    ),
)
check_checklist = CHECKLIST.check
