"""Every lesson with every solution in its stub cell: all checks say correct."""

from pathlib import Path

import pytest

from medlab import course

LESSONS = course.find(Path(__file__).parent.parent / "notebooks")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_with_every_solution_in_its_place_all_checks_say_correct(lesson, tmp_path):
    run = course.execute(lesson, tmp_path / lesson.name, solved=True, limit_s=900)
    assert run.error is None
