"""The U-Net: its shapes, its size, what it refuses, and that it can learn."""

import itertools
import re
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from medlab.losses import cross_entropy_dice
from medlab.models.unet import UNet, depth_to_space, parameter_count, space_to_depth

pytestmark = pytest.mark.usefixtures("one_thread")


def expected_parameters(channels: int, classes: int, widths: tuple[int, ...], dims: int, *, skips: bool) -> int:
    """The sum on paper: 3**dims weights a pair of channels and convolution, 2 numbers a channel of batch norm."""

    def block(inputs: int, outputs: int) -> int:
        return 3**dims * (inputs * outputs + outputs * outputs) + 2 * 2 * outputs

    total = sum(block(a, b) for a, b in zip((channels, *widths), widths, strict=False))
    for upper, lower in pairwise(widths):
        total += 2**dims * lower * upper + upper  # transposed convolution, with bias
        total += block(2 * upper if skips else upper, upper)
    return total + widths[0] * classes + classes  # head


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize(("channels", "classes", "widths"), [(3, 3, (4, 6, 10)), (1, 2, (5,)), (4, 6, (3, 4))])
def test_parameters_are_as_many_as_the_formula_says(dims, skips, channels, classes, widths):
    model = UNet(channels, classes, widths, dims=dims, skips=skips)
    assert parameter_count(model) == expected_parameters(channels, classes, widths, dims, skips=skips)


@pytest.mark.parametrize(("dims", "size"), [(2, (8, 20)), (3, (4, 8, 12))])
def test_output_has_one_map_a_class_and_the_size_of_the_input(dims, size):
    model = UNet(3, 5, (4, 6, 8), dims=dims)
    assert model.multiple == 4
    assert model(torch.zeros(2, 3, *size)).shape == (2, 5, *size)


def test_without_skips_the_output_does_not_see_the_first_level():
    torch.manual_seed(0)
    images = torch.randn(2, 1, 8, 12)
    kept = {}
    for skips in (True, False):
        model = UNet(1, 2, (4, 6), skips=skips)
        first = model.down[0].register_forward_hook(lambda _, __, out: out.retain_grad() or kept.update(out=out))
        pooled = model.pool.register_forward_hook(lambda _, __, out: out.detach())  # cut the way through the middle
        loss = model(images).square().sum()
        loss.backward()
        kept[skips] = 0.0 if kept["out"].grad is None else float(kept["out"].grad.abs().sum())
        first.remove()
        pooled.remove()
    assert kept[True] > 0
    assert kept[False] == 0


@pytest.mark.parametrize(("size", "fits"), [((8, 10), (8, 12)), ((3, 9), (4, 12)), ((0, 8), (4, 8))])
def test_a_wrong_size_is_refused_with_the_size_that_fits(size, fits):
    said = f"3 levels every size must be a multiple of 4, got {size}; pad the images to {fits}"
    with pytest.raises(ValueError, match=re.escape(said)):
        UNet(1, 2, (2, 2, 2))(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (1, 8, 8), (1, 1, 4, 8, 8)])
def test_wrong_channels_or_axes_are_refused(shape):
    with pytest.raises(ValueError, match=r"images must be \(B, C, H, W\) with C = 1 channels, got shape"):
        UNet(1, 2, (2, 2))(torch.zeros(shape))


@pytest.mark.parametrize(
    "wrong", [{"in_channels": 0}, {"classes": 1}, {"widths": ()}, {"widths": (4, 0)}, {"dims": 4}, {"fold": 0}]
)
def test_numbers_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        UNet(**{"in_channels": 1, "classes": 2, "widths": (4,), **wrong})


@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (3, (8, 12, 16))])
def test_it_can_overfit_one_batch(dims, size):
    torch.manual_seed(0)
    images = torch.randn(2, 1, *size)
    smooth = (F.avg_pool2d if dims == 2 else F.avg_pool3d)(images, 3, stride=1, padding=1)
    labels = (smooth[:, 0] > 0).long() + (smooth[:, 0] > 0.4).long()
    model = UNet(1, 3, (8, 16), dims=dims)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = cross_entropy_dice(model(images), labels)
        loss.backward()
        optimiser.step()
    assert loss < 0.1
    assert (model(images).argmax(1) == labels).float().mean() > 0.98


def test_every_parameter_gets_a_gradient():
    model = UNet(2, 3, (3, 4, 5))
    model(torch.randn(2, 2, 8, 12)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# Folding: half the size inside ----------------------------------------------------------------------------------------


def test_folding_moves_every_neighbour_into_a_channel_of_its_own():
    volume = torch.randn(2, 3, 4, 6, 8)
    folded = space_to_depth(volume, 2)
    assert folded.shape == (2, 24, 2, 3, 4)
    for z, y, x in itertools.product(range(2), repeat=3):
        channels = slice(4 * z + 2 * y + x, None, 8)
        torch.testing.assert_close(folded[:, channels], volume[:, :, z::2, y::2, x::2], rtol=0, atol=0)
    torch.testing.assert_close(depth_to_space(folded, 2), volume, rtol=0, atol=0)


def test_folding_slices_is_torchs_pixel_shuffle():
    images, maps = torch.randn(2, 3, 6, 9), torch.randn(2, 2 * 9, 4, 5)
    torch.testing.assert_close(space_to_depth(images, 3), F.pixel_unshuffle(images, 3), rtol=0, atol=0)
    torch.testing.assert_close(depth_to_space(maps, 3), F.pixel_shuffle(maps, 3), rtol=0, atol=0)


@pytest.mark.parametrize(("dims", "size"), [(2, (8, 24)), (3, (8, 16, 24))])
def test_a_folded_network_is_a_plain_one_on_folded_images(dims, size):
    torch.manual_seed(0)
    folded = UNet(2, 3, (4, 6, 8), dims=dims, fold=2)
    plain = UNet(2 * 2**dims, 3 * 2**dims, (4, 6, 8), dims=dims)
    plain.load_state_dict(folded.state_dict())
    assert (folded.multiple, plain.multiple) == (8, 4)
    images = torch.randn(2, 2, *size)
    logits = folded(images)
    assert logits.shape == (2, 3, *size)
    torch.testing.assert_close(logits, depth_to_space(plain(space_to_depth(images, 2)), 2))


def test_a_wrong_size_for_a_folded_network_is_refused_with_the_size_that_fits():
    with pytest.raises(
        ValueError, match=r"2 levels and fold 3 every size must be a multiple of 6, got \(8, 12\); .* \(12, 12\)"
    ):
        UNet(1, 2, (2, 2), fold=3)(torch.zeros(1, 1, 8, 12))
