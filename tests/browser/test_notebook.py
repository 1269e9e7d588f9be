"""The viewer in JupyterLab and in Notebook 7, with a kernel behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browsing import CELLS, Notebook, Server, busy_until, pixels, running_server, settle, state

SETUP = """
import pathlib, time
import numpy as np
from IPython.display import display
from medlab import images
from medlab.viewer import compare, view
values = np.random.default_rng(0).integers(0, 1000, (9, 14, 11)).astype(np.int16)
image = images.from_array(values, (3.0, 0.8, 1.5))
image.SetOrigin((-30.0, 12.0, 100.0))
image.SetDirection((0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
labels = np.zeros(values.shape, np.uint8)
labels[2:5, 3:9, 2:7] = 3
labels = images.image_like(labels, image)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture
def notebook(page: Any, server: Server) -> Iterator[Notebook]:
    page.set_default_timeout(60_000)
    opened = Notebook(page, server, SETUP)
    yield opened
    opened.close()


def test_a_viewer_shows_a_volume_and_leaves_a_picture_in_the_file(notebook):
    notebook.open("view(image, labels)")
    notebook.run_all()
    notebook.loaded()
    assert notebook.page.locator(".mlv-pane").count() == 3
    assert pixels(notebook.page, 0).std() > 20
    notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    notebook.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    text = (notebook.server.folder / "test.ipynb").read_text()
    assert len(text) < 500_000
    output = json.loads(text)["cells"][1]["outputs"][0]
    assert output["data"]["image/png"].startswith("iVBOR")
    described = "".join(output["data"]["text/plain"])  # Jupyter stores text as a list of lines
    assert output["metadata"]["image/png"]["alt"] == described
    assert described.startswith("Volume of 9 x 14 x 11 voxels, spacing 3 x 0.8 x 1.5 mm, values 0 to 999")
    assert described.endswith("labels: label 3 0.32 ml")


def test_keys_do_not_reach_the_notebook_until_escape_gives_them_back(notebook):
    notebook.open("view(image)", "1 + 1", "2 + 2")
    notebook.run_all()
    notebook.loaded()
    before = notebook.page.evaluate(CELLS)
    notebook.focus()
    notebook.press("a", "b", "d", "d", "x", "m", "y", "Enter", "ArrowUp", "j", "k", "0", "Shift+M", "Home")
    assert notebook.page.evaluate(CELLS) == before
    assert state(notebook.page, "view.panes[0].slice") == 0
    notebook.press("Escape", "b")
    notebook.page.wait_for_function(f"{CELLS} === {before + 1}")


def test_the_wheel_scrolls_the_notebook_first_and_slices_once_focused(notebook):
    notebook.open("view(image)", "print('line\\n' * 200)")
    notebook.run_all()
    notebook.loaded()
    notebook.page.wait_for_function("document.body.innerText.includes('line')")
    pane = notebook.page.locator(".mlv-pane").first
    pane.scroll_into_view_if_needed()
    pane.focus()
    start, area = state(notebook.page, "view.panes[0].slice"), pane.bounding_box()
    notebook.page.mouse.move(area["x"] + 20, area["y"] + 20)
    notebook.page.mouse.wheel(0, -120)
    notebook.page.wait_for_function(f"document.querySelector('.mlv').viewer.panes[0].slice === {start + 1}")
    assert pane.bounding_box() == area
    notebook.press("Escape")
    notebook.page.mouse.wheel(0, 120)
    notebook.page.wait_for_function(f"document.querySelector('.mlv-pane').getBoundingClientRect().y < {area['y']} - 10")
    assert state(notebook.page, "view.panes[0].slice") == start + 1


def test_the_whole_volume_arrives_while_the_kernel_is_busy(notebook, tmp_path):
    flag = tmp_path / "done"
    notebook.open(
        "big = np.random.default_rng(0).integers(0, 1000, (64, 256, 256)).astype(np.int16)",
        "view(big, window=(500, 1000))",
        busy_until(flag),
    )
    notebook.run_all()
    notebook.loaded()
    notebook.focus()
    notebook.press("End")
    notebook.wait_until_busy()
    values = np.random.default_rng(0).integers(0, 1000, (64, 256, 256))
    grey = np.floor(np.clip(values[63] / 1000, 0, 1) * 255 + 0.5)
    np.testing.assert_array_equal(pixels(notebook.page, 0)[..., 0], grey)
    flag.touch()
    notebook.wait_until_ready()


def test_a_viewer_that_is_displayed_twice_is_one_viewer(notebook):
    notebook.open("viewer = view(image, labels)\nviewer", "viewer")
    notebook.run_all()
    notebook.loaded(2)
    notebook.focus(0)
    notebook.press("Home")
    slices = "[...document.querySelectorAll('.mlv')].map((root) => root.viewer.panes[0].slice)"
    assert notebook.page.evaluate(slices) == [0, 0]
    notebook.focus(3)
    notebook.press("End")
    assert notebook.page.evaluate(slices) == [8, 8]
    np.testing.assert_array_equal(pixels(notebook.page, 0), pixels(notebook.page, 3))


def test_a_page_that_is_loaded_again_asks_for_what_it_lacks(notebook):
    notebook.open("viewer = view(image, labels)\nviewer")
    notebook.run_all()
    notebook.loaded()
    notebook.focus()
    notebook.press("b", "Home", "Enter")
    painted = pixels(notebook.page, 0)
    notebook.kernel_says("print(images.array(viewer.labels())[0].max(), viewer.index[0])", "3 0")
    notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    notebook.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    notebook.page.reload()
    notebook.wait_until_ready()
    notebook.loaded()
    np.testing.assert_array_equal(pixels(notebook.page, 0), painted)


def test_a_viewer_outlives_its_kernel(notebook):
    notebook.open("view(image, labels, window=(500, 1000))")
    notebook.run_all()
    notebook.loaded()
    notebook.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.wait_until_ready()
    notebook.focus()
    notebook.press("Home")
    values = np.random.default_rng(0).integers(0, 1000, (9, 14, 11))
    assert state(notebook.page, "view.panes[0].slice") == 0
    grey = np.floor(np.clip(values[0] / 1000, 0, 1) * 255 + 0.5)
    assert sorted(pixels(notebook.page, 0)[..., 0].ravel()) == sorted(grey.ravel())  # the image lies on its side
    notebook.run_all()
    notebook.loaded()


def test_fifty_viewers_live_in_one_notebook(notebook):
    notebook.open(
        "for i in range(50):\n    display(view(images.from_array(values + i, (3.0, 0.8, 1.5)), labels=values > 900))"
    )
    notebook.run_all()
    notebook.loaded(50)
    drawn = notebook.page.evaluate(
        """() => [...document.querySelectorAll(".mlv")].map((root) => {
          const { width, height } = root.querySelector(".mlv-image"), view = root.viewer;
          const data = view.panes[0].context.getImageData(0, 0, width, height).data;
          return data.some((v, i) => i % 4 < 3 && v !== data[i % 4]);
        })"""
    )
    assert drawn == [True] * 50
    notebook.focus(49 * 3)
    notebook.press("Home")
    last = "[...document.querySelectorAll('.mlv')].at(-1).viewer.panes[0].slice"
    assert notebook.page.evaluate(last) == 0


def annotate(notebook: Notebook) -> None:
    """A point, a box and a stroke of the brush, by mouse; told to Python; taken back; set by Python."""
    page = notebook.page
    notebook.kernel("told = []; viewer.on_change(told.append); viewer.index = (4, 6, 5)")
    page.wait_for_function("document.querySelector('.mlv').viewer.session.index[1] === 6")
    area = page.locator(".mlv-pane").first.bounding_box()

    def at(u: float, v: float) -> tuple[float, float]:  # the image lies on its side: y runs to the left, x to the back
        return area["x"] + area["width"] * (u + 0.5) / 14, area["y"] + area["height"] * (v + 0.5) / 11

    page.get_by_role("button", name="Point", exact=True).click()
    page.mouse.click(*at(3, 2))
    page.get_by_role("button", name="Box", exact=True).click()
    page.mouse.move(*at(2, 1))
    page.mouse.down()
    page.mouse.move(*at(5, 4))
    page.mouse.up()
    page.get_by_role("button", name="Brush", exact=True).click()
    page.mouse.click(*at(12, 1))
    page.get_by_role("button", name="Eraser", exact=True).click()
    page.mouse.click(*at(7, 4))
    settle(page)


def test_annotations_come_back_to_python(notebook):
    notebook.open("viewer = view(image, labels)\nviewer")
    notebook.run_all()
    notebook.loaded()
    annotate(notebook)
    page = notebook.page
    index = tuple(state(page, "session.points[0]"))
    code = "p = viewer.points[0]; print(p.index, np.allclose(p.mm, image.TransformIndexToPhysicalPoint(p.index[::-1])))"
    notebook.kernel_says(code, f"{index} True")
    start, stop = (tuple(corner) for corner in state(page, "session.roi"))
    notebook.kernel_says(
        "print(viewer.roi.start, viewer.roi.stop, values[viewer.roi.slices].shape)",
        f"{start} {stop} {tuple(b - a for a, b in zip(start, stop, strict=True))}",
    )
    drawn = np.array(state(page, "Array.from(session.layers.labels.frames[0])")).reshape(9, 14, 11)
    notebook.kernel_says("print(images.array(viewer.labels()).ravel().tolist())", str((drawn * 3).ravel().tolist()))
    assert notebook.kernel(
        "out = viewer.labels(); print(images.check_same_grid(image, out), out.GetPixelIDTypeAsString())"
    ) == ("None 8-bit unsigned integer")
    assert notebook.kernel(
        "changed = images.array(out) != images.array(labels); print(changed.any(), sorted(set(told)))"
    ) == ("True ['labels', 'points', 'roi']")
    for _ in range(4):
        page.get_by_role("button", name="Undo", exact=True).click()
    state_after = "print((images.array(viewer.labels()) == images.array(labels)).all(), viewer.points, viewer.roi)"
    notebook.kernel_says(state_after, "True [] None")
    notebook.kernel("viewer.points = [(1, 2, 3)]; viewer.window = (300, 200)")
    page.wait_for_function("document.querySelector('.mlv').viewer.session.points.length === 1")
    assert state(page, "session.points") == [[1, 2, 3]]
    assert page.get_by_label("window level").input_value() == "300"


def test_a_stroke_over_an_image_without_labels_makes_a_label_map(notebook):
    notebook.open("viewer = view(image, label_names={5: 'tumour'})\nviewer", "bare = view(image)\nbare")
    notebook.run_all()
    notebook.loaded(2)
    for first_pane in (0, 3):
        notebook.focus(first_pane)
        notebook.press("b", "Enter")
    notebook.kernel_says(
        "print(np.unique(images.array(viewer.labels())), np.unique(images.array(bare.labels())))", "[0 5] [0 1]"
    )
    assert notebook.kernel("print('label 1' in bare.alt, 'tumour' in viewer.alt)") == "True True"


def test_a_volume_that_is_not_in_the_output_area_arrives_too(notebook):
    notebook.open("import ipywidgets\nipywidgets.VBox([view(image)])")
    notebook.run_all()
    notebook.loaded()


def test_notebook_7_shows_and_annotates_too(notebook):
    notebook.open("viewer = view(image, labels)\nviewer", "1 + 1", app="notebooks", name="seven.ipynb")
    notebook.run_all()
    notebook.loaded()
    notebook.page.wait_for_function("document.querySelectorAll('.jp-OutputArea-executeResult').length === 1")
    before = notebook.page.evaluate(CELLS)
    notebook.focus()
    notebook.press("d", "d", "a", "Home", "b", "Enter", "p", "Enter")
    assert notebook.page.evaluate(CELLS) == before
    notebook.kernel_says("print(images.array(viewer.labels())[0].max(), viewer.points[0].index[0])", "3 0")


def test_an_exported_notebook_keeps_its_viewers_without_a_network(browser, tmp_path):
    import nbformat
    from nbconvert import HTMLExporter

    from medlab.viewer.export import EmbedViewers

    cells = [nbformat.v4.new_code_cell(SETUP), nbformat.v4.new_code_cell("view(image, labels)")]
    made, _ = EmbedViewers(timeout=120).preprocess(nbformat.v4.new_notebook(cells=cells), {})
    assert set(made.cells[1].outputs[0].data) == {"text/plain", "text/html"}
    body, _ = HTMLExporter(template_name="lab").from_notebook_node(made)
    (tmp_path / "lesson.html").write_text(body, encoding="utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "lesson.html").as_uri(), wait_until="domcontentloaded")
    frame = page.frame_locator("iframe")
    frame.locator(".mlv[data-loaded=all]").wait_for()
    frame.locator(".mlv-pane").first.focus()
    page.keyboard.press("Home")
    frame.locator(".mlv-pane[aria-valuetext^='axial 1 of 9']").wait_for()
    context.close()
