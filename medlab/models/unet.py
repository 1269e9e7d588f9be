"""U-Net for slices (2D) and volumes (3D): the network that lesson 30 builds block by block.

Source: Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28; batch norm and padded
convolutions, so that the output has the size of the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["UNet", "parameter_count"]

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class Block(nn.Sequential):
    """Twice: 3 x 3 convolution, batch norm, ReLU. (B, inputs, *S) -> (B, outputs, *S)."""

    def __init__(self, inputs: int, outputs: int, dims: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            # No bias: the batch norm that follows has its own.
            layers += [CONV[dims](channels, outputs, kernel_size=3, padding=1, bias=False)]
            layers += [NORM[dims](outputs), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """A U-Net: down to small and rich maps, up again, with skip connections at every size.

    Args:
        in_channels: channels of the input. With `dims=2` these may be neighbouring slices:
            3 slices of a one-channel volume are 3 channels.
        classes: output channels, the background included.
        widths: channels at every level, from the full resolution down; each level halves the size.
        dims: 2 for (B, C, H, W), 3 for (B, C, D, H, W).
        skips: False leaves the skip connections out, for lesson 30's comparison.

    Attributes:
        multiple: every spatial size must be a multiple of this, 2 ** (levels - 1).

    Raises:
        ValueError: for a number that makes no network.

    Built by hand in lesson 30.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        widths: Sequence[int] = (16, 32, 64, 128),
        *,
        dims: int = 2,
        skips: bool = True,
    ) -> None:
        super().__init__()
        if dims not in CONV:
            raise ValueError(f"dims must be 2 or 3, got {dims}")
        if in_channels < 1 or classes < 2 or not widths or min(widths) < 1:
            raise ValueError(
                "in_channels must be at least 1, classes at least 2 and widths at least one positive number, "
                f"got in_channels={in_channels}, classes={classes}, widths={tuple(widths)}"
            )
        self.in_channels, self.classes, self.dims, self.skips = in_channels, classes, dims, skips
        self.widths = tuple(widths)
        self.multiple = 2 ** (len(widths) - 1)
        self.pool = POOL[dims](2)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decode = nn.ModuleList()
        channels = in_channels
        for width in widths:
            self.down.append(Block(channels, width, dims))
            channels = width
        for width in reversed(self.widths[:-1]):
            self.up.append(UP[dims](channels, width, kernel_size=2, stride=2))
            self.decode.append(Block(2 * width if skips else width, width, dims))
            channels = width
        self.head = CONV[dims](channels, classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes, *S) of images (B, in_channels, *S).

        Raises:
            ValueError: if the channels or the sizes do not fit; the message says which would.
        """
        self._check(images)
        kept = []  # what the skip connections carry across
        x = images  # (B, in_channels, H, W)
        for level, block in enumerate(self.down):
            if level > 0:
                x = self.pool(x)  # (B, widths[level - 1], H / 2**level, W / 2**level)
            x = block(x)  # (B, widths[level], H / 2**level, W / 2**level)
            kept.append(x)
        kept.pop()  # the lowest level goes up directly
        for up, block in zip(self.up, self.decode, strict=True):
            x = up(x)  # twice the size, the next level's width
            skip = kept.pop()  # the same shape, on the way down
            if self.skips:
                x = torch.cat([skip, x], dim=1)  # (B, 2 * width, ...)
            x = block(x)  # (B, width, ...)
        return self.head(x)  # (B, classes, H, W)

    def _check(self, images: Tensor) -> None:
        axes = "(B, C, H, W)" if self.dims == 2 else "(B, C, D, H, W)"
        if images.ndim != self.dims + 2 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"images must be {axes} with C = {self.in_channels} channels, got shape {tuple(images.shape)}"
            )
        size = tuple(images.shape[2:])
        if any(n % self.multiple for n in size):
            fits = tuple(-(-n // self.multiple) * self.multiple for n in size)
            raise ValueError(
                f"with {len(self.widths)} levels every size must be a multiple of {self.multiple}, got {size}; "
                f"pad the images to {fits}"
            )


def parameter_count(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
