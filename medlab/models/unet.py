"""U-Net for slices (2D) and volumes (3D): the network that lesson 30 builds block by block.

Source: Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28; batch norm and padded
convolutions, so that the output has the size of the input. Folding (space to depth, and back): Shi et al. 2016,
doi:10.1109/CVPR.2016.207.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medlab.models.counts import parameter_count

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
        fold: 2 turns every 2 x 2 (x 2) neighbours into channels of one at the entrance and back at the exit: all
            levels work at half the size, which is several times as fast and a little less accurate.

    Attributes:
        multiple: every spatial size must be a multiple of this, fold * 2 ** (levels - 1).

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
        fold: int = 1,
    ) -> None:
        super().__init__()
        if dims not in CONV:
            raise ValueError(f"dims must be 2 or 3, got {dims}")
        if in_channels < 1 or classes < 2 or not widths or min(widths) < 1 or fold < 1:
            raise ValueError(
                "in_channels and fold must be at least 1, classes at least 2 and widths at least one positive number, "
                f"got in_channels={in_channels}, fold={fold}, classes={classes}, widths={tuple(widths)}"
            )
        self.in_channels, self.classes, self.dims, self.skips = in_channels, classes, dims, skips
        self.widths, self.fold = tuple(widths), fold
        self.multiple = fold * 2 ** (len(widths) - 1)
        self.pool = POOL[dims](2)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decode = nn.ModuleList()
        channels = in_channels * fold**dims
        for width in widths:
            self.down.append(Block(channels, width, dims))
            channels = width
        for width in reversed(self.widths[:-1]):
            self.up.append(UP[dims](channels, width, kernel_size=2, stride=2))
            self.decode.append(Block(2 * width if skips else width, width, dims))
            channels = width
        self.head = CONV[dims](channels, classes * fold**dims, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes, *S) of images (B, in_channels, *S).

        Raises:
            ValueError: if the channels or the sizes do not fit; the message says which would.
        """
        self.check(images)
        return self.expand(self.contract(images))  # (B, classes, H, W)

    def contract(self, images: Tensor) -> list[Tensor]:
        """The way down: the maps (B, widths[level], *S / 2**level) of every level, from the full resolution down."""
        x = images if self.fold == 1 else space_to_depth(images, self.fold)  # (B, C * fold**2, H / fold, W / fold)
        maps = []
        for level, block in enumerate(self.down):
            if level > 0:
                x = self.pool(x)  # (B, widths[level - 1], H / 2**level, W / 2**level)
            x = block(x)  # (B, widths[level], H / 2**level, W / 2**level)
            maps.append(x)
        return maps

    def expand(self, maps: list[Tensor]) -> Tensor:
        """The way up: logits (B, classes, *S) of the maps of every level."""
        *skips, x = maps  # the lowest level goes up directly, the others across
        for up, block, skip in zip(self.up, self.decode, reversed(skips), strict=True):
            x = up(x)  # (B, width, ...), the size and the width of the next level up
            if self.skips:
                x = torch.cat([skip, x], dim=1)  # (B, 2 * width, ...)
            x = block(x)  # (B, width, ...)
        x = self.head(x)  # (B, classes * fold**2, H / fold, W / fold)
        return x if self.fold == 1 else depth_to_space(x, self.fold)  # (B, classes, H, W)

    def check(self, images: Tensor) -> None:
        """Refuse images whose channels or sizes do not fit; the message says which would."""
        axes = "(B, C, H, W)" if self.dims == 2 else "(B, C, D, H, W)"
        if images.ndim != self.dims + 2 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"images must be {axes} with C = {self.in_channels} channels, got shape {tuple(images.shape)}"
            )
        size = tuple(images.shape[2:])
        if any(n == 0 or n % self.multiple for n in size):
            folded = f" and fold {self.fold}" if self.fold > 1 else ""
            fits = tuple(-(-max(n, 1) // self.multiple) * self.multiple for n in size)
            raise ValueError(
                f"with {len(self.widths)} levels{folded} every size must be a multiple of {self.multiple}, got {size}; "
                f"pad the images to {fits}"
            )


def space_to_depth(images: Tensor, fold: int) -> Tensor:
    """Neighbours become channels: (B, C, *S) -> (B, C * fold**dims, *S / fold), as `F.pixel_unshuffle` in 2D."""
    dims = images.ndim - 2
    for axis in range(2, 2 + 2 * dims, 2):
        images = images.unflatten(axis, (-1, fold))  # (B, C, H / fold, fold, W / fold, fold) in the end
    images = images.permute(0, 1, *range(3, 3 + 2 * dims, 2), *range(2, 2 + 2 * dims, 2))  # (B, C, fold.., *S / fold)
    return images.flatten(1, 1 + dims)  # (B, C * fold**dims, *S / fold)


def depth_to_space(maps: Tensor, fold: int) -> Tensor:
    """The way back: (B, C * fold**dims, *S) -> (B, C, *S * fold), as `F.pixel_shuffle` in 2D."""
    dims = maps.ndim - 2
    maps = maps.unflatten(1, (-1, *(fold,) * dims))  # (B, C, fold, fold, H, W)
    pairs = [axis for i in range(dims) for axis in (2 + dims + i, 2 + i)]
    maps = maps.permute(0, 1, *pairs)  # (B, C, H, fold, W, fold)
    for axis in range(2, 2 + dims):
        maps = maps.flatten(axis, axis + 1)  # (B, C, H * fold, W * fold) in the end
    return maps
