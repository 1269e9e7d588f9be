"""From a recipe to a trained model: data, network, schedule and the training loop, put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medlab import augment, cohorts, gpu, infer, train
from medlab.zoo import examples, grids, networks
from medlab.zoo.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """A trained model and what its training took.

    Attributes:
        model: on the CPU, with the weights that validated best, or the last ones where nothing validated.
        history: of `train.fit`.
        cpu_minutes: processor time of training and validation together.
    """

    model: nn.Module
    history: train.History
    cpu_minutes: float


def fit(recipe: Recipe, *, steps: int | None = None, checkpoint: Path | None = None, progress: bool = True) -> Trained:
    """Train a model by its recipe, from its seed: the same weights on the same machine every time.

    Args:
        recipe: what to train.
        steps: fewer steps than the recipe's, to try it out.
        checkpoint: a file to write at every validation; training goes on from it if it is there.
        progress: show a bar.
    """
    began = time.process_time()
    cohort = cohorts.load(recipe.data["cohort"], **recipe.data.get("options", {}))
    gpu.seed(recipe.seed)
    model = networks.build(recipe.model)
    options = dict(recipe.schedule) if steps is None else recipe.schedule | {"steps": steps, "validate_every": steps}
    loss = _loss(options.pop("class_weights", None), options.pop("label_smoothing", 0.0))
    if recipe.task != "segmentation":
        options["loss"] = loss
    history = train.fit(
        model,
        _data(recipe, cohort),
        **options,
        validate=_validation(recipe, cohort),
        checkpoint=checkpoint,
        resume=checkpoint is not None and checkpoint.exists(),
        progress=progress,
    )
    return Trained(model.cpu().eval(), history, (time.process_time() - began) / 60)


def _loss(class_weights: list[float] | None, smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    weights = None if class_weights is None else torch.tensor(class_weights)
    return lambda logits, classes: F.cross_entropy(logits.float(), classes, weight=weights, label_smoothing=smoothing)


def _data(recipe: Recipe, cohort: cohorts.Cohort) -> Any:
    change = augment.Augment(**recipe.augment) if recipe.augment else None
    if recipe.task != "segmentation":
        values, targets = examples.of(recipe, cohort, recipe.data["train"])
        return gpu.Samples(values, targets, augment=change)
    cases = [case for part in recipe.data["train"] for case in cohort.part(part)]
    for case in cases if recipe.grid else []:
        grids.require(case.image(), recipe.grid, case.name)
    return gpu.Resident(cases, augment=change, **recipe.sampling)


def _validation(recipe: Recipe, cohort: cohorts.Cohort) -> Callable[[nn.Module], float] | None:
    """Scores a model on the validation part, higher is better; None where the recipe trains on that part too."""
    if "validation" in recipe.data["train"]:
        return None
    if recipe.task != "segmentation":
        values, targets = examples.of(recipe, cohort, ["validation"])
        return lambda model: examples.score(recipe, infer.classify(model, values).double().numpy(), targets)
    context = {key: recipe.sampling[key] for key in ("dims", "context", "multiple") if key in recipe.sampling}
    return partial(_mean_dice, data=gpu.Resident(cohort.validation, **context))


def _mean_dice(model: nn.Module, data: gpu.Resident) -> float:
    """Mean over the classes that a case has, then over the cases."""
    table = infer.dice_table(model, data)
    for row in range(len(data)):
        present = np.bincount(data.volume(row)[1].flatten().numpy(), minlength=table.shape[1] + 1)[1:] > 0
        table[row, ~present] = np.nan
    return float(np.nanmean(np.nanmean(table, axis=1)))
