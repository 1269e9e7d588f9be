"""What a CT phantom is drawn on: Hounsfield units, labels, and brushes that are soft at the edge."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medlab.phantoms.fields import smooth_field

_EDGE_MM = 1.8  # over this length one tissue passes into the next


class Canvas:
    """Hounsfield units and labels of the examination, and where its voxels lie in the (slightly bent) body."""

    def __init__(self, rng: np.random.Generator, grid: sitk.Image) -> None:
        shape = grid.GetSize()[::-1]
        self.grid = grid
        self.hu = np.full(shape, -1000.0, np.float32)
        self.labels = np.zeros(shape, np.uint8)
        axes = [
            o + s * np.arange(n) for o, s, n in zip(grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), strict=True)
        ]
        self.axes = [axis.astype(np.float32) for axis in axes]  # x, y, z in mm
        x, y, z = self.axes
        self.x = x + 3.0 * smooth_field(rng, grid, 28.0)
        self.y = y[:, None] + 3.0 * smooth_field(rng, grid, 28.0)
        self.z = z[:, None, None] + 3.0 * smooth_field(rng, grid, 28.0)

    def paint(
        self,
        distance: np.ndarray,
        hu: np.ndarray | float,
        label: int | None = None,
        *,
        where: tuple[slice, ...] = (slice(None),),
    ) -> None:
        """Fill with a tissue where `distance` (mm to its surface) is negative, softly across the surface."""
        share = np.clip(0.5 - distance / _EDGE_MM, 0.0, 1.0)
        self.hu[where] += share * (np.asarray(hu, np.float32) - self.hu[where])
        if label is not None:
            self.labels[where][share > 0.5] = label

    def ball(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        """Return about the distance in mm to the surface of an ellipsoid with the given centre and radii (x, y, z)."""
        (a, b, c), (i, j, k) = centre, radii
        reach = np.sqrt(((self.x - a) / i) ** 2 + ((self.y - b) / j) ** 2 + ((self.z - c) / k) ** 2)
        return (reach - 1.0) * min(radii)

    def tube(self, start: np.ndarray, end: np.ndarray, radius: float, hu: float, label: int | None = None) -> None:
        """Draw a straight tube with round ends between two points in mm (x, y, z), not bent with the body."""
        low, high = np.minimum(start, end) - radius - _EDGE_MM, np.maximum(start, end) + radius + _EDGE_MM
        ranges = [slice(*np.searchsorted(axis, ends)) for axis, *ends in zip(self.axes, low, high, strict=True)]
        x, y, z = (axis[r] - a for axis, r, a in zip(self.axes, ranges, start, strict=True))
        y, z = y[:, None], z[:, None, None]
        i, j, k = end - start
        along = np.clip((x * i + y * j + z * k) / max(i * i + j * j + k * k, 1e-9), 0.0, 1.0)  # 0 at start, 1 at end
        distance = np.sqrt((x - along * i) ** 2 + (y - along * j) ** 2 + (z - along * k) ** 2)
        self.paint((distance - radius).astype(np.float32), hu, label, where=tuple(ranges[::-1]))

    def finish(self, rng: np.random.Generator) -> tuple[sitk.Image, sitk.Image]:
        """Return image and labels: reconstruction blur and noise on, rounded."""
        noise = ndimage.gaussian_filter(rng.standard_normal(self.hu.shape, dtype=np.float32), (0.0, 0.7, 0.7))
        noisy = self.hu + noise * np.float32(rng.uniform(10.0, 22.0) / noise.std())
        images = [
            sitk.GetImageFromArray(np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)),
            sitk.GetImageFromArray(self.labels),
        ]
        for image in images:
            image.CopyInformation(self.grid)
        return images[0], images[1]
