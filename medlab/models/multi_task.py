"""A U-Net with a second output, a class for the whole image: the network of lesson 34.

Source: Caruana 1997, doi:10.1023/A:1007379606734 (tasks that share their features); the U-Net as in `unet.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medlab.models.unet import UNet

__all__ = ["MultiTaskUNet"]


class MultiTaskUNet(UNet):
    """One way down for two tasks: up again to a segmentation, and from the lowest level to a class of the image.

    Args:
        in_channels: channels of the input.
        classes: classes of the segmentation, the background included.
        targets: classes of the whole image; two classes have two logits.
        widths: channels at every level, from the full resolution down; each level halves the size.
        dims: 2 for (B, C, H, W), 3 for (B, C, D, H, W).

    Attributes:
        multiple: every spatial size must be a multiple of this, 2 ** (levels - 1).

    Raises:
        ValueError: for a number that makes no network.

    Built by hand in lesson 34.
    """

    def __init__(
        self, in_channels: int, classes: int, targets: int, widths: Sequence[int] = (16, 32, 64, 128), *, dims: int = 2
    ) -> None:
        super().__init__(in_channels, classes, widths, dims=dims)
        if targets < 2:
            raise ValueError(f"targets must be at least 2, one a class of the whole image, got {targets}")
        self.targets = targets
        self.classify = nn.Linear(self.widths[-1], targets)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Logits (B, classes, *S) of the segmentation and (B, targets) of the image.

        Raises:
            ValueError: if the channels or the sizes do not fit; the message says which would.
        """
        self.check(images)
        maps = self.contract(images)  # (B, widths[level], H / 2**level, W / 2**level), level by level
        features = maps[-1].flatten(start_dim=2).mean(dim=2)  # (B, widths[-1])
        return self.expand(maps), self.classify(features)  # (B, classes, H, W), (B, targets)
