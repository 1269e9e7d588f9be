import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from lessons import clean_lesson, code, stream, write
from nbformat import v4

from medlab import editions, exercises

EXERCISES = {"00.1": "start.check_voxel_ml(my_voxel_ml)", "20.3": "convolution.check_kernel(my_kernel)"}


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    notebook = clean_lesson()
    imports = code("import numpy as np\nfrom medlab import exercises\nprint('ready')", stream("ready\n"))
    notebook.cells = [cell for cell in notebook.cells if "exercise" not in cell.metadata.get("tags", ())]
    notebook.cells.insert(1, imports)
    for exercise, call in EXERCISES.items():
        notebook.cells.append(code(exercises.stub_source(exercise), tags=("exercise",)))
        shown = v4.new_output("execute_result", {"text/plain": f"Exercise {exercise}: not attempted yet"})
        notebook.cells.append(code(f"exercises.{call}", shown))
    return write(notebook, tmp_path_factory.mktemp("notebooks") / "10_small_lesson.ipynb")


def read(path):
    return nbformat.read(path, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.parametrize("kind", editions.KINDS)
def test_the_same_edition_twice_is_the_same_file(kind, lesson, tmp_path):
    before = lesson.read_bytes()
    [one], [other] = (editions.build(kind, [lesson], tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert lesson.read_bytes() == before
    nbformat.validate(read(one))
    assert [path for path in one.parent.iterdir() if path != one] == []


def test_a_student_gets_the_lesson_without_outputs(lesson, tmp_path):
    [path] = editions.build("student", [lesson], tmp_path)
    assert path == tmp_path / lesson.name
    notebook = read(path)
    assert outputs(notebook) == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in read(lesson).cells]


def test_the_solved_edition_is_executed_and_every_check_says_correct(lesson, tmp_path):
    [path] = editions.build("solved", [lesson], tmp_path)
    said = [output.get("data", {}).get("text/plain", "").splitlines()[:1] for output in outputs(read(path))]
    assert said[-2:] == [["Exercise 00.1: correct"], ["Exercise 20.3: correct"]]


def test_a_lesson_that_fails_solved_is_refused_and_nothing_is_written(lesson, tmp_path):
    notebook = read(lesson)
    notebook.cells[-1].source = "exercises.convolution.check_kernel(np.zeros((3, 3)))"
    spoilt = write(notebook, tmp_path / "lessons" / "10_spoilt.ipynb")
    with pytest.raises(ValueError, match=r"10_spoilt, Exercise 20.3: not yet"):
        editions.build("solved", [spoilt], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_edition_is_refused(lesson, tmp_path):
    with pytest.raises(ValueError, match="one of student, solved, nbgrader, got 'teacher'"):
        editions.build("teacher", [lesson], tmp_path)


def test_an_exercise_without_its_check_is_no_assignment(lesson, tmp_path):
    notebook = read(lesson)
    notebook.cells.pop()
    spoilt = write(notebook, tmp_path / "10_spoilt.ipynb")
    with pytest.raises(ValueError, match=r"no cell ends in exercises.convolution.check_kernel\(my_kernel\)"):
        editions.build("nbgrader", [spoilt], tmp_path / "out")


@pytest.fixture(autouse=True, scope="module")
def _scripts_on_path():
    """nbgrader starts alembic by its bare name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"])
        yield


def nbgrader(folder, *arguments):
    command = [sys.executable, "-m", "nbgrader", *arguments, f"--CourseDirectory.root={folder}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower(), done.stderr


@pytest.fixture(scope="module")
def released(lesson, tmp_path_factory):
    """An nbgrader course with one assignment, released to the students."""
    folder = tmp_path_factory.mktemp("nbgrader")
    editions.build("nbgrader", [lesson], folder)
    nbgrader(folder, "generate_assignment", lesson.stem)
    return folder


def role(cell):
    return cell.metadata.get("nbgrader", {})


def test_nbgrader_releases_stubs_and_locked_checks(released, lesson):
    cells = read(released / "release" / lesson.stem / lesson.name).cells
    answers = [cell.source for cell in cells if role(cell).get("solution")]
    checks = [cell for cell in cells if role(cell).get("grade")]
    assert len(answers) == len(checks) == 2
    assert all("YOUR CODE HERE" in answer and "SOLUTION" not in answer for answer in answers)
    assert [role(cell)["points"] for cell in checks] == [exercises.get(exercise).dots for exercise in EXERCISES]
    assert all(role(cell)["locked"] and "deletable" in cell.metadata for cell in checks)


def points(folder):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        submission = gradebook.assignment_submissions("10_small_lesson")[0]
        return submission.score, submission.max_score


def test_nbgrader_scores_one_right_and_one_wrong_answer(released, lesson):
    notebook = read(released / "release" / lesson.stem / lesson.name)
    right, wrong = (cell for cell in notebook.cells if role(cell).get("solution"))
    right.source = exercises.solution_source("00.1")
    wrong.source = "my_kernel = np.ones((3, 3))"
    write(notebook, Path(released, "submitted", "ada", lesson.stem, lesson.name))
    nbgrader(released, "autograde", lesson.stem, "--create")
    assert points(released) == (exercises.get("00.1").dots, sum(exercises.get(name).dots for name in EXERCISES))
