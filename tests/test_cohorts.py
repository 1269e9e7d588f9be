"""Cohorts: parts that share no patient, cases read on demand, and an error for what is wrong names the file."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from medlab import images, manifests, phantoms
from medlab.cohorts import Case, Cohort, load
from medlab.cohorts.built_in import part_of


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """An empty data folder and no mirror."""
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MEDLAB_MIRROR", raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def volume(seed: int, shape=(4, 6, 5)) -> sitk.Image:
    """Grey values and a grid that is neither cubic nor isotropic."""
    values = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    image = images.from_array(values, (2.0, 1.0, 0.5))
    image.SetOrigin((3, -4, 5))
    return image


def label_map(seed: int, image: sitk.Image) -> sitk.Image:
    """Labels 0, 1 and 2 on the grid of an image."""
    return images.image_like(np.random.default_rng(seed).integers(0, 3, image.GetSize()[::-1]).astype(np.uint8), image)


@pytest.fixture
def decathlon(data) -> Path:
    """The folder of a hippocampus task with eight made-up cases, laid out as the Decathlon does."""
    folder = data / "Task04_Hippocampus"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    listed = []
    for number in range(1, 9):
        name = f"hippocampus_{number:03d}.nii.gz"
        images.write(volume(number), folder / "imagesTr" / name)
        images.write(label_map(number, volume(number)), folder / "labelsTr" / name)
        listed.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    content = {"training": listed, "labels": {"0": "background", "1": "Anterior", "2": "Posterior"}}
    (folder / "dataset.json").write_text(json.dumps(content))
    (folder / "imagesTr" / "._hippocampus_001.nii.gz").write_bytes(b"left by macOS")
    return folder


def case_named(cohort: Cohort, name: str) -> Case:
    return next(case for case in cohort.cases if case.name == name)


def refused(name: str, kind: type[Exception] = ValueError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        load(name, **options)
    return str(caught.value)


# --- A task of the Decathlon ---


def test_cases_come_from_their_files(decathlon):
    cohort = load("msd-hippocampus")
    assert sorted(case.name for case in cohort.cases) == [f"hippocampus_{n:03d}" for n in range(1, 9)]
    assert cohort.label_names == {0: "background", 1: "anterior", 2: "posterior"}
    assert cohort.task == "segmentation"
    for number in (1, 8):
        case = case_named(cohort, f"hippocampus_{number:03d}")
        np.testing.assert_array_equal(images.array(case.image()), images.array(volume(number)))
        np.testing.assert_array_equal(images.array(case.labels()), images.array(label_map(number, volume(number))))
        images.check_same_grid(case.image(), volume(number))
        assert case.target is None
    assert cohort.check() == []


def test_the_split_is_that_of_the_manifest(decathlon):
    cohort, manifest = load("msd-hippocampus"), manifests.get("msd-hippocampus")
    for part in ("train", "validation", "test"):
        assert {manifest.split_of(case.patient) for case in cohort.part(part)} <= {part}
    before = {case.name: part for part in ("train", "validation", "test") for case in cohort.part(part)}
    (decathlon / "dataset.json").unlink()
    for part in ("imagesTr", "labelsTr"):
        (decathlon / part / "hippocampus_001.nii.gz").unlink()
    smaller = load("msd-hippocampus")
    after = {case.name: part for part in ("train", "validation", "test") for case in smaller.part(part)}
    assert after == {name: part for name, part in before.items() if name != "hippocampus_001"}


def test_nothing_is_read_before_it_is_asked_for(decathlon):
    for number, path in enumerate(sorted((decathlon / "imagesTr").glob("h*"))):
        path.write_bytes(b"no image" * (number + 1))
    cohort = load("msd-hippocampus")
    with pytest.raises(ValueError, match=r"imagesTr/hippocampus_003\.nii\.gz: the file is cut short or is not gzip"):
        case_named(cohort, "hippocampus_003").image()
    assert len([problem for problem in cohort.check() if "imagesTr" in problem]) == 16  # images, and grids of labels


def test_cases_can_be_sent_to_another_process(decathlon):
    case = load("msd-hippocampus").cases[0]
    again = pickle.loads(pickle.dumps(case))
    np.testing.assert_array_equal(images.array(again.labels()), images.array(case.labels()))


def test_float_labels_with_whole_values_are_taken(decathlon):
    path = decathlon / "labelsTr/hippocampus_002.nii.gz"
    images.write(sitk.Cast(images.read(path), sitk.sitkFloat32), path)
    labels = case_named(load("msd-hippocampus"), "hippocampus_002").labels()
    assert labels.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(images.array(labels), images.array(label_map(2, volume(2))))


def changed(values: np.ndarray, value: float) -> np.ndarray:
    values = values.astype(np.float32)
    values[0, 0, 0] = value
    return values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda labels: images.image_like(changed(images.array(labels), 0.5), labels), "labels must be whole numbers"),
        (lambda labels: images.image_like(changed(images.array(labels), -1), labels), "0 to 65535, got -1 to 2"),
        (lambda labels: images.image_like(changed(images.array(labels), 7), labels), "labels 7; allowed are 0, 1, 2"),
        (lambda labels: labels[:, :, 1:], r"size (5, 6, 4) and (5, 6, 3) voxels"),
        (lambda labels: images.reorient(labels, "RAS"), "lie on different grids: origin"),
        (lambda labels: images.from_array(images.array(labels)), "different grids: spacing (0.5, 1, 2) and (1, 1, 1)"),
    ],
)  # fmt: skip
def test_wrong_labels_are_named(decathlon, change, said):
    path = decathlon / "labelsTr/hippocampus_002.nii.gz"
    images.write(change(images.read(path)), path)
    cohort = load("msd-hippocampus")
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        case_named(cohort, "hippocampus_002").labels()
    assert str(path) in str(caught.value)
    assert cohort.check() == [str(caught.value)]


def test_a_missing_partner_is_named(decathlon):
    (decathlon / "imagesTr/hippocampus_003.nii.gz").unlink()
    (decathlon / "labelsTr/hippocampus_005.nii.gz").unlink()
    said = refused("msd-hippocampus", FileNotFoundError)
    assert f"{decathlon}/imagesTr/hippocampus_005.nii.gz has no labels" in said
    assert f"{decathlon}/labelsTr/hippocampus_003.nii.gz has no image" in said


def test_a_listed_case_that_is_gone_is_named(decathlon):
    for part in ("imagesTr", "labelsTr"):
        (decathlon / part / "hippocampus_004.nii.gz").unlink()
    assert "imagesTr/hippocampus_004.nii.gz: listed in" in refused("msd-hippocampus", FileNotFoundError)


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not the listing of a Decathlon task"), ('{"training": []}', "KeyError: 'labels'"),
     ('{"training": [], "labels": {"0": "a", "1": "b"}}', "lists the labels [0, 1], expected [0, 1, 2]")],
)  # fmt: skip
def test_a_broken_listing_is_named(decathlon, content, said):
    (decathlon / "dataset.json").write_text(content)
    assert re.search(rf"dataset\.json: .*{re.escape(said)}", refused("msd-hippocampus"))


@pytest.mark.parametrize("part", ["imagesTr", "labelsTr"])
def test_the_same_file_in_two_cases_is_refused(decathlon, part):
    shutil.copy(decathlon / part / "hippocampus_002.nii.gz", decathlon / part / "hippocampus_006.nii.gz")
    said = refused("msd-hippocampus")
    assert "are the same file in two cases" in said
    assert f"{part}/hippocampus_002.nii.gz" in said
    assert f"{part}/hippocampus_006.nii.gz" in said


def test_the_same_voxels_in_two_files_are_found_by_the_full_check(decathlon):
    content = gzip.decompress((decathlon / "labelsTr/hippocampus_002.nii.gz").read_bytes())
    (decathlon / "labelsTr/hippocampus_006.nii.gz").write_bytes(gzip.compress(content, compresslevel=1))
    problems = load("msd-hippocampus").check()
    assert len(problems) == 1
    assert problems[0].endswith("hold the same labels, voxel for voxel")
    assert {"hippocampus_002", "hippocampus_006"} == set(re.findall(r"(hippocampus_00\d) \(", problems[0]))


def test_empty_labels_are_no_duplicates(decathlon):
    for number in (2, 6):
        path = decathlon / f"labelsTr/hippocampus_{number:03d}.nii.gz"
        images.write(images.read(path) * 0, path)
    assert load("msd-hippocampus").check() == []


def test_values_that_are_not_finite_are_a_problem(decathlon):
    path = decathlon / "imagesTr/hippocampus_002.nii.gz"
    images.write(images.image_like(changed(images.array(volume(2)), float("nan")), volume(2)), path)
    assert load("msd-hippocampus").check() == [f"{path}: NaN or infinite values, 1 in all; they were kept"]


def test_two_files_of_one_case_are_refused(decathlon):
    images.write(volume(2), decathlon / "imagesTr/hippocampus_002.nii")
    assert re.search(r"hippocampus_002\.nii and .*hippocampus_002\.nii\.gz are both there", refused("msd-hippocampus"))


def test_a_missing_folder_is_named(decathlon):
    shutil.rmtree(decathlon / "imagesTr")
    assert "imagesTr: this folder of the data set is missing" in refused("msd-hippocampus", FileNotFoundError)


def test_channels_of_a_case_share_the_grid_of_its_labels(data):
    folder = data / "Task01_BrainTumour"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    channels = [volume(seed) for seed in range(4)]
    sitk.WriteImage(sitk.JoinSeries(channels), folder / "imagesTr/BRATS_001.nii.gz")
    images.write(label_map(0, channels[0]), folder / "labelsTr/BRATS_001.nii.gz")
    (case,) = load("msd-brain-tumour").cases
    assert images.array(case.image()).shape == (4, 6, 5, 4)
    assert images.array(case.labels()).shape == (4, 6, 5)


# --- Cohort ---


def made_case(name: str, patient: str) -> Case:
    return Case(name, patient, read_image=partial(volume, 1), read_labels=partial(label_map, int(name), volume(1)))


def made_cohort(**parts: list[Case]) -> Cohort:
    described = {
        "name": "made",
        "title": "t",
        "task": "segmentation",
        "label_names": {0: "background"},
        "licence": "CC0-1.0",
    }
    return Cohort(**described, **{"train": [], "validation": [], "test": []} | parts)


def test_a_patient_in_two_parts_is_refused():
    parts = {"train": [made_case("1", "anna"), made_case("2", "bert")], "test": [made_case("3", "anna")]}
    with pytest.raises(ValueError, match="made: patient anna is in train and in test \\(3\\)"):
        made_cohort(**parts)


def test_a_patient_may_have_several_cases_in_one_part():
    cohort = made_cohort(train=[made_case("1", "anna"), made_case("2", "anna")])
    assert "train: 2 cases of 1 patients" in repr(cohort)


def test_two_cases_of_one_name_are_refused():
    with pytest.raises(ValueError, match="made: two cases are named 1"):
        made_cohort(train=[made_case("1", "anna"), made_case("1", "anna")])


def test_arrays_stack_images_and_labels_of_one_size():
    cohort = made_cohort(train=[made_case("1", "a"), made_case("2", "b")])
    stacked, labels = cohort.arrays("train")
    assert stacked.shape == labels.shape == (2, 4, 6, 5)
    np.testing.assert_array_equal(labels[1], images.array(label_map(2, volume(1))))


def test_arrays_refuse_images_of_several_sizes():
    other = Case("3", "c", read_image=partial(volume, 1, (2, 6, 5)))
    with pytest.raises(ValueError, match=r"differ in size, from \(2, 6, 5\) to \(4, 6, 5\)"):
        made_cohort(train=[made_case("1", "a"), other]).arrays("train")


def test_a_part_has_one_of_three_names():
    with pytest.raises(ValueError, match="one of train, validation, test, got 'val'"):
        made_cohort().arrays("val")


def test_a_signal_has_no_image_and_an_image_no_signal():
    with pytest.raises(TypeError, match=r"1 is a signal and has no image: use case\.record\(\)"):
        Case("1", "a", read_record=lambda: None).image()
    with pytest.raises(TypeError, match=r"1 is an image and has no signal: use case\.image\(\)"):
        made_case("1", "a").record()


def test_a_case_without_labels_has_none():
    assert Case("1", "a", read_image=partial(volume, 1)).labels() is None


def test_the_cohort_describes_itself(decathlon):
    text = repr(load("msd-hippocampus"))
    assert text.splitlines()[0] == "msd-hippocampus: Hippocampus (Medical Segmentation Decathlon, task 4)"
    assert "labels: 0 background, 1 anterior, 2 posterior" in text
    assert "licence: CC-BY-SA-4.0" in text


# --- Names and options ---


def test_an_unknown_name_is_answered_with_the_nearest():
    assert "no cohort is named 'msd-hipocampus'; nearest: msd-hippocampus" in refused("msd-hipocampus")
    assert "nearest: brain" in refused("Brain")


def test_an_unknown_option_is_answered_with_those_that_are():
    assert (
        refused("brain", size=3)
        == "load('brain') has no option size; its options and their defaults: patients=40, seed=0"
    )
    assert "its options and their defaults: none" in refused("mitdb", size=3)
    assert "its options and their defaults: size=28" in refused("breastmnist", pixels=3)
    assert "size must be one of 28, 64, 128, 224, got 32" in refused("breastmnist", size=32)


def test_a_set_without_a_reader_says_so():
    assert "medlab can fetch luna16 but has no reader for it yet" in refused("luna16")


# --- Built in ---


def test_the_built_in_split_is_fixed_and_has_every_part():
    cohort = load("brain", patients=20)
    assert [len(cohort.part(part)) for part in ("train", "validation", "test")] == [14, 2, 4]
    larger = load("brain", patients=50)
    assert {case.name for case in cohort.test} <= {case.name for case in larger.test}
    assert [part_of(index) for index in range(10)] == ["train"] * 7 + ["validation", "test", "test"]
    assert "at least 10 patients" in refused("brain", patients=9)
    assert refused("brain", patients="x") == "patients must be a whole number, 10 or more, got 'x'"
    assert len(load("brain", patients=np.int64(10)).train) == 7


@pytest.mark.parametrize("kind", ["brain", "chest"])
def test_built_in_volumes_are_made_once_and_kept(data, monkeypatch, kind):
    make = getattr(phantoms, f"{kind}_patient")
    case = load(kind, seed=5).train[3]
    made = make(3, seed=5)
    np.testing.assert_array_equal(images.array(case.image()), images.array(made.image))
    np.testing.assert_array_equal(images.array(case.labels()), images.array(made.labels))
    images.check_same_grid(case.image(), made.labels)
    assert set(np.unique(images.array(case.labels()))) <= set(load(kind).label_names)
    monkeypatch.setattr(phantoms, f"{kind}_patient", None)  # from here on only what is kept can be read
    np.testing.assert_array_equal(images.array(load(kind, seed=5).train[3].image()), images.array(made.image))
    kept = sorted(path.name for path in (data / "built-in").rglob("*.mha"))
    assert kept == [f"{kind}-0003-image.mha", f"{kind}-0003-labels.mha"]


def quick_patient(index: int, seed: int = 0) -> SimpleNamespace:
    """In place of a phantom, which takes a second."""
    image = volume(1000 * seed + index)
    return SimpleNamespace(image=image, labels=label_map(index, image))


def test_another_seed_is_another_patient(data, monkeypatch):
    monkeypatch.setattr(phantoms, "brain_patient", quick_patient)
    first, second, again = (images.array(load("brain", seed=seed).train[0].image()) for seed in (0, 1, 0))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_several_processes_make_the_same_patients(data):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        first, second = pool.map(_volumes, [str(data)] * 2)
    np.testing.assert_array_equal(first, second)
    names = [path.name for path in (data / "built-in").rglob("*.mha")]
    assert len(names) == 2 * 28
    assert not [name for name in names if name.startswith(".")]  # nothing half-written


def _volumes(folder: str) -> np.ndarray:
    os.environ["MEDLAB_DATA"] = folder
    phantoms.brain_patient = quick_patient
    return np.stack([images.array(case.image()) for case in load("brain").train])


def test_a_patient_that_was_half_made_is_made_again(data, monkeypatch):
    monkeypatch.setattr(phantoms, "brain_patient", quick_patient)
    case = load("brain").train[0]
    before = images.array(case.image())
    (labels,) = (data / "built-in").rglob("*-labels.mha")
    labels.unlink()
    np.testing.assert_array_equal(images.array(case.image()), before)
    assert labels.exists()


def test_built_in_signals_have_beats_and_classes():
    cohort = load("ecg", patients=10)
    case = cohort.train[0]
    record, beats = case.record(), case.target
    np.testing.assert_array_equal(beats.samples, record.beat_samples)
    assert set(beats.classes) <= set(cohort.label_names)
    assert {"N": 0, "S": 1, "V": 2}[beats.symbols[0]] == beats.classes[0]
    assert case.labels() is None


# --- Real data ---


def test_the_hippocampus_subset_is_whole_and_clean(mirror, monkeypatch, data):
    monkeypatch.setenv("MEDLAB_MIRROR", str(mirror))
    cohort = load("msd-hippocampus")
    assert len(cohort.cases) == 200
    assert all(len(cohort.part(part)) >= 15 for part in ("train", "validation", "test"))
    assert cohort.check() == []
    for name in ("hippocampus_003", "hippocampus_243"):  # stored as float32
        assert case_named(cohort, name).labels().GetPixelID() == sitk.sitkUInt8


@pytest.fixture
def part_of_the_hippocampus(mirror, data) -> Path:
    """Cases 001, 003 and 011 of the real set in a data folder of their own."""
    folder = data / "Task04_Hippocampus"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
        for number in ("001", "003", "011"):
            shutil.copy(mirror / f"Task04_Hippocampus/{part}/hippocampus_{number}.nii.gz", folder / part)
    return folder


def test_an_image_that_came_without_labels_is_named(mirror, part_of_the_hippocampus):
    shutil.copy(mirror / "Task04_Hippocampus_odd/images/hippocampus_118.nii.gz", part_of_the_hippocampus / "imagesTr")
    assert "imagesTr/hippocampus_118.nii.gz has no labels" in refused("msd-hippocampus", FileNotFoundError)


def test_labels_copied_from_another_case_are_named_with_it(mirror, part_of_the_hippocampus):
    shutil.copy(mirror / "Task04_Hippocampus_odd/labels/hippocampus_010.nii.gz", part_of_the_hippocampus / "labelsTr")
    assert "labelsTr/hippocampus_010.nii.gz has no image" in refused("msd-hippocampus", FileNotFoundError)
    image = images.read(part_of_the_hippocampus / "imagesTr/hippocampus_011.nii.gz")
    images.write(image + 1, part_of_the_hippocampus / "imagesTr/hippocampus_010.nii.gz")
    said = refused("msd-hippocampus")
    assert "are the same file in two cases" in said
    assert "labelsTr/hippocampus_010.nii.gz" in said
    assert "labelsTr/hippocampus_011.nii.gz" in said


def test_an_organ_mask_in_place_of_a_hippocampus_is_named(mirror, part_of_the_hippocampus):
    shutil.copy(mirror / "Task04_Hippocampus_odd/labels/hippocampus_281.nii.gz", part_of_the_hippocampus / "labelsTr")
    shutil.copy(
        mirror / "Task04_Hippocampus_odd/images/hippocampus_118.nii.gz",
        part_of_the_hippocampus / "imagesTr/hippocampus_281.nii.gz",
    )
    (problem,) = load("msd-hippocampus").check()
    assert re.search(
        r"imagesTr/hippocampus_281\.nii\.gz and .*labelsTr/hippocampus_281\.nii\.gz lie on different grids: "
        r"size \(37, 52, 33\) and \(512, 512, 94\) voxels \(x, y, z\); spacing \(1, 1, 1\) and \(0\.73",
        problem,
    )


def test_the_odd_files_by_themselves_are_refused(mirror, monkeypatch, data):
    monkeypatch.setenv("MEDLAB_MIRROR", str(mirror))
    said = refused("hippocampus-odd", FileNotFoundError)
    assert "images/hippocampus_118.nii.gz has no labels" in said
    assert "labels/hippocampus_010.nii.gz has no image" in said
    assert "labels/hippocampus_281.nii.gz has no image" in said


def test_the_chest_ct_is_one_case_without_labels(mirror, monkeypatch, data):
    monkeypatch.setenv("MEDLAB_MIRROR", str(mirror))
    cohort = load("cptac-lscc-ct")
    (case,) = cohort.train
    assert case.image().GetSize() == (512, 512, 40)
    assert case.labels() is None
    assert (case.patient, cohort.task, len(case.files)) == ("C3N-00247", "none", 40)


def test_the_head_ct_is_in_no_part_and_says_why(mirror, monkeypatch, data):
    monkeypatch.setenv("MEDLAB_MIRROR", str(mirror))
    cohort = load("ct-head-irregular")
    assert cohort.cases == []
    (problem,) = cohort.check()
    assert "CT_head_irregular/dicom: the slices are not a regular stack: gantry tilt of 18.5 degrees" in problem


def test_ct_and_mr_structures_are_numbered_alike(mirror, monkeypatch, data):
    monkeypatch.setenv("MEDLAB_MIRROR", str(mirror))
    cohort = load("totalsegmentator-example")
    assert [(case.name, case.patient) for case in cohort.train] == [
        ("ct", "ct"),
        ("ct_small", "ct"),
        ("mr_small", "mr"),
    ]
    assert cohort.test == []
    counts = [len(np.unique(images.array(case.labels()))) - 1 for case in cohort.train]
    assert counts == [61, 41, 23]
    listed = json.loads((mirror / "TotalSegmentator_example/labels.json").read_text())["mr"]
    stored = images.array(images.read(mirror / "TotalSegmentator_example/mr_small_seg.nii.gz"))
    made = images.array(cohort.train[2].labels())
    for value in np.unique(stored)[1:]:
        assert {cohort.label_names[int(number)] for number in np.unique(made[stored == value])} == {listed[str(value)]}
    assert cohort.check() == []
