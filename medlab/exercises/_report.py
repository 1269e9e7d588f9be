"""What the learner sees: a few lines of text, and the same in a quiet box.

The same report is always the same text (compared by nbval): no addresses, no paths, no times. The box takes its
colours from the surrounding theme, light or dark, is announced by screen readers, and never says by colour alone what
it says.
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

CORRECT = "correct"
NOT_YET = "not yet"
NOT_ATTEMPTED = "not attempted yet"

CODE = "source"  # rows with this label keep their lines as they are
PROSE = {"hint", "why", "next", "note"}  # these are text with `code` in it, the others are values

SMALL = 36  # arrays up to this many values are shown whole
WIDTH = 100
# Okabe-Ito, as the edge of the box; at least 3:1 on white and on JupyterLab's dark grey.
EDGES = {CORRECT: "#009E73", NOT_YET: "#D55E00", NOT_ATTEMPTED: "#8A8A8A", "": "#3B8BC2"}
MONO = "font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,13px)"


@dataclass(frozen=True)
class Report:
    """A heading and some rows; what a notebook cell shows of it is `str(report)` and a box.

    Attributes:
        heading: "Exercise 20.2".
        outcome: "correct", "not yet", "not attempted yet", or "" where nothing was checked.
        rows: (label, text) pairs; a text may have several lines. Code is in `backticks`.
        mistake: the name of the misconception that was recognised, or None.
    """

    heading: str
    outcome: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    mistake: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.heading}: {self.outcome}" if self.outcome else self.heading]
        wide = max((len(label) for label, _ in self.rows), default=0)
        for label, text in self.rows:
            wrapped = [part for line in text.splitlines() for part in _wrap(line, label)]
            for number, line in enumerate(wrapped):
                lines.append(f"  {label if number == 0 else '':<{wide}}  {line}".rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        edge = EDGES.get(self.outcome, EDGES[""])
        head = f"<b>{html.escape(self.heading)}</b>" + (f": {html.escape(self.outcome)}" if self.outcome else "")
        body = "".join(_row_html(label, text) for label, text in self.rows)
        return (
            f'<div role="status" aria-live="polite" style="border-left:4px solid {edge};padding:0.4em 0.9em;'
            f'margin:0.2em 0;line-height:1.45;color:var(--jp-ui-font-color1,inherit);max-width:72em">'
            f"<div>{head}</div>{body}</div>"
        )


def _wrap(line: str, label: str) -> list[str]:
    if label == CODE or len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]


def _row_html(label: str, text: str) -> str:
    text = html.escape(text)
    if label.split()[0] in PROSE:
        shown = re.sub(r"`([^`]+)`", rf'<code style="{MONO};background:none">\1</code>', text)
        style = "white-space:pre-line"
    else:
        wrap = "pre;overflow-x:auto" if label == CODE else "pre-wrap;overflow-wrap:anywhere"
        shown, style = text, f"white-space:{wrap};{MONO}"
    return (
        '<div style="display:flex;gap:0.8em;margin-top:0.25em">'
        f'<div style="flex:0 0 5em;color:var(--jp-ui-font-color2,inherit)">{html.escape(label)}</div>'
        f'<div style="flex:1;min-width:0;{style}">{shown}</div></div>'
    )


def show(value: Any, digits: int = 4) -> str:
    """A value in one short line: small arrays whole, large ones by shape and dtype."""
    if isinstance(value, tuple):
        return "(" + ", ".join(show(part, digits) for part in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return _cut("[" + ", ".join(show(part, digits) for part in value[:60]) + "]")
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return _cut(str(int(value)))
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.{digits}g}"
    array = to_array(value)
    if array is None or array.dtype == object:
        return _describe(value)
    if array.size > SMALL:
        return f"{array.dtype} array of shape {array.shape}"
    formats: Any = {"float_kind": lambda v: f"{v:.{digits}g}"}
    text = np.array2string(array, separator=", ", max_line_width=10**6, threshold=10**6, formatter=formats)
    return re.sub(r"\s+", " ", text).replace("[ ", "[")


def to_array(value: Any) -> np.ndarray | None:
    """An array, a NumPy or Python number, or a tensor on any device, as an array; None for anything else."""
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if isinstance(value, (bool, int, float, np.generic)):
        return np.asarray(value)
    if not is_tensor(value):
        return None
    try:
        tensor = value.detach().cpu()
        return np.asarray(tensor.float().numpy() if "bfloat16" in str(tensor.dtype) else tensor.numpy())
    except Exception:  # a tensor without values, such as one on the `meta` device
        return None


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor, found out without importing torch."""
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(value).__mro__)


def _describe(value: Any) -> str:
    if value is None or value is Ellipsis or isinstance(value, (str, dict)):
        return _cut(repr(value))
    if is_tensor(value):
        return f"tensor of shape {tuple(value.shape)} on device {value.device}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return f"an object of type {type(value).__name__}"  # its repr may hold an address


def _cut(text: str, length: int = 300) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
