"""Lesson 00: two small ones, to see how exercises work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medlab.exercises._engine import Case, Exercise, Mistake, case

# 00.1


def my_voxel_ml(spacing_mm: tuple[float, float, float]) -> float:
    """Volume of one voxel.

    Args:
        spacing_mm: edge lengths of the voxel along z, y and x, in mm.

    Returns:
        Its volume in ml; 1 ml is 1000 cubic millimetres.
    """
    z, y, x = spacing_mm
    return z * y * x / 1000


def _voxel_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case((10.0, 10.0, 10.0))
    yield case((5.0, 10.0, 20.0))
    for _ in range(6):
        yield case(tuple(round(float(edge), 2) for edge in rng.uniform(3.0, 12.0, 3)))


VOXEL = Exercise(
    id="00.1",
    module=__name__,
    name="my_voxel_ml",
    title="Volume of a voxel",
    dots=1,
    hints=(
        "A voxel is a box: its volume is the product of its three edges.",
        "The product of three lengths in mm is in cubic millimetres; 1000 of them are one millilitre.",
    ),
    why=(
        "A box of 5 x 10 x 20 mm holds 1000 cubic millimetres, which is 1 ml. Voxels are seldom cubes, so all three "
        "edges count."
    ),
    cases=_voxel_cases,
    mistakes=(
        Mistake(
            "cubic millimetres",
            "That is in cubic millimetres: 1000 of them are one ml.",
            lambda spacing_mm: float(np.prod(spacing_mm)),
        ),
        Mistake(
            "edges added",
            "It looks as if the edges were added: the volume of a box is their product.",
            lambda spacing_mm: sum(spacing_mm) / 1000,
        ),
        Mistake(
            "taken for a cube",
            "It looks as if one edge was used three times: a voxel is seldom a cube.",
            lambda spacing_mm: spacing_mm[0] ** 3 / 1000,
        ),
        Mistake(
            "centimetres",
            "10 mm are 1 cm, but 1000 cubic millimetres are 1 cubic centimetre, which is 1 ml.",
            lambda spacing_mm: float(np.prod(spacing_mm)) / 10,
        ),
    ),
)
check_voxel_ml = VOXEL.check


# 00.2


def my_middle_slice(volume: np.ndarray) -> np.ndarray:
    """The axial slice in the middle of a volume.

    Args:
        volume: (D, H, W), axes z, y, x.

    Returns:
        (H, W): slice number D // 2, so that 4 slices give number 2 and 5 slices give number 2 as well.
    """
    return volume[volume.shape[0] // 2]


def _slice_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.arange(24.0).reshape(4, 3, 2))
    yield case(np.arange(8.0).reshape(2, 2, 2))
    for _ in range(4):
        yield case(rng.normal(size=rng.integers(3, 8, 3)))


SLICE = Exercise(
    id="00.2",
    module=__name__,
    name="my_middle_slice",
    title="The slice in the middle",
    dots=1,
    hints=(
        "`volume.shape` is (D, H, W): how many slices are there, and what is half of that, rounded down?",
        "`volume[k]` is slice number k along the first axis, which is z.",
    ),
    why=(
        "The first axis of an array is z, from slice to slice, so one index picks an axial slice: `volume[D // 2]` has "
        "shape (H, W)."
    ),
    cases=_slice_cases,
    mistakes=(
        Mistake(
            "last axis",
            "That slice is cut across x: it is sagittal. Axial slices lie one behind the other along the first axis.",
            lambda volume: volume[:, :, volume.shape[2] // 2],
        ),
        Mistake(
            "middle axis",
            "That slice is cut across y: it is coronal. Axial slices lie one behind the other along the first axis.",
            lambda volume: volume[:, volume.shape[1] // 2],
        ),
        Mistake(
            "first slice",
            "That is the first slice: half of `volume.shape[0]` gives the number of the middle one.",
            lambda volume: volume[0],
        ),
        Mistake(
            "one too early",
            "One slice too early: numbers begin with 0, so 4 slices have number 4 // 2 = 2 in the middle, not 1.",
            lambda volume: volume[volume.shape[0] // 2 - 1],
        ),
    ),
)
check_middle_slice = SLICE.check
