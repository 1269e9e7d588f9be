"""Lesson 22: confusion matrix, area under the ROC curve, early stop, dropout, batch norm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medlab.exercises._engine import Case, Exercise, Mistake, case

# 22.1


def my_confusion(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """How often each true class was called what.

    Args:
        truth: (N,) bool, whether the picture really is positive.
        said: (N,) bool, whether the classifier calls it positive.

    Returns:
        (2, 2) whole numbers: row = truth, column = what was said; negative first, positive second.
    """
    counts = np.zeros((2, 2), int)
    for t, s in zip(truth, said, strict=True):
        counts[int(t), int(s)] += 1
    return counts


def _confusion_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([True, False, False]), np.array([True, True, False]))
    yield case(np.array([True, True, True, False]), np.array([False, False, True, False]))
    yield case(np.zeros(3, bool), np.zeros(3, bool))  # a row of zeros belongs there
    for _ in range(8):
        size = int(rng.integers(5, 40))
        yield case(rng.random(size) < 0.3, rng.random(size) < rng.uniform(0.2, 0.8))


def _counts(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    return np.array([[(~truth & ~said).sum(), (~truth & said).sum()], [(truth & ~said).sum(), (truth & said).sum()]])


CONFUSION = Exercise(
    id="22.1",
    module=__name__,
    name="my_confusion",
    title="A confusion matrix",
    dots=1,
    hints=(
        "There are four kinds of picture: truth negative or positive, and said negative or positive. Count each.",
        "False is 0 and True is 1, so `counts[int(t), int(s)] += 1` finds the place by itself.",
        "Or with masks: `(truth & ~said).sum()` counts the positives that were missed; that is row 1, column 0.",
    ),
    why=(
        "Every score of a yes-or-no classifier is a ratio of these four counts. Along row 1 lies what happened to the "
        "sick: found over the sum of the row is the sensitivity. Row 0 gives the specificity. Keep the counts, not "
        "only the ratios: 9 of 10 and 900 of 1000 are not the same evidence."
    ),
    cases=_confusion_cases,
    mistakes=(
        Mistake(
            "transposed",
            "Rows and columns are swapped: a row belongs to what is true, a column to what was said.",
            lambda truth, said: _counts(truth, said).T,
        ),
        Mistake(
            "positive first",
            "It looks as if the positive class came first. Here negative is number 0 and positive number 1.",
            lambda truth, said: _counts(truth, said)[::-1, ::-1],
        ),
        Mistake(
            "shares of the row",
            "Those are shares of each row. Counts are asked for: shares hide how many pictures there were.",
            lambda truth, said: _counts(truth, said) / np.maximum(_counts(truth, said).sum(1, keepdims=True), 1),
        ),
        Mistake(
            "right answers only",
            "It looks as if only the right answers were counted: the other two places hold the errors.",
            lambda truth, said: np.diag(np.diag(_counts(truth, said))),
        ),
        Mistake(
            "said is not looked at",
            "The columns do not agree with what was said: count truth and answer together, picture by picture.",
            lambda truth, said: _counts(truth, truth),
        ),
    ),
)
check_confusion = CONFUSION.check


# 22.2


def my_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """The chance that a positive picture has a higher score than a negative one.

    Args:
        scores: (N,) float, higher means rather positive.
        truth: (N,) bool; at least one True and one False.

    Returns:
        0 to 1, over all pairs of a positive and a negative; a pair with equal scores counts one half.
    """
    positive, negative = scores[truth], scores[~truth]
    difference = positive[:, None] - negative[None, :]  # (positives, negatives)
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def _auc_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([0.2, 0.7, 0.9]), np.array([False, True, False]))
    yield case(np.array([0.1, 0.6, 0.6, 0.8]), np.array([False, False, True, True]))
    yield case(np.array([0.5, 0.5]), np.array([True, False]))
    yield case(np.array([3.0, 4.0, 5.0, 6.0]), np.array([True, False, False, False]))
    for _ in range(10):
        size = int(rng.integers(4, 30))
        truth = np.arange(size) % int(rng.integers(2, 4)) == 0
        yield case(np.round(rng.random(size) + 0.3 * truth, 1), rng.permutation(truth))


def _pairs(scores: np.ndarray, truth: np.ndarray, tie: float) -> float:
    difference = scores[truth][:, None] - scores[~truth]
    return float((difference > 0).mean() + tie * (difference == 0).mean())


AUC = Exercise(
    id="22.2",
    module=__name__,
    name="my_auc",
    title="Area under the ROC curve",
    dots=2,
    hints=(
        "Take the scores of the positives and of the negatives apart: `scores[truth]` and `scores[~truth]`.",
        "`positive[:, None] - negative[None, :]` holds the difference of every pair, one row for each positive.",
        "Where it is above 0 the pair is in order and counts 1; where it is 0 the pair counts one half; then the mean.",
    ),
    why=(
        "From the highest score down, the ROC curve goes one step up for each positive and one step to the right for "
        "each negative. The area below it counts, for each negative, the positives that came earlier: the number of "
        "pairs in order. So AUC needs no threshold and does not change when the scores are stretched. 0.5 is "
        "guessing. Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747."
    ),
    cases=_auc_cases,
    tolerance=1e-6,
    mistakes=(
        Mistake(
            "ties count nothing",
            "Pairs with equal scores count nothing here. They are a coin toss: one half each.",
            lambda scores, truth: _pairs(scores, truth, 0.0),
        ),
        Mistake(
            "ties count fully",
            "Pairs with equal scores count as won. They are a coin toss: one half each; else a constant answer gets 1.",
            lambda scores, truth: _pairs(scores, truth, 1.0),
        ),
        Mistake(
            "turned round",
            "It looks as if the pairs in which the negative wins were counted: 1 minus the right answer.",
            lambda scores, truth: 1 - _pairs(scores, truth, 0.5),
        ),
        Mistake(
            "accuracy",
            "That is the accuracy at a threshold of 0.5. AUC knows no threshold: it compares scores with each other.",
            lambda scores, truth: float(((scores > 0.5) == truth).mean()),
        ),
        Mistake(
            "not divided",
            "That is the number of pairs in order. Divide by the number of all pairs.",
            lambda scores, truth: _pairs(scores, truth, 0.5) * truth.sum() * (~truth).sum(),
        ),
        Mistake(
            "all pairs of pictures",
            "It looks as if the sum was divided by the pairs of all pictures. Only pairs of a positive and a negative "
            "count.",
            lambda scores, truth: _pairs(scores, truth, 0.5) * truth.sum() * (~truth).sum() / len(truth) ** 2,
        ),
    ),
)
check_auc = AUC.check


# 22.3


def my_early_stop(losses: list[float], patience: int) -> tuple[int, int]:
    """When to stop, and which weights to keep.

    Args:
        losses: on the validation part, after the first round of training, the second, and so on; low is good.
        patience: stop after so many rounds in a row that brought no new lowest loss.

    Returns:
        (best, last): the round whose weights are kept and the round after which training stops, counted from 0.
        Without a stop the last round is the final one. Of equal losses the first counts.
    """
    best = 0
    for last, loss in enumerate(losses):
        if loss < losses[best]:
            best = last
        if last - best >= patience:
            break
    return best, last


def _early_stop_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case([3.0, 2.0, 1.0], 1)
    yield case([2.0, 3.0, 1.0], 1)
    yield case([3.0, 2.0, 2.5, 2.6, 1.0], 2)
    yield case([2.0, 2.0, 2.0, 1.0], 2)
    yield case([3.0, 2.0, 2.5, 1.9, 2.1, 2.2, 0.5], 2)
    yield case([1.0, 0.8, 0.9, 0.85, 0.88, 0.5], 2)
    for _ in range(12):
        count = int(rng.integers(5, 25))
        falling = np.exp(-np.arange(count) / 6) + 0.3 * rng.random(count)
        yield case([round(float(loss), 1) for loss in falling], int(rng.integers(1, 5)))


def _stop(losses: list[float], patience: int, *, equal: bool = False, more: int = 0) -> tuple[int, int]:
    best = last = 0
    for last, loss in enumerate(losses):
        if loss < losses[best] or (equal and loss == losses[best]):
            best = last
        if last - best >= patience + more:
            break
    return best, last


def _stop_against_the_previous(losses: list[float], patience: int) -> tuple[int, int]:
    worse = last = 0
    for last in range(1, len(losses)):
        worse = worse + 1 if losses[last] >= losses[last - 1] else 0
        if worse >= patience:
            break
    return int(np.argmin(losses[: last + 1])), last


def _stop_never_reset(losses: list[float], patience: int) -> tuple[int, int]:
    best = worse = last = 0
    for last in range(1, len(losses)):
        if losses[last] < losses[best]:
            best = last
        else:
            worse += 1
        if worse >= patience:
            break
    return best, last


def _stop_keeps_the_last_equal(losses: list[float], patience: int) -> tuple[int, int]:
    best, last = _stop(losses, patience)
    return max(i for i in range(last + 1) if losses[i] == losses[best]), last


EARLY_STOP = Exercise(
    id="22.3",
    module=__name__,
    name="my_early_stop",
    title="When to stop",
    dots=3,
    hints=(
        "Go through the rounds and remember where the lowest loss so far was: `best`.",
        "In round `last` the rounds without a new best are `last - best`. When that reaches `patience`, stop.",
        "A loss that is only equal to the best is no new best: `<`, not `<=`.",
    ),
    why=(
        "The training loss hardly ever rises, so it can't say when to stop; the validation loss turns when the network "
        "begins to learn single pictures by heart. Patience is needed because the curve is rough. What is kept are the "
        "weights of the best round, not those at the end. The validation part has then been used to choose, so the "
        "score to report comes from the test part."
    ),
    cases=_early_stop_cases,
    parts=("best", "last"),
    mistakes=(
        Mistake(
            "the last weights are kept",
            "It looks as if the weights at the stop were kept. By then the network had been getting worse: keep the "
            "best round's.",
            lambda losses, patience: (_stop(losses, patience)[1],) * 2,
        ),
        Mistake(
            "never stops",
            "Rounds after the stop were looked at: they never took place. Leave the loop when patience has run out.",
            lambda losses, patience: (int(np.argmin(losses)), len(losses) - 1),
        ),
        Mistake(
            "compared with the round before",
            "It looks as if a loss was compared with the one before it. Compare with the lowest of all so far: a curve "
            "may fall a little and still be far above.",
            _stop_against_the_previous,
        ),
        Mistake(
            "bad rounds added up",
            "It looks as if rounds without a new best were added up over the whole training. A new best begins the "
            "count anew.",
            _stop_never_reset,
        ),
        Mistake(
            "equal counts as better",
            "An equal loss was taken for a new best. Nothing was gained, so the count goes on: `<`, not `<=`.",
            lambda losses, patience: _stop(losses, patience, equal=True),
        ),
        Mistake(
            "one round too long",
            "Training went on for one round more: with a patience of 1 the first round without a new best is the last.",
            lambda losses, patience: _stop(losses, patience, more=1),
        ),
        Mistake(
            "counted from 1",
            "Rounds are counted from 0 here, as Python does.",
            lambda losses, patience: tuple(n + 1 for n in _stop(losses, patience)),
        ),
        Mistake(
            "last of equal losses",
            "The stop is right, but of equal losses the last was kept. Nothing was gained by it: the first counts.",
            _stop_keeps_the_last_equal,
        ),
    ),
)
check_early_stop = EARLY_STOP.check


# 22.4


def my_dropout(features: np.ndarray, draws: np.ndarray, rate: float, training: bool) -> np.ndarray:
    """Dropout with the random numbers given, so that it can be checked.

    Args:
        features: (B, F) float.
        draws: (B, F) evenly drawn from [0, 1).
        rate: share of the features that training leaves out, 0 up to but not including 1.
        training: whether the network is being trained; if not, nothing is left out.

    Returns:
        (B, F) float: 0 where the draw is below `rate`. What is kept becomes larger, so that the mean over many draws
        is `features`.
    """
    if not training:
        return features
    return np.where(draws < rate, 0, features / (1 - rate))


def _dropout_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[1.0, 2.0]]), np.array([[0.1, 0.9]]), 0.5, True)
    yield case(np.array([[1.0, 2.0]]), np.array([[0.1, 0.9]]), 0.5, False)
    yield case(np.array([[4.0, 8.0, 12.0]]), np.array([[0.1, 0.5, 0.9]]), 0.2, True)
    yield case(np.array([[3.0, 4.0]]), np.array([[0.0, 0.7]]), 0.0, True)  # a draw of 0 is not below a rate of 0
    for training in (True, False) * 4:
        shape = tuple(int(n) for n in rng.integers(1, 6, 2))
        yield case(rng.normal(size=shape), rng.random(shape), float(rng.uniform(0.1, 0.8)), training)


def _dropped(features: np.ndarray, draws: np.ndarray, rate: float, factor: float) -> np.ndarray:
    return features * factor * (draws >= rate)


DROPOUT = Exercise(
    id="22.4",
    module=__name__,
    name="my_dropout",
    title="Dropout by hand",
    dots=1,
    hints=(
        "`draws < rate` is True for a share `rate` of the features: those become 0. Outside training nothing does.",
        "If a quarter is left out, the sum falls to three quarters. By what must the kept ones be divided?",
    ),
    why=(
        "Training multiplies each feature by 0 with probability p and by 1 / (1 - p) otherwise, so its mean stays what "
        "it was, and at test time there is nothing to do. No feature can rely on another being there, so the network "
        "can't learn a picture by heart through one rare combination. Source: Srivastava and others 2014, Journal of "
        "Machine Learning Research 15, 1929-1958, who scaled at test time instead."
    ),
    cases=_dropout_cases,
    mistakes=(
        Mistake(
            "not made larger",
            "The right features are left out, but the kept ones stay as they were: their mean falls. Divide by 1 - "
            "rate.",
            lambda features, draws, rate, training: _dropped(features, draws, rate, 1.0) if training else features,
        ),
        Mistake(
            "divided by the rate",
            "It looks as if the kept features were divided by `rate`. A share of 1 - rate is kept, so divide by that.",
            lambda features, draws, rate, training: (
                _dropped(features, draws, rate, 1 / max(rate, 1e-300)) if training else features
            ),
        ),
        Mistake(
            "keeps the wrong ones",
            "It looks as if features with a draw below `rate` were kept. Those are the ones that are left out.",
            lambda features, draws, rate, training: (
                np.where(draws < rate, features / (1 - rate), 0) if training else features
            ),
        ),
        Mistake(
            "also when tested",
            "Features are left out although `training` is False: a patient's result would depend on chance.",
            lambda features, draws, rate, training: _dropped(features, draws, rate, 1 / (1 - rate)),
        ),
        Mistake(
            "smaller when tested",
            "Outside training the features become smaller. That belongs to the old form, which did not enlarge them in "
            "training; here they stay as they are.",
            lambda features, draws, rate, training: (
                _dropped(features, draws, rate, 1.0) if training else features * (1 - rate)
            ),
        ),
        Mistake(
            "a draw equal to the rate",
            "A draw that equals `rate` was left out: below `rate` means `<`, not `<=`. A rate of 0 leaves nothing out.",
            lambda features, draws, rate, training: (
                np.where(draws <= rate, 0, features / (1 - rate)) if training else features
            ),
        ),
    ),
)
check_dropout = DROPOUT.check


# 22.5


def my_batch_norm(maps: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Batch norm as in training: every channel to mean 0 and variance 1, then its own scale and shift.

    Args:
        maps: (B, C, H, W) float, the feature maps of a batch.
        scale: (C,) float, learned.
        shift: (C,) float, learned.
        eps: added to the variance, so that a constant channel does not divide by 0.

    Returns:
        (B, C, H, W) float. The variance is the plain mean of the squared distances (divided by n, not n - 1).
    """
    axes = (0, 2, 3)  # everything but the channels
    mean = maps.mean(axes, keepdims=True)  # (1, C, 1, 1)
    variance = maps.var(axes, keepdims=True)
    normal = (maps - mean) / np.sqrt(variance + eps)
    return normal * scale[:, None, None] + shift[:, None, None]


def _batch_norm_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([1.0, 3.0]).reshape(2, 1, 1, 1), np.array([1.0]), np.array([0.0]))
    yield case(np.array([1.0, 3.0, 5.0, 9.0]).reshape(2, 1, 1, 2), np.array([2.0]), np.array([10.0]))
    yield case(np.array([1.0, 3.0, 20.0, 60.0]).reshape(2, 2, 1, 1), np.array([1.0, 0.5]), np.array([0.0, -1.0]))
    yield case(np.array([0.0, 0.2]).reshape(2, 1, 1, 1), np.array([1.0]), np.array([1.0]), eps=0.5)
    for _ in range(6):
        b, c, h, w = (int(n) for n in rng.integers((2, 2, 2, 3), (5, 5, 5, 6)))
        maps = rng.normal(size=(b, c, h, w)) * rng.uniform(0.5, 5, (1, c, 1, 1)) + rng.normal(size=(1, c, 1, 1)) * 10
        yield case(maps, rng.uniform(0.5, 2, c), rng.normal(size=c))


def _normed(
    maps: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float, axes: tuple[int, ...] = (0, 2, 3)
) -> np.ndarray:
    normal = (maps - maps.mean(axes, keepdims=True)) / np.sqrt(maps.var(axes, keepdims=True) + eps)
    return normal * scale[:, None, None] + shift[:, None, None]


def _normed_by_deviation(maps: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    axes = (0, 2, 3)
    normal = (maps - maps.mean(axes, keepdims=True)) / (maps.std(axes, keepdims=True) + eps)
    return normal * scale[:, None, None] + shift[:, None, None]


def _normed_by_variance(maps: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    axes = (0, 2, 3)
    normal = (maps - maps.mean(axes, keepdims=True)) / (maps.var(axes, keepdims=True) + eps)
    return normal * scale[:, None, None] + shift[:, None, None]


def _normed_n_minus_1(maps: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    axes = (0, 2, 3)
    variance = maps.var(axes, keepdims=True, ddof=1)
    return (maps - maps.mean(axes, keepdims=True)) / np.sqrt(variance + eps) * scale[:, None, None] + shift[
        :, None, None
    ]


BATCH_NORM = Exercise(
    id="22.5",
    module=__name__,
    name="my_batch_norm",
    title="Batch norm by hand",
    dots=2,
    hints=(
        "A channel has one mean and one variance, over all pictures of the batch and all their pixels.",
        "`maps.mean((0, 2, 3), keepdims=True)` is (1, C, 1, 1), which fits under `maps`; `maps.var` works alike.",
        "Divide by `np.sqrt(variance + eps)`. `scale[:, None, None]` is (C, 1, 1): it meets channels, not columns.",
    ),
    why=(
        "y = scale (x - mean) / sqrt(variance + eps) + shift, a mean and a variance for each channel. However the "
        "weights before it grow, its output keeps its size, so a higher learning rate stays stable. Since mean and "
        "variance come from the batch, each picture is a little disturbed by its neighbours, which works against "
        "over-fitting. At test time running averages take their place, and a picture no longer depends on the others. "
        "Source: Ioffe and Szegedy 2015, arXiv:1502.03167."
    ),
    cases=_batch_norm_cases,
    mistakes=(
        Mistake(
            "each picture by itself",
            "It looks as if every picture had its own mean (that is instance norm). The batch shares one: axis 0 too.",
            lambda maps, scale, shift, eps=1e-5: _normed(maps, scale, shift, eps, (2, 3)),
        ),
        Mistake(
            "each pixel by itself",
            "It looks as if every pixel had its own mean over the batch. A channel has one for all its pixels: axes 2 "
            "and 3 too.",
            lambda maps, scale, shift, eps=1e-5: _normed(maps, scale, shift, eps, (0,)),
        ),
        Mistake(
            "all channels together",
            "It looks as if all channels shared one mean and variance. Each has its own: leave axis 1 out.",
            lambda maps, scale, shift, eps=1e-5: _normed(maps, scale, shift, eps, (0, 1, 2, 3)),
        ),
        Mistake(
            "divided by the variance",
            "It looks as if the variance was the divisor. Its square root, the standard deviation, brings the spread "
            "to 1.",
            _normed_by_variance,
        ),
        Mistake(
            "n - 1",
            "The variance seems to be divided by n - 1. Here it is the plain mean of the squared distances.",
            _normed_n_minus_1,
        ),
        Mistake(
            "eps outside the root",
            "eps belongs to the variance, inside the square root: `np.sqrt(variance + eps)`.",
            _normed_by_deviation,
        ),
        Mistake(
            "scale and shift forgotten",
            "Mean 0 and variance 1 are there; now multiply by `scale` and add `shift`, channel by channel.",
            lambda maps, scale, shift, eps=1e-5: _normed(maps, np.ones_like(scale), np.zeros_like(shift), eps),
        ),
        Mistake(
            "shift before scale",
            "It looks as if the shift was added before the scale: it is multiplied too, then. First scale, then shift.",
            lambda maps, scale, shift, eps=1e-5: _normed(maps, scale, shift * scale, eps),
        ),
        Mistake(
            "eps not used",
            "Nearly: `eps` is an argument. Add the one that was given, not a number of your own.",
            lambda maps, scale, shift, eps=1e-5: _normed(maps, scale, shift, 1e-5),
        ),
        Mistake(
            "eps left out",
            "It looks as if `eps` was left out. A constant channel would divide by 0: `np.sqrt(variance + eps)`.",
            lambda maps, scale, shift, eps=1e-5: _normed(maps, scale, shift, 0.0),
        ),
    ),
)
check_batch_norm = BATCH_NORM.check
