"""Recipes: what a model of the zoo is made of, one TOML file a model. Reading one imports nothing heavy."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRAINED = Path(__file__).parent / "trained"  # a folder a model: recipe.toml, weights.safetensors, card.json


@dataclass(frozen=True)
class Recipe:
    """All that training needs, and what people wrote about the model.

    Attributes:
        name, title, task: the task is "segmentation", "classification" or "beats".
        seed: where chance starts.
        about: `trained_on`, `licence`, `input`, `target` and `known_failures`, in words.
        data: the `cohort`, its `options`, the `label_names` (a list, background first).
        model: `kind` (unet, cnn or recurrent) and the arguments of its class.
        grid: `orientation` and `spacing_mm`, `spacing_most_mm` (lists in z, y, x order): what the model was trained on.
            Empty for pictures, which are taken pixel by pixel.
        sampling: how batches are drawn, arguments of `gpu.Resident`; for beats, how windows are cut.
        augment: arguments of `augment.Augment`; empty for none.
        schedule: arguments of `train.fit`.
        prediction: arguments of `infer.probabilities`.
    """

    name: str
    title: str
    task: str
    seed: int
    about: dict[str, Any]
    data: dict[str, Any]
    model: dict[str, Any]
    grid: dict[str, Any]
    sampling: dict[str, Any]
    augment: dict[str, Any]
    schedule: dict[str, Any]
    prediction: dict[str, Any]

    @property
    def label_names(self) -> dict[int, str]:
        """Class number to name; 0 is the background of a segmentation."""
        return dict(enumerate(self.data["label_names"]))


TABLES = ("about", "data", "model", "grid", "sampling", "augment", "schedule", "prediction")


def names() -> list[str]:
    """Names of all models, sorted."""
    return sorted(path.parent.name for path in TRAINED.glob("*/recipe.toml"))


def recipe(name: str) -> Recipe:
    """The recipe of a model.

    Raises:
        ValueError: no model has this name; the message names the nearest.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(str(name).lower(), known, n=2, cutoff=0.4)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise ValueError(f"no model is named {name!r}{hint}. The zoo has {', '.join(known)}")
    return read(TRAINED / name / "recipe.toml")


def read(path: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is missing or unknown; names file and field.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no recipe, so no model was trained here")
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    fields = {"name", "title", "task", "seed", *TABLES}
    for field in sorted(fields - set(TABLES) - set(raw)) + sorted(set(raw) - fields):
        kind = "unknown" if field in raw else "missing"
        raise ValueError(f"{path}: {kind} field {field!r}; a recipe has {', '.join(sorted(fields))}")
    return Recipe(**{table: {} for table in TABLES} | raw)
