"""The playground of lesson 40 in a page without a kernel, and in JupyterLab with a busy one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import CELLS, Notebook, busy_until, running_server, settle

from medlab import metrics
from medlab.viewer.playground import Playground, page_html, presets

TRUTH = np.zeros((12, 20), bool)
TRUTH[3:9, 2:8] = True
TRUTH[4:6, 13:15] = True
PLAYGROUND = "document.querySelector('.mlo').playground"
SETUP = """
import pathlib, time
import numpy as np
from medlab.viewer.playground import Playground
"""


@pytest.fixture
def play(page: Any, tmp_path: Path) -> Callable[..., Any]:
    """Open a saved playground from disk."""

    def opened(*given: Any, **named: Any) -> Any:
        (tmp_path / "playground.html").write_text(page_html(Playground(*given, **named)), encoding="utf-8")
        page.goto((tmp_path / "playground.html").as_uri())
        page.wait_for_selector(".mlo canvas")
        settle(page)
        return page

    return opened


def mask(page: Any) -> np.ndarray:
    return np.array(page.evaluate(f"Array.from({PLAYGROUND}.prediction)"), bool).reshape(TRUTH.shape)


def shown(page: Any, name: str) -> str:
    return page.locator(f".mlo-table tr:has(th:text-is('{name}')) .mlo-value").inner_text()


def middle(page: Any, row: int, column: int) -> tuple[float, float]:
    area = page.locator(".mlo-grid canvas").bounding_box()
    rows, columns = TRUTH.shape
    return area["x"] + area["width"] * (column + 0.5) / columns, area["y"] + area["height"] * (row + 0.5) / rows


def drag(page: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
    page.mouse.move(*middle(page, *start))
    page.mouse.down()
    page.mouse.move(*middle(page, *end), steps=4)
    page.mouse.up()
    settle(page)


def pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random masks, among them empty and full ones, single pixels, and many that touch the border."""
    rng = np.random.default_rng(40)
    made = []
    for number in range(count):
        shares = rng.choice([0, 0.01, 0.05, 0.3, 0.7, 0.97, 1], 2)
        made.append(tuple(rng.random(TRUTH.shape) < share for share in shares))
        if number % 3 == 0:  # compact ones too
            truth = np.zeros_like(TRUTH)
            top, left = rng.integers(0, 8, 2)
            truth[top : top + rng.integers(1, 9), left : left + rng.integers(1, 12)] = True
            made.append((np.roll(truth, rng.integers(-4, 5, 2), (0, 1)), truth))
    return made


def test_the_numbers_are_those_of_medlab(play):
    page = play(TRUTH)
    rng = np.random.default_rng(0)
    cases = [
        (*pair, rng.choice([0.5, 1, 1.3, 4], 2).tolist(), float(rng.choice([0, 0.5, 1, 2.6]))) for pair in pairs(150)
    ]
    texts = [
        [["".join(map(str, m.ravel().astype(int))) for m in (p, t)], spacing, limit] for p, t, spacing, limit in cases
    ]
    scores = page.evaluate(
        f"""(cases) => cases.map(([masks, spacing, limit]) => {{
          const [prediction, truth] = masks.map((text) => Uint8Array.from(text, Number));
          const got = {PLAYGROUND}.evaluate(prediction, truth, spacing, limit);
          delete got.longest;
          return Object.entries(got).map(([key, value]) => [key, String(value)]);
        }})""",
        texts,
    )
    assert len(scores) == len(cases) == 200
    for (prediction, truth, spacing, limit), got in zip(cases, scores, strict=True):
        options = {"spacing_mm": spacing, "tolerance_mm": limit, "label_names": {1: "mask"}}
        wanted = metrics.evaluate(prediction, truth, **options)["mask"]
        wanted["area_error_mm2"] = 1000 * wanted.pop("volume_error_ml")
        numbers = {key: float(value.replace("Infinity", "inf")) for key, value in got}
        assert numbers == pytest.approx(wanted, rel=1e-12, abs=1e-9)


def test_presets_show_their_scores(play):
    page = play(TRUTH, "half missed")
    for name, wanted in presets(TRUTH).items():
        page.get_by_label("start from").select_option(name)
        settle(page)
        np.testing.assert_array_equal(mask(page), wanted)
        scores = Playground(TRUTH, name).scores()
        area = 1000 * scores["volume_error_ml"]
        assert shown(page, "Dice") == f"{scores['dice']:.3f}"
        assert shown(page, "HD95") == ("∞ mm" if name == "empty" else f"{scores['hd95_mm']:.2f} mm")
        assert shown(page, "surface Dice") == f"{scores['surface_dice']:.3f}"
        assert shown(page, "area error") == (f"{area:+.1f}" if area else "0.0").replace("-", "−") + " mm²"


def test_dragging_moves_one_part_and_says_what_changed(play):
    page = play(TRUTH, "equal")
    drag(page, (5, 14), (8, 17))
    wanted = presets(TRUTH)["small part missed"].copy()
    wanted[7:9, 16:18] = True
    np.testing.assert_array_equal(mask(page), wanted)
    assert shown(page, "Dice") == "0.900"
    change = page.locator(".mlo-table tr:has(th:text-is('Dice')) .mlo-change").inner_text()
    assert change == "−0.100"  # since the drag began, not since its last step
    assert page.locator(".mlo-selected").inner_text() == "acts on this part: 4 of 40 pixels"
    assert (
        page.locator(".mlo-spoken").inner_text()
        == f"Dice 0.900, HD95 {Playground(TRUTH, wanted).scores()['hd95_mm']:.2f} mm"
    )
    page.get_by_role("button", name="Undo").click()
    np.testing.assert_array_equal(mask(page), TRUTH)


def test_a_part_stops_at_the_border(play):
    page = play(TRUTH, "equal")
    drag(page, (5, 14), (11, 19))
    assert mask(page)[10:12, 18:20].all()
    assert mask(page).sum() == TRUTH.sum()


def test_painting_and_erasing_leave_no_gaps(play):
    page = play(TRUTH, "empty")
    page.get_by_label("paint").check()
    page.mouse.move(*middle(page, 2, 1))
    page.mouse.down()
    page.mouse.move(*middle(page, 2, 15))  # at once
    page.mouse.up()
    settle(page)
    assert mask(page)[2, 1:16].all()
    assert mask(page).sum() == 15
    page.get_by_label("erase").check()
    drag(page, (2, 4), (2, 8))
    assert np.flatnonzero(mask(page)[2]).tolist() == [1, 2, 3, *range(9, 16)]
    page.get_by_role("button", name="Undo").click()
    assert mask(page).sum() == 15  # the whole stroke


def test_everything_can_be_done_with_keys(play):
    page = play(TRUTH, "equal")
    page.evaluate("window.leaked = []; document.addEventListener('keydown', (e) => leaked.push(e.key))")
    page.locator(".mlo-grid").focus()
    for key in ("Shift+ArrowRight", "Shift+ArrowDown"):  # the cursor begins on the large part
        page.keyboard.press(key)
    wanted = np.zeros_like(TRUTH)
    wanted[4:10, 3:9] = wanted[4:6, 13:15] = True
    np.testing.assert_array_equal(mask(page), wanted)
    assert "cursor in row 4, column 3: in both" in page.locator(".mlo-grid").get_attribute("aria-label")
    page.keyboard.press("x")
    assert mask(page).sum() == 40 - 6
    page.keyboard.press("Delete")  # the half under the cursor
    assert mask(page).sum() == 34 - 18
    page.keyboard.press("Space")
    assert mask(page)[4, 3]
    page.keyboard.press("g")
    assert mask(page).sum() == 17 + 4
    page.keyboard.press("k")
    assert mask(page).sum() == 17
    page.keyboard.press("u")
    assert mask(page).sum() == 21
    for key in ("a", "b", "ArrowUp", "Tab"):
        page.keyboard.press(key)
    page.get_by_label("height of a pixel").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{PLAYGROUND}.spacing") == [1.5, 1]
    page.get_by_label("tolerance of surface Dice").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{PLAYGROUND}.tolerance") == 1.5
    options = {"spacing_mm": (1.5, 1.0), "tolerance_mm": 1.5}
    scores = metrics.evaluate(mask(page), TRUTH, **options)["1"]
    assert shown(page, "surface Dice") == f"{scores['surface_dice']:.3f}"
    assert shown(page, "Hausdorff") == f"{scores['hausdorff_mm']:.2f} mm"
    assert page.evaluate("leaked") == []


def test_buttons_act_on_the_part_that_was_clicked(play):
    page = play(TRUTH, "equal")
    page.mouse.click(*middle(page, 4, 13))
    page.get_by_role("button", name="Grow").click()
    assert mask(page).sum() == 40 + 8
    page.get_by_role("button", name="Delete").click()
    np.testing.assert_array_equal(mask(page), presets(TRUTH)["small part missed"])
    page.mouse.click(*middle(page, 0, 19))  # off every part
    assert page.locator(".mlo-selected").inner_text() == "acts on all 36 pixels"
    page.get_by_role("button", name="Delete").click()
    assert not mask(page).any()
    assert shown(page, "Hausdorff") == "∞ mm"


def test_pixels_are_drawn_in_their_proportions(play):
    page = play(TRUTH, "half missed", spacing_mm=(3.0, 1.0))
    area = page.locator(".mlo-grid canvas").bounding_box()
    assert area["height"] / area["width"] == pytest.approx(3 * 12 / 20, rel=0.01)
    colour = page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector(".mlo-grid canvas"), area = canvas.getBoundingClientRect();
          const place = [x - area.left, y - area.top].map((length) => Math.round(length * canvas.width / area.width));
          return Array.from(canvas.getContext("2d").getImageData(place[0] - 4, place[1] - 8, 1, 1).data.slice(0, 3));
        }""",
        list(middle(page, 8, 3)),
    )
    assert colour == [0, 158, 115]


def test_it_works_while_the_kernel_is_busy_and_tells_python_later(page, tmp_path):
    with running_server(tmp_path) as server:
        notebook, flag = Notebook(page, server, SETUP), tmp_path / "done"
        truth = f"np.array({json.dumps(TRUTH.astype(int).tolist())}, bool)"
        page.set_default_timeout(60_000)
        notebook.open(f"playground = Playground({truth})\nplayground", busy_until(flag))
        notebook.run_all()
        page.wait_for_selector(".mlo canvas")
        page.get_by_label("start from").select_option("small part missed")
        settle(page)
        notebook.wait_until_busy()
        assert shown(page, "Dice") == f"{Playground(TRUTH, 'small part missed').scores()['dice']:.3f}"
        flag.touch()
        notebook.wait_until_ready()
        notebook.kernel_says("print(int(playground.prediction.sum()))", "36")
        notebook.kernel("playground.prediction = 'empty'")
        page.wait_for_function(f"!{PLAYGROUND}.prediction.some(Boolean)")
        before = page.evaluate(CELLS)
        page.locator(".mlo-grid").focus()
        for key in ("a", "b", "d", "d", "x"):
            page.keyboard.press(key)
        assert page.evaluate(CELLS) == before
