"""The lessons are what the style guide asks for, and the nbval run over them sees every change."""

import itertools
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from lessons import code, stream, write
from nbformat import v4

from medlab import course, exercises
from medlab.hygiene import PROGRESS_BAR, hygiene, normalise

ROOT = Path(__file__).parent.parent
LESSONS = course.find(ROOT / "notebooks")
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"


def named(lesson):
    return lesson.stem


def test_every_notebook_is_a_lesson():
    assert LESSONS
    assert sorted((ROOT / "notebooks").glob("*.ipynb")) == LESSONS


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_a_lesson_keeps_the_rules(lesson):
    assert hygiene(lesson) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_every_exercise_cell_holds_its_stub_and_the_next_code_cell_checks_it(lesson):
    cells = [cell for cell in nbformat.read(lesson, as_version=4).cells if cell.cell_type == "code"]
    for cell, following in itertools.pairwise(cells):
        if "exercise" in cell.metadata.get("tags", ()):
            exercise = exercises.get(exercises.exercise_in(cell.source))
            assert cell.source == exercises.stub_source(exercise.id)
            call = f"exercises.{exercise.topic}.check_{exercise.name.removeprefix('my_')}({exercise.name})"
            assert following.source.splitlines()[-1] == call


def test_full_runs_name_lessons_and_their_parameters():
    for stem in tomllib.loads((ROOT / "notebooks" / "full.toml").read_text()):
        lesson = course.resolve(stem, LESSONS)
        assert lesson.stem == stem
        course.refuse_unknown(lesson, course.full_parameters(lesson))


# What nbval sees ------------------------------------------------------------------------------------------------------


def nbval(notebook, folder):
    """Validate a notebook as `make test` does: for each code cell "passed", or the reason why not."""
    path, report = write(notebook, folder / "10_tried.ipynb"), folder / "report.xml"
    options = ["--nbval", "--nbval-current-env", f"--nbval-sanitize-with={SANITIZE}", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", f"--rootdir={folder}"]
    subprocess.run([*command, *options, path.name], cwd=folder, check=False, capture_output=True)
    cells = ElementTree.parse(report).iter("testcase")
    return ["passed" if len(cell) == 0 else cell[0].text for cell in cells]


def bar(done, total, name="Training"):
    percent = 100 * done // total
    return f"{name}: {percent:3}%|{'#' * (percent // 10):10}| {done}/{total} [00:0{done % 10}<?, ?step/s]"


def shown(text, **metadata):
    return v4.new_output("display_data", {"text/plain": text, "image/png": "AAAA"}, metadata=metadata)


DISPLAY = "from IPython.display import display\ndisplay({'text/plain': %r, 'image/png': 'BBBB'}, raw=True)"


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """One run over all the cells below; each test looks at its own."""
    cells = {
        "the same": code("print('1 slice')", stream("1 slice\n")),
        "a number": code("print('2 slices')", stream("1 slice\n")),
        "no longer printed": code("None", stream("1 slice\n")),
        "printed all at once": code("print('1 slice')"),
        "on stderr": code("import sys; print('1 slice', file=sys.stderr)", stream("1 slice\n")),
        "a value": code("0.85", v4.new_output("execute_result", {"text/plain": "0.84"}, execution_count=1)),
        "only the picture": code(DISPLAY % "a brain", shown("a brain")),
        "the alt text": code(DISPLAY % "a brain", shown("a heart")),
        "an error": code("1 / 0", stream("1 slice\n")),
        "ignored": code("print('2 s')", stream("1 s\n"), tags=("nbval-ignore-output",)),
        "bar": code(f"print({bar(5, 300)!r})", stream("(progress bar)\n")),
        "text beside a bar": code(f"print('2 slices\\n' + {bar(5, 300)!r})", stream("1 slice\n(progress bar)\n")),
        "text after a bar": code(f"print({bar(5, 300)!r} + ' 2 slices')", stream("(progress bar) 1 slice\n")),
        "count missing": code("print('1 slice')", stream("1 slice\n"), count=None),
        "count and output missing": code("print('1 slice')", count=None),
    }
    notebook = v4.new_notebook(cells=list(cells.values()))
    return dict(zip(cells, nbval(notebook, tmp_path_factory.mktemp("nbval")), strict=True))


@pytest.mark.parametrize("cell", ["the same", "only the picture", "ignored", "bar"])
def test_what_must_not_matter_passes(cell, verdicts):
    assert verdicts[cell] == "passed"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("a number", "Cell outputs differ"),
        ("no longer printed", "Missing output fields"),
        ("printed all at once", "Unexpected output fields"),
        ("on stderr", "Missing output fields"),
        ("a value", "Cell outputs differ"),
        ("the alt text", "Cell outputs differ"),
        ("an error", "ZeroDivisionError"),
        ("text beside a bar", "Cell outputs differ"),
        ("text after a bar", "Cell outputs differ"),
        ("count missing", "Unrun reference cell has outputs"),
    ],
)
def test_a_change_fails_and_says_how(cell, reason, verdicts):
    assert reason in verdicts[cell]


def test_what_nbval_lets_through_without_a_count_the_rules_refuse(verdicts, tmp_path):
    assert verdicts["count and output missing"] == "passed"  # hence the rule
    path = write(v4.new_notebook(cells=[code("print('1 slice')", count=None)]), tmp_path / "10_x.ipynb")
    assert "code cell 1 has no execution count, so nbval would not compare it: run make notebooks" in hygiene(path)


def test_the_sanitise_file_has_at_most_five_whole_rules():
    from nbval.plugin import get_sanitize_patterns

    text = SANITIZE.read_text()
    rules = get_sanitize_patterns(text)
    assert len(rules) == len(re.findall(r"^regex:", text, re.MULTILINE)) <= 5
    assert all(replacement.strip() for _, replacement in rules)
    assert (PROGRESS_BAR.pattern, "(progress bar)") in rules


# No network -----------------------------------------------------------------------------------------------------------

REACH_OUT = """
import socket, urllib.request
tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
for reach in (
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=5),
    lambda: tcp.connect_ex(("192.0.2.1", 80)),
    lambda: udp.sendto(b"x", ("192.0.2.1", 53)),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.gethostbyname("example.org"),
    lambda: urllib.request.urlopen("https://example.org", timeout=5),
):
    try:
        reach()
    except OSError as error:
        print("tests reach no network" in str(error))
    else:
        print("reached out")
tcp.close(), udp.close()
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
print("loopback works")
"""
REFUSED = "True\n" * 6 + "loopback works\n"


def test_this_process_reaches_no_network(capsys):
    exec(REACH_OUT, {})
    assert capsys.readouterr().out == REFUSED


def test_a_process_started_by_a_test_reaches_no_network():
    done = subprocess.run([sys.executable, "-c", REACH_OUT], capture_output=True, text=True, check=True)
    assert done.stdout == REFUSED


def test_a_kernel_of_papermill_or_nbval_reaches_no_network(tmp_path):
    notebook = v4.new_notebook(
        cells=[
            code(REACH_OUT, stream(REFUSED)),
            code("import os; print('MEDLAB_DATA' in os.environ)", stream("True\n")),
        ]
    )
    assert nbval(notebook, tmp_path) == ["passed", "passed"]
    run = course.execute(tmp_path / "10_tried.ipynb", tmp_path / "ran.ipynb")
    assert run.error is None
    assert normalise(nbformat.read(tmp_path / "ran.ipynb", as_version=4)).cells[0].outputs[0].text == REFUSED


def test_the_data_folder_is_not_the_users(tmp_path):
    assert Path(os.environ["MEDLAB_DATA"]).name.startswith("medlab-test-data-")
