"""What a cohort is: cases of patients in three parts, read when they are asked for, and checked when they are read."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from medlab import images
from medlab.wfdb import Record

PARTS = ("train", "validation", "test")
Task = Literal["segmentation", "classification", "beats", "detection", "none"]
ReadArrays = Callable[[str], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Case:
    """One image (or signal) of one patient. Nothing is read before a method asks for it.

    Attributes:
        name: unique in its cohort.
        patient: whose it is; a patient may have several cases, all in the same part.
        files: what it is read from, the labels last; empty if it is made or comes out of an array.
    """

    name: str
    patient: str
    files: tuple[Path, ...] = ()
    read_image: Callable[[], sitk.Image] | None = None
    read_labels: Callable[[], sitk.Image] | None = None
    read_record: Callable[[], Record] | None = None
    read_target: Callable[[], Any] | None = None

    def __repr__(self) -> str:
        return f"case {self.name} of patient {self.patient}"

    def image(self) -> sitk.Image:
        """The image.

        Raises:
            TypeError: the case is a signal.
            ValueError: its file is no proper image; the message names the file.
        """
        if self.read_image is None:
            raise TypeError(f"{self.name} is a signal and has no image: use case.record()")
        return self.read_image()

    def labels(self) -> sitk.Image | None:
        """The labels, unsigned whole numbers on the grid of the image; None if the case has none.

        Raises:
            ValueError: the labels lie on another grid, are not whole numbers, or are not among the cohort's; the
                message names the file.
        """
        return None if self.read_labels is None else self.read_labels()

    def record(self) -> Record:
        """The signal.

        Raises:
            TypeError: the case is an image.
        """
        if self.read_record is None:
            raise TypeError(f"{self.name} is an image and has no signal: use case.image()")
        return self.read_record()

    @property
    def target(self) -> Any:
        """What is to be predicted where that is not a label map: a class, the beats or the boxes; else None."""
        return None if self.read_target is None else self.read_target()


@dataclass(frozen=True, eq=False)
class Cohort:
    """Cases in three parts that share no patient.

    Attributes:
        name, title: as `medlab data list` shows them.
        task: "segmentation" (labels), "classification", "beats", "detection" (targets), or "none" (images only).
        label_names: of the values in the labels or targets; 0 is the background of a segmentation.
        licence: SPDX name.
        train, validation, test: lists of cases.
        left_out: cases that belong to no part, such as paced hearts or bad input.
        notes: what a user should know before a result is believed.
    """

    name: str
    title: str
    task: Task
    label_names: dict[int, str]
    licence: str
    train: list[Case]
    validation: list[Case]
    test: list[Case]
    left_out: list[Case] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    read_arrays: ReadArrays | None = None

    def __post_init__(self) -> None:
        """Cheap checks of what would spoil every result; `check` reads the files too."""
        _refuse_shared_patients(self)
        _refuse_repeated_names(self)
        _refuse_same_file_twice(self)

    @property
    def cases(self) -> list[Case]:
        """All cases of the three parts: train, then validation, then test."""
        return [*self.train, *self.validation, *self.test]

    def part(self, name: str) -> list[Case]:
        """The cases of "train", "validation" or "test"."""
        if name not in PARTS:
            raise ValueError(f"a part of a cohort is one of {', '.join(PARTS)}, got {name!r}")
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def arrays(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """All images and targets of a part as two arrays, for sets of small images of one size.

        Args:
            part: "train", "validation" or "test".

        Returns:
            Images (N, H, W), (N, D, H, W) or with a last axis of colours, and targets: (N,) classes, or labels in the
            shape of the images.

        Raises:
            ValueError: the images differ in size, or the task has no targets that fit in an array.
        """
        cases = self.part(part)
        if self.read_arrays is not None:
            return self.read_arrays(part)
        if self.task != "segmentation" or not cases:
            raise ValueError(f"{self.name} ({self.task}, {len(cases)} cases in {part}) does not fit in two arrays")
        volumes = [images.array(case.image()) for case in cases]
        sizes = sorted({volume.shape for volume in volumes})
        if len(sizes) > 1:
            raise ValueError(f"{self.name}: the images differ in size, from {sizes[0]} to {sizes[-1]}: no single array")
        return np.stack(volumes), np.stack([images.array(_required(case)) for case in cases])

    def check(self) -> list[str]:
        """Read every case and say what is wrong: unreadable files, grids, labels, and the same data in two cases.

        Returns:
            One sentence a problem, each naming its files; empty if all is well. Reads everything: minutes for a large
            set.
        """
        problems: list[str] = []
        seen: dict[tuple[str, bytes], Case] = {}
        for case in [*self.cases, *self.left_out]:
            problems += _problems_of(case, seen)
        return problems

    def __repr__(self) -> str:
        lines = [f"{self.name}: {self.title}", f"  task: {self.task}"]
        for part in PARTS:
            cases = self.part(part)
            lines.append(f"  {part}: {len(cases)} cases of {len({case.patient for case in cases})} patients")
        if self.left_out:
            lines.append(f"  left out: {', '.join(case.name for case in self.left_out[:8])}{_more(self.left_out, 8)}")
        if self.label_names:
            named = [f"{value} {name}" for value, name in self.label_names.items()]
            lines.append(f"  labels: {', '.join(named[:8])}{_more(named, 8)}")
        lines.append(f"  licence: {self.licence}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _more(items: Sequence[Any], shown: int) -> str:
    return f" and {len(items) - shown} more" if len(items) > shown else ""


def _required(case: Case) -> sitk.Image:
    labels = case.labels()
    if labels is None:
        raise ValueError(f"{case.name} has no labels")
    return labels


# --- Checks ----------------------------------------------------------------------------------------------------------


def _refuse_shared_patients(cohort: Cohort) -> None:
    parts: dict[str, str] = {}
    for part in PARTS:
        for case in cohort.part(part):
            other = parts.setdefault(case.patient, part)
            if other != part:
                raise ValueError(
                    f"{cohort.name}: patient {case.patient} is in {other} and in {part} ({case.name}); a split must "
                    "keep a patient's cases together"
                )


def _refuse_repeated_names(cohort: Cohort) -> None:
    seen: dict[str, Case] = {}
    for case in cohort.cases:
        other = seen.setdefault(case.name, case)
        if other is not case:
            files = ", ".join(str(path) for path in (*other.files, *case.files))
            raise ValueError(f"{cohort.name}: two cases are named {case.name} ({files}); remove one of them")


def _refuse_same_file_twice(cohort: Cohort) -> None:
    """Two files with the same bytes in different cases. Only files of equal size are read."""
    sizes: dict[int, list[tuple[Path, Case]]] = {}
    for case in cohort.cases:
        for path in case.files:
            sizes.setdefault(path.stat().st_size, []).append((path, case))
    for same in sizes.values():
        digests: dict[bytes, tuple[Path, Case]] = {}
        for path, case in same if len(same) > 1 else ():
            other, other_case = digests.setdefault(_file_digest(path), (path, case))
            if other_case is not case and not _is_empty_label_file(path, case):
                raise ValueError(f"{cohort.name}: {other} and {path} are the same file in two cases; remove one")


def _is_empty_label_file(path: Path, case: Case) -> bool:
    """Labels without any foreground may well be the same in many cases."""
    return case.read_labels is not None and path == case.files[-1] and not np.any(images.array(images.read(path)))


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _problems_of(case: Case, seen: dict[tuple[str, bytes], Case]) -> Iterable[str]:
    """What is wrong with one case; `seen` collects what its image and labels hold."""
    problems: list[str] = []
    for kind, read in (("image", case.read_image), ("labels", case.read_labels), ("record", case.read_record)):
        if read is None:
            continue
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                made = read()
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        problems += [str(one.message) for one in caught]
        values = made.signals_mv if isinstance(made, Record) else sitk.GetArrayViewFromImage(made)
        if kind == "labels" and not np.any(values):
            continue  # two empty label maps are no duplicate
        digest = hashlib.sha256(f"{values.shape}".encode() + np.ascontiguousarray(values).tobytes()).digest()
        other = seen.setdefault((kind, digest), case)
        if other is not case:
            problems.append(f"{_where(other)} and {_where(case)} hold the same {kind}, voxel for voxel")
    return problems


def _where(case: Case) -> str:
    return f"{case.name} ({', '.join(str(path) for path in case.files)})" if case.files else case.name


# --- Labels ----------------------------------------------------------------------------------------------------------


def read_labels(path: Path, image_path: Path, values: dict[int, int] | None) -> sitk.Image:
    """Read a label file and check it against the image it belongs to.

    Args:
        path: the label file; whole numbers kept as float are taken.
        image_path: of which only the header is read.
        values: what may stand in the file, and what it becomes; None takes every whole number from 0.

    Returns:
        uint8 labels, or uint16 where numbers above 255 occur.

    Raises:
        ValueError: another grid, fractions, or unexpected values; names the file.
    """
    labels = images.read(path)
    images.check_same_grid(image_path, labels, names=(str(image_path), str(path)))
    found = whole_numbers(images.array(labels), path)
    if values is not None:
        found = renumber(found, values, path)
    return images.image_like(found, labels)


def whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    """The values as uint8, or as uint16 if one is above 255; refuses what is no label."""
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise ValueError(f"{path}: labels must be whole numbers, got fractions or NaN")
    low, high = values.min(initial=0), values.max(initial=0)
    if low < 0 or high > 65535:
        raise ValueError(f"{path}: labels must lie in 0 to 65535, got {low:g} to {high:g}")
    return values.astype(np.uint8 if high < 256 else np.uint16)


def renumber(values: np.ndarray, numbers: dict[int, int], path: Path) -> np.ndarray:
    """Labels with each value replaced as `numbers` says (uint8); refuses a value that is not in it."""
    found = np.flatnonzero(np.bincount(values.ravel()))
    unexpected = [int(value) for value in found if int(value) not in numbers]
    if unexpected:
        allowed = _range_text(sorted(numbers))
        raise ValueError(f"{path}: unexpected labels {_range_text(unexpected)}; allowed are {allowed}")
    if all(number == value for value, number in numbers.items()):
        return values.astype(np.uint8)
    table = np.zeros(max(numbers) + 1, dtype=np.uint8)
    table[list(numbers)] = list(numbers.values())
    return table[values]


def _range_text(values: Sequence[int], most: int = 10) -> str:
    if len(values) > most and values[-1] - values[0] == len(values) - 1:
        return f"{values[0]} to {values[-1]}"
    return ", ".join(str(value) for value in values[:most]) + (", ..." if len(values) > most else "")
