import pytest
from lessons import clean_lesson, code
from nbformat import v4

from medlab import exercises, solving


def verdict(text):
    return v4.new_output("display_data", {"text/plain": text})


def lesson_with(*outputs, exercise="00.1"):
    lesson = clean_lesson()
    lesson.cells = [code(exercises.stub_source(exercise), tags=("exercise",)), code("check()", *outputs)]
    return lesson


def test_a_solved_lesson_holds_the_solution_in_place_of_the_stub():
    lesson = lesson_with()
    solved = solving.solve(lesson)
    space: dict = {}
    exec(solved.cells[0].source, space)
    assert space["my_voxel_ml"]((5, 2, 1)) == pytest.approx(0.01)
    assert solved.cells[1] == lesson.cells[1]
    assert lesson.cells[0].source == exercises.stub_source("00.1")


def test_an_exercise_cell_without_its_line_is_named():
    lesson = lesson_with()
    lesson.cells[0].source = "def my_voxel_ml(): ..."
    with pytest.raises(ValueError, match=r"must begin with '# Exercise 20.2 ••  title', got 'def my_voxel_ml"):
        solving.solve(lesson)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (["Exercise 00.1: correct\n  next  see"], []),
        (["Exercise 00.1: not yet\n  got  3"], ["Exercise 00.1: not yet"]),
        (["Exercise 00.1: not attempted yet"], ["Exercise 00.1: not attempted yet"]),
        (["Exercise 00.1: not yet", "Exercise 00.1: correct"], []),
        (["Exercise 00.1: correct", "Exercise 00.1: not yet"], ["Exercise 00.1: not yet"]),
        (["Exercise 00.2: correct"], ["Exercise 00.1: no cell checks it"]),
        ([], ["Exercise 00.1: no cell checks it"]),
    ],
)
def test_the_last_verdict_counts_and_must_be_correct(said, found):
    assert solving.not_correct(lesson_with(*map(verdict, said))) == found
