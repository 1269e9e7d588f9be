"""Wrong answers to the exercises of lesson 24."""

import numpy as np

from mutants import wrong

# 24.1 read both ways


def running(x, keep, h=0.0):
    out = np.empty(len(x))
    for t in range(len(x)):
        h = keep * h + (1 - keep) * x[t]
        out[t] = h
    return out


@wrong("24.1", "not turned back")
def upside_down(x, keep):
    return np.column_stack([running(x, keep), running(np.flip(x), keep)])


@wrong("24.1", "forwards twice")
def one_way(x, keep):
    forward = running(x, keep)
    return np.array([forward, forward]).T


@wrong("24.1", "output reversed, not input")
def flipped_after(x, keep):
    forward = running(x, keep)
    return np.column_stack([forward, np.flip(forward)])


@wrong("24.1", "keep and new swapped")
def forgets_what_it_keeps(x, keep):
    def read(values):
        h, out = 0.0, []
        for value in values:
            h = (1 - keep) * h + keep * value
            out.append(h)
        return np.array(out)

    return np.column_stack([read(x), read(x[::-1])[::-1]])


@wrong("24.1", "starts at the first number")
def warm_start(x, keep):
    back = x[::-1]
    return np.column_stack([running(x, keep, x[0]), running(back, keep, back[0])[::-1]])


@wrong("24.1", "columns swapped")
def backward_first(x, keep):
    return np.column_stack([running(x[::-1], keep)[::-1], running(x, keep)])


@wrong("24.1", "state before the step")
def appended_too_early(x, keep):
    def read(values):
        h, out = 0.0, []
        for value in values:
            out.append(h)
            h = keep * h + (1 - keep) * value
        return np.array(out)

    return np.column_stack([read(x), read(x[::-1])[::-1]])


@wrong("24.1", "goes on from the other end")
def state_kept(x, keep):
    forward = running(x, keep)
    return np.column_stack([forward, running(x[::-1], keep, forward[-1])[::-1]])


@wrong("24.1", "new number not weighed")
def adds_up(x, keep):
    def read(values):
        h, out = 0.0, []
        for value in values:
            h = keep * h + value
            out.append(h)
        return np.array(out)

    return np.column_stack([read(x), read(x[::-1])[::-1]])


@wrong("24.1", says="count rows and columns")
def rows(x, keep):
    return np.stack([running(x, keep), running(x[::-1], keep)[::-1]])


# 24.2 a convolutional LSTM


def sigma(a):
    return 0.5 * (1 + np.tanh(a / 2))


def heard(h, remember, mode="constant"):
    """What the state says to the gates."""
    padded = np.pad(h, ((0, 0), (1, 1), (1, 1)), mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (K, H, W, 3, 3)
    return np.einsum("khwij,okij->ohw", windows, remember)


def gates(a):
    n = len(a) // 4
    return a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]


def lstm(a, c):
    i, f, g, o = gates(a)
    new = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(new), new


@wrong("24.2", "state not read")
def only_the_input(seen, h, c, remember):
    return lstm(seen, c)


@wrong("24.2", "only the pixel itself")
def one_by_one(seen, h, c, remember):
    return lstm(seen + np.tensordot(remember[:, :, 1, 1], h, axes=1), c)


@wrong("24.2", "kernel flipped")
def true_convolution(seen, h, c, remember):
    return lstm(seen + heard(h, np.flip(remember, (2, 3))), c)


@wrong("24.2", "edges repeated")
def edge_padding(seen, h, c, remember):
    return lstm(seen + heard(h, remember, "edge"), c)


@wrong("24.2", "input and forget gate swapped")
def forget_first(seen, h, c, remember):
    f, i, g, o = gates(seen + heard(h, remember))
    return lstm(np.concatenate([i, f, g, o]), c)


@wrong("24.2", "content and output gate swapped")
def output_third(seen, h, c, remember):
    i, f, o, g = gates(seen + heard(h, remember))
    return lstm(np.concatenate([i, f, g, o]), c)


@wrong("24.2", "sigmoid on the content")
def all_sigmoid(seen, h, c, remember):
    i, f, g, o = (sigma(part) for part in gates(seen + heard(h, remember)))
    new = f * c + i * g
    return o * np.tanh(new), new


@wrong("24.2", "tanh of the cell forgotten")
def bare_cell(seen, h, c, remember):
    i, f, g, o = gates(seen + heard(h, remember))
    new = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * new, new


@wrong("24.2", "kernel transposed")
def columns_first(seen, h, c, remember):
    return lstm(seen + heard(h, np.swapaxes(remember, 2, 3)), c)


@wrong("24.2", "results swapped")
def cell_first(seen, h, c, remember):
    new_h, new_c = lstm(seen + heard(h, remember), c)
    return new_c, new_h


@wrong("24.2", says="changed its input")
def in_place(seen, h, c, remember):
    seen += heard(h, remember)
    return lstm(seen, c)


# 24.3 neighbours as channels


@wrong("24.3", "wraps around")
def rolled(volume, context):
    return np.stack([np.roll(volume, -k, axis=0) for k in range(-context, context + 1)], axis=1)


@wrong("24.3", "wraps around")
def negative_index(volume, context):
    n = len(volume)
    return np.stack([[volume[(z + k) % n] for k in range(-context, context + 1)] for z in range(n)])


@wrong("24.3", "zeros beyond the ends")
def zeros_around(volume, context):
    out = np.zeros((len(volume), 2 * context + 1, *volume.shape[1:]))
    for z in range(len(volume)):
        for k in range(2 * context + 1):
            if 0 <= z + k - context < len(volume):
                out[z, k] = volume[z + k - context]
    return out


@wrong("24.3", "mirrored ends")
def reflected(volume, context):
    if len(volume) == 1:
        return np.repeat(volume[:, None], 2 * context + 1, axis=1)
    padded = np.pad(volume, ((context, context), (0, 0), (0, 0)), mode="reflect")
    return np.stack([padded[z : z + 2 * context + 1] for z in range(len(volume))])


@wrong("24.3", "order reversed")
def top_first(volume, context):
    padded = np.pad(volume, ((context, context), (0, 0), (0, 0)), mode="edge")
    return np.stack([padded[z : z + 2 * context + 1][::-1] for z in range(len(volume))])


@wrong("24.3", "only those before")
def the_past(volume, context):
    padded = np.pad(volume, ((2 * context, 0), (0, 0), (0, 0)), mode="edge")
    return np.stack([padded[z : z + 2 * context + 1] for z in range(len(volume))])


@wrong("24.3", "only those after")
def the_future(volume, context):
    padded = np.pad(volume, ((0, 2 * context), (0, 0), (0, 0)), mode="edge")
    return np.stack([padded[z : z + 2 * context + 1] for z in range(len(volume))])


@wrong("24.3", says="count rows and columns")
def channels_first(volume, context):
    padded = np.pad(volume, ((context, context), (0, 0), (0, 0)), mode="edge")
    return np.stack([padded[k : k + len(volume)] for k in range(2 * context + 1)])


# 24.4 roughness


def compared(labels):
    """Whether each inner voxel differs from the one before, and from the one after."""
    steps = np.diff(labels, axis=0) != 0
    return steps[:-1], steps[1:]


def over_labelled(count, labels):
    return float(count) / max(int((labels > 0).sum()), 1)


@wrong("24.4", "one side is enough")
def any_change(labels):
    before, after = compared(labels)
    return over_labelled((before | after).sum(), labels)


@wrong("24.4", "along x")
def last_axis(labels):
    before, after = compared(np.moveaxis(labels, -1, 0))
    return over_labelled((before & after).sum(), labels)


@wrong("24.4", "along y")
def row_by_row(labels):
    before, after = compared(np.moveaxis(labels, 1, 0))
    return over_labelled((before & after).sum(), labels)


@wrong("24.4", "wraps around")
def ring(labels):
    before, after = compared(np.concatenate([labels[-1:], labels, labels[:1]]))
    return over_labelled((before & after).sum(), labels)


@wrong("24.4", "ends counted")
def framed(labels):
    nothing = np.full_like(labels[:1], -1)
    before, after = compared(np.concatenate([nothing, labels, nothing]))
    return over_labelled((before & after).sum(), labels)


@wrong("24.4", "holes left out")
def spikes_only(labels):
    before, after = compared(labels)
    return over_labelled((before & after & (labels[1:-1] > 0)).sum(), labels)


@wrong("24.4", "over all voxels")
def share_of_everything(labels):
    before, after = compared(labels)
    return float((before & after).sum()) / labels.size


@wrong("24.4", "neighbours must agree")
def between_equals(labels):
    before, _ = compared(labels)
    return over_labelled((before & (labels[:-2] == labels[2:])).sum(), labels)


@wrong("24.4", says="That is not made of numbers.")
def nan_of_nothing(labels):
    return {"alone": labels}


# 24.5 attention pooling


@wrong("24.5", "overflows")
def straight_softmax(features, scores):
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ features


@wrong("24.5", "overflows")
def mean_subtracted(features, scores):
    weights = np.exp(scores - scores.mean())
    return weights / weights.sum() @ features


@wrong("24.5", "large scores cut off")
def clipped(features, scores):
    weights = np.exp(np.minimum(scores, 50))
    return weights / weights.sum() @ features


@wrong("24.5", "not divided by the sum")
def unnormalised(features, scores):
    return (np.exp(scores - scores.max())[:, None] * features).sum(axis=0)


@wrong("24.5", "scores as weights")
def linear_weights(features, scores):
    return np.average(features, axis=0, weights=scores)


@wrong("24.5", "plain mean")
def every_slice_alike(features, scores):
    return np.mean(features, 0)


@wrong("24.5", "loudest slice alone")
def hard_attention(features, scores):
    return features[int(np.argmax(scores))]


def softmax(scores):
    weights = np.exp(scores - np.max(scores))
    return weights / weights.sum()


@wrong("24.5", "mean of weighted rows")
def averaged_twice(features, scores):
    return np.mean(features * softmax(scores)[:, None], axis=0)


@wrong("24.5", "sigmoid")
def gates_of_their_own(features, scores):
    return sigma(scores) @ features


@wrong("24.5", says="count rows and columns")
def weighted_rows(features, scores):
    return features * softmax(scores)[:, None]
