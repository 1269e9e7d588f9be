"""Where to compute, in what precision, and a cohort that lies on the device and deals out batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from medlab import images

__all__ = ["Precision", "Resident", "normalise", "pick_device", "precision", "seed"]

# A volume's z-scores are clipped to +-16 and stored as int16: steps of 1/2048 of a standard deviation.
Z_STEPS = 2048.0
Z_LIMIT = 32767 / Z_STEPS

Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def seed(number: int) -> None:
    """Set every source of chance (random, numpy, torch on all devices), so that a run can be repeated.

    Args:
        number: 0 to 2**32 - 1.

    Raises:
        ValueError: if the number is outside that range.
    """
    if not 0 <= number < 2**32:
        raise ValueError(f"seed must be 0 to {2**32 - 1}, got {number}")
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - the global generator, which others may use
    torch.manual_seed(number)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def pick_device(name: str = "auto") -> torch.device:
    """The device to compute on; prints one line that says which, in what precision, and why.

    Args:
        name: "auto" takes CUDA, then MPS, then the CPU; or a device such as "cpu" or "cuda:1".

    Raises:
        ValueError: if the named device is not there.
    """
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        device, reason = torch.device(found), "no CUDA or MPS device found" if found == "cpu" else "found by itself"
    else:
        device, reason = torch.device(name), "asked for"
        there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there.get(device.type, False):
            raise ValueError(f"device {name!r} is not there; this machine has {[n for n, ok in there.items() if ok]}")
    chosen = precision(device)
    print(f"Device: {_title(device)} ({reason}); {chosen.title} ({chosen.why}).")
    return device


@dataclass(frozen=True)
class Precision:
    """Number format and memory format of a network on one device.

    Attributes:
        dtype: what autocast computes in: `torch.bfloat16` or `torch.float32`.
        channels_last: whether 2D and 3D maps store all channels of a voxel side by side.
        why: the reason, for the printed line.
    """

    dtype: torch.dtype
    channels_last: bool
    why: str

    @property
    def title(self) -> str:
        """For instance "bfloat16, channels last"."""
        return str(self.dtype).removeprefix("torch.") + (", channels last" if self.channels_last else "")

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context in which to run the network."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def memory_format(self, dims: int) -> torch.memory_format:
        """The memory format for networks and batches with 2 or 3 spatial axes."""
        if not self.channels_last:
            return torch.contiguous_format
        return torch.channels_last if dims == 2 else torch.channels_last_3d


def precision(device: torch.device) -> Precision:
    """The precision that pays on this device.

    bfloat16 halves the time of a training step only where the processor multiplies it in hardware; elsewhere it is
    emulated and slower. What the processor says it can do decides, not a stop watch: the choice must not change
    from run to run.
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(torch.bfloat16, True, "the GPU has it")
        return Precision(torch.float32, True, "the GPU has no bfloat16")
    if device.type == "cpu":
        if found := _cpu_bfloat16():
            return Precision(torch.bfloat16, True, f"the CPU has {found}")
        return Precision(torch.float32, True, "the CPU reports no bfloat16 arithmetic")
    return Precision(torch.float32, False, f"bfloat16 is not tried on {device.type}")


def _cpu_bfloat16() -> str:
    """The CPU's bfloat16 instructions by name, or ''."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.cpu, "get_capabilities"):
        return ""
    capabilities = torch.cpu.get_capabilities()
    for flag, title in (("amx_bf16", "AMX-BF16"), ("avx512_bf16", "AVX512-BF16")):
        if capabilities.get(flag):
            return title
    return ""


def _title(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"CPU with {torch.get_num_threads()} threads"
    return device.type.upper()


def normalise(volume: np.ndarray) -> np.ndarray:
    """The volume with mean 0 and standard deviation 1 in every channel, clipped to [-16, 16].

    MR has no unit: the brightest voxel of one scan is 112, of the next 1.7 million. A constant channel becomes 0.

    Args:
        volume: (D, H, W) or (D, H, W, C), any number type.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: if the volume is empty or holds a value that is not finite.
    """
    values = np.asarray(volume, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"volume must hold finite numbers, got shape {values.shape} with NaN, infinity or nothing")
    axes = (0, 1, 2)
    spread = values.std(axis=axes, keepdims=True)
    values = (values - values.mean(axis=axes, keepdims=True)) / np.where(spread > 0, spread, 1)
    return values.clip(-Z_LIMIT, Z_LIMIT).astype(np.float32)


class SegmentationCase(Protocol):
    """What a case must offer: `cohorts.Case` does."""

    @property
    def name(self) -> str: ...
    def image(self) -> Any: ...
    def labels(self) -> Any: ...


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
        ValueError: if there is no case, a case has no labels, or the patch does not fit.
    """

    def __init__(
        self,
        cases: Sequence[SegmentationCase],
        *,
        device: torch.device | str = "cpu",
        dims: int = 2,
        context: int = 1,
        patch: tuple[int, ...] | None = None,
        multiple: int = 16,
        foreground: float = 0.5,
        augment: Augmentation | None = None,
    ) -> None:
        if not cases:
            raise ValueError("cases must hold at least one case, got none")
        self.device, self.dims, self.augment = torch.device(device), dims, augment
        self.context = context if dims == 2 else 0
        self.foreground = foreground
        self.names = [case.name for case in cases]
        pairs = [_load(case) for case in cases]
        self.sizes = np.array([labels.shape for _, labels in pairs])  # (N, 3) without padding
        steps = np.array([1 if dims == 2 else multiple, multiple, multiple])
        self.padded = tuple(int(n) for n in -(-self.sizes.max(axis=0) // steps) * steps)
        self.starts = (np.array(self.padded) - self.sizes) // 2  # (N, 3) where a volume begins in the padded box
        if dims == 2:
            self.starts[:, 0] = 0
        self.patch = self._patch(patch)
        values, labels = self._pack(pairs)
        self.values, self.labels = values.to(self.device), labels.to(self.device)
        self.classes = int(labels.max()) + 1
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(int(torch.randint(2**31, ())))
        self._marks = self._foreground_voxels(labels).to(self.device)
        self._starts = torch.from_numpy(self.starts).to(self.device)
        self._sizes = torch.from_numpy(self.sizes).to(self.device)
        self._half = torch.tensor(self.patch, device=self.device) // 2
        self._highest = torch.tensor(self.padded, device=self.device) - torch.tensor(self.patch, device=self.device)
        self.last_cases = torch.zeros(0, dtype=torch.long, device=self.device)

    @property
    def channels(self) -> int:
        """Channels of a batch: those of the image times the slices that come along."""
        return self.values.shape[1] * (2 * self.context + 1)

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
        case, corner = self._draw(size)
        self.last_cases = case
        depth, height, width = self.patch
        z = corner[:, 0, None] + torch.arange(-self.context, depth + self.context, device=self.device)
        if self.dims == 2:  # beyond the ends of the volume the end slice stands in
            z = torch.minimum(z.clamp_min(0), self._sizes[case, 0, None] - 1)
        y = corner[:, 1, None] + torch.arange(height, device=self.device)
        x = corner[:, 2, None] + torch.arange(width, device=self.device)
        at = (case[:, None, None, None], z[:, :, None, None], y[:, None, :, None], x[:, None, None, :])
        drawn = torch.stack([self.values[:, channel][at] for channel in range(self.values.shape[1])], dim=1)
        images = drawn.float() / Z_STEPS  # (B, C, Z, H, W)
        middle = z[:, self.context : self.context + depth]
        labels = self.labels[at[0], middle[:, :, None, None], at[2], at[3]].long()  # (B, D, H, W)
        if self.dims == 2:
            images, labels = images.flatten(1, 2), labels[:, 0]  # slices become channels: (B, C * Z, H, W)
        if self.augment is not None:
            images, labels = self.augment(images, labels, self.generator)
        return images, labels

    def volume(self, index: int) -> tuple[Tensor, Tensor]:
        """One whole case without its padding: image (C, D, H, W) float32, labels (D, H, W) uint8."""
        inside = tuple(
            slice(start, start + size) for start, size in zip(self.starts[index], self.sizes[index], strict=True)
        )
        return self.values[index][(slice(None), *inside)].float() / Z_STEPS, self.labels[index][inside]

    def _draw(self, size: int) -> tuple[Tensor, Tensor]:
        """Cases (B,) and the patches' lowest corners (B, 3) in the padded box."""

        def chance(*shape: int) -> Tensor:
            return torch.rand(*shape, device=self.device, generator=self.generator)

        case = (chance(size) * len(self)).long()
        centre = self._starts[case] + (chance(size, 3) * self._sizes[case]).long()
        if len(self._marks):
            marked = self._marks[(chance(size) * len(self._marks)).long()].long()  # (B, 4)
            wanted = chance(size) < self.foreground
            case = torch.where(wanted, marked[:, 0], case)
            centre = torch.where(wanted[:, None], marked[:, 1:], centre)
        return case, torch.minimum((centre - self._half).clamp_min(0), self._highest)

    def _patch(self, patch: tuple[int, ...] | None) -> tuple[int, int, int]:
        """The patch as (D, H, W); a slice has depth 1."""
        whole = self.padded[1:] if self.dims == 2 else self.padded
        chosen = tuple(whole if patch is None else patch)
        if len(chosen) != self.dims or any(n < 1 or n > limit for n, limit in zip(chosen, whole, strict=False)):
            raise ValueError(f"patch must be {self.dims} sizes of at least 1 and at most {whole}, got {chosen}")
        depth, height, width = (1, *chosen) if self.dims == 2 else chosen
        return depth, height, width

    def _pack(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
        """All cases in one int16 and one uint8 tensor."""
        channels = pairs[0][0].shape[0]
        for name, (image, _) in zip(self.names, pairs, strict=True):
            if image.shape[0] != channels:
                raise ValueError(
                    f"{name} has {image.shape[0]} channels, {self.names[0]} has {channels}: make them alike"
                )
        values = torch.zeros((len(pairs), channels, *self.padded), dtype=torch.int16)
        labels = torch.zeros((len(pairs), *self.padded), dtype=torch.uint8)
        for index, (image, truth) in enumerate(pairs):
            start, size = self.starts[index], self.sizes[index]
            inside = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
            values[index][(slice(None), *inside)] = torch.from_numpy(image)
            labels[index][inside] = torch.from_numpy(truth)
        return values, labels

    def _foreground_voxels(self, labels: Tensor, most: int = 256) -> Tensor:
        """(M, 4) int16 (case, z, y, x): up to `most` voxels of every class of every case."""
        generator = torch.Generator().manual_seed(0)
        rows = [torch.zeros((0, 4), dtype=torch.int16)]
        for index, truth in enumerate(labels):
            for label in range(1, self.classes):
                voxels = (truth == label).nonzero()
                voxels = voxels[torch.randperm(len(voxels), generator=generator)[:most]]
                rows.append(F.pad(voxels, (1, 0), value=index).to(torch.int16))
        return torch.cat(rows)


def _load(case: SegmentationCase) -> tuple[np.ndarray, np.ndarray]:
    """One case as z-scores (C, D, H, W) int16 and labels (D, H, W) uint8; a 2D image becomes one slice."""
    truth = case.labels()
    if truth is None:
        raise ValueError(f"{case.name} has no labels; take the cases that have")
    labels, volume = images.array(truth), images.array(case.image())
    if labels.ndim == 2:
        labels, volume = labels[None], volume[None]
    if volume.ndim == 3:
        volume = volume[..., None]
    if volume.shape[:3] != labels.shape:
        raise ValueError(f"{case.name} has an image of {volume.shape[:3]} and labels of {labels.shape}, (z, y, x)")
    small = labels.astype(np.uint8)
    if not np.array_equal(small, labels):
        raise ValueError(f"{case.name} has labels that are no whole numbers from 0 to 255")
    return np.moveaxis(np.rint(normalise(volume) * Z_STEPS).astype(np.int16), -1, 0), small
