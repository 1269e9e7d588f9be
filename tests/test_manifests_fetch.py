"""Fetching against a real HTTP server on loopback, and what is left on the disk when it goes wrong."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from http_server import Site, serving

from medlab import manifests
from medlab.manifests import download, reading

CASES = {f"{kind}/case_{number:03}.nii.gz": os.urandom(700) for kind in ("imagesTr", "labelsTr") for number in range(3)}
HEAD = """
name = "{name}"
title = "A set"
shows = "nothing"
modality = "MR"
anatomy = "brain"
task = "segmentation"
homepage = "http://example.org"
folder = "{folder}"
layout = "imagesTr, labelsTr"
alternative = "brain"
licence = {{ spdx = "CC-BY-4.0", address = "https://example.org/licence" }}
patient = {{ pattern = '(?P<patient>case_\\d+)' }}
split = {{ source = "hash", shares = {{ train = 70, validation = 10, test = 20 }} }}
"""


def tar(members: dict[str, bytes] | list[tarfile.TarInfo], top: str = "Task99_Thing/") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        if isinstance(members, dict):
            for name, content in members.items():
                info = tarfile.TarInfo(top + name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        else:
            for info in members:
                archive.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


GOOD = tar({**CASES, "imagesTr/._case_000.nii.gz": b"mac", "dataset.json": b"{}"})


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        yield served


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A data folder and a folder of manifests of the test's own, no mirror, and no pauses."""
    (tmp_path / "manifests").mkdir()
    monkeypatch.setattr(reading, "manifest_folder", lambda: tmp_path / "manifests")
    monkeypatch.setattr(download, "RETRY_WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(download, "CHUNK_BYTES", 100)  # what a broken line loses at most
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MEDLAB_MIRROR", raising=False)
    return SimpleNamespace(data=tmp_path / "data", manifests=tmp_path / "manifests", root=tmp_path)


def archive_manifest(
    world: SimpleNamespace, *addresses: str, content: bytes = GOOD, kind: str = "tar", **facts: object
) -> None:
    facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **facts}
    lines = [HEAD.format(name="thing", folder="Task99_Thing"), 'holds = "labelsTr/*.nii.gz"', "[[files]]"]
    lines += [f'name = "Task99_Thing.{kind}"', f"addresses = {list(addresses)}", f'unpack = "{kind}"']
    lines += ['holds = "labelsTr/*.nii.gz"', *(f"{key} = {value!r}" for key, value in facts.items() if value)]
    (world.manifests / "thing.toml").write_text("\n".join(lines))


def loose_manifest(world: SimpleNamespace, site: Site, name: str, parts: dict[str, bytes]) -> None:
    """A set of loose files in several parts, in a folder that it shares with others."""
    lines = [HEAD.format(name=name, folder="shared"), 'parts = { called = "size", default = "28" }']
    for part, content in parts.items():
        lines += ["[[files]]", f'name = "{name}_{part}.npz"', f'addresses = ["{site.address}/{name}_{part}.npz"]']
        lines += [f'part = "{part}"', f'md5 = "{hashlib.md5(content).hexdigest()}"']
        site.files[f"/{name}_{part}.npz"] = content
    (world.manifests / f"{name}.toml").write_text("\n".join(lines))


def left_in(folder: Path) -> list[str]:
    """What lies in the data folder, lock files aside."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.name.endswith(".lock"))


def assert_whole(folder: Path) -> None:
    for name, content in CASES.items():
        assert (folder / name).read_bytes() == content
    assert not list(folder.rglob("._*"))
    assert manifests.verify("thing").problems == []


# ---------------------------------------------------------------- downloads


def test_a_set_is_downloaded_unpacked_and_recorded(world, site, capsys):
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    folder = manifests.locate("thing")
    assert folder == world.data / "Task99_Thing"
    assert_whole(folder)
    assert set(left_in(world.data)) == {
        "Task99_Thing", "Task99_Thing/SHA256SUMS", "Task99_Thing/dataset.json",
        "Task99_Thing/imagesTr", "Task99_Thing/labelsTr", *(f"Task99_Thing/{name}" for name in CASES),
    }  # fmt: skip
    shown = capsys.readouterr().err
    assert "A set. Licence: CC-BY-4.0 (https://example.org/licence)" in shown
    assert "thing: 100%" in shown
    assert "B/s" in shown


def test_the_bar_ends_at_all_bytes_though_the_line_broke_and_nobody_knew_the_size(world, site, capsys):
    site.files["/t.tar"] = GOOD
    site.break_after["/t.tar"] = [5000, 5000]
    archive_manifest(world, f"{site.address}/t.tar", bytes=0)
    manifests.fetch("thing")
    assert "100%|██████████| 20.5k/20.5k" in capsys.readouterr().err


def test_a_set_that_is_there_is_not_asked_for_again(world, site):
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    manifests.fetch("thing", progress=False)
    manifests.fetch("thing", progress=False)
    assert len(site.requests) == 1
    manifests.fetch("thing", progress=False, force=True)
    assert len(site.requests) == 2
    assert_whole(world.data / "Task99_Thing")


def test_no_bar_without_progress(world, site, capsys):
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    manifests.fetch("thing", progress=False)
    assert capsys.readouterr().err == "A set. Licence: CC-BY-4.0 (https://example.org/licence)\n"


def test_a_download_that_breaks_off_is_resumed_where_it_broke(world, site):
    site.files["/t.tar"] = GOOD
    site.break_after["/t.tar"] = [len(GOOD) // 2, 1000]
    archive_manifest(world, f"{site.address}/t.tar")
    assert_whole(manifests.fetch("thing", progress=False))
    first, second, third = site.ranges("/t.tar")
    assert first == ""
    assert len(GOOD) // 2 - 100 <= int(second.removeprefix("bytes=").removesuffix("-")) <= len(GOOD) // 2
    assert int(third.removeprefix("bytes=").removesuffix("-")) > int(second.removeprefix("bytes=").removesuffix("-"))


def test_a_line_that_breaks_often_is_no_failure_as_long_as_bytes_come(world, site):
    site.files["/t.tar"] = GOOD
    site.break_after["/t.tar"] = [2000] * 8
    archive_manifest(world, f"{site.address}/t.tar")
    assert_whole(manifests.fetch("thing", progress=False))
    assert len(site.requests) == 9


def test_a_later_call_resumes_what_an_earlier_one_left(world, site):
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    world.data.mkdir()
    (world.data / "Task99_Thing.tar.part").write_bytes(GOOD[:5000])
    assert_whole(manifests.fetch("thing", progress=False))
    assert site.ranges("/t.tar") == ["bytes=5000-"]
    assert "Task99_Thing.tar.part" not in left_in(world.data)


def test_a_whole_part_file_needs_no_download(world, site):
    archive_manifest(world, f"{site.address}/t.tar")
    world.data.mkdir()
    (world.data / "Task99_Thing.tar.part").write_bytes(GOOD)
    assert_whole(manifests.fetch("thing", progress=False))
    assert site.requests == []


def test_a_whole_part_file_of_unknown_size_is_recognised_by_the_server_s_answer(world, site):
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar", bytes=0)
    world.data.mkdir()
    (world.data / "Task99_Thing.tar.part").write_bytes(GOOD)
    assert_whole(manifests.fetch("thing", progress=False))
    assert site.ranges("/t.tar") == [f"bytes={len(GOOD)}-"]


def test_a_part_file_of_another_version_is_thrown_away_and_fetched_anew(world, site):
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    world.data.mkdir()
    (world.data / "Task99_Thing.tar.part").write_bytes(b"old" * 1000)
    assert_whole(manifests.fetch("thing", progress=False))
    assert site.ranges("/t.tar") == ["bytes=3000-", ""]


def test_a_page_that_comes_instead_of_the_file_does_not_cost_what_was_received(world, site):
    site.files["/t.tar"] = b"<html>please log in</html>"
    site.ignore_range = True
    archive_manifest(world, f"{site.address}/t.tar")
    world.data.mkdir()
    (world.data / "Task99_Thing.tar.part").write_bytes(GOOD[:5000])
    with pytest.raises(FileNotFoundError, match="offers 26 bytes where 20,480 are expected; nothing of it was kept"):
        manifests.fetch("thing", progress=False)
    assert (world.data / "Task99_Thing.tar.part").read_bytes() == GOOD[:5000]


def test_a_server_that_ignores_range_is_taken_from_the_start(world, site):
    site.files["/t.tar"] = GOOD
    site.ignore_range = True
    site.break_after["/t.tar"] = [len(GOOD) - 500]
    archive_manifest(world, f"{site.address}/t.tar")
    assert_whole(manifests.fetch("thing", progress=False))
    assert [bool(header) for header in site.ranges("/t.tar")] == [False, True]


def test_a_server_that_does_not_say_how_long_a_file_is(world, site):
    site.files["/t.tar"] = GOOD
    site.say_length = False
    archive_manifest(world, f"{site.address}/t.tar", bytes=0)
    assert_whole(manifests.fetch("thing", progress=False))


def test_a_server_that_breaks_off_without_having_said_how_long_a_file_is(world, site):
    site.files["/t.tar"] = GOOD
    site.say_length = False
    site.break_after["/t.tar"] = [5000]
    archive_manifest(world, f"{site.address}/t.tar")
    assert_whole(manifests.fetch("thing", progress=False))
    assert site.ranges("/t.tar") == ["", "bytes=5000-"]


def test_a_redirect_is_followed(world, site):
    site.files["/real.tar"] = GOOD
    site.redirects["/t.tar"] = "/real.tar"
    archive_manifest(world, f"{site.address}/t.tar")
    assert_whole(manifests.fetch("thing", progress=False))


def test_a_busy_server_is_asked_again(world, site):
    site.files["/t.tar"] = GOOD
    site.statuses["/t.tar"] = [503, 503, 429]
    archive_manifest(world, f"{site.address}/t.tar")
    assert_whole(manifests.fetch("thing", progress=False))
    assert len(site.requests) == 4


def test_a_server_that_stays_busy_is_given_up(world, site):
    site.statuses["/t.tar"] = [503] * 10
    archive_manifest(world, f"{site.address}/t.tar")
    with pytest.raises(FileNotFoundError, match=r"/t\.tar: HTTP 503 Service Unavailable; gave up after 4 attempts"):
        manifests.fetch("thing", progress=False)
    assert len(site.requests) == 4


def test_a_server_that_hangs_is_asked_again(world, site, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", (5.0, 0.1))
    site.hold["/t.tar"] = threading.Event()
    archive_manifest(world, f"{site.address}/t.tar")
    with pytest.raises(FileNotFoundError, match=r"no answer within 0\.1 s; gave up after 4 attempts"):
        manifests.fetch("thing", progress=False)
    assert len(site.requests) == 4


def test_the_next_address_is_tried_where_one_fails(world, site):
    site.files["/good.tar"] = GOOD
    site.files["/wrong.tar"] = b"x" * len(GOOD)
    nobody = "http://127.0.0.1:1/t.tar"
    archive_manifest(world, nobody, f"{site.address}/gone.tar", f"{site.address}/wrong.tar", f"{site.address}/good.tar")
    assert_whole(manifests.fetch("thing", progress=False))
    assert [path for path, _ in site.requests] == ["/gone.tar", "/wrong.tar", "/good.tar"]


def test_data_that_are_nowhere_are_named_with_all_that_helps(world, site, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", str(world.root / "mirror"))
    archive_manifest(world, f"{site.address}/gone.tar", "http://127.0.0.1:1/t.tar")
    with pytest.raises(FileNotFoundError) as error:
        manifests.locate("thing")
    assert str(error.value).splitlines() == [
        "thing is not on this machine and could not be fetched.",
        "Looked in:",
        f"  data folder: {world.data}/Task99_Thing",
        f"  MEDLAB_MIRROR: {world.root}/mirror/Task99_Thing",
        f"  {site.address}/gone.tar: HTTP 404 Not Found",
        "  http://127.0.0.1:1/t.tar: cannot be reached",
        "By hand:",
        f"  download {site.address}/gone.tar ({len(GOOD) / 1000:.1f} kB)",
        f"    and put it at {world.data}/Task99_Thing.tar",
        "  Leave it packed: it is checked and unpacked the next time.",
        'Without it: medlab.load("brain") is built in and serves the same lesson.',
    ]
    assert left_in(world.data) == []


def test_a_set_without_a_download_says_how_to_get_it(world, capsys):
    text = HEAD.format(name="odd", folder="Odd") + 'holds = "dicom/*.dcm"\nby_hand = "Ask the owner."'
    (world.manifests / "odd.toml").write_text(text)
    with pytest.raises(FileNotFoundError) as error:
        manifests.locate("odd")
    assert str(error.value).splitlines()[4:8] == [
        "  official address: no simple download is known",
        "By hand:",
        "  Ask the owner.",
        f"  The data belong into {world.data}/Odd (imagesTr, labelsTr).",
    ]
    assert capsys.readouterr().err == ""


def test_what_broke_off_for_good_is_kept_and_named(world, site):
    site.files["/t.tar"] = GOOD
    site.break_after["/t.tar"] = [4096] + [0] * 10
    archive_manifest(world, f"{site.address}/t.tar")
    with pytest.raises(FileNotFoundError) as error:
        manifests.fetch("thing", progress=False)
    part = world.data / "Task99_Thing.tar.part"
    assert part.read_bytes() in (GOOD[:4000], GOOD[:4096])  # up to the last whole chunk, or all
    assert f"bytes received are kept in {part}: the next try resumes there" in str(error.value)
    site.break_after.clear()
    assert_whole(manifests.fetch("thing", progress=False))


# ---------------------------------------------------------------- wrong files


def test_a_wrong_checksum_is_refused_and_nothing_is_left(world, site):
    wrong = GOOD[:-1] + b"x"
    site.files["/t.tar"] = wrong
    archive_manifest(world, f"{site.address}/t.tar")
    with pytest.raises(FileNotFoundError) as error:
        manifests.fetch("thing", progress=False)
    expected, got = hashlib.sha256(GOOD).hexdigest(), hashlib.sha256(wrong).hexdigest()
    assert f"/t.tar: wrong sha256: expected {expected}, got {got}; the download was deleted" in str(error.value)
    assert left_in(world.data) == []


def test_md5_is_compared_where_there_is_no_sha256(world, site):
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar", sha256="", md5="0" * 32)
    with pytest.raises(FileNotFoundError, match=f"wrong md5: expected {'0' * 32}, got"):
        manifests.fetch("thing", progress=False)
    assert left_in(world.data) == []


@pytest.mark.parametrize("say_length", [True, False])
@pytest.mark.parametrize("content", [b"<html>moved</html>", GOOD + b"more" * 50_000])
def test_a_wrong_size_is_refused_and_nothing_is_left(world, site, content, say_length):
    site.files["/t.tar"] = content
    site.say_length = say_length
    archive_manifest(world, f"{site.address}/t.tar", sha256="")
    with pytest.raises(FileNotFoundError) as error:
        manifests.fetch("thing", progress=False)
    offered = f"offers {len(content):,} bytes where {len(GOOD):,} are expected"
    got = f"wrong size: expected {len(GOOD):,} bytes, got"
    assert (offered if say_length else got) in str(error.value)
    assert left_in(world.data) == []


# ---------------------------------------------------------------- archives that mean no good


def link(kind: bytes, target: str) -> list[tarfile.TarInfo]:
    info = tarfile.TarInfo("labelsTr/case_000.nii.gz")
    info.type, info.linkname = kind, target
    return [info]


def plain(name: str, size: int = 3) -> list[tarfile.TarInfo]:
    info = tarfile.TarInfo(name)
    info.size = size
    return [*tar_infos(), info]


def tar_infos() -> list[tarfile.TarInfo]:
    infos = [tarfile.TarInfo(name) for name in CASES]
    for info in infos:
        info.size = 3
    return infos


def zip_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("labelsTr/case_000.nii.gz")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


EVIL: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "tar, up": ("tar", lambda: tar(plain("labelsTr/../../evil")), "leaves the folder"),
    "tar, absolute": ("tar", lambda: tar(plain("/tmp/evil")), "leaves the folder"),
    "tar, drive": ("tar", lambda: tar(plain("C:/evil")), "leaves the folder"),
    "tar, backslash": ("tar", lambda: tar(plain("..\\evil")), "leaves the folder"),
    "tar, symbolic link": ("tar", lambda: tar(link(tarfile.SYMTYPE, "/etc/passwd")), "is a symbolic link"),
    "tar, hard link": ("tar", lambda: tar(link(tarfile.LNKTYPE, "../evil")), "is a hard link"),
    "tar, device": ("tar", lambda: tar(link(tarfile.CHRTYPE, "")), "is a device"),
    "tar, twice": ("tar", lambda: tar(plain("LabelsTr/case_000.nii.gz")), "two members want to become"),
    "tar, cut off": ("tar", lambda: tar(plain("big", 20_000))[:12_000], "not a tar archive that can be read"),
    "tar, no archive": ("tar", lambda: b"<html>", "not a tar archive that can be read"),
    "tar, of something else": ("tar", lambda: tar({"readme": b"x"}), "it holds nothing like labelsTr"),
    "zip, up": ("zip", lambda: zipped({"../evil": b"x", **CASES}), "leaves the folder"),
    "zip, absolute": ("zip", lambda: zipped({"/tmp/evil": b"x", **CASES}), "leaves the folder"),
    "zip, symbolic link": ("zip", zip_link, "is a symbolic link"),
    "zip, cut off": ("zip", lambda: zipped(CASES)[:3000], "not a zip archive that can be read"),
    "zip, damaged": ("zip", lambda: zipped(CASES).replace(CASES["labelsTr/case_001.nii.gz"][9:40], b"?" * 31), "zip"),
}


@pytest.mark.parametrize("case", EVIL)
def test_a_bad_archive_is_refused_and_nothing_is_left(world, site, case):
    kind, make, reason = EVIL[case]
    content = make()
    site.files["/t"] = content
    archive_manifest(world, f"{site.address}/t", content=content, kind=kind)
    with pytest.raises(ValueError, match=f"thing: Task99_Thing.{kind} was refused: .*{reason}") as error:
        manifests.fetch("thing", progress=False)
    assert "nothing of it was unpacked and the download was deleted" in str(error.value)
    assert left_in(world.data) == []
    assert not (world.root / "evil").exists()


def test_what_macos_adds_to_a_zip_is_skipped(world, site):
    clutter = {"__MACOSX/labelsTr/case_009.nii.gz": b"x", "labelsTr/._case_000.nii.gz": b"x", ".DS_Store": b"x"}
    content = zipped({**clutter, **CASES})
    site.files["/t.zip"] = content
    archive_manifest(world, f"{site.address}/t.zip", content=content, kind="zip")
    folder = manifests.fetch("thing", progress=False)
    assert_whole(folder)
    assert not (folder / "__MACOSX").exists()
    assert not (folder / ".DS_Store").exists()


def test_members_are_placed_by_their_names_where_the_manifest_says_so(world, site):
    content = zipped({"a/Image_01L.jpg": b"i", "a/b/Image_01L_1stHO.png": b"l", "a/readme.txt": b"r"})
    site.files["/t.zip"] = content
    archive_manifest(world, f"{site.address}/t.zip", content=content, kind="zip")
    path = world.manifests / "thing.toml"
    path.write_text(
        path.read_text().replace("labelsTr/*.nii.gz", "labels/*.png")
        + '\nplace = { "*.jpg" = "images", "*_1stHO.png" = "labels" }'
    )
    folder = manifests.fetch("thing", progress=False)
    assert left_in(folder) == [
        "SHA256SUMS", "a", "a/readme.txt", "images", "images/Image_01L.jpg", "labels", "labels/Image_01L_1stHO.png"
    ]  # fmt: skip


# ---------------------------------------------------------------- room on the disk


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))


def test_too_little_room_is_noticed_before_anything_is_downloaded(world, site, monkeypatch):
    free(monkeypatch, 2 * len(GOOD) - 1)
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    with pytest.raises(OSError, match=r"thing \(20\.5 kB to download\) needs 41\.0 kB of free disk space") as error:
        manifests.fetch("thing", progress=False)
    assert "has 41.0 kB. Make room, or set MEDLAB_DATA to a folder on a larger disk" in str(error.value)
    assert site.requests == []
    assert left_in(world.data) == []


def test_room_is_checked_by_the_server_s_word_where_no_size_is_known(world, site, monkeypatch):
    free(monkeypatch, 100)
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar", bytes=0)
    with pytest.raises(OSError, match=r"needs 41\.0 kB of free disk space"):
        manifests.fetch("thing", progress=False)
    assert left_in(world.data) == []


def test_room_for_the_unpacked_files_is_checked_and_the_archive_kept(world, site, monkeypatch):
    content = zipped(dict.fromkeys(CASES, b"\x00" * 1000000))
    free(monkeypatch, 1_000_000)
    site.files["/t.zip"] = content
    archive_manifest(world, f"{site.address}/t.zip", content=content, kind="zip")
    part = world.data / "Task99_Thing.zip.part"
    with pytest.raises(OSError, match=r"needs 6\.0 MB of free disk space") as error:
        manifests.fetch("thing", progress=False)
    assert f"unpacking {part} (which is kept until there is room)" in str(error.value)
    assert left_in(world.data) == [part.name]


# ---------------------------------------------------------------- by hand


def test_an_archive_put_there_by_hand_is_checked_unpacked_and_kept(world):
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    world.data.mkdir()
    (world.data / "Task99_Thing.tar").write_bytes(GOOD)
    assert_whole(manifests.locate("thing"))
    assert (world.data / "Task99_Thing.tar").read_bytes() == GOOD


def test_a_wrong_archive_put_there_by_hand_is_refused_and_left(world):
    archive_manifest(world, "http://127.0.0.1:1/t.tar", bytes=0)
    world.data.mkdir()
    (world.data / "Task99_Thing.tar").write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"Task99_Thing\.tar is not the file of thing: wrong sha256: .* left where it is"
    ):
        manifests.locate("thing")
    assert left_in(world.data) == ["Task99_Thing.tar"]


def test_a_loose_file_put_there_by_hand_is_checked_and_recorded_once(world, site):
    loose_manifest(world, site, "smallmnist", {"28": b"tiny"})
    (world.data / "shared").mkdir(parents=True)
    path = world.data / "shared" / "smallmnist_28.npz"
    path.write_bytes(b"wrong")
    with pytest.raises(ValueError, match=r"smallmnist_28\.npz is not the file of smallmnist: wrong md5"):
        manifests.locate("smallmnist")
    path.write_bytes(b"tiny")
    assert manifests.locate("smallmnist") == path.parent
    assert (path.parent / "SHA256SUMS").read_text() == f"{hashlib.sha256(b'tiny').hexdigest()}  {path.name}\n"
    assert site.requests == []


# ---------------------------------------------------------------- parts


def test_parts_and_sets_share_a_folder_and_its_record(world, site):
    loose_manifest(world, site, "amnist", {"28": b"a28", "64": b"a64"})
    loose_manifest(world, site, "bmnist", {"28": b"b28"})
    for name, part in (("amnist", None), ("bmnist", "28"), ("amnist", 64)):
        assert manifests.fetch(name, part=part, progress=False) == world.data / "shared"
    assert left_in(world.data / "shared") == ["SHA256SUMS", "amnist_28.npz", "amnist_64.npz", "bmnist_28.npz"]
    listed = (world.data / "shared" / "SHA256SUMS").read_text().split()[1::2]
    assert listed == ["amnist_28.npz", "amnist_64.npz", "bmnist_28.npz"]
    assert manifests.verify("amnist").files == 2
    assert manifests.verify("bmnist").files == 1
    assert len(site.requests) == 3


def test_an_unknown_part_is_refused_with_those_that_exist(world, site):
    loose_manifest(world, site, "amnist", {"28": b"a28", "64": b"a64"})
    with pytest.raises(ValueError, match="amnist: size must be one of 28, 64, got 32"):
        manifests.fetch("amnist", part=32)


def test_a_part_that_failed_leaves_the_others_as_they_are(world, site):
    loose_manifest(world, site, "amnist", {"28": b"a28", "64": b"a64"})
    manifests.fetch("amnist", progress=False)
    site.files["/amnist_64.npz"] = b"not it"
    with pytest.raises(FileNotFoundError, match="wrong md5"):
        manifests.fetch("amnist", part=64, progress=False)
    assert left_in(world.data) == ["shared", "shared/SHA256SUMS", "shared/amnist_28.npz"]


# ---------------------------------------------------------------- mirrors


def mirrored(folder: Path, members: dict[str, bytes]) -> None:
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in members.items())
    (folder / "SHA256SUMS").write_text(sums)


def test_a_mirror_folder_is_used_in_place_and_may_hold_a_subset(world, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", str(world.root / "mirror"))
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    mirrored(world.root / "mirror" / "Task99_Thing", {name: CASES[name] for name in list(CASES)[2:5]})
    assert manifests.locate("thing") == world.root / "mirror" / "Task99_Thing"
    assert not world.data.exists()
    assert manifests.verify("thing").files == 3


def test_the_data_folder_comes_before_the_mirror(world, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", str(world.root / "mirror"))
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    for root in (world.root / "mirror", world.data):
        mirrored(root / "Task99_Thing", CASES)
    assert manifests.locate("thing") == world.data / "Task99_Thing"


def on_site(site: Site, base: str, members: dict[str, bytes]) -> None:
    site.files |= {f"{base}/{name}": content for name, content in members.items()}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in members.items())
    site.files[f"{base}/SHA256SUMS"] = sums.encode()


def test_a_mirror_on_the_web_is_downloaded_and_checked(world, site, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", f"{site.address}/mirror/")
    archive_manifest(world, f"{site.address}/official.tar")
    on_site(site, "/mirror/Task99_Thing", CASES)
    assert_whole(manifests.locate("thing"))
    assert "/official.tar" not in [path for path, _ in site.requests]
    assert left_in(world.data)[0] == "Task99_Thing"
    assert not (world.data / "thing.part").exists()


def test_a_broken_mirror_download_goes_on_where_it_stopped(world, site, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", f"{site.address}/mirror")
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    on_site(site, "/mirror/Task99_Thing", CASES)
    last = f"/mirror/Task99_Thing/{list(CASES)[-1]}"
    content = site.files.pop(last)
    with pytest.raises(FileNotFoundError, match=f"MEDLAB_MIRROR {site.address}{last}: HTTP 404 Not Found") as error:
        manifests.locate("thing")
    assert f"kept in {world.data / 'thing.part'}: the next try resumes there" in str(error.value)
    assert not (world.data / "Task99_Thing").exists()
    site.files[last] = content
    site.requests.clear()
    assert_whole(manifests.locate("thing"))
    assert [path for path, _ in site.requests] == ["/mirror/Task99_Thing/SHA256SUMS", last]


def test_what_a_mirror_left_is_removed_once_the_official_address_gave_the_set(world, site, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", f"{site.address}/mirror")
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    on_site(site, "/mirror/Task99_Thing", CASES)
    del site.files[f"/mirror/Task99_Thing/{list(CASES)[-1]}"]
    assert_whole(manifests.locate("thing"))
    assert [name for name in left_in(world.data) if "/" not in name] == ["Task99_Thing"]


def test_a_mirror_on_the_web_gives_one_set_of_a_shared_folder(world, site, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", f"{site.address}/mirror")
    loose_manifest(world, site, "amnist", {"28": b"a28", "64": b"a64"})
    on_site(site, "/mirror/shared", {"amnist_28.npz": b"a28", "amnist_64.npz": b"a64", "zmnist_28.npz": b"z"})
    manifests.fetch("amnist", progress=False)
    assert left_in(world.data / "shared") == ["SHA256SUMS", "amnist_28.npz"]


def test_a_mirror_without_the_set_leads_to_the_official_address(world, site, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", f"{site.address}/mirror")
    site.files["/t.tar"] = GOOD
    archive_manifest(world, f"{site.address}/t.tar")
    assert_whole(manifests.locate("thing"))


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil"])
def test_a_mirror_list_that_leaves_its_folder_is_refused(world, site, monkeypatch, name):
    monkeypatch.setenv("MEDLAB_MIRROR", f"{site.address}/mirror")
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    on_site(site, "/mirror/Task99_Thing", {**CASES, name: b"x"})
    with pytest.raises(FileNotFoundError, match="SHA256SUMS, line 7: must be a SHA-256 and a path that stays in the"):
        manifests.locate("thing")
    assert left_in(world.data) == []


def test_a_mirror_whose_file_is_not_what_it_lists_is_refused(world, site, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", f"{site.address}/mirror")
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    on_site(site, "/mirror/Task99_Thing", CASES)
    site.files["/mirror/Task99_Thing/imagesTr/case_000.nii.gz"] = b"other"
    with pytest.raises(FileNotFoundError, match=r"case_000\.nii\.gz: wrong sha256: .*; the download was deleted"):
        manifests.locate("thing")
    assert not (world.data / "Task99_Thing").exists()


# ---------------------------------------------------------------- two processes, and audits

FETCH = """
import sys
from pathlib import Path
from medlab import manifests
from medlab.manifests import reading
reading.manifest_folder = lambda: Path(sys.argv[1])
print(manifests.fetch("thing", progress=False))
"""


def test_two_processes_fetching_one_set_get_one_good_copy(world, site):
    site.files["/t.tar"] = GOOD
    site.hold["/t.tar"] = threading.Event()
    archive_manifest(world, f"{site.address}/t.tar")
    command = [sys.executable, "-c", FETCH, str(world.manifests)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second,
    ):
        waiting = _first_to_say(first, second, "Another process is fetching thing: waiting for it.\n")
        site.hold["/t.tar"].set()
        for process in (first, second):
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out) == (0, f"{world.data / 'Task99_Thing'}\n"), err
            assert process is not waiting or err == ""
    assert len(site.requests) == 1
    assert_whole(world.data / "Task99_Thing")


def _first_to_say(*arguments: object) -> object:
    """Return the process whose first line on stderr is the wanted text."""
    *processes, wanted = arguments
    heard: list[object] = []
    enough = threading.Event()

    def listen(process: subprocess.Popen) -> None:
        if process.stderr.readline() == wanted:
            heard.append(process)
            enough.set()

    for process in processes:
        threading.Thread(target=listen, args=(process,), daemon=True).start()
    assert enough.wait(60)
    return heard[0]


def test_verify_names_what_is_missing_changed_or_unknown(world, monkeypatch):
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    folder = world.data / "Task99_Thing"
    mirrored(folder, CASES)
    (folder / "imagesTr/case_001.nii.gz").unlink()
    (folder / "labelsTr/case_002.nii.gz").write_bytes(b"changed")
    (folder / "stray.txt").write_bytes(b"")
    audit = manifests.verify("thing")
    old, new = hashlib.sha256(CASES["labelsTr/case_002.nii.gz"]).hexdigest(), hashlib.sha256(b"changed").hexdigest()
    assert audit.problems == [
        "imagesTr/case_001.nii.gz: missing, although SHA256SUMS lists it",
        f"labelsTr/case_002.nii.gz: changed: SHA256SUMS states {old}, got {new}",
    ]
    assert audit.notes == ["unverified: no checksum is known for stray.txt"]
    assert str(audit).startswith(f"thing: 2 problems: 6 files, 2.8 kB in {folder}")


def test_verify_says_when_nothing_is_there(world, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", str(world.root / "mirror"))
    archive_manifest(world, "http://127.0.0.1:1/t.tar")
    audit = manifests.verify("thing")
    assert audit.problems == [f"looked in {world.data}/Task99_Thing and {world.root}/mirror/Task99_Thing"]
    assert str(audit).startswith("thing: 1 problem: not on this machine")
