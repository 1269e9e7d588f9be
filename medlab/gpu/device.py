"""Where to compute and in what precision."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


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


class DeepEnough(nn.Conv3d):
    """A 3D convolution that never sees fewer slices than its kernel has: slices of 0 are put behind the last.

    In bfloat16 on a CPU, PyTorch 2.13 (oneDNN) computes the gradient of such a kernel partly from memory that nobody
    wrote, for instance with 3 x 3 x 3 and 2 slices: the loss is NaN some steps later, or the gradient is wrong and
    nobody sees it. Slices of 0 are what padding adds anyway, and what they give is cut off: nothing else changes.
    """

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, K, ...), as `torch.nn.Conv3d`."""
        (kernel, *_), (stride, *_), (gap, *_), depth = self.kernel_size, self.stride, self.dilation, volumes.shape[-3]
        size = gap * (kernel - 1) + 1
        padded = {"same": size - 1, "valid": 0}[self.padding] if isinstance(self.padding, str) else 2 * self.padding[0]
        room = depth + padded - size  # how far a window can move
        if depth >= kernel or room < 0 or self.padding_mode != "zeros":
            return super().forward(volumes)
        deeper = functional.pad(volumes, (0, 0, 0, 0, 0, kernel - depth))
        return super().forward(deeper).narrow(-3, 0, room // stride + 1)


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
        """The memory format for batches with so many spatial axes; signals have the plain one."""
        formats = {2: torch.channels_last, 3: torch.channels_last_3d} if self.channels_last else {}
        return formats.get(dims, torch.contiguous_format)

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Bring a network to the device, in place, its weights into the memory format of the maps that they meet."""
        model.to(device)
        for layer in model.modules():
            if type(layer) is nn.Conv3d and device.type == "cpu" and self.dtype == torch.bfloat16:
                layer.__class__ = DeepEnough
        for tensor in chain(model.parameters(), model.buffers()):  # a network of volumes may hold filters of slices
            tensor.data = tensor.data.to(memory_format=self.memory_format(tensor.ndim - 2))
        return model


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
        threads = torch.get_num_threads()
        return f"CPU with {threads} thread{'s' * (threads != 1)}"
    return device.type.upper()


@contextmanager
def advice_without_memory(what: str, advice: str) -> Iterator[None]:
    """Where the device or the host has no memory left, say for what and how to do with less.

    Raises:
        torch.OutOfMemoryError: in place of torch's own, or of its error for the CPU.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator raises it bare
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise torch.OutOfMemoryError(f"{what}: {advice} ({error})") from error
