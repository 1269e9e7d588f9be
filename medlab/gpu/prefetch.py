"""A labelled cohort that stays on the host and streams its patches to the device."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from medlab.gpu.device import advice_without_memory
from medlab.gpu.packing import Z_STEPS, Augmentation, Packed, SegmentationCase, fresh_generator, neighbours, unpacked
from medlab.gpu.places import Places

__all__ = ["Prefetch"]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Order:
    """All that decides a batch: its size, the seed of its places and that of its augmentation."""

    size: int
    places: int
    chance: int

    @classmethod
    def draw(cls, size: int, generator: torch.Generator) -> _Order:
        return cls(size, *torch.randint(2**62, (2,), generator=generator).tolist())


@dataclass(frozen=True)
class _Patches:
    """A batch as it travels: int16 and uint8 on the device, and the event after which it is there."""

    images: Tensor  # (B, C, Z, H, W) int16
    labels: Tensor  # (B, D, H, W) uint8
    case: Tensor  # (B,)
    arrived: torch.cuda.Event | None


class Prefetch:
    """A labelled cohort, normalised, on the host; cuts random batches ahead of time and sends them to the device.

    For cohorts that do not fit the device; the face is that of `Resident`. Volumes are kept in their own sizes,
    those beyond `memory` bytes in files. Threads cut patches while the last batch computes; on a CUDA device the
    compact patches go through pinned memory on a stream of their own. Whole batches are augmented on the device.

    The workers are threads, not processes: numpy lets go of the interpreter while it copies. To cut a patch of
    32 x 48 x 32 takes some 30 microseconds of one core; out of a process it took 320, nearly all to bring it over.

    Use it in a `with` block or call `close()`; it also ends with the program, at once.

    Args:
        cases: what `Cohort.train` holds; every case needs labels.
        device: where batches are needed.
        dims: 2 deals slices, 3 deals volumes.
        context: with `dims=2`, how many neighbouring slices on either side come along as extra channels.
        patch: spatial size of a patch, (H, W) or (D, H, W); None takes whole padded slices or volumes.
        multiple: the common size that this divides is what `patch=None` takes; nothing is stored padded.
        foreground: fraction of the patches that are centred on a labelled voxel, every case and class alike.
        augment: called as `augment(images, labels, generator)` on each batch, with a generator on the device.
        workers: threads that cut ahead; 0 cuts when a batch is asked for. The batches are the same. None takes 2, or
            1 where there is one core.
        memory: bytes of volumes to keep in memory.

    Attributes:
        names: the cases' names.
        classes: the highest label of these cases + 1; a small cohort may lack one of its `label_names`.
        generator: the source of chance, set by `medlab.seed`, on the CPU; its state is what a checkpoint keeps, and
            setting it decides every batch that follows.
        last_cases: (B,) which cases the last batch came from.

    Raises:
        ValueError: if there is no case, a case has no labels, or the patch does not fit.
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
        workers: int | None = None,
        memory: float = float("inf"),
    ) -> None:
        self.workers = min(2, os.cpu_count() or 1) if workers is None else workers
        if self.workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        self.packed = cases if isinstance(cases, Packed) else Packed(cases, memory=memory)
        self.device, self.dims, self.augment = torch.device(device), dims, augment
        self.context = neighbours(context, dims)
        self.names, self.classes = self.packed.names, self.packed.classes
        self.places = Places(self.packed, dims=dims, patch=patch, multiple=multiple, foreground=foreground, device=CPU)
        self.generator = fresh_generator(CPU)
        self.last_cases = torch.zeros(0, dtype=torch.long, device=self.device)
        self._chance = torch.Generator(self.device)  # of the augmentation, seeded anew for every batch
        self._ahead = torch.Generator()  # runs ahead of `generator` by the batches that are under way
        self._coming: deque[tuple[_Order, Future[_Patches]]] = deque()
        self._threads = ThreadPoolExecutor(self.workers, "medlab-prefetch") if self.workers else None
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    @property
    def channels(self) -> int:
        """Channels of a batch: those of the image times the slices that come along."""
        return self.packed.channels * (2 * self.context + 1)

    @property
    def padded(self) -> tuple[int, ...]:
        """(D, H, W), the common size in which the volumes are dealt."""
        return self.places.padded

    @property
    def bytes(self) -> int:
        """What the cohort takes on the host: 2 bytes a value, 1 a label."""
        return self.packed.bytes

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        where = "partly in files" if self.packed.mapped else "in memory"
        return (
            f"Prefetch({len(self)} volumes {where}, {self.bytes / 2**20:.0f} MiB, to {self.device} by "
            f"{self.workers} threads)"
        )

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads, let go of the volumes and delete their files."""
        self._drop()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        self.packed.close()

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Random patches, augmented: images (size, channels, *patch) float32 and labels (size, *patch) int64.

        Raises:
            RuntimeError: if a patch could not be cut; the message names the case. Or after `close()`.
        """
        if not self.packed.values:
            raise RuntimeError("this Prefetch is closed: make another")
        wanted = _Order.draw(size, self.generator)
        with advice_without_memory(f"a batch of {size} does not fit", "lower the batch size or the patch"):
            return self._deal(wanted)

    def volume(self, index: int) -> tuple[Tensor, Tensor]:
        """One whole case without its padding: image (C, D, H, W) float32, labels (D, H, W) uint8."""
        values, labels = (torch.from_numpy(np.array(kept[index])) for kept in (self.packed.values, self.packed.labels))
        return values.to(self.device).float() / Z_STEPS, labels.to(self.device)

    def _deal(self, wanted: _Order) -> tuple[Tensor, Tensor]:
        """Wait for the patches of this order, unpack and augment them."""
        patches = self._fetch(wanted)
        if patches.arrived is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(patches.arrived)
            for tensor in (patches.images, patches.labels, patches.case):
                tensor.record_stream(stream)  # its memory must not be given away before this stream is done with it
        self.last_cases = patches.case
        images, labels = unpacked(patches.images, patches.labels, self.dims)
        if self.augment is not None:
            images, labels = self.augment(images, labels, self._chance.manual_seed(wanted.chance))
        return images, labels

    def _fetch(self, wanted: _Order) -> _Patches:
        """The patches of this order; those of the next ones get under way."""
        if self._threads is None:
            return self._cut(wanted)
        if not self._coming or self._coming[0][0] != wanted:  # the first, another size, or the generator was set
            self._drop()
            self._ahead.set_state(self.generator.get_state())
            self._coming.append((wanted, self._threads.submit(self._cut, wanted)))
        _, future = self._coming.popleft()
        while len(self._coming) < self.workers + 1:
            order = _Order.draw(wanted.size, self._ahead)
            self._coming.append((order, self._threads.submit(self._cut, order)))
        return future.result()

    def _drop(self) -> None:
        """Forget what is under way."""
        for _, future in self._coming:
            future.cancel()
        self._coming.clear()

    def _cut(self, order: _Order) -> _Patches:
        """Cut a batch and send it off; runs in the threads."""
        case, corner = self.places.draw(order.size, torch.Generator().manual_seed(order.places))
        planes = self.places.planes(case, corner, self.context)  # (B, Z)
        depth, height, width = self.places.patch
        pin = self._stream is not None
        images = torch.zeros(
            (order.size, self.packed.channels, planes.shape[1], height, width), dtype=torch.int16, pin_memory=pin
        )
        labels = torch.zeros((order.size, depth, height, width), dtype=torch.uint8, pin_memory=pin)
        rows = zip(images.numpy(), labels.numpy(), case.tolist(), planes.tolist(), corner.tolist(), strict=True)
        for image, truth, index, z, at in rows:
            try:
                self._cut_one(image, truth, index, z, at)
            except Exception as error:
                raise RuntimeError(f"no patch could be cut out of {self.names[index]} ({error})") from error
        if self._stream is None:
            return _Patches(images.to(self.device), labels.to(self.device), case.to(self.device), None)
        with torch.cuda.stream(self._stream):
            first, second, third = (
                tensor.to(self.device, non_blocking=True) for tensor in (images, labels, case.pin_memory())
            )
            return _Patches(first, second, third, self._stream.record_event())

    def _cut_one(self, image: np.ndarray, truth: np.ndarray, index: int, z: list[int], corner: list[int]) -> None:
        """Fill image (C, Z, H, W) and truth (D, H, W) where the patch lies in the volume; the rest stays 0."""
        values, labels = self.packed.values[index], self.packed.labels[index]
        (to_z, from_z), (to_y, from_y), (to_x, from_x) = (
            _overlap(at - int(start), length, size)
            for at, start, length, size in zip(
                corner, self.places.starts[index], self.places.patch, labels.shape, strict=True
            )
        )
        if self.dims == 3:
            image[:, to_z, to_y, to_x] = values[:, from_z, from_y, from_x]
        else:  # the end slice stands in for those beyond the end, so that planes may repeat
            for plane, at in enumerate(z):
                image[:, plane, to_y, to_x] = values[:, at, from_y, from_x]
        truth[to_z, to_y, to_x] = labels[from_z, from_y, from_x]


def _overlap(at: int, length: int, size: int) -> tuple[slice, slice]:
    """Where a patch of this length that begins at `at` meets 0 to size: in the patch, and in the volume."""
    low, high = max(at, 0), min(at + length, size)
    return slice(low - at, high - at), slice(low, high)
