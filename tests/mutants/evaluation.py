"""Wrong answers to the exercises of lesson 41."""

import itertools

import numpy as np

from medlab.exercises import evaluation
from medlab.exercises.evaluation import my_checklist
from mutants import wrong

# 41.1 folds of patients


@wrong("41.1", "leak")
def deals_slices(patients, folds):
    return np.arange(len(patients)) % folds


@wrong("41.1", "leak")
def shuffles_slices(patients, folds):
    return np.random.default_rng(0).permutation(len(patients)) * folds // len(patients)


@wrong("41.1", "leak")
def cuts_into_blocks(patients, folds):
    order = np.argsort(patients, kind="stable")
    result = np.zeros(len(patients), dtype=int)
    for fold, block in enumerate(np.array_split(order, folds)):
        result[block] = fold
    return result


@wrong("41.1", "uneven")
def same_number_of_patients(patients, folds):
    names = sorted(set(patients))
    return np.array([names.index(patient) % folds for patient in patients])


@wrong("41.1", "uneven")
def blocks_of_patients(patients, folds):
    names = sorted(set(patients))
    fold_of = {name: fold for fold, part in enumerate(np.array_split(names, folds)) for name in part}
    return np.array([fold_of[patient] for patient in patients])


@wrong("41.1", "empty fold")
def all_but_one(patients, folds):
    fold_of, filled = {}, [0] * max(1, folds - 1)
    for name in sorted(set(patients)):
        fold_of[name] = filled.index(min(filled))
        filled[fold_of[name]] += patients.count(name)
    return np.array([fold_of[patient] for patient in patients])


@wrong("41.1", "counted from 1")
def from_one(patients, folds):
    fold_of, filled = {}, [0] * folds
    for name in sorted(set(patients), key=patients.count, reverse=True):
        fold_of[name] = filled.index(min(filled))
        filled[fold_of[name]] += patients.count(name)
    return np.array([fold_of[patient] + 1 for patient in patients])


@wrong("41.1", "a fold too many")
def patient_by_patient(patients, folds):
    return np.unique(patients, return_inverse=True)[1] % (folds + 1)


@wrong("41.1", says="one number a slice")
def one_number_a_patient(patients, folds):
    return np.arange(len(set(patients))) % folds


@wrong("41.1", says="make it an array")
def right_but_a_list(patients, folds):
    return evaluation.my_patient_folds(patients, folds).tolist()


# 41.2 percentile interval


@wrong("41.2", "where patients lie")
def of_the_patients(values, draws, level=0.95):
    return np.quantile(values, 0.5 - level / 2), np.quantile(values, 0.5 + level / 2)


@wrong("41.2", "all outside on each side")
def twice_outside(values, draws, level=0.95):
    means = np.mean(values[draws], axis=-1)
    return np.percentile(means, 100 * (1 - level)), np.percentile(means, 100 * level)


@wrong("41.2", "percent for shares")
def tiny_percents(values, draws, level=0.95):
    means = values[draws].mean(1)
    return np.percentile(means, (1 - level) / 2), np.percentile(means, 1 - (1 - level) / 2)


@wrong("41.2", "one study a column")
def down_the_columns(values, draws, level=0.95):
    return tuple(np.quantile(values[draws].mean(0), [0.5 - level / 2, 0.5 + level / 2]))


@wrong("41.2", "medians")
def of_medians(values, draws, level=0.95):
    medians = [np.median(values[row]) for row in draws]
    return tuple(np.quantile(medians, [(1 - level) / 2, 1 - (1 - level) / 2]))


@wrong("41.2", "every value drawn")
def one_heap(values, draws, level=0.95):
    heap = [values[i] for row in draws for i in row]
    return tuple(np.quantile(heap, [(1 - level) / 2, 1 - (1 - level) / 2]))


@wrong("41.2", "standard deviation")
def two_sigma(values, draws, level=0.95):
    return values.mean() - 1.96 * np.std(values, ddof=1), values.mean() + 1.96 * np.std(values, ddof=1)


@wrong("41.2", "standard error")
def from_the_book(values, draws, level=0.95):
    error = np.std(values, ddof=1) / len(values) ** 0.5
    return np.mean(values) - 1.96 * error, np.mean(values) + 1.96 * error


@wrong("41.2", "picked from the sorted means")
def sorted_by_hand(values, draws, level=0.95):
    means = sorted(values[row].mean() for row in draws)
    return means[int((1 - level) / 2 * len(means))], means[int((1 + level) / 2 * len(means))]


@wrong("41.2", "ends swapped")
def high_first(values, draws, level=0.95):
    means = values[draws].mean(axis=1)
    return np.quantile(means, (1 + level) / 2), np.quantile(means, (1 - level) / 2)


@wrong("41.2", says="in this order")
def only_one_end(values, draws, level=0.95):
    return np.quantile(values[draws].mean(axis=1), (1 - level) / 2)


# 41.3 permutation test


@wrong("41.3", "one side only")
def larger_only(differences, signs):
    worlds = signs @ differences
    return (1 + np.count_nonzero(worlds >= differences.sum())) / (1 + len(signs))


@wrong("41.3", "ours left out")
def without_ours(differences, signs):
    return np.mean(abs((signs * differences).mean(axis=1)) >= abs(differences.mean()))


@wrong("41.3", "equal not counted")
def strictly_further(differences, signs):
    worlds = abs(signs @ differences)
    return (1 + (worlds > abs(differences.sum())).sum()) / (1 + len(signs))


@wrong("41.3", "the other share")
def nearer(differences, signs):
    return 1 - np.mean(abs(signs @ differences) >= abs(differences.sum()))


@wrong("41.3", "sum against mean")
def unlike_things(differences, signs):
    return (1 + (abs((signs * differences).sum(axis=1)) >= abs(differences.mean())).sum()) / (1 + len(signs))


@wrong("41.3", "size of each difference")
def sizes(differences, signs):
    return (1 + (abs(signs * differences).mean(axis=1) >= abs(differences.mean())).sum()) / (1 + len(signs))


# 41.4 predictive values


@wrong("41.4", "prevalence ignored")
def half_are_ill(sensitivity, specificity, prevalence):
    return sensitivity / (sensitivity + 1 - specificity), specificity / (specificity + 1 - sensitivity)


@wrong("41.4", "looking the wrong way")
def back_again(sensitivity, specificity, prevalence):
    ill, healthy = 1000 * prevalence, 1000 * (1 - prevalence)
    return sensitivity * ill / ill, specificity * healthy / healthy


@wrong("41.4", "specificity for false alarms")
def healthy_with_alarm(sensitivity, specificity, prevalence):
    ppv = sensitivity * prevalence / (sensitivity * prevalence + specificity * (1 - prevalence))
    negative = (1 - specificity) * (1 - prevalence)
    return ppv, negative / (negative + (1 - sensitivity) * prevalence)


@wrong("41.4", "prevalence for everybody")
def healthy_not_weighed(sensitivity, specificity, prevalence):
    alarms, silent = sensitivity * prevalence, specificity * (1 - prevalence)
    return alarms / (alarms + 1 - specificity), silent / (silent + 1 - sensitivity)


@wrong("41.4", "share of everybody")
def not_divided(sensitivity, specificity, prevalence):
    return sensitivity * prevalence, specificity * (1 - prevalence)


@wrong("41.4", "values swapped")
def negative_first(sensitivity, specificity, prevalence):
    a, b = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    c, d = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return c / (c + d), a / (a + b)


# 41.5 expected calibration error


def binned(confidence, correct, bins):
    where = np.minimum(np.floor(confidence * bins).astype(int), bins - 1)
    return [(confidence[where == b], correct[where == b]) for b in range(bins) if (where == b).any()]


@wrong("41.5", "bins count alike")
def plain_mean(confidence, correct, bins=10):
    return np.mean([abs(c.mean() - r.mean()) for c, r in binned(confidence, correct, bins)])


@wrong("41.5", "gaps cancel")
def signed(confidence, correct, bins=10):
    return sum((c.mean() - r.mean()) * len(c) for c, r in binned(confidence, correct, bins)) / len(confidence)


@wrong("41.5", "one bin for all")
def overall(confidence, correct, bins=10):
    return abs(confidence.mean() - correct.mean())


@wrong("41.5", "largest gap")
def worst_bin(confidence, correct, bins=10):
    return max(abs(c.mean() - r.mean()) for c, r in binned(confidence, correct, bins))


@wrong("41.5", "middle of the bin")
def middles(confidence, correct, bins=10):
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(
        abs((b + 0.5) / bins - correct[where == b].mean()) * (where == b).mean()
        for b in range(bins)
        if (where == b).any()
    )


@wrong("41.5", "squared gaps")
def squares(confidence, correct, bins=10):
    return sum((c.mean() - r.mean()) ** 2 * len(c) for c, r in binned(confidence, correct, bins)) / len(confidence)


@wrong("41.5", "1 falls out")
def half_open_bins(confidence, correct, bins=10):
    total, edges = 0.0, np.linspace(0, 1, bins + 1)
    for low, high in itertools.pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    return total


@wrong("41.5", says="There is a NaN")
def empty_bins_too(confidence, correct, bins=10):
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[where == b].mean() - correct[where == b].mean()) * (where == b).mean() for b in range(bins)]
    return sum(gaps)


# 41.6 checklist: one verdict wrong at a time

for item, verdict in my_checklist.items():
    wrong("41.6", item)(my_checklist | {item: "good" if verdict != "good" else "missing"})
wrong("41.6", "unit of the split")(dict.fromkeys(my_checklist, "good"))
wrong("41.6", "unit of the split")(dict.fromkeys(my_checklist, "missing"))
wrong("41.6", says="Copy the dict")(["wrong", "wrong", "good"])
wrong("41.6", says="names of the items")({"unit of the split": "wrong"})
wrong("41.6", says="One of the three words")(my_checklist | {"metric": "bad"})
wrong("41.6", says="One of the three words")(my_checklist | {"metric": ...})
