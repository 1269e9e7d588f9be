"""Wrong answers to the exercises of lesson 40."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from mutants import wrong

# 40.1 overlap


def counts(prediction, truth):
    return tuple(int(mask.sum()) for mask in (prediction & truth, prediction & ~truth, ~prediction & truth))


def guarded(numerator, denominator):
    return numerator / denominator if denominator else 1.0


def right_overlap(tp, fp, fn):
    if tp == 0 < fp + fn:
        return 0.0, 0.0, 0.0, 0.0
    return guarded(2 * tp, 2 * tp + fp + fn), guarded(tp, tp + fp + fn), guarded(tp, tp + fp), guarded(tp, tp + fn)


@wrong("40.1", "precision and recall exchanged")
def exchanged(prediction, truth):
    dice, iou, precision, recall = right_overlap(*counts(prediction, truth))
    return dice, iou, recall, precision


@wrong("40.1", "overlap counted twice")
def sum_for_union(prediction, truth):
    dice, _, precision, recall = right_overlap(*counts(prediction, truth))
    total = prediction.sum() + truth.sum()
    return dice, (prediction & truth).sum() / total if total else 1.0, precision, recall


@wrong("40.1", "accuracy for Dice")
def agreement(prediction, truth):
    return (prediction == truth).sum() / truth.size, *right_overlap(*counts(prediction, truth))[1:]


@wrong("40.1", "empty masks divide by zero")
def plain_formulas(prediction, truth):
    both = np.logical_and(prediction, truth).sum()
    either = np.logical_or(prediction, truth).sum()
    return 2 * both / (prediction.sum() + truth.sum()), both / either, both / prediction.sum(), both / truth.sum()


@wrong("40.1", "empty masks raise an error")
def plain_python(prediction, truth):
    tp, fp, fn = counts(prediction, truth)
    return 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn), tp / (tp + fp), tp / (tp + fn)


@wrong("40.1", "two empty masks score 0")
def nothing_is_bad(prediction, truth):
    tp, fp, fn = counts(prediction, truth)
    return right_overlap(tp, fp, fn) if tp else (0.0, 0.0, 0.0, 0.0)


@wrong("40.1", "one empty mask scores 1")
def nothing_is_good(prediction, truth):
    if not prediction.any() or not truth.any():
        return 1.0, 1.0, 1.0, 1.0
    return right_overlap(*counts(prediction, truth))


@wrong("40.1", "each 0 / 0 scores 1")
def one_for_every_zero(prediction, truth):
    tp, fp, fn = counts(prediction, truth)
    return guarded(2 * tp, 2 * tp + fp + fn), guarded(tp, tp + fp + fn), guarded(tp, tp + fp), guarded(tp, tp + fn)


@wrong("40.1", says="Return all of them")
def dice_only(prediction, truth):
    return right_overlap(*counts(prediction, truth))[0]


@wrong("40.1", says='`exercises.hint("40.1")`')
def a_whisker_off(prediction, truth):
    tp, fp, fn = counts(prediction, truth)
    return tuple(value * tp / (tp + 1e-3) for value in right_overlap(tp, fp, fn))


# 40.2 surface


@wrong("40.2", "border of the image is no surface")
def border_is_inside(mask):
    return mask ^ ndimage.binary_erosion(mask, border_value=1)


@wrong("40.2", "corner neighbours count")
def full_neighbourhood(mask):
    return mask ^ ndimage.binary_erosion(mask, np.ones((3,) * mask.ndim))


@wrong("40.2", "layer outside")
def outer_layer(mask):
    return ndimage.binary_dilation(mask) ^ mask


@wrong("40.2", "both sides")
def gradient(mask):
    return ndimage.binary_dilation(mask) ^ ndimage.binary_erosion(mask)


@wrong("40.2", "inside instead")
def eroded(mask):
    return ndimage.binary_erosion(mask)


@wrong("40.2", "slice by slice")
def every_slice(mask):
    if mask.ndim == 3:
        return np.stack([every_slice(part) for part in mask])
    return mask & ~ndimage.binary_erosion(mask)


@wrong("40.2", "neighbours wrap round")
def rolled(mask):
    inner = mask
    for axis in range(mask.ndim):
        inner = inner & np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return mask & ~inner


@wrong("40.2", says="A mask is asked for")
def as_numbers(mask):
    return (mask & ~ndimage.binary_erosion(mask)).astype(int)


@wrong("40.2", says="changed its input `mask`")
def in_place(mask):
    inner = ndimage.binary_erosion(mask)
    mask &= ~inner
    return mask


# 40.3 a mask with a high Dice and a far error


def truth_and(*pixels):
    rows, columns = np.indices((24, 32))
    mask = ((rows - 12) / 6.6) ** 2 + ((columns - 10.5) / 5.4) ** 2 <= 1
    mask[4:7, 24:27] = True
    for row, column in pixels:
        mask[row, column] = True
    return mask


wrong("40.3", "too few pixels for a percentile")(truth_and((23, 31)))
wrong("40.3", "too few pixels for a percentile")(truth_and((23, 31), (23, 30)))
wrong("40.3", "too few pixels for a percentile")(truth_and((20, 30), (20, 31), (21, 30), (21, 31)))  # HD95 14.8 mm
wrong("40.3", "overlap spoilt")(truth_and(*((row, column) for row in range(20, 24) for column in range(28, 32))))
wrong("40.3", "surface not far enough away")(truth_and())
wrong("40.3", "surface not far enough away")(truth_and(*((12, column) for column in range(20, 24))))
wrong("40.3", "neither")(np.roll(truth_and(), 3, axis=1))
wrong("40.3", says="has that form")(truth_and().T)
wrong("40.3", says="has that form")(truth_and((23, 31)).astype(float))
wrong("40.3", says="has that form")([(23, 31)])

# 40.4 HD95


def directed(a, b, spacing_mm):
    scale = np.array(spacing_mm)
    return cKDTree(np.argwhere(b) * scale).query(np.argwhere(a) * scale)[0]


def unless_empty(rule):
    """An answer that is right for empty masks, so that only the rule is wrong."""

    def answer(prediction_surface, truth_surface, spacing_mm):
        if not prediction_surface.any() and not truth_surface.any():
            return 0.0
        if not prediction_surface.any() or not truth_surface.any():
            return float("inf")
        return float(rule(prediction_surface, truth_surface, spacing_mm))

    answer.__name__ = rule.__name__
    return answer


def larger(there, back):
    return max(np.percentile(there, 95), np.percentile(back, 95))


@wrong("40.4", "directions pooled")
@unless_empty
def pooled(a, b, spacing_mm):
    return np.percentile(np.hstack([directed(a, b, spacing_mm), directed(b, a, spacing_mm)]), 95)


@wrong("40.4", "only from the prediction")
@unless_empty
def one_way(a, b, spacing_mm):
    return np.percentile(directed(a, b, spacing_mm), 95)


@wrong("40.4", "only from the truth")
@unless_empty
def other_way(a, b, spacing_mm):
    return np.percentile(directed(b, a, spacing_mm), 95)


@wrong("40.4", "spacing ignored")
@unless_empty
def in_voxels(a, b, spacing_mm):
    return larger(directed(a, b, (1,) * a.ndim), directed(b, a, (1,) * a.ndim))


@wrong("40.4", "spacing in the wrong order")
@unless_empty
def as_simpleitk_has_it(a, b, spacing_mm):
    return larger(directed(a, b, spacing_mm[::-1]), directed(b, a, spacing_mm[::-1]))


@wrong("40.4", "maximum, no percentile")
@unless_empty
def hausdorff(a, b, spacing_mm):
    return max(directed(a, b, spacing_mm).max(), directed(b, a, spacing_mm).max())


@wrong("40.4", "mean of the two directions")
@unless_empty
def averaged(a, b, spacing_mm):
    return np.mean([np.percentile(directed(a, b, spacing_mm), 95), np.percentile(directed(b, a, spacing_mm), 95)])


@wrong("40.4", "smaller of the two directions")
@unless_empty
def smaller(a, b, spacing_mm):
    return min(np.quantile(directed(*pair, spacing_mm), 0.95) for pair in ((a, b), (b, a)))


def by_rule(rule):
    @unless_empty
    def answer(a, b, spacing_mm):
        return max(np.quantile(directed(*pair, spacing_mm), 0.95, method=rule) for pair in ((a, b), (b, a)))

    return answer


wrong("40.4", "percentile by the rule 'lower'")(by_rule("lower"))
wrong("40.4", "percentile by the rule 'higher'")(by_rule("higher"))
wrong("40.4", "percentile by the rule 'nearest'")(by_rule("nearest"))


@wrong("40.4", "root forgotten")
@unless_empty
def squared(a, b, spacing_mm):
    return larger(directed(a, b, spacing_mm) ** 2, directed(b, a, spacing_mm) ** 2)


@wrong("40.4", "all pairs")
@unless_empty
def every_pair(a, b, spacing_mm):
    points = [np.argwhere(mask) * np.array(spacing_mm) for mask in (a, b)]
    return np.percentile(np.linalg.norm(points[0][:, None] - points[1], axis=-1), 95)


@wrong("40.4", says="Your code raised an error")
def empty_forgotten(prediction_surface, truth_surface, spacing_mm):
    points = [np.argwhere(mask) * np.array(spacing_mm) for mask in (prediction_surface, truth_surface)]
    apart = np.linalg.norm(points[0][:, None] - points[1], axis=-1)
    return larger(apart.min(1), apart.min(0))


# 40.5 surface Dice


@wrong("40.5", "mean of two shares")
def mean_of_shares(there, back, tolerance_mm):
    if there.size + back.size == 0:
        return 1.0
    return sum((side <= tolerance_mm).sum() / max(side.size, 1) for side in (there, back)) / 2


@wrong("40.5", "tolerance itself left out")
def strictly_less(there, back, tolerance_mm):
    if there.size + back.size == 0:
        return 1.0
    return ((there < tolerance_mm).sum() + (back < tolerance_mm).sum()) / (there.size + back.size)


@wrong("40.5", "only the prediction's surface")
def one_surface(there, back, tolerance_mm):
    return np.count_nonzero(there <= tolerance_mm) / there.size if there.size else 1.0


@wrong("40.5", "one empty surface scores 1")
def nothing_to_compare(there, back, tolerance_mm):
    if there.size == 0 or back.size == 0:
        return 1.0
    return np.mean(np.hstack([there, back]) <= tolerance_mm)


@wrong("40.5", "smaller of two shares")
def worse_share(there, back, tolerance_mm):
    if there.size + back.size == 0:
        return 1.0
    return min((side <= tolerance_mm).sum() / max(side.size, 1) for side in (there, back))


@wrong("40.5", "share outside")
def to_be_redrawn(there, back, tolerance_mm):
    if there.size + back.size == 0:
        return 1.0
    return 1 - ((there <= tolerance_mm).sum() + (back <= tolerance_mm).sum()) / (there.size + back.size)


@wrong("40.5", "no surface gives NaN")
def plain_mean(there, back, tolerance_mm):
    return (np.hstack([there, back]) <= tolerance_mm).mean()


@wrong("40.5", says="raised an error")
def division_by_zero(there, back, tolerance_mm):
    return sum(d <= tolerance_mm for d in [*there, *back]) / len([*there, *back])


# 40.6 lesions


@wrong("40.6", "voxels counted")
def voxels(predicted_lesions, true_lesions):
    p, t = predicted_lesions.astype(bool), true_lesions.astype(bool)
    return int((p & t).sum()), int((~p & t).sum()), int((p & ~t).sum())


@wrong("40.6", "numbers compared")
def same_number(predicted_lesions, true_lesions):
    found = len(set(true_lesions[(true_lesions == predicted_lesions) & (true_lesions != 0)].tolist()))
    return found, true_lesions.max() - found, predicted_lesions.max() - found


@wrong("40.6", "false alarms by subtraction")
def subtracted(predicted_lesions, true_lesions):
    found = sum((predicted_lesions[true_lesions == n] > 0).any() for n in range(1, true_lesions.max() + 1))
    return found, true_lesions.max() - found, predicted_lesions.max() - found


@wrong("40.6", "background counted")
def zero_is_a_lesion(predicted_lesions, true_lesions):
    found = len(np.unique(true_lesions[predicted_lesions > 0]))
    confirmed = len(np.unique(predicted_lesions[true_lesions > 0]))
    return found, len(np.unique(true_lesions)) - found, len(np.unique(predicted_lesions)) - confirmed


@wrong("40.6", "a lesion taken for the background")
def first_number_dropped(predicted_lesions, true_lesions):
    found = np.unique(true_lesions[predicted_lesions > 0])[1:].size
    confirmed = np.unique(predicted_lesions[true_lesions > 0])[1:].size
    return found, true_lesions.max() - found, predicted_lesions.max() - confirmed


@wrong("40.6", "a lesion taken for the background")
def one_subtracted(predicted_lesions, true_lesions):
    found = max(len(set(true_lesions[predicted_lesions > 0].tolist())) - 1, 0)
    confirmed = max(len(set(predicted_lesions[true_lesions > 0].tolist())) - 1, 0)
    return found, true_lesions.max() - found, predicted_lesions.max() - confirmed


@wrong("40.6", "numbered anew")
def joined_where_they_touch(predicted_lesions, true_lesions):
    corners = np.ones((3,) * true_lesions.ndim)
    (p, n_p), (t, n_t) = (ndimage.label(lesions, corners) for lesions in (predicted_lesions, true_lesions))
    found, confirmed = len(np.unique(t[(p > 0) & (t > 0)])), len(np.unique(p[(p > 0) & (t > 0)]))
    return found, n_t - found, n_p - confirmed


@wrong("40.6", "most of a lesion asked for")
def half_of_it(predicted_lesions, true_lesions):
    found = sum(
        2 * (predicted_lesions[true_lesions == n] > 0).sum() >= (true_lesions == n).sum()
        for n in range(1, true_lesions.max() + 1)
    )
    hits = sum(
        2 * (true_lesions[predicted_lesions == n] > 0).sum() >= (predicted_lesions == n).sum()
        for n in range(1, predicted_lesions.max() + 1)
    )
    return found, true_lesions.max() - found, predicted_lesions.max() - hits


@wrong("40.6", "found and confirmed exchanged")
def touching(predicted_lesions, true_lesions):
    hits = sum((true_lesions[predicted_lesions == n] > 0).any() for n in range(1, predicted_lesions.max() + 1))
    return hits, true_lesions.max() - hits, predicted_lesions.max() - hits


@wrong("40.6", "all predicted lesions are false alarms")
def every_prediction(predicted_lesions, true_lesions):
    found = sum((predicted_lesions[true_lesions == n] > 0).any() for n in range(1, true_lesions.max() + 1))
    return found, true_lesions.max() - found, predicted_lesions.max()


@wrong("40.6", says="separated by commas")
def found_only(predicted_lesions, true_lesions):
    return np.unique(true_lesions[(true_lesions > 0) & (predicted_lesions > 0)]).size
