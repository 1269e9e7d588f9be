"""A 2D U-Net that remembers the slices before and after: the network of lesson 24.

Source: Shi et al. 2015, arXiv:1506.04214, equation 3, without the weights from the cell to the gates (convolutional
LSTM); Chen et al. 2016, arXiv:1609.01006 (U-Net per slice, bidirectional convolutional LSTM across slices).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medlab.models.unet import UNet

__all__ = ["ConvLSTM", "Memory", "RecurrentUNet"]


def _check_maps(name: str, maps: Tensor, axes: str, channels: int) -> None:
    """Refuse what is not a sequence of slices with so many channels."""
    if maps.ndim != 5 or maps.shape[2] != channels or maps.shape[1] == 0:
        raise ValueError(
            f"{name} must be {axes} with C = {channels} and a slice at least, got shape {tuple(maps.shape)}"
        )


class ConvLSTM(nn.Module):
    """The long short-term memory with convolutions for matrix products: state and gates are maps.

    Args:
        inputs: channels of the maps that come in.
        hidden: channels of the maps that are remembered.

    Raises:
        ValueError: for a number that makes no layer.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        if inputs < 1 or hidden < 1:
            raise ValueError(f"inputs and hidden must be at least 1, got {inputs} and {hidden}")
        self.inputs, self.hidden = inputs, hidden
        # Rows in the order of `recurrent.LSTMCell`: gates i, f, candidate g, gate o.
        self.see = nn.Conv2d(inputs, 4 * hidden, kernel_size=3, padding=1)
        self.remember = nn.Conv2d(hidden, 4 * hidden, kernel_size=3, padding=1, bias=False)

    def forward(self, sequence: Tensor) -> Tensor:
        """The hidden maps (B, T, hidden, H, W) of a sequence of maps (B, T, inputs, H, W).

        Raises:
            ValueError: if the channels or the axes do not fit.
        """
        _check_maps("sequence", sequence, "(B, T, C, H, W)", self.inputs)
        batch, steps, _, height, width = sequence.shape
        seen = self.see(sequence.flatten(0, 1)).unflatten(0, (batch, steps))  # (B, T, 4 * hidden, H, W), all at once
        h = c = seen.new_zeros(batch, self.hidden, height, width)  # (B, hidden, H, W)
        states = []
        for step in range(steps):
            i, f, g, o = (seen[:, step] + self.remember(h)).chunk(4, dim=1)  # (B, hidden, H, W) each
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)  # (B, hidden, H, W)
            h = torch.sigmoid(o) * torch.tanh(c)  # (B, hidden, H, W)
            states.append(h)
        return torch.stack(states, dim=1)  # (B, T, hidden, H, W)


class Memory(nn.Module):
    """Two convolutional LSTMs read the maps of the slices, one up the volume and one down; what they read is added.

    Batch norm brings what was read to the size of the maps: a state begins ten times smaller, and would learn as much
    slower. Where all its factors are 0 the slices pass as they are.

    Args:
        channels: of the maps.

    Attributes:
        hidden: channels that each direction remembers, a quarter of those of the maps, at least 1.

    Raises:
        ValueError: for a number that makes no layer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        self.channels, self.hidden = channels, max(1, channels // 4)
        self.up_the_volume = ConvLSTM(channels, self.hidden)
        self.down_the_volume = ConvLSTM(channels, self.hidden)
        self.merge = nn.Conv2d(2 * self.hidden, channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps that know their neighbours (B, D, channels, H, W) of maps that do not, of the same shape.

        Raises:
            ValueError: if the channels or the axes do not fit.
        """
        _check_maps("maps", maps, "(B, D, C, H, W)", self.channels)
        up = self.up_the_volume(maps)  # (B, D, hidden, H, W)
        down = self.down_the_volume(maps.flip(1)).flip(1)  # (B, D, hidden, H, W)
        read = torch.cat([up, down], dim=2).flatten(0, 1)  # (B * D, 2 * hidden, H, W)
        return maps + self.norm(self.merge(read)).unflatten(0, maps.shape[:2])  # (B, D, channels, H, W)


class RecurrentUNet(nn.Module):
    """A U-Net on every slice; at every level a convolutional LSTM reads the maps up and down the volume.

    What it reads is added to the maps of the way down, so that slice-by-slice segmentation is where it starts from.

    Args:
        in_channels: channels of a slice.
        classes: output channels, the background included.
        widths: channels at every level, from the full resolution down; each level halves height and width.

    Attributes:
        dims: 3, it takes volumes.
        multiple: height and width must be multiples of this, 2 ** (levels - 1); the depth is free.

    Raises:
        ValueError: for a number that makes no network.

    Built by hand in lesson 24.
    """

    def __init__(self, in_channels: int, classes: int, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.unet = UNet(in_channels, classes, widths)
        self.in_channels, self.classes, self.widths, self.dims = in_channels, classes, self.unet.widths, 3
        self.multiple = self.unet.multiple
        self.memories = nn.ModuleList(Memory(width) for width in self.widths)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (B, classes, D, H, W) of volumes (B, in_channels, D, H, W).

        Raises:
            ValueError: if the channels or the sizes do not fit; the message says which would.
        """
        if volumes.ndim != 5 or volumes.shape[1] != self.in_channels or volumes.shape[2] == 0:
            raise ValueError(
                f"volumes must be (B, C, D, H, W) with C = {self.in_channels} and a slice at least, "
                f"got shape {tuple(volumes.shape)}"
            )
        split = volumes.shape[0], volumes.shape[2]
        slices = volumes.transpose(1, 2).flatten(0, 1)  # (B * D, C, H, W)
        self.unet.check(slices)
        maps = self.unet.contract(slices)  # (B * D, widths[level], H / 2**level, W / 2**level), level by level
        maps = [
            memory(of_slices.unflatten(0, split)).flatten(0, 1)  # the same shapes
            for memory, of_slices in zip(self.memories, maps, strict=True)
        ]
        logits = self.unet.expand(maps)  # (B * D, classes, H, W)
        return logits.unflatten(0, split).transpose(1, 2)  # (B, classes, D, H, W)
