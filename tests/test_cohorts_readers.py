"""The readers of pictures, small images and signals, on made-up sets and on the real ones."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medlab import images, manifests
from medlab.cohorts import Cohort, load
from medlab.cohorts.signals import AAMI, AAMI_NAMES
from medlab.wfdb import BEATS


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """An empty data folder and no mirror."""
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MEDLAB_MIRROR", raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def real(mirror, data, monkeypatch) -> Path:
    """The mirror of real sets, in use."""
    monkeypatch.setenv("MEDLAB_MIRROR", str(mirror))
    return mirror


def save(path: Path, values: np.ndarray, *, channels: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.from_array(values, channels=channels), path)


def counts(cohort: Cohort) -> list[tuple[int, int]]:
    """Cases and patients of train, validation and test."""
    parts = [cohort.part(part) for part in ("train", "validation", "test")]
    return [(len(part), len({case.patient for case in part})) for part in parts]


def refused(name: str, kind: type[Exception] = ValueError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        load(name, **options)
    return str(caught.value)


# --- Retinal vessels ---


def test_the_eyes_of_a_child_stay_together(real):
    cohort = load("chase-db1")
    assert counts(cohort) == [(16, 8), (4, 2), (8, 4)]
    case = cohort.train[1]
    assert (case.name, case.patient) == ("Image_01R", "01")
    assert images.array(case.image()).shape == (960, 999, 3)
    labels = images.array(case.labels())
    stored = images.array(images.read(real / "CHASE_DB1/labels/Image_01R_1stHO.png"))
    np.testing.assert_array_equal(labels, (stored == 255).astype(np.uint8), strict=True)
    assert cohort.label_names == {0: "background", 1: "vessel"}
    assert cohort.check() == []


def test_a_mask_with_grey_in_it_is_named(real, data):
    shutil.copytree(real / "CHASE_DB1", data / "CHASE_DB1")
    path = data / "CHASE_DB1/labels/Image_09L_1stHO.png"
    grey = images.array(images.read(path))
    grey[3, 4] = 128
    save(path, grey)
    assert load("chase-db1").check() == [f"{path}: unexpected labels 128; allowed are 0, 255"]


# --- Cardiac slices ---


def test_cardiac_slices_of_a_patient_stay_together(real):
    cohort = load("sunnybrook")
    assert counts(cohort) == [(459, 26), (67, 4), (279, 15)]
    stacked, labels = cohort.arrays("validation")
    assert stacked.shape == labels.shape == (67, 256, 256)
    assert (stacked.dtype, labels.dtype, labels.max()) == (np.uint8, np.uint8, 1)
    rows = [row.split(",") for row in (real / "SunnybrookCardiac/slices.csv").read_text().splitlines()[1:]]
    pixels = {row[0].removesuffix(".png"): int(row[5]) for row in rows}
    assert [pixels[case.name] for case in cohort.validation] == labels.sum(axis=(1, 2)).tolist()
    official = {row[1]: row[4] for row in rows}
    assert {official[case.patient] for case in cohort.test} == {"test"}
    assert {official[case.patient] for case in cohort.train + cohort.validation} == {"train"}


@pytest.fixture
def cardiac(data) -> Path:
    """A made-up set of two slices."""
    folder = data / "SunnybrookCardiac"
    names = ["SC-HF-I-01-IM-0001-0048.png", "SC-N-09-IM-0001-0048.png"]
    for number, name in enumerate(names):
        save(folder / "images" / name, np.full((4, 5), number, np.uint8))
        save(folder / "labels" / name, np.eye(4, 5, k=number, dtype=np.uint8) * 255)
    (folder / "slices.csv").write_text("file,patient\n" + "".join(f"{name},x\n" for name in names))
    return folder


def test_a_slice_that_the_table_lists_must_be_there(cardiac):
    assert [case.patient for case in load("sunnybrook").cases] == ["SC-HF-I-01", "SC-N-09"]
    for part in ("images", "labels"):
        (cardiac / part / "SC-N-09-IM-0001-0048.png").unlink()
    said = refused("sunnybrook", FileNotFoundError)
    assert re.match(r"SC-N-09-IM-0001-0048: listed in .*slices\.csv but missing, one of 1", said)


def test_a_slice_that_is_there_must_be_in_the_table(cardiac):
    (cardiac / "slices.csv").write_text("file,patient\nSC-HF-I-01-IM-0001-0048.png,x\n")
    assert re.match(r"SC-N-09-IM-0001-0048: there, but not listed in .*slices\.csv", refused("sunnybrook"))


@pytest.mark.parametrize(("text", "said"), [("name\n", "has no column file"), ("", "has no column file")])
def test_a_table_without_its_columns_is_named(cardiac, text, said):
    (cardiac / "slices.csv").write_text(text)
    assert f"slices.csv: {said}" in refused("sunnybrook")


# --- Nuclei ---


@pytest.fixture
def nuclei(data) -> Path:
    """Three made-up pictures: grey, colour, and colour with an opaque alpha channel."""
    folder, rows = data / "BBBC038_nuclei", ["split,image_id"]
    test_name = manifests.get("nuclei").split.lists["test"][0]
    for part, name, channels in (("train", "a" * 64, 1), ("train", "b" * 64, 3), ("test", test_name, 4)):
        values = np.arange(4 * 6 * channels, dtype=np.uint8).reshape(4, 6, channels)
        values[..., 3:] = 255
        save(
            folder / part / "images" / f"{name}.png", values if channels > 1 else values[..., 0], channels=channels > 1
        )
        numbers = np.zeros((4, 6), np.uint16)
        numbers[0, 0], numbers[1, channels], numbers[2, 2:4] = 1, 2, 300 + channels
        save(folder / part / "labels" / f"{name}.png", numbers)
        rows.append(f"{part},{name}")
    (folder / "images.csv").write_text("\n".join(rows))
    return folder


def test_pictures_of_nuclei_are_all_rgb(nuclei):
    cases = {case.name[0]: case for case in load("nuclei").cases}
    grey, colour, alpha = (images.array(cases[key].image()) for key in ("a", "b", "0"))
    np.testing.assert_array_equal(grey, np.repeat(np.arange(24, dtype=np.uint8).reshape(4, 6, 1), 3, axis=-1))
    np.testing.assert_array_equal(colour, np.arange(72, dtype=np.uint8).reshape(4, 6, 3))
    np.testing.assert_array_equal(alpha, np.arange(96, dtype=np.uint8).reshape(4, 6, 4)[..., :3])


def test_nuclei_are_one_class_or_numbered(nuclei):
    case = load("nuclei").cases[0]
    assert np.unique(images.array(case.labels())).tolist() == [0, 1]
    assert images.array(case.labels()).sum() == 4
    numbered = images.array(load("nuclei", instances=True).cases[0].labels())
    assert np.unique(numbered).tolist() in ([0, 1, 2, 301], [0, 1, 2, 303])


def test_a_transparent_picture_is_refused(nuclei):
    path = next((nuclei / "test/images").iterdir())
    values = images.array(images.read(path))
    values[0, 0, 3] = 254
    save(path, values, channels=True)
    (problem,) = load("nuclei").check()
    assert problem == f"{path}: the picture is partly transparent, so its colours are not known"


def test_the_nuclei_are_all_there(real):
    cohort = load("nuclei", instances=True)
    assert counts(cohort) == [(105, 105), (15, 15), (65, 65)]
    assert sum(int(images.array(case.labels()).max()) for case in cohort.train + cohort.validation) == 3485
    assert sum(int(images.array(case.labels()).max()) for case in cohort.test) == 4152
    assert load("nuclei").check() == []


# --- Blood cells ---

BOX = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
PICTURE = "<annotation><size><width>640</width><height>480</height></size>{}</annotation>"


@pytest.fixture
def blood(real, data) -> Path:
    """One real smear in a data folder of its own, with boxes that a test may change."""
    for name in ("JPEGImages/BloodImage_00001.jpg", "Annotations/BloodImage_00001.xml"):
        (data / "BCCD" / name).parent.mkdir(parents=True)
        shutil.copy(real / "BCCD" / name, data / "BCCD" / name)
    return data / "BCCD/Annotations/BloodImage_00001.xml"


def test_boxes_are_rows_before_columns_and_empty_ones_are_left_out(blood):
    boxes = [BOX.format("RBC", 10, 20, 110, 70), BOX.format("WBC", 5, 5, 5, 9), BOX.format("Platelets", 0, 0, 640, 480)]
    blood.write_text(PICTURE.format("".join(boxes)))
    cohort = load("bccd")
    (case,) = cohort.train
    assert case.target.corners.tolist() == [[20, 10, 70, 110], [0, 0, 480, 640]]
    assert [cohort.label_names[number] for number in case.target.classes] == ["RBC", "Platelets"]
    assert cohort.notes[0] == "BloodImage_00001.xml: the empty box of WBC at 5 5 5 9 was left out"
    assert "the empty box of WBC" in repr(cohort)
    assert images.array(case.image()).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PICTURE.format(BOX.format("cat", 1, 2, 3, 4)), "unknown class 'cat'; allowed are RBC, WBC, Platelets"),
        (PICTURE.format(BOX.format("RBC", 1, 2, 641, 4)), "the box 1 2 641 4 leaves the picture of 640 x 480 pixels"),
        (PICTURE.format(BOX.format("RBC", 9, 2, 3, 4)), "the box 9 2 3 4 leaves the picture"),
        (PICTURE.format(BOX.format("RBC", "x", 2, 3, 4)), "invalid literal"),
        (PICTURE, "invalid"),
        ("<annotation>", "no element found"),
    ],
)
def test_broken_boxes_are_named(blood, text, said):
    blood.write_text(text if text != PICTURE else text.format("").replace("640", ""))
    assert re.search(rf"BloodImage_00001\.xml: .*{re.escape(said)}", refused("bccd"))


def test_a_smear_without_boxes_is_named(blood):
    blood.rename(blood.with_name("BloodImage_00002.xml"))
    said = refused("bccd", FileNotFoundError)
    assert "JPEGImages/BloodImage_00001.jpg has no boxes" in said
    assert "Annotations/BloodImage_00002.xml has no image" in said


def test_the_blood_cells_are_all_there(real):
    cohort = load("bccd")
    assert counts(cohort) == [(205, 205), (87, 87), (72, 72)]
    found = Counter(cohort.label_names[number] for case in cohort.cases for number in case.target.classes.tolist())
    assert found == {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}
    assert cohort.notes[:2] == (
        "BloodImage_00338.xml: the empty box of RBC at 504 337 504 337 was left out",
        "BloodImage_00343.xml: the empty box of RBC at 181 329 181 329 was left out",
    )
    listed = {part: (real / f"BCCD/ImageSets/Main/{name}.txt").read_text().split()
              for part, name in (("train", "train"), ("validation", "val"), ("test", "test"))}  # fmt: skip
    for part, names in listed.items():
        assert sorted(case.name for case in cohort.part(part)) == sorted(names)


# --- Small images ---


@pytest.fixture
def made_up(data, monkeypatch) -> Path:
    """A mirror for made-up sets: in the data folder they would not have the right checksum."""
    monkeypatch.setenv("MEDLAB_MIRROR", str(data.parent / "mirror"))
    (data.parent / "mirror").mkdir()
    return data.parent / "mirror"


def write_medmnist(folder: Path, name: str, shape: tuple[int, ...], classes: int = 1, **changes: np.ndarray) -> Path:
    """A made-up file with 7, 3 and 4 samples."""
    rng = np.random.default_rng(0)
    content: dict[str, np.ndarray] = {}
    for part, count in (("train", 7), ("val", 3), ("test", 4)):
        content[f"{part}_images"] = rng.integers(0, 255, (count, *shape), dtype=np.uint8)
        content[f"{part}_labels"] = rng.integers(0, 2, (count, classes), dtype=np.uint8)
    (folder / "medmnist").mkdir()
    np.savez_compressed(folder / "medmnist" / name, **{**content, **changes})
    return folder / "medmnist" / name


@pytest.mark.parametrize(
    ("name", "file", "size", "shape", "classes"),
    [
        ("breastmnist", "breastmnist.npz", 28, (28, 28), 1),
        ("bloodmnist", "bloodmnist_64.npz", 64, (64, 64, 3), 1),
        ("chestmnist", "chestmnist.npz", 28, (28, 28), 14),
        ("organmnist3d", "organmnist3d.npz", 28, (28, 28, 28), 1),
    ],
)
def test_small_images_come_as_cases_and_as_arrays(made_up, name, file, size, shape, classes):
    stored = np.load(write_medmnist(made_up, file, shape, classes))
    cohort = load(name, size=size)
    assert counts(cohort) == [(7, 7), (3, 3), (4, 4)]
    assert [case.name for case in cohort.validation] == ["validation-00000", "validation-00001", "validation-00002"]
    stack, targets = cohort.arrays("test")
    np.testing.assert_array_equal(stack, stored["test_images"], strict=True)
    expected = stored["test_labels"][:, 0] if classes == 1 else stored["test_labels"]
    np.testing.assert_array_equal(targets, expected.astype(np.int64), strict=True)
    for index, case in enumerate(cohort.test):
        np.testing.assert_array_equal(images.array(case.image()), stored["test_images"][index], strict=True)
        np.testing.assert_array_equal(case.target, targets[index])
        assert case.labels() is None


def test_arrays_may_be_changed_without_harm(made_up):
    write_medmnist(made_up, "breastmnist.npz", (28, 28))
    cohort = load("breastmnist")
    stack, targets = cohort.arrays("train")
    before = images.array(cohort.train[0].image()), cohort.train[0].target
    stack[:], targets[:] = 0, 9
    np.testing.assert_array_equal(images.array(cohort.train[0].image()), before[0])
    assert cohort.train[0].target == before[1]


def test_a_file_of_small_images_that_can_not_be_read_is_named(made_up):
    path = write_medmnist(made_up, "breastmnist.npz", (28, 28))
    path.write_bytes(path.read_bytes()[:2000])
    assert f"{path}: cannot be read as a MedMNIST file" in refused("breastmnist")


def test_images_without_classes_are_named(made_up):
    path = write_medmnist(made_up, "breastmnist.npz", (28, 28), test_labels=np.zeros((3, 1), np.uint8))
    assert refused("breastmnist") == f"{path}: 4 images but 3 labels in test"


def test_the_images_are_not_read_with_the_labels(made_up):
    path = write_medmnist(made_up, "breastmnist.npz", (200, 200))
    content = bytearray(path.read_bytes())
    place = content.find(b"test_images.npy") + 100_000  # inside the packed images
    content[place : place + 50] = bytes(50)
    path.write_bytes(content)
    cohort = load("breastmnist")
    assert images.array(cohort.train[0].image()).shape == (200, 200)
    with pytest.raises(ValueError, match=r"breastmnist\.npz: cannot be read as a MedMNIST file"):
        cohort.arrays("test")


@pytest.mark.parametrize(
    ("name", "size", "shape", "classes"),
    [
        ("pneumoniamnist", 28, (28, 28), [(1214, 3494), (135, 389), (234, 390)]),
        ("breastmnist", 28, (28, 28), [(147, 399), (21, 57), (42, 114)]),
        ("adrenalmnist3d", 28, (28, 28, 28), [(929, 259), (76, 22), (229, 69)]),
        ("adrenalmnist3d", 64, (64, 64, 64), [(929, 259), (76, 22), (229, 69)]),
    ],
)
def test_the_small_images_are_all_there(real, name, size, shape, classes):
    cohort = load(name, size=size)
    assert len(cohort.label_names) == 2
    for part, expected in zip(("train", "validation", "test"), classes, strict=True):
        stack, targets = cohort.arrays(part)
        assert stack.shape == (sum(expected), *shape)
        assert tuple(np.bincount(targets)) == expected
        assert len(cohort.part(part)) == len(targets)


def test_an_image_in_two_parts_is_found_by_the_full_check(real):
    assert load("breastmnist").check() == ["train-00115 and test-00076 hold the same image, voxel for voxel"]


# --- Heart beats ---


def test_every_beat_has_one_of_five_classes():
    assert set(AAMI) == BEATS
    assert set(AAMI.values()) == set(AAMI_NAMES) == set(range(5))
    assert [AAMI[symbol] for symbol in "NLReAaVEF/fQ"] == [0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 4]


def test_records_are_split_by_patient(real):
    cohort = load("mitdb")
    assert sorted(case.name for case in cohort.test) == ["100", "200", "213", "214", "222", "231", "232", "233"]
    assert sorted(case.name for case in cohort.train + cohort.validation) == [
        "106", "109", "118", "119", "207", "208", "209", "223",
    ]  # fmt: skip
    assert [case.name for case in cohort.left_out] == ["217"]
    assert "left out: 217" in repr(cohort)
    assert list(cohort.label_names) == list(AAMI_NAMES)


def test_the_beats_of_a_record_are_its_target(real):
    case = next(case for case in load("mitdb").train if case.name == "208")
    assert np.bincount(case.target.classes, minlength=5).tolist() == [1586, 2, 992, 373, 2]
    np.testing.assert_array_equal(case.target.samples, case.record().beat_samples)


@pytest.mark.parametrize("ending", [".atr", ".dat", ".hea"])
def test_a_record_without_one_of_its_files_is_named(real, data, ending):
    (data / "mitdb").mkdir()
    for number in ("100", "106"):
        for one in (".hea", ".dat", ".atr"):
            shutil.copy(real / f"mitdb/{number}{one}", data / "mitdb")
    (data / f"mitdb/106{ending}").unlink()
    assert "106" in refused("mitdb", FileNotFoundError)
