"""Readers of pictures: retinal photographs, nuclei, cardiac slices, blood smears with boxes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medlab import images
from medlab.cohorts.cohort import Case, read_labels
from medlab.cohorts.files import Found, file_cases, files_by_name, refuse_unlisted, refuse_unpaired, table
from medlab.manifests import Manifest


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes drawn around objects of a picture.

    Attributes:
        corners: int64 (n, 4): first row, first column, and the row and column after the last, in pixels.
        classes: int64 (n,), the keys of the cohort's `label_names`.
    """

    corners: np.ndarray
    classes: np.ndarray


def chase(manifest: Manifest, folder: Path) -> Found:
    """Retinal photographs with vessels (CHASE_DB1): Image_01L.jpg and Image_01L_1stHO.png."""
    pictures = files_by_name(folder / "images", ".jpg")
    drawn = files_by_name(folder / "labels", "_1stHO.png")
    return Found(file_cases(manifest, folder, pictures, drawn, {0: 0, 255: 1}))


def sunnybrook(manifest: Manifest, folder: Path) -> Found:
    """Cardiac slices with the left ventricle, in grey values of 8 bits; slices.csv lists them."""
    pictures, drawn = files_by_name(folder / "images", ".png"), files_by_name(folder / "labels", ".png")
    rows = table(folder / "slices.csv", ("file",))
    refuse_unlisted(folder / "slices.csv", [Path(row["file"]).stem for row in rows], pictures)
    return Found(file_cases(manifest, folder, pictures, drawn, {0: 0, 255: 1}))


def nuclei(manifest: Manifest, folder: Path, *, instances: bool = False) -> Found:
    """Microscopy with nuclei, as RGB; labels are 1 for nucleus, or a number a nucleus with `instances`."""
    cases: list[Case] = []
    for part in ("train", "test"):
        pictures = files_by_name(folder / part / "images", ".png")
        drawn = files_by_name(folder / part / "labels", ".png")
        refuse_unpaired(pictures, drawn)
        for name, path in pictures.items():
            cases.append(
                Case(
                    name=name,
                    patient=manifest.patient_of(path.relative_to(folder)),
                    files=(path, drawn[name]),
                    read_image=partial(_red_green_blue, path),
                    read_labels=partial(_nuclei_labels, drawn[name], path, instances),
                )
            )
    rows = table(folder / "images.csv", ("image_id",))
    refuse_unlisted(folder / "images.csv", [row["image_id"] for row in rows], {case.name: case for case in cases})
    return Found(cases)


def _red_green_blue(path: Path) -> sitk.Image:
    """A picture as RGB: grey is repeated, and an opaque alpha channel is left out."""
    image = images.read(path)
    values = images.array(image)
    if values.ndim == 2:
        return images.image_like(np.repeat(values[..., None], 3, axis=-1), image)
    if values.shape[-1] == 4 and values[..., 3].min() < 255:
        raise ValueError(f"{path}: the picture is partly transparent, so its colours are not known")
    return images.image_like(values[..., :3], image)


def _nuclei_labels(path: Path, picture: Path, instances: bool) -> sitk.Image:
    labels = read_labels(path, picture, None)
    return labels if instances else images.image_like(images.array(labels) > 0, labels)


def bccd(manifest: Manifest, folder: Path) -> Found:
    """Blood smears with boxes (Pascal VOC files), and a note for each empty box, which is left out."""
    pictures = files_by_name(folder / "JPEGImages", ".jpg")
    drawn = files_by_name(folder / "Annotations", ".xml")
    refuse_unpaired(pictures, drawn, "boxes")
    cases, notes = [], []
    for name, path in pictures.items():
        target, dropped = read_boxes(drawn[name], manifest.label_names)
        notes += [f"{drawn[name].name}: the empty box of {one} was left out" for one in dropped]
        cases.append(
            Case(
                name=name,
                patient=manifest.patient_of(path.relative_to(folder)),
                files=(path,),
                read_image=partial(images.read, path),
                read_target=partial(_same, target),
            )
        )
    return Found(cases, notes)


def _same(target: Boxes) -> Boxes:
    return target


def read_boxes(path: Path, label_names: Mapping[int, str]) -> tuple[Boxes, list[str]]:
    """Boxes of one Pascal VOC file, and those left out because they are empty, as text.

    Raises:
        ValueError: an unknown class, or a box that leaves the picture; names the file.
    """
    classes = {name: value for value, name in label_names.items()}
    corners: list[tuple[int, ...]] = []
    found: list[int] = []
    dropped: list[str] = []
    try:
        root = ElementTree.parse(path).getroot()
        height, width = (int(root.findtext(f"size/{side}", "")) for side in ("height", "width"))
        for item in root.iter("object"):
            name = item.findtext("name", "")
            x0, y0, x1, y1 = (int(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax"))
            if name not in classes:
                raise ValueError(f"unknown class {name!r}; allowed are {', '.join(classes)}")
            if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
                raise ValueError(f"the box {x0} {y0} {x1} {y1} leaves the picture of {width} x {height} pixels")
            if x0 == x1 or y0 == y1:
                dropped.append(f"{name} at {x0} {y0} {x1} {y1}")
                continue
            corners.append((y0, x0, y1, x1))
            found.append(classes[name])
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    return Boxes(np.array(corners, dtype=np.int64).reshape(-1, 4), np.array(found, dtype=np.int64)), dropped
