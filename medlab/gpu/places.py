"""Where the patches of a cohort may lie, and the draw of a batch of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from medlab.gpu.packing import Packed

__all__ = ["Places", "padded_size", "resident_bytes"]


def padded_size(packed: Packed, *, dims: int, multiple: int) -> tuple[int, ...]:
    """(D, H, W) of the smallest box that holds every volume; `multiple` divides it, with `dims=2` not its depth."""
    steps = np.array([1 if dims == 2 else multiple, multiple, multiple])
    largest = np.max([labels.shape for labels in packed.labels], axis=0)
    return tuple(int(n) for n in -(-largest // steps) * steps)


def resident_bytes(packed: Packed, padded: tuple[int, ...]) -> int:
    """What all volumes take when each fills a box of (D, H, W): 2 bytes a value, 1 a label."""
    return len(packed.names) * math.prod(padded) * (2 * packed.channels + 1)


class Places:
    """Every volume in a common padded box, and patches drawn from there.

    Args:
        packed: the cohort.
        dims: 2 for slices, 3 for volumes.
        patch: (H, W) or (D, H, W); None takes the whole box.
        multiple: divides every side of the box (of a slice, height and width).
        foreground: fraction of the patches that are centred on a labelled voxel, 0 to 1.
        device: where positions are drawn.

    Attributes:
        padded: (D, H, W) of the box.
        sizes: (N, 3) of the volumes.
        starts: (N, 3) where the volumes begin in the box.
        patch: (D, H, W); a slice has depth 1.
    """

    def __init__(
        self,
        packed: Packed,
        *,
        dims: int,
        patch: tuple[int, ...] | None,
        multiple: int,
        foreground: float,
        device: torch.device,
    ) -> None:
        if dims not in (2, 3) or multiple < 1 or not 0 <= foreground <= 1:
            raise ValueError(
                "dims must be 2 or 3, multiple at least 1, foreground 0 to 1, "
                f"got dims={dims}, multiple={multiple}, foreground={foreground}"
            )
        self.dims, self.foreground, self.device = dims, foreground, device
        self.sizes = np.array([labels.shape for labels in packed.labels])
        self.padded = padded_size(packed, dims=dims, multiple=multiple)
        self.starts = (np.array(self.padded) - self.sizes) // 2
        if dims == 2:
            self.starts[:, 0] = 0
        self.patch = self._patch(patch)
        self._marks = self._labelled(packed).to(device)
        self._starts, self._sizes = (torch.from_numpy(a).to(device) for a in (self.starts, self.sizes))
        self._half = torch.tensor(self.patch, device=device) // 2
        self._highest = torch.tensor(self.padded, device=device) - torch.tensor(self.patch, device=device)

    def draw(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Cases (B,) and the patches' lowest corners (B, 3) in the box, int64 on the device."""
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")

        def chance(*shape: int) -> Tensor:
            return torch.rand(*shape, device=self.device, generator=generator)

        case = (chance(size) * len(self.sizes)).long()
        centre = self._starts[case] + (chance(size, 3) * self._sizes[case]).long()
        if len(self._marks):
            marked = self._marks[(chance(size) * len(self._marks)).long()].long()  # (B, 4)
            wanted = chance(size) < self.foreground
            case = torch.where(wanted, marked[:, 0], case)
            centre = torch.where(wanted[:, None], marked[:, 1:], centre)
        return case, torch.minimum((centre - self._half).clamp_min(0), self._highest)

    def planes(self, case: Tensor, corner: Tensor, context: int) -> Tensor:
        """(B, Z) int64: the slices of every patch with `context` more on both sides.

        Beyond the ends of a volume that is dealt in slices its end slice stands in.
        """
        depth = self.patch[0]
        z = corner[:, 0, None] + torch.arange(-context, depth + context, device=corner.device)
        if self.dims == 2:
            z = torch.minimum(z.clamp_min(0), self._sizes[case, 0, None] - 1)
        return z

    def _patch(self, patch: tuple[int, ...] | None) -> tuple[int, int, int]:
        """The patch as (D, H, W); a slice has depth 1."""
        whole = self.padded[1:] if self.dims == 2 else self.padded
        chosen = tuple(whole if patch is None else patch)
        if len(chosen) != self.dims or any(n < 1 or n > limit for n, limit in zip(chosen, whole, strict=False)):
            raise ValueError(f"patch must be {self.dims} sizes of at least 1 and at most {whole}, got {chosen}")
        depth, height, width = (1, *chosen) if self.dims == 2 else chosen
        return depth, height, width

    def _labelled(self, packed: Packed, most: int = 256) -> Tensor:
        """(M, 4) int32 (case, z, y, x) in the box: up to `most` voxels of every class of every case."""
        generator = torch.Generator().manual_seed(0)
        rows = [torch.zeros((0, 4), dtype=torch.int32)]
        for index, labels in enumerate(packed.labels):
            truth = torch.from_numpy(np.ascontiguousarray(labels))
            for label in range(1, packed.classes):
                voxels = (truth == label).nonzero()
                voxels = voxels[torch.randperm(len(voxels), generator=generator)[:most]]
                voxels += torch.from_numpy(self.starts[index])
                rows.append(F.pad(voxels, (1, 0), value=index).to(torch.int32))
        return torch.cat(rows)
