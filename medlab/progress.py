"""The learner's local record: attempts, hints, predictions, in one small SQLite file.

Nothing personal is kept (no name, no code, no path, no time of day) and nothing leaves the machine. `MEDLAB_PROGRESS`
names another file, or is `off`. The record is a convenience: where it can't be read or written, one line on stderr
says so and the lesson goes on.

The file keeps SQLite's rollback journal, not a write-ahead log, because home folders often lie on network disks,
where the latter does not work; every write is one short transaction that waits for its turn.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Row",
    "clear",
    "lock_prediction",
    "locked_prediction",
    "path",
    "picture",
    "predictions",
    "record_attempt",
    "record_hint",
    "record_reveal",
    "record_solution",
    "rows",
    "table",
]

WAIT_S = 5.0  # how long a write waits for another notebook's
SCHEMA = """
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, exercise TEXT, kind TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS predictions (question TEXT PRIMARY KEY, answer TEXT, correct INTEGER);
"""

_locked: dict[str, str] = {}  # the predictions of this process, kept even where the file fails
_warned: set[Path] = set()


@dataclass(frozen=True)
class Row:
    """What is known of one exercise.

    Attributes:
        exercise: "20.2".
        title: its title, where the caller gave titles, else "".
        attempts: checks of something other than the untouched stub.
        state: "correct" (once correct stays correct), "not yet" or "not attempted yet".
        hints: how many different hints were read.
        solution: the solution was looked at.
    """

    exercise: str
    title: str
    attempts: int
    state: str
    hints: int
    solution: bool


def path() -> Path | None:
    """Where the record lies: `MEDLAB_PROGRESS`, else the user's data folder; None where it is `off`."""
    named = os.environ.get("MEDLAB_PROGRESS", "")
    if named.lower() == "off":
        return None
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "medlab" / "progress.sqlite3"


def record_attempt(exercise: str, outcome: str) -> None:
    """Keep that a check of `exercise` said `outcome`: "correct" or "not yet"."""
    _add(exercise, "attempt", outcome)


def record_hint(exercise: str, number: int) -> None:
    """Keep that hint `number`, from 1, was read."""
    _add(exercise, "hint", str(number))


def record_solution(exercise: str) -> None:
    """Keep that the solution was looked at."""
    _add(exercise, "solution", "")


def lock_prediction(question: str, answer: str) -> str:
    """The answer that counts for `question`: the first one ever given, which may not be `answer`."""
    first = locked_prediction(question)
    if first is None:
        with _open() as db:
            if db:
                with _write(db):
                    db.execute("INSERT OR IGNORE INTO predictions VALUES (?, ?, NULL)", (question, answer))
        first = _stored(question)  # another notebook may have been quicker
    return _locked.setdefault(question, answer if first is None else first)


def locked_prediction(question: str) -> str | None:
    """The answer that was locked for `question`, or None."""
    if question not in _locked:
        stored = _stored(question)
        if stored is not None:
            _locked[question] = stored
    return _locked.get(question)


def record_reveal(question: str, correct: bool) -> None:
    """Keep whether the locked answer was right."""
    with _open() as db:
        if db:
            with _write(db):
                db.execute("UPDATE predictions SET correct = ? WHERE question = ?", (int(correct), question))


def rows(titles: Mapping[str, str] | None = None) -> list[Row]:
    """One `Row` an exercise, by its number: all that `titles` names and all that were tried.

    Args:
        titles: exercise to title, as `exercises.titles()` gives; None for those tried.
    """
    events: list[tuple[str, str, str]] = []
    with _open() as db:
        if db:
            events = db.execute("SELECT exercise, kind, detail FROM events ORDER BY number").fetchall()
    titles = titles or {}
    return [_row(name, titles.get(name, ""), events) for name in sorted({*titles, *(e[0] for e in events)}, key=_order)]


def predictions() -> list[tuple[str, str, bool | None]]:
    """(question, locked answer, right or not or not revealed yet) of every prediction, by number."""
    stored: list[tuple[str, str, int | None]] = []
    with _open() as db:
        if db:
            stored = db.execute("SELECT question, answer, correct FROM predictions").fetchall()
    return [(q, a, None if c is None else bool(c)) for q, a, c in sorted(stored, key=lambda row: _order(row[0]))]


def table(titles: Mapping[str, str] | None = None) -> str:
    """The record as text: a line an exercise, then the predictions.

    Args:
        titles: exercise to title, as `exercises.titles()` gives, so that those not tried show too.
    """
    found = rows(titles)
    lines = []
    if found:
        lines.append(f"{'exercise':<9} {'state':<18} {'attempts':>8} {'hints':>5}  title")
        for row in found:
            seen = "  (solution read)" if row.solution else ""
            lines.append(
                f"{row.exercise:<9} {row.state:<18} {row.attempts:>8} {row.hints:>5}  {row.title}{seen}".rstrip()
            )
        lines.append(f"{sum(row.state == 'correct' for row in found)} of {len(found)} correct")
    else:
        lines.append("nothing tried yet")
    answers = [correct for _, _, correct in predictions() if correct is not None]
    if answers:
        lines.append(f"predictions: {sum(answers)} of {len(answers)} right")
    return "\n".join(lines)


def picture(titles: Mapping[str, str] | None = None) -> Figure:
    """The record as a small picture: a row a lesson, a square an exercise. `table` says the same in words.

    Args:
        titles: exercise to title, as `exercises.titles()` gives, so that those not tried show too.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    # Okabe-Ito green and orange; the mark says the same without colour.
    looks = {
        "correct": ("#009E73", "✓", "white"),
        "not yet": ("#E69F00", "…", "black"),
        "not attempted yet": ("#EEEEEE", "", "black"),
    }
    found = rows(titles)
    lessons = sorted({row.exercise.partition(".")[0] for row in found})
    widest = max((int(row.exercise.partition(".")[2]) for row in found), default=4)
    figure = Figure(figsize=(max(3.2, 0.6 + 0.5 * widest), 0.9 + 0.5 * max(len(lessons), 1)), layout="constrained")
    axes = figure.add_subplot()
    for row in found:
        lesson, _, number = row.exercise.partition(".")
        x, y = int(number), lessons.index(lesson)
        face, mark, ink = looks[row.state]
        axes.add_patch(Rectangle((x - 0.44, y - 0.44), 0.88, 0.88, facecolor=face, edgecolor="#777777", linewidth=0.6))
        axes.text(x, y, mark, ha="center", va="center", color=ink)
    axes.set(xlim=(0.4, widest + 0.6), ylim=(max(len(lessons), 1) - 0.4, -0.6), aspect="equal")
    axes.set(xticks=range(1, widest + 1), yticks=range(len(lessons)), xlabel="exercise", ylabel="lesson")
    axes.set_yticklabels(lessons)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    keys = [Patch(facecolor=face, edgecolor="#777777", label=state) for state, (face, _, _) in looks.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False, fontsize=7, handlelength=1)
    return figure


def clear() -> None:
    """Forget everything, as for a new learner. A record that is not ours is left alone."""
    _locked.clear()
    with _open() as db:
        if db:
            with _write(db):
                db.execute("DELETE FROM events")
                db.execute("DELETE FROM predictions")


def _add(exercise: str, kind: str, detail: str) -> None:
    with _open() as db:
        if db:
            with _write(db):
                db.execute("INSERT INTO events (exercise, kind, detail) VALUES (?, ?, ?)", (exercise, kind, detail))


def _stored(question: str) -> str | None:
    found = None
    with _open() as db:
        if db:
            found = db.execute("SELECT answer FROM predictions WHERE question = ?", (question,)).fetchone()
    return None if found is None else str(found[0])


def _row(exercise: str, title: str, events: list[tuple[str, str, str]]) -> Row:
    mine = [(kind, detail) for name, kind, detail in events if name == exercise]
    outcomes = [detail for kind, detail in mine if kind == "attempt"]
    state = "correct" if "correct" in outcomes else "not yet" if outcomes else "not attempted yet"
    hints = {detail for kind, detail in mine if kind == "hint"}
    return Row(exercise, title, len(outcomes), state, len(hints), ("solution", "") in mine)


def _order(name: str) -> tuple[str, int, str]:
    """Sorts "20.10" after "20.9", and "20.a" after both."""
    lesson, _, number = name.partition(".")
    return (lesson, int(number), "") if number.isdecimal() else (lesson, sys.maxsize, number)


@contextmanager
def _open() -> Iterator[sqlite3.Connection | None]:
    """The record, made where it is absent; None where it is off or unusable. No error leaves the block."""
    where = path()
    if where is None:
        yield None
        return
    db = None
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        # After a failure, don't make every further check wait for the lock.
        db = sqlite3.connect(where, timeout=0.1 if where in _warned else WAIT_S, isolation_level=None)
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'predictions'").fetchone():
            with _write(db):
                for statement in SCHEMA.strip().splitlines():
                    db.execute(statement)
    except (sqlite3.Error, OSError) as error:
        _warn(where, error)
        if db:
            db.close()
        db = None
    try:
        yield db
    except sqlite3.Error as error:
        _warn(where, error)
    finally:
        if db:
            db.close()


@contextmanager
def _write(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction that takes the write lock at once, so that two writers wait instead of failing.

    After an error there is no commit, and closing the connection, which `_open` does, takes everything back.
    """
    db.execute("BEGIN IMMEDIATE")
    yield
    db.execute("COMMIT")


def _warn(where: Path, error: Exception) -> None:
    if where in _warned:
        return
    _warned.add(where)
    print(
        f"medlab: progress is not kept, the lesson goes on: {where.name}: {error}. "
        "Set MEDLAB_PROGRESS to another file, or to off.",
        file=sys.stderr,
    )
