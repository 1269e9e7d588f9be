"""Lessons in the forms that a teacher hands out: for students, solved, and as the source of an nbgrader course."""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from medlab import course, exercises
from medlab.hygiene import normalise
from medlab.solving import stubs

KINDS = ("student", "solved", "nbgrader")


def build(kind: str, lessons: Iterable[Path], folder: Path) -> list[Path]:
    """Write one edition of some lessons into a folder; the lessons themselves stay as they are.

    Args:
        kind: "student": as they are, without outputs. "solved": with the solutions and what they give; this executes
            every lesson. "nbgrader": `source/LESSON/LESSON.ipynb`, which `nbgrader generate_assignment LESSON` turns
            into the release version.
        lessons: Paths of notebooks.
        folder: Is made where it is missing. Files of the same names in it are replaced, each in one piece.

    Returns:
        The files written.

    Raises:
        ValueError: The kind is unknown, or a solved lesson fails or does not pass its own checks.
    """
    if kind not in KINDS:
        raise ValueError(f"an edition is one of {', '.join(KINDS)}, got {kind!r}")
    make = {"student": student, "solved": solved, "nbgrader": nbgrader}[kind]
    written = []
    for lesson in lessons:
        place = Path("source", lesson.stem, lesson.name) if kind == "nbgrader" else Path(lesson.name)
        course.store(make(lesson), folder / place)
        written.append(folder / place)
    return written


def student(lesson: Path) -> NotebookNode:
    """The lesson as a learner should find it: stubs untouched, nothing executed."""
    return _without_outputs(_read(lesson))


def solved(lesson: Path) -> NotebookNode:
    """The lesson with every solution in its place, executed; all its checks say `correct`."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, lesson.name)
        run = course.execute(lesson, output, solved=True)
        if run.error:
            raise ValueError(f"{lesson.stem}, {run.error}")
        return normalise(_read(output))


def nbgrader(lesson: Path) -> NotebookNode:
    """The lesson as the source version of an nbgrader assignment.

    A stub cell becomes a solution cell, with the solution between nbgrader's marks, which the release version replaces
    by a stub. The cell that checks it becomes a locked test cell that gives one point for each dot.

    Raises:
        ValueError: An exercise has no cell that checks it.
    """
    notebook = _without_outputs(_read(lesson))
    for exercise, cell in stubs(notebook):
        check = _check_of(exercise, notebook, lesson)
        cell.source = _between_marks(exercise)
        cell.metadata["nbgrader"] = _role(exercise, "answer", solution=True)
        dots = exercises.get(exercise).dots
        check.metadata["nbgrader"] = _role(exercise, "check", grade=True, locked=True, points=dots)
        check.source = _as_test(check.source)
    return notebook


def _check_of(exercise: str, notebook: NotebookNode, lesson: Path) -> NotebookNode:
    """The first code cell that ends in the check of this exercise's own answer."""
    found = exercises.get(exercise)
    call = f"exercises.{found.topic}.check_{found.name.removeprefix('my_')}({found.name})"
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.rstrip().endswith(call):
            return cell
    raise ValueError(f"{lesson.name}: no cell ends in {call}, the check of exercise {exercise}")


def _between_marks(exercise: str) -> str:
    """The solution's source, with what the stub leaves out between nbgrader's marks."""
    head = exercises.stub_source(exercise).splitlines()[:-1]
    body = exercises.solution_source(exercise).splitlines()[len(head) :]
    indent = re.match(r"\s*", body[0])[0]  # type: ignore[index]
    marks = [f"{indent}### BEGIN SOLUTION", *body, f"{indent}### END SOLUTION"]
    return "\n".join([*head, *marks])


def _as_test(source: str) -> str:
    """The check as a test that nbgrader can score: it shows the report, and fails unless that says `correct`."""
    *before, last = source.rstrip().splitlines()
    return "\n".join([*before, f"report = {last}", "display(report)", "assert report.outcome == exercises.CORRECT"])


def _role(
    exercise: str, what: str, *, solution: bool = False, grade: bool = False, locked: bool = False, points: int = 0
) -> dict[str, object]:
    role: dict[str, object] = {"schema_version": 3, "grade_id": f"exercise-{exercise.replace('.', '-')}-{what}"}
    role |= {"solution": solution, "grade": grade, "locked": locked, "task": False}
    return role | {"points": points} if grade else role


def _without_outputs(notebook: NotebookNode) -> NotebookNode:
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)
