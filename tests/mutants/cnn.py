"""Wrong answers to the exercises of lesson 22."""

import numpy as np
import torch
from torch.nn import functional as F

from mutants import wrong

# 22.1 confusion


@wrong("22.1", "transposed")
def said_in_rows(truth, said):
    counts = np.zeros((2, 2), dtype=int)
    np.add.at(counts, (said.astype(int), truth.astype(int)), 1)
    return counts


@wrong("22.1", "positive first")
def as_in_a_textbook(truth, said):
    tp, fn = (truth & said).sum(), (truth & ~said).sum()
    fp, tn = (~truth & said).sum(), (~truth & ~said).sum()
    return np.array([[tp, fn], [fp, tn]])


@wrong("22.1", "shares of the row")
def normalised(truth, said):
    counts = np.zeros((2, 2))
    for t, s in zip(truth.astype(int), said.astype(int), strict=True):
        counts[t, s] += 1
    return counts / counts.sum(axis=1, keepdims=True).clip(1)


@wrong("22.1", "right answers only")
def hits(truth, said):
    both = truth == said
    return np.array([[int((both & ~truth).sum()), 0], [0, int((both & truth).sum())]])


@wrong("22.1", "said is not looked at")
def truth_twice(truth, said):
    negatives, positives = int((~truth).sum()), int(truth.sum())
    return np.array([[negatives, 0], [0, positives]])


@wrong("22.1", says="Whole numbers are asked for")
def floats(truth, said):
    counts = np.zeros((2, 2))
    for t, s in zip(truth.astype(int), said.astype(int), strict=True):
        counts[t, s] += 1
    return counts


# 22.2 auc


@wrong("22.2", "ties count nothing")
def strictly(scores, truth):
    won = [p > n for p in scores[truth] for n in scores[~truth]]
    return sum(won) / len(won)


@wrong("22.2", "ties count fully")
def at_least(scores, truth):
    won = [p >= n for p in scores[truth] for n in scores[~truth]]
    return float(np.mean(won))


@wrong("22.2", "turned round")
def negative_wins(scores, truth):
    total = 0.0
    for p in scores[truth]:
        total += (scores[~truth] > p).sum() + 0.5 * (scores[~truth] == p).sum()
    return total / (truth.sum() * (~truth).sum())


@wrong("22.2", "accuracy")
def at_one_half(scores, truth):
    return np.mean((scores > 0.5) == truth)


@wrong("22.2", "not divided")
def number_of_pairs(scores, truth):
    return sum((p > n) + 0.5 * (p == n) for p in scores[truth] for n in scores[~truth])


@wrong("22.2", "all pairs of pictures")
def too_many_pairs(scores, truth):
    won = sum((p > n) + 0.5 * (p == n) for p in scores[truth] for n in scores[~truth])
    return won / len(scores) ** 2


# 22.3 early stop


def walk(losses, patience):
    best, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[best]:
            best, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return best, i
    return best, len(losses) - 1


@wrong("22.3", "the last weights are kept")
def where_it_stopped(losses, patience):
    _, last = walk(losses, patience)
    return last, last


@wrong("22.3", "never stops")
def lowest_of_all(losses, patience):
    return losses.index(min(losses)), len(losses) - 1


@wrong("22.3", "compared with the round before")
def against_the_last_one(losses, patience):
    waited, i = 0, 0
    for i in range(1, len(losses)):
        waited = 0 if losses[i] < losses[i - 1] else waited + 1
        if waited == patience:
            break
    return losses.index(min(losses[: i + 1])), i


@wrong("22.3", "bad rounds added up")
def no_reset(losses, patience):
    best, bad, i = 0, 0, 0
    for i, loss in enumerate(losses[1:], 1):
        if loss < losses[best]:
            best = i
        else:
            bad += 1
            if bad == patience:
                break
    return best, i


@wrong("22.3", "equal counts as better")
def or_equal(losses, patience):
    best, i = 0, 0
    for i, loss in enumerate(losses):
        if loss <= losses[best]:
            best = i
        elif i - best >= patience:
            break
    return best, i


@wrong("22.3", "one round too long")
def more_than_patience(losses, patience):
    best, i = 0, 0
    for i, loss in enumerate(losses):
        if loss < losses[best]:
            best = i
        if i - best > patience:
            break
    return best, i


@wrong("22.3", "counted from 1")
def from_one(losses, patience):
    best, last = walk(losses, patience)
    return best + 1, last + 1


@wrong("22.3", "last of equal losses")
def latest_lowest(losses, patience):
    _, last = walk(losses, patience)
    seen = losses[: last + 1]
    return last - seen[::-1].index(min(seen)), last


# 22.4 dropout


@wrong("22.4", "not made larger")
def zeros_only(features, draws, rate, training):
    result = features.copy()
    if training:
        result[draws < rate] = 0
    return result


@wrong("22.4", "divided by the rate")
def by_rate(features, draws, rate, training):
    if not training:
        return features
    return np.where(draws < rate, 0, features / rate) if rate else features / 1e-300


@wrong("22.4", "keeps the wrong ones")
def inverted(features, draws, rate, training):
    if not training:
        return features
    return features * (draws < rate) / (1 - rate)


@wrong("22.4", "also when tested")
def always(features, draws, rate, training):
    return features * (draws >= rate) / (1 - rate)


@wrong("22.4", "smaller when tested")
def as_in_2014(features, draws, rate, training):
    return features * (draws >= rate) if training else features * (1 - rate)


@wrong("22.4", "a draw equal to the rate")
def kept_above_only(features, draws, rate, training):
    if not training:
        return features
    return features * (draws > rate) / (1 - rate)


# 22.5 batch norm


def norm(maps, mean, deviation, scale, shift):
    return (maps - mean) / deviation * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


@wrong("22.5", "each picture by itself")
def instance_norm(maps, scale, shift, eps=1e-5):
    mean, variance = maps.mean((2, 3), keepdims=True), maps.var((2, 3), keepdims=True)
    return norm(maps, mean, np.sqrt(variance + eps), scale, shift)


@wrong("22.5", "each pixel by itself")
def over_the_batch_only(maps, scale, shift, eps=1e-5):
    return norm(maps, maps.mean(0), np.sqrt(maps.var(0) + eps), scale, shift)


@wrong("22.5", "all channels together")
def one_for_all(maps, scale, shift, eps=1e-5):
    return norm(maps, maps.mean(), np.sqrt(maps.var() + eps), scale, shift)


@wrong("22.5", "divided by the variance")
def no_root(maps, scale, shift, eps=1e-5):
    return norm(maps, maps.mean((0, 2, 3), keepdims=True), maps.var((0, 2, 3), keepdims=True) + eps, scale, shift)


@wrong("22.5", "n - 1")
def unbiased(maps, scale, shift, eps=1e-5):
    variance = torch.from_numpy(maps).var((0, 2, 3), keepdim=True).numpy()  # torch divides by n - 1
    return norm(maps, maps.mean((0, 2, 3), keepdims=True), np.sqrt(variance + eps), scale, shift)


@wrong("22.5", "eps outside the root")
def added_to_the_deviation(maps, scale, shift, eps=1e-5):
    return norm(maps, maps.mean((0, 2, 3), keepdims=True), np.std(maps, (0, 2, 3), keepdims=True) + eps, scale, shift)


@wrong("22.5", "scale and shift forgotten")
def plain(maps, scale, shift, eps=1e-5):
    return F.batch_norm(torch.from_numpy(maps), None, None, training=True, eps=eps).numpy()


@wrong("22.5", "shift before scale")
def moved_first(maps, scale, shift, eps=1e-5):
    normal = F.batch_norm(torch.from_numpy(maps), None, None, training=True, eps=eps).numpy()
    return (normal + shift[:, None, None]) * scale[:, None, None]


@wrong("22.5", "eps left out")
def by_the_deviation(maps, scale, shift, eps=1e-5):
    return norm(maps, maps.mean((0, 2, 3), keepdims=True), maps.std((0, 2, 3), keepdims=True), scale, shift)


@wrong("22.5", "eps not used")
def eps_as_torch_starts_it(maps, scale, shift, eps=1e-5):
    normal = F.batch_norm(torch.from_numpy(maps), None, None, training=True).numpy()
    return normal * scale[:, None, None] + shift[:, None, None]
