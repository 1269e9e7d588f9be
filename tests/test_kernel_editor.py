"""The kernel editor of lesson 20: what it is given, what it computes, its still twin. Drawing: tests/browser."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from medlab.viewer import kernel as module
from medlab.viewer.kernel import DIVERGING, PRESETS, KernelEditor, colours, correlate, page_html

PICTURE = np.arange(35.0).reshape(5, 7)
SIDES = arrays(float, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-20, 20))
KERNELS = arrays(float, (3, 3), elements=st.integers(-9, 9))


@settings(deadline=None)  # the first example pays for the import of torch
@given(picture=SIDES, kernel=KERNELS)
def test_the_response_is_torch_s(picture, kernel):
    theirs = torch.nn.functional.conv2d(torch.tensor(picture)[None, None], torch.tensor(kernel)[None, None], padding=1)
    np.testing.assert_array_equal(correlate(picture, kernel), theirs[0, 0])


def test_the_kernel_is_not_flipped():
    spike = np.zeros((5, 7))
    spike[2, 3] = 1
    np.testing.assert_array_equal(KernelEditor(spike, "shift").response()[2], [0, 0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_the_grey_or_find_changes(name):
    editor = KernelEditor(PICTURE, name)
    changes = name in ("Sobel, along x", "Sobel, along y", "Laplacian")
    assert editor.kernel.sum() == pytest.approx(0 if changes else 1)
    assert f"({name})" in editor.alt


def test_a_kernel_is_set_from_python_and_read_back():
    editor = KernelEditor(PICTURE)
    editor.kernel = np.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(editor.kernel, [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    assert "[0 1 2; 3 4 5; 6 7 8] (own)" in editor.alt
    editor.kernel = "mean"
    np.testing.assert_allclose(editor.kernel, np.full((3, 3), 1 / 9))
    assert "[1 1 1; 1 1 1; 1 1 1], divided by 9 (mean)" in editor.alt


def test_a_response_without_negative_values_is_grey_as_the_picture():
    np.testing.assert_array_equal(colours(np.array([[0.0, 5, 10]]), 0, 10)[0, :, 0], [0, 128, 255])


def test_a_response_with_negative_values_has_zero_in_black():
    drawn = colours(np.array([[-4.0, -2, 0, 2, 4]]), 0, 1)
    np.testing.assert_array_equal(drawn[0], DIVERGING)


def test_the_output_carries_a_picture_and_its_description():
    editor = KernelEditor(PICTURE, cursor=(1, 2), spacing_mm=(2.0, 1.0), letters=("R", "L", "A", "P"))
    data, metadata = editor._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == editor.alt
    assert editor.alt.startswith("Kernel editor: a slice of 5 x 7 pixels, the kernel [-1 0 1; -2 0 2; -1 0 1]")
    assert editor.alt.endswith("row 1, column 2.")
    png = base64.b64decode(data["image/png"])
    assert len(png) < 100_000
    drawn = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    blue, orange = drawn[..., 2] - drawn[..., 0] > 60, drawn[..., 0] - drawn[..., 2] > 60
    right = drawn.shape[1] * 2 // 3
    assert blue[:, right:].sum() > 500  # the ramp falls to the padded zeros at its right edge
    assert orange[:, right:].sum() > 500


@pytest.mark.parametrize("shape", [(3, 4), (512, 512), (1, 1), (200, 3)])
def test_every_size_has_a_small_still_picture(shape):
    noise = np.random.default_rng(0).normal(size=shape)
    assert len(module.still_png(KernelEditor(noise, "Laplacian"))) < 100_000


def test_a_constant_picture_is_shown():
    for value in (0.0, -3.0, 7.0):
        assert KernelEditor(np.full((4, 4), value)).response().shape == (4, 4)
        assert module.still_png(KernelEditor(np.full((4, 4), value), "identity"))


def test_the_exported_page_holds_all_it_needs(monkeypatch):
    editor = KernelEditor(PICTURE, "Gaussian", cursor=(0, 6))
    page = page_html(editor)
    assert "http" not in page
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert set(data["state"]) == {*module._STATE, "_preview"}
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(data["state"]["_preview"]), "<f4"), PICTURE.ravel())
    assert "text/html" not in editor._repr_mimebundle_()[0]
    monkeypatch.setenv("MEDLAB_VIEWER", "page")
    assert editor._repr_mimebundle_()[0]["text/html"].startswith('<iframe title="Kernel editor')


@pytest.mark.parametrize("picture", [np.zeros(4), np.zeros((2, 3, 4)), np.zeros((0, 4)), np.zeros((513, 512))])
def test_what_is_no_slice_is_refused(picture):
    with pytest.raises(ValueError, match=r"picture must be one slice \(H, W\) of at most 512 x 512 pixels, got shape"):
        KernelEditor(picture)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1j])
def test_values_that_are_no_finite_numbers_are_refused(value):
    with pytest.raises(ValueError, match="picture must hold finite real numbers"):
        KernelEditor(np.full((3, 3), value))


@pytest.mark.parametrize("kernel", ["sobel", np.zeros((3, 2)), np.full((3, 3), np.nan)])
def test_a_kernel_that_is_none_is_refused(kernel):
    with pytest.raises(ValueError, match=r"kernel must be \(3, 3\)"):
        KernelEditor(PICTURE, kernel)


@pytest.mark.parametrize("cursor", [(5, 0), (0, 7), (-1, 0)])
def test_a_cursor_outside_is_refused(cursor):
    with pytest.raises(ValueError, match=r"cursor must lie in a picture of \(5, 7\)"):
        KernelEditor(PICTURE, cursor=cursor)


@pytest.mark.parametrize("spacing", [(1, 0), (0, 1), (1, -1), (1.0, np.nan), (1.0,), (1.0, 1.0, 1.0)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(ValueError, match=r"spacing_mm must be 2 positive numbers in \(y, x\) order"):
        KernelEditor(PICTURE, spacing_mm=spacing)


@pytest.mark.parametrize("letters", ["RL", (), ("R", "L", "A", "P", "S")])
def test_letters_for_other_than_four_edges_are_refused(letters):
    with pytest.raises(ValueError, match="letters must be four, at the left, right, top and bottom edge"):
        KernelEditor(PICTURE, letters=letters)


def test_the_script_is_small():
    assert (module.HERE / "kernel.js").stat().st_size < 20_000
