"""What SimpleITK keeps quiet about NIfTI files: the end of a file may be missing, and NaN is read as 0.

Both lose values without a word, so `images.read` looks for them here.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file, zipped or not."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def refuse_truncated(path: Path) -> None:
    """Raise ValueError if the file is shorter than its header says; SimpleITK would fill the rest with zeros."""
    layout = read_layout(path)
    found = path.stat().st_size if path.suffix != ".gz" else _gzip_bytes(path, layout.bytes if layout else 0)
    if layout and found < layout.bytes:
        raise ValueError(f"{path}: the file is cut short: {found:,} bytes of {layout.bytes:,}; fetch it again")


@dataclass(frozen=True)
class Layout:
    """Where the values lie in a NIfTI file (unpacked, if it was zipped)."""

    start: int  # first byte
    count: int
    bits: int  # each
    dtype: np.dtype | None  # of floating-point values; None for all others

    @property
    def bytes(self) -> int:
        """How long the file must be."""
        return self.start + self.count * self.bits // 8


def read_layout(path: Path) -> Layout | None:
    """What the header of a NIfTI-1 or NIfTI-2 file says; None if it is no such header."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(540)
    except (OSError, EOFError) as error:  # OSError: gzip.BadGzipFile
        raise ValueError(f"{path}: the file is cut short or is not gzip ({error}); fetch it again") from None
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(order + "i", header)[0] == 348:
            sizes = struct.unpack_from(order + "8h", header, 40)
            kind, bits = struct.unpack_from(order + "2h", header, 70)
            start = int(struct.unpack_from(order + "f", header, 108)[0])
        elif len(header) >= 540 and struct.unpack_from(order + "i", header)[0] == 540:
            sizes = struct.unpack_from(order + "8q", header, 16)
            kind, bits = struct.unpack_from(order + "2h", header, 12)
            start = struct.unpack_from(order + "q", header, 168)[0]
        else:
            continue
        count = math.prod(max(size, 1) for size in sizes[1 : sizes[0] + 1])
        dtype = {16: np.dtype(f"{order}f4"), 64: np.dtype(f"{order}f8")}.get(kind)  # NIFTI_TYPE_FLOAT32, _FLOAT64
        return Layout(start, count, bits, dtype)
    return None


def _gzip_bytes(path: Path, expected: int) -> int:
    """Unpacked size of a gzip file. Its last four bytes hold it; only where they disagree is the file unpacked."""
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        if struct.unpack("<I", file.read(4))[0] == expected % 2**32:
            return expected
    total = 0  # cut short, or made of several gzip members, which is allowed
    try:
        with gzip.open(path) as stream:
            while block := stream.read(2**22):
                total += len(block)
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: the file is cut short ({error}); fetch it again") from None
    return total


def restore_not_finite(image: sitk.Image, path: Path) -> sitk.Image:
    """Put NaN and infinite values back that SimpleITK reads as 0 from NIfTI files, without a word."""
    layout = read_layout(path)
    if layout is None or layout.dtype is None:
        return image
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        file.seek(layout.start)
        stored = np.frombuffer(file.read(layout.bytes - layout.start), dtype=layout.dtype)
    lost = ~np.isfinite(stored)
    if not lost.any():
        return image
    values, several = sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel() > 1
    by_file = np.moveaxis(values, -1, 0) if several else values  # a view in the order of the file, (C, D, H, W)
    by_file[lost.reshape(by_file.shape)] = stored[lost]
    restored = sitk.GetImageFromArray(values, isVector=several)
    restored.CopyInformation(image)
    return restored
