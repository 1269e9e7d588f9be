"""What a widget leaves in a notebook: itself, and what stands in for it where there is no kernel."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Callable
from typing import Any

PAGE_VARIABLE = "MEDLAB_VIEWER"  # "page": outputs also carry a page that works without a kernel, for exported notebooks


def bundle(
    widget: Any, png: bytes, page: Callable[[], str], height_px: int = 640
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The outputs and their metadata, for `_repr_mimebundle_`.

    Args:
        widget: what is shown where a kernel runs; has `model_id`, and `alt`, one line that says what is shown.
        png: the still picture, shown where no widget can live.
        page: makes the widget as a page of its own, for exported notebooks.
        height_px: of the frame around that page.
    """
    data = {
        "text/plain": widget.alt,
        "image/png": base64.b64encode(png).decode(),
        "application/vnd.jupyter.widget-view+json": {
            "version_major": 2,
            "version_minor": 0,
            "model_id": widget.model_id,
        },
    }
    if os.environ.get(PAGE_VARIABLE) == "page":
        style = f"width: 100%; height: {height_px}px; border: 0; color-scheme: light dark"
        title, source = html.escape(widget.alt), html.escape(page(), quote=True)
        data["text/html"] = f'<iframe title="{title}" style="{style}" srcdoc="{source}"></iframe>'
    return data, {"image/png": {"alt": widget.alt}}
