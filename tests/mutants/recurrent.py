"""Wrong answers to the exercises of lesson 23."""

import numpy as np

from mutants import wrong

# 23.1 one step


@wrong("23.1", "tanh forgotten")
def straight(x, h, weight_ih, weight_hh, bias):
    return np.einsum("bn,hn->bh", x, weight_ih) + np.einsum("bk,hk->bh", h, weight_hh) + bias


@wrong("23.1", "state forgotten")
def no_memory(x, h, weight_ih, weight_hh, bias):
    return np.tanh(np.dot(x, weight_ih.T) + bias)


@wrong("23.1", "bias forgotten")
def no_bias(x, h, weight_ih, weight_hh, bias):
    return np.tanh(np.concatenate([x, h], 1) @ np.concatenate([weight_ih, weight_hh], 1).T)


@wrong("23.1", "state weight not transposed")
def square_as_it_is(x, h, weight_ih, weight_hh, bias):
    return np.tanh(x @ weight_ih.T + np.einsum("bk,kh->bh", h, weight_hh) + bias)


@wrong("23.1", "two tanhs")
def tanh_each(x, h, weight_ih, weight_hh, bias):
    seen = np.tanh(weight_ih @ x.T).T
    return seen + np.tanh((weight_hh @ h.T).T + bias)


@wrong("23.1", says="changed its input")
def state_in_place(x, h, weight_ih, weight_hh, bias):
    h[:] = np.tanh(x @ weight_ih.T + h @ weight_hh.T + bias)
    return h


# 23.2 back through time


def backwards(x, states, grad_states, weight_hh, carry=None, slope=None, before=0):
    """The way back with a few knobs."""
    size = weight_hh.shape[0]
    dh, by = np.zeros(size), [np.zeros((size, x.shape[1])), np.zeros((size, size)), np.zeros(size)]
    for t in range(len(x) - 1, -1, -1):
        dh = dh + grad_states[t]
        da = dh * (slope(t) if slope else 1 - np.square(states[t + 1]))
        by[0] += da[:, None] * x[t]
        by[1] += da[:, None] * states[t + before]
        by[2] += da
        dh = carry(da) if carry else da @ weight_hh
    return tuple(by)


@wrong("23.2", "not through time")
def every_step_for_itself(x, states, grad_states, weight_hh):
    return backwards(x, states, grad_states, weight_hh, carry=lambda da: 0 * da)


@wrong("23.2", "tanh not passed")
def linear_way_back(x, states, grad_states, weight_hh):
    return backwards(x, states, grad_states, weight_hh, slope=lambda t: 1.0)


@wrong("23.2", "slope of the state before")
def slope_too_early(x, states, grad_states, weight_hh):
    return backwards(x, states, grad_states, weight_hh, slope=lambda t: 1 - states[t] ** 2)


@wrong("23.2", "new state in weight_hh")
def state_too_late(x, states, grad_states, weight_hh):
    return backwards(x, states, grad_states, weight_hh, before=1)


@wrong("23.2", "weight not transposed")
def forward_weight(x, states, grad_states, weight_hh):
    return backwards(x, states, grad_states, weight_hh, carry=lambda da: weight_hh @ da)


@wrong("23.2", "overwritten")
def keeps_the_last_written(x, states, grad_states, weight_hh):
    dh = np.zeros(len(weight_hh))
    for t in reversed(range(len(x))):
        da = (dh + grad_states[t]) * (1 - states[t + 1] ** 2)
        by_ih, by_hh, by_bias = np.outer(da, x[t]), np.outer(da, states[t]), da
        dh = weight_hh.T @ da
    return by_ih, by_hh, by_bias


@wrong("23.2", "loss at the last step only")
def only_the_end(x, states, grad_states, weight_hh):
    last = np.zeros_like(grad_states)
    last[-1] = grad_states[-1]
    return backwards(x, states, last, weight_hh)


@wrong("23.2", "start left out")
def zeros_before_the_first_step(x, states, grad_states, weight_hh):
    by_ih, by_hh, by_bias = np.zeros((len(weight_hh), x.shape[1])), np.zeros(weight_hh.shape), np.zeros(len(weight_hh))
    dh = np.zeros(len(weight_hh))
    for t in reversed(range(len(x))):
        da = (dh + grad_states[t]) * (1 - states[t + 1] ** 2)
        by_ih, by_bias = by_ih + da[:, None] * x[t], by_bias + da
        if t > 0:
            by_hh = by_hh + da[:, None] * states[t]
        dh = da @ weight_hh
    return by_ih, by_hh, by_bias


@wrong("23.2", says="Return all of them")
def without_bias(x, states, grad_states, weight_hh):
    return backwards(x, states, grad_states, weight_hh)[:2]


# 23.3 clipping


@wrong("23.3", "each array by itself")
def layer_by_layer(grad_ih, grad_hh, limit):
    return tuple(g if np.linalg.norm(g) <= limit else g / np.linalg.norm(g) * limit for g in (grad_ih, grad_hh))


@wrong("23.3", "value by value")
def cut_off(grad_ih, grad_hh, limit):
    return tuple(np.minimum(np.maximum(g, -limit), limit) for g in (grad_ih, grad_hh))


@wrong("23.3", "short ones made longer")
def always_scaled(grad_ih, grad_hh, limit):
    length = np.linalg.norm(np.concatenate([grad_ih.ravel(), grad_hh.ravel()]))
    return grad_ih / (length or 1) * limit, grad_hh / (length or 1) * limit


@wrong("23.3", "root forgotten")
def by_the_square(grad_ih, grad_hh, limit):
    total = float((grad_ih**2).sum() + (grad_hh**2).sum())
    return tuple(g * (limit / total if total > limit else 1) for g in (grad_ih, grad_hh))


@wrong("23.3", "lengths added")
def sum_of_lengths(grad_ih, grad_hh, limit):
    total = np.sqrt((grad_ih**2).sum()) + np.sqrt((grad_hh**2).sum())
    return tuple(g * (limit / total if total > limit else 1) for g in (grad_ih, grad_hh))


@wrong("23.3", says="changed its input")
def in_place(grad_ih, grad_hh, limit):
    length = np.sqrt((grad_ih**2).sum() + (grad_hh**2).sum())
    for g in (grad_ih, grad_hh):
        g *= limit / length if length > limit else 1
    return grad_ih, grad_hh


# 23.4 LSTM


def gates(x, h, weight_ih, weight_hh, bias):
    a = x @ weight_ih.T + h @ weight_hh.T + bias
    n = h.shape[1]
    return [a[:, k * n : (k + 1) * n] for k in range(4)]


def sigma(a):
    return 0.5 * (1 + np.tanh(a / 2))


@wrong("23.4", "input and forget gate swapped")
def forget_first(x, h, c, weight_ih, weight_hh, bias):
    f, i, g, o = gates(x, h, weight_ih, weight_hh, bias)
    new = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(new), new


@wrong("23.4", "content and output gate swapped")
def output_third(x, h, c, weight_ih, weight_hh, bias):
    i, f, o, g = gates(x, h, weight_ih, weight_hh, bias)
    new = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(new), new


@wrong("23.4", "sigmoid on the content")
def all_sigmoid(x, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = (sigma(a) for a in gates(x, h, weight_ih, weight_hh, bias))
    new = f * c + i * g
    return o * np.tanh(new), new


@wrong("23.4", "forget gate inverted")
def one_means_forget(x, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias)
    new = sigma(-f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(new), new


@wrong("23.4", "input gate not used")
def coupled(x, h, c, weight_ih, weight_hh, bias):
    _, f, g, o = gates(x, h, weight_ih, weight_hh, bias)
    new = np.tanh(g) + sigma(f) * (c - np.tanh(g))
    return sigma(o) * np.tanh(new), new


@wrong("23.4", "tanh of the cell forgotten")
def bare_cell(x, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias)
    new = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * new, new


@wrong("23.4", "old cell read")
def reads_before_writing(x, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias)
    return sigma(o) * np.tanh(c), sigma(f) * c + sigma(i) * np.tanh(g)


@wrong("23.4", "state and cell swapped")
def cell_first(x, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias)
    new = sigma(f) * c + sigma(i) * np.tanh(g)
    return new, sigma(o) * np.tanh(new)


@wrong("23.4", says="changed its input")
def cell_in_place(x, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias)
    c *= sigma(f)
    c += sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


# 23.5 scores of beats


def counts(prediction, truth, label):
    found = sum(p == t == label for p, t in zip(prediction, truth, strict=True))
    return found, list(truth).count(label), list(prediction).count(label)


@wrong("23.5", "swapped")
def precision_first(prediction, truth, label):
    found, true, said = counts(prediction, truth, label)
    return found / (said or 1), found / (true or 1)


@wrong("23.5", "specificity")
def with_specificity(prediction, truth, label):
    found, true, said = counts(prediction, truth, label)
    others = len(truth) - true
    return found / (true or 1), (others - (said - found)) / (others or 1)


@wrong("23.5", "accuracy")
def share_right(prediction, truth, label):
    found, _, said = counts(prediction, truth, label)
    return float(np.mean((prediction == label) == (truth == label))), found / (said or 1)


@wrong("23.5", "negative predictivity")
def of_the_others(prediction, truth, label):
    found, true, said = counts(prediction, truth, label)
    others = len(truth) - said
    return found / (true or 1), (others - (true - found)) / (others or 1)


@wrong("23.5", "share of all")
def of_all_beats(prediction, truth, label):
    found, _, _ = counts(prediction, truth, label)
    return found / len(truth), found / len(truth)


@wrong("23.5", "a share of nothing is 1")
def nothing_is_perfect(prediction, truth, label):
    found, true, said = counts(prediction, truth, label)
    return found / true if true else 1.0, found / said if said else 1.0
