import re
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import psutil
import pytest

import medlab
from medlab import checkup


def lines(capsys):
    """What the doctor printed: name -> (verdict, text), and the last line."""
    first, *checks, last = capsys.readouterr().out.splitlines()
    assert first == f"medlab {medlab.__version__}"
    found = {line[6:19].strip(): (line[:4].strip(), line[19:]) for line in checks}
    return found, last


def test_a_sound_installation_is_all_fine(monkeypatch, capsys):
    monkeypatch.delenv("MEDLAB_MIRROR", raising=False)
    assert medlab.doctor()
    found, last = lines(capsys)
    assert {name: verdict for name, (verdict, _) in found.items()} == dict.fromkeys(
        ["Python", "packages", "device", "memory", "notebooks", "data folder", "mirror"], "ok"
    )
    assert last == "All fine."
    assert re.match(r"torch \d+\.\d+", found["device"][1])


def test_a_missing_torch_is_one_line_and_the_others_still_come(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not checkup.doctor()
    found, last = lines(capsys)
    assert found["device"][0] == "TODO"
    assert found["device"][1].endswith("run `pip install -c constraints.txt -e .` in the checkout")
    assert found["mirror"][0] == "ok"
    assert last == "1 of 7 need something done, see above."


def test_an_unused_gpu_is_pointed_out(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(checkup.shutil, "which", lambda name: "there")
    fine, text = checkup._device()
    assert not fine
    assert text.endswith("There is an NVIDIA driver, but this torch can't use it: see the README on GPUs")


def test_missing_and_old_packages_are_named(monkeypatch):
    requirements = ["numpy>=99", "no-such-package", "pytest ; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: requirements)
    fine, text = checkup._packages()
    assert not fine
    have = metadata.version("numpy")
    assert text.startswith(f"numpy is {have}, but needs >=99; no-such-package is missing: run `pip install ")


def test_an_uninstalled_medlab_is_named(monkeypatch):
    def not_there(name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", not_there)
    assert checkup._packages() == (
        False,
        "medlab is not installed here: run `pip install -c constraints.txt -e .` in the checkout",
    )


def test_too_little_memory_is_said_in_gib(monkeypatch):
    memory = namedtuple("memory", ["available", "total"])(2**30, 4 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert checkup._memory() == (False, "1.0 of 4.0 GiB free; a lesson takes up to 2: close something")


def test_a_jupyterlab_without_widgets_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path)])
    (tmp_path / "@jupyter-widgets" / "jupyterlab-manager").mkdir(parents=True)
    assert checkup._notebooks() == (
        False,
        "JupyterLab lacks anywidget: reinstall ipywidgets and anywidget beside JupyterLab",
    )


def test_a_data_folder_that_is_a_file_can_not_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path / "file" / "data"))
    assert checkup._data_folder() == (
        False,
        f"{tmp_path / 'file' / 'data'} can't be written: set MEDLAB_DATA to a folder of yours",
    )


def test_a_data_folder_is_not_made_by_looking(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path / "a" / "b"))
    fine, text = checkup._data_folder()
    assert fine
    assert re.fullmatch(rf"{tmp_path}/a/b, \d+ GiB left, holds no public set \(the lessons' own .*\)", text)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path))
    usage = namedtuple("usage", ["total", "used", "free"])(10**10, 10**10, 10**9)
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: usage)
    assert checkup._data_folder() == (
        False,
        f"{tmp_path} has 0.9 GiB left: set MEDLAB_DATA to a folder with more room",
    )


def test_a_mirror_folder_says_what_it_holds(monkeypatch, tmp_path):
    case = tmp_path / "mitdb"
    case.mkdir()
    monkeypatch.setenv("MEDLAB_MIRROR", str(tmp_path))
    assert checkup._mirror() == (True, f"{tmp_path}, holds no public set (the lessons' own patients need none)")
    for suffix in ("hea", "dat", "atr"):
        (case / f"100.{suffix}").write_bytes(b"")
    assert checkup._mirror() == (True, f"{tmp_path}, holds mitdb")
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path / "data"))
    assert "holds no public set" in checkup._data_folder()[1]


@pytest.mark.parametrize(
    ("mirror", "said"),
    [
        ("no/such/folder", "there is no folder no/such/folder: correct or unset MEDLAB_MIRROR"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9/ does not answer"),
    ],
)
def test_a_mirror_that_is_not_there_is_said(mirror, said, monkeypatch):
    monkeypatch.setenv("MEDLAB_MIRROR", mirror)
    fine, text = checkup._mirror()
    assert not fine
    assert text.startswith(said)


def test_a_check_that_breaks_does_not_stop_the_others(monkeypatch, capsys):
    def broken():
        raise RuntimeError("no such thing")

    monkeypatch.setattr(checkup, "_memory", broken)
    checkup.doctor()
    found, _ = lines(capsys)
    assert found["memory"] == ("TODO", "RuntimeError: no such thing")
    assert "mirror" in found


def test_the_report_does_not_name_the_user(monkeypatch, capsys):
    monkeypatch.setenv("MEDLAB_DATA", str(Path.home() / "data"))
    checkup.doctor()
    printed = capsys.readouterr().out
    assert "~/data" in printed
    assert str(Path.home()) not in printed
