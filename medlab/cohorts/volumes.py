"""Readers of volumes: the Medical Segmentation Decathlon, TotalSegmentator's examples, a chest CT in DICOM."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from medlab import images
from medlab.cohorts.cohort import Case
from medlab.cohorts.files import Found, file_case, file_cases, files_by_name, refuse_unpaired
from medlab.manifests import Manifest

NIFTI = (".nii.gz", ".nii")


def decathlon(manifest: Manifest, folder: Path) -> Found:
    """The labelled cases of a folder in the Decathlon's layout: imagesTr, labelsTr, and dataset.json if it is there.

    Raises:
        FileNotFoundError: an image without labels, labels without an image, or a listed file that is gone.
        ValueError: dataset.json is broken or gives other labels than the manifest.
    """
    pictures, drawn = files_by_name(folder / "imagesTr", *NIFTI), files_by_name(folder / "labelsTr", *NIFTI)
    cases = file_cases(manifest, folder, pictures, drawn, {value: value for value in manifest.label_names})
    listing = folder / "dataset.json"
    if listing.exists():
        _compare_with_listing(folder, listing, set(manifest.label_names))
    return Found(cases)


def _compare_with_listing(folder: Path, listing: Path, values: set[int]) -> None:
    try:
        content = json.loads(listing.read_text(encoding="utf-8"))
        wanted = [folder / entry[key] for entry in content["training"] for key in ("image", "label")]
        listed = {int(value) for value in content["labels"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{listing}: not the listing of a Decathlon task ({type(error).__name__}: {error})") from None
    gone = [path for path in wanted if not path.exists()]
    if gone:
        raise FileNotFoundError(f"{gone[0]}: listed in {listing} but missing, one of {len(gone)}; fetch the set again")
    if listed != values:
        raise ValueError(f"{listing}: lists the labels {sorted(listed)}, expected {sorted(values)}")


def loose_pairs(manifest: Manifest, folder: Path) -> Found:
    """Images and labels in the folders `images` and `labels`, without any listing."""
    pictures, drawn = files_by_name(folder / "images", *NIFTI), files_by_name(folder / "labels", *NIFTI)
    return Found(file_cases(manifest, folder, pictures, drawn, {value: value for value in manifest.label_names}))


def totalsegmentator(manifest: Manifest, folder: Path) -> Found:
    """The example CT and MR with the structures that the program drew, numbered alike in both.

    In the files the same number stands for other structures in CT than in MR; here the numbers of CT hold, and those
    structures that only MR has follow after them.
    """
    drawn = files_by_name(folder, *(f"_seg{ending}" for ending in NIFTI))
    pictures = {name: path for name, path in files_by_name(folder, *NIFTI).items() if not name.endswith("_seg")}
    refuse_unpaired(pictures, drawn)
    listed = _structures(folder / "labels.json")
    label_names = {0: "background", **listed["ct"]}
    only_mr = [name for name in listed["mr"].values() if name not in listed["ct"].values()]
    label_names |= dict(enumerate(only_mr, start=max(label_names) + 1))
    numbers = {name: number for number, name in label_names.items()}
    cases = []
    for name, path in pictures.items():
        patient = manifest.patient_of(path.relative_to(folder))
        values = {0: 0} | {value: numbers[structure] for value, structure in listed[patient].items()}
        cases.append(file_case(name, patient, path, drawn[name], values))
    return Found(cases, label_names=label_names)


def _structures(path: Path) -> dict[str, dict[int, str]]:
    """What the numbers in the label files stand for, for "ct" and for "mr"."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {kind: {int(value): str(name) for value, name in content[kind].items()} for kind in ("ct", "mr")}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not a list of structures for ct and mr ({type(error).__name__}: {error})") from None


def dicom_series(manifest: Manifest, folder: Path) -> Found:
    """One case without labels: the series in the folder `dicom`."""
    series = folder / "dicom"
    files = tuple(path for path in sorted(series.iterdir()) if path.is_file() and not path.name.startswith("."))
    patient = manifest.patient_of(files[0].relative_to(folder)) if files else manifest.name
    return Found([Case(name=manifest.name, patient=patient, files=files, read_image=partial(images.read, series))])
