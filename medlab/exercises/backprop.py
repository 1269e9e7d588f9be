"""Lesson 21: affine layers, softmax and its cross-entropy, the chain rule, momentum and Adam."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medlab.exercises._engine import Case, Exercise, Mistake, case

# 21.1


def my_affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """An affine layer, with the weight stored as torch stores it.

    Args:
        x: (B, N) float, one example a row.
        weight: (M, N) float, one output a row.
        bias: (M,) float.

    Returns:
        (B, M) float: output m of example b is the sum over n of weight[m, n] x[b, n], plus bias[m].
    """
    return x @ weight.T + bias


def _affine_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [3.0, 1.0]]), np.array([10.0, 20.0]))
    yield case(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[1.0, 5.0], [3.0, 1.0]]), np.array([10.0, 20.0]))
    for _ in range(8):
        b, n, m = rng.integers(1, 7, 3)
        yield case(rng.normal(size=(b, n)), rng.normal(size=(m, n)), rng.normal(size=m))


AFFINE = Exercise(
    id="21.1",
    module=__name__,
    name="my_affine",
    title="An affine layer",
    dots=1,
    hints=(
        "Write down the shapes: (B, N) must become (B, M), and the weight is (M, N). Which product leaves B and M?",
        (
            "`A @ B` sums over the last axis of A and the first of B; `.T` turns the weight. The bias is added to "
            "every row."
        ),
    ),
    why=(
        "Row b of x times row m of the weight, summed over the N inputs, is entry (b, m) of x W^T: (B, N) @ (N, M) "
        "gives (B, M). The bias has shape (M,) and NumPy repeats it over the B rows."
    ),
    cases=_affine_cases,
    mistakes=(
        Mistake(
            "bias forgotten",
            "It looks as if the bias was left out: it is added to every row.",
            lambda x, weight, bias: x @ weight.T,
        ),
        Mistake(
            "bias subtracted",
            "It looks as if the bias was subtracted.",
            lambda x, weight, bias: x @ weight.T - bias,
        ),
        Mistake(
            "weight not transposed",
            "It looks as if the weight was not transposed: its rows are outputs, and a matrix product sums over the "
            "rows of its second factor.",
            lambda x, weight, bias: x @ weight + bias,
        ),
        Mistake(
            "result transposed",
            "The result lies on its side: examples are rows, outputs are columns.",
            lambda x, weight, bias: (x @ weight.T + bias).T,
        ),
        Mistake(
            "value by value",
            "`*` multiplies value by value; a matrix product `@` also adds up.",
            lambda x, weight, bias: x * weight + bias,
        ),
    ),
)
check_affine = AFFINE.check


# 21.2


def my_softmax(logits: np.ndarray) -> np.ndarray:
    """Turn every row into probabilities, whatever the size of its numbers.

    Args:
        logits: (B, K) float, from -10000 to 10000, say.

    Returns:
        (B, K) float in [0, 1], every row adding up to 1: exp(logit) over the row's sum of exp.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)  # exp of at most 0 can't overflow
    raised = np.exp(shifted)
    return raised / raised.sum(axis=1, keepdims=True)


def _softmax_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[0.0, 1.0]]))
    yield case(np.array([[1000.0, 1001.0]]))
    yield case(np.array([[0.0, 1.0], [3.0, 1.0]]))
    yield case(np.array([[1000.0, 0.0], [-1000.0, -1001.0]]))
    for _ in range(8):
        yield case(rng.normal(size=rng.integers(1, 6, 2)) * 10.0 ** rng.integers(0, 4))


def _normalised(logits: np.ndarray, axis: int | None) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


def _plain_softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits)
    return raised / raised.sum(axis=1, keepdims=True)


def _softmax_shifted_by_the_whole(logits: np.ndarray) -> np.ndarray:
    return _plain_softmax(logits - logits.max())


SOFTMAX = Exercise(
    id="21.2",
    module=__name__,
    name="my_softmax",
    title="A softmax that does not overflow",
    dots=2,
    hints=(
        (
            "exp(1000) is too large for a computer. What happens to the fraction if the same number is taken from "
            "every logit of a row?"
        ),
        (
            "Take the row's largest value away first: `logits.max(axis=1, keepdims=True)` has shape (B, 1), which "
            "fits (B, K)."
        ),
        "Then exp, then divide by the row's own sum, again with `axis=1, keepdims=True`.",
    ),
    why=(
        "exp(a - c) = exp(a) exp(-c), so subtracting c from a whole row multiplies numerator and denominator alike: "
        "the probabilities do not change. With c the row's maximum the largest exponent is 0 and the sum at least 1, "
        "so there is neither overflow nor 0/0."
    ),
    cases=_softmax_cases,
    mistakes=(
        Mistake(
            "overflow",
            "Small logits are right, large ones are not: exp(1000) overflows, and exp of -1000 everywhere gives 0/0. "
            "Take the row's maximum away first.",
            _plain_softmax,
        ),
        Mistake(
            "maximum of everything",
            "The maximum of the whole array was taken away: a row of much smaller logits then gives 0/0. Every row "
            "has its own maximum.",
            _softmax_shifted_by_the_whole,
        ),
        Mistake(
            "wrong axis",
            "The columns add up to 1. The classes of one example lie in a row: `axis=1`.",
            lambda logits: _normalised(logits, 0),
        ),
        Mistake(
            "whole array",
            "All values together add up to 1. Every row should: sum with `axis=1, keepdims=True`.",
            lambda logits: _normalised(logits, None),
        ),
        Mistake(
            "not divided",
            "The rows do not add up to 1: divide by the row's sum.",
            lambda logits: np.exp(logits - logits.max(axis=1, keepdims=True)),
        ),
        Mistake(
            "logarithm",
            "That is the logarithm of the softmax.",
            lambda logits: np.log(np.maximum(my_softmax(logits), 1e-300)),
        ),
        Mistake(
            "no exponential",
            "It looks as if the logits were divided by their sum without `np.exp`.",
            lambda logits: logits / logits.sum(axis=1, keepdims=True),
        ),
    ),
)
check_softmax = SOFTMAX.check


# 21.3


def my_cross_entropy_gradient(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Derivative of the mean cross-entropy of softmax(logits) by every logit.

    Args:
        logits: (B, K) float.
        target: (B,) integers 0..K-1, the true class of every example.

    Returns:
        (B, K) float.
    """
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradient = raised / raised.sum(axis=1, keepdims=True)
    gradient[np.arange(len(target)), target] -= 1
    return gradient / len(target)


def _cross_entropy_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[0.0, 0.0]]), np.array([1]))
    yield case(np.array([[0.0, 0.0, 0.0]]), np.array([0]))
    yield case(np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([0, 0]))
    yield case(np.array([[1000.0, 0.0, 0.0]]), np.array([1]))
    for _ in range(8):
        b, k = rng.integers(2, 7, 2)
        yield case(rng.normal(size=(b, k)) * 3, rng.integers(0, k, b))


def _one_hot(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.eye(logits.shape[1])[target]


def _log_of_probability_gradient(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return -_one_hot(logits, target) / my_softmax(logits) / len(target)


CROSS_ENTROPY_GRADIENT = Exercise(
    id="21.3",
    module=__name__,
    name="my_cross_entropy_gradient",
    title="Gradient of softmax and cross-entropy",
    dots=2,
    hints=(
        "For one example the loss is log(sum of exp(logits)) minus the true class's logit. Differentiate both parts.",
        "The first part gives the softmax, the second gives 1 at the true class: probabilities minus one-hot.",
        "The loss is the mean over the batch, so every gradient is divided by B.",
    ),
    why=(
        "loss = (1/B) sum over b of (log sum_k exp z_bk - z_b,target). The derivative of the first term is "
        "softmax(z_b), of the second the one-hot row. So the gradient is (softmax - one-hot) / B: how far the "
        "probabilities are from the truth. Every row adds up to 0."
    ),
    cases=_cross_entropy_cases,
    mistakes=(
        Mistake(
            "mean forgotten",
            "It looks as if the mean over the batch was forgotten: divide by B.",
            lambda logits, target: my_softmax(logits) - _one_hot(logits, target),
        ),
        Mistake(
            "mean over classes too",
            "It looks as if you divided by the number of classes too. The mean is over the B examples only.",
            lambda logits, target: (my_softmax(logits) - _one_hot(logits, target)) / logits.size,
        ),
        Mistake(
            "sign",
            "The sign is turned round: the gradient points uphill, so it is positive where a wrong class has "
            "probability.",
            lambda logits, target: (_one_hot(logits, target) - my_softmax(logits)) / len(target),
        ),
        Mistake(
            "one-hot forgotten",
            "That is the softmax over B: the true class still has to lose 1.",
            lambda logits, target: my_softmax(logits) / len(target),
        ),
        Mistake(
            "softmax forgotten",
            "It looks as if the logits themselves were used: they go through the softmax first.",
            lambda logits, target: (logits - _one_hot(logits, target)) / len(target),
        ),
        Mistake(
            "by the probabilities",
            "That is the derivative by the probabilities. The chain goes on through the softmax to the logits.",
            _log_of_probability_gradient,
        ),
        Mistake(
            "overflow",
            "Small logits are right, large ones are not: use the stable softmax of exercise 21.2.",
            lambda logits, target: (_plain_softmax(logits) - _one_hot(logits, target)) / len(target),
        ),
    ),
)
check_cross_entropy_gradient = CROSS_ENTROPY_GRADIENT.check


# 21.4


def my_two_layer_gradients(
    x: np.ndarray, target: np.ndarray, weight1: np.ndarray, weight2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of a two-layer network by the chain rule.

    The network is `h = relu(x @ weight1)`, `y = h @ weight2`; the loss is the mean of (y - target)^2 over all of y.

    Args:
        x: (B, N) float.
        target: (B, M) float.
        weight1: (N, H) float.
        weight2: (H, M) float.

    Returns:
        (gradient by weight1, gradient by weight2), shaped as the weights.
    """
    before = x @ weight1  # (B, H)
    h = np.maximum(before, 0)  # (B, H)
    y = h @ weight2  # (B, M)
    grad_y = 2 * (y - target) / y.size  # (B, M)
    grad_weight2 = h.T @ grad_y  # (H, M)
    grad_h = grad_y @ weight2.T  # (B, H)
    grad_before = grad_h * (before > 0)  # the ReLU lets through where it was open
    return x.T @ grad_before, grad_weight2


def _two_layer_cases(rng: np.random.Generator) -> Iterator[Case]:
    one = np.array([[1.0]])
    yield case(one, np.array([[0.0]]), np.array([[2.0]]), np.array([[3.0]]))
    yield case(one, np.array([[0.0]]), np.array([[2.0, -2.0]]), np.array([[3.0], [1.0]]))
    yield case(np.array([[1.0], [2.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]), one, np.array([[1.0, 2.0]]))
    yield case(np.array([[1.0, 1.0]]), one, np.array([[1.0], [-1.0]]), one)  # exactly 0 goes into the ReLU
    for _ in range(8):
        b, n, h, m = rng.integers(1, 6, 4)
        yield case(rng.normal(size=(b, n)), rng.normal(size=(b, m)), rng.normal(size=(n, h)), rng.normal(size=(h, m)))


def _two_layer(
    x: np.ndarray,
    target: np.ndarray,
    weight1: np.ndarray,
    weight2: np.ndarray,
    *,
    scale: float | None = None,
    relu_back: bool = True,
    relu_there: bool = True,
    open_at_0: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients with a step left out or another scale."""
    before = x @ weight1
    h = np.maximum(before, 0) if relu_there else before
    y = h @ weight2
    grad_y = (2 / y.size if scale is None else scale) * (y - target)
    grad_h = grad_y @ weight2.T
    is_open = before >= 0 if open_at_0 else before > 0
    return x.T @ (grad_h * is_open if relu_back else grad_h), h.T @ grad_y


TWO_LAYER = Exercise(
    id="21.4",
    module=__name__,
    name="my_two_layer_gradients",
    title="The chain rule through two layers",
    dots=3,
    hints=(
        (
            "Go backwards, one line of the network at a time: from the loss to y, from y to weight2 and h, through "
            "the ReLU, to weight1."
        ),
        (
            "For y = h @ weight2: the gradient by weight2 is `h.T @ grad_y`, by h it is `grad_y @ weight2.T`. Shapes "
            "tell which side is transposed."
        ),
        (
            "The mean over `y.size` values gives `grad_y = 2 * (y - target) / y.size`. The ReLU passes a gradient "
            "only where its input was positive."
        ),
    ),
    why=(
        "d loss / d y = 2 (y - target) / (B M). Through y = h W2: d W2 = h^T d y and d h = d y W2^T. Through the "
        "ReLU: d before = d h where before > 0, else 0. Through before = x W1: d W1 = x^T d before. Every gradient "
        "has the shape of what it belongs to, which is the best check while writing."
    ),
    cases=_two_layer_cases,
    parts=("gradient by weight1", "gradient by weight2"),
    mistakes=(
        Mistake(
            "ReLU not passed",
            "The gradient by weight1 looks as if it went straight through the ReLU: it passes only where the ReLU's "
            "input was positive.",
            lambda x, target, weight1, weight2: _two_layer(x, target, weight1, weight2, relu_back=False),
        ),
        Mistake(
            "no ReLU at all",
            "It looks as if the ReLU was left out on the way there: h is `np.maximum(x @ weight1, 0)`.",
            lambda x, target, weight1, weight2: _two_layer(
                x, target, weight1, weight2, relu_there=False, relu_back=False
            ),
        ),
        Mistake(
            "open at 0",
            "At exactly 0 the ReLU is shut: its slope is 1 only where its input is greater than 0.",
            lambda x, target, weight1, weight2: _two_layer(x, target, weight1, weight2, open_at_0=True),
        ),
        Mistake(
            "mean forgotten",
            "Too large by the number of values: the loss is a mean, so divide by `y.size`.",
            lambda x, target, weight1, weight2: _two_layer(x, target, weight1, weight2, scale=2.0),
        ),
        Mistake(
            "mean over the batch only",
            "It looks as if you divided by B. The mean is over all B x M values of y: `y.size`.",
            lambda x, target, weight1, weight2: _two_layer(x, target, weight1, weight2, scale=2 / len(x)),
        ),
        Mistake(
            "factor 2 forgotten",
            "Half of what it should be: the derivative of a square has a factor 2.",
            lambda x, target, weight1, weight2: _two_layer(x, target, weight1, weight2, scale=1 / target.size),
        ),
        Mistake(
            "sign",
            "The sign is turned round: it is y - target, since the gradient points uphill.",
            lambda x, target, weight1, weight2: _two_layer(x, target, weight1, weight2, scale=-2 / target.size),
        ),
        Mistake(
            "gradients swapped",
            "The two gradients changed places: weight1's comes first.",
            lambda x, target, weight1, weight2: my_two_layer_gradients(x, target, weight1, weight2)[::-1],
        ),
        Mistake(
            "gradients transposed",
            "The gradients lie on their side: each has the shape of its weight.",
            lambda x, target, weight1, weight2: tuple(g.T for g in my_two_layer_gradients(x, target, weight1, weight2)),
        ),
    ),
)
check_two_layer_gradients = TWO_LAYER.check


# 21.5


def my_momentum_step(
    weight: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """One step of gradient descent with momentum, in torch's convention.

    The velocity keeps `momentum` of itself and gains the gradient; the weight goes downhill by `rate` times the new
    velocity.

    Args:
        weight: float array.
        gradient: of the loss, shaped as the weight.
        velocity: from the step before, zeros at first.
        rate: learning rate.
        momentum: in [0, 1).

    Returns:
        (new weight, new velocity).
    """
    velocity = momentum * velocity + gradient
    return weight - rate * velocity, velocity


def _momentum_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([1.0]), np.array([2.0]), np.array([0.0]), 0.1)
    yield case(np.array([1.0]), np.array([2.0]), np.array([3.0]), 0.1)
    for _ in range(8):
        shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 3)))
        arrays = [rng.normal(size=shape) for _ in range(3)]
        yield case(*arrays, float(rng.uniform(0.01, 0.5)), momentum=float(rng.uniform(0.5, 0.99)))


def _nesterov(
    weight: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    new = momentum * velocity + gradient
    return weight - rate * (gradient + momentum * new), new


MOMENTUM = Exercise(
    id="21.5",
    module=__name__,
    name="my_momentum_step",
    title="A step with momentum",
    dots=1,
    hints=(
        "Two lines: first the new velocity, then the new weight from the new velocity.",
        (
            "`momentum * velocity + gradient`, without the learning rate; then `weight - rate * velocity`. Make new "
            "arrays, leave the old ones."
        ),
    ),
    why=(
        "v' = momentum v + gradient, w' = w - rate v'. A steady gradient g adds up to g / (1 - momentum), ten times "
        "g for 0.9, while one that changes sign every step nearly cancels. Other texts put the rate into v; for a "
        "constant rate the weights are the same, the velocity is not."
    ),
    cases=_momentum_cases,
    parts=("new weight", "new velocity"),
    mistakes=(
        Mistake(
            "uphill",
            "The weight went uphill: the step is subtracted.",
            lambda weight, gradient, velocity, rate, momentum=0.9: (
                weight + rate * (momentum * velocity + gradient),
                momentum * velocity + gradient,
            ),
        ),
        Mistake(
            "old velocity",
            "The step was made with the velocity from before: make the new one first, then use it.",
            lambda weight, gradient, velocity, rate, momentum=0.9: (
                weight - rate * velocity,
                momentum * velocity + gradient,
            ),
        ),
        Mistake(
            "rate in the velocity",
            "It looks as if the learning rate went into the velocity. In torch's convention it only scales the step.",
            lambda weight, gradient, velocity, rate, momentum=0.9: (
                weight - (momentum * velocity + rate * gradient),
                momentum * velocity + rate * gradient,
            ),
        ),
        Mistake(
            "gradient damped",
            "It looks as if the gradient was weighed with 1 - momentum, as in an average. Here it is added whole.",
            lambda weight, gradient, velocity, rate, momentum=0.9: (
                weight - rate * (momentum * velocity + (1 - momentum) * gradient),
                momentum * velocity + (1 - momentum) * gradient,
            ),
        ),
        Mistake(
            "Nesterov", "That is Nesterov's variant, which looks one step ahead. The plain one is asked for.", _nesterov
        ),
        Mistake(
            "no momentum",
            "It looks as if the old velocity was forgotten: a part of it, `momentum`, stays.",
            lambda weight, gradient, velocity, rate, momentum=0.9: (weight - rate * gradient, gradient),
        ),
    ),
)
check_momentum_step = MOMENTUM.check


# 21.6


def my_adam_step(
    weight: np.ndarray, gradient: np.ndarray, mean: np.ndarray, square: np.ndarray, step: int, rate: float = 0.001
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of Adam with its usual constants 0.9, 0.999 and 1e-8.

    Args:
        weight: float array.
        gradient: of the loss, shaped as the weight.
        mean: running mean of the gradient, zeros before the first step.
        square: running mean of the squared gradient, zeros before the first step.
        step: number of this step, 1 for the first.
        rate: learning rate.

    Returns:
        (new weight, new mean, new square), the two means without the correction for their start at 0.
    """
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    mean_corrected = mean / (1 - 0.9**step)
    square_corrected = square / (1 - 0.999**step)
    return weight - rate * mean_corrected / (np.sqrt(square_corrected) + 1e-8), mean, square


def _adam_cases(rng: np.random.Generator) -> Iterator[Case]:
    zero = np.array([0.0])
    yield case(np.array([1.0]), np.array([4.0]), zero, zero, 1, rate=0.1)
    yield case(np.array([1.0]), np.array([4.0]), np.array([0.5]), np.array([2.0]), 3, rate=0.1)
    yield case(np.array([1.0]), np.array([1e-8]), zero, zero, 1, rate=0.1)
    for _ in range(8):
        shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 3)))
        weight, gradient, mean = (rng.normal(size=shape) for _ in range(3))
        square = rng.uniform(0.1, 2.0, size=shape)
        yield case(weight, gradient, mean, square, int(rng.integers(1, 20)), rate=float(rng.uniform(0.01, 0.3)))


def _adam(
    weight: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    step: int,
    rate: float = 0.001,
    **how: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adam with one thing done otherwise."""
    mean = 0.9 * mean + 0.1 * gradient
    squared = gradient if how.get("not_squared") else gradient**2
    square = 0.999 * square + 0.001 * squared
    count = step if how.get("correct", True) else 10**9
    count += how.get("shift", 0)
    m, s = mean / (1 - 0.9**count), square / (1 - 0.999**count)
    below = {"inside": np.sqrt(s + 1e-8), "square": s + 1e-8}.get(how.get("below", ""), np.sqrt(s) + 1e-8)
    return weight - how.get("sign", 1) * rate * m / below, *((m, s) if how.get("keep") else (mean, square))


ADAM = Exercise(
    id="21.6",
    module=__name__,
    name="my_adam_step",
    title="A step of Adam",
    dots=2,
    hints=(
        (
            "Both running means keep most of themselves: 0.9 of the mean, 0.999 of the square. The rest, 0.1 and "
            "0.001, comes from this gradient."
        ),
        (
            "Both start at 0 and are too small at first. Dividing by `1 - 0.9**step` and `1 - 0.999**step` corrects "
            "that, for this step only."
        ),
        (
            "The step is `rate * corrected mean / (sqrt(corrected square) + 1e-8)`, downhill. Return the means as "
            "they are before the correction."
        ),
    ),
    why=(
        "After the first step the mean is 0.1 g and the square 0.001 g^2; corrected they are g and g^2, and the "
        "weight moves by rate g / |g|: the very rate, whatever the gradient's size. That is what makes Adam's rate "
        "easy to choose. The 1e-8 stands outside the root. Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1."
    ),
    cases=_adam_cases,
    parts=("new weight", "new mean", "new square"),
    mistakes=(
        Mistake(
            "no correction",
            "The means look right, the weight does not: they start at 0, so divide by `1 - 0.9**step` and `1 - "
            "0.999**step` before the step.",
            lambda *args, **kwargs: _adam(*args, **kwargs, correct=False),
        ),
        Mistake(
            "steps from 0",
            "It looks as if the steps were counted one too far: `step` is 1 for the first.",
            lambda *args, **kwargs: _adam(*args, **kwargs, shift=1),
        ),
        Mistake(
            "corrected means kept",
            "The corrected means were returned: the next step needs them without the correction.",
            lambda *args, **kwargs: _adam(*args, **kwargs, keep=True),
        ),
        Mistake(
            "root forgotten",
            "It looks as if the square root was forgotten: divide by the root of the corrected square.",
            lambda *args, **kwargs: _adam(*args, **kwargs, below="square"),
        ),
        Mistake(
            "epsilon in the root",
            "Very small gradients go wrong: 1e-8 is added outside the root, not inside.",
            lambda *args, **kwargs: _adam(*args, **kwargs, below="inside"),
        ),
        Mistake(
            "gradient not squared",
            "The second running mean is of the gradient's square.",
            lambda *args, **kwargs: _adam(*args, **kwargs, not_squared=True),
        ),
        Mistake(
            "uphill",
            "The weight went uphill: the step is subtracted.",
            lambda *args, **kwargs: _adam(*args, **kwargs, sign=-1),
        ),
    ),
)
check_adam_step = ADAM.check
