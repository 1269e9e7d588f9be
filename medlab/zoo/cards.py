"""Model cards: what people wrote in the recipe beside what was measured on held-out patients. Imports nothing heavy."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medlab.zoo.recipe import TRAINED, Recipe, names, recipe
from medlab.zoo.recipe import read as read_recipe

NOT_CLINICAL = (
    "Not for clinical use. For teaching and research: no result of this model may guide the care of a patient."
)


@dataclass(frozen=True, eq=False)
class Card:
    """What is known about a trained model; `print(card)` shows it.

    Attributes:
        recipe: data, network, schedule, and what people wrote.
        measured: what training and scoring wrote: `weights` (bytes, sha256, parameters), `split` (patients and cases
            a part), `training` (machine, time, validation score), `test` (scores with intervals, and each case's).
        folder: where the weights lie.
    """

    recipe: Recipe
    measured: dict[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """Of the model."""
        return self.recipe.name

    @property
    def label_names(self) -> dict[int, str]:
        """Class number to name."""
        return self.recipe.label_names

    @property
    def weights_path(self) -> Path:
        """The weights' file."""
        return self.folder / "weights.safetensors"

    @property
    def score(self) -> str:
        """The headline score on held-out patients with its 95 % interval, such as "Dice 0.88 (0.87 to 0.89)"."""
        head = self.measured["test"]["headline"]
        entry = self.measured["test"]["scores"][head]
        return f"{head} {_interval(entry)}"

    def __str__(self) -> str:
        return "\n".join([*_head(self), *_data(self), *_training(self), *_scores(self), *_failures(self)])


def read(name: str, folder: Path | None = None) -> Card:
    """The card of a model.

    Args:
        name: as `names()` lists them.
        folder: where `medlab zoo train` put its result; None takes what comes with medlab.

    Raises:
        FileNotFoundError: the model was not trained there.
        ValueError: unknown name, or the card can't be read.
    """
    found = recipe(name) if folder is None else read_recipe(folder / "recipe.toml")
    if found.name != name:
        raise ValueError(f"{folder} holds a model named {found.name}, not {name}")
    place = TRAINED / name if folder is None else folder
    path = place / "card.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {name} was not trained there; `medlab zoo train {name}` does it")
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a card ({error}); install medlab again or train again") from None
    return Card(found, measured, place)


def table() -> list[dict[str, str]]:
    """A row a model for `medlab zoo list`: name, task, data, licence, size, score."""
    rows = []
    for name in names():
        found = recipe(name)
        row = {"name": name, "task": found.task, "data": found.data["cohort"], "licence": found.about["licence"]}
        if (TRAINED / name / "card.json").is_file():
            card = read(name)
            row |= {"size": f"{card.measured['weights']['bytes'] / 1e6:.1f} MB", "score": card.score}
        else:
            row |= {"size": "-", "score": "not trained yet"}
        rows.append(row)
    return rows


# --- The card as text ------------------------------------------------------------------------------------------------


def _interval(entry: dict[str, Any]) -> str:
    span = "one patient" if entry["low"] is None else f"{entry['low']:.3f} to {entry['high']:.3f}"
    return f"{entry['value']:.3f} ({span})"


def _wrapped(text: str, first: str = "  ", rest: str | None = None) -> list[str]:
    after = " " * len(first) if rest is None else rest
    return textwrap.wrap(" ".join(text.split()), 96, initial_indent=first, subsequent_indent=after)


def _head(card: Card) -> list[str]:
    return [f"{card.name}: {card.recipe.title}", "", *_wrapped(NOT_CLINICAL, "")]


def _data(card: Card) -> list[str]:
    about, split = card.recipe.about, card.measured["split"]
    parts = ", ".join(f"{part} {row['patients']} ({row['cases']} cases)" for part, row in split.items())
    return [
        *("", "Data"),
        *_wrapped(f"{card.recipe.data['cohort']}: {about['trained_on']}"),
        *_wrapped(f"licence of the weights: {about['licence']}. {about['licence_note']}"),
        *_wrapped(f"patients: {parts}. {about['split_note']}"),
    ]


def _training(card: Card) -> list[str]:
    recipe, training, weights = card.recipe, card.measured["training"], card.measured["weights"]
    model = ", ".join(f"{key} {value}" for key, value in recipe.model.items())
    schedule = ", ".join(f"{key} {value}" for key, value in recipe.schedule.items())
    lines = [
        *("", "Model and training"),
        *_wrapped(f"input: {recipe.about['input']}"),
        *_wrapped(f"network: {model}; {weights['parameters']:,} parameters, {weights['bytes'] / 1e6:.2f} MB"),
        *_wrapped(f"schedule: {schedule}; seed {recipe.seed}; parts: {', '.join(recipe.data['train'])}"),
    ]
    if recipe.augment:
        augment = ", ".join(f"{key} {value}" for key, value in recipe.augment.items())
        lines += _wrapped(f"augmentation: {augment}")
    lines += _wrapped(
        f"made in {training['steps']:,} steps on {training['machine']}, {training['cpu_minutes']:.1f} CPU minutes; "
        f"{training['validation']}"
    )
    lines += [f"  SHA-256 {weights['sha256']}", f"  `medlab zoo train {card.name}` makes it again from its recipe"]
    return lines


def _scores(card: Card) -> list[str]:
    test = card.measured["test"]
    wide = max(map(len, test["scores"]))
    lines = ["", "Held-out test patients: value (95 % bootstrap interval over patients)"]
    for name, entry in test["scores"].items():
        lines.append(f"  {name.ljust(wide)}  {_interval(entry)}  {entry['patients']} patients")
    if card.recipe.task == "segmentation":
        lines += _wrapped("a class that a case lacks is left out, unless the model sees it there: then it scores 0")
    if "robustness" in card.measured:
        found = ", ".join(f"{change} {dice:.3f}" for change, dice in card.measured["robustness"].items())
        lines += _wrapped(f"mean Dice of the same patients when every image is changed: {found}")
    return lines


def _failures(card: Card) -> list[str]:
    lines = ["", "Known failures"]
    for sentence in card.recipe.about["known_failures"]:
        lines += _wrapped(sentence, "  - ")
    return lines
