"""A trained model, ready to be used on any image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch import nn

from medlab import gpu, images, infer
from medlab.wfdb import Record
from medlab.zoo import cards, examples, grids, networks, weights
from medlab.zoo.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A model with its weights and its card. Not for clinical use.

    Attributes:
        model: the network, in evaluation mode.
        card: data, licence, split, recipe and held-out scores; `print(card)` shows it.
    """

    model: nn.Module
    card: cards.Card

    @property
    def recipe(self) -> Recipe:
        """The recipe that the model was trained by."""
        return self.card.recipe

    def __repr__(self) -> str:
        device = next(self.model.parameters()).device
        return f"Pretrained({self.card.name} on {device}: {self.recipe.title})"

    def segment(self, image: sitk.Image) -> sitk.Image:
        """Labels of an image, whatever its spacing, orientation and intensity scale.

        The image is turned and resampled to what the model was trained on and normalised; the probabilities come
        back onto the image's own grid, where the most probable label wins.

        Args:
            image: of the kind that the card names (`card.recipe.about["input"]`).

        Returns:
            uint8 labels, see `card.label_names`, on exactly the image's grid.

        Raises:
            TypeError: the model is a classifier.
            ValueError: the image has other dimensions or channels than the model takes, is empty, constant, or holds a
                value that is not finite.
        """
        recipe = self.recipe
        if recipe.task != "segmentation":
            raise TypeError(f"{recipe.name} is a classifier: use .classify")
        self._check(image)
        seen = grids.to_model(image, recipe.grid) if recipe.grid else image
        inputs = gpu.network_input(seen)
        found = infer.probabilities(self.model, inputs, **recipe.prediction).cpu().numpy()  # (K, D, H, W)
        if not recipe.grid:
            return images.image_like(found[:, 0].argmax(0).astype(np.uint8), image)
        return grids.back(found, seen, image)

    def classify(self, subject: sitk.Image | Record) -> np.ndarray:
        """Probability of each class.

        Args:
            subject: a grey 2D picture of any size and brightness; for a model of beats, a recording with its R peaks.

        Returns:
            (K,) float64, or (beats, K); the classes are those of `card.label_names`, in order.

        Raises:
            TypeError: the model is for segmentation, or takes the other kind of subject.
            ValueError: the picture is not grey and 2D or is constant; the recording has too few beats.
        """
        recipe = self.recipe
        wanted = {"classification": sitk.Image, "beats": Record}.get(recipe.task)
        if wanted is None:
            raise TypeError(f"{recipe.name} is for segmentation: use .segment")
        if not isinstance(subject, wanted):
            raise TypeError(f"{recipe.name} takes a {wanted.__name__}, got a {type(subject).__name__}")
        if isinstance(subject, Record):
            return self.probabilities(torch.from_numpy(examples.beat_inputs(subject, recipe.sampling)))
        _refuse_constant(subject, recipe.name)
        return self.probabilities(torch.from_numpy(examples.picture(subject, recipe.sampling["size"])))[0]

    def probabilities(self, inputs: torch.Tensor) -> np.ndarray:
        """Of each class, (N, K) float64, for inputs (N, C, *S) that are prepared as in training."""
        return infer.classify(self.model, inputs).double().cpu().numpy()

    def _check(self, image: sitk.Image) -> None:
        name, dims, channels = self.recipe.name, 3 if self.recipe.grid else 2, self.recipe.data.get("channels", 1)
        if image.GetDimension() != dims:
            got = f"{image.GetDimension()} dimensions, size {image.GetSize()}"
            raise ValueError(f"{name} takes {dims}D images, got {got}")
        if image.GetNumberOfComponentsPerPixel() != channels:
            wanted = "one channel" if channels == 1 else f"{channels} channels (red, green, blue)"
            raise ValueError(
                f"{name} takes images with {wanted}, got {image.GetNumberOfComponentsPerPixel()}; "
                + ("take one of them" if channels == 1 else "of a grey image, repeat it with SimpleITK.Compose")
            )
        _refuse_constant(image, name)


def _refuse_constant(image: sitk.Image, name: str) -> None:
    values = sitk.GetArrayViewFromImage(image)
    if values.size == 0:
        raise ValueError(f"{name} needs voxels, got an empty image of size {image.GetSize()}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} needs finite values, got NaN or infinity; replace them first")
    if values.min() == values.max():
        raise ValueError(f"{name} can't see anything in a constant image: every value is {values.flat[0]}")


def load(name: str, device: str = "auto", *, folder: str | Path | None = None) -> Pretrained:
    """As `medlab.zoo.load`, which says what it takes and raises."""
    card = cards.read(name, None if folder is None else Path(folder))
    tensors = weights.read(card.weights_path, name, card.measured["weights"])
    model = networks.build(card.recipe.model)
    weights.fill(model, tensors, card.weights_path)
    chosen = gpu.pick_device(device)
    return Pretrained(gpu.precision(chosen).place(model, chosen).eval(), card)
