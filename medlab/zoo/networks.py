"""The network that a recipe describes."""

from __future__ import annotations

from typing import Any

from torch import nn

from medlab.models.cnn import CNN
from medlab.models.recurrent import RecurrentClassifier
from medlab.models.unet import UNet

KINDS: dict[str, type[nn.Module]] = {"cnn": CNN, "recurrent": RecurrentClassifier, "unet": UNet}


def build(model: dict[str, Any]) -> nn.Module:
    """A new network, its weights drawn by torch's generator.

    Args:
        model: `kind`, one of `KINDS`, and the arguments of that class.

    Raises:
        ValueError: an argument that the class does not take, or a value that makes no network.
    """
    arguments = dict(model)
    kind = arguments.pop("kind")
    try:
        return KINDS[kind](**arguments)
    except TypeError as error:
        raise ValueError(f"{KINDS[kind].__name__} can't be made with {arguments}: {error}") from None
