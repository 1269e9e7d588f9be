"""Wrong answers to the exercises of lesson 21."""

import numpy as np

from mutants import wrong

# 21.1 affine


@wrong("21.1", "bias forgotten")
def no_bias(x, weight, bias):
    return np.einsum("bn,mn->bm", x, weight)


@wrong("21.1", "bias subtracted")
def bias_as_threshold(x, weight, bias):
    return np.einsum("bn,mn->bm", x, weight) - bias[None]


@wrong("21.1", "weight not transposed")
def straight_product(x, weight, bias):
    return np.dot(x, weight) + bias


@wrong("21.1", "result transposed")
def weight_first(x, weight, bias):
    return weight @ x.T + bias[:, None]


@wrong("21.1", "value by value")
def star(x, weight, bias):
    return x * weight + bias


@wrong("21.1", says="changed its input")
def adds_into_bias(x, weight, bias):
    result = x @ weight.T + bias
    bias += 1
    return result


# 21.2 softmax


@wrong("21.2", "overflow")
def naive(logits):
    e = np.exp(logits)
    return e / e.sum(1)[:, None]


@wrong("21.2", "maximum of everything")
def one_maximum(logits):
    e = np.exp(logits - np.max(logits))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("21.2", "wrong axis")
def over_the_batch(logits):
    e = np.exp(logits - logits.max(0))
    return e / e.sum(0)


@wrong("21.2", "whole array")
def over_all(logits):
    e = np.exp(logits - logits.max())
    return e / e.sum()


@wrong("21.2", "not divided")
def only_exp(logits):
    return np.exp(logits - logits.max(-1, keepdims=True))


@wrong("21.2", "logarithm")
def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


@wrong("21.2", "no exponential")
def shares(logits):
    return (logits.T / logits.sum(1)).T


@wrong("21.2", says="changed its input")
def shifts_in_place(logits):
    logits -= logits.max(1, keepdims=True)
    e = np.exp(logits)
    return e / e.sum(1, keepdims=True)


# 21.3 gradient of the cross-entropy


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@wrong("21.3", "mean forgotten")
def summed(logits, target):
    g = softmax(logits)
    for row, k in enumerate(target):
        g[row, k] -= 1
    return g


@wrong("21.3", "mean over classes too")
def divided_by_all(logits, target):
    g = softmax(logits)
    g[range(len(g)), target] -= 1
    return g / (g.shape[0] * g.shape[1])


@wrong("21.3", "sign")
def downhill(logits, target):
    g = -softmax(logits)
    g[range(len(g)), target] += 1
    return g / len(g)


@wrong("21.3", "one-hot forgotten")
def probabilities_only(logits, target):
    return softmax(logits) / len(logits)


@wrong("21.3", "softmax forgotten")
def of_logits(logits, target):
    g = logits.copy()
    g[range(len(g)), target] -= 1
    return g / len(g)


@wrong("21.3", "by the probabilities")
def by_probabilities(logits, target):
    p = softmax(logits)
    g = np.zeros_like(p)
    g[range(len(g)), target] = -1 / p[range(len(g)), target]
    return g / len(g)


@wrong("21.3", "overflow")
def with_naive_softmax(logits, target):
    g = naive(logits)
    g[range(len(g)), target] -= 1
    return g / len(g)


# 21.4 two layers


def forward_backward(x, target, w1, w2, open_gate=True):
    a = x @ w1
    h = a * (a > 0)
    dy = 2 * (h @ w2 - target) / target.size
    dh = dy @ w2.T
    if open_gate:
        dh = np.where(a > 0, dh, 0)
    return x.T @ dh, h.T @ dy


@wrong("21.4", "ReLU not passed")
def through_the_relu(x, target, weight1, weight2):
    return forward_backward(x, target, weight1, weight2, open_gate=False)


@wrong("21.4", "no ReLU at all")
def linear_network(x, target, weight1, weight2):
    h = x @ weight1
    dy = 2 * (h @ weight2 - target) / target.size
    return x.T @ dy @ weight2.T, h.T @ dy


@wrong("21.4", "open at 0")
def half_open(x, target, weight1, weight2):
    a = x @ weight1
    dy = 2 * (a.clip(min=0) @ weight2 - target) / target.size
    return x.T @ ((dy @ weight2.T) * np.heaviside(a, 1)), a.clip(min=0).T @ dy


@wrong("21.4", "mean forgotten")
def sum_of_squares(x, target, weight1, weight2):
    return tuple(g * target.size for g in forward_backward(x, target, weight1, weight2))


@wrong("21.4", "mean over the batch only")
def mean_over_examples(x, target, weight1, weight2):
    return tuple(g * target.shape[1] for g in forward_backward(x, target, weight1, weight2))


@wrong("21.4", "factor 2 forgotten")
def no_two(x, target, weight1, weight2):
    a, b = forward_backward(x, target, weight1, weight2)
    return a / 2, b / 2


@wrong("21.4", "sign")
def target_minus_y(x, target, weight1, weight2):
    a, b = forward_backward(x, target, weight1, weight2)
    return -a, -b


@wrong("21.4", "gradients swapped")
def second_first(x, target, weight1, weight2):
    a, b = forward_backward(x, target, weight1, weight2)
    return b, a


@wrong("21.4", "gradients transposed")
def on_their_side(x, target, weight1, weight2):
    a, b = forward_backward(x, target, weight1, weight2)
    return a.T, b.T


@wrong("21.4", says="Return all of them")
def only_one(x, target, weight1, weight2):
    return forward_backward(x, target, weight1, weight2)[0]


@wrong("21.4", says="Return all of them")
def one_too_many(x, target, weight1, weight2):
    return *forward_backward(x, target, weight1, weight2), target


# 21.5 momentum


@wrong("21.5", "uphill")
def climbs(weight, gradient, velocity, rate, momentum=0.9):
    v = velocity * momentum + gradient
    return weight + v * rate, v


@wrong("21.5", "old velocity")
def one_late(weight, gradient, velocity, rate, momentum=0.9):
    w = weight - rate * velocity
    return w, momentum * velocity + gradient


@wrong("21.5", "rate in the velocity")
def other_convention(weight, gradient, velocity, rate, momentum=0.9):
    v = momentum * velocity + rate * gradient
    return weight - v, v


@wrong("21.5", "gradient damped")
def average(weight, gradient, velocity, rate, momentum=0.9):
    v = momentum * velocity + (1 - momentum) * gradient
    return weight - rate * v, v


@wrong("21.5", "Nesterov")
def looks_ahead(weight, gradient, velocity, rate, momentum=0.9):
    v = momentum * velocity + gradient
    return weight - rate * (momentum * v + gradient), v


@wrong("21.5", "no momentum")
def plain(weight, gradient, velocity, rate, momentum=0.9):
    return weight - rate * gradient, gradient.copy()


@wrong("21.5", says="changed its input")
def changes_the_weight(weight, gradient, velocity, rate, momentum=0.9):
    v = momentum * velocity + gradient
    weight -= rate * v
    return weight, v


# 21.6 Adam


def adam(w, g, m, s, t, rate, root=None, squared=None):
    m = 0.9 * m + (1 - 0.9) * g
    s = 0.999 * s + (1 - 0.999) * (g * g if squared is None else squared)
    a, b = m / (1 - 0.9**t), s / (1 - 0.999**t)
    return w - rate * a / ((np.sqrt(b) + 1e-8) if root is None else root(b)), m, s


@wrong("21.6", "no correction")
def uncorrected(weight, gradient, mean, square, step, rate=0.001):
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient * gradient
    return weight - rate * mean / (np.sqrt(square) + 1e-8), mean, square


@wrong("21.6", "steps from 0")
def counts_from_zero(weight, gradient, mean, square, step, rate=0.001):
    return adam(weight, gradient, mean, square, step + 1, rate)


@wrong("21.6", "corrected means kept")
def returns_corrected(weight, gradient, mean, square, step, rate=0.001):
    w, m, s = adam(weight, gradient, mean, square, step, rate)
    return w, m / (1 - 0.9**step), s / (1 - 0.999**step)


@wrong("21.6", "root forgotten")
def no_root(weight, gradient, mean, square, step, rate=0.001):
    return adam(weight, gradient, mean, square, step, rate, root=lambda b: b + 1e-8)


@wrong("21.6", "epsilon in the root")
def epsilon_inside(weight, gradient, mean, square, step, rate=0.001):
    return adam(weight, gradient, mean, square, step, rate, root=lambda b: np.sqrt(b + 1e-8))


@wrong("21.6", "gradient not squared")
def first_power(weight, gradient, mean, square, step, rate=0.001):
    return adam(weight, gradient, mean, square, step, rate, squared=gradient)


@wrong("21.6", "uphill")
def ascends(weight, gradient, mean, square, step, rate=0.001):
    w, m, s = adam(weight, gradient, mean, square, step, rate)
    return weight + (weight - w), m, s
