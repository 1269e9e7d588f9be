"""Every exercise: has what it must have, accepts its solution, refuses every mutant with the mutant's own hint."""

from __future__ import annotations

import ast
import inspect
import itertools
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mutants import Mutant, all_mutants

from medlab import exercises, progress
from medlab.exercises import CORRECT, NOT_ATTEMPTED, NOT_YET, _engine, _limit
from medlab.exercises._engine import Case, Exercise, Mistake, case
from medlab.exercises._report import Report, show

EVERY = exercises.ids()
MUTANTS = all_mutants()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDLAB_PROGRESS", str(tmp_path / "progress.sqlite3"))
    monkeypatch.setattr(progress, "_locked", {})
    monkeypatch.setattr(exercises, "_hints_given", {})


# What every exercise must have


@pytest.mark.parametrize("name", EVERY)
def test_exercise_is_complete(name: str) -> None:
    exercise = exercises.get(name)
    assert exercise.dots in (1, 2, 3)
    assert exercise.title
    assert len(exercise.hints) >= 2
    assert len(exercise.why.split()) >= 15
    assert exercise.name.startswith("my_")
    check = getattr(getattr(exercises, exercise.topic), f"check_{exercise.name.removeprefix('my_')}")
    assert check.__self__ is exercise
    assert len({id(m.answer) for m in MUTANTS if m.exercise == name}) >= 3


@pytest.mark.parametrize("name", EVERY)
def test_every_misconception_is_made_by_a_mutant(name: str) -> None:
    known = [mistake.name for mistake in exercises.get(name).mistakes]
    assert len(known) == len(set(known))
    assert set(known) == {mutant.mistake for mutant in MUTANTS if mutant.exercise == name} - {None}


def test_no_two_misconceptions_share_a_hint() -> None:
    for name in EVERY:
        hints = [mistake.hint for mistake in exercises.get(name).mistakes]
        assert len(hints) == len(set(hints)), name


@pytest.mark.parametrize("name", EVERY)
def test_solution_stands_alone_and_is_correct(name: str) -> None:
    exercise = exercises.get(name)
    lesson = {"np": np, "torch": torch}  # what a lesson imports
    exec(exercises.solution_source(name), lesson)
    report = exercise.check(lesson[exercise.name])
    assert report.outcome == CORRECT, str(report)


@pytest.mark.parametrize("name", EVERY)
def test_stub_is_not_attempted_and_gives_the_first_hint(name: str) -> None:
    exercise = exercises.get(name)
    lesson = {"np": np, "torch": torch}
    exec(exercises.stub_source(name), lesson)
    report = exercise.check(lesson[exercise.name])
    assert report.outcome == NOT_ATTEMPTED
    assert report.rows == (("hint", exercise.hints[0]),)


@pytest.mark.parametrize("name", EVERY)
def test_stub_and_solution_begin_with_the_line_that_names_them(name: str) -> None:
    for text in (exercises.stub_source(name), exercises.solution_source(name)):
        assert exercises.exercise_in(text) == name
        assert all(len(line) <= 120 for line in text.splitlines())
    if inspect.isfunction(exercises.get(name).solution):
        stub = ast.parse(exercises.stub_source(name)).body[0]
        assert ast.get_docstring(stub)
        assert len(stub.body) == 2  # the docstring and `raise`
    else:
        assert exercises.stub_source(name).count("\n# ") >= 1  # the task, as comments
    assert len(exercises.stub_source(name).splitlines()) <= 24


@pytest.mark.parametrize(
    "mutant",
    MUTANTS,
    ids=lambda m: f"{m.exercise}-{(m.mistake or m.says).replace(' ', '_')}-{getattr(m.answer, '__name__', 'value')}",
)
def test_mutant_is_refused_with_its_own_hint(mutant: Mutant) -> None:
    exercise = exercises.get(mutant.exercise)
    report = exercise.check(mutant.answer)
    assert report.outcome == NOT_YET, str(report)
    assert report.mistake == mutant.mistake, str(report)
    hint = dict(report.rows)["hint"]
    if mutant.mistake:
        assert hint == next(m.hint for m in exercise.mistakes if m.name == mutant.mistake)
    else:
        assert mutant.says, "a mutant names its mistake or words of its hint"
        assert mutant.says in hint


def test_same_answer_gives_the_same_text_twice() -> None:
    for mutant in MUTANTS[::7]:
        check = exercises.get(mutant.exercise).check
        first, second = check(mutant.answer), check(mutant.answer)
        assert str(first) == str(second)
        assert first._repr_html_() == second._repr_html_()
        assert " at 0x" not in str(first)


# What the engine bears with; the exercise: twice a float array


def my_double(x: np.ndarray) -> np.ndarray:
    """Twice x."""
    return 2 * x


def _cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([[1.0, 2.0]], dtype=np.float32))
    yield case(rng.normal(size=(3, 5)).astype(np.float32))
    yield case(rng.normal(size=(7, 9)).astype(np.float32))


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Exercise:
    monkeypatch.setattr(_engine, "LIMIT_S", 0.4)
    return Exercise(
        id="99.1",
        module=__name__,
        name="my_double",
        title="Double",
        dots=1,
        hints=("Add it to itself.", "Multiply by 2."),
        why="x + x",
        cases=_cases,
        mistakes=(Mistake("squared", "That is the square.", lambda x: x**2),),
        exact_dtype=True,
    )


def rows(report: Report) -> dict[str, str]:
    assert report.outcome == NOT_YET, str(report)
    return dict(report.rows)


def test_right_answer_is_correct(double: Exercise) -> None:
    report = double.check(lambda x: x + x)
    assert str(report) == 'Exercise 99.1: correct\n  next  `exercises.solution("99.1")` shows ours, and why.'


def _stub_with_docstring(x):
    """Twice x."""


def _stub_with_dots(x): ...


def _stub_that_returns_dots(x):
    return ...


def _stub_that_raises(x):
    y = x + 1
    raise NotImplementedError(f"write me, {y}")


@pytest.mark.parametrize(
    "stub",
    [None, ..., NotImplemented, _stub_with_docstring, _stub_with_dots, _stub_that_returns_dots, _stub_that_raises],
)
def test_stub_of_any_kind_is_not_attempted(double: Exercise, stub: object) -> None:
    report = double.check(stub)
    assert str(report) == "Exercise 99.1: not attempted yet\n  hint  Add it to itself."


def test_stub_is_not_recorded_as_attempt(double: Exercise) -> None:
    double.check(...)
    assert progress.rows() == []
    double.check(lambda x: x)
    assert progress.rows()[0].attempts == 1


def test_not_implemented_inside_torch_is_an_attempt(double: Exercise) -> None:
    got = rows(double.check(lambda x: torch.empty(1, device="meta").cpu()))["got"]
    assert got.startswith("NotImplementedError: ")


def test_branch_that_is_still_missing_is_an_attempt(double: Exercise) -> None:
    def halfway(x):
        if x.size > 2:
            raise NotImplementedError
        return 2 * x

    assert "NotImplementedError" in rows(double.check(halfway))["got"]


def test_result_instead_of_function_says_no_brackets(double: Exercise) -> None:
    assert "without brackets" in rows(double.check(np.ones((1, 2))))["hint"]


@pytest.mark.parametrize(("function", "got"), [(lambda: 1, "()"), (lambda x, y: x, "(x, y)")])
def test_wrong_signature_shows_both(double: Exercise, function, got: str) -> None:
    found = rows(double.check(function))
    assert found["expected"] == "my_double(x)"
    assert found["got"].startswith(got)


def test_error_shows_the_line_of_their_code_and_no_path(double: Exercise) -> None:
    def answer(x):
        y = np.stack([x, x])
        return np.concatenate([y, x])  # the culprit

    got = rows(double.check(answer))["got"]
    assert got.startswith("ValueError: ")
    assert "of your code: return np.concatenate([y, x])  # the culprit" in got
    assert "/" not in got


def test_error_inside_a_library_shows_the_line_that_called_it(double: Exercise) -> None:
    def answer(x):
        return np.stack([x, x[0]])

    assert rows(double.check(answer))["got"].endswith("of your code: return np.stack([x, x[0]])")


def test_error_in_a_function_they_call_shows_the_innermost_line(double: Exercise) -> None:
    def helper(x):
        return x["no"]

    assert 'return x["no"]' in rows(double.check(lambda x: helper(x)))["got"]


def test_exit_inside_does_not_stop_the_lesson(double: Exercise) -> None:
    assert "SystemExit" in rows(double.check(lambda x: sys.exit(3)))["got"]


def test_stop_button_still_works(double: Exercise) -> None:
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        double.check(interrupted)


def test_error_whose_text_fails_does_not_stop_the_lesson(double: Exercise) -> None:
    class SpitefulError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def answer(x):
        raise SpitefulError

    assert double.check(answer).outcome == NOT_YET


def test_result_that_can_not_be_read_does_not_stop_the_lesson(double: Exercise) -> None:
    class Spiteful:
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError("nothing to see")

    assert double.check(lambda x: Spiteful()).outcome == NOT_YET


def test_recursion_without_end_is_an_error(double: Exercise) -> None:
    def deeper(x):
        return deeper(x)

    assert "RecursionError" in rows(double.check(deeper))["got"]


def _loops(x):
    while True:
        x = x + 1


def _loops_and_prints(x):
    while True:
        print("again and again")


def _loops_and_catches(x):
    while True:
        try:  # noqa: SIM105
            x = x + 1
        except Exception:
            pass


def _loops_and_swallows_most_strikes(x):
    while True:
        abs(x.size)
        try:
            for _ in range(2):
                x = x + 1
        except:  # noqa: E722
            pass


def _loops_and_hides_that_it_was_stopped(x):
    try:
        while True:
            x = x + 1
    except Exception:
        return 2 * x


@pytest.mark.parametrize(
    "loop",
    [
        _loops,
        _loops_and_prints,
        _loops_and_catches,
        _loops_and_swallows_most_strikes,
        _loops_and_hides_that_it_was_stopped,
    ],
)
def test_endless_loop_ends_with_a_hint(double: Exercise, loop) -> None:
    start = time.monotonic()
    found = rows(double.check(loop))
    assert time.monotonic() - start < 10
    assert found["got"].startswith("no result within 0.4 s\nline ")
    assert "never ends" in found["hint"]
    assert len(found.get("printed", "").splitlines()) <= 8


def test_endless_loop_ends_in_a_thread_too(double: Exercise) -> None:
    reports = []
    thread = threading.Thread(target=lambda: reports.append(double.check(_loops)))
    thread.start()
    thread.join(20)
    assert "no result" in rows(reports[0])["got"]


def test_time_limit_lets_go_when_the_function_has_returned() -> None:
    for seconds in itertools.chain([1e-9, 1e-5, 1e-4, 1e-3] * 50, [5.0] * 5):
        try:
            assert _limit.call(lambda: 42, seconds) == 42
        except _limit.TimeUp:
            assert seconds < 1
    end = time.monotonic() + 0.1
    while time.monotonic() < end:  # a late strike would land here
        pass
    assert not [t for t in threading.enumerate() if t.name == "medlab time limit"]


def test_changed_input_is_refused_and_the_learners_array_is_not_touched(double: Exercise) -> None:
    def in_place(x):
        x *= 2
        return x

    found = rows(double.check(in_place))
    assert found["expected"] == "x as it was: [[1, 2]]"
    assert found["got"] == "x changed: [[2, 4]]"
    assert "copy" in found["hint"]


def test_list_is_refused_with_how_to_convert(double: Exercise) -> None:
    assert "np.array" in rows(double.check(lambda x: (2 * x).tolist()))["hint"]


def test_float64_is_refused_where_float32_is_asked_for(double: Exercise) -> None:
    found = rows(double.check(lambda x: 2.0 * x.astype(np.float64)))
    assert (found["expected"], found["got"]) == ("float32", "float64")
    assert "astype(np.float32)" in found["hint"]


def test_shape_comes_before_dtype_and_dtype_before_values(double: Exercise) -> None:
    assert "shape" in rows(double.check(lambda x: x.T.astype(int)))["got"]
    assert rows(double.check(lambda x: x.astype(int)))["got"] == "int64"
    assert rows(double.check(lambda x: x))["got"] == "[[1, 2]]"


def test_tensor_is_read_wherever_it_lies(double: Exercise) -> None:
    assert double.check(lambda x: 2 * torch.tensor(x)).outcome == CORRECT
    assert double.check(lambda x: (2 * torch.tensor(x)).requires_grad_()).outcome == CORRECT
    assert double.check(lambda x: torch.nn.Parameter(2 * torch.tensor(x))).outcome == CORRECT
    assert "meta" in rows(double.check(lambda x: torch.tensor(x, device="meta")))["got"]
    assert rows(double.check(lambda x: torch.tensor(x, dtype=torch.bfloat16)))["got"] == "[[1, 2]]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_tensor_on_a_gpu_is_read(double: Exercise) -> None:
    assert double.check(lambda x: 2 * torch.tensor(x, device="cuda")).outcome == CORRECT


def test_nan_is_named(double: Exercise) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "NaN" in rows(double.check(lambda x: x / x * np.float32("nan")))["hint"]


@pytest.mark.parametrize("odd", ["word", {"a": 1}, object(), np.array(["a"]), np.array([{}]), {1, 2}, b"x", 1j])
def test_result_that_is_no_number_is_refused(double: Exercise, odd: object) -> None:
    found = rows(double.check(lambda x: odd))
    assert "not made of numbers" in found["hint"]
    assert " at 0x" not in found["got"]


def test_all_zeros_are_refused(double: Exercise) -> None:
    assert double.check(np.zeros_like).outcome == NOT_YET


def test_forgotten_return_is_named(double: Exercise) -> None:
    def forgets(x):
        y = 2 * x  # noqa: F841

    assert "`return` missing" in rows(double.check(forgets))["hint"]


def test_misconception_is_recognised_by_its_result(double: Exercise) -> None:
    report = double.check(lambda x: x * x)
    assert report.mistake == "squared"
    assert rows(report)["hint"] == "That is the square."


def test_misconception_that_explains_most_is_named(double: Exercise) -> None:
    partly = Mistake("small only", "Squared where small.", lambda x: x**2 if x.size < 9 else x)
    same = Mistake("the same again", "Also the square.", lambda x: x * x)
    for mistakes in ((partly, *double.mistakes, same), (*double.mistakes, same, partly)):
        assert replace(double, mistakes=mistakes).check(lambda x: x * x).mistake == "squared"


def test_error_alone_is_not_taken_for_a_misconception(double: Exercise) -> None:
    raising = Mistake("as a matrix", "That is a matrix product.", lambda x: x @ x)
    matrix = replace(double, mistakes=(raising,))
    assert matrix.check(lambda x: x @ x).mistake == "as a matrix"
    assert matrix.check(lambda x: x @ x if x.size < 60 else 2 * x).mistake is None


def test_unknown_mistake_points_to_the_hints(double: Exercise) -> None:
    report = double.check(lambda x: x + np.float32(7))
    assert report.mistake is None
    assert rows(report)["hint"] == '`exercises.hint("99.1")` gives a hint.'


def test_smallest_failing_case_is_shown(double: Exercise) -> None:
    found = rows(double.check(lambda x: 2 * x if x.size != 15 else x))
    assert found["input"].count("[") == 4  # the 3 x 5 case, not the 7 x 9
    large = rows(double.check(lambda x: 2 * x if x.size < 60 else x))
    assert "63 of 63 values differ" in large["got"]
    assert large["input"] == "x = float32 array of shape (7, 9)"


def test_simplest_failing_case_is_shown_even_where_others_fail_worse(double: Exercise) -> None:
    def half_written(x):
        if x.size > 2:
            return x[0]
        return x**2

    report = double.check(half_written)
    assert rows(report)["input"] == "x = [[1, 2]]"
    assert report.mistake == "squared"


def test_what_they_print_is_shown_with_the_failing_case_only(double: Exercise, capsys) -> None:
    def talks(x):
        print("size", x.size)
        return x

    assert rows(double.check(talks))["printed"] == "size 2"
    assert capsys.readouterr().out == ""


def test_a_callable_object_is_an_answer(double: Exercise) -> None:
    class Layer(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    assert double.check(Layer()).outcome == CORRECT


def test_lazy_notebook_line_is_the_lesson_cells_line(double: Exercise) -> None:
    import linecache

    source = "def my_double(x):\n    y = 1\n    return x.nothing\n"
    linecache.cache["<cell 7>"] = (len(source), None, source.splitlines(True), "<cell 7>")
    lesson: dict = {}
    exec(compile(source, "<cell 7>", "exec"), lesson)
    got = rows(double.check(lesson["my_double"]))["got"]
    assert got.endswith("line 3 of your code: return x.nothing")


# Reports


def test_report_shows_itself_as_text_and_as_an_announced_box() -> None:
    report = Report("Exercise 1.1", NOT_YET, (("got", "<b>"), ("hint", "use `a < b`")))
    assert repr(report) == str(report) == "Exercise 1.1: not yet\n  got   <b>\n  hint  use `a < b`"
    box = report._repr_html_()
    assert 'role="status"' in box
    assert 'aria-live="polite"' in box
    assert "&lt;b&gt;" in box
    assert "a &lt; b</code>" in box


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([[1.0, 0.5]]), "[[1, 0.5]]"),
        (np.array([1, -10]), "[1, -10]"),
        (np.float32(1) / 3, "0.3333"),
        (True, "True"),
        ((1, 2.5), "(1, 2.5)"),
        ([(3, 1), (2, 2)], "[(3, 1), (2, 2)]"),
        ("word", "'word'"),
        (np.zeros((7, 9), np.float32), "float32 array of shape (7, 9)"),
    ],
)
def test_values_are_shown_short(value: object, text: str) -> None:
    assert show(value) == text


# Hints, solutions, predictions


def test_hints_come_one_after_the_other_and_then_all() -> None:
    name = "20.2"
    hints = exercises.get(name).hints
    for number, text in enumerate(hints, 1):
        assert exercises.hint(name).rows == ((f"hint {number}/{len(hints)}", text),)
    last = exercises.hint(name)
    assert [text for _, text in last.rows[:-1]] == list(hints)
    assert "exercises.solution" in last.rows[-1][1]
    assert progress.rows()[0].hints == len(hints)


def test_solution_shows_source_and_reason_and_is_recorded() -> None:
    report = exercises.solution("20.2")
    assert "def my_conv2d(" in str(report)
    assert exercises.get("20.2").why.split()[0] in str(report)
    assert progress.rows()[0].solution


def test_unknown_exercise_lists_those_of_the_lesson() -> None:
    with pytest.raises(KeyError, match=r"no exercise '20\.99'; there are 20\.1, 20\.2"):
        exercises.hint("20.99")


def test_unknown_topic_lists_the_topics() -> None:
    with pytest.raises(AttributeError, match="convolution"):
        exercises.convolutions  # noqa: B018
    assert "convolution" in dir(exercises)


def test_prediction_is_locked_with_the_first_answer() -> None:
    assert str(exercises.predict("20.a", 8)) == "Prediction 20.a\n  locked  8"
    again = exercises.predict("20.a", 30)
    assert dict(again.rows)["locked"] == "8"
    assert "first answer" in str(again)
    report = exercises.reveal("20.a", np.float64(30))
    assert str(report) == "Prediction 20.a: not this time\n  truth   30\n  answer  8"
    assert progress.predictions() == [("20.a", "8", False)]


def test_prediction_stays_locked_in_another_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    exercises.predict("20.a", [1, 2])
    monkeypatch.setattr(progress, "_locked", {})
    assert dict(exercises.predict("20.a", [3, 4]).rows)["locked"] == "[1, 2]"


@pytest.mark.parametrize("answer", [None, ...])
def test_prediction_without_answer_locks_nothing(answer: object) -> None:
    assert exercises.predict("20.a", answer).outcome == NOT_ATTEMPTED
    report = exercises.reveal("20.a", 30)
    assert str(report) == "Prediction 20.a: not attempted yet\n  truth  30"
    exercises.predict("20.a", 30)
    assert exercises.reveal("20.a", 30).outcome == CORRECT


@pytest.mark.parametrize(
    ("answer", "truth", "within", "right"),
    [
        (0.333, 1 / 3, None, True),
        (0.3, 1 / 3, None, False),
        (0.8, 0.84, 0.05, True),
        (0.7, 0.84, 0.05, False),
        ([[5, 6], [8, 9]], np.array([[5.0, 6.0], [8.0, 9.0]]), None, True),
        ([5, 6], np.array([[5.0, 6.0], [8.0, 9.0]]), None, False),
        ("Flipped ", "flipped", None, True),
        ("yes", True, None, False),
        (True, np.bool_(True), None, True),
        (torch.tensor(3), 3.0, None, True),
        ({"odd"}, 3, None, False),
        (float("nan"), 3, None, False),
    ],
)
def test_prediction_is_compared_with_the_truth(
    answer: object, truth: object, within: float | None, right: bool
) -> None:
    exercises.predict("20.b", answer)
    assert (exercises.reveal("20.b", truth, within=within).outcome == CORRECT) is right


def test_importing_exercises_does_not_import_torch() -> None:
    code = (
        "import sys; from medlab import exercises; exercises.titles();"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
