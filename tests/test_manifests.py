"""The manifests: every one is valid, its facts are those that were collected, its split is by patient and stable."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from medlab import manifests
from medlab.manifests import reading

MIRROR = Path(os.environ.get("MEDLAB_MIRROR", "") or "/nonexistent")
needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="MEDLAB_MIRROR names no folder with data sets")
needs_facts = pytest.mark.skipif(
    not (MIRROR / "manifest-facts.md").is_file(), reason="MEDLAB_MIRROR has no manifest-facts.md to compare with"
)
MSD = {
    "msd-brain-tumour", "msd-heart", "msd-liver", "msd-hippocampus", "msd-prostate",
    "msd-lung", "msd-pancreas", "msd-hepatic-vessel", "msd-spleen", "msd-colon",
}  # fmt: skip
MEDMNIST_2D = {
    "pathmnist", "chestmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist",
    "breastmnist", "bloodmnist", "tissuemnist", "organamnist", "organcmnist", "organsmnist",
}  # fmt: skip
MEDMNIST_3D = {
    "organmnist3d", "nodulemnist3d", "adrenalmnist3d", "fracturemnist3d", "vesselmnist3d", "synapsemnist3d"
}  # fmt: skip
OTHERS = {
    "mitdb", "chase-db1", "nuclei", "sunnybrook", "montgomery", "luna16", "ixi", "bccd",
    "totalsegmentator-example", "cptac-lscc-ct", "ct-head-irregular", "hippocampus-odd",
}  # fmt: skip


# ---------------------------------------------------------------- the manifests that come with medlab


def test_every_promised_set_has_a_manifest():
    assert set(manifests.names()) == MSD | MEDMNIST_2D | MEDMNIST_3D | OTHERS


@pytest.mark.parametrize("name", manifests.names())
def test_a_manifest_is_valid_and_says_what_one_must_know(name):
    manifest = manifests.get(name)
    assert manifest.citations
    assert manifest.licence.address or manifest.licence.note
    assert all(re.search("[a-z]", text) for text in (manifest.shows, manifest.layout, manifest.split.source))
    for file in manifest.files:
        assert file.checksum[0], f"{file.name} has no checksum"


@pytest.mark.parametrize("name", manifests.names())
def test_a_description_holds_licence_split_and_every_oddity(name):
    manifest, text = manifests.get(name), manifests.describe(name)
    assert str(manifest.licence) in text
    assert manifest.split.source in text
    assert all(oddity in text for oddity in manifest.oddities)


def test_unknown_facts_are_shown_as_unknown():
    assert "licence    licence unknown\n           No licence text was seen" in manifests.describe("montgomery")
    assert "CHASEDB1.zip, size unknown, md5 d9e47c4bac125b29996fae4380a68db1" in manifests.describe("chase-db1")
    rows = {row["name"]: row for row in manifests.table()}
    assert rows["montgomery"]["licence"] == "unknown"
    assert rows["msd-prostate"]["size"] == "unknown"
    assert rows["mitdb"]["size"] == "over 93.6 MB"  # 48 signal files of 1,950,000 bytes; the small ones are not known
    assert rows["bccd"]["size"] == "-"


def test_the_hippocampus_archive_is_the_known_one():
    (file,) = manifests.get("msd-hippocampus").files
    assert file.bytes == 28_425_216
    assert file.checksum == ("sha256", "282d808a3e84e5a52f090d9dd4c0b0057b94a6bd51ad41569aef5ff303287771")
    assert file.md5 == "9d24dba78a72977dbd1d2e110310f31b"


@pytest.mark.parametrize("name", sorted(MSD))
def test_msd_archives_come_from_both_buckets(name):
    (file,) = manifests.get(name).files
    assert [address.rpartition("/")[0] for address in file.addresses] == [
        "https://msd-for-monai.s3-us-west-2.amazonaws.com",
        "https://msd-for-monai-eu.s3.eu-west-2.amazonaws.com",
    ]
    assert all(address.endswith(f"/{file.name}") for address in file.addresses)
    assert manifests.get(name).licence.spdx == "CC-BY-SA-4.0"


@pytest.mark.parametrize("name", sorted(MEDMNIST_2D | MEDMNIST_3D))
def test_medmnist_has_every_size_and_its_licence(name):
    manifest = manifests.get(name)
    assert manifest.parts() == (["28", "64"] if name in MEDMNIST_3D else ["28", "64", "128", "224"])
    assert [file.name for file in manifest.files_of(64)] == [f"{name}_64.npz"]
    assert [file.name for file in manifest.files_of()] == [f"{name}.npz"]
    assert manifest.licence.spdx == ("CC-BY-NC-4.0" if name == "dermamnist" else "CC-BY-4.0")


@needs_facts
@pytest.mark.parametrize("name", sorted(MSD | MEDMNIST_2D | MEDMNIST_3D | {"luna16", "ixi", "chase-db1", "montgomery"}))
def test_facts_are_those_that_were_collected(name):
    facts = (MIRROR / "manifest-facts.md").read_text(encoding="utf-8")
    for file in manifests.get(name).files:
        lines = [line for line in facts.splitlines() if f"| {file.name} " in line or f"`{file.name}`" in line]
        told = "\n".join(lines)
        stated = [file.md5, file.sha256, f"{file.bytes:,}" if file.bytes else "", file.addresses[0]]
        assert all(fact in told for fact in stated), f"{file.name}: {stated}"
        empty = not re.search(r"\| [\d,]{6,} \|", told)
        assert empty == (file.bytes == 0), f"{file.name}: bytes"


@needs_mirror
def test_mitdb_checksums_are_those_of_physionet():
    lines = (MIRROR / "mitdb" / "SHA256SUMS.physionet.txt").read_text(encoding="utf-8").splitlines()
    official = {name: digest for digest, name in (line.split() for line in lines)}
    files = manifests.get("mitdb").files
    assert len(files) == 48 * 3 + 1
    assert all(official[file.name] == file.sha256 for file in files)


# ---------------------------------------------------------------- patients and splits


@pytest.mark.parametrize(
    ("name", "file", "patient"),
    [
        ("msd-hippocampus", "imagesTr/hippocampus_001.nii.gz", "hippocampus_001"),
        ("msd-brain-tumour", "labelsTr/BRATS_017.nii.gz", "BRATS_017"),
        ("mitdb", "100.atr", "100"),
        ("mitdb", "207", "207"),
        ("chase-db1", "labels/Image_07R_1stHO.png", "07"),
        ("sunnybrook", "images/SC-HF-NI-03-IM-0001-0048.png", "SC-HF-NI-03"),
        ("sunnybrook", "SC-HF-I-40-IM-0001-0048.png", "SC-HF-I-40"),
        ("bccd", "Annotations/BloodImage_00338.xml", "BloodImage_00338"),
        ("totalsegmentator-example", "ct_small_seg.nii.gz", "ct"),
        ("cptac-lscc-ct", "dicom/000000.dcm", "C3N-00247"),
        ("luna16", "subset3/1.3.6.1.4.1.14519.5.2.1.mhd", "subset3/1.3.6.1.4.1.14519.5.2.1"),
        ("ixi", "T1/IXI002-Guys-0828-T1.nii.gz", "IXI002"),
        ("montgomery", "CXR_png/MCUCXR_0104_1.png", "MCUCXR_0104"),
        ("pneumoniamnist", "validation-00017", "validation-00017"),
    ],
)
def test_the_patient_is_recognised_in_a_file_name(name, file, patient):
    assert manifests.get(name).patient_of(file) == patient
    assert manifests.get(name).patient_of(Path("/some_7/folder") / file) == patient


def test_a_file_name_without_a_patient_is_refused():
    with pytest.raises(ValueError, match=r"chase-db1: no patient can be recognised in the file name 'notes\.txt'"):
        manifests.get("chase-db1").patient_of("notes.txt")


@pytest.mark.parametrize("name", manifests.names())
def test_no_patient_is_in_two_parts(name):
    lists = manifests.get(name).split.lists
    patients = [patient for part in lists.values() for patient in part]
    assert len(patients) == len(set(patients))
    for part, listed in lists.items():
        for patient in listed:
            if not set("*[") & set(patient):
                assert manifests.get(name).split_of(patient) == (None if part == "excluded" else part)


def test_the_hash_split_keeps_its_shares_and_never_changes():
    split_of = manifests.get("msd-hippocampus").split_of
    counts = Counter(split_of(f"hippocampus_{number:03}") for number in range(10_000))
    assert {part: round(count / 100) for part, count in counts.items()} == {"train": 70, "validation": 10, "test": 20}
    first = {f"hippocampus_{number:03}": split_of(f"hippocampus_{number:03}") for number in (1, 3, 4, 6, 7, 8, 11, 14)}
    assert list(first.values()) == ["test", "validation", *["train"] * 6]  # written down: a changed hash is noticed


def test_the_hash_split_is_the_rule_that_is_stated():
    digest = hashlib.sha256(b"msd-spleen/spleen_2").digest()
    percent = int.from_bytes(digest[:6], "big") / 2**48 * 100
    expected = "train" if percent < 70 else "validation" if percent < 80 else "test"
    assert manifests.get("msd-spleen").split_of("spleen_2") == expected


def test_the_ecg_split_is_de_chazal_s_without_paced_records_and_without_the_person_in_both():
    split_of = manifests.get("mitdb").split_of
    assert {record for record in ("102", "104", "107", "217", "201") if split_of(record) is None} == {
        "102", "104", "107", "217", "201"
    }  # fmt: skip
    records = [file.name.removesuffix(".dat") for file in manifests.get("mitdb").files if file.name.endswith(".dat")]
    assert Counter(split_of(record) for record in records) == {"train": 17, "validation": 4, "test": 22, None: 5}
    assert {split_of(record) for record in ("100", "202", "231", "234")} == {"test"}


def test_children_keep_both_eyes_in_one_part():
    split_of = manifests.get("chase-db1").split_of
    assert [split_of(f"{child:02}") for child in (1, 8, 9, 10, 11, 14)] == [
        "train", "train", "validation", "validation", "test", "test"
    ]  # fmt: skip


def test_a_patient_that_no_list_knows_is_an_error():
    with pytest.raises(ValueError, match=r"sunnybrook: patient 'SC-N-99' is in no part of the split \(that of"):
        manifests.get("sunnybrook").split_of("SC-N-99")


# ---------------------------------------------------------------- errors


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="no data set is called 'msd-hipocampus'; nearest: msd-hippocampus"):
        manifests.get("msd-hipocampus")


@pytest.mark.parametrize("name", ["../pyproject", "", "MSD-SPLEEN"])
def test_only_names_of_manifests_are_names(name):
    with pytest.raises(ValueError, match="no data set is called"):
        manifests.get(name)


def test_a_part_of_a_set_without_parts_is_refused():
    with pytest.raises(ValueError, match="msd-spleen comes in one part, so part must be left out, got 64"):
        manifests.get("msd-spleen").files_of(64)


SPLEEN = (manifests.manifest_folder() / "msd-spleen.toml").read_text(encoding="utf-8")
WRONG = {
    "no TOML": ("name = ", "name ", "msd-spleen.toml is not valid TOML: "),
    "another name": ('"msd-spleen"', '"spleen"', "must be the name of the file, 'msd-spleen', got 'spleen'"),
    "modality": ('"CT"', '"CTT"', 'field "modality" must be one of MR, CT, CT and MR, .*, got \'CTT\''),
    "cohort": ('alternative = "chest"', 'alternative = "lung"', "must be one of brain, chest, ecg, got 'lung'"),
    "folder": ('"Task09_Spleen"', '"../Spleen"', 'field "folder" must be the name of one folder'),
    "missing": ("anatomy = ", "anatom = ", 'msd-spleen.toml: field "anatomy" must be a text, got nothing'),
    "misspelt": ("oddities", "odities", 'unknown field "odities", did you mean "oddities"'),
    "number": ("cases = 41", 'cases = "41"', 'field "cases" must be a whole number, at least 0 .*, got \'41\''),
    "true": ("cases = 41", "cases = true", 'field "cases" must be a whole number, at least 0'),
    "address": ("https://msd-for-monai-eu", "ftp://msd", r"\[\[files\]\] entry 1 \(Task09_Spleen\.tar\): field"),
    "checksum": ('sha256 = "dfeb', 'sha256 = "dfe', r"Spleen\.tar\): field .sha256. must be 64 hexadecimal digits"),
    "unpack": ('unpack = "tar"', 'unpack = "rar"', "field \"unpack\" must be one of none, tar, zip, got 'rar'"),
    "label": ('1 = "spleen"', 'one = "spleen"', r'\[label_names\]: "one" must be a label, a whole number'),
    "shares": ("test = 20", "test = 25", 'field "shares" must be percentages .* that sum to 100'),
    "pattern": ("(?P<patient>", "(?P<name>", r"must be a regular expression with the group \(\?P<patient>"),
    "expression": ("(?P<patient>", "((?P<patient>", r'field "pattern" must be a regular expression \(missing \)'),
    "doi": ('doi = "10.', 'doi = "https://doi.org/10.', r"\[\[citations\]\] entry 1 .*field .doi. must be a DOI"),
    "part": ('unpack = "tar"', 'unpack = "tar"\npart = "1"', 'field "part" must be left out'),
    "twice": (
        "shares = {", 'train = ["spleen_2"]\ntest = ["spleen_2"]\nshares = {', r"'spleen_2' is in train and in test"
    ),
    "licence": ('spdx = "CC-BY-SA-4.0"', 'spdx = ""', r'\[licence\]: field "note" must be a text that says what'),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_manifest_is_refused_by_file_entry_and_field(tmp_path, case):
    before, after, message = WRONG[case]
    assert before in SPLEEN
    (tmp_path / "msd-spleen.toml").write_text(SPLEEN.replace(before, after), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        manifests.read(tmp_path / "msd-spleen.toml")
    assert str(error.value).startswith("msd-spleen.toml")


# ---------------------------------------------------------------- on this machine


def test_the_data_folder_is_the_user_s_choice_or_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path / "here"))
    assert manifests.data_folder() == tmp_path / "here"
    monkeypatch.delenv("MEDLAB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert manifests.data_folder().name == "medlab"
    assert tmp_path in manifests.data_folder().parents


def test_importing_the_module_loads_nothing_heavy():
    heavy = {"torch", "SimpleITK", "requests", "numpy"}
    code = f"import sys, medlab.manifests as m; m.table(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@needs_mirror
@pytest.mark.parametrize(
    ("name", "files", "note"),
    [
        ("msd-hippocampus", 401, "200 of 260 cases, a part of the set"),
        ("mitdb", 53, "17 of 48 cases, a part of the set"),
        ("chase-db1", 56, "28 of 28 cases"),
        ("sunnybrook", 1611, "805 of 805 cases"),
        ("bccd", 733, "364 of 364 cases"),
        ("nuclei", 371, None),
        ("pneumoniamnist", 1, None),
        ("breastmnist", 1, None),
        ("adrenalmnist3d", 2, None),
        ("totalsegmentator-example", 8, "3 of 3 cases"),
        ("cptac-lscc-ct", 40, "40 of 40 cases"),
        ("ct-head-irregular", 10, "9 of 9 cases"),
        ("hippocampus-odd", 3, "2 of 2 cases"),
    ],
)
def test_the_mirror_s_copy_is_found_and_sound(name, files, note):
    assert manifests.locate(name) == MIRROR / manifests.get(name).folder
    audit = manifests.verify(name)
    assert audit.problems == []
    assert audit.files == files
    assert audit.notes == ([note] if note else [])


@needs_mirror
@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("msd-hippocampus", "*/*.nii.gz"), ("mitdb", "[0-9]*"), ("chase-db1", "*/*.*g"), ("sunnybrook", "*/*.png"),
        ("bccd", "*/Blood*"), ("nuclei", "*/*/*.png"), ("totalsegmentator-example", "*.nii.gz"),
    ],
)  # fmt: skip
def test_every_file_of_the_mirror_s_copy_has_a_patient_in_the_split(name, pattern):
    manifest, folder = manifests.get(name), manifests.locate(name)
    patients = {manifest.patient_of(path.relative_to(folder)) for path in folder.glob(pattern)}
    parts = Counter(manifest.split_of(patient) for patient in patients)
    assert parts["train"] >= parts["test"] / 2
    assert min(parts["validation"], parts["test"]) > 0 or name == "totalsegmentator-example"


@needs_mirror
def test_the_split_agrees_with_the_lists_that_come_with_the_data():
    lists = MIRROR / "BCCD" / "ImageSets" / "Main"
    for listed, part in (("train", "train"), ("val", "validation"), ("test", "test")):
        names = (lists / f"{listed}.txt").read_text(encoding="utf-8").split()
        assert {manifests.get("bccd").split_of(name) for name in names} == {part}
    for path in (MIRROR / "BBBC038_nuclei" / "test" / "images").iterdir():
        assert manifests.get("nuclei").split_of(manifests.get("nuclei").patient_of(path)) == "test"
    for path in (MIRROR / "BBBC038_nuclei" / "train" / "images").iterdir():
        assert manifests.get("nuclei").split_of(manifests.get("nuclei").patient_of(path)) != "test"


def test_manifests_of_an_installed_package_lie_inside_it(monkeypatch, tmp_path):
    inside = tmp_path / "site-packages" / "medlab" / "manifests" / "reading.py"
    monkeypatch.setattr(reading, "__file__", str(inside))
    assert reading.manifest_folder() == tmp_path / "site-packages" / "data_manifests"
    (tmp_path / "site-packages" / "medlab" / "data_manifests").mkdir(parents=True)
    assert reading.manifest_folder() == tmp_path / "site-packages" / "medlab" / "data_manifests"
