"""The check: runs the learner's answer on every case and finds what to say about it.

Every case is run on a copy of its input, within a time limit, with warnings off and what is printed kept. Of all cases
that fail, the one with the smallest input is reported, with its most basic problem: no result, wrong shape, wrong
dtype, wrong values, changed input. The hint comes from the recognisers: each `Mistake` computes what a plausible wrong
answer would give, and the one that agrees with the learner's results on most cases is named.
"""

from __future__ import annotations

import contextlib
import copy
import dis
import inspect
import io
import linecache
import sys
import sysconfig
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from medlab import progress
from medlab.exercises import _limit
from medlab.exercises._compare import DTYPE, ERROR, INPUT, SHAPE, Problem, alike, compare, same
from medlab.exercises._report import CORRECT, NOT_ATTEMPTED, NOT_YET, Report, show, to_array

__all__ = ["Case", "Exercise", "Mistake", "Problem", "case"]

LIMIT_S = 10.0  # for all cases of one check together
PRINTED_LINES = 8


@dataclass(frozen=True)
class Case:
    """One input of the learner's function."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


def case(*args: Any, **kwargs: Any) -> Case:
    """The call `answer(*args, **kwargs)`, written as it will be made."""
    return Case(args, kwargs)


@dataclass(frozen=True)
class Mistake:
    """A misconception and how to recognise it.

    Attributes:
        name: short, for tests and messages: "kernel flipped".
        hint: what to tell the learner who made it; says what is seen, then what to think about.
        wrong: the same call as the solution's, giving what that learner's code would give. None where only the
            exercise's own `judge` recognises it.
    """

    name: str
    hint: str
    wrong: Callable[..., Any] | None = None


@dataclass
class Trial:
    """One case as the learner's answer dealt with it."""

    case: Case
    expected: Any = None
    got: Any = None
    error: BaseException | None = None
    printed: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise: the solution is `module.name`, and the learner writes something of the same name.

    Attributes:
        id: "20.2": lesson and number.
        module: `__name__` of the topic module that holds the solution.
        name: of the solution there and of the stub in the lesson: a function, or any other value.
        title: in a few words.
        dots: 1 (easy) to 3.
        hints: two or more, each a step further.
        why: the worked explanation that goes with the solution.
        cases: gives the cases from a seeded generator: hand-made small ones first, then random ones.
        mistakes: the misconceptions it recognises.
        parts: names of what a tuple result holds, for messages.
        exact_dtype: the result must have the solution's dtype, not only its kind (float, integer, bool).
        tolerance: largest difference that counts as equal, absolute and relative.
        run: how to call the answer, where calling it with the case's input is not enough.
        judge: finds the problem with a result that is not judged by comparing with the solution's.
    """

    id: str
    module: str
    name: str
    title: str
    dots: int
    hints: tuple[str, ...]
    why: str
    cases: Callable[[np.random.Generator], Iterable[Case]] = lambda rng: [Case()]
    mistakes: tuple[Mistake, ...] = ()
    parts: tuple[str, ...] = ()
    exact_dtype: bool = False
    tolerance: float = 1e-5
    run: Callable[..., Any] | None = None
    judge: Callable[..., Problem | None] | None = None

    @property
    def topic(self) -> str:
        """Name of the topic module: "convolution"."""
        return self.module.rpartition(".")[2]

    @property
    def solution(self) -> Any:
        """The reference: a function, or a value."""
        return getattr(sys.modules[self.module], self.name)

    def check(self, answer: Any) -> Report:
        """Say `correct`, `not yet` or `not attempted yet` about the learner's answer; never raise.

        Args:
            answer: the function itself, without brackets, or the value where the exercise asks for one.

        Returns:
            A report that the notebook shows; `.outcome` holds the verdict.
        """
        try:
            report = _check(self, answer)
        except (Exception, _limit.TimeUp) as error:
            text = f"The check stumbled over this answer ({type(error).__name__}: {error}). Please report it."
            return Report(f"Exercise {self.id}", NOT_YET, (("note", text),))
        if report.outcome != NOT_ATTEMPTED:
            progress.record_attempt(self.id, report.outcome)
        return report


def _check(exercise: Exercise, answer: Any) -> Report:
    heading = f"Exercise {exercise.id}"
    first_hint = Report(heading, NOT_ATTEMPTED, (("hint", exercise.hints[0]),))
    if _is_stub(answer):
        return first_hint
    if callable(exercise.solution) and not callable(answer):
        return Report(heading, NOT_YET, _rows_for_value_instead_of_function(exercise, answer))
    trials = []
    start = time.monotonic()
    for each in exercise.cases(np.random.default_rng(0)):
        trial = _try(exercise, answer, each, LIMIT_S - (time.monotonic() - start))
        trials.append(trial)
        if len(trials) == 1 and (trial.got is Ellipsis or _is_untouched(trial.error)):
            return first_hint
        if isinstance(trial.error, _limit.TimeUp):
            break
    failed = [trial for trial in trials if trial.problem]
    if not failed:
        return Report(heading, CORRECT, (("next", f'`exercises.solution("{exercise.id}")` shows ours, and why.'),))
    worst = min(failed, key=lambda trial: _size(trial.case))  # of equals the first, which was made by hand
    return _report(exercise, worst, trials)


def _is_stub(answer: Any) -> bool:
    """Whether nothing was written yet: `...`, None, or a function whose body does nothing."""
    if answer is None or answer is Ellipsis or answer is NotImplemented:
        return True
    code = getattr(answer, "__code__", None)
    if code is None:
        return False
    steps = list(dis.get_instructions(code))
    idle = {"RESUME", "NOP", "CACHE", "LOAD_CONST", "POP_TOP", "RETURN_VALUE", "RETURN_CONST", "RESUME_CHECK"}
    loaded = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(step.opname in idle for step in steps) and all(value is None or value is Ellipsis for value in loaded)


def _is_untouched(error: BaseException | None) -> bool:
    """Whether the stub's own `raise NotImplementedError` came, not one from inside a library."""
    if not isinstance(error, NotImplementedError) or error.__traceback__ is None:
        return False
    last = list(traceback.walk_tb(error.__traceback__))[-1][0]
    return "NotImplementedError" in last.f_code.co_names


def _rows_for_value_instead_of_function(exercise: Exercise, answer: Any) -> tuple[tuple[str, str], ...]:
    call = f"check_{exercise.name.removeprefix('my_')}({exercise.name})"
    hint = f"Hand over the function itself, without brackets: `{call}`."
    return (("expected", f"a function {exercise.name}"), ("got", show(answer)), ("hint", hint))


def _try(exercise: Exercise, answer: Any, each: Case, seconds: float) -> Trial:
    trial = Trial(each)
    if not callable(exercise.solution):
        trial.got, trial.expected = answer, exercise.solution
    else:
        trial.expected = _call(exercise, exercise.solution, each)
        given = copy.deepcopy(each)
        trial.problem = _signature_problem(exercise, answer, each)
        if trial.problem:
            return trial
        printed = _Capped()
        try:
            with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial.got = _limit.call(lambda: _call(exercise, answer, given), seconds)
        except (Exception, SystemExit, _limit.TimeUp) as error:
            trial.error = error
            trial.problem = _error_problem(error)
        trial.printed = printed.getvalue()
        if trial.error:
            return trial
        trial.problem = _unreadable_problem(trial.got)
    if trial.problem is None:
        trial.problem = _result_problem(exercise, trial)
    if callable(exercise.solution):
        changed = _input_problem(exercise, each, given)
        if trial.problem is None:
            trial.problem = changed
        elif changed and not trial.problem.hint:
            trial.problem = replace(trial.problem, hint=changed.hint)
    return trial


def _call(exercise: Exercise, function: Any, each: Case) -> Any:
    if exercise.run:
        return exercise.run(function, *each.args, **each.kwargs)
    return function(*each.args, **each.kwargs)


def _signature_problem(exercise: Exercise, answer: Any, each: Case) -> Problem | None:
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):  # some built-ins have none; then the call will tell
        return None
    try:
        signature.bind(*each.args, **each.kwargs)
    except TypeError as error:
        wanted = inspect.signature(exercise.solution)
        return Problem(
            ERROR,
            f"{exercise.name}({', '.join(str(p).split(':')[0] + _default(p) for p in wanted.parameters.values())})",
            f"({', '.join(signature.parameters)}): {error}",
            "The arguments do not fit: keep those of the stub, in its order.",
        )
    return None


def _default(parameter: inspect.Parameter) -> str:
    return "" if parameter.default is parameter.empty else f"={parameter.default}"


def _error_problem(error: BaseException) -> Problem:
    if isinstance(error, _limit.TimeUp):
        got = f"no result within {LIMIT_S:g} s{_where(error)}"
        return Problem(ERROR, "a result", got, "Is there a loop that never ends? See what makes its condition false.")
    message = str(error).splitlines()[0] if str(error) else ""
    got = f"{type(error).__name__}{': ' if message else ''}{message}{_where(error)}"
    return Problem(ERROR, "a result", got, "Your code raised an error; the line where it happened is shown above.")


def _where(error: BaseException) -> str:
    r"""Such as "\nline 3 of your code: total += image[i, j]": the innermost line that is the learner's."""
    lines = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        if _is_theirs(frame.f_code.co_filename):
            text = linecache.getline(frame.f_code.co_filename, number).strip()
            lines = f"\nline {number} of your code{': ' if text else ''}{text}"
    return lines


_OURS = [str(Path(__file__).parents[1]), *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))]


def _is_theirs(filename: str) -> bool:
    return not filename.startswith(("<frozen", "<__array", *_OURS))


def _unreadable_problem(got: Any) -> Problem | None:
    if got is None:
        return Problem(SHAPE, "a result", "None", "Your function returns nothing: is a `return` missing?")
    if got is Ellipsis or callable(got):
        return Problem(SHAPE, "a result", show(got), "Your function must return the result itself.")
    return None


def _result_problem(exercise: Exercise, trial: Trial) -> Problem | None:
    if exercise.judge:
        return exercise.judge(trial.got, trial.expected, *trial.case.args, **trial.case.kwargs)
    return compare(
        trial.got,
        trial.expected,
        parts=exercise.parts,
        exact_dtype=exercise.exact_dtype,
        tolerance=exercise.tolerance,
    )


def _input_problem(exercise: Exercise, before: Case, after: Case) -> Problem | None:
    names = list(inspect.signature(exercise.solution).parameters)
    pairs = [*zip(names, before.args, after.args, strict=False)]
    pairs += [(name, value, after.kwargs[name]) for name, value in before.kwargs.items()]
    for name, old, new in pairs:
        if not same(old, new):
            hint = f"Your function changed its input `{name}`, for everyone else who uses it: work on a copy."
            return Problem(INPUT, f"{name} as it was: {show(old)}", f"{name} changed: {show(new)}", hint)
    return None


def _size(each: Case) -> float:
    """How much there is to read in a case."""
    return sum(map(_weight, [*each.args, *each.kwargs.values()]))


def _weight(value: Any) -> float:
    if isinstance(value, (list, tuple)):
        return 1 + sum(map(_weight, value))
    array = to_array(value)
    if array is None:
        return 1
    return float(min(abs(array.item()), 100)) if array.ndim == 0 else array.size


def _report(exercise: Exercise, worst: Trial, trials: list[Trial]) -> Report:
    problem = worst.problem
    assert problem is not None
    known = {mistake.name: mistake for mistake in exercise.mistakes}
    name = problem.mistake or _recognise(exercise, worst, trials)
    hint = known[name].hint if name else problem.hint or f'`exercises.hint("{exercise.id}")` gives a hint.'
    rows = [("input", _show_input(exercise, worst.case))] if worst.case.args or worst.case.kwargs else []
    rows += [("expected", problem.expected), ("got", problem.got)]
    if worst.printed.strip():
        rows.append(("printed", "\n".join(worst.printed.strip().splitlines()[:PRINTED_LINES])))
    return Report(f"Exercise {exercise.id}", NOT_YET, (*rows, ("hint", hint)), name)


def _show_input(exercise: Exercise, each: Case) -> str:
    names = list(inspect.signature(exercise.solution).parameters)
    given = [*zip(names, each.args, strict=False), *each.kwargs.items()]
    return "\n".join(f"{name} = {show(value)}" for name, value in given)


def _recognise(exercise: Exercise, worst: Trial, trials: list[Trial]) -> str | None:
    """The mistake whose result is the learner's on the reported case, and on half of all that fail in the same way."""
    stage = worst.problem and worst.problem.stage
    same_way = [trial.problem is not None and trial.problem.stage == stage for trial in trials]
    best, most = None, 0
    for mistake in exercise.mistakes:
        if mistake.wrong is None or not _agrees(exercise, mistake, worst):
            continue
        agrees = [_agrees(exercise, mistake, trial) for trial in trials]
        score = sum(agrees)
        explained = sum(a and b for a, b in zip(agrees, same_way, strict=True))
        if 2 * explained < sum(same_way):
            continue  # a coincidence
        if worst.error and score < len(trials):
            continue  # that both raise the same type of error says little
        if score > most:
            best, most = mistake.name, score
    return best


def _agrees(exercise: Exercise, mistake: Mistake, trial: Trial) -> bool:
    given = copy.deepcopy(trial.case)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = _call(exercise, mistake.wrong, given)
    except Exception as error:
        return type(error) is type(trial.error)
    if trial.error or (trial.problem and trial.problem.stage == INPUT):
        return False
    return alike(trial.got, wrong, exercise.tolerance, dtype=bool(trial.problem and trial.problem.stage == DTYPE))


class _Capped(io.StringIO):
    """Keeps the first 10,000 characters, whatever a loop prints."""

    def write(self, text: str) -> int:
        if self.tell() < 10_000:
            super().write(text)
        return len(text)
