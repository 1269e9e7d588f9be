"""Reader of MedMNIST: sets of small images of one size, in one .npz file."""

from __future__ import annotations

import zipfile
import zlib
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medlab import images
from medlab.cohorts.cohort import Case

MEDMNIST_PARTS = {"train": "train", "validation": "val", "test": "test"}


def medmnist_cases(path: Path) -> list[Case]:
    """Cases named by their part and their place in it, as train-00017. Only the headers and the labels are read.

    Raises:
        ValueError: the file is not a MedMNIST file, or counts of images and labels differ; names the file.
    """
    return [case for part in MEDMNIST_PARTS for case in _cases(path, part)]


def medmnist_arrays(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W), (N, H, W, 3) or (N, D, H, W) as uint8, and classes (N,) or (N, classes) as int64."""
    return _read_member(path, f"{MEDMNIST_PARTS[part]}_images"), _targets(path, part).copy()


def _cases(path: Path, part: str) -> list[Case]:
    shape, targets = _shape(path, f"{MEDMNIST_PARTS[part]}_images"), _targets(path, part)
    if shape[0] != len(targets):
        raise ValueError(f"{path}: {shape[0]} images but {len(targets)} labels in {part}")
    names = (f"{part}-{index:05d}" for index in range(len(targets)))
    return [
        Case(
            name=name,
            patient=name,
            read_image=partial(_image, path, part, index),
            read_target=partial(_target, path, part, index),
        )
        for index, name in enumerate(names)
    ]


def _image(path: Path, part: str, index: int) -> sitk.Image:
    values = _member(path, f"{MEDMNIST_PARTS[part]}_images")[index]
    return images.from_array(values, channels=values.shape[-1] == 3)


def _target(path: Path, part: str, index: int) -> int | np.ndarray:
    value = _targets(path, part)[index]
    return int(value) if value.ndim == 0 else value


def _targets(path: Path, part: str) -> np.ndarray:
    """Classes of a part, int64: (N,), or (N, classes) with 0 and 1 where several may hold at once."""
    labels = _member(path, f"{MEDMNIST_PARTS[part]}_labels").astype(np.int64)
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


@lru_cache(maxsize=8)
def _member(path: Path, name: str) -> np.ndarray:
    """One array of the file, read-only because it is kept for the next case."""
    values = _read_member(path, name)
    values.flags.writeable = False
    return values


def _read_member(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as content:
            values: np.ndarray = content[name]
    except (OSError, KeyError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read as a MedMNIST file ({error}); fetch it again") from None
    return values


def _shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of one array, from its header alone."""
    try:
        with zipfile.ZipFile(path) as content, content.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return read(member)[0]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read as a MedMNIST file ({error}); fetch it again") from None
