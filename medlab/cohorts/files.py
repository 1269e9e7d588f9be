"""What the readers share: finding files, pairing them, and cases made of files."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from medlab import images
from medlab.cohorts.cohort import Case, read_labels
from medlab.manifests import Manifest


@dataclass(frozen=True)
class Found:
    """What a reader found in the folder of a data set.

    Attributes:
        cases: in no part yet.
        notes: what had to be left out or changed.
        label_names: where the data set itself states them and its manifest does not.
    """

    cases: list[Case]
    notes: list[str] = field(default_factory=list)
    label_names: dict[int, str] = field(default_factory=dict)


def file_case(name: str, patient: str, image: Path, labels: Path | None, values: dict[int, int] | None) -> Case:
    """A case whose image and labels are files.

    Args:
        name: see `Case`.
        patient: see `Case`.
        image: the file.
        labels: the file, None if there are no labels.
        values: what may stand in the label file, and what it becomes; None takes every whole number from 0.
    """
    return Case(
        name=name,
        patient=patient,
        files=(image,) if labels is None else (image, labels),
        read_image=partial(images.read, image),
        read_labels=None if labels is None else partial(read_labels, labels, image, values),
    )


def files_by_name(folder: Path, *endings: str) -> dict[str, Path]:
    """Files of a folder with one of these endings, by name without it, in order; hidden files are passed over.

    The endings are tried from the left. macOS leaves hidden `._*` files in archives.

    Raises:
        FileNotFoundError: no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: this folder of the data set is missing")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((one for one in endings if path.name.endswith(one)), None)
        if ending is None or path.name.startswith("."):
            continue
        name = path.name.removesuffix(ending)
        if name in found:
            raise ValueError(f"{found[name]} and {path} are both there; remove one of them")
        found[name] = path
    if not found:
        raise FileNotFoundError(f"{folder}: the folder holds no file that ends in {' or '.join(endings)}")
    return found


def file_cases(
    manifest: Manifest, folder: Path, pictures: dict[str, Path], drawn: dict[str, Path], values: dict[int, int]
) -> list[Case]:
    """Cases of image and label files of the same names.

    Raises:
        FileNotFoundError: one of them has no partner; names the file.
    """
    refuse_unpaired(pictures, drawn)
    return [
        file_case(name, manifest.patient_of(path.relative_to(folder)), path, drawn[name], values)
        for name, path in pictures.items()
    ]


def refuse_unpaired(pictures: dict[str, Path], drawn: dict[str, Path], what: str = "labels") -> None:
    """Raise FileNotFoundError, naming the files, unless both have the same names."""
    alone = [f"{pictures[name]} has no {what}" for name in sorted(pictures.keys() - drawn.keys())]
    alone += [f"{drawn[name]} has no image" for name in sorted(drawn.keys() - pictures.keys())]
    if alone:
        rest = f"; and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise FileNotFoundError("; ".join(alone[:3]) + rest + ". Add the missing file or move this one away")


def table(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that must have these columns."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: this file of the data set is missing")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = sorted(set(columns) - set(reader.fieldnames or ()))
        if missing:
            raise ValueError(f"{path}: has no column {', '.join(missing)}")
        return list(reader)


def refuse_unlisted(listing: Path, names: Collection[str], found: Collection[str]) -> None:
    """Raise unless the names in a listing are those of the files that were found."""
    gone, extra = sorted(set(names) - set(found)), sorted(set(found) - set(names))
    if gone:
        raise FileNotFoundError(f"{gone[0]}: listed in {listing} but missing, one of {len(gone)}; fetch the set again")
    if extra:
        raise ValueError(f"{extra[0]}: there, but not listed in {listing}, one of {len(extra)}; move it away")
