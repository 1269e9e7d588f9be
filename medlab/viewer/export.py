"""Notebooks as web pages: viewers keep working in them, without a kernel and without a network.

`jupyter nbconvert --to html --HTMLExporter.preprocessors=medlab.viewer.export.EmbedViewers lesson.ipynb` runs a
notebook and writes such a page.
"""

from __future__ import annotations

import os
from typing import Any

from nbconvert.preprocessors import ExecutePreprocessor
from nbformat import NotebookNode

from medlab.viewer.bundle import PAGE_VARIABLE

WIDGET = "application/vnd.jupyter.widget-view+json"


def without_widgets(notebook: NotebookNode) -> NotebookNode:
    """A notebook whose viewers are pages in frames where they were saved as such, else pictures; changed in place.

    A stored widget needs a kernel that knows it; without one a notebook shows an error in its place.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if WIDGET in data and "image/png" in data:
                del data[WIDGET]
                if "<iframe" in data.get("text/html", ""):
                    del data["image/png"]
    return notebook


class EmbedViewers(ExecutePreprocessor):
    """Runs a notebook so that its viewers become pages in frames."""

    def preprocess(self, nb: NotebookNode, *arguments: Any, **named: Any) -> tuple[NotebookNode, dict[str, Any]]:
        """The notebook with its outputs, and the resources that nbconvert hands on."""
        before = os.environ.get(PAGE_VARIABLE)
        os.environ[PAGE_VARIABLE] = "page"  # the kernel inherits it
        try:
            nb, resources = super().preprocess(nb, *arguments, **named)
        finally:
            del os.environ[PAGE_VARIABLE]
            if before is not None:
                os.environ[PAGE_VARIABLE] = before
        return without_widgets(nb), resources
