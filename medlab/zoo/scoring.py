"""Scores on held-out patients, with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import stats

from medlab import cohorts, images, metrics
from medlab.zoo import examples
from medlab.zoo.pretrained import Pretrained

RESAMPLES = 2000

Score = dict[str, float | None]
Change = Callable[[sitk.Image, bool], sitk.Image]  # (image or labels, whether it is labels)


def score(pretrained: Pretrained, cohort: cohorts.Cohort, part: str = "test") -> dict[str, Any]:
    """What a model reaches on one part of its cohort, by the same `segment` or `classify` that everybody calls.

    Returns:
        `headline` (the name of one of the scores), `scores` (name -> value and 95 % interval) and `cases` (what each
        case gave: Dice a class, None for a class that the case lacks; the probability of class 1; or, of a recording,
        how many beats of each true class were called what).
    """
    task = pretrained.recipe.task
    return {"segmentation": _segmentation, "classification": _classification, "beats": _beats}[task](
        pretrained, cohort, part
    )


def dice_of_case(pretrained: Pretrained, case: cohorts.Case) -> list[float | None]:
    """Dice of every class of one case, to four digits; None for a class that neither truth nor prediction has.

    A class that only the prediction has scores 0: a false alarm is an error.
    """
    truth, found = images.array(_labels(case)), images.array(pretrained.segment(case.image()))
    classes = list(pretrained.card.label_names)[1:]
    row = metrics.dice_per_class(found, truth, classes)
    present = [bool((truth == label).any() or (found == label).any()) for label in classes]
    return [round(float(value), 4) if there else None for value, there in zip(row, present, strict=True)]


def _labels(case: cohorts.Case) -> sitk.Image:
    labels = case.labels()
    if labels is None:
        raise ValueError(f"{case.name} has no labels to score against")
    return labels


def _segmentation(pretrained: Pretrained, cohort: cohorts.Cohort, part: str) -> dict[str, Any]:
    cases = {case.name: dice_of_case(pretrained, case) for case in cohort.part(part)}
    return {"headline": "Dice", "scores": dice_scores(pretrained, cohort, part, cases), "cases": cases}


def dice_scores(
    pretrained: Pretrained, cohort: cohorts.Cohort, part: str, cases: dict[str, list[float | None]]
) -> dict[str, Score]:
    """Mean Dice, and that of each class, from the Dice of every case."""
    table = np.array([[np.nan if value is None else value for value in row] for row in cases.values()])
    owners = [case.patient for case in cohort.part(part)]
    scores = {"Dice": _mean_over_patients(np.nanmean(table, axis=1), owners)}
    for label, name in list(pretrained.card.label_names.items())[1:]:
        if np.isfinite(table[:, label - 1]).any():
            scores[f"Dice, {name}"] = _mean_over_patients(table[:, label - 1], owners)
    return scores


def robustness(pretrained: Pretrained, cohort: cohorts.Cohort, part: str = "test") -> dict[str, float]:
    """Mean Dice on one part as it is, and with every image turned, resampled, or in another unit.

    Truth goes the same way as the image, by the nearest voxel; a fall is that of the task with it: at 1.5 mm a small
    structure has fewer voxels to be right about.
    """

    def turned(image: sitk.Image, labels: bool) -> sitk.Image:
        return images.reorient(image, "PIR")

    def at(spacing_mm: float) -> Change:
        return lambda image, labels: images.resample(image, spacing_mm=(spacing_mm,) * 3, labels=labels)

    def times(factor: float) -> Change:
        return lambda image, labels: image if labels else sitk.Cast(image, sitk.sitkFloat32) * factor

    changes: dict[str, Change] = {"as it is": lambda image, labels: image, "axes turned (PIR)": turned}
    changes |= {f"spacing {s} mm": at(s) for s in (0.7, 1.5)} | {f"intensity x {f:g}": times(f) for f in (1e-3, 1e6)}
    return {name: round(_mean_dice_under(pretrained, cohort.part(part), change), 4) for name, change in changes.items()}


def _mean_dice_under(pretrained: Pretrained, cases: Sequence[cohorts.Case], change: Change) -> float:
    classes = list(pretrained.card.label_names)[1:]
    table = []
    for case in cases:
        found = images.array(pretrained.segment(change(case.image(), False)))
        table.append(metrics.dice_per_class(found, images.array(change(_labels(case), True)), classes))
    return metrics.mean_dice(np.array(table))


def _mean_over_patients(values: np.ndarray, owners: Sequence[str]) -> Score:
    """Mean of the patients' means; a patient may have several cases, and cases without a value are left out."""
    owner = np.array(owners)
    groups = [values[(owner == name) & np.isfinite(values)] for name in dict.fromkeys(owners)]
    means = [group.mean() for group in groups if len(group)]
    return interval((np.array(means),), np.mean)


def interval(data: Sequence[np.ndarray], statistic: Callable[..., Any]) -> Score:
    """A score and its 95 % interval: percentiles of 2000 bootstrap samples of the patients.

    Args:
        data: arrays whose first axis are the patients; they are drawn together.
        statistic: of these arrays.

    Returns:
        `value`, `low`, `high` (None for a single patient) and `patients`.
    """
    numbers = np.arange(len(data[0]))
    value = round(float(statistic(*data)), 4)
    if len(numbers) < 2:
        return {"value": value, "low": None, "high": None, "patients": len(numbers)}

    def of_drawn(drawn: np.ndarray) -> float:
        return float(statistic(*(part[drawn] for part in data)))

    found = stats.bootstrap(
        (numbers,),
        of_drawn,
        n_resamples=RESAMPLES,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = round(float(found.low), 4), round(float(found.high), 4)
    return {"value": value, "low": low, "high": high, "patients": len(numbers)}


def _classification(pretrained: Pretrained, cohort: cohorts.Cohort, part: str) -> dict[str, Any]:
    values, classes = examples.of(pretrained.recipe, cohort, [part])
    found = pretrained.probabilities(values)[:, 1]
    truth = classes.numpy()
    names = pretrained.card.label_names
    threshold = 0.5
    scores = {
        "AUC": interval((found, truth), examples.area_under_curve),
        "accuracy": interval((found, truth), lambda p, t: np.mean((p >= threshold) == t)),
        f"share of {names[0]} found": interval((found[truth == 0],), lambda p: np.mean(p < threshold)),
        f"share of {names[1]} found": interval((found[truth == 1],), lambda p: np.mean(p >= threshold)),
    }
    cases = {case.name: round(float(p), 4) for case, p in zip(cohort.part(part), found, strict=True)}
    return {"headline": "AUC", "scores": scores, "cases": cases}


def _beats(pretrained: Pretrained, cohort: cohorts.Cohort, part: str) -> dict[str, Any]:
    names = pretrained.card.label_names
    tables = {}
    for case in cohort.part(part):
        truth = case.target.classes
        found = pretrained.classify(case.record()).argmax(1)
        table = np.zeros((len(names), len(names)), dtype=int)  # true class, called class
        np.add.at(table, (truth[truth < len(names)], found[truth < len(names)]), 1)
        tables[case.name] = table
    counts = np.stack(list(tables.values()))  # (records, true, called)
    scores = {"mean F1": interval((counts,), _mean_f1)}
    for label, name in names.items():
        found_of, said_of = partial(_share, label=label, axis=2), partial(_share, label=label, axis=1)
        scores[f"sensitivity, {name}"] = interval((counts,), found_of)
        scores[f"positive predictivity, {name}"] = interval((counts,), said_of)
    cases = {name: table.tolist() for name, table in tables.items()}
    return {"headline": "mean F1", "scores": scores, "cases": cases}


def _share(counts: np.ndarray, *, label: int, axis: int) -> float:
    """Right beats of a class over all true ones (axis 2) or all that were called so (axis 1); 0 where there is none."""
    right, all_of = counts[:, label, label].sum(), counts.sum(axis=axis)[:, label].sum()
    return float(right / max(1, all_of))


def _mean_f1(counts: np.ndarray) -> float:
    """Mean over the classes of 2 right / (true + called); a class without beats counts 0."""
    table = counts.sum(axis=0)
    return float(np.mean(2 * np.diag(table) / np.maximum(1, table.sum(axis=0) + table.sum(axis=1))))
