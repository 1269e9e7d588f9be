"""What the viewer is given, what it sends, what it gives back; how it draws is tested in tests/browser."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

import medlab.viewer
from medlab import images
from medlab.viewer import compare, montage, view
from medlab.viewer.export import without_widgets
from medlab.viewer.scene import build
from medlab.viewer.standin import error_classes
from medlab.viewer.wire import Wire, encode

SHAPE, SPACING_MM = (5, 8, 11), (3.0, 0.8, 1.5)


def picture(dtype: Any = np.int16) -> sitk.Image:
    values = np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)
    image = images.from_array(values, SPACING_MM)
    image.SetOrigin((-30.0, 12.0, 100.0))
    image.SetDirection((0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    return image


def mask(value: int = 3) -> sitk.Image:
    values = np.zeros(SHAPE, np.uint8)
    values[1:3, 2:6, 3:9] = value
    return images.image_like(values, picture())


def unpacked(packed: bytes, dtype: Any) -> np.ndarray:
    """What the browser makes of a chunk."""
    raw = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.ascontiguousarray(raw.reshape(np.dtype(dtype).itemsize, -1).T).view(dtype).ravel()


# --- Input that is odd or wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["labels", "probability"])
def test_shapes_that_differ_are_both_named(name):
    with pytest.raises(ValueError, match=rf"{name} must have the shape of the image, \(5, 8, 11\), got \(5, 8, 10\)"):
        view(np.zeros(SHAPE), **{name: np.zeros((5, 8, 10), np.uint8)})


def test_grids_that_differ_are_refused():
    moved = mask()
    moved.SetOrigin((0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="image and labels lie on different grids: origin"):
        view(picture(), moved)


@pytest.mark.parametrize("empty", [np.zeros((0, 4, 4)), np.zeros((3, 0)), sitk.Image()])
def test_an_empty_volume_is_refused(empty):
    with pytest.raises(ValueError, match="image is empty: its s"):
        view(empty)


@pytest.mark.parametrize("wrong", ["text", None, np.array(["a"]), np.zeros((3, 3), complex)])
def test_what_is_not_numbers_is_refused(wrong):
    with pytest.raises(TypeError, match="image must hold real numbers"):
        view(wrong)


@pytest.mark.parametrize("shape", [(), (7,), (2, 2, 4, 5, 6)])
def test_other_dimensions_are_refused(shape):
    with pytest.raises(ValueError, match=r"image must be \(H, W\), \(D, H, W\) or \(T, D, H, W\)"):
        view(np.zeros(shape))


def test_labels_with_fractions_are_refused_with_a_hint():
    with pytest.raises(ValueError, match=r"labels must be whole numbers.*show them as probability="):
        view(np.zeros(SHAPE), np.full(SHAPE, 0.5))


@pytest.mark.parametrize("window", ["bones", (40, 0), (np.nan, 1), (40, -400)])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match="window must be"):
        view(picture(), window=window)


def test_an_unknown_plane_is_refused():
    with pytest.raises(ValueError, match="plane must be one of axial, coronal, sagittal for this image, got 'oblique'"):
        view(picture(), plane="oblique")


def test_compare_needs_both():
    with pytest.raises(ValueError, match="needs both a truth and a prediction"):
        compare(picture(), mask(), None)


def test_values_that_are_not_finite_are_counted_and_named():
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    values[0, 0, :2], values[1, 1, 1], values[2, 2, 2] = np.nan, np.inf, -np.inf
    viewer = view(values)
    assert "not finite: 2 NaN, 1 +infinite, 1 -infinite" in viewer.alt
    assert "values 0.03" in viewer.alt
    codes = encode(values, viewer.wire.coding)
    assert codes[0, 0, :2].tolist() == [-32768, -32768]
    assert (codes[1, 1, 1], codes[2, 2, 2]) == (32767, -32767)
    assert np.abs(codes).max(where=np.isfinite(values), initial=0) < 32767


def test_a_volume_of_nothing_but_nan_is_shown():
    assert "not finite: 24 NaN" in view(np.full((2, 3, 4), np.nan)).alt


def test_a_constant_image_is_shown_grey_and_named():
    viewer = view(np.full(SHAPE, 0.1))
    assert "constant image: every value is 0.1" in viewer.alt
    coding = viewer.wire.coding
    assert encode(np.array([0.1]), coding)[0] * coding.slope + coding.intercept == 0.1
    assert viewer.window == (0.1, 1.0)


def test_one_slice_is_one_plane():
    viewer = view(images.from_array(np.zeros((1, 8, 11), np.int16), SPACING_MM))
    assert [p["name"] for p in viewer._scene["planes"]] == ["axial"]
    assert viewer._scene["planes"][0]["letters"] == list("RLAP")


@pytest.mark.parametrize("shape", [(8, 11), (1, 8, 11), (1, 1, 8, 11)])
def test_a_picture_is_flat_and_has_no_letters(shape):
    viewer = view(torch.zeros(shape))
    assert viewer._scene["flat"]
    assert viewer._scene["planes"][0]["letters"] == ["", "", "", ""]
    assert viewer.index == (4, 5)


@pytest.mark.parametrize(
    "make", [lambda v: v, sitk.GetImageFromArray, lambda v: v / 255], ids=["array", "sitk", "0..1"]
)
def test_colour_is_known_by_its_last_axis(make):
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    image = sitk.GetImageFromArray(values, isVector=True) if make is sitk.GetImageFromArray else make(values)
    viewer = view(image)
    assert viewer._scene["colour"]
    chunk = viewer.wire.pack(viewer.wire.chunks()[0])
    np.testing.assert_array_equal(unpacked(chunk, np.uint8).reshape(values.shape), values)


def test_channels_of_an_image_are_frames():
    values = np.random.default_rng(0).integers(0, 256, (5, 8, 11, 2)).astype(np.int16)
    viewer = view(images.from_array(values, SPACING_MM, channels=True))
    assert (viewer._scene["frames"], viewer._scene["shape"]) == (2, [5, 8, 11])
    viewer.frame = 1
    with pytest.raises(ValueError, match=r"frame must be in 0\.\.1, got 2"):
        viewer.frame = 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.uint8, torch.int64, torch.float64])
def test_tensors_of_every_type_are_taken(dtype):
    values = torch.tensor([[[0, 1], [1, 0], [1, 1]]] * 2).to(dtype)
    viewer = view(values.requires_grad_() if dtype.is_floating_point else values)
    coding = viewer.wire.coding
    got = encode(viewer.scene.volume[0], coding) * coding.slope + coding.intercept
    np.testing.assert_array_equal(got, values.detach().float().numpy())


def test_a_tensor_on_a_gpu_is_fetched():
    class OnGpu:
        """What the viewer needs of a CUDA tensor: numpy() works only after cpu()."""

        dtype = "torch.float32"

        def detach(self) -> OnGpu:
            return self

        def cpu(self) -> torch.Tensor:
            return torch.arange(24.0).reshape(2, 3, 4)

    assert view(OnGpu()).scene.high == 23


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_cuda_tensor_is_shown():
    assert view(torch.arange(24.0, device="cuda").reshape(2, 3, 4)).scene.high == 23


def test_labels_beyond_255_and_below_0_keep_their_values():
    values = np.zeros(SHAPE, np.int32)
    values[0, 0, :4] = [-7, 300, 70000, 2]
    viewer = view(picture(), values)
    assert viewer.scene.labels.values == [-7, 2, 300, 70000]
    np.testing.assert_array_equal(images.array(viewer.labels()), values)


def test_truth_and_prediction_have_the_same_numbers_for_the_same_labels():
    viewer = compare(picture(), mask(3), mask(9), label_names={9: "nine"})
    assert viewer.scene.labels.values == viewer.scene.prediction.values == [3, 9]
    assert (viewer.scene.labels.index.max(), viewer.scene.prediction.index.max()) == (1, 2)
    assert viewer.alt.endswith("labels: label 3 0.17 ml; prediction: nine 0.17 ml")


def test_an_array_says_that_its_geometry_is_assumed():
    assert "no geometry: voxels of 1 mm" in view(np.zeros(SHAPE)).alt
    assert "no geometry" not in view(picture()).alt
    assert "48 voxels" in view(np.zeros(SHAPE), images.array(mask())).alt


def test_an_oblique_image_says_so():
    image = picture()
    angle = np.radians(12)
    image.SetDirection((1.0, 0.0, 0.0, 0.0, np.cos(angle), -np.sin(angle), 0.0, np.sin(angle), np.cos(angle)))
    assert "oblique by 12.0°, drawn on the nearest axes" in view(image).alt


def test_hounsfield_units_are_known_by_their_values_or_the_header():
    ct = np.random.default_rng(0).integers(-1024, 1500, SHAPE).astype(np.int16)
    assert build(ct).unit == "HU"
    assert build(ct).window == (40, 400)
    assert build(ct + 2000).unit == ""
    labelled = images.from_array((ct + 2000).astype(np.int16))
    labelled.SetMetaData("0008|0060", "CT")
    assert build(labelled).unit == "HU"


# --- What is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32])
def test_whole_numbers_of_16_bits_arrive_exactly(dtype):
    low, high = (0, 255) if dtype == np.uint8 else (-128, 127) if dtype == np.int8 else (0, 65535)
    if dtype == np.int16:
        low, high = -32768, 32767
    values = np.random.default_rng(0).integers(low, high + 1, SHAPE).astype(dtype)
    values.flat[:2] = low, high
    wire = Wire(build(values))
    codes = np.concatenate([unpacked(wire.pack(chunk), np.int16) for chunk in wire.chunks()])
    assert wire.coding.exact
    np.testing.assert_array_equal(codes * wire.coding.slope + wire.coding.intercept, values.ravel().astype(float))


def test_fractions_arrive_to_within_half_a_step_and_the_step_is_stated():
    values = np.random.default_rng(0).normal(0, 3, SHAPE)
    wire = Wire(build(values))
    codes = np.concatenate([unpacked(wire.pack(chunk), np.int16) for chunk in wire.chunks()])
    error = np.abs(codes * wire.coding.slope + wire.coding.intercept - values.ravel()).max()
    assert 0 < error <= wire.coding.slope / 2 * (1 + 1e-9)
    assert f"values are exact to ±{wire.coding.slope / 2:.2g}" in wire.meta()["notes"]


def test_chunks_come_from_the_centre_outwards_and_labels_before_the_image(monkeypatch):
    monkeypatch.setattr("medlab.viewer.wire.CHUNK_BYTES", 2 * 8 * 11 * 2)
    wire = Wire(build(np.zeros((11, 8, 11), np.int16), np.zeros((11, 8, 11), np.uint8)))
    assert wire.depth == 2
    assert [(c.layer, c.first) for c in wire.chunks()] == [
        (layer, first) for layer in ("labels", "image") for first in (4, 6, 2, 8, 0, 10)
    ]


def test_the_first_picture_shows_the_middle_of_the_labels():
    assert view(picture(), mask()).index == (2, 4, 6)
    assert view(picture()).index == (2, 4, 5)


def test_only_three_slices_travel_with_the_widget():
    values = np.random.default_rng(0).integers(-1000, 1000, (64, 128, 128)).astype(np.int16)
    viewer = view(values, np.zeros(values.shape, np.uint8))
    state = viewer.get_state()
    assert len(state["_preview"]) < (128 * 128 + 2 * 64 * 128) * 2 * 1.02
    assert sum(len(v) for v in state.values() if isinstance(v, (bytes, str))) < 300_000


def test_a_large_volume_is_thinned_along_its_finest_axes():
    image = images.from_array(np.zeros((20, 64, 64), np.int16), (5.0, 1.0, 1.0))
    viewer = view(image, max_mb=0.05)
    assert viewer.wire.steps == (1, 2, 2)
    assert viewer._scene["spacing"] == [5, 2, 2]
    assert "too large to show whole: every 1 x 2 x 2th voxel (z, y, x) is shown" in viewer._scene["notes"]


def test_the_script_is_small_and_depends_on_nothing():
    script = (Path(medlab.viewer.__file__).parent / "widget.js").read_text()
    assert len(script.encode()) <= 60_000
    assert "import " not in script
    assert "http" not in script


def test_the_viewer_does_not_import_torch_or_matplotlib():
    code = "import sys, medlab.viewer, numpy; zeros = numpy.zeros((3, 4, 5), int); "
    code += "medlab.viewer.view(zeros, zeros)._repr_mimebundle_(); "
    code += "print(sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- What comes back -------------------------------------------------------------------------------------------------


def paint(viewer: Any, places: list[int], number: int, labels: list[dict[str, Any]]) -> None:
    """A stroke as the browser sends it."""
    packed = (np.array(places, np.uint32).tobytes(), np.full(len(places), number, np.uint16).tobytes())
    viewer._receive(None, {"type": "edit", "labels": labels}, [memoryview(part) for part in packed])


def test_painted_labels_lie_on_the_grid_of_the_image_and_leave_the_given_ones_alone():
    image, given = picture(), images.array(mask())
    before, told = given.copy(), []
    viewer = view(image, given)
    viewer.on_change(told.append)
    paint(viewer, [0, 90, 91], 2, [{"value": 3, "name": "label 3"}, {"value": 4, "name": "label 4"}])
    painted = viewer.labels()
    images.check_same_grid(image, painted)
    assert images.array(painted).ravel()[[0, 90, 91]].tolist() == [4, 4, 4]
    np.testing.assert_array_equal(given, before)
    assert viewer.scene.labels.counts == [48, 3]
    assert told == ["labels"]


def test_a_stroke_on_a_thinned_volume_fills_the_voxels_between():
    viewer = view(images.from_array(np.zeros((20, 63, 64), np.int16), (5.0, 1.0, 1.0)), max_mb=0.05)
    paint(viewer, [2 * 32 * 32 + 31 * 32 + 4], 1, [{"value": 1, "name": "label 1"}])
    filled = np.argwhere(images.array(viewer.labels()))
    assert filled.tolist() == [[2, 62, 8], [2, 62, 9]]
    assert viewer.scene.labels.counts == [2]


def test_labels_of_a_picture_are_a_picture():
    viewer = view(np.zeros((8, 11)), np.eye(8, 11, dtype=np.uint8))
    np.testing.assert_array_equal(images.array(viewer.labels()), np.eye(8, 11))


def test_points_have_an_index_and_a_place_in_the_patient():
    viewer = view(picture())
    viewer.points = [(1, 2, 3), (4, 7, 10)]
    assert [p.index for p in viewer.points] == [(1, 2, 3), (4, 7, 10)]
    np.testing.assert_allclose(viewer.points[0].mm, picture().TransformIndexToPhysicalPoint((3, 2, 1)))
    with pytest.raises(ValueError, match=r"a point must lie in an array of shape \(5, 8, 11\), got \(5, 0, 0\)"):
        viewer.points = [(5, 0, 0)]


def test_a_box_cuts_the_array():
    viewer = view(picture())
    assert viewer.roi is None
    viewer._roi = [[1, 2, 3], [2, 6, 11]]
    assert images.array(picture())[viewer.roi.slices].shape == (1, 4, 8)
    viewer.roi = viewer.roi
    assert viewer._roi == [[1, 2, 3], [2, 6, 11]]
    viewer.roi = None
    assert viewer.roi is None


def test_gaps_are_sent_again_on_request(monkeypatch):
    viewer, sent = view(picture(), mask()), []
    monkeypatch.setattr(viewer, "send", lambda content, buffers: sent.append((content, buffers)))
    viewer._receive(None, {"type": "need", "chunks": [["labels", 0, 0]]}, [])
    assert [content for content, _ in sent] == [{"type": "chunk", "layer": "labels", "frame": 0, "first": 0}]
    np.testing.assert_array_equal(unpacked(sent[0][1][0], np.uint8), images.array(mask()).ravel() // 3)


# --- Pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [False, True])
def test_the_output_carries_a_small_picture_and_its_description(noise):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1000, (64, 256, 256)) if noise else np.zeros((64, 256, 256), np.int16)
    viewer = view(values, rng.integers(0, 5, values.shape))
    data, metadata = viewer._repr_mimebundle_()
    png = base64.b64decode(data["image/png"])
    assert len(png) <= 100_000
    assert Image.open(io.BytesIO(png)).width >= 400
    assert data["text/plain"] == metadata["image/png"]["alt"] == viewer.alt
    assert "\n" not in viewer.alt


def test_the_picture_of_a_comparison_shows_the_errors():
    truth, prediction = np.array([[0, 1, 1, 0, 2]]), np.array([[0, 1, 0, 1, 1]])
    assert error_classes(truth, prediction).tolist() == [[0, 1, 3, 2, 4]]
    data, _ = compare(picture(), mask(), mask())._repr_mimebundle_()
    still = np.array(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")).astype(int)
    thirds = np.array_split(still, 3, axis=1)
    assert all(part.std() > 20 for part in thirds)


def test_stored_viewers_become_pictures_or_pages():
    import nbformat

    def stored(**more: str) -> Any:
        data = {"image/png": "x", "application/vnd.jupyter.widget-view+json": {}, **more}
        output = nbformat.v4.new_output("display_data", data)
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])

    assert list(without_widgets(stored()).cells[0].outputs[0].data) == ["image/png"]
    page = stored(**{"text/html": "<iframe></iframe>"})
    assert list(without_widgets(page).cells[0].outputs[0].data) == ["text/html"]


def test_a_montage_describes_itself():
    figure = montage(picture(), mask(), slices=2, label_names={3: "liver"})
    assert figure.alt == (
        "2 axial slices. Volume of 5 x 8 x 11 voxels, spacing 3 x 0.8 x 1.5 mm, values 0 to 199; labels: liver 0.17 ml"
    )
    figure.canvas.draw()


def test_a_montage_shows_slices_in_physical_aspect_with_letters():
    figure = montage(picture(), slices=[0, 3, 4], plane="axial")
    panels = [ax for ax in figure.axes if ax.images]
    assert len(panels) == 3
    left, right, bottom, top = panels[0].images[0].get_extent()
    assert (right - left, bottom - top) == pytest.approx((8 * 0.8, 11 * 1.5))  # the image lies on its side
    texts = [text.get_text() for text in panels[1].texts]
    assert texts == ["R", "L", "A", "P", "z = 3"]
    figure.canvas.draw()


def test_a_montage_draws_what_the_viewer_draws():
    figure = montage(picture(), slices=[3], window=(100, 100))
    values = images.array(images.reorient(picture(), "LPS"))[3]
    wanted = np.floor(np.clip((values - 50) / 100, 0, 1) * 255 + 0.5)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array()[..., 0], wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slices": [5]}, r"slices must be in 0\.\.4 \(axial\), got 5"),
        ({"slices": 0}, "slices must be at least 1, got 0"),
        ({"plane": "top"}, "plane must be one of axial, coronal, sagittal"),
    ],
)
def test_a_montage_refuses_slices_that_are_not_there(options, message):
    with pytest.raises(ValueError, match=message):
        montage(picture(), **options)


@pytest.mark.parametrize("slices", ["6", 6.0, [1.5], ["1", "2"], None])
def test_a_montage_refuses_slices_that_are_no_whole_numbers(slices):
    with pytest.raises(TypeError, match="slices must be a whole number or a list of array indices, got"):
        montage(picture(), slices=slices)


@pytest.mark.parametrize("values", [np.zeros((8, 11)), np.zeros((30, 20, 3), np.uint8), np.full(SHAPE, np.nan)])
def test_a_montage_of_odd_input_is_drawn(values):
    montage(values).canvas.draw()
