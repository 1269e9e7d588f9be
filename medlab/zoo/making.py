"""`medlab zoo train`: from a recipe to a folder with weights and a card."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

from medlab import cohorts, gpu
from medlab.models.counts import parameter_count
from medlab.zoo import cards, pretrained, scoring, training, weights
from medlab.zoo.recipe import TRAINED, Recipe, recipe


def make(name: str, folder: Path, *, steps: int | None = None, progress: bool = True) -> cards.Card:
    """Train a model by its recipe, score it once on the test part, and write recipe, weights and card.

    An interrupted training goes on where its last checkpoint stands when the same call is made again.

    Args:
        name: of a model of the zoo.
        folder: to write into; made if it is not there. The weights that come with medlab are never touched.
        steps: fewer steps than the recipe's, to try it out.
        progress: show a bar.

    Raises:
        KeyboardInterrupt: it was stopped by hand.
        ValueError: unknown name, the folder is medlab's own, or it already holds a trained model.
    """
    wanted = recipe(name)
    _refuse_taken(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    made = training.fit(wanted, steps=steps, checkpoint=checkpoint, progress=progress)
    if made.history.interrupted:
        raise KeyboardInterrupt  # nothing half trained is scored; the checkpoint stays
    card = finish(wanted, made, folder)
    checkpoint.unlink(missing_ok=True)
    return card


def _refuse_taken(folder: Path) -> None:
    if folder.resolve().is_relative_to(TRAINED.resolve()):
        raise ValueError(f"{folder} holds the weights that come with medlab: choose another folder with --output")
    if (folder / "card.json").exists():
        raise ValueError(f"{folder} already holds a trained model: move it away or choose another folder with --output")


def finish(wanted: Recipe, made: training.Trained, folder: Path) -> cards.Card:
    """Write recipe, weights and card of a trained model; the scores are those of the weights as they are stored."""
    cohort = cohorts.load(wanted.data["cohort"], **wanted.data.get("options", {}))
    source = TRAINED / wanted.name / "recipe.toml"
    if not (folder / "recipe.toml").exists():
        (folder / "recipe.toml").write_bytes(source.read_bytes())
    stored = weights.write(weights.pack(made.model, wanted.name), folder / "weights.safetensors")
    measured: dict[str, Any] = {
        "weights": stored | {"parameters": parameter_count(made.model)},
        "split": {part: _counts(cohort.part(part)) for part in ("train", "validation", "test")},
        "training": _training(made),
        "test": {},
    }
    _write(measured, folder)
    model = pretrained.load(wanted.name, "cpu", folder=folder)
    measured["test"] = scoring.score(model, cohort)
    if wanted.grid and "spacing_most_mm" not in wanted.grid:  # trained at one spacing: does it bear others?
        measured["robustness"] = scoring.robustness(model, cohort)
    _write(measured, folder)
    return cards.read(wanted.name, folder)


def _counts(cases: list[cohorts.Case]) -> dict[str, int]:
    return {"patients": len({case.patient for case in cases}), "cases": len(cases)}


def _training(made: training.Trained) -> dict[str, Any]:
    history = made.history
    said = "no validation: the last weights were kept"
    if history.validation_steps:
        said = f"validation score {history.best_dice:.4f} after step {history.best_step}"
    return {
        "machine": _machine(),
        "cpu_minutes": round(made.cpu_minutes, 2),
        "steps": len(history.losses),
        "validation": said,
        "torch": torch.__version__.split("+")[0],
        "made": time.strftime("%Y-%m-%d"),
    }


def _machine() -> str:
    """In words, without the name of anybody's computer."""
    chosen = gpu.precision(torch.device("cpu"))
    threads = torch.get_num_threads()
    return f"a CPU ({platform.machine()}, {threads} thread{'s' * (threads > 1)}, {chosen.title})"


def _write(measured: dict[str, Any], folder: Path) -> None:
    weights.write((json.dumps(measured, indent=1) + "\n").encode(), folder / "card.json")
