import subprocess
import sys

import nbformat
import pytest
from lessons import clean_lesson, code, write

import medlab
from medlab import cli, course, exercises, manifests
from medlab.hygiene import normalise


@pytest.fixture
def course_folder(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    write(clean_lesson(), folder / "10_small_lesson.ipynb")
    failing = clean_lesson()
    failing.cells.append(code("raise RuntimeError('no such voxel')"))
    write(failing, folder / "20_failing.ipynb")
    (folder / "full.toml").write_text('[10_small_lesson]\nsteps = 10\nmode = "b"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def executed(monkeypatch):
    """What would have been run: (lesson, output, parameters, limit in s)."""
    calls = []

    def execute(lesson, output, values, *, solved, limit_s, progress):
        calls.append((lesson.stem, output.as_posix(), values, limit_s))
        return course.Run(lesson.stem, 6.0, 100.0)

    monkeypatch.setattr(course, "execute", execute)
    return calls


def printed_first_line(path):
    cells = normalise(nbformat.read(path, as_version=4)).cells
    return next(cell.outputs[0].text for cell in cells if cell.cell_type == "code" and cell.outputs)


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"medlab {medlab.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["data"], "the following arguments are required: ACTION"),
        (["train"], "invalid choice: 'train'"),
        (["run", "-p", "steps"], "argument -p/--parameter: expected 2 arguments"),
        (["run", "--limit", "long"], "argument --limit: invalid float value: 'long'"),
    ],
)
def test_a_command_that_makes_no_sense_exits_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert message in capsys.readouterr().err


def test_running_executes_every_lesson_into_build_and_shows_a_table(course_folder, capsys):
    assert cli.main(["run"]) == 1
    assert printed_first_line(course_folder / "build" / "10_small_lesson.ipynb") == "3 a\n"
    assert (course_folder / "build" / "20_failing.ipynb").exists()
    printed = capsys.readouterr()
    table = printed.out.splitlines()
    assert table[0].split() == ["lesson", "minutes", "peak", "memory", "verdict"]
    assert (table[1].split()[0], table[1].split()[-1]) == ("10_small_lesson", "ok")
    assert (table[2].split()[0], table[2].split()[-1]) == ("20_failing", "FAILED")
    assert printed.err.startswith("20_failing, code cell 8 (id ")
    assert printed.err.endswith("RuntimeError: no such voxel\n")


def test_parameters_of_the_command_line_stand_above_those_of_the_full_run(course_folder, executed):
    assert cli.main(["run", "10", "--full", "-p", "mode", "None", "-p", "steps", "7", "--output", "elsewhere"]) == 0
    assert executed == [("10_small_lesson", "elsewhere/10_small_lesson.ipynb", {"steps": 7, "mode": None}, 14400)]


def test_a_run_has_half_an_hour_unless_told_otherwise(course_folder, executed):
    assert cli.main(["run", "10"]) == 0
    assert cli.main(["run", "10", "--limit", "0.5"]) == 0
    assert [call[3] for call in executed] == [1800, 30]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["11"], "medlab: there is no lesson '11'; the lessons are: 10_small_lesson, 20_failing\n"),
        (
            ["10", "20", "-p", "step", "7"],
            "medlab: 10_small_lesson has no parameter 'step'; did you mean steps? it has: ",
        ),
        (["--full"], "medlab: 20_failing has no full run (full.toml has no entry [20_failing]); full runs: 10_small_"),
    ],
)
def test_a_wrong_request_ends_before_anything_runs(arguments, message, course_folder, executed, capsys):
    assert cli.main(["run", *arguments]) == 2
    assert executed == []
    assert capsys.readouterr().err.startswith(message)


def test_running_without_a_checkout_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(course, "__file__", str(tmp_path / "site-packages" / "medlab" / "course.py"))
    assert cli.main(["run"]) == 1
    assert capsys.readouterr().err == (
        "medlab: no folder notebooks/ with lessons here or above; run medlab inside a checkout of the repository\n"
    )


def test_interrupting_ends_without_a_traceback(course_folder, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "execute", interrupted)
    assert cli.main(["run", "10"]) == 130
    assert capsys.readouterr().err == "medlab: interrupted\n"


def test_a_solved_run_fails_where_a_check_does_not_say_correct(tmp_path, monkeypatch, capsys):
    lesson = clean_lesson()
    lesson.cells = [cell for cell in lesson.cells if "exercise" not in cell.metadata.get("tags", ())]
    lesson.cells += [
        code("import numpy as np\n\nfrom medlab import exercises"),
        code(exercises.stub_source("00.1"), tags=("exercise",)),
        code("exercises.start.check_voxel_ml(my_voxel_ml)"),
        code(exercises.stub_source("00.2"), tags=("exercise",)),
        code("exercises.start.check_middle_slice(lambda volume: volume[0])"),
    ]
    write(lesson, tmp_path / "notebooks" / "10_small_lesson.ipynb")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "10"]) == 0
    assert cli.main(["run", "10", "--solved"]) == 1
    assert capsys.readouterr().err == "10_small_lesson, Exercise 00.2: not yet\n"


def test_a_students_edition_is_written_into_build(course_folder, capsys):
    assert cli.main(["course", "student", "10"]) == 0
    assert capsys.readouterr().out == "build/student/10_small_lesson.ipynb\n"
    assert (course_folder / "build" / "student" / "10_small_lesson.ipynb").is_file()


def test_progress_is_printed_and_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDLAB_PROGRESS", str(tmp_path / "progress.sqlite3"))
    exercises.start.check_voxel_ml(lambda spacing_mm: 1.0)
    assert cli.main(["progress", "--picture", str(tmp_path / "mine.png")]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("00.1")]
    assert "not yet" in line
    assert (tmp_path / "mine.png").stat().st_size > 0


def test_listing_shows_a_line_for_each_data_set(capsys):
    assert cli.main(["data", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "modality", "anatomy", "task", "licence", "size", "here"]
    assert [row.split()[0] for row in rows] == manifests.names()
    (hippocampus,) = (row for row in rows if row.startswith("msd-hippocampus "))
    assert hippocampus.split()[:6] == ["msd-hippocampus", "MR", "brain", "segmentation", "CC-BY-SA-4.0", "28.4"]


def test_showing_prints_what_is_known(capsys):
    assert cli.main(["data", "show", "chase-db1"]) == 0
    assert capsys.readouterr().out == manifests.describe("chase-db1") + "\n"


@pytest.mark.parametrize("action", ["show", "fetch", "verify"])
def test_an_unknown_data_set_is_refused_with_the_nearest(action, capsys):
    assert cli.main(["data", action, "msd-hipocampus"]) == 2
    assert "msd-hippocampus" in capsys.readouterr().err


def test_fetching_prints_the_folder(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(manifests, "fetch", lambda name, *, part: asked.append((name, part)) or tmp_path)
    assert cli.main(["data", "fetch", "breastmnist", "--part", "64"]) == 0
    assert asked == [("breastmnist", "64")]
    assert capsys.readouterr().out == f"{tmp_path}\n"


def test_fetching_without_a_network_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path))
    monkeypatch.delenv("MEDLAB_MIRROR", raising=False)
    assert cli.main(["data", "fetch", "msd-hippocampus"]) == 1
    said = capsys.readouterr().err
    for needed in ("Task04_Hippocampus.tar", str(tmp_path), 'load("brain")', "MEDLAB_MIRROR"):
        assert needed in said
    assert "Traceback" not in said


def test_verifying_fails_for_a_set_that_is_not_here(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MEDLAB_DATA", str(tmp_path))
    monkeypatch.delenv("MEDLAB_MIRROR", raising=False)
    assert cli.main(["data", "verify"]) == 0
    assert capsys.readouterr().out == "no public data set is on this machine\n"
    assert cli.main(["data", "verify", "chase-db1"]) == 1
    assert "chase-db1" in capsys.readouterr().out


def test_the_module_runs_as_a_command():
    command = [sys.executable, "-m", "medlab.cli", "data", "show", "no-such-set"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("medlab: no data set is called 'no-such-set'")
