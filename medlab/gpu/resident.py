"""A labelled cohort that lies on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medlab.gpu.device import advice_without_memory
from medlab.gpu.packing import (
    Z_STEPS,
    Augmentation,
    Packed,
    SegmentationCase,
    fresh_generator,
    neighbours,
    unpacked,
)
from medlab.gpu.places import Places, resident_bytes

__all__ = ["Resident"]


class Resident:
    """A labelled cohort, normalised, in two compact tensors on the device; deals out random batches from there.

    No step of a batch runs per sample in Python and nothing passes through the host: positions are drawn, patches
    are gathered and augmented as whole batches where they lie.

    Args:
        cases: what `Cohort.train` holds; every case needs labels.
        device: where the tensors lie.
        dims: 2 deals slices, 3 deals volumes.
        context: with `dims=2`, how many neighbouring slices on either side come along as extra channels.
        patch: spatial size of a patch, (H, W) or (D, H, W); None takes whole padded slices or volumes.
        multiple: volumes are padded with 0 (their mean), evenly on both sides, to a common size that this divides.
        foreground: fraction of the patches that are centred on a labelled voxel, every case and class alike.
        augment: called as `augment(images, labels, generator)` on each batch.

    Attributes:
        values: (N, C, D, H, W) int16, z-scores in steps of 1/2048.
        labels: (N, D, H, W) uint8.
        names: the cases' names.
        classes: the highest label of these cases + 1; a small cohort may lack one of its `label_names`.
        generator: the source of chance, set by `medlab.seed`; its state is what a checkpoint keeps.
        last_cases: (B,) which cases the last batch came from.

    Raises:
        ValueError: if there is no case, a case has no labels, the patch does not fit, or the context is no whole
            number from 0.
        torch.OutOfMemoryError: if the cohort does not fit the device.
    """

    def __init__(
        self,
        cases: Sequence[SegmentationCase] | Packed,
        *,
        device: torch.device | str = "cpu",
        dims: int = 2,
        context: int = 1,
        patch: tuple[int, ...] | None = None,
        multiple: int = 16,
        foreground: float = 0.5,
        augment: Augmentation | None = None,
    ) -> None:
        self.context = neighbours(context, dims)
        packed = cases if isinstance(cases, Packed) else Packed(cases)
        self.device, self.dims, self.augment = torch.device(device), dims, augment
        self.names, self.classes = packed.names, packed.classes
        self.places = Places(
            packed, dims=dims, patch=patch, multiple=multiple, foreground=foreground, device=self.device
        )
        gib = resident_bytes(packed, self.padded) / 2**30
        with advice_without_memory(
            f"{len(packed.names)} volumes take {gib:.1f} GiB on {self.device}",
            "take gpu.Prefetch, which leaves them on the host, or fewer cases",
        ):
            self.values, self.labels = self._fill(packed)
        self.generator = fresh_generator(self.device)
        self.last_cases = torch.zeros(0, dtype=torch.long, device=self.device)

    @property
    def channels(self) -> int:
        """Channels of a batch: those of the image times the slices that come along."""
        return self.values.shape[1] * (2 * self.context + 1)

    @property
    def padded(self) -> tuple[int, ...]:
        """(D, H, W), the common size of the volumes."""
        return self.places.padded

    @property
    def bytes(self) -> int:
        """What the cohort takes on the device: 2 bytes a value, 1 a label."""
        return self.values.numel() * 2 + self.labels.numel()

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.padded))
        return f"Resident({len(self)} volumes of {size} on {self.device}, {self.bytes / 2**20:.0f} MiB)"

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Random patches, augmented: images (size, channels, *patch) float32 and labels (size, *patch) int64."""
        with advice_without_memory(f"a batch of {size} does not fit", "lower the batch size or the patch"):
            return self._deal(size)

    def volume(self, index: int) -> tuple[Tensor, Tensor]:
        """One whole case without its padding: image (C, D, H, W) float32, labels (D, H, W) uint8."""
        inside = self._inside(index)
        return self.values[index][(slice(None), *inside)].float() / Z_STEPS, self.labels[index][inside]

    def _deal(self, size: int) -> tuple[Tensor, Tensor]:
        """Draw, gather, unpack and augment."""
        case, corner = self.places.draw(size, self.generator)
        self.last_cases = case
        z = self.places.planes(case, corner, self.context)  # (B, Z)
        middle = z[:, self.context : self.context + self.places.patch[0]]
        values = _windows(self.values, case, z, corner, self.places.patch)  # (B, C, Z, H, W)
        truth = _windows(self.labels[:, None], case, middle, corner, self.places.patch)[:, 0]  # (B, D, H, W)
        images, labels = unpacked(values, truth, self.dims)
        if self.augment is not None:
            images, labels = self.augment(images, labels, self.generator)
        return images, labels

    def _inside(self, index: int) -> tuple[slice, ...]:
        """Where the volume lies in the padded box."""
        start, size = self.places.starts[index], self.places.sizes[index]
        return tuple(slice(int(a), int(a + n)) for a, n in zip(start, size, strict=True))

    def _fill(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """All cases in one int16 and one uint8 tensor on the device."""
        count, channels = len(self), packed.channels
        values = torch.zeros((count, channels, *self.padded), dtype=torch.int16, device=self.device)
        labels = torch.zeros((count, *self.padded), dtype=torch.uint8, device=self.device)
        for index in range(count):
            inside = self._inside(index)
            values[index][(slice(None), *inside)] = torch.from_numpy(packed.values[index]).to(self.device)
            labels[index][inside] = torch.from_numpy(packed.labels[index]).to(self.device)
        return values, labels


def _windows(source: Tensor, case: Tensor, z: Tensor, corner: Tensor, patch: tuple[int, ...]) -> Tensor:
    """Windows of the patch's height and width out of (N, C, D, H, W), at the planes z (B, Z) -> (B, C, Z, H, W).

    Every window of the tensor is one row of a view that overlaps itself, so one number finds a whole plane: on the
    CPU nine times faster than an index for every voxel.
    """
    height, width = patch[1:]
    by_case, by_channel, by_plane, by_row, _ = source.stride()
    every = source.as_strided((source.numel() - (height - 1) * by_row - width + 1, height, width), (1, by_row, 1))
    plane = case[:, None] * by_case + z * by_plane + corner[:, 1, None] * by_row + corner[:, 2, None]  # (B, Z)
    channel = torch.arange(source.shape[1], device=source.device) * by_channel
    return every[plane[:, None] + channel[:, None]]
