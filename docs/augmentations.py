"""Draw docs/images/augmentations.png: every augmentation at its strength, on a slice of a synthetic brain.

python docs/augmentations.py
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import Tensor

import medlab
from medlab import gpu, images
from medlab.augment import Augment
from medlab.viewer.scene import OKABE_ITO

TARGET = Path(__file__).parent / "images" / "augmentations.png"
OFF = Augment(rotation_degrees=0, scale_percent=0, shift_percent=0, brightness=0, contrast_percent=0, noise=0)
OUTLINED = {3: OKABE_ITO[1], 4: OKABE_ITO[0], 5: OKABE_ITO[3]}  # white matter, and where there is one a tumour
PANELS: dict[str, dict[str, object]] = {
    "rotation_degrees=15": {"rotation_degrees": 15},
    "scale_percent=15": {"scale_percent": 15},
    "shift_percent=10": {"shift_percent": 10},
    "shear_degrees=15": {"shear_degrees": 15},
    "elastic_percent=10": {"elastic_percent": 10},
    "flip_axes=(1,)": {"flip_axes": (1,)},
    "blur=1.5 (voxels)": {"blur": 1.5},
    "low_resolution_percent=150": {"low_resolution_percent": 150},
    "bias_percent=100": {"bias_percent": 100},
    "gamma_percent=80": {"gamma_percent": 80},
    "contrast_percent=40": {"contrast_percent": 40},
    "brightness=0.8": {"brightness": 0.8},
    "noise=0.4": {"noise": 0.4},
}
EVERYTHING = {
    "rotation_degrees": 15,
    "scale_percent": 15,
    "shear_degrees": 10,
    "elastic_percent": 6,
    "low_resolution_percent": 60,
    "bias_percent": 50,
    "noise": 0.2,
}


def brain() -> tuple[Tensor, Tensor]:
    """The slice with most labels, (1, 1, H, W) z-scores and (1, H, W)."""
    case = medlab.load("brain").train[0]
    volume, labels = (
        images.array(images.reorient(case.image(), "LPS")),
        images.array(images.reorient(case.labels(), "LPS")),
    )
    z = int((labels > 0).sum(axis=(1, 2)).argmax())
    scores = torch.from_numpy(gpu.normalise(volume)[z])
    truth = torch.from_numpy(labels[z].astype(np.int64))
    return scores[None, None], truth[None]


def strongest(image: Tensor, truth: Tensor, strengths: dict[str, object], among: int = 64) -> tuple[Tensor, Tensor]:
    """Of 64 draws the one that changes the image most: the strength is the largest change."""
    recipe = Augment(**{**vars(OFF), **strengths})  # type: ignore[arg-type]
    many = image.expand(among, -1, -1, -1), truth.expand(among, -1, -1)
    moved, labels = recipe(*many, torch.Generator().manual_seed(1))
    best = int((moved - image).abs().flatten(1).mean(1).argmax())
    return moved[best], labels[best]


def figure(panels: dict[str, tuple[Tensor, Tensor]]) -> bytes:
    """The panels in rows of five, as a PNG of few colours."""
    first = next(iter(panels.values()))[0]
    low, high = float(first.min()), 1.3 * float(first.quantile(0.998))  # room for what becomes brighter
    height, width = first.shape[1:]
    rows = -(-len(panels) // 5)
    fig, axes = plt.subplots(rows, 5, figsize=(10, rows * (2 * height / width + 0.28)), dpi=100)
    for axis, (title, (image, labels)) in zip(axes.flat, panels.items(), strict=True):
        axis.imshow(image[0], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        for label, colour in OUTLINED.items():
            if (labels == label).any():
                axis.contour(labels == label, [0.5], colors=[colour], linewidths=1.1)
        axis.set_title(title, fontsize=9, pad=3)
        axis.axis("off")
    for letter, at in {"R": (0.03, 0.5), "L": (0.97, 0.5), "A": (0.5, 0.97), "P": (0.5, 0.03)}.items():
        axes.flat[0].text(
            *at, letter, color="white", fontsize=9, ha="center", va="center", transform=axes.flat[0].transAxes
        )
    fig.subplots_adjust(0.005, 0.005, 0.995, 0.965, wspace=0.03, hspace=0.1)
    buffer = io.BytesIO()
    fig.savefig(buffer)
    plt.close(fig)
    small = Image.open(buffer).convert("RGB").quantize(160, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    small.save(packed, "png", optimize=True)
    return packed.getvalue()


def main() -> None:
    """Write the picture and say how large it is."""
    image, truth = brain()
    panels = {"as it is": (image[0], truth[0])}
    panels |= {title: strongest(image, truth, strengths) for title, strengths in PANELS.items()}
    panels["several together"] = strongest(image, truth, EVERYTHING)
    made = figure(panels)
    TARGET.write_bytes(made)
    print(f"{TARGET.name}: {len(made) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
