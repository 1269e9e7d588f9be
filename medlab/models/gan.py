"""A pair of networks that learn from each other to make small pictures: the DCGAN of lesson 35.

Source: Goodfellow et al. 2014, arXiv:1406.2661, section 3 (the game and its two losses); Radford, Metz, Chintala 2016,
arXiv:1511.06434 (strided convolutions, batch norm, leaky ReLU 0.2, first weights from a normal distribution of 0.02).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Discriminator", "Generator", "discriminator_loss", "generator_loss"]

STARTS = (4, 5, 6, 7)  # sizes of the smallest map in pixels, from which doubling leads to the wanted size


class Generator(nn.Module):
    """Pictures from noise: a small map is doubled until it has the size.

    Args:
        latent: random numbers that a picture is made from.
        size: height and width of the pictures in pixels: 4, 5, 6 or 7 times a power of two, at least 8.
        width: channels before the last layer; every level further down has twice as many.
        channels: channels of the pictures.

    Raises:
        ValueError: for a number that makes no network.

    Built by hand in lesson 35.
    """

    def __init__(self, latent: int = 64, size: int = 32, width: int = 32, *, channels: int = 1) -> None:
        super().__init__()
        if min(latent, width, channels) < 1:
            raise ValueError(f"latent, width and channels must be at least 1, got {latent}, {width} and {channels}")
        smallest, doublings = doublings_of(size)
        self.latent, self.size, self.width, self.channels, self.dims = latent, size, width, channels, 2
        widths = [width * 2**level for level in reversed(range(doublings))]
        self.start = nn.Sequential(
            nn.ConvTranspose2d(latent, widths[0], kernel_size=smallest, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.grow = nn.Sequential()
        for inputs, outputs in pairwise(widths):
            # A kernel of twice the stride covers every pixel equally often: no checkerboard.
            self.grow.append(nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False))
            self.grow.append(nn.BatchNorm2d(outputs))
            self.grow.append(nn.ReLU(inplace=True))
        self.head = nn.ConvTranspose2d(width, channels, kernel_size=4, stride=2, padding=1)
        self.apply(first_weights)

    def forward(self, noise: Tensor) -> Tensor:
        """Pictures (B, channels, size, size) in (-1, 1) from noise (B, latent), normally distributed.

        Raises:
            ValueError: if the noise has another shape.
        """
        if noise.ndim != 2 or noise.shape[1] != self.latent:
            raise ValueError(f"noise must be (B, {self.latent}), got shape {tuple(noise.shape)}")
        x = self.start(noise[:, :, None, None])  # (B, widths[0], smallest, smallest)
        x = self.grow(x)  # (B, width, size / 2, size / 2)
        return self.head(x).tanh()  # (B, channels, size, size)


class Discriminator(nn.Module):
    """One logit a picture, positive for real: the mirror image of the generator.

    Args:
        in_channels: channels of the pictures.
        size: height and width of the pictures in pixels, as the generator's.
        width: channels after the first layer; every level further down has twice as many.

    Raises:
        ValueError: for a number that makes no network.

    Built by hand in lesson 35.
    """

    def __init__(self, in_channels: int = 1, size: int = 32, width: int = 32) -> None:
        super().__init__()
        if min(in_channels, width) < 1:
            raise ValueError(f"in_channels and width must be at least 1, got {in_channels} and {width}")
        smallest, halvings = doublings_of(size)
        self.in_channels, self.size, self.width, self.dims = in_channels, size, width, 2
        widths = [width * 2**level for level in range(halvings)]
        # No batch norm here: the first layer must see how bright and how contrasty a picture is.
        self.start = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)
        )
        self.shrink = nn.Sequential()
        for inputs, outputs in pairwise(widths):
            self.shrink.append(nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False))
            self.shrink.append(nn.BatchNorm2d(outputs))
            self.shrink.append(nn.LeakyReLU(0.2, inplace=True))
        self.head = nn.Conv2d(widths[-1], 1, kernel_size=smallest)
        self.apply(first_weights)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (B,) of pictures (B, in_channels, size, size) in [-1, 1].

        Raises:
            ValueError: if the pictures have another shape.
        """
        if pictures.ndim != 4 or tuple(pictures.shape[1:]) != (self.in_channels, self.size, self.size):
            raise ValueError(
                f"pictures must be (B, {self.in_channels}, {self.size}, {self.size}), got {tuple(pictures.shape)}: "
                f"resample them, or make the pair with their size"
            )
        x = self.start(pictures)  # (B, width, size / 2, size / 2)
        x = self.shrink(x)  # (B, widths[-1], smallest, smallest)
        return self.head(x).flatten()  # (B,)


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))] from the logits (B,) of real and of made pictures, D = sigmoid(logit)."""
    return F.softplus(-real).mean() + F.softplus(made).mean()


def generator_loss(made: Tensor) -> Tensor:
    """-E[log D(G(z))] from the logits (B,) of made pictures: the form that does not saturate."""
    return F.softplus(-made).mean()


def doublings_of(size: int) -> tuple[int, int]:
    """The smallest map, 4 to 7 pixels wide, and how often it is doubled to get to the size."""
    smallest, doublings = size, 0
    while smallest > 7 and smallest % 2 == 0:
        smallest, doublings = smallest // 2, doublings + 1
    if smallest not in STARTS or doublings == 0:
        fits = sorted(start * 2**k for start in STARTS for k in range(1, max(size, 8).bit_length()))
        near = {max((n for n in fits if n < size), default=fits[0]), min(n for n in fits if n > size)}
        raise ValueError(
            f"size must be 4, 5, 6 or 7 times a power of two, at least 8, got {size}: "
            f"take {' or '.join(map(str, sorted(near)))}"
        )
    return smallest, doublings


def first_weights(layer: nn.Module) -> None:
    """The starting point of the DCGAN paper: without it the pair seldom finds its balance."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
