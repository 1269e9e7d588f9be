"""The kernel editor in a page without a kernel, and in JupyterLab with a busy one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import CELLS, Notebook, busy_until, running_server, settle

from medlab.viewer.kernel import KernelEditor, colours, page_html

PICTURE = np.random.default_rng(0).integers(0, 100, (12, 9)).astype(float)
SETUP = """
import pathlib, time
import numpy as np
from medlab.viewer.kernel import KernelEditor
"""


@pytest.fixture
def edit(page: Any, tmp_path: Path) -> Callable[..., Any]:
    """Open a saved editor from disk."""

    def opened(*given: Any, **named: Any) -> Any:
        editor = KernelEditor(*given, **named)
        (tmp_path / "editor.html").write_text(page_html(editor), encoding="utf-8")
        page.goto((tmp_path / "editor.html").as_uri())
        page.wait_for_selector(".mlk canvas")
        settle(page)
        return page

    return opened


def drawn(page: Any, pane: str) -> np.ndarray:
    """The picture in a pane, one pixel a pixel."""
    got = page.evaluate(
        f"""() => {{
          const pixels = document.querySelector(".mlk").editor.{pane}.pixels;
          return Array.from(pixels.getContext("2d").getImageData(0, 0, pixels.width, pixels.height).data);
        }}"""
    )
    return np.array(got, np.uint8).reshape(*PICTURE.shape, 4)[..., :3]


def table(page: Any, caption: str) -> list[float]:
    cells = page.locator(f".mlk-sum table:has(caption:text-matches('^{caption}')) td").all_inner_texts()
    return [float(text.replace("−", "-")) for text in cells]


@pytest.mark.parametrize("name", ["Gaussian", "Laplacian", "Sobel, along y", "shift", "mean"])
def test_the_response_is_drawn_as_numpy_has_it(edit, name):
    page = edit(PICTURE)
    page.get_by_label("preset").select_option(name)
    settle(page)
    wanted = colours(KernelEditor(PICTURE, name).response(), 0, PICTURE.max()).astype(int)
    assert np.abs(drawn(page, "output") - wanted).max() <= 1  # sums in another order may round the other way
    np.testing.assert_array_equal(drawn(page, "slice"), colours(PICTURE, 0, PICTURE.max()))


def test_the_arithmetic_of_the_pixel_under_the_pointer(edit):
    page = edit(PICTURE, "Gaussian")
    area = page.locator(".mlk-pane").first.bounding_box()
    page.mouse.move(area["x"] + area["width"] * 4.5 / 9, area["y"] + area["height"] * 6.5 / 12)
    settle(page)
    window = PICTURE[5:8, 3:6].ravel()
    weights = np.array([1, 2, 1, 2, 4, 2, 1, 2, 1])
    assert table(page, r"window at \\(6, 4\\)") == window.tolist()
    assert table(page, "kernel") == weights.tolist()
    assert table(page, "products") == (window * weights).tolist()
    value = (window * weights).sum() / 16
    said, _, shown = page.locator(".mlk-result").inner_text().partition(" = ")
    assert said == f"sum {value * 16:g}, divided by 16"
    assert float(shown) == pytest.approx(value, rel=5e-4)


def test_a_click_holds_the_pixel(edit):
    page = edit(PICTURE)
    cursor = "document.querySelector('.mlk').editor.cursor"
    area = page.locator(".mlk-pane").nth(1).bounding_box()
    page.mouse.click(area["x"] + 2, area["y"] + 2)
    page.mouse.move(area["x"] + 90, area["y"] + 90)
    assert page.evaluate(cursor) == [0, 0]
    assert page.locator(".mlk-outside").count() == 5  # of the window of a corner, five lie outside
    page.mouse.click(area["x"] + 90, area["y"] + 90)
    assert page.evaluate(cursor) != [0, 0]


def test_everything_can_be_done_with_keys(edit):
    page = edit(PICTURE, "identity", cursor=(3, 3))
    page.evaluate("window.leaked = []; document.addEventListener('keydown', (e) => leaked.push(e.key))")
    page.locator(".mlk-pane").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "a", "b", "Shift+ArrowDown"):
        page.keyboard.press(key)
    spoken = page.locator(".mlk-pane").first.get_attribute("aria-valuetext")
    assert spoken == f"row 11, column 5: value {PICTURE[11, 5]:g}, response {PICTURE[11, 5]:g}"
    for key in ("Tab", "Tab", "ArrowUp", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    editor = "document.querySelector('.mlk').editor"
    assert page.evaluate(f"{editor}.weights") == [1, 0, 0, 0, 1, 0, 0, 0, 0]
    assert page.get_by_label("preset").input_value() == "own"
    page.get_by_label("weight in row 3, column 1").fill("-2.5")
    page.get_by_label("weight in row 2, column 2").fill("")
    assert page.get_by_label("weight in row 2, column 2").get_attribute("aria-invalid") == "true"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{editor}.weights") == [1, 0, 0, 0, 1, 0, -2.5, 0, 0]
    assert page.get_by_label("weight in row 2, column 2").input_value() == "1"
    page.get_by_role("button", name="Turn by 180°").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(f"{editor}.weights") == [0, 0, -2.5, 0, 1, 0, 0, 0, 1]
    page.get_by_label("divisor").fill("0")
    assert page.evaluate(f"{editor}.over") == 1
    assert page.evaluate("leaked") == []


def test_it_works_while_the_kernel_is_busy_and_tells_python_later(page, tmp_path):
    with running_server(tmp_path) as server:
        notebook, flag = Notebook(page, server, SETUP), tmp_path / "done"
        picture = f"np.array({json.dumps(PICTURE.tolist())})"
        page.set_default_timeout(60_000)
        notebook.open(f"editor = KernelEditor({picture})\neditor", busy_until(flag))
        notebook.run_all()
        page.wait_for_selector(".mlk canvas")
        page.get_by_label("preset").select_option("Laplacian")
        settle(page)
        notebook.wait_until_busy()
        wanted = colours(KernelEditor(PICTURE, "Laplacian").response(), 0, PICTURE.max()).astype(int)
        assert np.abs(drawn(page, "output") - wanted).max() <= 1
        flag.touch()
        notebook.wait_until_ready()
        notebook.kernel_says("print(editor.kernel.ravel().astype(int).tolist())", "[0, 1, 0, 1, -4, 1, 0, 1, 0]")
        notebook.kernel("editor.kernel = 'mean'")
        page.wait_for_function("document.querySelector('.mlk').editor.over === 9")
        before = page.evaluate(CELLS)
        page.locator(".mlk-pane").first.focus()
        for key in ("a", "b", "d", "d", "x"):
            page.keyboard.press(key)
        assert page.evaluate(CELLS) == before
