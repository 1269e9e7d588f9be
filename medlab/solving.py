"""Put the solutions into a lesson's stub cells, and read from an executed lesson what its checks said."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from medlab import exercises

_VERDICT = re.compile(r"\AExercise (\d\d\.\d+): (.+)")


def stubs(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """The exercises of a notebook in their order: id and stub cell.

    Raises:
        ValueError: A cell tagged `exercise` does not begin with the line that names its exercise.
    """
    for cell in notebook.cells:
        if "exercise" in cell.metadata.get("tags", ()):
            exercise = exercises.exercise_in(cell.source)
            if exercise is None:
                first = cell.source.partition("\n")[0]
                raise ValueError(f"an exercise cell must begin with '# Exercise 20.2 ••  title', got {first!r}")
            yield exercise, cell


def solve(notebook: NotebookNode) -> NotebookNode:
    """A copy in which every stub cell holds the solution."""
    solved = copy.deepcopy(notebook)
    for exercise, cell in stubs(solved):
        cell.source = exercises.solution_source(exercise)
    return solved


def not_correct(executed: NotebookNode) -> list[str]:
    """What the checks of a solved run found wrong, a line for each exercise whose last verdict is not `correct`."""
    said = dict(_verdicts(executed))
    return [
        f"Exercise {exercise}: {said.get(exercise, 'no cell checks it')}"
        for exercise, _ in stubs(executed)
        if said.get(exercise) != exercises.CORRECT
    ]


def _verdicts(executed: NotebookNode) -> Iterator[tuple[str, str]]:
    for cell in executed.cells:
        for output in cell.get("outputs", ()):
            if found := _VERDICT.match(output.get("data", {}).get("text/plain", "")):
                yield found[1], found[2]
