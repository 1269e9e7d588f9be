"""Wrong answers to the exercises of lesson 30."""

import random
from itertools import pairwise

import numpy as np

from mutants import wrong

# 30.1 threshold


def sigmoid(z):
    return np.exp(z) / (1 + np.exp(z))


@wrong("30.1", "logits compared")
def no_sigmoid(logits, threshold=0.5):
    return np.greater(logits, threshold)


@wrong("30.1", "threshold ignored")
def always_half(logits, threshold=0.5):
    return sigmoid(logits) > 0.5


@wrong("30.1", "turned round")
def below(logits, threshold=0.5):
    return sigmoid(logits) < threshold


@wrong("30.1", "sign of the exponent")
def plus(logits, threshold=0.5):
    return 1 / (1 + np.exp(logits)) > threshold


@wrong("30.1", "softmax")
def over_all_pixels(logits, threshold=0.5):
    e = np.exp(logits - logits.max())
    return e / e.sum() > threshold


@wrong("30.1", "1 minus the threshold")
def of_the_background(logits, threshold=0.5):
    return sigmoid(logits) > 1 - threshold


@wrong("30.1", says="A mask is asked for")
def zeros_and_ones(logits, threshold=0.5):
    return (sigmoid(logits) > threshold).astype(np.uint8)


# 30.2 Dice


@wrong("30.2", "NaN for empty masks")
def unguarded(prediction, truth):
    return 2 * np.logical_and(prediction, truth).sum() / np.float64(prediction.sum() + truth.sum())


@wrong("30.2", "0 for empty masks")
def empty_is_zero(prediction, truth):
    if not prediction.any() or not truth.any():
        return 0.0
    return 2 * np.logical_and(prediction, truth).sum() / (prediction.sum() + truth.sum())


@wrong("30.2", "intersection over union")
def jaccard(prediction, truth):
    union = np.logical_or(prediction, truth).sum()
    return np.logical_and(prediction, truth).sum() / union if union else 1.0


@wrong("30.2", "sum of masks")
def masks_added(prediction, truth):
    total = (prediction + truth).sum()
    return 2 * (prediction * truth).sum() / total if total else 1.0


@wrong("30.2", "small epsilon")
def epsilon_in_both(prediction, truth):
    return (2 * (prediction * truth).sum() + 1e-6) / (prediction.sum() + truth.sum() + 1e-6)


@wrong("30.2", "factor 2 forgotten")
def half(prediction, truth):
    total = prediction.sum() + truth.sum()
    return (prediction & truth).sum() / total if total else 1.0


@wrong("30.2", "accuracy")
def agreement(prediction, truth):
    return 1 - np.mean(prediction ^ truth)


@wrong("30.2", "epsilon of 1")
def smoothed(prediction, truth):
    return (2 * (prediction * truth).sum() + 1.0) / (prediction.sum() + truth.sum() + 1.0)


@wrong("30.2", "epsilon below only")
def epsilon_below(prediction, truth):
    return 2 * (prediction * truth).sum() / (prediction.sum() + truth.sum() + 1e-6)


# 30.3 number of parameters


def layers(in_channels, widths):
    """(a, b) of every double convolution, and of every transposed one."""
    pairs = list(pairwise(widths))
    double = [(in_channels, widths[0]), *pairs, *((2 * fine, fine) for fine, _ in pairs)]
    return double, [(coarse, fine) for fine, coarse in pairs]


def summed(in_channels, classes, widths, block, up, head):
    double, raised = layers(in_channels, widths)
    return sum(block(a, b) for a, b in double) + sum(up(a, b) for a, b in raised) + head(widths[0], classes)


def right_block(a, b):
    return 9 * a * b + 9 * b**2 + 4 * b


def right_up(a, b):
    return 4 * a * b + b


def right_head(a, b):
    return (a + 1) * b


@wrong("30.3", "biases in the double convolution")
def every_layer_has_a_bias(in_channels, classes, widths):
    return summed(
        in_channels, classes, widths, lambda a, b: (9 * a + 1) * b + (9 * b + 1) * b + 4 * b, right_up, right_head
    )


@wrong("30.3", "batch norm forgotten")
def convolutions_only(in_channels, classes, widths):
    return summed(in_channels, classes, widths, lambda a, b: 9 * b * (a + b), right_up, right_head)


@wrong("30.3", "batch norm's statistics counted")
def whole_state(in_channels, classes, widths):
    return summed(in_channels, classes, widths, lambda a, b: 9 * b * (a + b) + 8 * b, right_up, right_head)


@wrong("30.3", "one convolution a block")
def single_blocks(in_channels, classes, widths):
    return summed(in_channels, classes, widths, lambda a, b: 9 * a * b + 4 * b, right_up, right_head)


@wrong("30.3", "skip forgotten")
def without_skips(in_channels, classes, widths):
    lost = sum(9 * fine * fine for fine in widths[:-1])
    return summed(in_channels, classes, widths, right_block, right_up, right_head) - lost


@wrong("30.3", "stamp of 3 x 3")
def large_stamps(in_channels, classes, widths):
    return summed(in_channels, classes, widths, right_block, lambda a, b: 9 * a * b + b, right_head)


@wrong("30.3", "bias of the way up")
def bare_stamps(in_channels, classes, widths):
    return summed(in_channels, classes, widths, right_block, lambda a, b: 4 * a * b, right_head)


@wrong("30.3", "head forgotten")
def no_head(in_channels, classes, widths):
    return summed(in_channels, classes, widths, right_block, right_up, lambda a, b: 0)


@wrong("30.3", "bias of the head")
def bare_head(in_channels, classes, widths):
    return summed(in_channels, classes, widths, right_block, right_up, lambda a, b: a * b)


@wrong("30.3", says="Whole numbers are asked for")
def one_float_too_many(in_channels, classes, widths):
    return summed(in_channels, classes, widths, right_block, right_up, right_head) / 1


# 30.4 Dice loss


def dice_of_classes(p, t):
    return torch_sum(2 * p * t) / torch_sum(p + t)


def torch_sum(values):
    return values.sum(dim=(0, 2, 3))


@wrong("30.4", "background counted")
def all_classes(probabilities, truth):
    present = torch_sum(truth) > 0
    return 1 - dice_of_classes(probabilities, truth)[present].mean()


@wrong("30.4", "every image on its own")
def image_by_image(probabilities, truth):
    losses = []
    for p, t in zip(probabilities, truth, strict=True):
        for k in range(1, p.shape[0]):
            if t[k].sum() > 0:
                losses.append(1 - 2 * (p[k] * t[k]).sum() / (p[k].sum() + t[k].sum()))
    return sum(losses) / len(losses) if losses else probabilities.sum() * 0


@wrong("30.4", "absent classes counted")
def all_foreground(probabilities, truth):
    return 1 - dice_of_classes(probabilities, truth)[1:].mean()


@wrong("30.4", "divided by all classes")
def mean_over_all(probabilities, truth):
    present = [k for k in range(1, truth.shape[1]) if truth[:, k].any()]
    lost = [1 - dice_of_classes(probabilities, truth)[k] for k in present]
    return sum(lost, 0 * probabilities.sum()) / (truth.shape[1] - 1)


@wrong("30.4", "plain number")
def zero_without_foreground(probabilities, truth):
    present = [k for k in range(1, truth.shape[1]) if truth[:, k].any()]
    if not present:
        return 0.0
    return sum(1 - dice_of_classes(probabilities, truth)[k] for k in present) / len(present)


@wrong("30.4", "plain number")
def whole_zero_without_foreground(probabilities, truth):
    return 1 - present_dice(probabilities, truth) if truth[:, 1:].any() else 0


def present_dice(p, t):
    present = [k for k in range(1, p.shape[1]) if t[:, k].sum() > 0]
    scores = [2 * (p[:, k] * t[:, k]).sum() / (p[:, k].sum() + t[:, k].sum()) for k in present]
    return sum(scores) / len(scores) if scores else 1 + 0 * p.sum()


@wrong("30.4", "score, not loss")
def score(probabilities, truth):
    return present_dice(probabilities, truth) if truth[:, 1:].sum() > 0 else 0 * probabilities.sum()


@wrong("30.4", "factor 2 forgotten")
def no_two(probabilities, truth):
    if truth[:, 1:].sum() == 0:
        return 0 * probabilities.sum()
    return 1 - present_dice(probabilities, truth) / 2


@wrong("30.4", "squares")
def squared_sizes(probabilities, truth):
    p, t = probabilities[:, 1:], truth[:, 1:]
    present = torch_sum(t) > 0
    if not present.any():
        return 0 * p.sum()
    return 1 - (2 * torch_sum(p * t) / torch_sum(p * p + t * t))[present].mean()


@wrong("30.4", "hard mask")
def rounded(probabilities, truth):
    return 1 - present_dice((probabilities >= 0.5).double(), truth)


@wrong("30.4", "no gradient")
def without_gradient(probabilities, truth):
    return 1 - present_dice(probabilities.detach(), truth)


@wrong("30.4", "no gradient")
def a_float(probabilities, truth):
    return (1 - present_dice(probabilities, truth)).item()


# 30.5 join


@wrong("30.5", "upper left corner")
def corner(skip, up):
    return np.vstack([skip[:, : up.shape[1], : up.shape[2]], up])


@wrong("30.5", "lower right corner")
def far_corner(skip, up):
    return np.vstack([skip[:, -up.shape[1] :, -up.shape[2] :], up])


@wrong("30.5", "rounded up")
def start_rounded_up(skip, up):
    top, left = (skip.shape[1] - up.shape[1] + 1) // 2, (skip.shape[2] - up.shape[2] + 1) // 2
    return np.vstack([skip[:, top:, left:][:, : up.shape[1], : up.shape[2]], up])


def middle(skip, up):
    top, left = (skip.shape[1] - up.shape[1]) // 2, (skip.shape[2] - up.shape[2]) // 2
    return skip[:, top:, left:][:, : up.shape[1], : up.shape[2]]


@wrong("30.5", "up first")
def wrong_order(skip, up):
    return np.vstack([up, middle(skip, up)])


@wrong("30.5", "added")
def residual(skip, up):
    return middle(skip, up) + up


@wrong("30.5", "padded instead")
def up_to_full_size(skip, up):
    out = np.zeros((len(up), *skip.shape[1:]))
    middle(out, up)[:] = up
    return np.vstack([skip, out])


@wrong("30.5", says="Your code raised an error")
def not_cropped(skip, up):
    return np.concatenate([skip, up])


# 30.6 split by patient


@wrong("30.6", "leak")
def slice_by_slice(patients, test_share, seed):
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(patients))]
    count = round(test_share * len(patients))
    return order[count:], order[:count]


@wrong("30.6", "leak")
def first_slices(patients, test_share, seed):
    count = round(test_share * len(patients))
    return list(range(count, len(patients))), list(range(count))


def chosen(patients, test_share, seed):
    names = sorted(set(patients))
    random.Random(seed).shuffle(names)
    return names[: round(test_share * len(names))]


@wrong("30.6", "slices lost")
def one_slice_each(patients, test_share, seed):
    test = chosen(patients, test_share, seed)
    return (
        [patients.index(p) for p in sorted(set(patients)) if p not in test],
        [patients.index(p) for p in test],
    )


@wrong("30.6", "slice twice")
def once_per_slice_of_the_patient(patients, test_share, seed):
    test = chosen(patients, test_share, seed)
    training = [i for i, p in enumerate(patients) if p not in test]
    return training, [i for p in patients if p in test for i, q in enumerate(patients) if q == p]


@wrong("30.6", "share of something else")
def fills_up_with_slices(patients, test_share, seed):
    names = sorted(set(patients), key=patients.count, reverse=True)
    test: list = []
    while sum(patients.count(p) for p in test) < test_share * len(patients):
        test.append(names.pop(0))
    return [i for i, p in enumerate(patients) if p not in test], [i for i, p in enumerate(patients) if p in test]


@wrong("30.6", "parts swapped")
def test_first(patients, test_share, seed):
    test = chosen(patients, test_share, seed)
    return [i for i, p in enumerate(patients) if p in test], [i for i, p in enumerate(patients) if p not in test]


@wrong("30.6", "not reproducible")
class Forgetful:
    """Draws from one generator that goes on and on, as the global one does."""

    def __new__(cls, patients, test_share, seed, generator=random.Random(5)):  # noqa: B008
        names = sorted(set(patients))
        generator.shuffle(names)
        test = names[: round(test_share * len(names))]
        return [i for i, p in enumerate(patients) if p not in test], [i for i, p in enumerate(patients) if p in test]


@wrong("30.6", "seed ignored")
def always_the_same(patients, test_share, seed):
    test = chosen(patients, test_share, 0)
    return [i for i, p in enumerate(patients) if p not in test], [i for i, p in enumerate(patients) if p in test]


@wrong("30.6", "bare set")
def unsorted(patients, test_share, seed):
    names = list(set(patients))
    random.Random(seed).shuffle(names)
    test = names[: round(test_share * len(names))]
    return [i for i, p in enumerate(patients) if p not in test], [i for i, p in enumerate(patients) if p in test]


@wrong("30.6", "names instead of numbers")
def names_only(patients, test_share, seed):
    test = chosen(patients, test_share, seed)
    return [p for p in patients if p not in test], [p for p in patients if p in test]
