"""Blur, low resolution and bias field against scipy, by hand and by what they must keep."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from test_augment import NOTHING, chance, fixed
from torch.testing import assert_close

from medlab.augment import Augment, bias_field, blur, brightness, contrast, deform, gamma, low_resolution, noise

SIZES = [(33,), (12, 20), (6, 10, 14)]


def most(monkeypatch) -> None:
    """Make every draw from 0 to 1 the largest."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.ones(shape))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sigma", [0.4, 1.5, 6.0])
def test_blur_is_the_gaussian_filter_of_scipy(size, sigma):
    images = torch.randn(4, 2, *size)
    blurred = blur(images, chance(5), sigma=sigma)
    drawn = torch.rand(4, generator=chance(5)) * sigma
    assert drawn.max() > 1.5 * drawn.min()  # each image has its own
    for image, ours, own in zip(images.double().numpy(), blurred.numpy(), drawn.tolist(), strict=True):
        theirs = ndimage.gaussian_filter(image, [0, *[own] * len(size)], mode="nearest")
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "change", [lambda i: blur(i, chance(), sigma=3), lambda i: low_resolution(i, chance(), percent=150)]
)
def test_a_constant_image_has_nothing_to_lose(size, change):
    images = torch.full((3, 1, *size), 7.0)
    assert_close(change(images), images)


def test_low_resolution_by_hand(monkeypatch):
    most(monkeypatch)
    images = torch.tensor([0.0, 0, 5, 3, 8, 8]).view(1, 1, 6)  # voxels twice as long hold 0, 4, 8
    assert_close(low_resolution(images, chance(), percent=100).flatten(), torch.tensor([0.0, 1, 3, 5, 7, 8]))


@pytest.mark.parametrize(("percent", "tolerance"), [(100, 1e-5), (200, 1e-5), (70, 0.05)])
def test_low_resolution_keeps_the_mean(monkeypatch, percent, tolerance):
    most(monkeypatch)
    images = torch.randn(5, 1, 12, 24)  # 2 and 3 divide both: then it is kept exactly
    coarse = low_resolution(images, chance(), percent=percent)
    assert_close(coarse.flatten(1).mean(1), images.flatten(1).mean(1), atol=tolerance, rtol=0)
    assert (coarse.flatten(1).std(1) < 0.8 * images.flatten(1).std(1)).all()


@pytest.mark.parametrize("percent", [30, 100, 250])
def test_low_resolution_keeps_a_ramp(percent):
    """The mean over a stretch of a ramp is its middle, and a line through middles is the ramp again.

    To an eighth of a step: a ramp of voxels is a flight of steps.
    """
    ramp = torch.arange(60.0).expand(8, 1, 40, 60)
    coarse = low_resolution(ramp, chance(), percent=percent)
    assert_close(coarse[..., 4:-4], ramp[..., 4:-4], atol=0.125, rtol=0)


def test_low_resolution_takes_away_what_is_finer(monkeypatch):
    most(monkeypatch)
    board = (torch.arange(12)[:, None] + torch.arange(20)).remainder(2).float().expand(1, 1, 12, 20)
    assert_close(low_resolution(board, chance(), percent=100), torch.full_like(board, 0.5))


def test_every_axis_and_every_image_draws_its_own_resolution():
    images = torch.randn(6, 1, 64, 64)
    lost = (low_resolution(images, chance(), percent=300) - images).squeeze(1)
    by_rows = low_resolution(images.mT, chance(), percent=300).mT.squeeze(1) - images.squeeze(1)
    assert not torch.allclose(lost, by_rows)
    assert len({round(one.std().item(), 3) for one in lost}) == 6


@pytest.mark.parametrize("size", SIZES)
def test_the_bias_field_is_one_smooth_factor_within_its_bounds(size):
    images = torch.rand(5, 2, *size) + 1
    images[:, 0, ..., 0] = 0.5  # the darkest, which stands for no signal
    ratio = (bias_field(images, chance(), percent=40) - 0.5) / (images - 0.5).clamp_min(1e-9)
    dark = images == 0.5
    assert torch.equal(bias_field(images, chance(), percent=40)[dark], images[dark])
    inside = ratio[..., 1:]
    assert_close(inside[:, 0], inside[:, 1], atol=1e-4, rtol=0)  # all channels alike
    assert inside.max() <= 1.4 + 1e-4
    assert inside.min() >= 1 / 1.4 - 1e-4
    assert inside.max() - inside.min() > 0.1
    # Two cells across the axis: the logarithm rises by at most three thirds of its range a cell.
    steepest = inside.log().diff(dim=-1).abs().max() * size[-1] / 2
    assert steepest <= 2 * math.log(1.4) + 1e-3


def test_a_bias_field_of_equal_control_points_is_a_factor(monkeypatch):
    fixed(monkeypatch, 1.0)
    images = torch.tensor([-1.0, 0.0, 3.0]).view(1, 1, 1, 3)
    assert_close(bias_field(images, chance(), percent=50).flatten(), torch.tensor([-1.0, 0.5, 5.0]))


ALL = Augment(
    flip_axes=(0,),
    shear_degrees=10,
    elastic_percent=5,
    blur=1,
    low_resolution_percent=80,
    bias_percent=30,
    gamma_percent=30,
)


@pytest.mark.parametrize("size", SIZES)
def test_the_seed_decides_all_of_it_and_the_result_is_finite(size):
    images, labels = torch.randn(3, 2, *size), torch.tensor([0, 1, 2])
    first, again, other = (ALL(images, labels, chance(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.isfinite().all()
    assert (first.shape, first.dtype) == (images.shape, torch.float32)


@pytest.mark.parametrize("size", SIZES)
def test_strength_zero_draws_no_chance(size):
    generator = chance()
    before = generator.get_state()
    NOTHING(torch.randn(3, 2, *size), torch.tensor([0, 1, 2]), generator)
    assert torch.equal(generator.get_state(), before)


def test_the_new_strengths_are_off_unless_asked_for():
    recipe = Augment()
    assert recipe.shear_degrees == recipe.elastic_percent == recipe.blur == 0
    assert recipe.low_resolution_percent == recipe.bias_percent == 0


@pytest.mark.parametrize("name", ["sigma", "percent", "shift"])
def test_a_negative_strength_is_refused(name):
    images = torch.zeros(1, 1, 4, 6)
    changes = {
        "sigma": (blur, noise),
        "percent": (low_resolution, bias_field, gamma, contrast),
        "shift": (brightness,),
    }
    for change in changes[name]:
        for value in (-1, math.nan):
            with pytest.raises(ValueError, match=rf"{name} must be 0 to (inf|99), got {value}"):
                change(images, chance(), **{name: value})


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"or \(B,\) classes, got \(2, 1, 4, 6\) and \(3,\)"):
        deform(torch.zeros(2, 1, 4, 6), torch.zeros(3), chance(), rotation_degrees=5)
