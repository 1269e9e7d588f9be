"""Plausible wrong answers, one module a topic, written as a learner would write them.

`tests/test_exercises.py` wants at least three for every exercise, each refused with its own hint, and every
misconception that an exercise knows made by at least one of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mutant:
    """A wrong answer and how it must be refused: by a misconception's name, or by words of the engine's own hint."""

    exercise: str
    mistake: str | None
    says: str
    answer: Any


_found: list[Mutant] = []


def wrong(exercise: str, mistake: str | None = None, *, says: str = "") -> Callable[[Any], Any]:
    """Register a wrong answer; call the result with a value where the exercise asks for one."""

    def register(answer: Any) -> Any:
        _found.append(Mutant(exercise, mistake, says, answer))
        return answer

    return register


def all_mutants() -> list[Mutant]:
    """Every mutant of every module here."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return _found
