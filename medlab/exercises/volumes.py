"""Lesson 31: sight in millimetres, patches, windows, blending, ensembles."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from medlab.exercises._engine import Case, Exercise, Mistake, case

# 31.1


def my_receptive_field_mm(kernels: list, strides: list, spacing_mm: tuple) -> np.ndarray:
    """How far one output voxel of a stack of layers sees, along every axis.

    Args:
        kernels: one (z, y, x) a layer, from the input on: sizes of its window in its own voxels.
        strides: one (z, y, x) a layer: how far the window moves; later layers work on what is left.
        spacing_mm: (z, y, x), edges of a voxel of the input.

    Returns:
        (3,) float, the edges of the box in mm. Every voxel counts with its whole edge.
    """
    field, step = np.ones(3), np.ones(3)  # in voxels of the input
    for kernel, stride in zip(kernels, strides, strict=True):
        field = field + (np.array(kernel) - 1) * step
        step = step * np.array(stride)
    return field * np.array(spacing_mm)


def _field_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case([(3, 3, 3)], [(1, 1, 1)], (1.0, 1.0, 1.0))
    yield case([(3, 3, 3)], [(1, 1, 1)], (5.0, 1.0, 1.0))
    yield case([(2, 2, 2), (3, 3, 3)], [(2, 2, 2), (1, 1, 1)], (1.0, 1.0, 1.0))
    yield case([(1, 3, 3), (1, 2, 2), (3, 3, 3)], [(1, 1, 1), (1, 2, 2), (1, 1, 1)], (5.0, 2.0, 1.0))
    for _ in range(6):
        layers = int(rng.integers(2, 5))
        kernels = [tuple(int(n) for n in rng.integers(1, 5, 3)) for _ in range(layers)]
        strides = [tuple(int(n) for n in rng.integers(1, 3, 3)) for _ in range(layers)]
        yield case(kernels, strides, tuple(float(n) for n in rng.choice([0.5, 0.8, 2.0, 5.0], 3, replace=False)))


def _field(kernels: Any, strides: Any, spacing_mm: Any, **how: Any) -> np.ndarray:
    """The field with one thing done otherwise."""
    field, step = np.full(3, float(how.get("start", 1))), np.ones(3)
    for kernel, stride in zip(kernels, strides, strict=True):
        if how.get("stride_first"):
            step = step * np.array(stride)
        field = field + (np.array(kernel) - how.get("less", 1)) * (1 if how.get("no_stride") else step)
        if not how.get("stride_first"):
            step = step + np.array(stride) - 1 if how.get("added") else step * np.array(stride)
    if how.get("voxels"):
        return field
    scale = np.array(spacing_mm)
    return field * (scale[::-1] if how.get("turned") else scale)


def _field_from_the_output(kernels: Any, strides: Any, spacing_mm: Any) -> np.ndarray:
    """The recursion that goes from the output to the input, run from the input to the output."""
    field = np.ones(3)
    for kernel, stride in zip(kernels, strides, strict=True):
        field = (field - 1) * np.array(stride) + np.array(kernel)
    return field * np.array(spacing_mm)


RECEPTIVE_FIELD = Exercise(
    id="31.1",
    module=__name__,
    name="my_receptive_field_mm",
    title="Sight in millimetres",
    dots=1,
    hints=(
        "In voxels, along one axis: begin with 1. A layer with kernel k adds k - 1 steps. How long is a step?",
        "A step begins at 1 voxel of the input, and is multiplied by the stride of every layer that has gone before.",
        "At the end multiply voxels by their edges: `field * np.array(spacing_mm)`, all three axes at once.",
    ),
    why=(
        "Along every axis the field grows by (kernel - 1) times the product of the strides so far. The network counts "
        "voxels; anatomy has millimetres. With slices 5 mm thick and pixels of 1 mm the same 3 x 3 x 3 kernel sees "
        "15 mm of one and 3 mm of the other, so thick slices are pooled later, and get flat kernels first."
    ),
    cases=_field_cases,
    mistakes=(
        Mistake(
            "voxels",
            "That is the field in voxels: a voxel is spacing_mm long.",
            partial(_field, voxels=True),
        ),
        Mistake(
            "strides ignored",
            "It looks as if the strides were ignored: behind a stride of 2 a step is two voxels of the input long.",
            partial(_field, no_stride=True),
        ),
        Mistake(
            "own stride",
            "A layer's own stride was used for its own kernel. It only spreads the layers that come after it.",
            partial(_field, stride_first=True),
        ),
        Mistake(
            "axes turned round",
            "The spacing seems to be turned round: it stands in the order (z, y, x), as the kernels do.",
            partial(_field, turned=True),
        ),
        Mistake(
            "whole kernels added",
            "Whole kernels were added. Windows overlap: a kernel of 3 adds 2 steps to what is seen already.",
            partial(_field, less=0),
        ),
        Mistake(
            "first voxel forgotten",
            "One voxel is missing along every axis: without any layer a voxel sees itself, so begin with 1.",
            partial(_field, start=0),
        ),
        Mistake(
            "strides added",
            "It looks as if strides were added up. Two strides of 2, one after the other, make a step of 4.",
            partial(_field, added=True),
        ),
        Mistake(
            "from the wrong end",
            "The formula that multiplies the field by every stride begins at the last layer. From the first layer on, "
            "the step grows instead.",
            _field_from_the_output,
        ),
    ),
)
check_receptive_field_mm = RECEPTIVE_FIELD.check


# 31.2


def my_patch_start(centre: np.ndarray, patch: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Where a patch begins that should have a given voxel in its middle, but must lie inside the volume.

    Args:
        centre: (3,) whole numbers, the voxel (z, y, x).
        patch: (3,) whole numbers, size of the patch, at most that of the volume.
        size: (3,) whole numbers, size of the volume.

    Returns:
        (3,) whole numbers, the lowest corner: centre - patch // 2, moved as little as needed to stay inside.
    """
    return np.clip(centre - patch // 2, 0, size - patch)


def _start_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([5, 5, 5]), np.array([4, 3, 2]), np.array([10, 11, 12]))
    yield case(np.array([0, 1, 5]), np.array([4, 4, 4]), np.array([9, 10, 12]))
    yield case(np.array([8, 9, 5]), np.array([4, 4, 4]), np.array([9, 10, 12]))
    yield case(np.array([3, 0, 6]), np.array([7, 7, 7]), np.array([7, 8, 7]))
    for _ in range(8):
        size = rng.integers(6, 20, 3)
        yield case(rng.integers(0, size), rng.integers(2, size + 1), size)


PATCH_START = Exercise(
    id="31.2",
    module=__name__,
    name="my_patch_start",
    title="A patch around a voxel",
    dots=1,
    hints=(
        "Half a patch before the centre: `centre - patch // 2`. When is that below 0?",
        "The patch ends at start + patch, which may be at most `size`. So what is the largest start?",
        "`np.clip(values, low, high)` moves what is outside to the nearest end; low and high may be arrays.",
    ),
    why=(
        "clip(centre - patch // 2, 0, size - patch). Near a face of the volume the voxel is no longer in the middle, "
        "but every patch is full. All axes and, with one row a patch, all patches of a batch go through the same "
        "line: no loop, which is what keeps a GPU busy."
    ),
    cases=_start_cases,
    mistakes=(
        Mistake(
            "not clipped",
            "Some patches begin or end outside the volume: move them inside.",
            lambda centre, patch, size: centre - patch // 2,
        ),
        Mistake(
            "low end only",
            "The lower end is held, the upper is not: the patch ends at start + patch, at most at size.",
            lambda centre, patch, size: np.maximum(centre - patch // 2, 0),
        ),
        Mistake(
            "high end only",
            "The upper end is held, the lower is not: a negative start counts from the far end of an array.",
            lambda centre, patch, size: np.minimum(centre - patch // 2, size - patch),
        ),
        Mistake(
            "one too low",
            "The last possible start is size - patch, not one less: with patch = size it must be 0.",
            lambda centre, patch, size: np.clip(centre - patch // 2, 0, size - patch - 1),
        ),
        Mistake(
            "start at the centre",
            "The patch begins at the voxel: it should have it in the middle, half a patch further.",
            lambda centre, patch, size: np.clip(centre, 0, size - patch),
        ),
        Mistake(
            "half rounded up",
            "Odd patches begin one voxel too early: `patch // 2` rounds down, 5 // 2 is 2.",
            lambda centre, patch, size: np.clip(centre - (patch + 1) // 2, 0, size - patch),
        ),
        Mistake(
            "centre moved too far",
            "Some patches were moved although they fit. It looks as if the centre had been held half a patch away "
            "from both ends and then rounded: an odd patch has more on one side.",
            lambda centre, patch, size: np.clip(centre, patch // 2, size - patch // 2 - 1) - patch // 2,
        ),
    ),
)
check_patch_start = PATCH_START.check


# 31.3


def my_window_starts(size: int, patch: int, overlap: float) -> np.ndarray:
    """Where windows begin that cover one axis from end to end.

    From one window to the next it may be `floor(patch * (1 - overlap))` voxels at most, and 1 at least. Take as few
    windows as that allows; the first begins at 0, the last ends at `size`, the others lie evenly between and are
    rounded by `np.round`.

    Args:
        size: length of the axis in voxels, at least `patch`.
        patch: length of a window.
        overlap: share of a window that the next one covers too, 0 to below 1.

    Returns:
        (N,) whole numbers, rising.
    """
    step = max(1, int(np.floor(patch * (1 - overlap))))
    count = int(np.ceil((size - patch) / step)) + 1
    return np.round(np.linspace(0, size - patch, count)).astype(int)


def _windows_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(8, 4, 0.0)
    yield case(4, 4, 0.5)
    yield case(10, 4, 0.0)
    yield case(10, 4, 0.5)
    yield case(11, 4, 0.9)
    yield case(9, 5, 0.5)
    for _ in range(8):
        patch = int(rng.integers(3, 17))
        yield case(patch + int(rng.integers(0, 40)), patch, float(rng.choice([0.0, 0.25, 0.3, 0.5, 0.7])))


def _step(patch: int, overlap: float) -> int:
    return max(1, int(np.floor(patch * (1 - overlap))))


def _count(size: int, patch: int, step: int) -> int:
    return int(np.ceil((size - patch) / step)) + 1


def _exact(size: int, patch: int, count: int) -> np.ndarray:
    return np.linspace(0, size - patch, count)


def _even(size: int, patch: int, count: int) -> np.ndarray:
    return np.round(_exact(size, patch, count)).astype(int)


WINDOW_STARTS = Exercise(
    id="31.3",
    module=__name__,
    name="my_window_starts",
    title="Windows that cover an axis",
    dots=2,
    hints=(
        "The last window begins at `size - patch`. How many steps of at most `floor(patch * (1 - overlap))` get there?",
        "That many steps, rounded up, and one window more than steps: a fence has one post more than fields.",
        "`np.linspace(0, size - patch, count)` spreads them; round, then make whole numbers of them.",
    ),
    why=(
        "count = ceil((size - patch) / step) + 1, and linspace from 0 to size - patch. Fixed steps would let the last "
        "window stick out or leave voxels that no network has seen; spread evenly, every voxel is covered and the "
        "overlap is at least what was asked for."
    ),
    cases=_windows_cases,
    mistakes=(
        Mistake(
            "end not covered",
            "The last voxels are in no window: the last window must end at `size`.",
            lambda size, patch, overlap: np.arange(0, size - patch + 1, _step(patch, overlap)),
        ),
        Mistake(
            "sticks out",
            "The last window ends beyond `size`: there is nothing to cut out.",
            lambda size, patch, overlap: np.arange(0, size, _step(patch, overlap)),
        ),
        Mistake(
            "last one pushed back",
            "It covers the axis, but fixed steps with the last window pushed back overlap unevenly: spread them.",
            lambda size, patch, overlap: np.unique(
                np.append(np.arange(0, size - patch, _step(patch, overlap)), size - patch)
            ),
        ),
        Mistake(
            "fence posts",
            "One window is missing: n steps lead past n + 1 windows.",
            lambda size, patch, overlap: _even(size, patch, int(np.ceil((size - patch) / _step(patch, overlap)))),
        ),
        Mistake(
            "step rounded",
            "The step was rounded to the nearest whole number: it may be `floor(patch * (1 - overlap))` at most.",
            lambda size, patch, overlap: _even(
                size, patch, _count(size, patch, max(1, int(np.round(patch * (1 - overlap)))))
            ),
        ),
        Mistake(
            "starts cut off",
            "The starts were cut off, not rounded: `astype(int)` makes 2 of 2.9. Use `np.round` first.",
            lambda size, patch, overlap: _exact(size, patch, _count(size, patch, _step(patch, overlap))).astype(int),
        ),
        Mistake(
            "rounded down",
            "The number of steps was rounded down: then they are longer than the overlap allows. Round up.",
            lambda size, patch, overlap: _even(size, patch, (size - patch) // _step(patch, overlap) + 1),
        ),
        Mistake(
            "overlap as step",
            "A window moves by the part that does not overlap: patch * (1 - overlap), not patch * overlap.",
            lambda size, patch, overlap: _even(
                size, patch, int(np.ceil((size - patch) / max(1, int(patch * overlap)))) + 1
            ),
        ),
        Mistake(
            "overlap ignored",
            "It looks as if windows moved by a whole patch: the overlap was ignored.",
            lambda size, patch, overlap: _even(size, patch, int(np.ceil((size - patch) / patch)) + 1),
        ),
        Mistake(
            "one window too many",
            "One window more than needed: is the whole `size` divided, not the way `size - patch`?",
            lambda size, patch, overlap: _even(size, patch, int(np.ceil(size / _step(patch, overlap))) + 1),
        ),
    ),
)
check_window_starts = WINDOW_STARTS.check


# 31.4


def my_stitch(pieces: np.ndarray, corners: np.ndarray, size: tuple) -> np.ndarray:
    """Join the answers of overlapping windows, the middle of each counting most.

    A voxel at place i of n along an axis of its window has the weight exp(-((i - (n - 1) / 2) / (n / 8))**2 / 2) of
    that axis; the weights of the three axes are multiplied. Where windows meet, take the weighted mean.

    Args:
        pieces: (N, K, d, h, w) probabilities of K classes in each of N windows.
        corners: (N, 3) whole numbers, where each begins (z, y, x).
        size: (D, H, W) of the volume; every voxel lies in a window at least.

    Returns:
        (K, D, H, W) float, probabilities of the whole volume.
    """
    bells = [np.exp(-(((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) / 2) for n in pieces.shape[2:]]
    weight = bells[0][:, None, None] * bells[1][:, None] * bells[2]  # (d, h, w)
    total, weights = np.zeros((pieces.shape[1], *size)), np.zeros(size)
    for piece, corner in zip(pieces, corners, strict=True):
        z, y, x = (slice(a, a + n) for a, n in zip(corner, weight.shape, strict=True))
        total[:, z, y, x] += piece * weight
        weights[z, y, x] += weight
    return total / weights


def _stitch_cases(rng: np.random.Generator) -> Iterator[Case]:
    one = np.ones((1, 1, 1, 1, 2))
    yield case(np.concatenate([0.2 * one, 0.8 * one]), np.array([[0, 0, 0], [0, 0, 1]]), (1, 1, 3))
    yield case(rng.random((1, 2, 2, 3, 2)), np.array([[0, 0, 0]]), (2, 3, 2))
    for _ in range(5):
        patch = [int(n) for n in rng.integers(2, 5, 3)]
        steps = [int(n) for n in rng.integers(0, 3, 3)]
        size = tuple(p + s for p, s in zip(patch, steps, strict=True))
        ends = [sorted({0, s}) for s in steps]
        corners = np.array([[a, b, c] for a in ends[0] for b in ends[1] for c in ends[2]])
        covered = [s <= p for s, p in zip(steps, patch, strict=True)]
        if all(covered):
            yield case(rng.dirichlet(np.ones(2), (len(corners), *patch)).transpose(0, 4, 1, 2, 3), corners, size)


def _stitched(pieces: np.ndarray, corners: np.ndarray, size: tuple, **how: Any) -> np.ndarray:
    """The stitching with one thing done otherwise."""
    width = how.get("width", 8)
    shift = how.get("middle", 1)
    bells = [np.exp(-(((np.arange(n) - (n - shift) / 2) / (n / width)) ** 2) / 2) for n in pieces.shape[2:]]
    weight = bells[0][:, None, None] * bells[1][:, None] * bells[2]
    if how.get("summed"):
        weight = bells[0][:, None, None] + bells[1][:, None] + bells[2]
    if how.get("equal"):
        weight = np.ones_like(weight)
    total, weights = np.zeros((pieces.shape[1], *size)), np.zeros(size)
    for piece, corner in zip(pieces, corners, strict=True):
        z, y, x = (slice(a, a + n) for a, n in zip(corner, weight.shape, strict=True))
        if how.get("last"):
            total[:, z, y, x] = piece
            weights[z, y, x] = 1
            continue
        total[:, z, y, x] += piece * weight
        weights[z, y, x] += 1 if how.get("counted") else weight
    return total if how.get("not_divided") else total / (weights + how.get("added", 0))


STITCH = Exercise(
    id="31.4",
    module=__name__,
    name="my_stitch",
    title="Blend windows into a volume",
    dots=3,
    hints=(
        "The weight of a window is a box (d, h, w): three bells, multiplied with `[:, None, None]`, `[:, None]`.",
        "Two sums that grow window by window: piece times weight (K, D, H, W), and weight alone (D, H, W).",
        "At the end divide one by the other. Cut out with slices: `slice(corner, corner + length)` along each axis.",
    ),
    why=(
        "total / weights, both summed over the windows. Near the border of a window the network knows only half of the "
        "surroundings, so its answer counts little there. Dividing by the sum of weights makes the classes sum to 1 "
        "again wherever one window, two or eight meet. Source of the width: Isensee et al. 2021, "
        "doi:10.1038/s41592-020-01008-z."
    ),
    cases=_stitch_cases,
    mistakes=(
        Mistake(
            "not divided",
            "The probabilities do not sum to 1: divide by the sum of the weights of each voxel.",
            partial(_stitched, not_divided=True),
        ),
        Mistake(
            "divided by the number",
            "It was divided by how many windows meet: divide by the sum of their weights.",
            partial(_stitched, counted=True),
        ),
        Mistake(
            "equal weights",
            "All voxels of a window count the same: those in the middle should count more.",
            partial(_stitched, equal=True),
        ),
        Mistake(
            "the last one wins",
            "It looks as if each window was written over those before it: that leaves seams. Take the weighted mean.",
            partial(_stitched, last=True),
        ),
        Mistake(
            "weights added",
            "The weights of the three axes were added: multiply them, so that a corner of the box counts least.",
            partial(_stitched, summed=True),
        ),
        Mistake(
            "bell off the middle",
            "The bell is not symmetric: the middle of places 0 to n - 1 is (n - 1) / 2, not n / 2.",
            partial(_stitched, middle=0),
        ),
        Mistake(
            "bell too wide",
            "The bell has another width: its standard deviation is an eighth of the window, n / 8.",
            partial(_stitched, width=4),
        ),
        Mistake(
            "small number added",
            "A small number was added to the sum of the weights. In a corner the weights are as small, so it changes "
            "the answer. Every voxel lies in a window: nothing is divided by 0.",
            partial(_stitched, added=1e-8),
        ),
        Mistake(
            "millionth added",
            "About a millionth was added to the sum of the weights. In a corner they are hardly larger, so the answer "
            "there is too small. Every voxel lies in a window: nothing is divided by 0.",
            partial(_stitched, added=1e-6),
        ),
    ),
)
check_stitch = STITCH.check


# 31.5


def my_ensemble(logits: np.ndarray) -> np.ndarray:
    """The label map on which several networks agree.

    Args:
        logits: (M, K, D, H, W), what each of M networks gives for K classes.

    Returns:
        (D, H, W) whole numbers: the class with the largest mean probability; of equal ones the first.
    """
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)  # (M, K, D, H, W)
    return probabilities.mean(axis=0).argmax(axis=0)


def _ensemble_cases(rng: np.random.Generator) -> Iterator[Case]:
    def voxel(*networks: Any) -> Case:
        return case(np.log(np.array(networks, dtype=float))[:, :, None, None, None])

    yield voxel([0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.6, 0.2, 0.2])  # no class between 0 and 2
    yield voxel([0.55, 0.45], [0.55, 0.45], [0.05, 0.95])  # two votes against one that is sure
    yield voxel([0.999, 0.001], [0.3, 0.7], [0.3, 0.7])
    yield voxel([0.9999, 0.0001], [0.35, 0.65], [0.35, 0.65])
    yield case(np.array([[40.0, 0.0], [-30.0, 8.0], [1.0, 2.0]])[:, :, None, None, None])
    for _ in range(6):
        m, k, d, h, w = (int(n) for n in rng.integers((2, 2, 1, 2, 3), (5, 5, 4, 5, 6)))
        scale = 3 * rng.random((m, 1, 1, 1, 1)) + 0.5
        yield case(rng.normal(size=(m, k, d, h, w)) * scale + rng.normal(size=(m, 1, d, h, w)) * 5)


def _softmax(logits: np.ndarray, axis: int = 1) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _vote(logits: np.ndarray) -> np.ndarray:
    said = logits.argmax(1)
    return np.stack([(said == k).sum(0) for k in range(logits.shape[1])]).argmax(0)


ENSEMBLE = Exercise(
    id="31.5",
    module=__name__,
    name="my_ensemble",
    title="Several networks, one answer",
    dots=2,
    hints=(
        "Which axis holds the classes, and which the networks? Softmax along one, the mean along the other.",
        "Logits first become probabilities, network by network; then the mean; the largest class comes last.",
        "For a safe softmax take the largest logit of each voxel off before `np.exp`.",
    ),
    why=(
        "Softmax per network, mean over networks, then argmax. Logits of different networks have different scales: "
        "the mean of logits lets the loudest one decide. Labels are names: the mean of classes 0 and 2 is not 1. And a "
        "vote forgets how sure each network was."
    ),
    cases=_ensemble_cases,
    mistakes=(
        Mistake(
            "mean of the labels",
            "It looks as if label numbers were averaged: between classes 0 and 2 that invents class 1.",
            lambda logits: np.rint(logits.argmax(1).mean(0)).astype(int),
        ),
        Mistake(
            "vote",
            "It looks like a majority vote, which forgets how sure each network is: average the probabilities.",
            _vote,
        ),
        Mistake(
            "mean of the logits",
            "It looks as if logits were averaged: the network with the largest numbers decides. Softmax comes first.",
            lambda logits: logits.mean(0).argmax(0),
        ),
        Mistake(
            "not divided by the sum",
            "It looks as if `np.exp` was not divided by its sum over the classes: then the classes of a network do not "
            "sum to 1, and the network with the largest numbers decides.",
            lambda logits: np.exp(logits).mean(0).argmax(0),
        ),
        Mistake(
            "largest taken off, not divided",
            "It looks as if the largest logit was taken off before `np.exp`, but nothing was divided by the sum over "
            "the classes: then they do not sum to 1, and networks do not count the same.",
            lambda logits: np.exp(logits - logits.max(1, keepdims=True)).mean(0).argmax(0),
        ),
        Mistake(
            "smallest class",
            "Those are the classes with the smallest mean probability: take `argmax`.",
            lambda logits: _softmax(logits).mean(0).argmin(0),
        ),
        Mistake(
            "softmax over the networks",
            "It looks as if the softmax ran over the networks: the classes, axis 1, must sum to 1.",
            lambda logits: _softmax(logits, 0).mean(0).argmax(0),
        ),
        Mistake(
            "the surest network",
            "It looks as if the surest network decided alone: take the mean, not the maximum.",
            lambda logits: _softmax(logits).max(0).argmax(0),
        ),
        Mistake(
            "first network",
            "It looks as if only the first network was asked.",
            lambda logits: logits[0].argmax(0),
        ),
        Mistake(
            "probabilities, not labels",
            "Those are the mean probabilities: the label is the class where they are largest, `.argmax(...)`.",
            lambda logits: _softmax(logits).mean(0),
        ),
    ),
)
check_ensemble = ENSEMBLE.check
