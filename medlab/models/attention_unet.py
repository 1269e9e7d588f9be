"""A U-Net whose skip connections are weighted at every position: the network of lesson 32.

Source: Oktay et al. 2018, arXiv:1804.03999, and Schlemper et al. 2019, doi:10.1016/j.media.2019.01.012, equations 1
and 2. There the weights are computed on the coarser grid and enlarged; here on the grid of the skip connection, from
the enlarged coarse map, so that no weight has to be interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medlab.models.unet import CONV, UNet

__all__ = ["AttentionGate", "AttentionUNet"]


class AttentionGate(nn.Module):
    """Weights a map position by position, by what it holds and by what the coarser level has seen.

    Args:
        width: channels of the map and of the signal.
        dims: 2 or 3 spatial axes.
    """

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        inside = max(1, width // 2)  # as the paper: half the channels are enough to compare the two
        self.of_skip = CONV[dims](width, inside, kernel_size=1, bias=False)
        self.of_signal = CONV[dims](width, inside, kernel_size=1)
        self.weigh = CONV[dims](inside, 1, kernel_size=1)

    def coefficients(self, skip: Tensor, signal: Tensor) -> Tensor:
        """The weights (B, 1, *S) in (0, 1) of a map (B, width, *S), from it and the signal (B, width, *S)."""
        together = torch.relu(self.of_skip(skip) + self.of_signal(signal))  # (B, width / 2, *S)
        return torch.sigmoid(self.weigh(together))  # (B, 1, *S)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        """The weighted map (B, width, *S)."""
        return skip * self.coefficients(skip, signal)  # (B, width, *S)


class AttentionUNet(UNet):
    """The U-Net with an attention gate on every skip connection.

    Args:
        in_channels: channels of the input.
        classes: output channels, the background included.
        widths: channels at every level, from the full resolution down; each level halves the size.
        dims: 2 for (B, C, H, W), 3 for (B, C, D, H, W).

    Attributes:
        multiple: every spatial size must be a multiple of this, 2 ** (levels - 1).
        gates: one a skip connection, from the coarsest up. A forward hook on a gate sees (skip, signal), and
            `gate.coefficients(skip, signal)` is the picture of where it looks.

    Raises:
        ValueError: for a number that makes no network.

    Built by hand in lesson 32.
    """

    def __init__(
        self, in_channels: int, classes: int, widths: Sequence[int] = (16, 32, 64, 128), *, dims: int = 2
    ) -> None:
        super().__init__(in_channels, classes, widths, dims=dims)
        self.gates = nn.ModuleList(AttentionGate(width, dims) for width in reversed(self.widths[:-1]))

    def expand(self, maps: list[Tensor]) -> Tensor:
        """The way up, past the gates: logits (B, classes, *S) of the maps of every level."""
        *skips, x = maps
        for up, gate, block, skip in zip(self.up, self.gates, self.decode, reversed(skips), strict=True):
            x = up(x)  # (B, width, ...), the size and the width of the next level up
            x = torch.cat([gate(skip, x), x], dim=1)  # (B, 2 * width, ...)
            x = block(x)  # (B, width, ...)
        return self.head(x)  # (B, classes, H, W)
