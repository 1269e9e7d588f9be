"""Labelled cases as compact arrays: z-scores as int16, labels as uint8."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from medlab import images

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["Augmentation", "Packed", "fresh_generator", "neighbours", "network_input", "normalise", "unpacked"]

# A volume's z-scores are clipped to +-16 and stored as int16: steps of 1/2048 of a standard deviation.
Z_STEPS = 2048.0
Z_LIMIT = 32767 / Z_STEPS
CHANNELS_LIMIT = 16  # of an image; more are a sign of axes in another order

Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def normalise(volume: np.ndarray) -> np.ndarray:
    """The volume with mean 0 and standard deviation 1 in every channel, clipped to [-16, 16].

    MR has no unit: the brightest voxel of one scan is 112, of the next 1.7 million. A constant channel becomes 0.

    Args:
        volume: (D, H, W) or (D, H, W, C), any number type, C at most 16.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: if the volume is empty, holds a value that is not finite, or has other axes.
    """
    values = np.asarray(volume, dtype=np.float64)
    if values.ndim not in (3, 4) or (values.ndim == 4 and values.shape[3] > CHANNELS_LIMIT):
        raise ValueError(
            f"volume must be (D, H, W), or (D, H, W, C) with at most {CHANNELS_LIMIT} channels, got shape "
            f"{values.shape}: channels come last; without any, leave their axis out"
        )
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"volume must hold finite numbers, got shape {values.shape} with NaN, infinity or nothing")
    axes = (0, 1, 2)
    spread = values.std(axis=axes, keepdims=True)
    values = (values - values.mean(axis=axes, keepdims=True)) / np.where(spread > 0, spread, 1)
    return values.clip(-Z_LIMIT, Z_LIMIT).astype(np.float32)


def network_input(image: sitk.Image) -> Tensor:
    """A whole image as networks take it: (C, D, H, W) float32, each channel normalised; a 2D image is one slice.

    Raises:
        TypeError: if it is not an image but, for example, an array.
        ValueError: if the image is empty or holds a value that is not finite.
    """
    if not hasattr(image, "GetDimension"):  # without importing SimpleITK: whoever has an image has it
        raise TypeError(f"image must be a SimpleITK image, got {type(image).__name__}: images.from_array makes one")
    volume = _with_all_axes(images.array(image), flat=image.GetDimension() == 2)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(normalise(volume), -1, 0)))


class SegmentationCase(Protocol):
    """What a case must offer: `cohorts.Case` does."""

    @property
    def name(self) -> str: ...
    def image(self) -> Any: ...
    def labels(self) -> Any: ...


class Packed:
    """A labelled cohort on the host, normalised and compact, every volume in its own size.

    Args:
        cases: what `Cohort.train` holds; every case needs labels.
        memory: volumes beyond this many bytes are kept in files in a temporary folder and mapped into memory.

    Attributes:
        names: the cases' names.
        values: (C, D, H, W) int16 each, z-scores in steps of 1/2048.
        labels: (D, H, W) uint8 each.
        channels: C.
        classes: the highest label of these cases + 1.

    Raises:
        ValueError: if there is no case, a case has no labels, or their channels differ.
        OSError: if what is beyond `memory` does not fit the disk either.
    """

    def __init__(self, cases: Sequence[SegmentationCase], *, memory: float = float("inf")) -> None:
        if not len(cases):
            raise ValueError("cases must hold at least one case, got none")
        self.names = [case.name for case in cases]
        self.values: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self._folder: Path | None = None
        held = 0
        for case in cases:
            values, labels = _load(case)
            if self.values and len(values) != self.channels:
                raise ValueError(
                    f"{case.name} has {len(values)} channels, {self.names[0]} has {self.channels}: make them alike"
                )
            held += values.nbytes + labels.nbytes
            self.values.append(values if held <= memory else self._on_disk(values))
            self.labels.append(labels if held <= memory else self._on_disk(labels))
        self.classes = max(int(labels.max()) for labels in self.labels) + 1

    @property
    def channels(self) -> int:
        """Of the images."""
        return len(self.values[0])

    @property
    def bytes(self) -> int:
        """2 a value, 1 a label."""
        return sum(array.nbytes for array in (*self.values, *self.labels))

    @property
    def mapped(self) -> bool:
        """Whether some of it lies on the disk."""
        return self._folder is not None

    def close(self) -> None:
        """Let go of the volumes and delete what lies on the disk."""
        self.values, self.labels = [], []
        if self._folder is not None:
            self._delete()

    def _on_disk(self, array: np.ndarray) -> np.ndarray:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="medlab-volumes-"))
            self._delete = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)  # at the latest
        path = self._folder / f"{len(self.values)}-{array.dtype}.npy"
        try:
            np.save(path, array)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the memory is full, and {path} could not be written ({error.strerror}): free some of the disk, or "
                "name a folder on a larger one in TMPDIR",
            ) from error
        return np.load(path, mmap_mode="c")  # torch takes no array that it may not write to


def fresh_generator(device: torch.device) -> torch.Generator:
    """A source of chance on the device that `medlab.seed` decides."""
    return torch.Generator(device).manual_seed(int(torch.randint(2**31, ())))


def neighbours(context: int, dims: int) -> int:
    """How many slices on either side come along: none where whole volumes are dealt, with `dims=3`.

    Raises:
        ValueError: if the context is no whole number from 0.
    """
    if not isinstance(context, (int, np.integer)) or context < 0:
        raise ValueError(f"context must be a whole number of slices from 0, got {context!r}")
    return int(context) if dims == 2 else 0


def unpacked(images: Tensor, labels: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Compact patches (B, C, Z, H, W) int16 and (B, D, H, W) uint8 as a network takes them, float32 and int64.

    With `dims=2` neighbouring slices become channels: (B, C * Z, H, W) and (B, H, W).
    """
    values, truth = images.float().div_(Z_STEPS), labels.long()
    return (values.flatten(1, 2), truth[:, 0]) if dims == 2 else (values, truth)


def _with_all_axes(volume: np.ndarray, *, flat: bool) -> np.ndarray:
    """(H, W), (D, H, W) or either with channels last as (D, H, W, C); `flat` says that there is no D yet."""
    volume = volume[None] if flat else volume
    return volume[..., None] if volume.ndim == 3 else volume


def _load(case: SegmentationCase) -> tuple[np.ndarray, np.ndarray]:
    """One case as z-scores (C, D, H, W) int16 and labels (D, H, W) uint8; a 2D image becomes one slice."""
    truth = case.labels()
    if truth is None:
        raise ValueError(f"{case.name} has no labels; take the cases that have")
    labels, volume = images.array(truth), images.array(case.image())
    flat = labels.ndim == 2
    labels, volume = labels[None] if flat else labels, _with_all_axes(volume, flat=flat)
    if volume.shape[:3] != labels.shape:
        raise ValueError(f"{case.name} has an image of {volume.shape[:3]} and labels of {labels.shape}, (z, y, x)")
    small = labels.astype(np.uint8)
    if not np.array_equal(small, labels):
        raise ValueError(f"{case.name} has labels that are no whole numbers from 0 to 255")
    try:
        scores = normalise(volume)
    except ValueError as error:
        raise ValueError(f"{case.name}: {error}") from None
    return np.ascontiguousarray(np.moveaxis(np.rint(scores * Z_STEPS).astype(np.int16), -1, 0)), small
