"""Brain tumours with known extent: a lobed core and the oedema around it."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medlab.phantoms.fields import smooth_field


@dataclass(frozen=True)
class Tumour:
    """A core of melted balls, how far the oedema reaches beyond it, whether the core has a rim, and the side."""

    lobes: list[tuple[np.ndarray, float]]  # centre (x, y, z) and radius, mm
    oedema_mm: float
    rim: bool
    side: str


def draw_tumour(rng: np.random.Generator, grid: sitk.Image, transform: sitk.Transform, white: np.ndarray) -> Tumour:
    """Return a tumour whose centre lies in the white matter of one hemisphere, above the cerebellum."""
    side = "left" if rng.random() < 0.5 else "right"
    candidates = np.argwhere(white > 0.8)
    while True:
        z, y, x = (int(i) for i in candidates[rng.integers(len(candidates))])
        centre = np.array(grid.TransformIndexToPhysicalPoint((x, y, z)))
        to_left, _, up = transform.TransformPoint(centre)  # in the template, where x = 0 is between the hemispheres
        if up > -10.0 and (to_left > 18.0 if side == "left" else to_left < -18.0):
            break
    radius_mm = rng.uniform(7.0, 18.0)
    lobes = [(centre, 0.8 * radius_mm)]
    for direction in rng.standard_normal((4, 3)):
        offset = 0.7 * radius_mm * direction / np.linalg.norm(direction)
        lobes.append((centre + offset, radius_mm * rng.uniform(0.4, 0.8)))
    return Tumour(lobes, rng.uniform(4.0, 14.0), bool(rng.random() < 0.6), side)


def grow_tumour(rng: np.random.Generator, grid: sitk.Image, tumour: Tumour, shares: np.ndarray) -> np.ndarray:
    """Add the tumour to the shares in place; return the depth below the core's surface in mm (D, H, W), 0 outside.

    Oedema spreads along the white matter and leaves fluid spaces alone; the core grows into everything in the brain.
    """
    blend_mm = 2.5  # lobes melt into one another over this length
    depth = blend_mm * np.logaddexp.reduce([(r - _distance(grid, centre)) / blend_mm for centre, r in tumour.lobes])
    depth += 1.5 * smooth_field(rng, grid, 5.0)
    tissue = 1.0 - shares[0]
    core = tissue / (1.0 + np.exp(-np.clip(depth / 0.7, -30.0, 30.0)))
    spread = (
        tumour.oedema_mm
        * (0.25 + 0.75 * ndimage.gaussian_filter(shares[3], 1.5))
        * (1.0 + 0.3 * smooth_field(rng, grid, 6.0))
    )
    oedema = (tissue - core) * (1.0 - shares[1]) / (1.0 + np.exp(-np.clip((depth + spread) / 1.2, -30.0, 30.0)))
    shares[1:4] *= (tissue - core - oedema) / np.maximum(tissue, 1e-6)
    shares[4], shares[5] = oedema, core
    return np.maximum(depth, 0.0) * (core > 0.5)


def _distance(grid: sitk.Image, point_mm: np.ndarray) -> np.ndarray:
    """Return the distance of every voxel to a point in mm, float32 (D, H, W)."""
    axes = zip(grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), point_mm, strict=True)
    x, y, z = ((origin + spacing * np.arange(n) - p) ** 2 for origin, spacing, n, p in axes)
    return np.sqrt(z[:, None, None] + y[:, None] + x).astype(np.float32)
