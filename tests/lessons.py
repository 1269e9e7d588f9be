"""Small notebooks for tests: whole lessons in which one thing can be spoilt."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

HEADER = """# A small lesson

You will be able to nod.

**Needs**: nothing. **Time**: 5 minutes; a run takes 0.1 minutes and 100 MiB of peak memory.

**Data**: none; licence CC0."""
CLOSING = "## What goes wrong\n\n## Summary\n\n## Discussion\n\n## Further reading"
PREDICT = "**Predict**: what comes out?"


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return v4.new_output("stream", name=name, text=text)


def code(source: str, *outputs: NotebookNode, tags: tuple[str, ...] = (), count: int | None = 1) -> NotebookNode:
    metadata = {"tags": list(tags)} if tags else {}
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata, execution_count=count)


def clean_lesson() -> NotebookNode:
    """A lesson with nothing wrong; its third code cell prints, its last may be spoilt."""
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell(HEADER),
            code("import math"),
            code("steps = 3  # steps of training, 1 to 10\nmode = 'a'  # a or b", tags=("parameters",)),
            code("print(steps, mode)", stream("3 a\n")),
            v4.new_markdown_cell(PREDICT),
            *(code("...", tags=("exercise",)) for _ in range(3)),
            v4.new_markdown_cell(PREDICT),
            code("print(math.floor(2.5))", stream("2\n")),
            v4.new_markdown_cell(CLOSING),
        ]
    )


def write(notebook: NotebookNode, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path
