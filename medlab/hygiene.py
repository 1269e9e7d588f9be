"""The form in which lessons are stored: how to bring one there, and what is still wrong with it."""

from __future__ import annotations

import ast
import base64
import copy
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from medlab.plots import PNG_LIMIT_BYTES

NOTEBOOK_LIMIT_BYTES = 1_500_000
CELL_LIMIT_LINES = 20
IGNORED_SHARE = 0.25  # of the code cells may go uncompared
TAGS = {"parameters", "exercise", "nbval-ignore-output", "gpu"}
SECTIONS = ("What goes wrong", "Summary", "Discussion", "Further reading")
HEADER = {  # what the first cells must say, and how it is recognised
    "a title": r"\A# \S",
    "what you will be able to do": r"will be able to",
    "what it needs": r"\*\*Needs",
    "minutes to work through": r"\*\*Time\W+(\d+ to )?\d+ minutes",
    "minutes and peak memory of a run": r"\d [MG]i?B of peak memory",
    "the data and its licence": r"(?is)\*\*Data.*licen[cs]e",
}
PROGRESS_BAR = re.compile(r"[^\n]*\d+%\|.*\| \d+/\d+ \[.*\]")  # as tqdm writes it; also in nbval_sanitize.cfg
_MACHINE_PATH = re.compile(r"(?<![\w.:/])/(home|root|Users|tmp|work|opt|var|mnt|private)/\w|\b[A-Z]:\\\w")
_TIMESTAMP = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d")


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Bring an executed notebook into the one form in which it is stored, so that a diff shows only what changed.

    Execution counts become 1, only tags survive as cell metadata, notebook metadata is the same everywhere, injected
    parameters are dropped, streams are joined, and of a widget only its still twin is kept. Cell ids stay; a missing
    or doubled one is made from the cell's place.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(_NOTEBOOK_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    seen: set[str] = set()
    for place, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": sorted(tags)} if tags else {})
        if cell.get("id", "") in seen | {""}:
            cell["id"] = f"cell-{place}"
        seen.add(cell["id"])
        if cell.cell_type == "code":
            cell.execution_count = 1
            cell.outputs = [_normalise_output(output) for output in _join_streams(cell.outputs)]
    return notebook


_NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}


def _join_streams(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == "stream" == joined[-1].output_type and output.name == joined[-1].name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _normalise_output(output: NotebookNode) -> NotebookNode:
    if output.output_type == "execute_result":
        output.execution_count = 1
    data = output.get("data", {})
    data.pop("application/vnd.jupyter.widget-view+json", None)  # points into a kernel that is gone
    if "text/plain" in data:
        data["text/plain"] = PROGRESS_BAR.sub("(progress bar)", data["text/plain"])
    return output


def hygiene(lesson: Path) -> list[str]:
    """Everything in which a lesson breaks the rules, each as one line that says where and what to do; best empty."""
    notebook = nbformat.read(lesson, as_version=4)
    found = []
    size = lesson.stat().st_size
    if size > NOTEBOOK_LIMIT_BYTES:
        found.append(f"the file takes {size / 1e6:.1f} MB, the limit is {NOTEBOOK_LIMIT_BYTES / 1e6:.1f} MB")
    for rule in (_header, _sections, _parameters_cell, _counts, _tags, _lengths, _outputs, _figures, _teaching):
        found.extend(rule(notebook))
    return found


def _code(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """Code cells with the number that their prompt shows in a fresh run."""
    return list(enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1))


def _prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _header(notebook: NotebookNode) -> Iterator[str]:
    first_code = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), len(notebook.cells))
    text = "\n\n".join(cell.source for cell in notebook.cells[:first_code])
    for part, pattern in HEADER.items():
        if not re.search(pattern, text):
            yield f"the header does not state {part} (looked for {pattern!r})"


def _sections(notebook: NotebookNode) -> Iterator[str]:
    headings = re.findall(r"^#+ (.+?)\s*$", _prose(notebook), re.MULTILINE)
    for section in SECTIONS:
        if not any(section in heading for heading in headings):
            yield f"the section {section!r} is missing"


def _parameters_cell(notebook: NotebookNode) -> Iterator[str]:
    cells = [(number, cell) for number, cell in _code(notebook) if "parameters" in cell.metadata.get("tags", ())]
    if len(cells) != 1:
        yield f"there must be one cell tagged parameters, got {len(cells)}"
    for number, cell in cells:
        commented = _commented_lines(cell.source)
        for statement in ast.parse(cell.source).body:
            if not isinstance(statement, ast.Assign):
                yield f"code cell {number}: a parameters cell holds assignments only, got {ast.unparse(statement)!r}"
            elif statement.end_lineno not in commented:
                yield f"code cell {number}: {ast.unparse(statement)!r} needs a comment with its unit and range"


def _commented_lines(source: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT}


def _counts(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in _code(notebook):
        if cell.execution_count is None:
            yield f"code cell {number} has no execution count, so nbval would not compare it: run make notebooks"
        elif cell.execution_count != 1:
            yield f"code cell {number} has execution count {cell.execution_count}: run make notebooks"


def _tags(notebook: NotebookNode) -> Iterator[str]:
    for place, cell in enumerate(notebook.cells, start=1):
        if set(cell.metadata) - {"tags"}:
            yield f"cell {place} has metadata {sorted(set(cell.metadata) - {'tags'})}: run make notebooks"
        for tag in sorted(set(cell.metadata.get("tags", ())) - TAGS):
            yield f"cell {place} has the unknown tag {tag!r}; known: {', '.join(sorted(TAGS))}"
        if cell.cell_type == "code" and re.search(r"^\s*#\s*(NBVAL|PYTEST_VALIDATE)", cell.source, re.MULTILINE):
            yield f"cell {place} steers nbval by a comment; use the tag nbval-ignore-output"
    code = _code(notebook)
    ignored = [number for number, cell in code if "nbval-ignore-output" in cell.metadata.get("tags", ())]
    if len(ignored) > IGNORED_SHARE * len(code):
        yield f"{len(ignored)} of {len(code)} code cells are not compared, at most a quarter may be"


def _lengths(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in _code(notebook):
        lines = len(cell.source.splitlines())
        if lines > CELL_LIMIT_LINES:
            yield f"code cell {number} has {lines} lines, {CELL_LIMIT_LINES} is the limit"
        if not cell.source.strip():
            yield f"code cell {number} is empty"


def _outputs(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in _code(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"code cell {number} is stored with the error {output.ename}"
            if output.get("name") == "stderr":
                yield f"code cell {number} writes to stderr: {output.text.splitlines()[0]!r}"
            for text in (output.get("text", ""), *_texts(output.get("data", {}))):
                yield from (f"code cell {number}: {problem}" for problem in _machine_marks(text))
    for place, cell in enumerate(notebook.cells, start=1):
        yield from (f"source of cell {place}: {problem}" for problem in _machine_marks(cell.source))


def _texts(data: NotebookNode) -> list[str]:
    return [str(value) for kind, value in data.items() if kind.startswith("text/")]


def _machine_marks(text: str) -> Iterator[str]:
    for what, pattern in (("an absolute path", _MACHINE_PATH), ("a time stamp", _TIMESTAMP)):
        for match in pattern.finditer(text):
            yield f"holds {what}: {text[match.start() : match.end() + 20].splitlines()[0]!r}"


def _figures(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in _code(notebook):
        for output in cell.outputs:
            png = output.get("data", {}).get("image/png")
            if png is None:
                continue
            size = len(base64.b64decode(png))
            if size > PNG_LIMIT_BYTES:
                yield f"code cell {number}: a figure takes {size / 1000:.0f} KB, the limit is 100 KB: use plots.show"
            if not output.metadata.get("image/png", {}).get("alt", "").strip():
                yield f"code cell {number}: a figure has no alt text: use plots.show(figure, alt=...)"


def _teaching(notebook: NotebookNode) -> Iterator[str]:
    exercises = sum("exercise" in cell.metadata.get("tags", ()) for _, cell in _code(notebook))
    if not 3 <= exercises <= 6:
        yield f"{exercises} exercise cells; a lesson has three to six"
    predictions = len(re.findall(r"\*\*Predict", _prose(notebook)))
    if predictions < 2:
        yield f"{predictions} places where the reader predicts (a paragraph that starts **Predict); two at least"
