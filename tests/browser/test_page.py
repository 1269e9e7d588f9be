"""The viewer as a page without a kernel: what it draws, pixel by pixel, and what it does with mouse and keyboard."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from browsing import pixels, settle, state

from medlab import images
from medlab.viewer import compare, view

SPACING_MM = (3.0, 0.8, 1.5)  # z, y, x; three different ones, as the three sizes below
ORIENTATIONS = [
    "".join(letters) for axes in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*axes)
]


def phantom() -> tuple[sitk.Image, sitk.Image]:
    """An image without any symmetry, and labels 1, 2 and 7 in it."""
    rng = np.random.default_rng(3)
    values = rng.integers(-1000, 1200, (7, 13, 10)).astype(np.int16)
    values += (np.arange(7)[:, None, None] * 40 + np.arange(13)[:, None] * 11 + np.arange(10)).astype(np.int16)
    labels = np.zeros(values.shape, np.uint8)
    labels[1:4, 2:9, 3:8], labels[3:6, 5:12, 1:4], labels[6, 0, 9] = 1, 2, 7
    image = images.from_array(values, SPACING_MM)
    image.SetOrigin((-30.0, 12.0, 100.0))
    return image, images.image_like(labels, image)


def oracle(grey: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Grey values through a window, (..., 3)."""
    level, width = window
    share = (grey.astype(np.float64) - (level - width / 2)) / width
    return np.repeat(np.floor(np.clip(share, 0, 1) * 255 + 0.5)[..., None], 3, axis=-1)


def blend(base: np.ndarray, colour: Any, alpha: Any) -> np.ndarray:
    return np.floor(base * (1 - alpha) + np.asarray(colour, np.float64) * alpha + 0.5)


COLOURS = np.array([(0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115)])  # Okabe-Ito, for labels 1, 2 and 7


def three_planes(image: sitk.Image, index: tuple[int, int, int]) -> list[np.ndarray]:
    """Radiological pictures of an LPS image: right of the patient on the left, front up; head up; front on the left."""
    volume, (z, y, x) = images.array(image), index
    return [volume[z], volume[::-1, y], volume[::-1, :, x]]


def expected(image: sitk.Image, labels: sitk.Image, index: tuple[int, int, int], window: Any) -> list[np.ndarray]:
    """The three panes, with labels at the opacity of 0.4."""
    drawn = []
    for grey, label in zip(three_planes(image, index), three_planes(labels, index), strict=True):
        base, number = oracle(grey, window), np.searchsorted([0, 1, 2, 7], label)
        drawn.append(np.where(number[..., None] > 0, blend(base, COLOURS[number], 0.4), base))
    return drawn


def focus(page: Any, pane: int = 0) -> None:
    page.locator(".mlv-pane").nth(pane).focus()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
    settle(page)


def box(page: Any, pane: int = 0) -> dict[str, float]:
    return page.locator(".mlv-pane").nth(pane).bounding_box()


# --- Pixels ----------------------------------------------------------------------------------------------------------


def test_every_slice_is_what_numpy_draws(show):
    image, labels = phantom()
    page = show(view(image, labels, window=(150, 1500)))
    depth, height, width = images.array(image).shape
    for index in [(0, 0, 0), (2, 4, 5), (3, 6, 3), (depth - 1, height - 1, width - 1)]:
        state(page, f"session.setIndex({json.dumps(index)})")
        settle(page)
        for pane, wanted in enumerate(expected(image, labels, index, (150, 1500))):
            np.testing.assert_array_equal(pixels(page, pane), wanted)


@pytest.mark.parametrize("window", [(0, 1), (40, 400), (-600.5, 1500), (200, 4000)])
def test_windows_are_what_numpy_computes(show, window):
    image, labels = phantom()
    page = show(view(image, labels, window=window))
    index = tuple(state(page, "session.index"))
    for pane, wanted in enumerate(expected(image, labels, index, window)):
        np.testing.assert_array_equal(pixels(page, pane), wanted)


def test_all_48_orientations_show_the_same_pictures(show):
    image, labels = phantom()
    point = image.TransformIndexToPhysicalPoint((4, 6, 3))  # x, y, z
    wanted = expected(image, labels, (3, 6, 4), (150, 1500))
    assert len(set(ORIENTATIONS)) == 48
    for letters in ORIENTATIONS:
        turned, turned_labels = images.reorient(image, letters), images.reorient(labels, letters)
        viewer = view(turned, turned_labels, window=(150, 1500))
        viewer.index = turned.TransformPhysicalPointToIndex(point)[::-1]
        page = show(viewer)
        for pane in range(3):
            np.testing.assert_array_equal(pixels(page, pane), wanted[pane], err_msg=f"{letters}, pane {pane}")
        assert page.locator(".mlv-letter").all_inner_texts() == list("RLAPRLSIAPSI"), letters
        sizes = [(box(page, pane)["width"], box(page, pane)["height"]) for pane in range(3)]
        for (width, height), (w_mm, h_mm) in zip(sizes, [(15, 10.4), (15, 21), (10.4, 21)], strict=True):
            assert width / height == pytest.approx(w_mm / h_mm, rel=0.01), letters


def test_an_oblique_image_is_drawn_on_the_nearest_axes_and_says_so(show):
    image, labels = phantom()
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0, 0, np.radians(12))
    for tilted in (image, labels):
        tilted.SetDirection(turn.GetMatrix())
    page = show(view(image, labels, window=(150, 1500)))
    for pane, wanted in enumerate(expected(image, labels, tuple(state(page, "session.index")), (150, 1500))):
        np.testing.assert_array_equal(pixels(page, pane), wanted)
    assert "oblique by 12.0°" in page.inner_text(".mlv-notes")


def test_a_heat_map_lies_over_the_image_from_its_threshold_on(show):
    image, _ = phantom()
    rng = np.random.default_rng(0)
    probability = rng.random(images.array(image).shape).astype(np.float32)
    page = show(view(image, probability=probability, window=(150, 1500)))
    state(page, "session.setIndex([2, 4, 5])")
    page.get_by_label("threshold of the map").fill("0.5")
    settle(page)
    from matplotlib import colormaps

    code = np.rint(probability[2] * 255).astype(int)
    colour = np.round(colormaps["inferno"](np.arange(256))[:, :3] * 255)[code]
    alpha = np.where(code / 255 >= 0.5, 0.8 * code / 255, 0)[..., None]
    wanted = blend(oracle(images.array(image)[2], (150, 1500)), colour, alpha)
    np.testing.assert_array_equal(pixels(page, 0), wanted)


def test_colour_pictures_keep_their_colours(show):
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    labels = np.zeros((20, 30), np.uint8)
    labels[5:10, 6:9] = 1
    page = show(view(picture, labels))
    wanted = np.where(labels[..., None] > 0, blend(picture, COLOURS[1], 0.4), picture)
    np.testing.assert_array_equal(pixels(page, 0), wanted)
    assert page.locator(".mlv-pane").count() == 1
    assert page.locator(".mlv-letter").all_inner_texts() == ["", "", "", ""]


def test_values_that_are_not_finite_are_purple_and_counted(show):
    values = np.linspace(0, 1, 6 * 8 * 10, dtype=np.float32).reshape(6, 8, 10)
    values[3, 4, 5], values[3, 4, 6], values[3, 4, 7] = np.nan, np.inf, -np.inf
    page = show(view(values))
    state(page, "session.setIndex([3, 4, 5])")
    settle(page)
    np.testing.assert_array_equal(pixels(page, 0)[4, 5:8], [(204, 121, 167)] * 3)
    assert not (pixels(page, 0)[3] == (204, 121, 167)).all(-1).any()
    assert "1 NaN, 1 +infinite, 1 -infinite" in page.inner_text(".mlv-notes")
    texts = [state(page, f"session.valueText([3, 4, {x}])") for x in (5, 6, 7)]
    assert texts == ["NaN", "+∞", "−∞"]


def test_outlines_leave_the_image_free_and_run_between_voxels(show):
    image, labels = phantom()
    page = show(view(image, labels, window=(150, 1500)))
    page.get_by_role("button", name="outline").click()
    state(page, "session.setIndex([3, 6, 3])")
    settle(page)
    np.testing.assert_array_equal(pixels(page, 0), oracle(images.array(image)[3], (150, 1500)))
    colours = page.evaluate(
        """() => {
          const canvas = document.querySelector(".mlv-overlay"), found = new Set();
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] > 150) found.add([...data.subarray(i, i + 3)].join());
          }
          return [...found].map((text) => text.split(",").map(Number));
        }"""
    )
    for label in (1, 2):  # lines have soft edges, so their colour is met within a rounding step or two
        assert np.abs(np.array(colours) - COLOURS[label]).max(axis=1).min() <= 3, f"label {label}"


def test_labels_that_are_switched_off_are_not_drawn(show):
    image, labels = phantom()
    page = show(view(image, labels, label_names={1: "liver", 2: "spleen"}, window=(150, 1500)))
    page.get_by_role("button", name="liver").click()
    settle(page)
    index = tuple(state(page, "session.index"))
    without = images.array(labels)
    without[without == 1] = 0
    for pane, wanted in enumerate(expected(image, images.image_like(without, labels), index, (150, 1500))):
        np.testing.assert_array_equal(pixels(page, pane), wanted)
    assert page.get_by_role("button", name="liver").get_attribute("aria-pressed") == "false"


def test_more_than_255_labels_are_told_apart(show):
    labels = np.zeros((20, 30), np.uint16)
    labels.flat[:400] = np.arange(400)
    page = show(view(np.zeros((20, 30)), labels))
    assert state(page, "session.labelText('labels', [0, 13, 9])") == "label 399"
    assert len(np.unique(pixels(page, 0).reshape(-1, 3), axis=0)) > 20


# --- What it says ----------------------------------------------------------------------------------------------------


def test_the_readout_gives_index_place_value_and_label(show):
    image, labels = phantom()
    page = show(view(image, labels, label_names={1: "liver"}))
    state(page, "session.setIndex([2, 4, 5])")
    settle(page)
    value = images.array(image)[2, 4, 5]
    x, y, z = image.TransformIndexToPhysicalPoint((5, 4, 2))
    assert (x, y, z) == pytest.approx((-22.5, 15.2, 106))
    words = page.locator(".mlv-readout span").all_inner_texts()
    assert words == ["[2, 4, 5]", "R 22.5 P 15.2 S 106.0 mm", str(value).replace("-", "−") + " HU", "liver"]


def test_the_pointer_reads_out_what_lies_under_it(show):
    image, _ = phantom()
    page = show(view(image))
    area = box(page)
    page.mouse.move(area["x"] + area["width"] * 2.5 / 10, area["y"] + area["height"] * 7.5 / 13)
    settle(page)
    z = state(page, "session.index[0]")
    assert page.locator(".mlv-readout span").first.inner_text() == f"[{z}, 7, 2]"
    page.mouse.move(5, 890)
    settle(page)
    assert page.locator(".mlv-readout span").first.inner_text() == str(state(page, "session.index")).replace("'", "")


def test_panes_are_sliders_that_say_where_they_are(show):
    image, labels = phantom()
    page = show(view(image, labels, label_names={1: "liver"}))
    state(page, "session.setIndex([2, 4, 5])")
    settle(page)
    value = str(images.array(image)[2, 4, 5]).replace("-", "−")
    spoken = [pane.get_attribute("aria-valuetext") for pane in page.get_by_role("slider").all()]
    spoken = [text for text in spoken if text]
    assert spoken == [
        f"axial 3 of 7, 106.0 mm, {value} HU, liver",
        f"coronal 5 of 13, 15.2 mm, {value} HU, liver",
        f"sagittal 6 of 10, −22.5 mm, {value} HU, liver",
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_values_read_out_are_the_values_of_the_image(show, dtype):
    rng = np.random.default_rng(5)
    values = rng.integers(0, 250, (3, 4, 5)).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        values = values / 7 * 1e-3
    if dtype == np.uint16:
        values[0, 0, 0] = 65535
    page = show(view(values))
    wire = state(page, "[session.meta.slope, session.meta.intercept, session.meta.exact]")
    slope, intercept, exact = wire
    codes = np.array(state(page, "Array.from(session.layers.image.frames[0])")).reshape(values.shape)
    assert exact == (not np.issubdtype(dtype, np.floating))
    tolerance = 0 if exact else slope / 2 * 1.001
    assert np.abs(codes * slope + intercept - values).max() <= tolerance
    assert exact or "values are exact to ±" in page.inner_text(".mlv-notes")


def test_a_label_legend_gives_volumes(show):
    image, labels = phantom()
    page = show(view(image, labels, label_names={1: "liver", 2: "spleen", 7: "lesion"}))
    count = int((images.array(labels) == 1).sum())
    assert f"liver {count * 3.6e-3:.2f} ml" in page.inner_text(".mlv-legend").replace("\n", " ")


# --- Mouse -----------------------------------------------------------------------------------------------------------


def test_the_wheel_scrolls_slices_only_once_the_pane_has_the_focus(show):
    image, _ = phantom()
    page = show(view(image))
    page.evaluate("document.body.style.height = '4000px'")
    area = box(page)
    page.mouse.move(area["x"] + 20, area["y"] + 20)
    page.mouse.wheel(0, 120)
    page.wait_for_function("scrollY > 0")
    start = state(page, "view.panes[0].slice")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("scrollY === 0")
    focus(page)
    page.mouse.wheel(0, -120)
    page.wait_for_function(f"document.querySelector('.mlv').viewer.panes[0].slice === {start + 1}")
    page.mouse.wheel(0, 120)
    page.mouse.wheel(0, 120)
    page.wait_for_function(f"document.querySelector('.mlv').viewer.panes[0].slice === {start - 1}")
    for _ in range(10):  # beyond the end, the page still stands still
        page.mouse.wheel(0, 120)
    page.wait_for_function("document.querySelector('.mlv').viewer.panes[0].slice === 0")
    assert page.evaluate("scrollY") == 0


def test_a_click_moves_the_crosshair_of_all_planes(show):
    image, labels = phantom()
    page = show(view(image, labels, window=(150, 1500)))
    area = box(page, 1)  # coronal: columns are x, rows are z from the head down
    page.mouse.click(area["x"] + area["width"] * 8.5 / 10, area["y"] + area["height"] * 1.5 / 7)
    settle(page)
    index = state(page, "session.index")
    assert (index[0], index[2]) == (5, 8)
    for pane, wanted in enumerate(expected(image, labels, tuple(index), (150, 1500))):
        np.testing.assert_array_equal(pixels(page, pane), wanted)


def test_dragging_with_the_right_button_changes_window_and_level(show):
    image, _ = phantom()
    page = show(view(image, window=(100, 500)))
    area = box(page)
    page.mouse.move(area["x"] + 60, area["y"] + 60)
    page.mouse.down(button="right")
    page.mouse.move(area["x"] + 110, area["y"] + 35)
    page.mouse.up(button="right")
    settle(page)
    level, width = state(page, "session.window")
    assert (level, width) == pytest.approx((100 - 25 * 2, 500 + 50 * 2))
    np.testing.assert_array_equal(
        pixels(page, 0), oracle(images.array(image)[state(page, "session.index[0]")], (level, width))
    )


def test_zoom_keeps_the_voxel_under_the_pointer(show):
    image, _ = phantom()
    page = show(view(image))
    area, under = box(page), "view.panes[0].voxelUnder({clientX: %f, clientY: %f})"
    x, y = area["x"] + area["width"] * 0.73, area["y"] + area["height"] * 0.22
    before = state(page, under % (x, y))
    focus(page)
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function("document.querySelector('.mlv').viewer.zoom > 1.5")
    settle(page)
    assert state(page, under % (x, y)) == before
    press(page, "0")
    assert state(page, "view.zoom") == 1


# --- Keyboard --------------------------------------------------------------------------------------------------------


def test_keys_move_through_the_slices(show):
    values = np.zeros((60, 8, 9), np.int16)
    page = show(view(values))
    focus(page)
    wanted = [("Home", 0), ("ArrowUp", 1), ("ArrowRight", 2), ("ArrowDown", 1), ("PageUp", 11), ("PageDown", 1)]
    for key, position in [*wanted, ("ArrowLeft", 0), ("ArrowDown", 0), ("End", 59), ("PageUp", 59)]:
        press(page, key)
        assert state(page, "view.panes[0].slice") == position, key
    before = state(page, "session.index")
    press(page, "Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown")
    assert state(page, "session.index") == [before[0], before[1] + 2, before[2] + 1]


def test_number_keys_are_the_presets_and_escape_leaves(show):
    image, _ = phantom()
    page = show(view(image))
    focus(page)
    press(page, "2")
    assert state(page, "session.window") == [-600, 1500]
    assert page.get_by_label("window preset").evaluate("(e) => e.selectedOptions[0].text") == "lung"
    press(page, "Escape")
    assert page.evaluate("document.activeElement === document.body")


def test_no_key_of_the_viewer_reaches_the_page_around_it(show):
    page = show(view(phantom()[0]))
    page.evaluate("window.leaked = []; document.addEventListener('keydown', (e) => leaked.push(e.key))")
    focus(page)
    press(page, "a", "b", "d", "x", "0", "Enter", "ArrowDown", "Shift+M", "Home", "Escape")
    focus(page)
    press(page, "Tab")
    assert page.evaluate("leaked") == []
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "coronal slices"


def test_everything_can_be_done_without_a_mouse(show):
    image, labels = phantom()
    page = show(view(image, labels, label_names={1: "liver"}))
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate("(e => e.getAttribute?.('aria-label') || e.textContent)(document.activeElement)")
        reached.add(name.strip()[:20])
    assert {
        "Navigate",
        "Contrast",
        "Point",
        "Box",
        "Brush",
        "Eraser",
        "Undo",
        "window preset",
        "window level",
    } <= reached
    assert {
        "window width",
        "opacity",
        "outline",
        "Keys",
        "axial slices",
        "coronal slices",
        "sagittal slices",
    } <= reached
    focus(page)
    state(page, "session.setIndex([2, 4, 5])")
    press(page, "p", "Enter", "Shift+ArrowRight", "Enter")
    assert state(page, "session.points") == [[2, 4, 5], [2, 4, 6]]
    press(page, "u")
    assert state(page, "session.points") == [[2, 4, 5]]
    press(page, "r", "Enter", "Shift+ArrowRight", "Shift+ArrowDown", "Enter")
    assert state(page, "session.roi") == [[2, 4, 6], [3, 6, 8]]
    count = "session.layers.labels.frames[0].reduce((n, v) => n + (v === 1), 0)"
    before = state(page, count)
    press(page, "e", "Enter")
    assert state(page, count) < before
    press(page, "Control+z")
    assert state(page, count) == before


# --- Tools -----------------------------------------------------------------------------------------------------------


def test_a_brush_stroke_paints_a_disc_in_the_patient(show):
    image, _ = phantom()
    page = show(view(image))
    page.get_by_role("button", name="Brush").click()
    focus(page)
    state(page, "(session.brush.radius = 4, session.setIndex([2, 6, 5]))")
    press(page, "Enter")
    painted = np.array(state(page, "Array.from(session.layers.labels.frames[0])")).reshape(7, 13, 10)
    y, x = np.mgrid[:13, :10]
    disc = ((y - 6) * 0.8) ** 2 + ((x - 5) * 1.5) ** 2 <= (4.5 * 0.8) ** 2
    np.testing.assert_array_equal(painted[2], disc)
    assert painted.sum() == disc.sum()


def test_a_box_is_refined_in_another_plane(show):
    page = show(view(phantom()[0]))
    page.get_by_role("button", name="Box").click()
    state(page, "session.setIndex([2, 4, 5])")
    settle(page)
    area = box(page)
    page.mouse.move(area["x"] + area["width"] * 2.5 / 10, area["y"] + area["height"] * 3.5 / 13)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 6.5 / 10, area["y"] + area["height"] * 8.5 / 13)
    page.mouse.up()
    assert state(page, "session.roi") == [[2, 3, 2], [3, 9, 7]]
    area = box(page, 1)
    page.mouse.move(area["x"] + area["width"] * 1.5 / 10, area["y"] + area["height"] * 0.5 / 7)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 8.5 / 10, area["y"] + area["height"] * 4.5 / 7)
    page.mouse.up()
    assert state(page, "session.roi") == [[2, 3, 1], [7, 9, 9]]


# --- Comparison, frames, large volumes -------------------------------------------------------------------------------


def masks() -> tuple[sitk.Image, sitk.Image, sitk.Image]:
    image, labels = phantom()
    prediction = np.roll(images.array(labels), (0, 1, 1), (0, 1, 2))
    prediction[3, 5:8, 3:8] = 2
    return image, labels, images.image_like(prediction, labels)


def test_comparison_colours_hits_false_alarms_and_misses(show):
    image, truth, prediction = masks()
    page = show(compare(image, truth, prediction, window=(150, 1500)))
    state(page, "session.setIndex([3, 4, 5])")
    settle(page)
    base = oracle(images.array(image)[3], (150, 1500))
    t, p = images.array(truth)[3], images.array(prediction)[3]
    for where, colour in [
        ((t == p) & (t > 0), (86, 180, 233)),
        ((t == 0) & (p > 0), (213, 94, 0)),
        ((t > 0) & (p == 0), (240, 228, 66)),
        ((t > 0) & (p > 0) & (t != p), (204, 121, 167)),
    ]:
        assert where.any()
        base[where] = blend(base[where], colour, 0.64)
    np.testing.assert_array_equal(pixels(page, 2), base)
    np.testing.assert_array_equal(pixels(page, 0), expected(image, truth, (3, 4, 5), (150, 1500))[0])
    np.testing.assert_array_equal(pixels(page, 1), expected(image, prediction, (3, 4, 5), (150, 1500))[0])


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    total = (truth > 0).sum() + (prediction > 0).sum()
    return 2 * ((truth == prediction) & (truth > 0)).sum() / total if total else np.nan


@pytest.mark.parametrize(("plane", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_the_bars_are_the_dice_of_every_slice_and_lead_to_the_worst(show, plane, axis):
    image, truth, prediction = masks()
    page = show(compare(image, truth, prediction))
    page.get_by_label("plane").select_option(plane)
    settle(page)
    t, p = (np.moveaxis(images.array(m), axis, 0) for m in (truth, prediction))
    wanted = [dice(a, b) for a, b in zip(t, p, strict=True)]
    got = state(page, f"Array.from(session.diceOf({axis}), (v) => (Number.isNaN(v) ? null : v))")
    np.testing.assert_allclose([np.nan if v is None else v for v in got], wanted)
    page.get_by_role("button", name="worst slice").click()
    assert state(page, f"session.index[{axis}]") == int(np.nanargmin(wanted))
    chart = page.locator(".mlv-chart").bounding_box()
    page.mouse.click(chart["x"] + chart["width"] * 2.5 / len(wanted), chart["y"] + 30)
    assert state(page, "view.panes[0].slice") == 2


def test_frames_are_chosen_with_a_slider(show):
    values = np.random.default_rng(0).integers(0, 1000, (4, 6, 8, 10)).astype(np.int16)
    page = show(view(values, window=(500, 1000)))
    page.get_by_label("frame").fill("2")
    settle(page)
    z = state(page, "session.index[0]")
    np.testing.assert_array_equal(pixels(page, 0), oracle(values[2, z], (500, 1000)))
    focus(page)
    press(page, ".")
    np.testing.assert_array_equal(pixels(page, 0), oracle(values[3, z], (500, 1000)))


def test_a_volume_above_the_limit_is_thinned_and_says_so(show):
    values = np.random.default_rng(0).integers(0, 1000, (20, 64, 64)).astype(np.int16)
    image = images.from_array(values, (5.0, 1.0, 1.0))
    viewer = view(image, window=(500, 1000), max_mb=0.05)
    page = show(viewer)
    assert "too large to show whole: every 1 x 2 x 2th voxel" in page.inner_text(".mlv-notes")
    z = state(page, "session.index[0]")
    np.testing.assert_array_equal(pixels(page, 0), oracle(values[z, ::2, ::2], (500, 1000)))
    state(page, "session.setIndex([3, 10, 11])")
    settle(page)
    assert page.locator(".mlv-readout span").first.inner_text() == "[3, 20, 22]"


def test_one_plane_alone(show):
    page = show(view(phantom()[0], plane="sagittal"))
    assert page.locator(".mlv-pane").count() == 1
    assert page.locator(".mlv-letter").all_inner_texts() == list("APSI")


# --- The page itself -------------------------------------------------------------------------------------------------


def test_a_saved_page_asks_for_nothing(browser, tmp_path):
    image, labels = phantom()
    viewer = view(image, labels)
    viewer.points = [(2, 4, 5)]
    viewer.save_html(tmp_path / "viewer.html")
    context = browser.new_context(offline=True)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "viewer.html").as_uri())
    page.wait_for_selector(".mlv[data-loaded=all]")
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "viewer.html").as_uri()]
    assert state(page, "session.points") == [[2, 4, 5]]
    context.close()


def test_a_page_of_128_x_128_x_32_with_labels_takes_less_than_a_megabyte(tmp_path):
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:32, :128, :128]
    body = ((y - 64) / 50) ** 2 + ((x - 64) / 40) ** 2 + ((z - 16) / 30) ** 2 < 1
    values = np.where(body, 60, -1000) + rng.normal(0, 15, body.shape)
    view(values.astype(np.int16), body.astype(np.uint8)).save_html(tmp_path / "viewer.html")
    assert (tmp_path / "viewer.html").stat().st_size <= 1e6
