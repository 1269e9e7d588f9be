"""Wrong answers to the exercises of lesson 31."""

import numpy as np

from mutants import wrong

# 31.1 receptive field


def fields(kernels, strides):
    """Field and step in voxels, as they should be."""
    field, step = np.ones(3), np.ones(3)
    for kernel, stride in zip(kernels, strides, strict=True):
        field, step = field + (np.array(kernel) - 1) * step, step * np.array(stride)
    return field, step


@wrong("31.1", "voxels")
def no_millimetres(kernels, strides, spacing_mm):
    return fields(kernels, strides)[0]


@wrong("31.1", "strides ignored")
def sum_of_kernels(kernels, strides, spacing_mm):
    return (1 + sum(np.array(kernel) - 1 for kernel in kernels)) * np.array(spacing_mm)


@wrong("31.1", "own stride")
def stride_too_early(kernels, strides, spacing_mm):
    field, step = np.ones(3), np.ones(3)
    for kernel, stride in zip(kernels, strides, strict=True):
        step = step * np.array(stride)
        field = field + (np.array(kernel) - 1) * step
    return field * np.array(spacing_mm)


@wrong("31.1", "axes turned round")
def xyz(kernels, strides, spacing_mm):
    return fields(kernels, strides)[0] * np.array(spacing_mm)[::-1]


@wrong("31.1", "whole kernels added")
def no_minus_one(kernels, strides, spacing_mm):
    field, step = np.ones(3), np.ones(3)
    for kernel, stride in zip(kernels, strides, strict=True):
        field, step = field + np.array(kernel) * step, step * np.array(stride)
    return field * np.array(spacing_mm)


@wrong("31.1", "first voxel forgotten")
def from_zero(kernels, strides, spacing_mm):
    return (fields(kernels, strides)[0] - 1) * np.array(spacing_mm)


@wrong("31.1", "strides added")
def sums_strides(kernels, strides, spacing_mm):
    field, step = np.ones(3), np.ones(3)
    for kernel, stride in zip(kernels, strides, strict=True):
        field, step = field + (np.array(kernel) - 1) * step, step + np.array(stride) - 1
    return field * np.array(spacing_mm)


@wrong("31.1", "from the wrong end")
def backward_run_forward(kernels, strides, spacing_mm):
    field = np.ones(3)
    for kernel, stride in zip(kernels, strides, strict=True):
        field = field * np.array(stride) + (np.array(kernel) - np.array(stride))
    return field * np.array(spacing_mm)


@wrong("31.1", says="count rows and columns")
def first_axis_only(kernels, strides, spacing_mm):
    return fields(kernels, strides)[0][:1] * spacing_mm[0]


# 31.2 start of a patch


@wrong("31.2", "not clipped")
def free(centre, patch, size):
    return centre - patch // 2


@wrong("31.2", "low end only")
def from_below(centre, patch, size):
    start = centre - patch // 2
    return np.where(start < 0, 0, start)


@wrong("31.2", "high end only")
def from_above(centre, patch, size):
    start = centre - patch // 2
    return np.where(start + patch > size, size - patch, start)


@wrong("31.2", "one too low")
def off_by_one(centre, patch, size):
    return np.minimum(np.maximum(centre - patch // 2, 0), size - patch - 1)


@wrong("31.2", "start at the centre")
def begins_there(centre, patch, size):
    return np.minimum(centre, size - patch)


@wrong("31.2", "low end only")
def inside_the_array(centre, patch, size):
    return np.minimum(np.maximum(centre - patch // 2, 0), size - 1)


@wrong("31.2", "half rounded up")
def half_up(centre, patch, size):
    return np.clip(centre - np.ceil(patch / 2).astype(int), 0, size - patch)


@wrong("31.2", "centre moved too far")
def centre_kept_away(centre, patch, size):
    half = patch // 2
    return np.minimum(np.maximum(centre, half), size - 1 - half) - half


@wrong("31.2", says="Whole numbers are asked for")
def with_fractions(centre, patch, size):
    return np.clip(centre - patch / 2, 0, size - patch)


@wrong("31.2", says="changed its input")
def in_place(centre, patch, size):
    centre -= patch // 2
    return np.clip(centre, 0, size - patch)


# 31.3 starts of windows


def stride(patch, overlap):
    return max(1, int(patch * (1 - overlap)))


def spread(size, patch, count):
    return np.rint(np.linspace(0, size - patch, max(count, 0))).astype(int)


@wrong("31.3", "end not covered")
def plain_range(size, patch, overlap):
    return np.array(range(0, size - patch + 1, stride(patch, overlap)))


@wrong("31.3", "sticks out")
def to_the_end(size, patch, overlap):
    return np.array(range(0, size, stride(patch, overlap)))


@wrong("31.3", "last one pushed back")
def fixed_steps(size, patch, overlap):
    starts = list(range(0, size - patch, stride(patch, overlap)))
    return np.array([*starts, size - patch])


@wrong("31.3", "fence posts")
def without_the_last(size, patch, overlap):
    return spread(size, patch, -((patch - size) // stride(patch, overlap)))


@wrong("31.3", "rounded down")
def too_few(size, patch, overlap):
    return spread(size, patch, (size - patch) // stride(patch, overlap) + 1)


@wrong("31.3", "overlap as step")
def moves_by_the_overlap(size, patch, overlap):
    return spread(size, patch, -((patch - size) // max(1, int(patch * overlap))) + 1)


@wrong("31.3", "overlap ignored")
def side_by_side(size, patch, overlap):
    return spread(size, patch, -((patch - size) // patch) + 1)


@wrong("31.3", "one window too many")
def whole_size_divided(size, patch, overlap):
    return spread(size, patch, -(-size // stride(patch, overlap)) + 1)


@wrong("31.3", "step rounded")
def nearest_step(size, patch, overlap):
    step = max(1, round(patch * (1 - overlap)))
    return spread(size, patch, -((patch - size) // step) + 1)


@wrong("31.3", "starts cut off")
def truncated(size, patch, overlap):
    return np.linspace(0, size - patch, -((patch - size) // stride(patch, overlap)) + 1).astype(int)


@wrong("31.3", says="Whole numbers are asked for")
def not_rounded(size, patch, overlap):
    return np.linspace(0, size - patch, -((patch - size) // stride(patch, overlap)) + 1)


# 31.4 stitching


def bell(n, width=8.0, middle=None):
    at = np.arange(n) - ((n - 1) / 2 if middle is None else middle)
    return np.exp(-0.5 * (at * width / n) ** 2)


def box(shape, **how):
    d, h, w = (bell(n, **how) for n in shape)
    return np.einsum("i,j,k->ijk", d, h, w)


def places(corners, shape):
    for corner in corners:
        yield (slice(None), *(slice(int(a), int(a) + n) for a, n in zip(corner, shape, strict=True)))


def blend(pieces, corners, size, weight, divide=True, eps=0.0):
    top, bottom = np.zeros((pieces.shape[1], *size)), np.zeros((1, *size))
    for piece, where in zip(pieces, places(corners, pieces.shape[2:]), strict=True):
        top[where] += weight * piece
        bottom[where] += weight
    return top / (bottom + eps) if divide else top


@wrong("31.4", "not divided")
def only_summed(pieces, corners, size):
    return blend(pieces, corners, size, box(pieces.shape[2:]), divide=False)


@wrong("31.4", "divided by the number")
def over_the_count(pieces, corners, size):
    count = blend(np.ones_like(pieces), corners, size, 1.0, divide=False)
    return blend(pieces, corners, size, box(pieces.shape[2:]), divide=False) / count


@wrong("31.4", "equal weights")
def plain_mean(pieces, corners, size):
    return blend(pieces, corners, size, np.ones(pieces.shape[2:]))


@wrong("31.4", "the last one wins")
def overwritten(pieces, corners, size):
    out = np.zeros((pieces.shape[1], *size))
    for piece, where in zip(pieces, places(corners, pieces.shape[2:]), strict=True):
        out[where] = piece
    return out


@wrong("31.4", "weights added")
def sum_of_bells(pieces, corners, size):
    d, h, w = map(bell, pieces.shape[2:])
    return blend(pieces, corners, size, d[:, None, None] + h[None, :, None] + w[None, None])


@wrong("31.4", "bell off the middle")
def half_a_voxel_off(pieces, corners, size):
    d, h, w = (bell(n, middle=n / 2) for n in pieces.shape[2:])
    return blend(pieces, corners, size, np.einsum("i,j,k->ijk", d, h, w))


@wrong("31.4", "bell too wide")
def quarter(pieces, corners, size):
    return blend(pieces, corners, size, box(pieces.shape[2:], width=4.0))


@wrong("31.4", "small number added")
def afraid_of_zero(pieces, corners, size):
    return blend(pieces, corners, size, box(pieces.shape[2:]), eps=1e-8)


@wrong("31.4", "millionth added")
def more_afraid_of_zero(pieces, corners, size):
    return blend(pieces, corners, size, box(pieces.shape[2:]), eps=1e-6)


@wrong("31.4", says="changed its input")
def weighted_in_place(pieces, corners, size):
    weight = box(pieces.shape[2:])
    bottom = blend(np.ones_like(pieces), corners, size, weight, divide=False)[:1]
    pieces *= weight
    return blend(pieces, corners, size, 1.0, divide=False) / bottom


# 31.5 ensemble


def softmax(z, axis=1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@wrong("31.5", "mean of the labels")
def labels_averaged(logits):
    return softmax(logits).argmax(axis=1).mean(axis=0).round().astype(int)


@wrong("31.5", "vote")
def majority(logits):
    votes = np.eye(logits.shape[1])[logits.argmax(1)]  # (M, D, H, W, K)
    return votes.sum(0).argmax(-1)


@wrong("31.5", "mean of the logits")
def loudest(logits):
    return softmax(logits.mean(0, keepdims=True))[0].argmax(0)


@wrong("31.5", "not divided by the sum")
def only_exp(logits):
    shifted = np.exp(logits)
    return np.argmax(np.mean(shifted, axis=0), axis=0)


@wrong("31.5", "not divided by the sum")
def only_safe_exp(logits):
    return np.exp(logits - logits.max()).mean(0).argmax(0)


@wrong("31.5", "largest taken off, not divided")
def half_a_softmax(logits):
    return np.exp(logits - logits.max(axis=1, keepdims=True)).mean(axis=0).argmax(axis=0)


@wrong("31.5", "smallest class")
def least_likely(logits):
    return softmax(logits).mean(0).argmin(0)


@wrong("31.5", "softmax over the networks")
def wrong_axis(logits):
    return softmax(logits, axis=0).mean(axis=0).argmax(axis=0)


@wrong("31.5", "the surest network")
def surest(logits):
    return softmax(logits).max(axis=0).argmax(axis=0)


@wrong("31.5", "first network")
def one_is_enough(logits):
    return softmax(logits)[0].argmax(axis=0)


@wrong("31.5", "probabilities, not labels")
def no_argmax(logits):
    return softmax(logits).mean(axis=0)


@wrong("31.5", says="count rows and columns")
def mean_over_classes(logits):
    return softmax(logits).mean(axis=1).argmax(axis=1)
