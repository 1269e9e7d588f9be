"""Lesson 23: one step of a recurrent network, the way back through time, clipping, the LSTM, and scores of beats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from medlab.exercises._engine import Case, Exercise, Mistake, case

# 23.1


def my_rnn_step(
    x: np.ndarray, h: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """One step of a simple recurrent network, for a batch, with the weights stored as torch stores them.

    Args:
        x: (B, N) float, what comes in at this step.
        h: (B, H) float, the state before.
        weight_ih: (H, N) float, from the input to the state.
        weight_hh: (H, H) float, from the state to the state.
        bias: (H,) float.

    Returns:
        (B, H) float, the new state: tanh of both contributions and the bias together.
    """
    return np.tanh(x @ weight_ih.T + h @ weight_hh.T + bias)


def _step_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(
        np.array([[1.0]]), np.array([[0.5, 0.0]]), np.array([[0.2], [0.4]]), np.array([[0.5, 1.0], [0.0, 0.5]]),
        np.array([0.1, -0.3]),
    )  # fmt: skip
    for _ in range(8):
        b, n, h = rng.integers(1, 5, 3)
        weights = rng.normal(size=(h, n)), rng.normal(size=(h, h)), rng.normal(size=h)
        yield case(rng.normal(size=(b, n)), rng.normal(size=(b, h)), *weights)


STEP = Exercise(
    id="23.1",
    module=__name__,
    name="my_rnn_step",
    title="One step",
    dots=1,
    hints=(
        "Two affine layers, one for the input and one for the old state, are added up; then comes the tanh.",
        "Shapes: (B, N) must become (B, H) with a weight of (H, N), so it is `x @ weight_ih.T`. And the state?",
    ),
    why=(
        "x W_ih^T is (B, H), h W_hh^T is (B, H), the bias is repeated over the rows, and tanh keeps every number "
        "between -1 and 1. The new state has the shape of the old one: only so can the next step use it."
    ),
    cases=_step_cases,
    mistakes=(
        Mistake(
            "tanh forgotten",
            "It looks as if the tanh was left out: without it, many steps are one long matrix product.",
            lambda x, h, weight_ih, weight_hh, bias: x @ weight_ih.T + h @ weight_hh.T + bias,
        ),
        Mistake(
            "state forgotten",
            "It looks as if the old state was left out. Then nothing is remembered.",
            lambda x, h, weight_ih, weight_hh, bias: np.tanh(x @ weight_ih.T + bias),
        ),
        Mistake(
            "bias forgotten",
            "It looks as if the bias was left out: it is added to every row, before the tanh.",
            lambda x, h, weight_ih, weight_hh, bias: np.tanh(x @ weight_ih.T + h @ weight_hh.T),
        ),
        Mistake(
            "state weight not transposed",
            "The input's part looks right, the state's does not: `weight_hh` is square, so nothing complains when "
            "it is not transposed. Its rows are outputs.",
            lambda x, h, weight_ih, weight_hh, bias: np.tanh(x @ weight_ih.T + h @ weight_hh + bias),
        ),
        Mistake(
            "two tanhs",
            "It looks as if each contribution went through a tanh of its own: add first, then one tanh.",
            lambda x, h, weight_ih, weight_hh, bias: np.tanh(x @ weight_ih.T) + np.tanh(h @ weight_hh.T + bias),
        ),
    ),
)
check_rnn_step = STEP.check


# 23.2


def my_rnn_gradients(
    x: np.ndarray, states: np.ndarray, grad_states: np.ndarray, weight_hh: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of a simple recurrent network, by back-propagation through time.

    The network was h_t = tanh(weight_ih @ x_t + weight_hh @ h_(t-1) + bias), for one sequence.

    Args:
        x: (T, N) float, the inputs x_1 ... x_T.
        states: (T + 1, H) float, the states h_0 ... h_T; h_0 is the one before the first step.
        grad_states: (T, H) float, what the loss says to each of h_1 ... h_T directly: zeros but for the last row if
            the loss sees the last state only.
        weight_hh: (H, H) float.

    Returns:
        (gradient by weight_ih (H, N), gradient by weight_hh (H, H), gradient by bias (H,)).
    """
    steps, hidden = grad_states.shape
    grad_ih, grad_hh, grad_bias = np.zeros((hidden, x.shape[1])), np.zeros((hidden, hidden)), np.zeros(hidden)
    grad_h = np.zeros(hidden)  # what arrives from later steps
    for t in reversed(range(steps)):
        grad_h = grad_h + grad_states[t]  # and what the loss says to this state itself
        grad_a = grad_h * (1 - states[t + 1] ** 2)  # through the tanh, (H,)
        grad_ih += np.outer(grad_a, x[t])
        grad_hh += np.outer(grad_a, states[t])
        grad_bias += grad_a
        grad_h = weight_hh.T @ grad_a  # to the state before
    return grad_ih, grad_hh, grad_bias


def _run(x: np.ndarray, start: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray) -> np.ndarray:
    states = [start]
    for row in x:
        states.append(np.tanh(weight_ih @ row + weight_hh @ states[-1]))
    return np.stack(states)


def _gradient_cases(rng: np.random.Generator) -> Iterator[Case]:
    one = np.array([[0.5]])
    yield case(one, np.array([[0.5], [0.6]]), np.array([[1.0]]), np.array([[2.0]]))
    yield case(np.array([[1.0], [0.0]]), np.array([[0.0], [0.5], [0.25]]), np.array([[0.0], [1.0]]), one)
    for last_only in (True, False) * 4:
        steps, n, hidden = rng.integers(2, 6), rng.integers(1, 4), rng.integers(2, 5)
        x, weight_hh = rng.normal(size=(steps, n)), rng.normal(size=(hidden, hidden))
        states = _run(x, rng.normal(size=hidden) / 2, rng.normal(size=(hidden, n)), weight_hh)
        grad_states = rng.normal(size=(steps, hidden))
        if last_only:
            grad_states[:-1] = 0
        yield case(x, states, grad_states, weight_hh)


def _gradients(
    x: np.ndarray, states: np.ndarray, grad_states: np.ndarray, weight_hh: np.ndarray, **how: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients with one thing done otherwise."""
    steps, hidden = grad_states.shape
    back = weight_hh if how.get("straight") else weight_hh.T
    grads: list[Any] = [np.zeros((hidden, x.shape[1])), np.zeros((hidden, hidden)), np.zeros(hidden)]
    grad_h = np.zeros(hidden)
    for t in reversed(range(steps)):
        grad_h = grad_states[t] + (0 if how.get("no_time") else grad_h)
        if how.get("last_loss_only") and t < steps - 1:
            grad_h = grad_h - grad_states[t]
        grad_a = grad_h if how.get("no_slope") else grad_h * (1 - states[t + 1] ** 2)
        if how.get("old_slope"):
            grad_a = grad_h * (1 - states[t] ** 2)
        before = states[t + 1] if how.get("new_state") else states[t]
        if how.get("skips_start") and t == 0:
            before = np.zeros(hidden)
        found = np.outer(grad_a, x[t]), np.outer(grad_a, before), grad_a
        grads = [new if how.get("overwrite") else old + new for old, new in zip(grads, found, strict=True)]
        grad_h = back @ grad_a
    return grads[0], grads[1], grads[2]


GRADIENTS = Exercise(
    id="23.2",
    module=__name__,
    name="my_rnn_gradients",
    title="Back-propagation through time",
    dots=3,
    hints=(
        (
            "Go from the last step to the first and carry one vector along: the gradient by the state, as the later "
            "steps report it. The same weights work at every step, so their contributions add up."
        ),
        (
            "At step t: add `grad_states[t]` to what was carried, multiply by the tanh's slope `1 - states[t + 1]**2`, "
            "and you have the gradient by what went into the tanh."
        ),
        (
            "That vector times `x[t]` and times `states[t]`, as `np.outer`, is this step's part of the two weights. "
            "`weight_hh.T @` it is what the step before gets."
        ),
    ),
    why=(
        "Unrolled, the network is T layers with the same weights, so it is the chain rule of lesson 21 with two "
        "differences: a weight gets one contribution a step, and they add up; a state gets gradients from two sides, "
        "from the loss directly and from the next step. Each step back multiplies by W_hh^T and by the slope: that "
        "product is what vanishes or explodes."
    ),
    cases=_gradient_cases,
    parts=("gradient by weight_ih", "gradient by weight_hh", "gradient by bias"),
    mistakes=(
        Mistake(
            "not through time",
            "It looks as if nothing was carried to the step before: each state also has an influence through all "
            "later ones.",
            partial(_gradients, no_time=True),
        ),
        Mistake(
            "tanh not passed",
            "It looks as if the tanh's slope was left out: multiply by `1 - states[t + 1]**2`.",
            partial(_gradients, no_slope=True),
        ),
        Mistake(
            "slope of the state before",
            "The tanh's slope looks as if it was taken at the state before: step t ends in `states[t + 1]`.",
            partial(_gradients, old_slope=True),
        ),
        Mistake(
            "new state in weight_hh",
            "The gradient by weight_hh looks as if it was made with the state after the step: the weight multiplied "
            "the one before, `states[t]`.",
            partial(_gradients, new_state=True),
        ),
        Mistake(
            "weight not transposed",
            "It looks as if the way back went through `weight_hh` as it is: backwards it is transposed.",
            partial(_gradients, straight=True),
        ),
        Mistake(
            "overwritten",
            "Only the first step's contribution is left: the same weights are used at every step, so add up, `+=`.",
            partial(_gradients, overwrite=True),
        ),
        Mistake(
            "loss at the last step only",
            "It looks as if only the last row of `grad_states` was used: the loss may speak to every state.",
            partial(_gradients, last_loss_only=True),
        ),
        Mistake(
            "start left out",
            "The gradient by weight_hh looks as if the first step gave nothing to it: there the weight met "
            "`states[0]`, which need not be 0.",
            partial(_gradients, skips_start=True),
        ),
    ),
)
check_rnn_gradients = GRADIENTS.check


# 23.3


def my_clip(grad_ih: np.ndarray, grad_hh: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Shorten a gradient that is too long, without turning it.

    Args:
        grad_ih: float, the gradient by one weight.
        grad_hh: float, the gradient by another weight, of any other shape.
        limit: greatest length, above 0. The length is the root of the sum of all squares, over both arrays together.

    Returns:
        Two new arrays of the same shapes: as they were if the length is at most `limit`, else both multiplied by the
        same factor, so that the length is `limit`.
    """
    length = np.sqrt(np.sum(grad_ih**2) + np.sum(grad_hh**2))
    factor = limit / length if length > limit else 1.0
    return grad_ih * factor, grad_hh * factor


def _clip_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([3.0]), np.array([4.0]), 1.0)
    yield case(np.array([3.0]), np.array([4.0]), 10.0)
    yield case(np.array([0.0]), np.array([0.0, 0.0]), 1.0)
    yield case(np.array([[1.5, -2.0]]), np.array([[0.5], [-0.5]]), 1.0)
    for _ in range(8):
        h, n = rng.integers(1, 4, 2)
        yield case(rng.normal(size=(h, n)), rng.normal(size=(h, h)), float(rng.uniform(0.2, 3)))


def _clip_by(length: Callable[[float, float], float]) -> Callable[..., Any]:
    """Clipping by another idea of the length, made of the two arrays' own lengths."""

    def clip(grad_ih: np.ndarray, grad_hh: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
        total = length(float(np.linalg.norm(grad_ih)), float(np.linalg.norm(grad_hh)))
        factor = limit / total if total > limit else 1.0
        return grad_ih * factor, grad_hh * factor

    return clip


CLIP = Exercise(
    id="23.3",
    module=__name__,
    name="my_clip",
    title="Clip a gradient",
    dots=1,
    hints=(
        "One length for both arrays together: square everything, add it up, take the root. For [3] and [4] it is 5.",
        "If the length is above the limit, multiply both arrays by `limit / length`; if not, by 1.",
    ),
    why=(
        "The gradients by all weights are one long vector that points uphill. One common factor shortens it and keeps "
        "its direction; clipping arrays or values one by one would turn it. A length of 0 is never divided by. "
        "torch.nn.utils.clip_grad_norm_ does the same. Source: Pascanu et al. 2013, arXiv:1211.5063."
    ),
    cases=_clip_cases,
    parts=("clipped grad_ih", "clipped grad_hh"),
    mistakes=(
        Mistake(
            "each array by itself",
            "It looks as if each array was clipped by its own length. That turns the gradient; take one for both.",
            lambda grad_ih, grad_hh, limit: tuple(
                g * min(1.0, limit / max(float(np.linalg.norm(g)), 1e-300)) for g in (grad_ih, grad_hh)
            ),
        ),
        Mistake(
            "value by value",
            "It looks as if each number was cut off at the limit. That turns the gradient; scale all by one factor.",
            lambda grad_ih, grad_hh, limit: (np.clip(grad_ih, -limit, limit), np.clip(grad_hh, -limit, limit)),
        ),
        Mistake(
            "short ones made longer",
            "A gradient that was short enough was made longer: the factor is at most 1.",
            lambda grad_ih, grad_hh, limit: tuple(
                g * limit / np.hypot(np.linalg.norm(grad_ih), np.linalg.norm(grad_hh)) for g in (grad_ih, grad_hh)
            ),
        ),
        Mistake(
            "root forgotten",
            "It looks as if the root was forgotten: the length is the root of the sum of squares.",
            _clip_by(lambda one, other: one**2 + other**2),
        ),
        Mistake(
            "lengths added",
            "It looks as if the two lengths were added up. Add up the squares, then take the root: for [3] and [4] "
            "that gives 5, not 7.",
            _clip_by(lambda one, other: one + other),
        ),
    ),
)
check_clip = CLIP.check


# 23.4


def my_lstm_step(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of an LSTM, for a batch, with the weights stored as torch stores them.

    Args:
        x: (B, N) float, what comes in.
        h: (B, H) float, the state before.
        c: (B, H) float, the cell before.
        weight_ih: (4 H, N) float; its rows are those of input gate, forget gate, new content and output gate.
        weight_hh: (4 H, H) float, in the same order.
        bias: (4 H,) float, in the same order.

    Returns:
        (new h, new c), each (B, H).
    """
    a = x @ weight_ih.T + h @ weight_hh.T + bias  # (B, 4 H)
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)  # (B, H) each
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (a_i, a_f, a_o))
    c = f * c + i * np.tanh(a_g)
    return o * np.tanh(c), c


def _lstm_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(
        np.array([[1.0]]), np.array([[0.5]]), np.array([[2.0]]), np.array([[0.0], [1.0], [0.5], [-1.0]]),
        np.array([[1.0], [0.0], [0.0], [0.0]]), np.array([0.0, 0.5, 0.5, 0.0]),
    )  # fmt: skip
    for _ in range(8):
        b, n, h = rng.integers(1, 5, 3)
        state = rng.normal(size=(b, h)), 2 * rng.normal(size=(b, h))
        weights = rng.normal(size=(4 * h, n)), rng.normal(size=(4 * h, h)), rng.normal(size=4 * h)
        yield case(rng.normal(size=(b, n)), *state, *weights)


def _lstm(
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    order: str = "ifgo",
    how: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """The step with one thing done otherwise."""
    weight_ih, weight_hh, bias = weights
    parts = np.split(x @ weight_ih.T + h @ weight_hh.T + bias, 4, axis=1)
    a = {name: parts[place] for place, name in enumerate(order)}
    i, f, o, soft_g = (1 / (1 + np.exp(-a[name])) for name in "ifog")
    g = soft_g if how == "soft" else np.tanh(a["g"])
    new = (1 - f if how == "inverted" else f) * c + i * g
    if how == "tied":
        new = f * c + (1 - f) * g
    shown = {"bare": new, "old": np.tanh(c)}.get(how, np.tanh(new))
    result = o * shown, new
    return result[::-1] if how == "swapped" else result


def _lstm_otherwise(**how: str) -> Callable[..., Any]:
    return lambda x, h, c, weight_ih, weight_hh, bias: _lstm(x, h, c, (weight_ih, weight_hh, bias), **how)


LSTM = Exercise(
    id="23.4",
    module=__name__,
    name="my_lstm_step",
    title="One step of an LSTM",
    dots=2,
    hints=(
        (
            "First one affine step for all four at once, as in exercise 23.1 but without the tanh: (B, 4 H). Then cut "
            "it along its second axis into four parts, `np.split(a, 4, axis=1)`."
        ),
        (
            "The gates are sigmoids, between 0 and 1; the new content goes through tanh. The new cell is `f * c` plus "
            "`i` times the new content."
        ),
        "The new state is the output gate times the tanh of the *new* cell. Return the state first, then the cell.",
    ),
    why=(
        "All four parts see the same input and state, so one product makes them all; torch's order is i, f, g, o. The "
        "cell is only multiplied by the forget gate and added to: with f near 1 its gradient passes through a step "
        "nearly unchanged. Source: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735, with the forget "
        "gate of Gers et al. 2000, doi:10.1162/089976600300015015."
    ),
    cases=_lstm_cases,
    parts=("new h", "new c"),
    mistakes=(
        Mistake(
            "input and forget gate swapped",
            "The first two gates look swapped: the input gate's rows come first, then the forget gate's.",
            _lstm_otherwise(order="figo"),
        ),
        Mistake(
            "content and output gate swapped",
            "The last two parts look swapped: the new content comes third, the output gate last.",
            _lstm_otherwise(order="ifog"),
        ),
        Mistake(
            "sigmoid on the content",
            "The new content looks as if it went through a sigmoid: gates are sigmoids, the content is a tanh, so "
            "that it can also take away.",
            _lstm_otherwise(how="soft"),
        ),
        Mistake(
            "forget gate inverted",
            "It looks as if `1 - f` of the cell was kept: a forget gate of 1 means keep everything.",
            _lstm_otherwise(how="inverted"),
        ),
        Mistake(
            "input gate not used",
            "It looks as if `1 - f` decided what is written. That is another cell; here the input gate does.",
            _lstm_otherwise(how="tied"),
        ),
        Mistake(
            "tanh of the cell forgotten",
            "The cell looks right, the state does not: the cell goes through a tanh before the output gate.",
            _lstm_otherwise(how="bare"),
        ),
        Mistake(
            "old cell read",
            "The cell looks right, the state does not: it shows the new cell, not the old one.",
            _lstm_otherwise(how="old"),
        ),
        Mistake(
            "state and cell swapped", "The two results changed places: h comes first.", _lstm_otherwise(how="swapped")
        ),
    ),
)
check_lstm_step = LSTM.check


# 23.5


def my_beat_scores(prediction: np.ndarray, truth: np.ndarray, label: int) -> tuple[float, float]:
    """How well one kind of beat is found.

    Args:
        prediction: (n,) int, the class that the network gave to each beat.
        truth: (n,) int, its true class.
        label: the class that is scored.

    Returns:
        (sensitivity, positive predictivity): of the beats that are `label`, the share that was found; and of those that
        were called `label`, the share that is right. A share of no beats at all is 0.
    """
    said, true = prediction == label, truth == label
    right = np.sum(said & true)
    return float(right / max(true.sum(), 1)), float(right / max(said.sum(), 1))


def _beat_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([0, 2, 2, 0]), np.array([0, 2, 0, 0]), 2)
    yield case(np.array([0, 0, 2]), np.array([2, 0, 2]), 2)
    yield case(np.array([0, 0]), np.array([0, 1]), 1)
    yield case(np.array([1, 0]), np.array([0, 0]), 1)
    yield case(np.array([2, 1, 2]), np.array([1, 1, 2]), 1)
    for _ in range(8):
        n = int(rng.integers(5, 15))
        yield case(rng.integers(0, 3, n), rng.integers(0, 3, n), int(rng.integers(0, 3)))


def _beat_share(prediction: np.ndarray, truth: np.ndarray, label: int, how: str) -> tuple[float, float]:
    said, true = prediction == label, truth == label
    right = float(np.sum(said & true))
    sensitivity, predictivity = right / max(true.sum(), 1), right / max(said.sum(), 1)
    specificity = float(np.sum(~said & ~true) / max(np.sum(~true), 1))
    accuracy = float(np.mean(said == true))
    negative = float(np.sum(~said & ~true) / max(np.sum(~said), 1))
    return {
        "swapped": (predictivity, sensitivity),
        "specificity": (sensitivity, specificity),
        "accuracy": (accuracy, predictivity),
        "negative": (sensitivity, negative),
        "of all": (right / len(truth), right / len(truth)),
        "nothing": (sensitivity if true.any() else 1.0, predictivity if said.any() else 1.0),
    }[how]


BEATS = Exercise(
    id="23.5",
    module=__name__,
    name="my_beat_scores",
    title="Sensitivity and positive predictivity",
    dots=1,
    hints=(
        "Three counts are enough: how many beats are `label`, how many were called `label`, and how many are both.",
        (
            "`(prediction == label) & (truth == label)` marks those that are both. Divide their number by the two "
            "others; `max(count, 1)` keeps a share of nothing at 0."
        ),
    ),
    why=(
        "Sensitivity = found / true asks how many were missed, positive predictivity = found / called asks how many "
        "alarms are false. Neither counts the normal beats that were rightly left alone: there are so many that any "
        "score with them looks good. Elsewhere they are called recall and precision."
    ),
    cases=_beat_cases,
    parts=("sensitivity", "positive predictivity"),
    mistakes=(
        Mistake(
            "swapped",
            "The two changed places: sensitivity divides by the beats that are `label`, and comes first.",
            lambda prediction, truth, label: _beat_share(prediction, truth, label, "swapped"),
        ),
        Mistake(
            "specificity",
            "The second looks like the specificity, the share of other beats that were left alone. Here it is the "
            "share of the alarms that are right.",
            lambda prediction, truth, label: _beat_share(prediction, truth, label, "specificity"),
        ),
        Mistake(
            "accuracy",
            "The first looks like the accuracy: it counts the other beats too. Divide by the beats that are `label`.",
            lambda prediction, truth, label: _beat_share(prediction, truth, label, "accuracy"),
        ),
        Mistake(
            "negative predictivity",
            "The second looks like the negative predictivity: look at the beats that were called `label`, not at the "
            "others.",
            lambda prediction, truth, label: _beat_share(prediction, truth, label, "negative"),
        ),
        Mistake(
            "share of all",
            "It looks as if you divided by the number of all beats.",
            lambda prediction, truth, label: _beat_share(prediction, truth, label, "of all"),
        ),
        Mistake(
            "a share of nothing is 1",
            "A share of no beats at all is 0 here: who calls no beat `label` has found none.",
            lambda prediction, truth, label: _beat_share(prediction, truth, label, "nothing"),
        ),
    ),
)
check_beat_scores = BEATS.check
