"""Seeded random generators, smooth random fields and invertible deformations, for all phantoms."""

import zlib

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

LATTICE_MM = 4.0  # distance of the knots that smooth fields are drawn on


def generator(kind: str, index: int, seed: int, stage: str) -> np.random.Generator:
    """Return the random generator of one stage of one patient, independent of all others and of the global state.

    Stages have generators of their own so that a change to one (another contrast) leaves the others as they are.

    Raises:
        ValueError: index or seed is not an integer of 0 or more.
    """
    for name, number in (("index", index), ("seed", seed)):
        if not isinstance(number, int | np.integer) or number < 0:
            raise ValueError(f"{name} must be an integer of 0 or more, got {number!r}")
    return np.random.default_rng([zlib.crc32(f"{kind} {stage}".encode()), int(seed), int(index)])


def smooth_field(rng: np.random.Generator, grid: sitk.Image, sigma_mm: float) -> np.ndarray:
    """Return smooth random numbers of mean 0 and standard deviation 1 on the voxels of a grid.

    Args:
        rng: where the numbers come from.
        grid: gives size and geometry; the field is drawn on knots `LATTICE_MM` apart and interpolated linearly.
        sigma_mm: width of the Gaussian that smooths the white noise, 4 mm or more.

    Returns:
        float32 (D, H, W).
    """
    lattice = _lattice_over(grid)
    knots = _smooth_knots(rng, lattice.GetSize()[::-1], sigma_mm)
    field = sitk.GetImageFromArray(knots)
    field.CopyInformation(lattice)
    return sitk.GetArrayFromImage(sitk.Resample(field, grid, sitk.Transform(), sitk.sitkLinear, 0.0))


def invertible_displacement(
    rng: np.random.Generator, lattice: sitk.Image, sigma_mm: float, steepness: float
) -> sitk.Image:
    """Return a smooth displacement u, in mm, such that x -> x + u(x) folds nowhere.

    Between the knots u is interpolated linearly, so a slope inside a cell lies between the slopes along the cell's
    edges. The field is scaled until in the worst cell the largest slopes of one component along x, y and z add up to
    `steepness`. Below 1 the matrix I + Du is then strictly diagonally dominant with a positive diagonal: by
    Gershgorin's circle theorem its determinant is at least (1 - steepness)^3, and the map is one-to-one.

    Args:
        rng: where the numbers come from.
        lattice: knots (size, spacing, origin); u fades to zero towards the border.
        sigma_mm: width of the Gaussian that smooths the field.
        steepness: above 0, below 1.

    Returns:
        Image of 3-vectors (x, y, z) in float64.
    """
    shape = lattice.GetSize()[::-1]
    fade = [np.clip(3.0 * np.sin(np.pi * np.arange(n) / (n - 1)), 0.0, 1.0) for n in shape]
    u = _smooth_knots(rng, (3, *shape), sigma_mm) * np.einsum("i,j,k->ijk", *fade)  # (3, D, H, W)
    slopes = [_largest_in_cell(np.abs(np.diff(u, axis=axis)), axis) / LATTICE_MM for axis in (1, 2, 3)]
    u *= steepness / np.sum(slopes, axis=0).max()
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(u, 0, -1)), isVector=True)
    image.CopyInformation(lattice)
    return image


def cube_lattice(centre_mm: tuple[float, float, float], extent_mm: tuple[float, float, float]) -> sitk.Image:
    """Return an empty image whose voxels are knots `LATTICE_MM` apart that cover a box (x, y, z) around a point."""
    size = [int(np.ceil(length / LATTICE_MM)) + 1 for length in extent_mm]
    lattice = sitk.Image(size, sitk.sitkUInt8)
    lattice.SetSpacing([LATTICE_MM] * 3)
    lattice.SetOrigin([c - (n - 1) / 2 * LATTICE_MM for c, n in zip(centre_mm, size, strict=True)])
    return lattice


def _largest_in_cell(edges: np.ndarray, axis: int) -> np.ndarray:
    """Return, of values on the edges along `axis` (3, D, H, W, one less there), the largest of each cell's four."""
    for other in {1, 2, 3} - {axis}:
        ahead, behind = [slice(None)] * 4, [slice(None)] * 4
        ahead[other], behind[other] = slice(1, None), slice(None, -1)
        edges = np.maximum(edges[tuple(ahead)], edges[tuple(behind)])
    return edges


def _lattice_over(grid: sitk.Image) -> sitk.Image:
    size, spacing = np.array(grid.GetSize()), np.array(grid.GetSpacing())
    centre = grid.TransformContinuousIndexToPhysicalPoint(list((size - 1) / 2))
    return cube_lattice(centre, tuple(size * spacing + 2 * LATTICE_MM))


def _smooth_knots(rng: np.random.Generator, shape: tuple[int, ...], sigma_mm: float) -> np.ndarray:
    """Return Gaussian-smoothed white noise of standard deviation 1; the last three axes of `shape` are space."""
    sigmas = [0.0] * (len(shape) - 3) + [sigma_mm / LATTICE_MM] * 3
    knots = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigmas, truncate=2.5)
    return (knots - knots.mean()) / knots.std()
