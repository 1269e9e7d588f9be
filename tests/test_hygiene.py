import base64
import copy

import nbformat
import pytest
from lessons import PREDICT, clean_lesson, code, stream, write
from nbformat import v4

from medlab.hygiene import hygiene, normalise


def figure(kib=1, **metadata):
    png = base64.b64encode(b"\x89PNG" + bytes(kib * 1024)).decode()
    return v4.new_output("display_data", {"image/png": png, "text/plain": "a line"}, metadata=metadata)


def change(place, **fields):
    def spoil(notebook):
        for name, value in fields.items():
            setattr(notebook.cells[place], name, value)

    return spoil


def insert(*cells):
    def spoil(notebook):
        notebook.cells[-1:-1] = cells

    return spoil


def tag(place, *tags):
    return lambda notebook: notebook.cells[place].metadata.update(tags=list(tags))


def replace_text(old, new):
    def spoil(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)

    return spoil


def test_a_clean_lesson_has_no_problems(tmp_path):
    assert hygiene(write(clean_lesson(), tmp_path / "10_clean.ipynb")) == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (replace_text("# A small", "A small"), "the header does not state a title"),
        (replace_text("will be able to", "will"), "the header does not state what you will be able to do"),
        (replace_text("**Needs**", "Needs"), "the header does not state what it needs"),
        (replace_text("5 minutes", "a while"), "the header does not state minutes to work through"),
        (replace_text("peak memory", "disk"), "the header does not state minutes and peak memory of a run"),
        (replace_text("licence CC0", "free"), "the header does not state the data and its licence"),
        (replace_text("## What goes wrong", ""), "the section 'What goes wrong' is missing"),
        (replace_text("## Discussion", "Discussion"), "the section 'Discussion' is missing"),
        (tag(2), "there must be one cell tagged parameters, got 0"),
        (replace_text("mode = 'a'  # a or b", "mode = 'a'"), "code cell 2: \"mode = 'a'\" needs a comment"),
        (
            replace_text("steps = 3  # steps of training, 1 to 10", "print()"),
            "code cell 2: a parameters cell holds assignments only, got 'print()'",
        ),
        (change(3, execution_count=None), "code cell 3 has no execution count, so nbval would not compare it"),
        (change(3, execution_count=7), "code cell 3 has execution count 7"),
        (tag(3, "slow"), "cell 4 has the unknown tag 'slow'; known: exercise, gpu, nbval-ignore-output, parameters"),
        (lambda n: n.cells[3].metadata.update(collapsed=True), "cell 4 has metadata ['collapsed']"),
        (insert(code("# NBVAL_IGNORE_OUTPUT\n1;")), "cell 11 steers nbval by a comment"),
        (insert(code("1;\n" * 21)), "code cell 8 has 21 lines, 20 is the limit"),
        (insert(code("  ")), "code cell 8 is empty"),
        (insert(code("1/0", v4.new_output("error", ename="ZeroDivisionError"))), "the error ZeroDivisionError"),
        (insert(code("1", stream("a warning\n", "stderr"))), "code cell 8 writes to stderr: 'a warning'"),
        (insert(code("1", stream("/home/ann/x\n"))), "code cell 8: holds an absolute path: '/home/ann/x'"),
        (insert(code("1", stream("in C:\\Users\\x\n"))), "holds an absolute path: 'C:\\\\Users\\\\x'"),
        (insert(code("open('/tmp/x')")), 'source of cell 11: holds an absolute path: "/tmp/x\')"'),
        (insert(code("1", stream("at 2026-11-20 09:00\n"))), "holds a time stamp: '2026-11-20 09:00'"),
        (insert(code("1", figure())), "code cell 8: a figure has no alt text"),
        (insert(code("1", figure(101, **{"image/png": {"alt": "x"}}))), "code cell 8: a figure takes 103 KB"),
        (insert(code("1", stream("x" * 1_500_000))), "the file takes 1.5 MB, the limit is 1.5 MB"),
        (tag(5), "2 exercise cells; a lesson has three to six"),
        (replace_text(PREDICT, "Predict!"), "0 places where the reader predicts"),
    ],
)
def test_each_broken_rule_is_named(spoil, problem, tmp_path):
    notebook = clean_lesson()
    spoil(notebook)
    found = hygiene(write(notebook, tmp_path / "10_spoilt.ipynb"))
    assert len(found) == 1
    assert problem in found[0]


def test_a_quarter_of_the_cells_may_go_uncompared_and_no_more(tmp_path):
    notebook = clean_lesson()
    insert(code("1;", tags=("nbval-ignore-output",)), code("2;", tags=("nbval-ignore-output",)))(notebook)
    assert hygiene(write(notebook, tmp_path / "10_two_of_nine.ipynb")) == []
    insert(code("3;", tags=("nbval-ignore-output",)))(notebook)
    assert hygiene(write(notebook, tmp_path / "10_three_of_ten.ipynb")) == [
        "3 of 10 code cells are not compared, at most a quarter may be"
    ]


def test_prose_may_hold_web_addresses_and_dates(tmp_path):
    notebook = clean_lesson()
    insert(v4.new_markdown_cell("See <https://example.org/home/x>, of 2026-11-20; root/tmp/x."))(notebook)
    assert hygiene(write(notebook, tmp_path / "10_prose.ipynb")) == []


def test_normalising_removes_every_trace_of_a_run():
    notebook = clean_lesson()
    wanted = copy.deepcopy(notebook)
    wanted.cells[3].outputs = [stream("3 a\nb\n"), v4.new_output("execute_result", execution_count=1)]
    run = notebook
    run.metadata.update(
        papermill={"start_time": "2026-11-20T09:00"}, widgets={"state": {}}, kernelspec={"name": "venv"}
    )
    run.cells.insert(3, code("steps = 4", tags=("injected-parameters",)))
    for number, cell in enumerate(run.cells):
        cell.metadata.update(papermill={"duration": 1.0}, tags=list(reversed(cell.metadata.get("tags", []))))
        if cell.cell_type == "code":
            cell.execution_count = number
    run.cells[4].outputs = [stream("3 a\n"), stream("b\n"), v4.new_output("execute_result", execution_count=9)]
    normal = normalise(run)
    assert normal.cells == wanted.cells
    assert normal.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert set(normal.metadata) == {"kernelspec", "language_info"}
    assert normalise(normal) == normal


def test_normalising_keeps_cell_ids_and_mends_missing_and_doubled_ones():
    notebook = clean_lesson()
    ids = [cell.id for cell in notebook.cells]
    notebook.cells[4].id = ids[1]
    del notebook.cells[6]["id"]
    normal = normalise(notebook)
    assert [cell.id for cell in normal.cells] == [*ids[:4], "cell-4", ids[5], "cell-6", *ids[7:]]
    nbformat.validate(normal)


def test_normalising_keeps_only_the_still_twin_of_a_widget():
    notebook = clean_lesson()
    bar = "Training:   0%|          | 0/300 [00:00<?, ?step/s]"
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a1b2"}, "text/plain": bar}
    notebook.cells[3].outputs = [v4.new_output("display_data", view)]
    assert normalise(notebook).cells[3].outputs[0].data == {"text/plain": "(progress bar)"}
