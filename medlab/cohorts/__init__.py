"""Every data set behind one face: `load(name)` gives a `Cohort` of cases in three parts that share no patient.

| file | holds |
|---|---|
| `cohort.py` | `Case`, `Cohort` and the checks of both |
| `files.py` | finding, pairing and listing files |
| `volumes.py`, `pictures.py`, `small.py`, `signals.py` | the readers, by what they read |
| `built_in.py` | the synthetic cohorts, made on demand |
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from medlab import manifests
from medlab.cohorts import built_in, pictures, signals, small, volumes
from medlab.cohorts.cohort import PARTS, Case, Cohort, ReadArrays, Task
from medlab.cohorts.files import Found
from medlab.cohorts.pictures import Boxes
from medlab.manifests import Manifest

__all__ = ["Boxes", "Case", "Cohort", "load", "names"]


def names() -> list[str]:
    """Names of all cohorts: the built-in ones first, then the public ones, some of which have no reader yet."""
    return [*built_in.NAMES, *manifests.names()]


def load(name: str, **options: Any) -> Cohort:
    """Load a cohort by name. Images are read later, when a case is asked for its own.

    Args:
        name: built in `brain`, `chest`, `ecg`; public `msd-hippocampus`, `mitdb`, `pneumoniamnist` and so on, as
            `medlab data list` shows.
        options: built in: `patients` (how many, default 40) and `seed` (default 0). MedMNIST: `size` (28, 64, 128 or
            224 pixels). `nuclei`: `instances=True` numbers the nuclei.

    Returns:
        The cohort, with the fixed split by patient of its manifest.

    Raises:
        ValueError: unknown name or option, or the data are not as they should be; the message names the file.
        FileNotFoundError: the data are not on this machine and can't be fetched, or a file of them is missing.
    """
    if name in built_in.NAMES:
        return _load(name, partial(_built_in, name), options, {"patients": 40, "seed": 0})
    if name not in manifests.names():
        near = difflib.get_close_matches(str(name).lower(), names(), n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise ValueError(f"no cohort is named {name!r}{hint}. `medlab data list` shows all {len(names())}")
    manifest = manifests.get(name)
    if manifest.folder == "medmnist":
        return _load(name, partial(_medmnist, manifest), options, {"size": 28})
    allowed = {"instances": False} if name == "nuclei" else {}
    return _load(name, partial(_public, manifest, _reader(name)), options, allowed)


def _load(name: str, make: Callable[..., Cohort], options: dict[str, Any], allowed: dict[str, Any]) -> Cohort:
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        takes = ", ".join(f"{key}={value!r}" for key, value in allowed.items()) or "none"
        raise ValueError(f"load({name!r}) has no option {', '.join(unknown)}; its options and their defaults: {takes}")
    return make(**{**allowed, **options})


_Reader = Callable[..., Found]


def _reader(name: str) -> _Reader:
    if name.startswith("msd-"):
        return volumes.decathlon
    readers: dict[str, _Reader] = {
        "bccd": pictures.bccd,
        "chase-db1": pictures.chase,
        "cptac-lscc-ct": volumes.dicom_series,
        "ct-head-irregular": volumes.dicom_series,
        "hippocampus-odd": volumes.loose_pairs,
        "mitdb": signals.wfdb_records,
        "nuclei": pictures.nuclei,
        "sunnybrook": pictures.sunnybrook,
        "totalsegmentator-example": volumes.totalsegmentator,
    }
    if name not in readers:
        raise ValueError(
            f"medlab can fetch {name} but has no reader for it yet: `medlab data fetch {name}` prints its folder, and "
            "medlab.images.read reads single files"
        )
    return readers[name]


def _public(manifest: Manifest, read: _Reader, **options: Any) -> Cohort:
    return _cohort(manifest, read(manifest, manifests.locate(manifest.name), **options))


def _medmnist(manifest: Manifest, *, size: int) -> Cohort:
    path = manifests.locate(manifest.name, part=size) / manifest.files_of(size)[0].name
    return _cohort(manifest, Found(small.medmnist_cases(path)), partial(small.medmnist_arrays, path))


def _cohort(manifest: Manifest, found: Found, read_arrays: ReadArrays | None = None) -> Cohort:
    """Put the cases that a reader found into the parts that the manifest fixes."""
    parts: dict[str | None, list[Case]] = {part: [] for part in (*PARTS, None)}
    for case in found.cases:
        parts[manifest.split_of(case.patient)].append(case)
    return Cohort(
        name=manifest.name,
        title=manifest.title,
        task=_task(manifest.task),
        label_names=found.label_names or dict(manifest.label_names),
        licence=manifest.licence.spdx or "unknown",
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        left_out=parts[None],
        notes=tuple(note.strip() for note in (*found.notes, manifest.patient_note) if note),
        read_arrays=read_arrays,
    )


def _task(words: str) -> Task:
    """The manifest's words for a task, in one word."""
    if words == "beat classification":
        return "beats"
    return "classification" if "classification" in words else cast(Task, words)


def _built_in(kind: str, *, patients: int, seed: int) -> Cohort:
    parts: dict[str, list[Case]] = {part: [] for part in PARTS}
    for index, case in enumerate(built_in.built_in_cases(kind, patients=patients, seed=seed)):
        parts[built_in.part_of(index)].append(case)
    return Cohort(
        name=kind,
        title=built_in.TITLES[kind],
        task="beats" if kind == "ecg" else "segmentation",
        label_names=built_in.label_names(kind),
        licence="made by medlab from the seed; no patient data",
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
    )
