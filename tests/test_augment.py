"""Augmentation: image and labels move together, strengths mean what they say, and the seed decides."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from medlab.augment import Augment, brightness, contrast, deform, flip, gamma, noise

NOTHING = Augment(
    rotation_degrees=0, scale_percent=0, shift_percent=0, brightness=0, contrast_percent=0, gamma_percent=0, noise=0
)
SIZES = [(12, 20), (6, 10, 14)]


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def block(size: tuple[int, ...], batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """A bright block off the centre; the image is 1 where the label is 1."""
    labels = torch.zeros(batch, *size, dtype=torch.long)
    labels[(slice(None), *(slice(n // 4, n // 2 + 1) for n in size))] = 1
    return labels.unsqueeze(1).float().clone(), labels


def centre_of(mask: torch.Tensor) -> torch.Tensor:
    return mask.nonzero().float().mean(0)


@pytest.mark.parametrize("size", SIZES)
def test_strength_zero_changes_nothing_to_the_bit(size):
    images, labels = torch.randn(3, 2, *size), torch.randint(0, 3, (3, *size))
    moved, truth = NOTHING(images, labels, chance())
    assert torch.equal(moved, images)
    assert torch.equal(truth, labels)


@pytest.mark.parametrize("size", SIZES)
def test_image_and_labels_move_together(size):
    images, labels = block(size)
    moved, truth = deform(images, labels, chance(), rotation_degrees=30, scale_percent=20, shift_percent=10)
    assert not torch.equal(truth, labels)
    # Linear and nearest agree except at the rim of the block, where linear passes one half.
    agree = ((moved[:, 0] > 0.5) == (truth == 1)).float().mean()
    assert agree > 0.97
    for one in range(len(images)):
        assert_close(centre_of(moved[one, 0] > 0.5), centre_of(truth[one] == 1), atol=0.5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_labels_never_take_a_new_value(size):
    labels = torch.randint(0, 2, (4, *size)) * 5
    _, truth = deform(torch.zeros(4, 1, *size), labels, chance(), rotation_degrees=45, scale_percent=30)
    assert truth.dtype == torch.long
    assert set(truth.unique().tolist()) <= {0, 5}


def test_every_channel_and_every_slice_moves_alike():
    images, labels = block((12, 20))
    stacked = images.repeat(1, 3, 1, 1)
    moved, _ = deform(stacked, labels, chance(), rotation_degrees=30, shift_percent=10)
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert torch.equal(moved[:, 0], moved[:, 2])


def test_each_image_of_the_batch_draws_its_own_change():
    images, labels = block((12, 20), batch=4)
    moved, _ = deform(images, labels, chance(), rotation_degrees=30, shift_percent=10)
    assert not any(torch.equal(moved[0], moved[i]) for i in range(1, 4))


@pytest.mark.parametrize("size", SIZES)
def test_the_seed_decides(size):
    images, labels = torch.randn(3, 2, *size), torch.randint(0, 3, (3, *size))
    recipe = Augment(flip_axes=(0,), gamma_percent=30)
    first, again, other = (recipe(images, labels, chance(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def fixed(monkeypatch, value: float) -> None:
    """Make every even draw `value`, so that the change is the largest and known."""
    for module in ("space", "grey"):
        monkeypatch.setattr(
            f"medlab.augment.{module}.even", lambda like, shape, _: torch.full(shape, value, dtype=like.dtype)
        )


def test_rotation_turns_by_the_angle_and_keeps_shape_in_a_patch_that_is_not_square(monkeypatch):
    fixed(monkeypatch, 1.0)
    labels = torch.zeros(1, 41, 81, dtype=torch.long)
    labels[0, 20, 40:56] = 1  # a line of 15 pixels from the centre along x
    images = labels.unsqueeze(1).float()
    _, truth = deform(images, labels, chance(), rotation_degrees=90)
    down, across = (truth[0] == 1).nonzero().T
    assert across.unique().tolist() == [40]  # now along y
    assert len(down) in (15, 16, 17)
    assert down.min() in (4, 5, 20)  # upwards or downwards


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rotation_in_3d_keeps_distances_in_a_patch_that_is_not_cubic(axis):
    size = (21, 31, 41)
    labels = torch.zeros(1, *size, dtype=torch.long)
    at = [n // 2 for n in size]
    ends = []
    for step in (-7, 7):
        spot = list(at)
        spot[axis] += step
        ends.append(spot)
        labels[(0, *(slice(n - 1, n + 2) for n in spot))] = len(ends)
    _, truth = deform(labels.unsqueeze(1).float(), labels, chance(4), rotation_degrees=40)
    assert not torch.equal(truth, labels)
    distance = (centre_of(truth[0] == 1) - centre_of(truth[0] == 2)).norm()
    assert distance == pytest.approx(14, abs=0.7)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scale_changes_every_length_by_the_percentage(monkeypatch, sign):
    fixed(monkeypatch, sign)
    labels = torch.zeros(1, 60, 80, dtype=torch.long)
    labels[0, 20:40, 20:60] = 1
    _, truth = deform(labels.unsqueeze(1).float(), labels, chance(), scale_percent=20)
    rows, columns = (truth[0] == 1).nonzero().T
    assert (rows.max() - rows.min() + 1).item() == pytest.approx(20 * (1 + 0.2 * sign), abs=1)
    assert (columns.max() - columns.min() + 1).item() == pytest.approx(40 * (1 + 0.2 * sign), abs=1)


def test_shift_is_a_percentage_of_the_patch(monkeypatch):
    fixed(monkeypatch, 1.0)
    images, labels = block((20, 40), batch=1)
    moved, truth = deform(images, labels, chance(), shift_percent=10)
    assert torch.equal(truth[0, :-2, :-4], labels[0, 2:, 4:])
    assert_close(moved[0, 0, :-2, :-4], images[0, 0, 2:, 4:])


@pytest.mark.parametrize("size", SIZES)
def test_flips_are_asked_for_by_axis_and_take_half_of_the_images(size):
    images, labels = torch.randn(64, 1, *size), torch.randint(0, 3, (64, *size))
    moved, truth = flip(images, labels, chance(), axes=(1,))
    mirrored = [torch.equal(moved[i, 0], images[i, 0].flip(1)) for i in range(64)]
    kept = [torch.equal(moved[i], images[i]) for i in range(64)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 20 <= sum(mirrored) <= 44
    for i in range(64):
        assert torch.equal(truth[i], labels[i].flip(1) if mirrored[i] else labels[i])


def test_nothing_is_mirrored_unless_asked_for():
    assert Augment().flip_axes == ()


@given(st.floats(0, 3))
@settings(max_examples=20, deadline=None)
def test_brightness_adds_at_most_its_strength_to_a_whole_image(shift):
    images = torch.randn(8, 2, 5, 7, generator=chance())
    change = brightness(images, chance(), shift=shift) - images
    assert change.abs().max() <= shift + 1e-5
    assert (change.flatten(1).amax(1) - change.flatten(1).amin(1)).max() < 1e-5


@given(st.floats(0, 99))
@settings(max_examples=20, deadline=None)
def test_contrast_keeps_the_mean_and_scales_the_spread_by_at_most_its_percentage(percent):
    images = torch.randn(8, 2, 5, 7, generator=chance()) + 3
    changed = contrast(images, chance(), percent=percent)
    assert_close(changed.flatten(1).mean(1), images.flatten(1).mean(1), atol=1e-4, rtol=0)
    ratio = changed.flatten(1).std(1) / images.flatten(1).std(1)
    assert (ratio - 1).abs().max() <= percent / 100 + 1e-4


@given(st.floats(1, 300))
@settings(max_examples=20, deadline=None)
def test_gamma_keeps_the_ends_and_the_order_of_grey_values(percent):
    images = torch.randn(4, 1, 5, 7, generator=chance()) * 2 - 1
    changed = gamma(images, chance(), percent=percent)
    for end in (torch.amin, torch.amax):
        assert_close(end(changed, (1, 2, 3)), end(images, (1, 2, 3)))
    order = images.flatten(1).argsort(1)
    assert (changed.flatten(1).gather(1, order).diff(dim=1) >= -1e-5).all()


def test_gamma_raises_grey_values_to_the_power(monkeypatch):
    fixed(monkeypatch, 1.0)
    images = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    assert_close(gamma(images, chance(), percent=100), images**2)


def test_gamma_of_a_constant_image_changes_nothing():
    images = torch.full((2, 1, 3, 4), 7.0)
    assert_close(gamma(images, chance(), percent=50), images)


def test_noise_has_no_more_than_its_standard_deviation():
    images = torch.zeros(32, 1, 40, 50)
    spread = noise(images, chance(), sigma=0.5).flatten(1).std(1)
    assert spread.max() < 0.52
    assert spread.max() > 0.4
    assert spread.min() < 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [("rotation_degrees", 200), ("scale_percent", 100), ("shift_percent", -1), ("scale_percent", math.nan)],
)
def test_a_strength_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be 0 to \d+, got {value}"):
        deform(torch.zeros(1, 1, 4, 6), torch.zeros(1, 4, 6, dtype=torch.long), chance(), **{name: value})


def test_axes_and_shapes_that_do_not_fit_are_refused():
    images = torch.zeros(1, 1, 4, 6)
    with pytest.raises(ValueError, match=r"axes must be 0 to 1 for images \(1, 1, 4, 6\), got 2"):
        flip(images, torch.zeros(1, 4, 6), chance(), axes=(2,))
    with pytest.raises(TypeError, match=r"axes must be a tuple of 0 to 1, got 1: write \(1,\)"):
        Augment(flip_axes=1)(images, torch.zeros(1, 4, 6), chance())
    with pytest.raises(ValueError, match=r"got \(1, 1, 4, 6\) and \(1, 6, 4\)"):
        deform(images, torch.zeros(1, 6, 4), chance(), rotation_degrees=5)
