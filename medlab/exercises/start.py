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
    yield case((1.0, 2.0, 5.0))  # the smallest numbers, so this one is shown
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
    yield case(np.arange(6.0).reshape(3, 1, 2))  # an odd number of slices
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
        Mistake(
            "one too late",
            "One slice too late: half is rounded down, so 3 slices have number 3 // 2 = 1 in the middle.",
            lambda volume: volume[(volume.shape[0] + 1) // 2],
        ),
    ),
)
check_middle_slice = SLICE.check


# 00.3


def my_fullest_slice(labels: np.ndarray, label: int) -> int:
    """Number of the axial slice with the most voxels of one label.

    Args:
        labels: (D, H, W), whole numbers.
        label: the structure that we look for.

    Returns:
        The number of the slice, from 0 to D - 1; the first one if several hold equally many.
    """
    return int((labels == label).sum(axis=(1, 2)).argmax())


def _fullest_cases(rng: np.random.Generator) -> Iterator[Case]:
    by_hand = np.zeros((4, 2, 3), dtype=np.uint8)
    by_hand[1, 0, 0] = 2
    by_hand[2, :, 1] = 2
    by_hand[3] = 1
    yield case(by_hand, 2)
    tie = np.zeros((4, 2, 3), dtype=np.uint8)
    tie[1:3, 0, :2] = 1
    yield case(tie, 1)
    for _ in range(6):
        labels = rng.integers(0, 4, rng.permutation([3, 5, 7])).astype(np.uint8)
        yield case(labels, int(rng.integers(1, 4)))


FULLEST = Exercise(
    id="00.3",
    module=__name__,
    name="my_fullest_slice",
    title="The slice that shows most",
    dots=2,
    hints=(
        "`labels == label` is True where the structure is. True counts as 1, so a sum counts voxels.",
        "Sum over rows and columns, `axis=(1, 2)`, and one number for each slice is left; `argmax` finds the largest.",
    ),
    why=(
        "Comparing gives a mask, summing it over y and x counts the voxels of each slice, and `argmax` returns the "
        "number of the first slice with the most."
    ),
    cases=_fullest_cases,
    mistakes=(
        Mistake(
            "any label",
            "All labels were counted together: compare with `label` first.",
            lambda labels, label: int((labels > 0).sum(axis=(1, 2)).argmax()),
        ),
        Mistake(
            "values added",
            "The label values were added up, so that structure 3 counts three times: count voxels instead.",
            lambda labels, label: int(labels.sum(axis=(1, 2)).argmax()),
        ),
        Mistake(
            "another axis",
            "That is the number of a row or a column: axial slices are counted along the first axis, so sum over the "
            "other two.",
            lambda labels, label: int((labels == label).sum(axis=(0, 1)).argmax()),
        ),
        Mistake(
            "last of equals",
            "Two slices hold equally many voxels, and the first one is asked for.",
            lambda labels, label: len(labels) - 1 - int((labels == label).sum(axis=(1, 2))[::-1].argmax()),
        ),
        Mistake(
            "the count",
            "That is how many voxels the slice holds, not which slice it is: `max` against `argmax`.",
            lambda labels, label: int((labels == label).sum(axis=(1, 2)).max()),
        ),
    ),
)
check_fullest_slice = FULLEST.check
