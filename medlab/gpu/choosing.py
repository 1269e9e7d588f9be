"""On the device or on the host: what fits decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psutil
import torch

from medlab.gpu.packing import Packed, SegmentationCase
from medlab.gpu.places import padded_size, resident_bytes
from medlab.gpu.prefetch import Prefetch
from medlab.gpu.resident import Resident

__all__ = ["batches"]

# Of the memory that is free before the cohort is there. The other half is for the network, its gradients, the
# optimiser's two moments, and above all the activations, which grow with the batch and are not known yet.
FRACTION = 0.5


def batches(
    cases: Sequence[SegmentationCase], *, device: torch.device | str = "cpu", **options: Any
) -> Resident | Prefetch:
    """The cohort on the device if it takes at most half of the memory that is free there, else streamed from the host.

    Prints one line: the estimate, the limit, and what was chosen.

    Args:
        cases: what `Cohort.train` holds; every case needs labels.
        device: where batches are needed.
        options: of `Resident`, which `Prefetch` has too.

    Raises:
        ValueError: as `Resident`.
    """
    home = torch.device(device)
    limit = FRACTION * _free_bytes(home)
    packed = Packed(cases, memory=limit if home.type == "cpu" else FRACTION * _free_bytes(torch.device("cpu")))
    size = padded_size(packed, dims=options.get("dims", 2), multiple=options.get("multiple", 16))
    needed = resident_bytes(packed, size)
    fits = needed <= limit
    print(
        f"Data: {len(packed.names)} volumes padded to {' x '.join(map(str, size))} take {_amount(needed)}; half of the "
        f"free memory of {home} is {_amount(limit)}: "
        + ("kept there." if fits else f"kept on the host{', partly in files' * packed.mapped}, and streamed.")
    )
    if not fits:
        return Prefetch(packed, device=home, **options)
    data = Resident(packed, device=home, **options)
    packed.close()
    return data


def _free_bytes(device: torch.device) -> int:
    """Measured now: on CUDA by the driver, else what the system can give without swapping."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, not in use
        return torch.cuda.mem_get_info(device)[0] + kept
    return psutil.virtual_memory().available


def _amount(count: float) -> str:
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.0f} {unit}"
    return f"{count / 1024:.1f} GiB"
