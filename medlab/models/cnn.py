"""A convolutional classifier of whole images: the network that lesson 22 builds layer by layer.

Source: pairs of 3 x 3 convolutions from Simonyan and Zisserman 2015, arXiv:1409.1556; batch norm from Ioffe and
Szegedy 2015, arXiv:1502.03167; the mean over all positions instead of large linear layers from Lin, Chen, Yan 2014,
arXiv:1312.4400.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["CNN"]

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AXES = {1: "(B, C, T)", 2: "(B, C, H, W)", 3: "(B, C, D, H, W)"}


class CNN(nn.Module):
    """Convolutions and pooling down to a small rich map, its mean over all positions, one linear layer.

    Args:
        in_channels: channels of the input.
        classes: how many classes; two classes have two logits.
        widths: channels at every level, from the full resolution down; each further level halves the size.
        dims: 1 for signals (B, C, T), 2 for (B, C, H, W), 3 for (B, C, D, H, W).
        dropout: fraction of the features that training leaves out before the linear layer, in [0, 1).

    Attributes:
        smallest: every spatial size must be at least this, 2 ** (levels - 1).

    Raises:
        ValueError: for a number that makes no network.

    Built by hand in lesson 22.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        widths: Sequence[int] = (16, 32, 64),
        *,
        dims: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dims not in CONV:
            raise ValueError(f"dims must be 1, 2 or 3, got {dims}")
        if in_channels < 1 or classes < 2 or not widths or min(widths) < 1 or not 0 <= dropout < 1:
            given = f"in_channels={in_channels}, classes={classes}, widths={tuple(widths)}, dropout={dropout}"
            raise ValueError(
                "in_channels must be at least 1, classes at least 2, widths at least one positive number and dropout "
                f"in [0, 1), got {given}"
            )
        self.in_channels, self.classes, self.dims, self.dropout = in_channels, classes, dims, dropout
        self.widths = tuple(widths)
        self.smallest = 2 ** (len(widths) - 1)
        self.features = nn.Sequential()
        for level, (inputs, outputs) in enumerate(zip((in_channels, *widths), widths, strict=False)):
            if level > 0:
                self.features.append(POOL[dims](2))
            for channels in (inputs, outputs):
                # No bias: the batch norm that follows has its own.
                self.features.append(CONV[dims](channels, outputs, kernel_size=3, padding=1, bias=False))
                self.features.append(NORM[dims](outputs))
                self.features.append(nn.ReLU(inplace=True))
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, in_channels, *S).

        Raises:
            ValueError: if the channels do not fit or a size is too small; the message says what would fit.
        """
        self._check(images)
        maps = self.features(images)  # (B, widths[-1], H / 2**(levels - 1), W / 2**(levels - 1)), rounded down
        features = maps.flatten(start_dim=2).mean(dim=2)  # (B, widths[-1])
        return self.head(self.drop(features))  # (B, classes)

    def _check(self, images: Tensor) -> None:
        if images.ndim != self.dims + 2 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"images must be {AXES[self.dims]} with C = {self.in_channels}, got shape {tuple(images.shape)}"
            )
        if min(images.shape[2:]) < self.smallest:
            raise ValueError(
                f"with {len(self.widths)} levels every size must be at least {self.smallest}, "
                f"got {tuple(images.shape[2:])}: take larger images or fewer widths"
            )
