"""What the shipped models do: on the built-in brain, on held-out patients of public sets, and on what is no image."""

import numpy as np
import pytest
import SimpleITK as sitk

import medlab
from medlab import images, zoo
from medlab.zoo import scoring
from medlab.zoo.recipe import recipe


@pytest.fixture(scope="module")
def model():
    """Every model once: `model(name)`."""
    kept = {}

    def load(name):
        kept.setdefault(name, zoo.load(name, "cpu"))
        return kept[name]

    return load


@pytest.fixture(scope="module")
def held_out():
    """Cohort of a model, once, with the recipe's options."""
    kept = {}

    def load(name):
        data = recipe(name).data
        if name not in kept:
            kept[name] = medlab.load(data["cohort"], **data.get("options", {}))
        return kept[name]

    return load


def dice(labels, truth):
    classes = range(1, int(truth.max()) + 1)
    return np.mean(
        [2 * np.sum((labels == k) & (truth == k)) / (np.sum(labels == k) + np.sum(truth == k)) for k in classes]
    )


def small_brain():
    """A piece of a held-out patient, for what needs no whole brain."""
    case = medlab.load("brain", patients=10, seed=1).test[0]
    return case.image()[20:52, 20:60, 8:24], case.labels()[20:52, 20:60, 8:24]


# The built-in brain ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "low"), [("unet2d-brain", 0.8), ("unet3d-brain", 0.8)])
def test_a_held_out_brain_is_segmented_as_the_card_says(name, low, model, held_out):
    case = held_out(name).test[0]
    found = scoring.dice_of_case(model(name), case)
    stated = model(name).card.measured["test"]["cases"][case.name]
    assert found == pytest.approx(stated, abs=0.005)
    assert np.mean([value for value in found if value is not None]) > low


def test_labels_lie_on_the_images_own_grid(model):
    image, _ = small_brain()
    labels = model("unet2d-brain").segment(image)
    assert images.grid(labels) == images.grid(image)
    assert labels.GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize("letters", ["RAS", "PIR", "SLA", "ILP"])
def test_turning_the_axes_changes_no_label(letters, model):
    image, _ = small_brain()
    turned = model("unet2d-brain").segment(images.reorient(image, letters))
    straight = images.reorient(model("unet2d-brain").segment(image), letters)
    assert images.grid(turned) == images.grid(images.reorient(image, letters))
    np.testing.assert_array_equal(images.array(turned), images.array(straight))


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e6])
def test_the_unit_of_the_intensities_does_not_matter(scale, model):
    image, _ = small_brain()
    plain = images.array(model("unet2d-brain").segment(image))
    scaled = images.image_like(images.array(image).astype(np.float64) * scale - 5 * scale, image)
    assert np.mean(images.array(model("unet2d-brain").segment(scaled)) == plain) > 0.999


# Held-out patients of public sets -------------------------------------------------------------------------------------

PUBLIC = ["unet2d-hippocampus", "unet3d-hippocampus", "unet2d-chase", "unet2d-nuclei"]


@pytest.mark.parametrize("name", PUBLIC)
def test_held_out_cases_score_as_the_card_says(name, mirror, model, held_out):
    for case in held_out(name).test[:2]:
        stated = model(name).card.measured["test"]["cases"][case.name]
        assert scoring.dice_of_case(model(name), case) == pytest.approx(stated, abs=0.005)


@pytest.mark.parametrize("name", ["unet2d-hippocampus", "unet3d-hippocampus"])
def test_hippocampi_of_another_orientation_spacing_and_scale_are_found(name, mirror, model, held_out):
    for case in held_out(name).test[:2]:
        image, truth = case.image(), case.labels()
        plain = dice(images.array(model(name).segment(image)), images.array(truth))
        odd = images.reorient(image, "PIR")
        odd = images.image_like(images.array(odd).astype(np.float64) * 1e6, odd)
        found = model(name).segment(odd)
        assert dice(images.array(found), images.array(images.reorient(truth, "PIR"))) > plain - 0.01
        for spacing in (0.7, 1.5):
            other = images.resample(image, spacing_mm=[spacing] * 3)
            there = images.resample(truth, like=other, labels=True)
            assert dice(images.array(model(name).segment(other)), images.array(there)) > plain - 0.06  # of one case


@pytest.mark.parametrize("name", ["cnn-pneumonia", "cnn-breast"])
def test_held_out_pictures_are_classified_as_the_card_says(name, mirror, model, held_out):
    cases = held_out(name).test
    stated = model(name).card.measured["test"]["cases"]
    found = [model(name).classify(case.image())[1] for case in cases[:20]]
    assert found == pytest.approx([stated[case.name] for case in cases[:20]], abs=0.02)


def test_held_out_recordings_are_classified_as_the_card_says(mirror, model, held_out):
    case = held_out("lstm-ecg").test[0]
    found = model("lstm-ecg").classify(case.record())
    stated = np.array(model("lstm-ecg").card.measured["test"]["cases"][case.name])
    assert found.shape == (len(case.target.classes), 4)
    np.testing.assert_allclose(np.bincount(found.argmax(1), minlength=4), stated.sum(axis=0), atol=0.01 * len(found))


# What is refused ------------------------------------------------------------------------------------------------------


def volume(shape=(16, 16, 16), channels=0):
    values = np.random.default_rng(0).random((*shape, channels) if channels else shape)
    return images.from_array(values, channels=channels > 0)


def constant(value):
    return images.from_array(np.full((16, 16, 16), value, dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("unet2d-brain", volume((16, 16)), r"unet2d-brain takes 3D images, got 2 dimensions, size \(16, 16\)"),
        ("unet2d-brain", volume(channels=2), "takes images with one channel, got 2; take one of them"),
        ("unet2d-brain", constant(3), "can't see anything in a constant image: every value is 3"),
        ("unet2d-brain", constant(np.nan), "needs finite values, got NaN or infinity"),
        ("unet2d-brain", sitk.Image(0, 0, 0, sitk.sitkUInt8), "needs voxels, got an empty image"),
        ("unet2d-chase", volume((32, 32)), r"3 channels \(red, green, blue\), got 1; of a grey image, repeat it"),
        ("unet2d-chase", volume(channels=3), "takes 2D images, got 3 dimensions"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(name, image, message, model):
    with pytest.raises(ValueError, match=message):
        model(name).segment(image)


def test_classifiers_do_not_segment_and_segmenters_do_not_classify(model):
    with pytest.raises(TypeError, match=r"cnn-breast is a classifier: use \.classify"):
        model("cnn-breast").segment(volume((28, 28)))
    with pytest.raises(TypeError, match=r"unet2d-brain is for segmentation: use \.segment"):
        model("unet2d-brain").classify(volume())
    with pytest.raises(TypeError, match="lstm-ecg takes a Record, got a Image"):
        model("lstm-ecg").classify(volume((28, 28)))
    with pytest.raises(ValueError, match="the model takes a grey 2D picture, got 3 dimensions and 1 channels"):
        model("cnn-breast").classify(volume())
    with pytest.raises(ValueError, match="constant image"):
        model("cnn-breast").classify(images.from_array(np.zeros((28, 28))))


def test_a_pretrained_model_says_what_it_is(model):
    loaded = model("unet2d-brain")
    assert repr(loaded) == "Pretrained(unet2d-brain on cpu: Brain tissue and tumour in MR, slice by slice)"
    assert not loaded.model.training
    assert loaded.card.label_names == medlab.load("brain").label_names


def test_label_names_are_those_of_the_cohort(mirror, held_out):
    for name in zoo.names():
        names, known = recipe(name).label_names, held_out(name).label_names
        if recipe(name).task == "beats":
            assert all(known[k].startswith(f"{letter} ({names[k]}") for k, letter in zip(names, "NSVF", strict=True))
        else:
            assert names == known
