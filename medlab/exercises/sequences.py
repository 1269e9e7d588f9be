"""Lesson 24: reading slices both ways, neighbours as channels, a convolutional LSTM, roughness, attention pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from medlab.exercises._engine import Case, Exercise, Mistake, case

# 24.1


def my_two_ways(x: np.ndarray, keep: float) -> np.ndarray:
    """A running mean along a sequence, read from both ends.

    Read forwards, the state is h_t = keep * h_(t-1) + (1 - keep) * x_t, with a state of 0 before the first step. Read
    backwards it is the same, but begins at the last element.

    Args:
        x: (T,) float, one number a slice.
        keep: how much of the old state stays, 0 to 1.

    Returns:
        (T, 2) float: column 0 the forward states, column 1 the backward ones. Row t belongs to slice t in both.
    """

    def read(values: np.ndarray) -> np.ndarray:
        states, state = np.zeros(len(values)), 0.0
        for t, value in enumerate(values):
            state = keep * state + (1 - keep) * value
            states[t] = state
        return states

    return np.stack([read(x), read(x[::-1])[::-1]], axis=1)


def _two_ways_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([1.0, 0.0, 3.0]), 0.5)
    for keep in (0.25, 0.5, 0.9):
        yield case(rng.normal(size=int(rng.integers(2, 8))), keep)


def _read(values: np.ndarray, keep: float, start: float = 0.0) -> np.ndarray:
    states, state = [], start
    for value in values:
        state = keep * state + (1 - keep) * value
        states.append(state)
    return np.array(states)


def _late(values: np.ndarray, keep: float) -> np.ndarray:
    return np.concatenate([[0.0], _read(values, keep)[:-1]])


TWO_WAYS = Exercise(
    id="24.1",
    module=__name__,
    name="my_two_ways",
    title="Read both ways",
    dots=1,
    hints=(
        "Write the forward loop first: one state, from slice to slice, and keep every state on the way.",
        "Backwards: hand `x[::-1]` to the same loop. Its first state belongs to the last slice: turn it round again.",
    ),
    why=(
        "Two readers with the same rule, one from either end, and both know the slice they stand on. The backward "
        "states come out in the order of reading, last slice first: without the second reversal, slice 0 would get the "
        "state of the other end of the patient. This is what torch's `bidirectional=True` does."
    ),
    cases=_two_ways_cases,
    mistakes=(
        Mistake(
            "not turned back",
            "The backward column is upside down: its states come in the order of reading, last slice first.",
            lambda x, keep: np.stack([_read(x, keep), _read(x[::-1], keep)], axis=1),
        ),
        Mistake(
            "forwards twice",
            "Both columns are the forward reading: the second must begin at the last slice.",
            lambda x, keep: np.stack([_read(x, keep)] * 2, axis=1),
        ),
        Mistake(
            "output reversed, not input",
            "The backward column is the forward one turned round: turn the input round first, then the states.",
            lambda x, keep: np.stack([_read(x, keep), _read(x, keep)[::-1]], axis=1),
        ),
        Mistake(
            "keep and new swapped",
            "It looks as if `keep` weighs the new number: it weighs the old state, and `1 - keep` the new number.",
            lambda x, keep: np.stack([_read(x, 1 - keep), _read(x[::-1], 1 - keep)[::-1]], axis=1),
        ),
        Mistake(
            "starts at the first number",
            "It looks as if the state began as the first number read: before the first step it is 0.",
            lambda x, keep: np.stack([_read(x, keep, x[0]), _read(x[::-1], keep, x[-1])[::-1]], axis=1),
        ),
        Mistake(
            "columns swapped",
            "The two columns changed places: forward comes first.",
            lambda x, keep: np.stack([_read(x[::-1], keep)[::-1], _read(x, keep)], axis=1),
        ),
        Mistake(
            "state before the step",
            "The states are one step late: row t is the state after slice t, and the first already knows one slice.",
            lambda x, keep: np.stack([_late(x, keep), _late(x[::-1], keep)[::-1]], axis=1),
        ),
        Mistake(
            "goes on from the other end",
            "The backward reading begins with what the forward one left behind: set the state to 0 again.",
            lambda x, keep: np.stack([_read(x, keep), _read(x[::-1], keep, _read(x, keep)[-1])[::-1]], axis=1),
        ),
        Mistake(
            "new number not weighed",
            "The new number comes in whole: it is weighed by `1 - keep`, or the states grow.",
            lambda x, keep: np.stack([_read(x, keep), _read(x[::-1], keep)[::-1]], axis=1) / (1 - keep),
        ),
    ),
)
check_two_ways = TWO_WAYS.check


# 24.2


def my_conv_lstm_step(
    seen: np.ndarray, h: np.ndarray, c: np.ndarray, remember: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of a convolutional LSTM: what the LSTM of lesson 23 does, for every pixel of a map.

    Args:
        seen: (4 K, H, W) float, what the input says to the gates, bias included: K channels each for input gate,
            forget gate, new content and output gate.
        h: (K, H, W) float, the state before.
        c: (K, H, W) float, the cell before.
        remember: (4 K, K, 3, 3) float, kernels from the state to the gates; cross-correlation, padded with 0.

    Returns:
        (new h, new c), each (K, H, W).
    """
    height, width = h.shape[1:]
    padded = np.pad(h, ((0, 0), (1, 1), (1, 1)))
    a = seen.copy()
    for i in range(3):
        for j in range(3):
            a += np.einsum("ok,khw->ohw", remember[:, :, i, j], padded[:, i : i + height, j : j + width])
    a_i, a_f, a_g, a_o = np.split(a, 4)  # (K, H, W) each
    gate_i, gate_f, gate_o = (1 / (1 + np.exp(-gate)) for gate in (a_i, a_f, a_o))
    c = gate_f * c + gate_i * np.tanh(a_g)
    return gate_o * np.tanh(c), c


def _conv_lstm_cases(rng: np.random.Generator) -> Iterator[Case]:
    spread = np.zeros((4, 1, 3, 3))
    spread[2, 0] = [[0, 3, 0], [2, 0, 1], [0, 0, 0]]
    h = np.array([[[0.0, 0.5, 0.0]]])
    yield case(np.zeros((4, 1, 3)), h, np.array([[[1.0, 0.0, -1.0]]]), spread)
    for k in (1, 2, 2, 3):
        height, width = rng.integers(2, 5, 2)
        maps = rng.normal(size=(4 * k, height, width)), rng.normal(size=(k, height, width))
        yield case(*maps, 2 * rng.normal(size=(k, height, width)), rng.normal(size=(4 * k, k, 3, 3)))


def _conv_lstm(
    seen: np.ndarray, h: np.ndarray, c: np.ndarray, remember: np.ndarray, **how: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The step with one thing done otherwise."""
    height, width = h.shape[1:]
    padded = np.pad(h, ((0, 0), (1, 1), (1, 1)), mode=how.get("pad", "constant"))
    kernels = remember[:, :, ::-1, ::-1] if how.get("flip") else remember
    kernels = kernels.swapaxes(2, 3) if how.get("turn") else kernels
    places = [(1, 1)] if how.get("centre") else [(i, j) for i in range(3) for j in range(3)]
    a = seen + sum(
        np.einsum("ok,khw->ohw", kernels[:, :, i, j], padded[:, i : i + height, j : j + width]) for i, j in places
    )
    if how.get("deaf"):
        a = seen
    parts = dict(zip(how.get("order", "ifgo"), np.split(a, 4), strict=True))
    i, f, o, soft = (1 / (1 + np.exp(-parts[name])) for name in "ifog")
    new = f * c + i * (soft if how.get("soft") else np.tanh(parts["g"]))
    results = o * (new if how.get("bare") else np.tanh(new)), new
    return results[::-1] if how.get("swap") else results


CONV_LSTM = Exercise(
    id="24.2",
    module=__name__,
    name="my_conv_lstm_step",
    title="One step of a convolutional LSTM",
    dots=3,
    hints=(
        "It is exercise 23.4 with one change: what the state says to the gates comes out of a 3 x 3 cross-correlation.",
        (
            "Pad h by one pixel of 0 all round. Kernel place (i, j) meets `padded[:, i : i + H, j : j + W]`; multiply "
            'by `remember[:, :, i, j]` with `np.einsum("ok,khw->ohw", ...)` and add up all nine.'
        ),
        "Then cut the sum of `seen` and this into four, `np.split(a, 4)`, and go on pixel by pixel as in lesson 23.",
    ),
    why=(
        "A matrix product becomes a cross-correlation, and everything else stays, for every pixel at once. So a pixel "
        "remembers not only itself but what its neighbours held one slice before: a border that moves sideways from "
        "slice to slice can be followed. Source: Shi et al. 2015, arXiv:1506.04214, equation 3 without peepholes."
    ),
    cases=_conv_lstm_cases,
    parts=("new h", "new c"),
    mistakes=(
        Mistake(
            "state not read",
            "The old state seems to say nothing to the gates: add its cross-correlation with `remember` to `seen`.",
            partial(_conv_lstm, deaf=True),
        ),
        Mistake(
            "only the pixel itself",
            "It looks as if a pixel listens to itself alone: all nine places of the 3 x 3 kernel count.",
            partial(_conv_lstm, centre=True),
        ),
        Mistake(
            "kernel flipped",
            "It looks as if the kernels were flipped: this is cross-correlation, as in lesson 20.",
            partial(_conv_lstm, flip=True),
        ),
        Mistake(
            "edges repeated",
            "At the border it looks as if the edge pixels were repeated: pad the state with 0.",
            partial(_conv_lstm, pad="edge"),
        ),
        Mistake(
            "input and forget gate swapped",
            "The first two gates look swapped: the input gate's channels come first, then the forget gate's.",
            partial(_conv_lstm, order="figo"),
        ),
        Mistake(
            "content and output gate swapped",
            "The last two parts look swapped: the new content comes third, the output gate last.",
            partial(_conv_lstm, order="ifog"),
        ),
        Mistake(
            "sigmoid on the content",
            "The new content looks as if it went through a sigmoid: gates are sigmoids, the content is a tanh.",
            partial(_conv_lstm, soft=True),
        ),
        Mistake(
            "tanh of the cell forgotten",
            "The cell looks right, the state does not: the cell goes through a tanh before the output gate.",
            partial(_conv_lstm, bare=True),
        ),
        Mistake(
            "kernel transposed",
            "Rows and columns of the kernels changed places: `remember[:, :, i, j]` is row i, column j.",
            partial(_conv_lstm, turn=True),
        ),
        Mistake(
            "results swapped",
            "The two results changed places: the new h comes first, then the new c.",
            partial(_conv_lstm, swap=True),
        ),
    ),
)
check_conv_lstm_step = CONV_LSTM.check


# 24.3


def my_neighbours(volume: np.ndarray, context: int) -> np.ndarray:
    """Every slice together with its neighbours, as channels: the input of a 2.5D network.

    Args:
        volume: (D, H, W) float.
        context: how many neighbours on either side come along, 0 or more.

    Returns:
        (D, 2 * context + 1, H, W) float: item z holds the slices z - context ... z + context, in this order. Beyond the
        ends of the volume the end slice stands in.
    """
    depth = len(volume)
    wanted = np.arange(depth)[:, None] + np.arange(-context, context + 1)  # (D, 2 * context + 1)
    return volume[np.clip(wanted, 0, depth - 1)]


def _neighbours_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), 1)
    for context, depth in ((1, 4), (2, 3), (2, 5), (0, 3), (3, 2)):
        height, width = rng.integers(1, 4, 2)
        yield case(rng.normal(size=(depth, height, width)), context)


def _stacked(volume: np.ndarray, shifts: np.ndarray, place: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    wanted = np.arange(len(volume))[:, None] + shifts
    return volume[place(wanted, len(volume))]


def _ends(z: np.ndarray, depth: int) -> np.ndarray:
    return np.clip(z, 0, depth - 1)


def _zero_padded(volume: np.ndarray, context: int) -> np.ndarray:
    padded = np.pad(volume, ((context, context), (0, 0), (0, 0)))
    return np.stack([padded[z : z + 2 * context + 1] for z in range(len(volume))])


def _mirrored(z: np.ndarray, depth: int) -> np.ndarray:
    period = max(1, 2 * (depth - 1))
    z = np.abs(z) % period
    return np.minimum(z, period - z) if depth > 1 else np.zeros_like(z)


NEIGHBOURS = Exercise(
    id="24.3",
    module=__name__,
    name="my_neighbours",
    title="Neighbours as channels",
    dots=2,
    hints=(
        "For slice z the channels are the slices z - context ... z + context: 2 * context + 1 of them.",
        "An array of whole numbers can index the first axis: `volume[indices]` with indices of shape (D, channels).",
        "`np.clip(indices, 0, D - 1)` lets the end slices stand in for those that do not exist.",
    ),
    why=(
        "Adding a column of slice numbers (D, 1) and a row of offsets (2 * context + 1,) gives the number of every "
        "wanted slice; clipped, it repeats the ends; used as an index it gathers all slices at once. Repeating the end "
        "keeps what comes in alike to real slices; zeros or the slice from the other end would not."
    ),
    cases=_neighbours_cases,
    mistakes=(
        Mistake(
            "wraps around",
            "At the ends, slices of the other end of the volume come in, as `np.roll` or a negative index does: "
            "repeat the end slice instead.",
            lambda volume, context: _stacked(volume, np.arange(-context, context + 1), lambda z, d: z % d),
        ),
        Mistake(
            "zeros beyond the ends",
            "Beyond the ends there are zeros: repeat the end slice instead, so that it looks like a slice.",
            _zero_padded,
        ),
        Mistake(
            "mirrored ends",
            "Beyond the ends the slices are mirrored: the end slice itself stands in, `np.clip`.",
            lambda volume, context: _stacked(volume, np.arange(-context, context + 1), _mirrored),
        ),
        Mistake(
            "order reversed",
            "The channels run the wrong way: the slice below, z - context, comes first.",
            lambda volume, context: _stacked(volume, np.arange(context, -context - 1, -1), _ends),
        ),
        Mistake(
            "only those before",
            "All the neighbours look like slices before z: half of them come after it.",
            lambda volume, context: _stacked(volume, np.arange(-2 * context, 1), _ends),
        ),
        Mistake(
            "only those after",
            "All the neighbours look like slices after z: half of them come before it.",
            lambda volume, context: _stacked(volume, np.arange(2 * context + 1), _ends),
        ),
    ),
)
check_neighbours = NEIGHBOURS.check


# 24.4


def my_roughness(labels: np.ndarray) -> float:
    """How many voxels stand alone along z, for every labelled voxel.

    A voxel stands alone if its label differs from that of the slice before and from that of the slice after, at the
    same place. Voxels of the first and the last slice have one neighbour only and never count as alone.

    Args:
        labels: (D, H, W) whole numbers, 0 is the background; it can stand alone as well, as a hole in one slice.

    Returns:
        Voxels that stand alone over voxels that are not background, in the whole volume; 0 if there is no such voxel.
    """
    inner = labels[1:-1]
    alone = (inner != labels[:-2]) & (inner != labels[2:])
    labelled = np.count_nonzero(labels)
    return float(alone.sum() / labelled) if labelled else 0.0


def _roughness_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([0, 1, 0, 1, 1]).reshape(5, 1, 1))
    yield case(np.array([1, 2, 3, 3]).reshape(4, 1, 1))
    yield case(np.array([1, 0, 1]).reshape(3, 1, 1))
    yield case(np.zeros((4, 1, 2), dtype=int))
    yield case(np.array([[[0, 1, 0, 0]], [[0, 1, 0, 2]], [[0, 1, 0, 0]]]))
    for _ in range(5):
        depth, height, width = rng.integers(3, 6, 3)
        yield case(rng.integers(0, 3, (depth, height, width)))


def _share_alone(labels: np.ndarray, alone: np.ndarray) -> float:
    return float(alone.sum() / max(np.count_nonzero(labels), 1))


def _around(labels: np.ndarray) -> float:
    return _share_alone(labels, (labels != np.roll(labels, 1, 0)) & (labels != np.roll(labels, -1, 0)))


def _with_ends(labels: np.ndarray) -> float:
    differs = np.ones((len(labels) + 1, *labels.shape[1:]), dtype=bool)
    differs[1:-1] = labels[1:] != labels[:-1]
    return _share_alone(labels, differs[1:] & differs[:-1])


ROUGHNESS = Exercise(
    id="24.4",
    module=__name__,
    name="my_roughness",
    title="Roughness along z",
    dots=1,
    hints=(
        "`labels[1:-1]` are the slices with two neighbours; `labels[:-2]` are those before them. And after?",
        "Alone means: differs from the one before AND from the one after, `&`. Divide by `np.count_nonzero(labels)`.",
    ),
    why=(
        "Shifted slices of the same array compare every voxel with its neighbours at once. A voxel that differs on one "
        "side only is the end of something, and every object has two ends; one that differs on both sides is a spike "
        "or a hole of one slice. Some of these are real, so the truth has a roughness too, and it is the one to reach."
    ),
    cases=_roughness_cases,
    mistakes=(
        Mistake(
            "one side is enough",
            "Voxels were counted that differ on one side only: those are ordinary ends. Both sides must differ.",
            lambda labels: _share_alone(labels, (labels[1:-1] != labels[:-2]) | (labels[1:-1] != labels[2:])),
        ),
        Mistake(
            "along x",
            "It looks as if the neighbours were taken along the last axis: z is the first.",
            lambda labels: _share_alone(
                labels, (labels[..., 1:-1] != labels[..., :-2]) & (labels[..., 1:-1] != labels[..., 2:])
            ),
        ),
        Mistake(
            "along y",
            "It looks as if the neighbours were taken along the middle axis: z is the first.",
            lambda labels: _share_alone(
                labels, (labels[:, 1:-1] != labels[:, :-2]) & (labels[:, 1:-1] != labels[:, 2:])
            ),
        ),
        Mistake(
            "wraps around",
            "It looks as if the first and the last slice were neighbours, as with `np.roll`: they never count.",
            _around,
        ),
        Mistake(
            "ends counted",
            "It looks as if voxels of the first and last slice were counted: they have one neighbour only.",
            _with_ends,
        ),
        Mistake(
            "holes left out",
            "Holes are missing: background between two labelled voxels stands alone as well.",
            lambda labels: _share_alone(
                labels, (labels[1:-1] != labels[:-2]) & (labels[1:-1] != labels[2:]) & (labels[1:-1] > 0)
            ),
        ),
        Mistake(
            "over all voxels",
            "It looks as if you divided by all voxels: empty space would make every volume look smooth.",
            lambda labels: float(((labels[1:-1] != labels[:-2]) & (labels[1:-1] != labels[2:])).sum() / labels.size),
        ),
        Mistake(
            "neighbours must agree",
            "Voxels between two different neighbours are missing: 1, 2, 3 in a row has one that stands alone.",
            lambda labels: _share_alone(labels, (labels[1:-1] != labels[:-2]) & (labels[:-2] == labels[2:])),
        ),
    ),
)
check_roughness = ROUGHNESS.check


# 24.5


def my_attention_pool(features: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """One row of features for a whole volume: the mean over its slices, weighted by attention.

    Args:
        features: (T, F) float, one row a slice.
        scores: (T,) float, how much each slice asks to be heard; any size, also in the thousands.

    Returns:
        (F,) float: the sum of the rows, each times its weight; the weights are the softmax of the scores.
    """
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ features


def _pool_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0.0, np.log(3.0)]))
    yield case(np.array([[1.0], [2.0]]), np.array([1000.0, 1000.0]))
    yield case(np.array([[1.0], [2.0], [4.0]]), np.array([1000.0, 999.0, -2000.0]))
    for _ in range(5):
        steps, count = rng.integers(2, 6, 2)
        yield case(rng.normal(size=(steps, count)), 2 * rng.normal(size=steps))


def _plain_softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum())


def _soft(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


ATTENTION = Exercise(
    id="24.5",
    module=__name__,
    name="my_attention_pool",
    title="Attention over slices",
    dots=2,
    hints=(
        "Softmax turns the scores into weights that are positive and sum to 1: exp, then divide by the sum.",
        "exp(1000) is too large for a float. Subtract the largest score first; the weights stay the same.",
        "`weights @ features` is the weighted sum of the rows.",
    ),
    why=(
        "With equal scores this is the mean, with one score far above the others that slice alone: attention lies "
        "between mean and maximum, and learns where. Whatever the order of the slices, the result is the same. "
        "Source: Ilse, Tomczak, Welling 2018, arXiv:1802.04712, equations 7 and 8."
    ),
    cases=_pool_cases,
    mistakes=(
        Mistake(
            "overflows",
            "The weights are not numbers where the scores are large: exp(1000) overflows. Subtract the largest score "
            "first.",
            lambda features, scores: _plain_softmax(scores) @ features,
        ),
        Mistake(
            "large scores cut off",
            "It looks as if large scores were cut off: then they all count alike. Subtract the largest score instead.",
            lambda features, scores: _plain_softmax(np.minimum(scores, 50)) @ features,
        ),
        Mistake(
            "not divided by the sum",
            "The weights do not sum to 1: divide them by their sum.",
            lambda features, scores: np.exp(scores - scores.max()) @ features,
        ),
        Mistake(
            "scores as weights",
            "It looks as if the scores themselves were the weights: they can be negative. Take their softmax.",
            lambda features, scores: scores / scores.sum() @ features,
        ),
        Mistake(
            "plain mean",
            "That is the plain mean: slices with high scores must count more.",
            lambda features, scores: features.mean(axis=0),
        ),
        Mistake(
            "loudest slice alone",
            "It looks as if only the slice with the highest score was taken: the others count too, by their weights.",
            lambda features, scores: features[scores.argmax()],
        ),
        Mistake(
            "mean of weighted rows",
            "It looks as if you averaged the weighted rows: the weights already sum to 1, so add the rows up.",
            lambda features, scores: (_soft(scores)[:, None] * features).mean(axis=0),
        ),
        Mistake(
            "sigmoid",
            "It looks as if each score went through a sigmoid of its own: the weights must compete, by softmax.",
            lambda features, scores: (0.5 * (1 + np.tanh(scores / 2))) @ features,
        ),
    ),
)
check_attention_pool = ATTENTION.check
