"""The zoo: networks by name, with recipes, trained weights and model cards.

| file | holds |
|---|---|
| `recipe.py`, `cards.py` | reading recipes and cards; both import nothing heavy |
| `networks.py`, `weights.py` | the network of a recipe; its weights in a checked file |
| `grids.py`, `examples.py` | what a model sees of an image, a picture or a recording |
| `pretrained.py` | `load` and `Pretrained` |
| `training.py`, `scoring.py`, `making.py` | from a recipe to weights and a card |
| `trained/` | a folder a model: recipe.toml, weights.safetensors, card.json |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medlab.zoo.cards import Card
from medlab.zoo.recipe import names

if TYPE_CHECKING:
    from torch import nn

    from medlab.zoo.pretrained import Pretrained

__all__ = ["Card", "create", "load", "names"]


def create(name: str, **options: Any) -> nn.Module:
    """The network of a model, untrained: its weights are drawn by torch's generator (`medlab.seed` sets it).

    Args:
        name: as `names()` lists them.
        options: arguments of the network's class that shall differ from the recipe, such as `classes` or `widths`.

    Raises:
        ValueError: unknown name, or an option that the network does not have.
    """
    from medlab.zoo import networks
    from medlab.zoo.recipe import recipe

    return networks.build(recipe(name).model | options)


def load(name: str, device: str = "auto", *, folder: str | Path | None = None) -> Pretrained:
    """A trained model, ready for `.segment(image)` or `.classify(...)`; `.card` says what it is worth.

    Args:
        name: as `names()` lists them.
        device: "auto" takes a GPU if there is one; or such as "cpu".
        folder: where `medlab zoo train` put its result; None takes the weights that come with medlab.

    Raises:
        FileNotFoundError: there are no such weights; says how to get them.
        ValueError: unknown name; or the weights are cut short, changed, or those of another model.
    """
    from medlab.zoo import pretrained

    return pretrained.load(name, device, folder=folder)
