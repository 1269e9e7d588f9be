"""Exercises of the lessons: one module a topic, each with solutions, checks, hints and explanations.

In a lesson::

    from medlab import exercises

    # Exercise 20.2 ••  Cross-correlation by hand
    def my_conv2d(image, kernel, stride=1, padding=0): ...

    exercises.convolution.check_conv2d(my_conv2d)

    exercises.hint("20.2")                   # the next hint, each time
    exercises.solution("20.2")               # our solution, and why it is so
    exercises.predict("20.a", 8)             # locks the first answer that was given
    exercises.reveal("20.a", truth)          # compares, in the next cell

**How a stub cell is found.** It is tagged `exercise`, and its first line is the comment `# Exercise 20.2 ••  title`,
where a reader sees it and a copy keeps it. `exercise_in(cell_source)` reads the id; `stub_source(id)` is the text of
the whole stub cell, which the notebook must hold as it is; `solution_source(id)` is what a solved run or a teacher's
build puts in its place: it begins with the same line, defines the same name, and needs nothing but the lesson's
`import numpy as np` (and `import torch` for lessons that use it). Both come from the one solution in the topic
module. Predictions have letters, exercises numbers.

**How a topic is added.** A module here without a leading underscore is a topic. It holds, for every exercise, the
solution `my_<name>` (a function whose docstring is the task, or a value), an `Exercise`, and `check_<name> =
<EXERCISE>.check`. Nothing else has to be registered. `tests/test_exercises.py` walks all of them and wants three
mutants for each in `tests/mutants/`.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import pkgutil
import re
import sys
from types import ModuleType
from typing import Any

import numpy as np

from medlab import progress
from medlab.exercises._engine import Exercise
from medlab.exercises._report import CODE, CORRECT, NOT_ATTEMPTED, NOT_YET, Report, show, to_array

__all__ = [
    "CORRECT",
    "NOT_ATTEMPTED",
    "NOT_YET",
    "Exercise",
    "Report",
    "exercise_in",
    "get",
    "hint",
    "ids",
    "predict",
    "reveal",
    "solution",
    "solution_source",
    "stub_source",
    "titles",
    "topics",
]

HEADER = re.compile(r"# Exercise (\d\d\.\d+)\b")

_hints_given: dict[str, int] = {}  # in this kernel, so that a fresh run begins with the first


def __getattr__(name: str) -> ModuleType:
    """A topic module, imported when it is first used."""
    if name.startswith("_") or name not in topics():
        raise AttributeError(f"medlab.exercises has no topic {name!r}; there are {', '.join(topics())}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*__all__, *topics()])


def topics() -> list[str]:
    """Names of the topic modules."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))


def ids() -> list[str]:
    """Every exercise, by lesson and number."""
    return sorted(_all(), key=lambda name: (name.partition(".")[0], int(name.partition(".")[2])))


def titles() -> dict[str, str]:
    """Exercise to title, for `progress.table` and `progress.picture`."""
    return {name: get(name).title for name in ids()}


def get(exercise: str) -> Exercise:
    """The exercise with the id `exercise`, such as "20.2".

    Raises:
        KeyError: where there is none; the message lists those of the lesson.
    """
    if exercise not in _all():
        lesson = str(exercise).partition(".")[0]
        near = [name for name in ids() if name.startswith(f"{lesson}.")] or ids()
        raise KeyError(f"no exercise {exercise!r}; there are {', '.join(near)}")
    return _all()[exercise]


@functools.cache
def _all() -> dict[str, Exercise]:
    found: dict[str, Exercise] = {}
    for topic in topics():
        for value in vars(importlib.import_module(f"{__name__}.{topic}")).values():
            if isinstance(value, Exercise):
                if value.id in found:
                    raise ValueError(f"exercise {value.id} is in {found[value.id].topic} and in {topic}")
                found[value.id] = value
    return found


def hint(exercise: str) -> Report:
    """The next hint; after the last one all of them, and where the solution is."""
    hints = get(exercise).hints
    number = _hints_given[exercise] = _hints_given.get(exercise, 0) + 1
    if number <= len(hints):
        progress.record_hint(exercise, number)
        return Report(f"Exercise {exercise}", rows=((f"hint {number}/{len(hints)}", hints[number - 1]),))
    rows = [(f"hint {n}/{len(hints)}", text) for n, text in enumerate(hints, 1)]
    return Report(
        f"Exercise {exercise}", rows=(*rows, ("next", f'`exercises.solution("{exercise}")` shows a solution.'))
    )


def solution(exercise: str) -> Report:
    """Our solution's source and why it is so."""
    progress.record_solution(exercise)
    return Report(f"Exercise {exercise}", rows=((CODE, _source(exercise)), ("why", get(exercise).why)))


def solution_source(exercise: str) -> str:
    """Text that takes the place of the stub cell: the header line and the solution."""
    return f"{_header(exercise)}\n{_source(exercise)}"


def stub_source(exercise: str) -> str:
    """Text of the stub cell: header line, the solution's head and docstring without its body, or `name = ...`."""
    source = _source(exercise)
    node = ast.parse(source).body[0]
    if not isinstance(node, ast.FunctionDef):
        task = source.splitlines()[: node.lineno - 1]
        return "\n".join([_header(exercise), *task, f"{get(exercise).name} = ..."])
    head = source.splitlines()[: node.body[0].end_lineno]  # the docstring is the first statement
    return "\n".join([_header(exercise), *head, "    raise NotImplementedError"])


def exercise_in(cell_source: str) -> str | None:
    """The id in the first line of a stub cell, or None for any other cell."""
    found = HEADER.match(cell_source)
    return found[1] if found else None


def _header(exercise: str) -> str:
    return f"# Exercise {exercise} {'•' * get(exercise).dots}  {get(exercise).title}"


def _source(exercise: str) -> str:
    """Source of the solution, from its module, whether a function or a value."""
    found = get(exercise)
    text = inspect.getsource(sys.modules[found.module])
    for node in ast.parse(text).body:
        names = [getattr(target, "id", "") for target in getattr(node, "targets", [])]
        if found.name in (getattr(node, "name", ""), *names):
            lines = text.splitlines()[: node.end_lineno]
            first = node.lineno - 1
            while lines[first - 1].startswith("#"):  # the task of a value stands above it
                first -= 1
            return "\n".join(lines[first:])
    raise ValueError(f"{found.module} does not define {found.name}, the solution of exercise {exercise}")


def predict(question: str, answer: Any) -> Report:
    """Lock the answer to a question before its result is shown; only the first answer counts.

    Args:
        question: lesson and letter, "20.a".
        answer: a number, a list or array of numbers, or a word; `...` or None means not answered yet.
    """
    heading = f"Prediction {question}"
    if answer is None or answer is Ellipsis:
        return Report(heading, NOT_ATTEMPTED, (("next", "Put your answer in place of the dots, then go on."),))
    text = _pack(answer)
    first = progress.lock_prediction(question, text)
    rows = [("locked", show(_unpack(first)))]
    if first != text:
        rows.append(("note", "That was your first answer, and it stays."))
    return Report(heading, rows=tuple(rows))


def reveal(question: str, truth: Any, *, within: float | None = None) -> Report:
    """Show the truth beside the answer that was locked.

    Args:
        question: as given to `predict`.
        truth: what came out.
        within: largest difference that counts as right; None for 0.2 % of the truth.
    """
    truth = _unpack(_pack(truth))
    locked = progress.locked_prediction(question)
    if locked is None:
        return Report(f"Prediction {question}", NOT_ATTEMPTED, (("truth", show(truth)),))
    answer = _unpack(locked)
    right = _is_right(answer, truth, within)
    progress.record_reveal(question, right)
    outcome = CORRECT if right else "not this time"
    return Report(f"Prediction {question}", outcome, (("truth", show(truth)), ("answer", show(answer))))


def _is_right(answer: Any, truth: Any, within: float | None) -> bool:
    if isinstance(truth, str) or isinstance(answer, str):
        return str(answer).strip().casefold() == str(truth).strip().casefold()
    try:
        a, b = np.asarray(answer, dtype=float), np.asarray(truth, dtype=float)
    except (TypeError, ValueError):
        return bool(answer == truth)
    rtol, atol = (2e-3, 1e-9) if within is None else (0.0, within)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=rtol, atol=atol))


def _pack(value: Any) -> str:
    """As JSON, arrays and tensors as lists, anything unknown as its text."""
    array = None if isinstance(value, (bool, int, float)) else to_array(value)
    try:
        return json.dumps(value if array is None else array.tolist())
    except (TypeError, ValueError):
        return json.dumps(str(value))


def _unpack(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
