"""The cohorts that come with the installation: made on demand from a seed, kept as files in the data folder."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache, partial
from numbers import Integral
from pathlib import Path

import SimpleITK as sitk

from medlab import images, phantoms, wfdb
from medlab.cohorts.cohort import Case
from medlab.cohorts.signals import AAMI_NAMES, Beats, beats_of
from medlab.manifests import data_folder

NAMES = ("brain", "chest", "ecg")
TITLES = {
    "brain": "synthetic brain MR on the MNI152 anatomy, in part with a tumour",
    "chest": "synthetic chest CT, in part with lung nodules",
    "ecg": "synthetic electrocardiograms with beats",
}


def label_names(kind: str) -> dict[int, str]:
    """What the values in the labels or the classes of the beats mean."""
    if kind == "ecg":
        return dict(AAMI_NAMES)
    return dict(phantoms.BRAIN_LABELS if kind == "brain" else phantoms.CHEST_LABELS)


def part_of(index: int) -> str:
    """The fixed split of every built-in cohort: of ten patients in a row 7 train, 1 validates, 2 test."""
    return (*["train"] * 7, "validation", "test", "test")[index % 10]


def built_in_cases(kind: str, *, patients: int, seed: int) -> list[Case]:
    """Cases of patients 0 to `patients - 1`; nothing is made before it is asked for."""
    if not isinstance(patients, Integral):
        raise ValueError(f"patients must be a whole number, 10 or more, got {patients!r}")
    if patients < 10:
        raise ValueError(f"{kind} needs at least 10 patients, so that every part has some, got {patients}")
    if kind == "ecg":
        return [_signal_case(index, seed) for index in range(patients)]
    return [_volume_case(kind, index, seed) for index in range(patients)]


def _volume_case(kind: str, index: int, seed: int) -> Case:
    name = f"{kind}-{index:04d}"
    return Case(
        name=name,
        patient=name,
        read_image=partial(_read, kind, index, seed, "image"),
        read_labels=partial(_read, kind, index, seed, "labels"),
    )


def _read(kind: str, index: int, seed: int, what: str) -> sitk.Image:
    """Image or labels of a patient, from the data folder; both are made and kept there if they are missing.

    Several processes may do this at once: each writes beside and renames, and all make the same values.
    """
    folder = data_folder() / "built-in" / f"{kind}-{_fingerprint()}-seed{seed}"
    paths = {key: folder / f"{kind}-{index:04d}-{key}.mha" for key in ("image", "labels")}
    if not all(path.exists() for path in paths.values()):
        make = phantoms.brain_patient if kind == "brain" else phantoms.chest_patient
        made = make(index, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        images.write(made.labels, paths["labels"])
        images.write(made.image, paths["image"])
    return images.read(paths[what])


def _signal_case(index: int, seed: int) -> Case:
    name = f"ecg-{index:04d}"
    record, beats = partial(_record, index, seed), partial(_beats, index, seed)
    return Case(name=name, patient=name, read_record=record, read_target=beats)


@lru_cache(maxsize=4)
def _record(index: int, seed: int) -> wfdb.Record:
    return phantoms.ecg_record(index, seed=seed)


def _beats(index: int, seed: int) -> Beats:
    return beats_of(_record(index, seed))


@cache
def _fingerprint() -> str:
    """Eight digits that change whenever the code that makes the patients does, so that no stale file is read."""
    sources = sorted(Path(phantoms.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
