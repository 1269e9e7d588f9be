"""Brain MR of any number of synthetic patients, made from the MNI152 anatomy that nilearn ships as files.

A patient is the template under a pose and a smooth invertible deformation, with its own cortex and fluid spaces (shares
of the tissues pushed up or down by smooth random fields), contrasts, bias field, noise, slices and scanner scale; two
patients in five carry a tumour. The image is brain-extracted, as in the public tumour sets, but not perfectly: a rim
around the brain is left in, and beyond it the image is exactly 0.

Anatomy: ICBM 2009a Nonlinear Symmetric, 1 mm (T1 average, grey and white matter maps), files of the nilearn package.
    Fonov et al. 2011, DOI 10.1016/j.neuroimage.2010.07.033; Fonov et al. 2009, DOI 10.1016/S1053-8119(09)70884-5;
    Collins et al. 1999, DOI 10.1007/3-540-48714-X_16.
Licence: nilearn is BSD-3-Clause; its own note on the template says "License: unknown". The notice of the template's
    makers: Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
    McGill University; use, copying, modification and distribution for any purpose and without fee are permitted as long
    as that copyright notice appears in all copies; as is, without warranty. medlab holds no copy of the files, it reads
    those of the installed nilearn (without importing it: that takes seconds).
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medlab.phantoms.fields import cube_lattice, generator, invertible_displacement, smooth_field
from medlab.phantoms.tumour import Tumour, draw_tumour, grow_tumour

BRAIN_LABELS = {
    0: "background",
    1: "CSF",
    2: "grey matter",
    3: "white matter",
    4: "oedema",
    5: "tumour core",
}
_TUMOUR_SHARE = 0.4  # of the patients
_THICK_SHARE = 0.4  # of the patients have slices of 4 or 5 mm
_TEMPLATE_CENTRE_MM = (0.0, 17.0, 5.0)  # middle of the template's brain, LPS
_PLANE = (80, 96)  # voxels (x, y) of 2 mm
_HEIGHT_MM = 160.0

# Signal (low, high) of CSF, grey matter, white matter, oedema, tumour core, tumour rim; the brightest tissue is 1.
_CONTRASTS = {
    "T1": ((0.18, 0.36), (0.60, 0.76), (1.0, 1.0), (0.44, 0.56), (0.28, 0.40), (1.05, 1.35)),
    "T2": ((1.0, 1.0), (0.48, 0.60), (0.28, 0.40), (0.70, 0.85), (0.85, 1.00), (0.45, 0.60)),
}


@dataclass(frozen=True)
class BrainPatient:
    """One synthetic MR examination.

    Attributes:
        name: for example "brain-0007".
        image: int16, axes towards left, posterior, superior; 80 x 96 voxels (x, y) and 32, 40 or 80 slices.
        labels: uint8 on the image's grid, see `BRAIN_LABELS`.
        contrast: "T1" or "T2".
        spacing_mm: voxel size in array order (z, y, x).
        tumour_core_ml, oedema_ml: volume of labels 5 and 4, voxels times voxel volume; 0.0 without a tumour.
        tumour_side: the patient's own "left" or "right"; None without a tumour.
    """

    name: str
    image: sitk.Image
    labels: sitk.Image
    contrast: str
    spacing_mm: tuple[float, float, float]
    tumour_core_ml: float
    oedema_ml: float
    tumour_side: str | None

    @property
    def has_tumour(self) -> bool:
        """Whether the patient carries a tumour."""
        return self.tumour_side is not None


def brain_patient(index: int, seed: int = 0, *, contrast: Literal["T1", "T2"] = "T1") -> BrainPatient:
    """Return synthetic patient number `index` of the population `seed`.

    Anatomy, tumour, grid and labels do not depend on `contrast`: the same head can be seen under both. A voxel's label
    is the tissue that fills the largest part of it (the outside counts as one), while its intensity is the mixture, so
    borders show the partial volume effect, and thick slices more of it.

    Args:
        index: 0 or more.
        seed: 0 or more; another seed is another population.
        contrast: "T1" (fluid dark; some tumours with a bright rim, as after contrast agent) or "T2" (fluid bright).

    Raises:
        ValueError: index or seed is negative or no integer, or the contrast is unknown.
    """
    if contrast not in _CONTRASTS:
        raise ValueError(f"contrast must be one of {', '.join(_CONTRASTS)}, got {contrast!r}")
    rng = generator("brain", index, seed, "anatomy")
    fine, parts = _fine_grid(rng, _head_position(index, seed))
    transform = brain_transform(index, seed)
    shares, detail = _tissues(rng, fine, transform)
    tumour = draw_tumour(rng, fine, transform, shares[3]) if rng.random() < _TUMOUR_SHARE else None
    core = np.zeros_like(detail) if tumour is None else grow_tumour(rng, fine, tumour, shares)
    rng = generator("brain", index, seed, f"scanner {contrast}")
    signal = _signal(rng, fine, _CONTRASTS[contrast], shares, detail, core if tumour and tumour.rim else None)
    volume = _acquire(rng, fine, signal, shares[0], parts)
    labels = _slices(shares, parts).argmax(axis=0).astype(np.uint8)
    return _patient(f"brain-{index:04d}", contrast, volume, labels, fine, parts, tumour)


def brain_transform(index: int, seed: int = 0) -> sitk.CompositeTransform:
    """Return the map from a patient's space to the MNI152 space, points in mm (LPS) to points in mm (LPS).

    Given to `sitk.Resample` it carries an image of the template onto the patient. First the pose (rotation by up to 8
    degrees about each axis, size 0.85 to 0.97 of the template, which is larger than most heads: Lancaster et al. 2007,
    DOI 10.1002/hbm.20345), then two deformations, of whole lobes and of single gyri. Each of the three has a positive
    Jacobian determinant everywhere, and so has their chain.
    """
    rng = generator("brain", index, seed, "pose")
    angles = np.deg2rad(rng.uniform(-8.0, 8.0, 3))
    pose = sitk.Euler3DTransform()
    pose.SetRotation(*(float(angle) for angle in angles))
    size = rng.uniform(0.88, 0.94) * rng.uniform(0.97, 1.03, 3)
    affine = sitk.AffineTransform(3)
    affine.SetMatrix((np.array(pose.GetMatrix()).reshape(3, 3) / size).ravel())
    head = _head_position(index, seed)
    affine.SetCenter(head)
    affine.SetTranslation(np.array(_TEMPLATE_CENTRE_MM) - head + rng.uniform(-2.0, 2.0, 3))
    lattice = cube_lattice(_TEMPLATE_CENTRE_MM, (240.0, 260.0, 240.0))
    gyri, lobes = (
        sitk.DisplacementFieldTransform(invertible_displacement(rng, lattice, sigma_mm, rng.uniform(0.5, 0.8)))
        for sigma_mm in (10.0, 28.0)
    )
    return sitk.CompositeTransform([gyri, lobes, affine])  # the last one is applied first


@cache
def _template() -> tuple[np.ndarray, np.ndarray]:
    """Return CSF, grey matter, white matter and T1 detail of the MNI152 brain, 1 mm voxels, and where they begin.

    Returns:
        float32 (4, D, H, W) with axes towards superior, posterior, left; the first voxel's place (z, y, x) in mm, LPS.
    """
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "nilearn is not installed: its MNI152 files are the built-in brain; pip install nilearn"
        )
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    t1, grey, white = (
        _read_map(folder / f"mni_icbm152_{k}_tal_nlin_sym_09a_converted.nii.gz") for k in ("t1", "gm", "wm")
    )
    brain = sitk.BinaryFillhole(t1 > 0)
    inside = sitk.GetArrayFromImage(brain) > 0
    maps = np.stack(
        [np.zeros(inside.shape, np.float32), *(sitk.GetArrayFromImage(m) / np.float32(255) for m in (grey, white))]
    )
    maps[0] = np.clip(1.0 - maps[1] - maps[2], 0.0, 1.0)
    maps *= inside / np.maximum(maps.sum(axis=0), 1e-6)
    detail = (
        sitk.GetArrayFromImage(t1) - np.tensordot([120.0, 166.0, 208.0], _sharpen(maps), 1)
    ) / 42.0  # grey-white steps
    channels = [*maps, np.clip(detail, -1.0, 1.0) * inside]
    smooth = [ndimage.gaussian_filter(c.astype(np.float32), 0.6) for c in channels]  # from 1 mm towards 2 mm voxels
    return np.stack(smooth), np.array(t1.GetOrigin()[::-1])


def _read_map(path: Path) -> sitk.Image:
    return sitk.DICOMOrient(sitk.ReadImage(str(path), sitk.sitkFloat32), "LPS")


def _head_position(index: int, seed: int) -> np.ndarray:
    """Return where the middle of the head lies in the scanner, mm (x, y, z)."""
    return generator("brain", index, seed, "position").uniform(-30.0, 30.0, 3)


def _fine_grid(rng: np.random.Generator, head: np.ndarray) -> tuple[sitk.Image, int]:
    """Return an empty image of thin slices, and how many of them one slice of the examination holds."""
    thick = rng.random() < _THICK_SHARE
    slice_mm, parts = ((4.0, 2) if rng.random() < 0.5 else (5.0, 3)) if thick else (2.0, 1)
    grid = sitk.Image([*_PLANE, round(_HEIGHT_MM / slice_mm) * parts], sitk.sitkUInt8)
    grid.SetSpacing([2.0, 2.0, slice_mm / parts])
    middle = [(n - 1) / 2 * s for n, s in zip(grid.GetSize(), grid.GetSpacing(), strict=True)]
    grid.SetOrigin([float(h) - m for h, m in zip(head, middle, strict=True)])
    return grid, parts


def _tissues(rng: np.random.Generator, grid: sitk.Image, transform: sitk.Transform) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of the six labels (6, D, H, W), which sum to 1, and the T1 detail (D, H, W)."""
    template, start = _template()
    points = _mapped_voxels(grid, transform) - start[:, None, None, None]  # in template voxels, which are 1 mm
    maps = np.stack([ndimage.map_coordinates(channel, points, order=1) for channel in template])  # (4, D, H, W)
    brain = np.minimum(maps[:3].sum(axis=0), 1.0)
    maps[0] *= np.exp(rng.normal(0.4, 0.3) + 0.3 * smooth_field(rng, grid, 9.0))  # wider or narrower sulci
    maps[2] *= np.exp(rng.normal(0.1, 0.1) + 0.3 * smooth_field(rng, grid, 6.0))  # thinner or thicker cortex
    shares = np.zeros((6, *brain.shape), np.float32)
    shares[0] = 1.0 - brain
    shares[1:4] = _sharpen(maps[:3]) * brain
    return shares, maps[3]


def _mapped_voxels(grid: sitk.Image, transform: sitk.Transform) -> np.ndarray:
    """Return where the transform takes the voxels of a grid, mm (z, y, x), as (3, D, H, W)."""
    shift = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing()
    )
    points = np.moveaxis(sitk.GetArrayViewFromImage(shift), -1, 0)[::-1].copy()
    for axis in range(3):  # z, y, x
        start, step, n = (get()[2 - axis] for get in (grid.GetOrigin, grid.GetSpacing, grid.GetSize))
        points[axis] += (start + step * np.arange(n)).reshape([-1 if i == axis else 1 for i in range(3)])
    return points


def _sharpen(maps: np.ndarray) -> np.ndarray:
    """Return shares that sum to 1 where there is any (C, D, H, W), the larger ones made larger.

    An average of 152 heads is blurred where the heads differ; one head is not.
    """
    squares = maps * maps
    return squares / np.maximum(squares.sum(axis=0), 1e-9)


def _signal(
    rng: np.random.Generator,
    grid: sitk.Image,
    contrast: tuple[tuple[float, float], ...],
    shares: np.ndarray,
    detail: np.ndarray,
    rim_depth: np.ndarray | None,
) -> np.ndarray:
    """Return the noiseless signal (D, H, W) of the brain and of the rim around it, brightest tissue about 1."""
    *tissues, rim = (rng.uniform(low, high) for low, high in contrast)
    signal = np.zeros_like(detail)
    for share, level in zip(shares[1:], tissues, strict=True):
        signal += np.float32(level) * share
    healthy = shares[1:4].sum(axis=0)
    signal += detail * healthy * np.float32(tissues[2] - tissues[1])
    if rim_depth is not None:
        shell = np.exp(-((rim_depth / 3.0) ** 4)) * (rim_depth > 0) * (1.0 + 0.3 * smooth_field(rng, grid, 4.0))
        signal += shares[5] * shell * np.float32(rim - tissues[4])
    signal *= 1.0 + 0.03 * smooth_field(rng, grid, 4.0)  # tissue is not uniform
    left_in = np.clip(smooth_field(rng, grid, 5.0), 0.0, 1.5) * 0.25  # membranes that the extraction missed
    return signal + shares[0] * left_in


def _acquire(
    rng: np.random.Generator, grid: sitk.Image, signal: np.ndarray, outside: np.ndarray, parts: int
) -> np.ndarray:
    """Return what the scanner stores, int16 (slices, H, W): bias field, thick slices, Rician noise, brain extraction.

    Source: Gudbjartsson & Patz 1995, DOI 10.1002/mrm.1910340618, for the noise of magnitude images.
    """
    bias = np.exp(rng.uniform(0.08, 0.22) * smooth_field(rng, grid, 45.0))
    volume = _slices(signal * bias, parts)
    real, imaginary = rng.standard_normal((2, *volume.shape), dtype=np.float32) * rng.uniform(0.015, 0.05)
    magnitude = np.hypot(volume + real, imaginary)
    extracted = _slices(ndimage.gaussian_filter(outside, 1.2), parts) < rng.uniform(0.75, 0.95)
    scale = 10.0 ** rng.uniform(2.0, 4.1)  # scanners agree on no unit
    return np.clip(np.rint(magnitude * extracted * scale), 0, 32767).astype(np.int16)


def _slices(fine: np.ndarray, parts: int) -> np.ndarray:
    """Average `parts` thin slices into each slice; the last three axes are (D, H, W)."""
    *lead, depth, height, width = fine.shape
    return fine.reshape(*lead, depth // parts, parts, height, width).mean(axis=-3)


def _patient(
    name: str,
    contrast: str,
    volume: np.ndarray,
    labels: np.ndarray,
    fine: sitk.Image,
    parts: int,
    tumour: Tumour | None,
) -> BrainPatient:
    x_mm, y_mm, thin_mm = fine.GetSpacing()
    spacing = np.array([x_mm, y_mm, thin_mm * parts])
    origin = np.add(fine.GetOrigin(), (0, 0, (parts - 1) / 2 * thin_mm))  # middle of the first slice
    images = [sitk.GetImageFromArray(array) for array in (volume, labels)]
    for image in images:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
    oedema_ml, core_ml = (float(np.count_nonzero(labels == k) * spacing.prod() / 1000.0) for k in (4, 5))
    return BrainPatient(
        name=name,
        image=images[0],
        labels=images[1],
        contrast=contrast,
        spacing_mm=(thin_mm * parts, y_mm, x_mm),
        tumour_core_ml=core_ml,
        oedema_ml=oedema_ml,
        tumour_side=tumour.side if tumour else None,
    )
