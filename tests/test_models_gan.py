"""The pair that makes pictures: sizes, losses, and that either can win while the other stands still."""

import pytest
import torch

from medlab.models.gan import Discriminator, Generator, discriminator_loss, generator_loss

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("size", [8, 10, 12, 14, 16, 28, 32, 40, 48, 64])
def test_the_pair_fits_every_size_it_takes(size):
    pictures = Generator(5, size, 2)(torch.randn(3, 5))
    assert pictures.shape == (3, 1, size, size)
    assert -1 < pictures.min() < pictures.max() < 1
    assert Discriminator(1, size, 2)(pictures).shape == (3,)


def test_pictures_stay_in_the_range_of_tanh():
    generator = Generator(5, 8, 2)
    torch.nn.init.zeros_(generator.head.weight)
    torch.nn.init.constant_(generator.head.bias, 2.0)
    torch.testing.assert_close(generator(torch.randn(3, 5)), torch.tensor(2.0).tanh().expand(3, 1, 8, 8))


@pytest.mark.parametrize(
    ("size", "fits"), [(30, "28 or 32"), (9, "8 or 10"), (7, "8"), (4, "8"), (0, "8"), (225, "224 or 256")]
)
def test_a_size_that_does_not_fit_is_refused_with_its_neighbours(size, fits):
    for network in (Generator, Discriminator):
        with pytest.raises(ValueError, match=f"at least 8, got {size}: take {fits}$"):
            network(size=size)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"noise must be \(B, 5\), got shape \(3, 4\)"):
        Generator(5, 8, 2)(torch.zeros(3, 4))
    for shape in ((3, 1, 8, 10), (3, 2, 8, 8), (1, 8, 8)):
        with pytest.raises(ValueError, match=r"pictures must be \(B, 1, 8, 8\), got .*: resample them"):
            Discriminator(1, 8, 2)(torch.zeros(shape))


@pytest.mark.parametrize("wrong", [{"latent": 0}, {"width": 0}, {"channels": 0}])
def test_a_generator_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="latent, width and channels must be at least 1, got"):
        Generator(**wrong)


@pytest.mark.parametrize("wrong", [{"in_channels": 0}, {"width": 0}])
def test_a_discriminator_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="in_channels and width must be at least 1, got"):
        Discriminator(**wrong)


def test_the_losses_are_those_of_the_formula():
    real, made = torch.tensor([2.0, -1.0]).double(), torch.tensor([0.5, -3.0, 1.0]).double()
    expected = -real.sigmoid().log().mean() - (1 - made.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(real, made), expected)
    torch.testing.assert_close(generator_loss(made), -made.sigmoid().log().mean())


def test_far_from_the_truth_the_losses_stay_finite_and_have_a_slope():
    logits = torch.tensor([-200.0], requires_grad=True)  # where log(sigmoid(x)) is minus infinity in float32
    (slope,) = torch.autograd.grad(generator_loss(logits), logits)
    assert generator_loss(logits).item() == 200
    assert slope.item() == -1


def test_first_weights_are_those_of_the_paper():
    torch.manual_seed(0)
    for network in (Generator(64, 32, 16), Discriminator(1, 32, 16)):
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d) and layer.weight.numel() > 5000:
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            elif isinstance(layer, torch.nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)


def discs(count):
    """Real pictures: a bright disc somewhere on black, (B, 1, 16, 16)."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    centres = torch.rand(count, 2, 1, 1) * 6 + 5
    inside = (y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2 < 9
    return inside.float()[:, None] * 2 - 1


def test_a_discriminator_alone_learns_to_tell_real_from_made():
    torch.manual_seed(0)
    generator, judge = Generator(8, 16, 4), Discriminator(1, 16, 4)
    real, made = discs(16), generator(torch.randn(16, 8)).detach()
    optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
    losses = []
    for _ in range(60):
        loss = discriminator_loss(judge(real), judge(made))
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0] / 10
    assert (judge(real) > 0).all()
    assert (judge(made) < 0).all()


def test_a_generator_alone_learns_to_please_a_judge_that_stands_still():
    torch.manual_seed(0)
    generator, judge = Generator(8, 16, 4), Discriminator(1, 16, 4)
    optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
    real, noise = discs(16), torch.randn(16, 8)
    for _ in range(15):
        loss = discriminator_loss(judge(real), judge(generator(noise).detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    judge.requires_grad_(False)
    optimiser = torch.optim.Adam(generator.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = generator_loss(judge(generator(noise)))
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0] / 10
