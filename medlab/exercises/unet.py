"""Lesson 30: thresholds, Dice, the size of a U-Net, the Dice loss, skip connections, a split by patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from medlab.exercises._compare import SHAPE, VALUES, Problem
from medlab.exercises._engine import Case, Exercise, Mistake, case
from medlab.exercises._report import is_tensor, show

if TYPE_CHECKING:
    import torch

# 30.1


def my_mask(logits: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """What the network marks: where the probability is above a threshold.

    Args:
        logits: float, any shape, of a network with one output; probability = 1 / (1 + exp(-logit)).
        threshold: a probability in (0, 1).

    Returns:
        bool mask of the same shape.
    """
    probability = 1 / (1 + np.exp(-logits))
    return probability > threshold


def _mask_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([-1.0, 0.25, 1.0]))
    yield case(np.array([0.5, 1.0, 2.0, 3.0]), threshold=0.8)
    yield case(np.array([[-2.0, -0.5], [0.5, 2.0]]), threshold=0.2)
    for _ in range(6):
        yield case(rng.normal(size=rng.integers(2, 7, 2)) * 2, threshold=float(rng.uniform(0.1, 0.9)))


def _probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


MASK = Exercise(
    id="30.1",
    module=__name__,
    name="my_mask",
    title="From logits to a mask",
    dots=1,
    hints=(
        "Logits go from minus to plus infinity. Which function makes probabilities of them?",
        "Sigmoid first, then compare with the threshold: a comparison of arrays gives a bool array.",
    ),
    why=(
        "mask = sigmoid(logits) > threshold. A threshold of 0.5 on probabilities is 0 on logits, since sigmoid(0) = "
        "0.5; any other threshold t is log(t / (1 - t)) there. Comparing logits with 0.5 looks right and silently "
        "asks for a probability above 0.62."
    ),
    cases=_mask_cases,
    mistakes=(
        Mistake(
            "logits compared",
            "It looks as if the logits were compared with the threshold: they are no probabilities yet.",
            lambda logits, threshold=0.5: logits > threshold,
        ),
        Mistake(
            "threshold ignored",
            "It looks as if the threshold was 0.5 whatever was asked for.",
            lambda logits, threshold=0.5: logits > 0,
        ),
        Mistake(
            "turned round",
            "The mask marks everything else: it is True where the probability is above the threshold.",
            lambda logits, threshold=0.5: _probability(logits) < threshold,
        ),
        Mistake(
            "sign of the exponent",
            "The probability falls where the logit rises: the exponent has a minus, exp(-logit).",
            lambda logits, threshold=0.5: _probability(-logits) > threshold,
        ),
        Mistake(
            "softmax",
            "It looks as if all pixels shared one softmax. Each pixel has a probability of its own: the sigmoid of "
            "its logit.",
            lambda logits, threshold=0.5: np.exp(logits) / np.exp(logits).sum() > threshold,
        ),
        Mistake(
            "1 minus the threshold",
            "It looks as if the probability was compared with 1 - threshold: compare with the threshold itself.",
            lambda logits, threshold=0.5: _probability(logits) > 1 - threshold,
        ),
    ),
)
check_mask = MASK.check


# 30.2


def my_dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """How well two masks agree.

    Args:
        prediction: bool mask, any shape.
        truth: bool mask of the same shape.

    Returns:
        Twice the overlap over the sum of the two sizes, 0 to 1; two empty masks agree: 1.
    """
    total = prediction.sum() + truth.sum()
    if total == 0:
        return 1.0
    return float(2 * (prediction & truth).sum() / total)


def _dice_cases(rng: np.random.Generator) -> Iterator[Case]:
    a = np.array([True, True, False, False])
    yield case(a, np.array([True, False, False, False]))
    yield case(a, ~a)
    yield case(a, a)
    yield case(np.zeros(2, bool), np.zeros(2, bool))
    yield case(np.zeros(2, bool), np.array([True, False]))
    for _ in range(6):
        shape = rng.integers(2, 7, 2)
        yield case(rng.random(shape) < rng.uniform(0.2, 0.8), rng.random(shape) < rng.uniform(0.2, 0.8))


def _dice(a: np.ndarray, b: np.ndarray, *, both_empty: float = 1.0, eps: float = 0.0, double: int = 2) -> float:
    total = a.sum() + b.sum()
    if total + eps == 0:
        return both_empty
    return float((double * (a & b).sum() + eps) / (total + eps))


DICE = Exercise(
    id="30.2",
    module=__name__,
    name="my_dice",
    title="Dice, with empty masks",
    dots=1,
    hints=(
        "`prediction & truth` is where both are True; `.sum()` counts.",
        (
            "Twice the overlap over the sum of both sizes. What is the sum when both masks are empty, and what "
            "should the answer be? Add no small number: treat two empty masks on their own."
        ),
    ),
    why=(
        "Dice = 2 |A and B| / (|A| + |B|). Two empty masks give 0/0: the network said `nothing there` and was right, "
        "so the score is 1 by definition, not NaN and not 0. One empty mask gives 0 by the formula. A small epsilon "
        "in numerator and denominator hides the question and falsifies small structures."
    ),
    cases=_dice_cases,
    tolerance=1e-9,
    mistakes=(
        Mistake(
            "NaN for empty masks",
            "Two empty masks give 0/0: decide what it means before dividing. Both say `nothing there`, so they agree.",
            lambda prediction, truth: _dice(prediction, truth, both_empty=float("nan")),
        ),
        Mistake(
            "0 for empty masks",
            "Two empty masks agree completely, so they score 1, not 0.",
            lambda prediction, truth: _dice(prediction, truth, both_empty=0.0),
        ),
        Mistake(
            "intersection over union",
            "That is the intersection over the union. Dice counts the overlap twice and divides by the sum of the "
            "sizes.",
            lambda prediction, truth: (
                float((prediction & truth).sum() / (prediction | truth).sum()) if (prediction | truth).any() else 1.0
            ),
        ),
        Mistake(
            "sum of masks",
            "`+` of two bool masks is `or`, so the overlap was counted once. Count each mask, then add the numbers.",
            lambda prediction, truth: (
                float(2 * (prediction & truth).sum() / (prediction | truth).sum())
                if (prediction | truth).any()
                else 1.0
            ),
        ),
        Mistake(
            "factor 2 forgotten",
            "Equal masks score 0.5: the overlap is counted twice.",
            lambda prediction, truth: _dice(prediction, truth, double=1),
        ),
        Mistake(
            "accuracy",
            "That is the share of pixels that agree, background included: an empty mask would score well on small "
            "structures.",
            lambda prediction, truth: float((prediction == truth).mean()),
        ),
        Mistake(
            "epsilon of 1",
            "It looks as if 1 was added to numerator and denominator: that falsifies small structures. Treat empty "
            "masks on their own.",
            lambda prediction, truth: _dice(prediction, truth, eps=1.0),
        ),
        Mistake(
            "small epsilon",
            "It looks as if a small number was added to numerator and denominator: one empty mask then scores above 0. "
            "Treat two empty masks on their own.",
            lambda prediction, truth: _dice(prediction, truth, eps=1e-6),
        ),
        Mistake(
            "epsilon below only",
            "Two empty masks score 0, because only the denominator has an epsilon: treat them on their own.",
            lambda prediction, truth: float(2 * (prediction & truth).sum() / (prediction.sum() + truth.sum() + 1e-6)),
        ),
    ),
)
check_dice = DICE.check


# 30.3


def my_parameters(in_channels: int, classes: int, widths: list[int]) -> int:
    """How many numbers a U-Net learns.

    A 3 x 3 convolution has no bias and is followed by a batch norm: a scale and a shift for every channel it makes. On
    the way up a transposed convolution with 2 x 2 kernels and biases brings the width of the next finer level, the
    skip is stacked on it, and a double convolution merges both. The head is a 1 x 1 convolution with biases.

    Args:
        in_channels: channels of the input.
        classes: channels of the output.
        widths: channels of every level, from the full resolution down.

    Returns:
        A whole number: `my_parameters(1, 2, [4])` is 206.
    """

    def double_conv(a: int, b: int) -> int:
        return 9 * a * b + 9 * b * b + 4 * b  # two kernels, two batch norms

    total = double_conv(in_channels, widths[0]) + widths[0] * classes + classes
    for level in range(len(widths) - 1):
        fine, coarse = widths[level : level + 2]
        total += double_conv(fine, coarse)  # down
        total += 4 * coarse * fine + fine  # up
        total += double_conv(2 * fine, fine)  # skip and raised map, merged
    return total


def _parameter_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(1, 2, [4])
    yield case(1, 2, [2, 4])
    yield case(5, 6, [16, 32, 64])
    for _ in range(6):
        in_channels, classes, levels = (int(n) for n in rng.integers((1, 2, 2), (8, 7, 5)))
        yield case(in_channels, classes, [int(n) for n in rng.integers(2, 65, levels)])


def _count(in_channels: int, classes: int, widths: Sequence[int], **how: int) -> int:
    """The number with one thing done otherwise."""

    def double_conv(a: int, b: int) -> int:
        return 9 * a * b + 9 * b * b * how.get("second", 1) + how.get("norm", 2) * 2 * b + how.get("bias", 0) * 2 * b

    head = widths[0] * classes + how.get("head_bias", 1) * classes
    total = double_conv(in_channels, widths[0]) + how.get("head", 1) * head
    for fine, coarse in pairwise(widths):
        total += double_conv(fine, coarse) + how.get("stamp", 4) * coarse * fine + how.get("up_bias", 1) * fine
        total += double_conv(how.get("merged", 2) * fine, fine)
    return total


PARAMETERS = Exercise(
    id="30.3",
    module=__name__,
    name="my_parameters",
    title="How many numbers does it learn?",
    dots=2,
    hints=(
        (
            "A kernel of 3 x 3 that makes b channels of a learns 9 a b numbers. What does a double convolution learn, "
            "with its two batch norms?"
        ),
        (
            "Each pair of neighbouring levels, `itertools.pairwise(widths)`, adds three parts: a double convolution "
            "down, a transposed convolution up, a double convolution that merges."
        ),
        "The merging double convolution gets skip and raised map: twice the channels of the finer level.",
    ),
    why=(
        "A double convolution from a to b channels learns 9ab + 9b^2 + 4b, a transposed one 4ab + b for its b output "
        "channels, the head aK + K. The widths enter squared, the size of the image nowhere: a U-Net takes images of "
        "any size that can be halved often enough. The lowest level holds the most numbers and does little of the work."
    ),
    cases=_parameter_cases,
    mistakes=(
        Mistake(
            "biases in the double convolution",
            "It looks as if the 3 x 3 convolutions had biases too: batch norm has its own shift, so they have none.",
            partial(_count, bias=1),
        ),
        Mistake(
            "batch norm forgotten",
            "The batch norms seem to be missing: each learns a scale and a shift for every channel.",
            partial(_count, norm=0),
        ),
        Mistake(
            "batch norm's statistics counted",
            "It looks as if each batch norm had four numbers a channel. Mean and variance are kept too, but measured, "
            "not learned.",
            partial(_count, norm=4),
        ),
        Mistake(
            "one convolution a block",
            "It looks as if a double convolution had one kernel: the second goes from b channels to b.",
            partial(_count, second=0),
        ),
        Mistake(
            "skip forgotten",
            "The merging double convolutions are too small: the skip is stacked on the raised map, so they get twice "
            "the channels.",
            partial(_count, merged=1),
        ),
        Mistake(
            "stamp of 3 x 3",
            "It looks as if the transposed convolutions had kernels of 3 x 3: theirs are 2 x 2.",
            partial(_count, stamp=9),
        ),
        Mistake(
            "bias of the way up",
            "The biases of the transposed convolutions seem to be missing: one for each channel they make.",
            partial(_count, up_bias=0),
        ),
        Mistake(
            "head forgotten",
            "The head seems to be missing: a 1 x 1 convolution to the classes.",
            partial(_count, head=0),
        ),
        Mistake(
            "bias of the head",
            "The biases of the head seem to be missing: one for each class.",
            partial(_count, head_bias=0),
        ),
    ),
)
check_parameters = PARAMETERS.check


# 30.4


def my_soft_dice_loss(probabilities: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 minus the mean soft Dice over the foreground classes that occur.

    Soft Dice of a class is 2 sum(p t) / (sum(p) + sum(t)), each sum over the whole batch and all pixels.

    Args:
        probabilities: (B, K, H, W) in [0, 1]; class 0 is the background.
        truth: (B, K, H, W), 1 at the true class and 0 elsewhere.

    Returns:
        One number, through which gradients flow. A class that no pixel of the batch has is left out; with none left, 0.
    """
    axes = (0, 2, 3)  # everything but the classes
    true_size = truth.sum(axes)[1:]  # (K - 1,)
    overlap = (probabilities * truth).sum(axes)[1:]
    size = probabilities.sum(axes)[1:] + true_size
    present = true_size > 0
    dice = 2 * overlap[present] / size[present]
    return (1 - dice).sum() / present.sum().clamp(min=1)


def _with_gradient(function: Callable[..., Any], probabilities: torch.Tensor, truth: torch.Tensor) -> Any:
    """The loss and its gradient by the probabilities, zeros where none reaches them."""
    import torch

    given = probabilities.clone().requires_grad_()
    loss = function(given, truth)
    if loss is None or loss is Ellipsis:
        return loss
    gradient = None
    if is_tensor(loss) and loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), given, allow_unused=True)
    return loss, torch.zeros_like(probabilities) if gradient is None else gradient


def _loss_cases(rng: np.random.Generator) -> Iterator[Case]:
    import torch

    def tensors(probability: Any, labels: Any) -> Case:
        p = torch.tensor(probability, dtype=torch.float64)  # (B, H, W, K)
        t = torch.eye(p.shape[-1], dtype=torch.float64)[torch.tensor(labels)]
        return case(p.movedim(-1, 1), t.movedim(-1, 1))

    yield tensors([[[[0.4, 0.6], [0.8, 0.2]]]], [[[1, 0]]])
    yield tensors([[[[0.3, 0.6, 0.1], [0.8, 0.2, 0.0]]]], [[[1, 0]]])  # class 2 does not occur
    yield tensors([[[[0.4, 0.6], [0.8, 0.2]]]], [[[0, 0]]])  # no foreground
    yield tensors([[[[0.4, 0.6]], [[0.1, 0.9]]], [[[0.7, 0.3]], [[0.5, 0.5]]]], [[[1], [1]], [[1], [0]]])
    for _ in range(5):
        b, h, w, k = rng.integers((1, 2, 2, 2), (4, 5, 5, 5))
        p = rng.dirichlet(np.ones(k), (b, h, w))
        yield tensors(p, rng.integers(0, k, (b, h, w)))


def _soft_dice(p: torch.Tensor, t: torch.Tensor, **how: Any) -> torch.Tensor:
    """The loss with one thing done otherwise."""
    axes = how.get("axes", (0, 2, 3))
    first = how.get("first", 1)
    size = (p**2 + t**2 if how.get("squares") else p + t).sum(axes)[..., first:]
    dice = how.get("double", 2) * (p * t).sum(axes)[..., first:] / size
    present = t.sum(axes)[..., first:] > 0
    if how.get("absent_too"):
        return 1 - dice.mean()
    score = dice[present].sum() / present.sum().clamp(min=1)
    if how.get("all_share"):
        return (1 - dice[present]).sum() / len(present)
    return score if how.get("score") else present.any().double() - score


SOFT_DICE_LOSS = Exercise(
    id="30.4",
    module=__name__,
    name="my_soft_dice_loss",
    title="A Dice loss that can be trained",
    dots=3,
    hints=(
        (
            "Sum over batch, rows and columns, so that one number a class is left: `.sum((0, 2, 3))`. Then `[1:]` "
            "leaves the background out."
        ),
        (
            "A class occurs where its sum of truth is above 0. Select those classes before dividing: what is 0/0, "
            "and what is its gradient?"
        ),
        (
            "No rounding and no threshold on the way: products and sums of probabilities have gradients, comparisons "
            "have none."
        ),
    ),
    why=(
        "Overlap and sizes are sums over the whole batch, so a slice without the structure does not throw the score "
        "to 0. The background is left out because it is large and nearly always right. Absent classes are left out "
        "because their Dice is 0 whatever the network says. Probabilities in place of masks make it differentiable. "
        "Source: Milletari, Navab, Ahmadi 2016, doi:10.1109/3DV.2016.79, without the squares."
    ),
    cases=_loss_cases,
    run=_with_gradient,
    parts=("loss", "gradient by the probabilities"),
    mistakes=(
        Mistake(
            "background counted",
            "It looks as if the background was counted: `[1:]` leaves class 0 out.",
            lambda probabilities, truth: _soft_dice(probabilities, truth, first=0),
        ),
        Mistake(
            "every image on its own",
            "It looks as if every image had its own Dice. Sum over the batch too: axes 0, 2 and 3.",
            lambda probabilities, truth: _soft_dice(probabilities, truth, axes=(2, 3)),
        ),
        Mistake(
            "absent classes counted",
            "A class that no pixel has was counted, with a Dice of 0 that nothing can mend: leave it out.",
            lambda probabilities, truth: _soft_dice(probabilities, truth, absent_too=True),
        ),
        Mistake(
            "divided by all classes",
            "It looks as if the sum was divided by the number of all foreground classes: divide by the number of those "
            "that occur.",
            lambda probabilities, truth: _soft_dice(probabilities, truth, all_share=True),
        ),
        Mistake(
            "plain number",
            "With no foreground a plain number comes back, and `loss.backward()` needs a tensor there too: sum over "
            "the classes that are left, and divide by their number or by 1.",
            lambda probabilities, truth: my_soft_dice_loss(probabilities, truth) if (truth[:, 1:] > 0).any() else 0.0,
        ),
        Mistake(
            "score, not loss",
            "That is the score: the loss is 1 minus it, small when the network is right.",
            lambda probabilities, truth: _soft_dice(probabilities, truth, score=True),
        ),
        Mistake(
            "factor 2 forgotten",
            "A perfect prediction would have a loss of 0.5: the overlap is counted twice.",
            lambda probabilities, truth: _soft_dice(probabilities, truth, double=1),
        ),
        Mistake(
            "squares",
            "It looks as if the sizes were sums of squares. That variant exists; here they are plain sums.",
            lambda probabilities, truth: _soft_dice(probabilities, truth, squares=True),
        ),
        Mistake(
            "hard mask",
            "It looks as if the probabilities were rounded to a mask first: a step has no gradient, so nothing can "
            "be "
            "learned.",
            lambda probabilities, truth: _soft_dice((probabilities > 0.5).double(), truth),
        ),
        Mistake(
            "no gradient",
            "The value is right, but no gradient reaches the probabilities: was there a `.detach()`, `.item()` or "
            "NumPy on the way?",
            lambda probabilities, truth: my_soft_dice_loss(probabilities.detach(), truth),
        ),
    ),
)
check_soft_dice_loss = SOFT_DICE_LOSS.check


# 30.5


def my_skip_join(skip: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Join what a skip connection carries with what comes from below.

    Args:
        skip: (C, H, W) from the way down.
        up: (K, h, w) from below, h <= H and w <= W.

    Returns:
        (C + K, h, w): the middle of skip, then up. Of an odd difference the larger part is cut at the end.
    """
    h, w = up.shape[1:]
    top = (skip.shape[1] - h) // 2
    left = (skip.shape[2] - w) // 2
    middle = skip[:, top : top + h, left : left + w]
    return np.concatenate([middle, up])


def _join_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[9.0]]]))
    yield case(np.array([[[1.0, 2.0, 3.0, 4.0]]]), np.array([[[9.0]]]))
    yield case(np.arange(4.0).reshape(1, 2, 2), 5 + np.arange(8.0).reshape(2, 2, 2))
    for _ in range(8):
        channels, more, h, w = (int(n) for n in rng.integers(1, 5, 4))
        margin = rng.integers(0, 5, 2)
        yield case(rng.normal(size=(channels, h + margin[0], w + margin[1])), rng.normal(size=(more, h, w)))


def _crop(skip: np.ndarray, up: np.ndarray, top: int, left: int) -> np.ndarray:
    return skip[:, top : top + up.shape[1], left : left + up.shape[2]]


def _joined_at_the_end(skip: np.ndarray, up: np.ndarray) -> np.ndarray:
    return np.concatenate([_crop(skip, up, skip.shape[1] - up.shape[1], skip.shape[2] - up.shape[2]), up])


def _joined_rounding_up(skip: np.ndarray, up: np.ndarray) -> np.ndarray:
    top, left = (-(-(n - m) // 2) for n, m in zip(skip.shape[1:], up.shape[1:], strict=True))
    return np.concatenate([_crop(skip, up, top, left), up])


def _padded_instead(skip: np.ndarray, up: np.ndarray) -> np.ndarray:
    margins = [(n - m) for n, m in zip(skip.shape[1:], up.shape[1:], strict=True)]
    return np.concatenate([skip, np.pad(up, ((0, 0), *((d // 2, d - d // 2) for d in margins)))])


def _added(skip: np.ndarray, up: np.ndarray) -> np.ndarray:
    return my_skip_join(skip, up)[: len(skip)] + up


SKIP_JOIN = Exercise(
    id="30.5",
    module=__name__,
    name="my_skip_join",
    title="Joining a skip connection",
    dots=2,
    hints=(
        (
            "Convolutions without padding make the maps smaller, so skip is the larger one. How many rows must go at "
            "the top, how many at the bottom?"
        ),
        "Half of `H - h`, rounded down, goes at the top: the crop begins at row `(H - h) // 2` and has h rows.",
        "`np.concatenate([middle, up])` joins along the first axis, the channels.",
    ),
    why=(
        "Both maps must show the same place at the same pixel, so the crop is taken from the middle. Joining keeps "
        "all channels side by side, (C + K, h, w), and lets the next convolution choose; adding would need equal "
        "channels and mix them. The first U-Net works like this; with padded convolutions the margins are 0 and only "
        "the joining is left."
    ),
    cases=_join_cases,
    mistakes=(
        Mistake(
            "upper left corner",
            "It looks as if the upper left corner of skip was taken: the middle shows the same place as `up`.",
            lambda skip, up: np.concatenate([_crop(skip, up, 0, 0), up]),
        ),
        Mistake(
            "lower right corner",
            "It looks as if the lower right corner of skip was taken: the middle shows the same place as `up`.",
            _joined_at_the_end,
        ),
        Mistake(
            "rounded up",
            "Of an odd difference the larger part goes at the end: round the start of the crop down.",
            _joined_rounding_up,
        ),
        Mistake(
            "up first",
            "The channels of skip come first, then those of up.",
            lambda skip, up: np.concatenate([up, my_skip_join(skip, up)[: len(skip)]]),
        ),
        Mistake(
            "added",
            "It looks as if the maps were added: join them along the channels, so that none is lost.",
            _added,
        ),
        Mistake(
            "padded instead",
            "It looks as if `up` was filled with zeros to the size of skip: cut skip to the size of `up`.",
            _padded_instead,
        ),
    ),
)
check_skip_join = SKIP_JOIN.check


# 30.6


def my_patient_split(patients: list[str], test_share: float, seed: int) -> tuple[list[int], list[int]]:
    """Share slices out to training and test so that no patient is in both.

    Args:
        patients: patient of every slice, `["A", "A", "B", ...]`.
        test_share: share of the patients (not of the slices) that goes to the test, 0 to 1.
        seed: the same seed gives the same split, another seed usually another.

    Returns:
        (training, test): the numbers of the slices in each; together every slice once.
    """
    names = sorted(set(patients))
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[i] for i in order[: round(test_share * len(names))]}
    training = [i for i, patient in enumerate(patients) if patient not in chosen]
    test = [i for i, patient in enumerate(patients) if patient in chosen]
    return training, test


class _Salted(str):
    """The same text with another hash, as it has in another run of Python."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(("another run", str(self)))


def _split_four_times(function: Callable[..., Any], patients: list[str], test_share: float, seed: int) -> Any:
    """The split, the same again, with another seed, and as in another run of Python."""
    again, other, later = list(patients), list(patients), [_Salted(name) for name in patients]
    first = function(patients, test_share, seed)
    if first is None or first is Ellipsis:
        return first
    second, third = function(again, test_share, seed), function(other, test_share, seed + 1)
    try:
        return first, second, third, function(later, test_share, seed)
    except Exception:  # where the answer itself made plain text of a name, it may not find it under the other hash
        return first, second, third, None


def _split_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(["A", "A", "B", "B"], 0.5, 0)
    yield case(["C", "A", "B", "A", "C", "C", "A", "D", "A", "A"], 0.25, 1)
    for seed in range(4):
        count = int(rng.integers(24, 40))
        slices = [f"P{n:02d}" for n in range(count) for _ in range(int(rng.integers(1, 9)))]
        yield case([slices[i] for i in rng.permutation(len(slices))], float(rng.choice([0.2, 0.3, 0.4])), seed)


def _judge_split(got: Any, expected: Any, patients: list[str], test_share: float, seed: int) -> Problem | None:
    first, again, other, later = got
    problem = _split_form(first, len(patients)) or _split_content(first, patients, test_share)
    if problem:
        return problem
    if _slices_of(first) != _slices_of(again):
        return Problem(VALUES, "the same split for the same seed", "two different ones", mistake="not reproducible")
    if len(set(patients)) < 20:  # chance alone may give few patients the same split, or another
        return None
    if _slices_of(first)[1] == _slices_of(other)[1]:
        return Problem(VALUES, "another split for another seed", "the same one", mistake="seed ignored")
    whole = not (_split_form(later, len(patients)) or _split_content(later, patients, test_share))
    if whole and _slices_of(first) != _slices_of(later):
        return Problem(VALUES, "the same split in another run of Python", "another one", mistake="bare set")
    return None


def _slices_of(split: Any) -> list[list[int]]:
    """The numbers of both parts, each in order."""
    return [sorted(map(int, part)) for part in split]


def _split_form(split: Any, count: int) -> Problem | None:
    """Two lists of slice numbers."""
    wanted = "two lists of slice numbers"
    if not isinstance(split, (tuple, list)) or len(split) != 2:
        return Problem(SHAPE, wanted, show(split), "Return training and test, in this order.")
    for part in split:
        values = list(part) if isinstance(part, (list, tuple, np.ndarray, range)) else [part]
        if any(isinstance(value, str) for value in values):
            return Problem(SHAPE, wanted, show(values[:5]), mistake="names instead of numbers")
        if not all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in values):
            return Problem(SHAPE, wanted, show(values[:5]), "Slices are named by their number in the list.")
        if any(not 0 <= value < count for value in values):
            return Problem(
                VALUES, f"numbers from 0 to {count - 1}", show(sorted(values)[-1]), "There is no such slice."
            )
    return None


def _split_content(split: Any, patients: list[str], test_share: float) -> Problem | None:
    """Every slice once, no patient in both, the right number of patients."""
    training, test = ([int(i) for i in part] for part in split)
    names = [{patients[i] for i in part} for part in (training, test)]
    both = sorted(names[0] & names[1])
    if both:
        return Problem(VALUES, "no patient in both parts", f"{both[0]} is in both", mistake="leak")
    missing = sorted(set(range(len(patients))) - set(training) - set(test))
    if missing:
        return Problem(VALUES, "every slice in a part", f"slice {missing[0]} is in none", mistake="slices lost")
    if len(training) + len(test) > len(patients):
        return Problem(VALUES, "every slice once", "a slice more than once", mistake="slice twice")
    wanted = test_share * len(names[0] | names[1])
    if abs(len(names[1]) - wanted) >= 1:
        expected, got = f"test patients: {wanted:g}, to a whole number", f"test patients: {len(names[1])}"
        swapped = abs(len(names[0]) - wanted) < 1
        return Problem(VALUES, expected, got, mistake="parts swapped" if swapped else "share of something else")
    return None


PATIENT_SPLIT = Exercise(
    id="30.6",
    module=__name__,
    name="my_patient_split",
    title="A split by patient",
    dots=2,
    hints=(
        "Share out the patients, not the slices: every slice then follows its patient.",
        (
            "`sorted(set(patients))` lists each patient once, always in the same order; "
            "`np.random.default_rng(seed)` shuffles the same way for the same seed."
        ),
        (
            "The first `round(test_share * number of patients)` of the shuffled names are the test; one pass over "
            "`enumerate(patients)` gives the numbers."
        ),
    ),
    why=(
        "Slices of one patient look alike, so a network that has seen some of them knows the others: a split by "
        "slice measures memory. Splitting the names and letting the slices follow can't leak. A bare set has an "
        "order that changes from run to run for text, so it is sorted before it is shuffled."
    ),
    cases=_split_cases,
    run=_split_four_times,
    judge=_judge_split,
    mistakes=(
        Mistake(
            "leak",
            "A patient is in both parts: the network is then tested on somebody it has seen. Share out patients, and "
            "let the slices follow.",
        ),
        Mistake(
            "slices lost", "Some slices are in neither part: every slice follows its patient, however many there are."
        ),
        Mistake("slice twice", "A slice is listed more than once: each belongs to one part, once."),
        Mistake(
            "share of something else",
            "The number of test patients is not the share asked for: count patients, not slices, and round to a "
            "whole number.",
        ),
        Mistake(
            "parts swapped",
            "Training and test changed places: training comes first, and test has `test_share` of the patients.",
        ),
        Mistake(
            "not reproducible",
            "The same seed gave two different splits: make one generator from the seed, inside the function.",
        ),
        Mistake(
            "seed ignored", "Another seed gave the same split: draw the patients with `np.random.default_rng(seed)`."
        ),
        Mistake(
            "bare set",
            "The split depends on the order of a set, which changes from run to run for text: sort the names before "
            "you shuffle them.",
        ),
        Mistake("names instead of numbers", "Those are the names of the patients: return the numbers of their slices."),
    ),
)
check_patient_split = PATIENT_SPLIT.check
