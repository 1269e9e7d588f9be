"""Lesson 40: overlap, surfaces, a mask that looks good, HD95, surface Dice, lesions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from medlab import metrics
from medlab.exercises._compare import SHAPE, VALUES, Problem
from medlab.exercises._engine import Case, Exercise, Mistake, case

# 40.1


def my_overlap(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
    """The four overlap metrics of two masks.

    Args:
        prediction: bool mask, any shape.
        truth: bool mask of the same shape.

    Returns:
        (Dice, IoU, precision, recall), each from 0 to 1. Both masks empty: all four are 1. One empty: all four are 0.
    """
    both, predicted, true = int((prediction & truth).sum()), int(prediction.sum()), int(truth.sum())
    if predicted + true == 0:
        return 1.0, 1.0, 1.0, 1.0
    if both == 0:
        return 0.0, 0.0, 0.0, 0.0
    return 2 * both / (predicted + true), both / (predicted + true - both), both / predicted, both / true


def _mask(rng: np.random.Generator, shape: Any, share: float) -> np.ndarray:
    return np.asarray(rng.random(tuple(shape)) < share)


def _overlap_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([True, True, True, False]), np.array([False, True, True, False]))
    yield case(np.array([[True, False], [True, True]]), np.array([[True, True], [False, False]]))
    yield case(np.zeros((1, 5), bool), np.array([[True, True, False, False, False]]))
    yield case(np.array([[False, True, True, True, False]]), np.zeros((1, 5), bool))
    yield case(np.zeros((1, 6), bool), np.zeros((1, 6), bool))
    for _ in range(12):
        shape = rng.integers(2, 7, rng.integers(2, 4))
        yield case(_mask(rng, shape, rng.random()), _mask(rng, shape, rng.random()))


def _overlap(
    prediction: np.ndarray, truth: np.ndarray, *, both_empty: float = 1.0, one_empty: float = 0.0
) -> tuple[float, float, float, float]:
    """With other answers for empty masks."""
    if not prediction.any() and not truth.any():
        return (both_empty,) * 4
    if not prediction.any() or not truth.any():
        return (one_empty,) * 4
    return my_overlap(prediction, truth)


def _undivided(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
    """As plain numbers of Python: 0 / 0 raises."""
    both, predicted, true = int((prediction & truth).sum()), int(prediction.sum()), int(truth.sum())
    return 2 * both / (predicted + true), both / (predicted + true - both), both / predicted, both / true


def _unguarded(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
    """As numbers of NumPy: 0 / 0 gives NaN."""
    both, predicted, true = (np.float64(mask.sum()) for mask in (prediction & truth, prediction, truth))
    return 2 * both / (predicted + true), both / (predicted + true - both), both / predicted, both / true


OVERLAP = Exercise(
    id="40.1",
    module=__name__,
    name="my_overlap",
    title="Four overlap metrics",
    dots=1,
    parts=("Dice", "IoU", "precision", "recall"),
    hints=(
        (
            "Count three things: voxels in both masks, in the prediction, in the truth. All four metrics are made of "
            "these."
        ),
        "Voxels in either mask: those of the prediction and those of the truth, less those that were counted twice.",
        "Ask first whether both masks are empty, then whether they share nothing: what is left has no 0 / 0.",
    ),
    why=(
        "With b voxels in both, p predicted and t true: Dice = 2 b / (p + t), IoU = b / (p + t - b), precision = b / "
        "p, recall = b / t. Dice is the harmonic mean of precision and recall, and never less than IoU. For empty "
        "masks arithmetic has no answer, so a convention must be written down: two empty masks agree, and a mask where "
        "nothing is, or nothing where a mask is, scores 0."
    ),
    cases=_overlap_cases,
    mistakes=(
        Mistake(
            "precision and recall exchanged",
            "Precision and recall have changed places: precision divides by what was predicted, recall by what is "
            "there.",
            lambda p, t: tuple(my_overlap(p, t)[i] for i in (0, 1, 3, 2)),
        ),
        Mistake(
            "overlap counted twice",
            "For IoU you divide by the sum of the two sizes: there the shared voxels count twice, in the union only "
            "once.",
            lambda p, t: (
                my_overlap(p, t)[0],
                my_overlap(p, t)[0] / (1 if not (p | t).any() else 2),
                *my_overlap(p, t)[2:],
            ),
        ),
        Mistake(
            "accuracy for Dice",
            "Your Dice counts voxels that are background in both masks as agreement: that is the accuracy.",
            lambda p, t: (float((p == t).mean()), *my_overlap(p, t)[1:]),
        ),
        Mistake(
            "empty masks divide by zero",
            "With an empty mask you divide 0 by 0 and get NaN: say what an empty mask scores before you divide.",
            _unguarded,
        ),
        Mistake(
            "empty masks raise an error",
            "With an empty mask you divide by 0, which stops Python: say what an empty mask scores before you divide.",
            _undivided,
        ),
        Mistake(
            "two empty masks score 0",
            "Nothing there and nothing predicted is a right answer: two empty masks score 1.",
            lambda p, t: _overlap(p, t, both_empty=0.0),
        ),
        Mistake(
            "one empty mask scores 1",
            "Where only one of the masks is empty, everything was missed or made up: that scores 0.",
            lambda p, t: _overlap(p, t, one_empty=1.0),
        ),
        Mistake(
            "each 0 / 0 scores 1",
            "With one empty mask precision or recall is 0 / 0. It scores 0 here: 1 is only for two empty masks.",
            lambda p, t: (
                *my_overlap(p, t)[:2],
                my_overlap(p, t)[2] if p.any() else 1.0,
                my_overlap(p, t)[3] if t.any() else 1.0,
            ),
        ),
    ),
)
check_overlap = OVERLAP.check


# 40.2


def my_surface(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask that lie at its surface.

    Args:
        mask: bool, (H, W) or (D, H, W).

    Returns:
        bool, the same shape: True for a voxel of the mask with at least one face neighbour (4 in 2D, 6 in 3D) that is
        not in the mask. Beyond the border of the image nothing is in the mask.
    """
    padded = np.pad(mask, 1)
    centre = (slice(1, -1),) * mask.ndim
    inner = mask.copy()
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)[centre]  # the neighbour on one side
    return mask & ~inner


def _surface_cases(rng: np.random.Generator) -> Iterator[Case]:
    solid = np.zeros((5, 6), bool)
    solid[1:4, 1:5] = True
    yield case(solid)
    yield case(np.ones((3, 4), bool))
    corner = np.ones((5, 5), bool)
    corner[0, 0] = False
    yield case(np.pad(corner, 1))
    yield case(np.zeros((2, 3), bool))
    yield case(np.pad(np.ones((3, 3, 4), bool), 1))
    for _ in range(8):
        yield case(_mask(rng, rng.integers(3, 7, rng.integers(2, 4)), 0.8))


def _eroded(mask: np.ndarray, *, border: bool = False, corners: bool = False) -> np.ndarray:
    from scipy import ndimage

    structure = ndimage.generate_binary_structure(mask.ndim, mask.ndim if corners else 1)
    return ndimage.binary_erosion(mask, structure, border_value=border)


def _dilated(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_dilation(mask)


def _along(mask: np.ndarray, axis: int) -> np.ndarray:
    """The surface as it is seen along some axes only: of 3D all but `axis`."""
    return np.moveaxis(np.array([my_surface(part) for part in np.moveaxis(mask, axis, 0)], bool), 0, axis)


SURFACE = Exercise(
    id="40.2",
    module=__name__,
    name="my_surface",
    title="Surface of a mask",
    dots=2,
    hints=(
        "Take a voxel away if all its face neighbours are in the mask: what is left is the surface.",
        "`np.pad(mask, 1)` puts one layer of False around the mask, so that every voxel has all its neighbours.",
        (
            "`np.roll(padded, 1, axis)` and `np.roll(padded, -1, axis)` hold the neighbours along an axis; cut the "
            "padding off."
        ),
    ),
    why=(
        "A voxel is inside when it and all its face neighbours are in the mask; the mask without its inside is the "
        "surface. Eroding by one voxel gives the inside, so `mask & ~binary_erosion(mask)` of SciPy does the same. Two "
        "things are conventions that libraries settle differently: whether corner neighbours count, and what lies "
        "beyond the border of the image. We take face neighbours and emptiness, as MONAI does."
    ),
    cases=_surface_cases,
    mistakes=(
        Mistake(
            "border of the image is no surface",
            "A voxel at the border of the image has nothing beyond it, so it is surface. Is the outside empty?",
            lambda mask: mask & ~_eroded(mask, border=True),
        ),
        Mistake(
            "corner neighbours count",
            "You also look at neighbours across an edge or a corner: only those that share a face count here.",
            lambda mask: mask & ~_eroded(mask, corners=True),
        ),
        Mistake(
            "layer outside",
            "These voxels lie just outside of the mask: the surface asked for is its own outermost layer.",
            lambda mask: _dilated(mask) & ~mask,
        ),
        Mistake(
            "both sides",
            "You have two layers, one on each side of the border: keep those that are in the mask.",
            lambda mask: _dilated(mask) & ~_eroded(mask),
        ),
        Mistake(
            "inside instead",
            "That is the inside, all without the surface: turn it round, but stay in the mask.",
            _eroded,
        ),
        Mistake(
            "slice by slice",
            "The neighbours in the slices above and below were forgotten: in 3D a voxel has six face neighbours.",
            lambda mask: my_surface(mask) if mask.ndim == 2 else _along(mask, 0),
        ),
        Mistake(
            "neighbours wrap round",
            "The neighbour of the first row is the last one: `np.roll` brings round what falls off. Pad first.",
            lambda mask: (
                mask & ~np.all([np.roll(mask, step, axis) for axis in range(mask.ndim) for step in (-1, 1)], axis=0)
            ),
        ),
    ),
)
check_surface = SURFACE.check


# 40.3

# (24, 32) bool, over the truth of the playground (`exercises.masks.TRUTH`): a prediction with a Dice of 0.97 or more
# whose HD95 is 15 mm or more, with pixels of 1 x 1 mm. Find it in the playground, then take `playground.prediction`.
my_prediction = np.fromfunction(
    lambda row, column: (
        (((row - 12) / 6.6) ** 2 + ((column - 10.5) / 5.4) ** 2 <= 1)  # the large part of the truth
        | ((abs(row - 5) <= 1) & (abs(column - 25) <= 1))  # its small part
        | ((row == 23) & (column >= 28))  # and four pixels in the far corner
    ),
    (24, 32),
)

TRUTH = my_prediction & ~np.pad(np.ones((1, 4), bool), ((23, 0), (28, 0)))  # without the corner
HIGH_DICE, FAR_MM = 0.97, 15.0


def _judge_prediction(got: Any, expected: np.ndarray) -> Problem | None:
    mask = np.asarray(got)
    wanted = f"a bool mask of shape {TRUTH.shape}"
    if mask.dtype != np.bool_ or mask.shape != TRUTH.shape:
        return Problem(SHAPE, wanted, f"{mask.dtype} of shape {mask.shape}", "`playground.prediction` has that form.")
    scores = metrics.evaluate(mask, TRUTH)["1"]
    dice, hd, hd95 = (scores[key] for key in ("dice", "hausdorff_mm", "hd95_mm"))
    if dice >= HIGH_DICE and hd95 >= FAR_MM:
        return None
    name = "surface not far enough away"
    if dice < HIGH_DICE:
        name = "overlap spoilt" if hd95 >= FAR_MM else "neither"
    elif hd >= FAR_MM:
        name = "too few pixels for a percentile"
    wanted = f"Dice of {HIGH_DICE} or more, HD95 of {FAR_MM:g} mm or more"
    return Problem(VALUES, wanted, f"Dice {dice:.4f}, Hausdorff {hd:.2f} mm, HD95 {hd95:.2f} mm", mistake=name)


PREDICTION = Exercise(
    id="40.3",
    module=__name__,
    name="my_prediction",
    title="A high Dice and a far error",
    dots=1,
    hints=(
        (
            "Begin with the prediction equal to the truth. Dice counts pixels, HD95 looks at where the surface is: "
            "what costs few pixels, but is far away?"
        ),
        "HD95 leaves out the worst 5 % of the prediction's surface. How many pixels is that surface long?",
        "Paint a few pixels in a far corner, one after the other, and watch HD95: from how many on does it jump?",
    ),
    why=(
        "Four pixels in the far corner cost 4 of 123 pixels, so Dice falls to 0.983 only. But a thin object is nearly "
        "all surface: they are 4 of 46 surface pixels of the prediction, more than the 5 % that HD95 leaves out, and "
        "they lie 15 mm and more from the truth. Overlap and distance ask different questions; report both."
    ),
    mistakes=(
        Mistake(
            "too few pixels for a percentile",
            "The Hausdorff distance sees your error, HD95 sees too little of it: it leaves out the worst 5 % of the "
            "prediction's surface. Make the error a few pixels larger, or move it farther away.",
        ),
        Mistake(
            "overlap spoilt",
            "It is far enough, but it costs too much overlap: fewer pixels will do, and all of the truth can stay "
            "covered.",
        ),
        Mistake(
            "surface not far enough away",
            "Dice is high enough. Now the error must lie farther away: which corner is farthest from both parts of the "
            "truth?",
        ),
        Mistake(
            "neither",
            "Too little overlap, and no far error: begin with `equal` in the playground, then add something small far "
            "away.",
        ),
    ),
    judge=_judge_prediction,
)
check_prediction = PREDICTION.check


# 40.4


def my_hd95(prediction_surface: np.ndarray, truth_surface: np.ndarray, spacing_mm: tuple[float, ...]) -> float:
    """The 95th percentile Hausdorff distance: the larger of two percentiles.

    Args:
        prediction_surface: bool, (H, W) or (D, H, W), True for the surface voxels of the prediction.
        truth_surface: bool, the same shape.
        spacing_mm: size of a voxel along each axis, in the order of the axes.

    Returns:
        Millimetres. From every surface voxel the distance to the nearest one of the other surface, between centres;
        the 95th percentile of each direction by itself (`np.percentile`); the larger of the two. Both empty: 0. One
        empty: infinity.
    """
    a = np.argwhere(prediction_surface) * np.array(spacing_mm)  # (A, axes)
    b = np.argwhere(truth_surface) * np.array(spacing_mm)  # (B, axes)
    if len(a) == 0 or len(b) == 0:
        return 0.0 if len(a) == len(b) else np.inf
    apart = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))  # (A, B)
    there, back = apart.min(axis=1), apart.min(axis=0)
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def _hd95_cases(rng: np.random.Generator) -> Iterator[Case]:
    row = np.zeros((1, 9), bool)
    a, b = row.copy(), row.copy()
    a[0, 1], b[0, 3:5] = True, True
    yield case(a, b, (1.0, 1.0))
    yield case(a, b, (1.0, 0.5))
    yield case(row, b, (1.0, 1.0))
    yield case(row, row.copy(), (1.0, 1.0))
    for _ in range(10):
        shape = rng.integers(4, 9, rng.integers(2, 4))
        spacing = tuple(float(length) for length in rng.permutation([0.5, 1.0, 3.0])[: len(shape)])
        yield case(_mask(rng, shape, rng.choice([0.04, 0.2])), _mask(rng, shape, rng.choice([0.04, 0.2])), spacing)


Summary = Callable[[np.ndarray, np.ndarray], Any]


def _distance(a: np.ndarray, b: np.ndarray, spacing_mm: Any, summary: Summary, *, power: float = 0.5) -> float:
    """The same with another rule for both directions' distances."""
    if not (a.any() and b.any()):
        return np.inf if a.any() or b.any() else 0.0
    steps = (np.argwhere(a)[:, None] - np.argwhere(b)[None]) * np.array(spacing_mm)
    apart = (steps**2).sum(-1) ** power
    return float(summary(apart.min(axis=1), apart.min(axis=0)))


def _larger(there: np.ndarray, back: np.ndarray) -> float:
    return max(np.percentile(there, 95), np.percentile(back, 95))


def _all_pairs(a: np.ndarray, b: np.ndarray, spacing_mm: Any) -> float:
    if not (a.any() and b.any()):
        return np.inf if a.any() or b.any() else 0.0
    steps = (np.argwhere(a)[:, None] - np.argwhere(b)[None]) * np.array(spacing_mm)
    return float(np.percentile(np.sqrt((steps**2).sum(-1)), 95))


def _by_rule(rule: Any) -> Callable[..., float]:
    """The same with another rule for what lies between two distances of a list."""

    def larger(there: np.ndarray, back: np.ndarray) -> float:
        return max(np.percentile(there, 95, method=rule), np.percentile(back, 95, method=rule))

    return lambda a, b, spacing_mm: _distance(a, b, spacing_mm, larger)


HD95 = Exercise(
    id="40.4",
    module=__name__,
    name="my_hd95",
    title="HD95 of two surfaces",
    dots=3,
    hints=(
        (
            "`np.argwhere(surface)` gives one row of indices for each surface voxel; times the spacing they are "
            "millimetres."
        ),
        "`a[:, None] - b[None]` holds the differences of every pair, (A, B, axes): square, add up, take the root.",
        (
            "The smallest value of every row is the distance from the prediction to the truth, of every column the way "
            "back. Take the percentile of each before the maximum."
        ),
    ),
    why=(
        "The distance of every pair of surface voxels is a table of A rows and B columns. Row minima go from the "
        "prediction to the truth, column minima back; both are needed, for each sees errors that the other can't. The "
        "percentile is taken of each direction by itself, then the larger counts: MONAI's definition, and medlab's. "
        "For large masks the table becomes too big; a tree or a distance transform finds the same minima without it."
    ),
    cases=_hd95_cases,
    mistakes=(
        Mistake(
            "directions pooled",
            "You take one percentile of both directions together. Here each direction has its own, and the larger "
            "counts.",
            lambda a, b, spacing_mm: _distance(a, b, spacing_mm, lambda x, y: np.percentile([*x, *y], 95)),
        ),
        Mistake(
            "only from the prediction",
            "Only the way from the prediction to the truth is there: what the prediction misses, only the way back "
            "sees.",
            lambda a, b, spacing_mm: _distance(a, b, spacing_mm, lambda x, y: np.percentile(x, 95)),
        ),
        Mistake(
            "only from the truth",
            "Only the way from the truth to the prediction is there: what is made up, only the other way sees.",
            lambda a, b, spacing_mm: _distance(a, b, spacing_mm, lambda x, y: np.percentile(y, 95)),
        ),
        Mistake(
            "spacing ignored",
            "These are voxels, not millimetres: multiply each axis by its spacing before you measure.",
            lambda a, b, spacing_mm: _distance(a, b, np.ones(a.ndim), _larger),
        ),
        Mistake(
            "spacing in the wrong order",
            "The spacing is applied to the axes in reverse: the first number belongs to the first axis of the array.",
            lambda a, b, spacing_mm: _distance(a, b, spacing_mm[::-1], _larger),
        ),
        Mistake(
            "maximum, no percentile",
            "That is the Hausdorff distance itself, the largest of all. HD95 leaves out the worst 5 % of each "
            "direction.",
            lambda a, b, spacing_mm: _distance(a, b, spacing_mm, lambda x, y: max(x.max(), y.max())),
        ),
        Mistake(
            "mean of the two directions",
            "You average the two directions. The larger one counts, so that an error on either side is not halved.",
            lambda a, b, spacing_mm: _distance(
                a, b, spacing_mm, lambda x, y: (np.percentile(x, 95) + np.percentile(y, 95)) / 2
            ),
        ),
        Mistake(
            "smaller of the two directions",
            "You take the smaller of the two directions. The larger one counts: an error may be seen from one side "
            "only.",
            lambda a, b, spacing_mm: _distance(
                a, b, spacing_mm, lambda x, y: min(np.percentile(x, 95), np.percentile(y, 95))
            ),
        ),
        *(
            Mistake(
                f"percentile by the rule {rule!r}",
                f"Your percentile lies between two numbers of the list, and you take the {taken} one. "
                "`np.percentile(distances, 95)` goes part of the way from the lower to the higher.",
                _by_rule(rule),
            )
            for rule, taken in {"lower": "lower", "higher": "higher", "nearest": "nearer"}.items()
        ),
        Mistake(
            "root forgotten",
            "These are squared distances: the root is missing.",
            lambda a, b, spacing_mm: _distance(a, b, spacing_mm, _larger, power=1),
        ),
        Mistake(
            "all pairs",
            "You take the percentile of all pairs. First comes the nearest one for each voxel: the minimum of its row.",
            _all_pairs,
        ),
    ),
)
check_hd95 = HD95.check


# 40.5


def my_surface_dice(
    prediction_to_truth_mm: np.ndarray, truth_to_prediction_mm: np.ndarray, tolerance_mm: float
) -> float:
    """The share of both surfaces that lies within a tolerance of the other one.

    Args:
        prediction_to_truth_mm: (P,) float, distance of each surface voxel of the prediction to the truth's surface.
        truth_to_prediction_mm: (T,) float, the way back.
        tolerance_mm: a distance up to this one, itself included, counts as agreement.

    Returns:
        0 to 1, every voxel of either surface counting alike. No voxel in either surface: 1.
    """
    both = np.concatenate([prediction_to_truth_mm, truth_to_prediction_mm])
    return float((both <= tolerance_mm).mean()) if both.size else 1.0


def _surface_dice_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([0.0, 1.0, 2.0]), np.array([0.0]), 1.0)
    yield case(np.array([3.0]), np.array([0.0, 0.5, 0.5, 2.0]), 0.5)
    yield case(np.empty(0), np.empty(0), 1.0)
    yield case(np.array([np.inf, np.inf]), np.empty(0), 1.0)
    for _ in range(10):
        there, back = (rng.integers(0, 5, rng.integers(2, 12)) / 2 for _ in range(2))
        yield case(there, back, float(rng.integers(0, 4)) / 2)


def _share(values: np.ndarray, tolerance_mm: float) -> float:
    return float((values <= tolerance_mm).mean()) if values.size else 0.0


SURFACE_DICE = Exercise(
    id="40.5",
    module=__name__,
    name="my_surface_dice",
    title="Surface Dice",
    dots=1,
    hints=(
        "`distances <= tolerance_mm` is True where the two surfaces agree; `.sum()` counts.",
        "Both directions go into one fraction: voxels within the tolerance of either surface, over all voxels of both.",
        "What if there is no voxel at all? Then there is no error either.",
    ),
    why=(
        "Surface Dice asks which part of the border would not have to be drawn anew. Voxels of both surfaces go into "
        "one fraction, so the longer surface counts more, as in the Dice of volumes. The tolerance belongs to the "
        "result: it should be the distance by which two experts differ, and a surface Dice without it means nothing."
    ),
    cases=_surface_dice_cases,
    mistakes=(
        Mistake(
            "mean of two shares",
            "You average the shares of the two surfaces. Here all voxels go into one fraction, so the longer surface "
            "counts more.",
            lambda x, y, tolerance_mm: (
                (_share(x, tolerance_mm) + _share(y, tolerance_mm)) / 2 if x.size or y.size else 1.0
            ),
        ),
        Mistake(
            "tolerance itself left out",
            "A voxel just at the tolerance is within it: less than or equal.",
            lambda x, y, tolerance_mm: (
                float((np.concatenate([x, y]) < tolerance_mm).mean()) if x.size + y.size else 1.0
            ),
        ),
        Mistake(
            "only the prediction's surface",
            "Only the prediction's surface is counted: what it misses of the truth goes unseen.",
            lambda x, y, tolerance_mm: _share(x, tolerance_mm) if x.size else 1.0,
        ),
        Mistake(
            "one empty surface scores 1",
            "Only where both surfaces are empty there is no error. Where one is, everything was missed or made up.",
            lambda x, y, tolerance_mm: my_surface_dice(x, y, tolerance_mm) if x.size and y.size else 1.0,
        ),
        Mistake(
            "smaller of two shares",
            "You take the smaller of the two shares. Here all voxels go into one fraction.",
            lambda x, y, tolerance_mm: (
                min(_share(x, tolerance_mm), _share(y, tolerance_mm)) if x.size or y.size else 1.0
            ),
        ),
        Mistake(
            "share outside",
            "That is the share beyond the tolerance: the one that would have to be drawn anew.",
            lambda x, y, tolerance_mm: (
                float((np.concatenate([x, y]) > tolerance_mm).mean()) if x.size + y.size else 1.0
            ),
        ),
        Mistake(
            "no surface gives NaN",
            "Without any voxel the mean is 0 / 0, a NaN: two empty masks agree, which is 1.",
            lambda x, y, tolerance_mm: float(np.mean(np.concatenate([x, y]) <= tolerance_mm)),
        ),
    ),
)
check_surface_dice = SURFACE_DICE.check


# 40.6


def my_lesion_counts(predicted_lesions: np.ndarray, true_lesions: np.ndarray) -> tuple[int, int, int]:
    """Lesions found, missed and made up.

    Args:
        predicted_lesions: integers, (H, W) or (D, H, W): 0 is background, 1, 2, 3, ... number the predicted lesions.
        true_lesions: the same of the truth, numbered by itself: its lesion 1 need not be the predicted lesion 1.

    Returns:
        (found, missed, false alarms). A true lesion is found if at least one of its voxels is in any predicted lesion;
        a predicted lesion is a false alarm if none of its voxels is in any true lesion.
    """
    found = np.unique(true_lesions[(true_lesions > 0) & (predicted_lesions > 0)]).size
    confirmed = np.unique(predicted_lesions[(true_lesions > 0) & (predicted_lesions > 0)]).size
    return found, int(true_lesions.max()) - found, int(predicted_lesions.max()) - confirmed


def _numbered(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.label(mask, np.ones((3,) * mask.ndim))[0]


def _lesion_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[0, 1, 1, 0, 0, 2]]), np.array([[1, 1, 0, 0, 2, 0]]))
    yield case(np.array([[0, 1, 1, 1, 1, 1, 0, 2, 2]]), np.array([[1, 1, 0, 0, 2, 2, 0, 0, 0]]))
    yield case(np.array([[1, 0, 2, 0, 3]]), np.array([[1, 1, 1, 0, 0]]))
    yield case(np.array([[0, 1, 0, 2, 2]]), np.array([[0, 1, 0, 2, 2]]))  # no background under the other map
    yield case(np.array([[0, 1, 1, 0, 0]]), np.array([[1, 1, 2, 2, 2]]))  # lesions that touch are still two
    yield case(np.zeros((1, 3), int), np.array([[1, 0, 2]]))
    yield case(np.array([[1, 0, 2]]), np.zeros((1, 3), int))
    for _ in range(10):
        shape = rng.integers(4, 9, rng.integers(2, 4))
        yield case(_numbered(_mask(rng, shape, 0.12)), _numbered(_mask(rng, shape, 0.12)))


def _mostly(lesions: np.ndarray, other: np.ndarray) -> int:
    """How many lesions lie at least half in the other map's."""
    return sum(bool((other[lesions == number] > 0).mean() >= 0.5) for number in range(1, int(lesions.max()) + 1))


def _less_one(numbers: np.ndarray) -> int:
    """How many there are, one of them taken for the background."""
    return max(np.unique(numbers).size - 1, 0)


def _in_turn(counts: tuple[int, int, int], change: Callable[[int, int, int], tuple[int, int, int]]) -> Any:
    return change(*counts)


LESION_COUNTS = Exercise(
    id="40.6",
    module=__name__,
    name="my_lesion_counts",
    title="Count lesions, not voxels",
    dots=2,
    parts=("found", "missed", "false alarms"),
    hints=(
        (
            "`true_lesions[predicted_lesions > 0]` holds the numbers of the true lesions under the prediction, and "
            "perhaps zeros."
        ),
        "`np.unique` leaves each number once. Take the zeros away first, if there are any: they are background.",
        "Missed are all true lesions less those found. False alarms: turn prediction and truth round, and do the same.",
    ),
    why=(
        "Where both maps are above 0, the numbers that occur in the truth are the lesions found, and those that occur "
        "in the prediction are the lesions confirmed. The two counts may differ: one large predicted lesion can find "
        "two, and three small ones may lie in the same. One shared voxel is a generous rule; a study must say which "
        "rule it takes, and how voxels are joined to lesions."
    ),
    cases=_lesion_cases,
    mistakes=(
        Mistake(
            "voxels counted",
            "You count voxels. A lesion of a thousand voxels counts once here, as one of three voxels does.",
            lambda p, t: (
                int(((p > 0) & (t > 0)).sum()),
                int(((p == 0) & (t > 0)).sum()),
                int(((p > 0) & (t == 0)).sum()),
            ),
        ),
        Mistake(
            "numbers compared",
            "You compare the numbers themselves, but each map is numbered by itself: lesion 1 here need not be lesion "
            "1 there.",
            lambda p, t: (
                np.unique(t[(t == p) & (t > 0)]).size,
                int(t.max()) - np.unique(t[(t == p) & (t > 0)]).size,
                int(p.max()) - np.unique(t[(t == p) & (t > 0)]).size,
            ),
        ),
        Mistake(
            "false alarms by subtraction",
            "You take the found lesions from the predicted ones. One predicted lesion may find two, and two may find "
            "the same one: look which predicted lesions touch the truth.",
            lambda p, t: _in_turn(my_lesion_counts(p, t), lambda f, m, a: (f, m, int(p.max()) - f)),
        ),
        Mistake(
            "background counted",
            "The background was counted as a lesion: 0 is no lesion.",
            lambda p, t: (
                np.unique(t[p > 0]).size,
                np.unique(t).size - np.unique(t[p > 0]).size,
                np.unique(p).size - np.unique(p[t > 0]).size,
            ),
        ),
        Mistake(
            "a lesion taken for the background",
            "You leave out one number as the background. Under the other map there may be no background: take the "
            "zeros away before you count.",
            lambda p, t: (
                _less_one(t[p > 0]),
                int(t.max()) - _less_one(t[p > 0]),
                int(p.max()) - _less_one(p[t > 0]),
            ),
        ),
        Mistake(
            "numbered anew",
            "Both maps are numbered already. To number them anew joins lesions that touch.",
            lambda p, t: my_lesion_counts(_numbered(p > 0), _numbered(t > 0)),
        ),
        Mistake(
            "most of a lesion asked for",
            "You ask for a large part of a lesion. Here one shared voxel is enough.",
            lambda p, t: (_mostly(t, p), int(t.max()) - _mostly(t, p), int(p.max()) - _mostly(p, t)),
        ),
        Mistake(
            "found and confirmed exchanged",
            "You count predicted lesions that touch the truth. Asked for are the true lesions that were found.",
            lambda p, t: (
                int(p.max()) - my_lesion_counts(p, t)[2],
                int(t.max()) - (int(p.max()) - my_lesion_counts(p, t)[2]),
                my_lesion_counts(p, t)[2],
            ),
        ),
        Mistake(
            "all predicted lesions are false alarms",
            "Your false alarms are all predicted lesions: those that touch a true one are none.",
            lambda p, t: (*my_lesion_counts(p, t)[:2], int(p.max())),
        ),
    ),
)
check_lesion_counts = LESION_COUNTS.check
