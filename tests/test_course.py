import re

import nbformat
import psutil
import pytest
from lessons import clean_lesson, code, write

from medlab import course
from medlab.hygiene import normalise


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    write(clean_lesson(), folder / "10_small_lesson.ipynb")
    failing = clean_lesson()
    failing.cells.append(code("import time; time.sleep(60 if steps == 8 else 0); raise RuntimeError('no such voxel')"))
    write(failing, folder / "20_failing.ipynb")
    hungry = clean_lesson()
    hungry.cells.append(code("import os, pathlib; os._exit(1) if steps == 9 else print(pathlib.Path.cwd().name)"))
    hungry.cells.append(code("held = bytearray(b'x') * 500 * 2**20; del held"))
    write(hungry, folder / "30_hungry_2d.ipynb")
    write(clean_lesson(), folder / "notes.ipynb")
    (folder / "full.toml").write_text('[10_small_lesson]\nsteps = 10\nmode = "b"\n')
    return folder


def outputs_of(path):
    """What each cell printed; a busy kernel may send one line in two pieces, which are joined here."""
    cells = normalise(nbformat.read(path, as_version=4)).cells
    return [output.text for cell in cells if cell.cell_type == "code" for output in cell.outputs if "text" in output]


def test_lessons_are_found_by_their_names_in_course_order(notebooks):
    assert [path.name for path in course.find(notebooks)] == [
        "10_small_lesson.ipynb",
        "20_failing.ipynb",
        "30_hungry_2d.ipynb",
    ]


def test_the_notebooks_folder_is_found_from_a_folder_below(notebooks, monkeypatch):
    monkeypatch.chdir(notebooks)
    assert course.notebooks_folder() == notebooks


@pytest.mark.parametrize("name", ["30", "30_hungry_2d", "30_hungry_2d.ipynb", "notebooks/30_hungry_2d.ipynb"])
def test_a_lesson_goes_by_number_name_and_file(name, notebooks):
    assert course.resolve(name, course.find(notebooks)) == notebooks / "30_hungry_2d.ipynb"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hungry", "there is no lesson 'hungry'; did you mean 30_hungry_2d? the lessons are: 10_small_lesson, 20_"),
        ("10_small_lessen", "there is no lesson '10_small_lessen'; did you mean 10_small_lesson? the lessons are: "),
        ("99", "there is no lesson '99'; the lessons are: 10_small_lesson, 20_failing, 30_hungry_2d"),
    ],
)
def test_an_unknown_lesson_is_refused_with_what_there_is(name, message, notebooks):
    with pytest.raises(ValueError, match=re.escape(message)):
        course.resolve(name, course.find(notebooks))


def test_parameters_are_read_from_their_cell_with_defaults():
    assert course.parameters(clean_lesson()) == {"steps": "3", "mode": "'a'"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("False", False),
        ("None", None),
        ("12", 12),
        ("-1e-3", -0.001),
        ("msd-hippocampus", "msd-hippocampus"),
        ("true", "true"),
    ],
)
def test_values_are_read_as_papermill_reads_them(text, value):
    from papermill.cli import _resolve_type

    parsed = course.parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)
    assert parsed == _resolve_type(text)


def test_full_parameters_come_from_the_file_beside_the_lessons(notebooks):
    assert course.full_parameters(notebooks / "10_small_lesson.ipynb") == {"steps": 10, "mode": "b"}


def test_a_lesson_without_a_full_run_says_which_have_one(notebooks):
    with pytest.raises(ValueError, match=r"20_failing has no full run .* \[20_failing\]\); full runs: 10_small_lesson"):
        course.full_parameters(notebooks / "20_failing.ipynb")


def test_an_unknown_parameter_is_refused_before_anything_runs(notebooks, tmp_path):
    said = "10_small_lesson has no parameter 'step'; did you mean steps? it has: steps (default 3), mode (default 'a')"
    with pytest.raises(ValueError, match=re.escape(said)):
        course.execute(notebooks / "10_small_lesson.ipynb", tmp_path / "out.ipynb", {"step": 5})
    assert list(tmp_path.iterdir()) == []


def test_a_run_replaces_parameters_and_leaves_one_whole_file(notebooks, tmp_path):
    output = tmp_path / "build" / "10_small_lesson.ipynb"
    before = (notebooks / "10_small_lesson.ipynb").read_bytes()
    run = course.execute(notebooks / "10_small_lesson.ipynb", output, {"steps": 5, "mode": "b"})
    assert run.error is None
    assert outputs_of(output) == ["5 b\n", "2\n"]
    assert list(output.parent.iterdir()) == [output]
    assert (notebooks / "10_small_lesson.ipynb").read_bytes() == before


def test_a_failing_cell_is_named_and_the_notebook_kept_up_to_it(notebooks, tmp_path):
    run = course.execute(notebooks / "20_failing.ipynb", tmp_path / "20.ipynb", {"steps": 5})
    number = 8  # as its prompt would show: the injected parameters don't count
    cell_id = nbformat.read(notebooks / "20_failing.ipynb", as_version=4).cells[-1].id
    assert run.error is not None
    assert run.error.startswith(f"code cell {number} (id {cell_id}), `import time; ")
    assert run.error.endswith(": RuntimeError: no such voxel")
    assert outputs_of(tmp_path / "20.ipynb") == ["5 a\n", "2\n"]


def test_a_run_that_takes_too_long_is_stopped_with_its_kernel(notebooks, tmp_path):
    run = course.execute(notebooks / "20_failing.ipynb", tmp_path / "20.ipynb", {"steps": 8}, limit_s=3)
    assert run.error is not None
    assert run.error.startswith("code cell 8 ")
    assert run.error.endswith(": stopped, the lesson's 3 s were over")
    assert run.seconds < 55
    assert [child for child in psutil.Process().children() if "ipykernel" in " ".join(child.cmdline())] == []


def test_a_kernel_that_dies_is_reported(notebooks, tmp_path):
    run = course.execute(notebooks / "30_hungry_2d.ipynb", tmp_path / "30.ipynb", {"steps": 9})
    assert run.error is not None
    assert run.error.endswith("Kernel died (the usual reason is too little memory)")


def test_a_lesson_runs_in_its_own_folder_and_its_peak_memory_is_measured(notebooks, tmp_path):
    run = course.execute(notebooks / "30_hungry_2d.ipynb", tmp_path / "30.ipynb")
    assert run.error is None
    assert outputs_of(tmp_path / "30.ipynb")[-1] == "notebooks\n"
    assert 500 < run.peak_mib < 800  # 500 MiB held for a moment, and an empty kernel of about 70


def test_the_table_shows_minutes_memory_and_verdict():
    runs = [course.Run("10_small_lesson", 90.0, 512.4), course.Run("20_failing", 6.0, None, "code cell 8: no")]
    assert course.table(runs).splitlines() == [
        "lesson                             minutes  peak memory  verdict",
        "10_small_lesson                        1.5      512 MiB  ok",
        "20_failing                             0.1      unknown  FAILED",
    ]


def test_refreshing_stores_the_normal_form_and_reports_what_is_wrong(tmp_path, monkeypatch, capsys):
    stale = clean_lesson()
    stale.cells[3].outputs = []
    stale.cells[3].execution_count = None
    del stale.cells[5].metadata["tags"]
    lesson = write(stale, tmp_path / "notebooks" / "10_stale.ipynb")
    monkeypatch.chdir(tmp_path)
    assert course.main([]) == 0
    assert outputs_of(lesson) == ["3 a\n", "2\n"]
    assert nbformat.read(lesson, as_version=4).cells[3].execution_count == 1
    printed = capsys.readouterr()
    assert printed.err == "10_stale: 2 exercise cells; a lesson has three to six\n"
    assert "10_stale " in printed.out
    assert [path.name for path in lesson.parent.iterdir()] == [lesson.name]


def test_a_lesson_that_fails_is_not_refreshed(notebooks, monkeypatch, capsys):
    before = (notebooks / "20_failing.ipynb").read_bytes()
    monkeypatch.chdir(notebooks.parent)
    assert course.main(["20"]) == 1
    assert (notebooks / "20_failing.ipynb").read_bytes() == before
    assert "RuntimeError: no such voxel" in capsys.readouterr().err
