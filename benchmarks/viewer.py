"""The viewer against other ways to scroll through a volume in JupyterLab, in one run, as a Markdown table.

    python benchmarks/viewer.py [--output docs/viewer.md]

All show the same 512 x 512 x 128 CT with a label map, in headless Chromium, and are timed by the same clock in the
page: from the time stamp of the key event (for ipyniivue, which has no such keys, the wheel event) to the end of the
display frame in which the new picture is painted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from browsing import FLAGS, Notebook, Server, chromium_path, running_server  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

import medlab.viewer  # noqa: E402

KEYS = 60  # key presses that are timed, after a few that are not
SETUP = """
import numpy as np, SimpleITK as sitk
from medlab import images
from medlab.viewer import view
rng = np.random.default_rng(0)
z, y, x = (axis.astype(np.float32) for axis in np.ogrid[:128, :512, :512])
body = ((x - 256) / 220) ** 2 + ((y - 256) / 160) ** 2 < 1
values = np.where(body, 40, -1000).astype(np.int16).repeat(128, 0)
for _ in range(40):
    cz, cy, cx = rng.uniform((10, 130, 90), (118, 380, 420))
    size = rng.uniform(8, 45)
    values[((x - cx) ** 2 + (y - cy) ** 2 + 4 * (z - cz) ** 2 < size**2)] = rng.integers(-700, 700)
values += rng.normal(0, 12, (8, 512, 512)).astype(np.int16).repeat(16, 0)[rng.permutation(128)]
labels = np.zeros(values.shape, np.uint8)
for i in range(1, 4):
    cz, cy, cx = rng.uniform((40, 180, 150), (90, 330, 360))
    labels[((x - cx) / 70) ** 2 + ((y - cy) / 50) ** 2 + ((z - cz) / 30) ** 2 < 1] = i
del x, y, z, body
image = images.from_array(values, (2.5, 0.7, 0.7))
label_image = images.image_like(labels, image)
"""
OURS = "view(image, label_image)"
MATPLOTLIB = """
import matplotlib.pyplot as plt
from ipywidgets import IntSlider, interact
%matplotlib inline
def draw(k):
    plt.figure(figsize=(5.12, 5.12), dpi=100)
    plt.axes((0, 0, 1, 1)).imshow(values[k], cmap="gray", vmin=-160, vmax=240)
    plt.imshow(np.ma.masked_equal(labels[k], 0), cmap="tab10", alpha=0.4, vmin=0, vmax=9, interpolation="nearest")
    plt.axis("off")
    plt.show()
interact(draw, k=IntSlider(64, 0, 127));
"""
# As in the notebooks of SimpleITK: the labels are laid over with SimpleITK, and the colour picture shown with imshow.
SIMPLEITK = """
import matplotlib.pyplot as plt
from ipywidgets import IntSlider, interact
%matplotlib inline
def draw(k):
    grey = sitk.Cast(sitk.IntensityWindowing(image[:, :, k], -160, 240, 0, 255), sitk.sitkUInt8)
    plt.figure(figsize=(5.12, 5.12), dpi=100)
    plt.axes((0, 0, 1, 1)).imshow(sitk.GetArrayViewFromImage(sitk.LabelOverlay(grey, label_image[:, :, k], 0.4)))
    plt.axis("off")
    plt.show()
interact(draw, k=IntSlider(64, 0, 127));
"""
NIIVUE = """
import pathlib, tempfile
from ipyniivue import NiiVue
folder = pathlib.Path(tempfile.mkdtemp())
sitk.WriteImage(image, str(folder / "image.nii"))
sitk.WriteImage(label_image, str(folder / "labels.nii"))
viewer = NiiVue(height=540)
viewer.load_volumes([
    {"path": str(folder / "image.nii"), "cal_min": -160, "cal_max": 240},
    {"path": str(folder / "labels.nii"), "colormap": "actc", "opacity": 0.4},
])
viewer
"""

# Counts what changes pixels: ours puts a picture on a canvas, matplotlib's arrives as a new <img>, niivue draws
# triangles, for which reading back one pixel waits until the software renderer is done.
CLOCK = """
globalThis.bench = { changes: 0, uploads: 0, times: [] };
const count = (proto, name, after) => {
  const old = proto[name];
  proto[name] = function (...args) { const back = old.apply(this, args); after(this, args); return back; };
};
count(CanvasRenderingContext2D.prototype, "putImageData", () => { bench.changes++; });
for (const name of ["drawElements", "drawArrays"]) {
  count(WebGL2RenderingContext.prototype, name, (gl) => {
    if (gl.waiting) return;
    gl.waiting = true;
    queueMicrotask(() => { // once for all that is drawn in one go
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
      gl.waiting = false;
      bench.changes++;
    });
  });
}
for (const name of ["texImage3D", "texSubImage3D"]) {
  count(WebGL2RenderingContext.prototype, name, (gl, args) => {
    if (args.at(-1)?.byteLength > 4e6) [bench.uploads, bench.changes] = [bench.uploads + 1, 0];
  });
}
document.addEventListener("load", (event) => { if (event.target.tagName === "IMG") bench.changes++; }, true);
bench.painted = () => new Promise((done) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel(); // its message comes after the frame is painted
  port1.onmessage = done;
  port2.postMessage(0);
}));
for (const input of ["keydown", "wheel"]) addEventListener(input, async (event) => {
  if (!bench.timing) return;
  bench.timing = false; // one at a time
  const before = bench.changes;
  for (let frame = 0; frame < 120; frame++) {
    await bench.painted();
    if (bench.changes > before) { bench.times.push(performance.now() - event.timeStamp); return; }
  }
  bench.times.push(NaN);
}, true);
"""
SHOWN = """
(async () => {
  while (bench.changes < 3) await bench.painted();
  bench.shown = performance.now();
})();
"""
RUN_CELL = """async (ready) => {
  const panel = jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = 1;
  panel.content.deselectAll();
  const start = performance.now();
  jupyterapp.commands.execute("notebook:run-cell");
  const test = new Function(`return ${ready}`);
  for (let frame = 0; frame < 6000; frame++) {
    await bench.painted();
    if (test()) return (performance.now() - start) / 1000;
  }
  throw new Error(`it did not show: ${panel.content.activeCell?.node.innerText}`);
}"""


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Contender:
    """One way to show the volume: its cell, how to tell that it shows, what to focus and which key to press."""

    def __init__(self, name: str, cell: str, ready: str, focus: str, key: str) -> None:
        self.name, self.cell, self.ready, self.focus, self.key = name, cell, ready, focus, key
        self.paint_s: list[float] = []
        self.times_ms: list[float] = []
        self.saved_mb = 0.0


CONTENDERS = [
    Contender("medlab", OURS, "bench.changes >= 3", ".mlv-pane", "ArrowUp"),
    Contender("matplotlib and a slider", MATPLOTLIB, "bench.changes >= 1", ".noUi-handle", "ArrowRight"),
    Contender("SimpleITK-Notebooks' way", SIMPLEITK, "bench.changes >= 1", ".noUi-handle", "ArrowRight"),
    Contender("ipyniivue (software GL)", NIIVUE, "bench.uploads >= 2 && bench.changes >= 1", "canvas", "wheel"),
]


def opened(page: Any, server: Server, cell: str, name: str) -> Notebook:
    notebook = Notebook(page, server, SETUP)
    notebook.open(cell, name=name)
    notebook.kernel("%matplotlib inline\nimport matplotlib.pyplot, ipywidgets, anywidget")
    said = notebook.kernel(SETUP)  # as a cell that has run: only the viewer's own cell is timed
    if said:
        raise RuntimeError(said)
    return notebook


def measure(contender: Contender, browser: Any, server: Server, rounds: int) -> None:
    for round_ in range(rounds):
        page = browser.new_context(viewport={"width": 1300, "height": 1000}).new_page()
        page.set_default_timeout(180_000)
        page.add_init_script(CLOCK)
        notebook = opened(page, server, contender.cell, f"round{round_}.ipynb")
        contender.paint_s.append(page.evaluate(RUN_CELL, contender.ready))
        notebook.wait_until_ready()
        if contender.name == "medlab":
            notebook.loaded()
        page.evaluate("bench.painted()")
        if round_ == rounds - 1:
            press(contender, page)
            page.evaluate("jupyterapp.commands.execute('docmanager:save')")
            page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
            contender.saved_mb = (server.folder / f"round{round_}.ipynb").stat().st_size / 1e6
        notebook.close()
        page.context.close()


def press(contender: Contender, page: Any) -> None:
    page.locator(contender.focus).first.scroll_into_view_if_needed()
    if contender.key == "wheel":  # it has no keys that go from slice to slice
        area = page.locator(contender.focus).first.bounding_box()
        page.mouse.move(area["x"] + area["width"] / 4, area["y"] + area["height"] / 4)
    else:
        page.locator(contender.focus).first.focus()
    for i in range(KEYS + 5):
        page.evaluate(f"() => {{ bench.times = []; bench.timing = {str(i >= 5).lower()}; }}")
        if contender.key == "wheel":
            page.mouse.wheel(0, 100 if i % 20 < 10 else -100)
        else:
            page.keyboard.press(contender.key)
        if i >= 5:
            page.wait_for_function("bench.times.length")
            contender.times_ms += [t for t in page.evaluate("bench.times") if t is not None and t == t]
        page.wait_for_timeout(30)  # not a wait for a result: keys come no faster from people


def our_figures(browser: Any, server: Server) -> dict[str, float]:
    """What only concerns ours: drawing time, delivery to a busy kernel, many viewers, the page."""
    page = browser.new_context(viewport={"width": 1300, "height": 1000}).new_page()
    page.set_default_timeout(180_000)
    page.add_init_script(CLOCK)
    notebook = opened(page, server, OURS, "figures.ipynb")
    page.evaluate("() => { globalThis.start = performance.now(); }")
    page.evaluate(
        """() => {
          const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
          jupyterapp.shell.currentWidget.content.activeCellIndex = 1;
          jupyterapp.commands.execute("notebook:run-cell");
          kernel.requestExecute({ code: "while True: sum(range(100000))" });
        }"""
    )
    notebook.loaded()
    figures = {"busy_s": page.evaluate("performance.now() - start") / 1000}
    notebook.wait_until_busy()
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    notebook.wait_until_ready()
    figures["redraw_ms"] = page.evaluate(
        """() => {
          const view = document.querySelector(".mlv").viewer, times = [];
          for (let i = 0; i < 120; i++) {
            view.session.index = [i, 100 + i, 200 + i];
            const start = performance.now();
            view.draw();
            times.push(performance.now() - start);
          }
          return times.sort((a, b) => a - b)[60];
        }"""
    )
    notebook.close()
    page.context.close()
    return figures | page_figures(browser)


def page_figures(browser: Any) -> dict[str, float]:
    """Size of a page of 128 x 128 x 32 with labels, and the time from opening it to its picture."""
    import numpy as np

    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:32, :128, :128]
    body = ((y - 64) / 50) ** 2 + ((x - 64) / 40) ** 2 + ((z - 16) / 30) ** 2 < 1
    values = (np.where(body, 60, -1000) + rng.normal(0, 15, body.shape)).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "viewer.html"
        medlab.viewer.view(values, body.astype(np.uint8)).save_html(path)
        times = []
        for _ in range(5):
            page = browser.new_page()
            page.add_init_script(CLOCK + SHOWN)
            page.goto(path.as_uri())
            page.wait_for_function("bench.shown")
            times.append(page.evaluate("bench.shown") / 1000)
            page.close()
        return {"page_mb": path.stat().st_size / 1e6, "page_s": statistics.median(times)}


def script_mb(name: str) -> float | None:
    if name == "medlab":
        return (Path(medlab.viewer.__file__).parent / "widget.js").stat().st_size / 1e6
    if "ipyniivue" in name:
        found = importlib.util.find_spec("ipyniivue")
        assert found is not None
        assert found.origin is not None
        return (Path(found.origin).parent / "static" / "widget.js").stat().st_size / 1e6
    return None


def table(contenders: list[Contender], figures: dict[str, float]) -> str:
    ours = contenders[0]
    lines = [
        (
            "| 512 x 512 x 128 with labels | key to pixels, p50 | p95 | times ours | run cell to picture | times ours "
            "| script | saved notebook |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for c in contenders:
        p50, paint, script = statistics.median(c.times_ms), statistics.median(c.paint_s), script_mb(c.name)
        slower, later = p50 / statistics.median(ours.times_ms), paint / statistics.median(ours.paint_s)
        lines.append(
            f"| {c.name} | {p50:.1f} ms | {percentile(c.times_ms, 0.95):.1f} ms | {slower:.1f} | {paint:.2f} s "
            f"| {later:.1f} | {'' if script is None else f'{script:.2f} MB'} | {c.saved_mb:.2f} MB |"
        )
    lines += [
        "",
        "| medlab alone | |",
        "|---|---|",
        f"| redraw of all three planes, script time | {figures['redraw_ms']:.1f} ms |",
        f"| whole volume in the browser while the kernel computes | {figures['busy_s']:.1f} s |",
        f"| self-contained page, 128 x 128 x 32 with labels | {figures['page_mb']:.2f} MB, {figures['page_s']:.2f} s |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is opened")
    arguments = parser.parse_args()
    chromium = chromium_path()
    if chromium is None:
        sys.exit("no Chromium or Chrome was found; name one in MEDLAB_CHROMIUM")
    contenders = [c for c in CONTENDERS if "ipyniivue" not in c.name or importlib.util.find_spec("ipyniivue")]
    with tempfile.TemporaryDirectory() as home, running_server(Path(home)) as server, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for contender in contenders:
            measure(contender, browser, server, arguments.rounds)
            print(
                json.dumps({contender.name: [contender.paint_s, statistics.median(contender.times_ms)]}),
                file=sys.stderr,
            )
        figures = our_figures(browser, server)
        browser.close()
    made = table(contenders, figures)
    print(made)
    if arguments.output:
        arguments.output.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
