"""The viewer as one page that needs neither kernel nor network, and as a frame in an exported notebook."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medlab.viewer.wire import Wire

if TYPE_CHECKING:
    from medlab.viewer.widget import Viewer

HERE = Path(__file__).parent

FRAME_MB = 32.0  # raw; an exported notebook holds several

# What stands in for the widget manager: holds the traits, tells listeners, and has nobody to save to.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 8px; background: light-dark(#fff, #111); }}
{css}
</style>
</head>
<body>
<noscript>{title}</noscript>
<div id="viewer"></div>
<script id="data" type="application/json">{data}</script>
<script type="module">
{script}
const data = JSON.parse(document.getElementById("data").textContent);
const bytes = (text) => {{
  const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new DataView(raw.buffer);
}};
const state = {{ ...data.state, _preview: bytes(data.state._preview) }}, listeners = {{}};
const model = {{
  get: (name) => state[name],
  set: (name, value) => {{ state[name] = value; for (const tell of listeners[`change:${{name}}`] || []) tell(); }},
  on: (name, listener) => (listeners[name] ||= []).push(listener),
  save_changes() {{}},
  send() {{}},
}};
initialize({{ model }});
render({{ model, el: document.getElementById("viewer") }});
for (const {{ packed, ...chunk }} of data.chunks) {{
  for (const tell of listeners["msg:custom"]) tell(chunk, [bytes(packed)]);
}}
const fit = () => {{
  try {{
    frameElement.style.height = `${{document.body.scrollHeight + 20}}px`;
  }} catch {{ /* not in a frame, or one that is not ours to size */ }}
}};
new ResizeObserver(fit).observe(document.body);
</script>
</body>
</html>
"""


def html(viewer: Viewer, *, max_mb: float | None = None) -> str:
    """The page of a viewer, with all its data.

    Args:
        viewer: as it stands now: crosshair, window, annotations.
        max_mb: thin the volume to this size (raw) if it is larger.
    """
    wire = (
        viewer.wire
        if max_mb is None
        else Wire(viewer.scene, compare=viewer.wire.compare, plane=viewer.wire.plane, max_mb=max_mb)
    )
    data = {"state": _state(viewer, wire), "chunks": _chunks(wire)}
    return page(viewer.alt, data, "widget")


def page(title: str, data: dict[str, Any], module: str) -> str:
    """The page of a widget: what its model holds (`state`, and the `chunks` that follow), its module and its style.

    Args:
        title: alt text.
        data: goes into the page as JSON.
        module: name of the files beside this one, without .js and .css.
    """
    # "</" would end the script; in JSON a slash may be escaped.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    script, css = ((HERE / f"{module}.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    return PAGE.format(title=escape(title), css=css, data=text, script=script)


def _state(viewer: Viewer, wire: Wire) -> dict[str, Any]:
    """What the widget would hold in its traits."""
    roi = viewer.roi
    return {
        "_key": "page",
        "_pushed": False,
        "_scene": wire.meta(),
        "_preview": base64.b64encode(wire.preview()).decode(),
        "_window": list(viewer.window),
        "_index": wire.coarse(viewer.index),
        "_frame": viewer.frame,
        "_points": [wire.coarse(point.index) for point in viewer.points],
        "_roi": None
        if roi is None
        else [wire.coarse(roi.start), [i + 1 for i in wire.coarse([b - 1 for b in roi.stop])]],
    }


def _chunks(wire: Wire) -> list[dict[str, Any]]:
    return [
        {
            "type": "chunk",
            "layer": c.layer,
            "frame": c.frame,
            "first": c.first,
            "packed": base64.b64encode(packed).decode(),
        }
        for c, packed in wire.packed(wire.chunks())
    ]
