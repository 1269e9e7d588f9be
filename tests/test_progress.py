"""The learner's record: what it keeps, several notebooks at once, and every way in which the file can fail."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from medlab import progress
from medlab.progress import Row


@pytest.fixture(autouse=True)
def record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A record of its own, in a folder that is not there yet."""
    where = tmp_path / "a" / "folder" / "progress.sqlite3"
    monkeypatch.setenv("MEDLAB_PROGRESS", str(where))
    monkeypatch.setattr(progress, "_locked", {})
    monkeypatch.setattr(progress, "_warned", set())
    return where


def use_everything() -> None:
    """Whatever a lesson calls."""
    progress.record_attempt("20.2", "not yet")
    progress.record_hint("20.2", 1)
    progress.record_solution("20.2")
    assert progress.lock_prediction("20.a", "8") == "8"
    assert progress.lock_prediction("20.a", "30") == "8"
    assert progress.locked_prediction("20.a") == "8"
    progress.record_reveal("20.a", False)
    progress.rows()
    progress.predictions()
    assert progress.table()
    progress.picture()
    progress.clear()


# What is kept


def test_attempts_hints_and_solution_are_counted() -> None:
    for outcome in ("not yet", "correct", "not yet"):
        progress.record_attempt("20.2", outcome)
    for number in (1, 2, 2):
        progress.record_hint("20.2", number)
    progress.record_solution("20.2")
    assert progress.rows() == [Row("20.2", "", attempts=3, state="correct", hints=2, solution=True)]


def test_hint_alone_is_no_attempt() -> None:
    progress.record_hint("21.1", 1)
    assert progress.rows() == [Row("21.1", "", attempts=0, state="not attempted yet", hints=1, solution=False)]


def test_rows_are_in_the_order_of_the_lessons_and_hold_the_untried() -> None:
    progress.record_attempt("20.10", "not yet")
    titles = {"30.1": "Mask", "20.9": "Nine", "20.10": "Ten", "00.1": "Voxel"}
    assert [(row.exercise, row.title) for row in progress.rows(titles)] == [
        ("00.1", "Voxel"),
        ("20.9", "Nine"),
        ("20.10", "Ten"),
        ("30.1", "Mask"),
    ]


def test_first_prediction_is_locked_for_every_later_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.lock_prediction("20.a", "8") == "8"
    monkeypatch.setattr(progress, "_locked", {})  # as in another kernel
    assert progress.locked_prediction("20.a") == "8"
    assert progress.lock_prediction("20.a", "30") == "8"
    assert progress.predictions() == [("20.a", "8", None)]
    progress.record_reveal("20.a", True)
    assert progress.predictions() == [("20.a", "8", True)]


def test_another_notebook_that_was_quicker_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    progress.lock_prediction("20.a", "8")
    monkeypatch.setattr(progress, "_locked", {})
    monkeypatch.setattr(progress, "locked_prediction", lambda question: None)  # we looked before it wrote
    assert progress.lock_prediction("20.a", "30") == "8"


def test_table_says_what_was_done() -> None:
    progress.record_attempt("20.1", "correct")
    progress.record_attempt("20.2", "not yet")
    progress.record_solution("20.2")
    progress.lock_prediction("20.a", "8")
    progress.record_reveal("20.a", True)
    assert progress.table({"20.1": "Size", "20.2": "Conv", "20.3": "Kernel"}).splitlines() == [
        "exercise  state              attempts hints  title",
        "20.1      correct                   1     0  Size",
        "20.2      not yet                   1     0  Conv  (solution read)",
        "20.3      not attempted yet         0     0  Kernel",
        "1 of 3 correct",
        "predictions: 1 of 1 right",
    ]


def test_table_of_nothing_says_so() -> None:
    assert progress.table() == "nothing tried yet"


def test_picture_has_a_square_for_every_exercise() -> None:
    progress.record_attempt("20.1", "correct")
    figure = progress.picture({"20.1": "a", "20.2": "b", "21.1": "c"})
    axes = figure.axes[0]
    assert len(axes.patches) == 3
    assert [text.get_text() for text in axes.get_yticklabels()] == ["20", "21"]
    assert [text.get_text() for text in axes.texts] == ["✓", "", ""]
    figure.draw_without_rendering()  # a missing glyph would warn, and warnings are errors


def test_clear_forgets_everything() -> None:
    use_everything()
    assert progress.rows() == []
    assert progress.predictions() == []
    assert progress.locked_prediction("20.a") is None


def test_nothing_personal_is_kept(record: Path) -> None:
    use_everything()
    progress.record_attempt("20.2", "not yet")
    with sqlite3.connect(record) as db:
        columns = {name for (sql,) in db.execute("SELECT sql FROM sqlite_master") if sql for name in sql.split()}
    db.close()
    assert {"events", "predictions"} <= columns
    assert not columns & {"time", "at", "user", "name", "path", "code", "host"}
    assert str(Path.home()).encode() not in record.read_bytes()


# Where it lies


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/medlab/progress.sqlite3"),
        ("linux", {}, "/home/ada/.local/share/medlab/progress.sqlite3"),
        ("darwin", {}, "/home/ada/Library/Application Support/medlab/progress.sqlite3"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/medlab/progress.sqlite3"),
        ("linux", {"MEDLAB_PROGRESS": "~/mine.db"}, "/home/ada/mine.db"),
    ],
)
def test_default_place(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("MEDLAB_PROGRESS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert progress.path() == Path(expected)


def test_off_keeps_nothing_and_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys, record: Path) -> None:
    monkeypatch.setenv("MEDLAB_PROGRESS", "off")
    assert progress.path() is None
    use_everything()
    assert capsys.readouterr() == ("", "")
    assert not record.parent.exists()


# Every way to fail: the lesson goes on, with one line


def one_quiet_line(capsys, text: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("medlab: progress is not kept, the lesson goes on: progress.sqlite3: ")
    assert text in err


def test_absent_file_is_made(record: Path, capsys) -> None:
    use_everything()
    assert record.is_file()
    assert capsys.readouterr() == ("", "")


def test_broken_file_is_left_alone(record: Path, capsys) -> None:
    record.parent.mkdir(parents=True)
    record.write_bytes(b"this is no data base, but perhaps somebody's letter " * 100)
    use_everything()
    one_quiet_line(capsys, "not a database")
    assert record.read_bytes().startswith(b"this is no data base")


def test_file_cut_short_does_not_stop_a_lesson(record: Path, capsys) -> None:
    for number in range(3):
        progress.record_attempt(f"20.{number}", "not yet")
    record.write_bytes(record.read_bytes()[:6000])
    use_everything()
    one_quiet_line(capsys, "malformed")


def test_data_base_of_another_program_is_left_alone(record: Path, capsys) -> None:
    record.parent.mkdir(parents=True)
    with sqlite3.connect(record) as db:
        db.execute("CREATE TABLE predictions (weather TEXT)")
    db.close()
    use_everything()
    one_quiet_line(capsys, "no such table")


def test_folder_in_place_of_the_file_does_not_stop_a_lesson(record: Path, capsys) -> None:
    record.mkdir(parents=True)
    use_everything()
    one_quiet_line(capsys, "unable to open")


def test_file_in_place_of_the_folder_does_not_stop_a_lesson(record: Path, capsys) -> None:
    record.parent.parent.mkdir(parents=True)
    record.parent.write_text("")
    use_everything()
    one_quiet_line(capsys, "")


def test_read_only_file_does_not_stop_a_lesson(record: Path, capsys) -> None:
    progress.record_attempt("20.1", "correct")
    progress._locked.clear()
    with read_only(record):
        use_everything()
        assert [row.state for row in progress.rows()] == ["correct"]  # it can still be read
    one_quiet_line(capsys, "readonly")


class read_only:  # noqa: N801
    """Takes the right to write away; for root, who may write anyway, SQLite is asked to open read-only."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.connect = sqlite3.connect

    def __enter__(self) -> None:
        self.where.chmod(stat.S_IRUSR)
        if os.access(self.where, os.W_OK):
            sqlite3.connect = lambda path, **options: self.connect(f"file:{path}?mode=ro", uri=True, **options)

    def __exit__(self, *_: object) -> None:
        self.where.chmod(stat.S_IRUSR | stat.S_IWUSR)
        sqlite3.connect = self.connect


def test_locked_file_costs_one_wait_not_many(record: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WAIT_S", 0.3)
    progress.record_attempt("20.1", "correct")
    connect, waits = sqlite3.connect, []

    def watched(path: Path, *, timeout: float, isolation_level: None) -> sqlite3.Connection:
        waits.append(timeout)
        return connect(path, timeout=timeout, isolation_level=isolation_level)

    holder = connect(record, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", watched)
            use_everything()
    finally:
        holder.close()
    assert waits[0] == 0.3
    assert max(waits[1:]) <= 0.1
    one_quiet_line(capsys, "locked")
    progress.record_attempt("20.1", "correct")
    assert progress.rows()[0].attempts == 2  # kept again as soon as the lock is gone


def test_warning_comes_once_for_many_failures(record: Path, capsys) -> None:
    record.mkdir(parents=True)
    for _ in range(5):
        progress.record_attempt("20.1", "correct")
    one_quiet_line(capsys, "unable to open")


# Several notebooks at once

WRITER = """
import sys
from medlab import progress
sys.stdin.readline()  # all start together
for number in range(40):
    progress.record_attempt(f"20.{number}", "not yet")
print(progress.lock_prediction("20.a", sys.argv[1]))
"""


def test_several_notebooks_write_at_once_and_nothing_is_lost(capsys) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=120) for writer in writers]
    assert [errors for _, errors in said] == [""] * 4
    assert len({answer for answer, _ in said}) == 1  # one of them was first, and all know which
    rows = progress.rows()
    assert len(rows) == 40
    assert {row.attempts for row in rows} == {4}


def test_importing_progress_is_cheap() -> None:
    code = "import sys; import medlab.progress; assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
