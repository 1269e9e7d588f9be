"""The playground of lesson 40: what it is given, what it holds, its still twin. Drawing and numbers: tests/browser."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from medlab import metrics
from medlab.viewer import playground as module
from medlab.viewer.playground import Playground, page_html, presets, still_png

TRUTH = np.zeros((9, 14), bool)
TRUTH[2:7, 1:6] = True
TRUTH[3:5, 9:11] = True


def test_presets_do_what_their_names_say():
    made = presets(TRUTH)
    assert all(mask.shape == TRUTH.shape and mask.dtype == bool for mask in made.values())
    assert (made["equal"] == TRUTH).all()
    assert (made["moved by two pixels"][:, 2:] == TRUTH[:, :-2]).all()
    assert (made["grown by one pixel"].sum(), made["shrunk by one pixel"].sum()) == (25 + 20 + 4 + 8, 9)
    assert (made["a stray pixel far away"] & ~TRUTH).sum() == 1
    assert ndimage.label(made["a spot of 3 x 3 far away"] & ~TRUTH)[1] == 1
    assert (made["a spot of 3 x 3 far away"] & ~TRUTH).sum() == 9
    assert made["small part missed"].sum() == 25
    assert 0 < made["half missed"].sum() < TRUTH.sum()
    assert not made["empty"].any()


def test_the_stray_pixel_lies_as_far_from_the_truth_as_it_can():
    stray = presets(TRUTH)["a stray pixel far away"] & ~TRUTH
    assert ndimage.distance_transform_edt(~TRUTH)[stray] == ndimage.distance_transform_edt(~TRUTH).max()


@pytest.mark.parametrize("truth", [np.zeros((4, 5), bool), np.ones((4, 5), bool), np.ones((1, 1), bool)])
def test_any_truth_has_presets_scores_and_a_picture(truth):
    for name in presets(truth):
        playground = Playground(truth, name)
        assert set(playground.scores()) == set(metrics.evaluate(truth, truth, label_names={1: "a"})["a"])
        assert len(still_png(playground)) < 100_000


def test_a_mask_is_set_from_python_and_read_back():
    playground = Playground(TRUTH, "empty", spacing_mm=(2.0, 0.5), tolerance_mm=1.5)
    mask = np.random.default_rng(0).random(TRUTH.shape) < 0.4
    playground.prediction = mask
    np.testing.assert_array_equal(playground.prediction, mask)
    assert "(own)" in playground.alt
    wanted = metrics.evaluate(mask, TRUTH, spacing_mm=(2.0, 0.5), tolerance_mm=1.5)["1"]
    assert playground.scores() == wanted
    playground.prediction = "equal"
    assert playground.scores()["dice"] == 1
    assert "(equal)" in playground.alt


def test_the_output_carries_a_picture_and_its_description():
    playground = Playground(TRUTH, "small part missed")
    data, metadata = playground._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == playground.alt
    assert "a predicted mask of 25 pixels over a true one of 29, on 9 x 14 pixels (small part missed)" in playground.alt
    assert "Dice 0.926, IoU 0.862, precision 1.000, recall 0.862, area error -4.0 mm²" in playground.alt
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")).astype(int)
    shares = [(np.abs(drawn[:, :520] - colour).max(-1) < 20).mean() for colour in (module.BOTH, module.MISSED)]
    assert shares[0] > 4 * shares[1] > 0.02  # 25 pixels, 4 pixels


def test_every_change_of_the_mask_changes_the_picture():
    pictures = {still_png(Playground(TRUTH, name)) for name in presets(TRUTH)}
    assert len(pictures) == len(presets(TRUTH))


def test_an_infinite_distance_is_said_in_words():
    playground = Playground(TRUTH, "empty")
    assert playground.scores()["hd95_mm"] == np.inf
    assert "HD95 inf mm" in playground.alt
    assert still_png(playground)


def test_the_exported_page_holds_all_it_needs(monkeypatch):
    playground = Playground(TRUTH, "half missed")
    page = page_html(playground)
    assert "http" not in page
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert set(data["state"]) == {*module._STATE, "_preview"}
    assert [int(pixel) for pixel in data["state"]["_truth"]] == TRUTH.ravel().tolist()
    assert "text/html" not in playground._repr_mimebundle_()[0]
    monkeypatch.setenv("MEDLAB_VIEWER", "page")
    assert playground._repr_mimebundle_()[0]["text/html"].startswith('<iframe title="Metrics playground')


@pytest.mark.parametrize("truth", [np.zeros(4, bool), np.zeros((2, 3, 4), bool), np.zeros((65, 64), bool)])
def test_what_is_no_small_mask_is_refused(truth):
    with pytest.raises(ValueError, match=r"truth must be one mask \(H, W\) of at most 64 x 64 pixels, got shape"):
        Playground(truth)


def test_masks_of_numbers_are_refused():
    with pytest.raises(TypeError, match="truth must be a bool mask, got int64"):
        Playground(TRUTH.astype(np.int64))
    with pytest.raises(TypeError, match="prediction must be a bool mask, got float64"):
        Playground(TRUTH, TRUTH.astype(float))


def test_predictions_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="prediction must be a mask or one of equal, moved by two pixels"):
        Playground(TRUTH, "perfect")
    with pytest.raises(ValueError, match=r"prediction must have the truth's shape \(9, 14\), got \(14, 9\)"):
        Playground(TRUTH, TRUTH.T)


@pytest.mark.parametrize("options", [{"spacing_mm": (1.0, 0.0)}, {"spacing_mm": (1.0,) * 3}, {"tolerance_mm": -1.0}])
def test_spacing_and_tolerance_that_can_not_be_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        Playground(TRUTH, **options)


def test_the_script_is_small():
    assert (module.HERE / "playground.js").stat().st_size < 30_000
