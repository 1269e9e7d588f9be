"""Lesson 10: from voxels to millimetres and back, windows, volumes, orientation, order of slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medlab.exercises._engine import Case, Exercise, Mistake, case

# 10.1


def my_world_mm(index: np.ndarray, origin_mm: np.ndarray, spacing_mm: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Where the centre of a voxel lies in the patient.

    Args:
        index: (z, y, x) of the voxel, as in `volume[z, y, x]`.
        origin_mm: (x, y, z) of the voxel with index 0, 0, 0.
        spacing_mm: (x, y, z), in SimpleITK's order.
        direction: (3, 3); its first column is where the x axis of the image points to in the patient.

    Returns:
        (3,) the position (x, y, z) in mm.
    """
    steps_mm = index[::-1] * spacing_mm  # along the image's own x, y, z
    return origin_mm + direction @ steps_mm


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation, possibly with a reflection."""
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return turned * rng.choice([-1, 1], 3)  # the factorisation alone prefers some signs


def _world_cases(rng: np.random.Generator) -> Iterator[Case]:
    straight, turned = np.eye(3), np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    spacing = np.array([0.5, 1.0, 3.0])
    yield case(np.array([0, 0, 0]), np.array([-10.0, 20.0, 5.0]), spacing, straight)
    yield case(np.array([2, 0, 0]), np.array([-10.0, 20.0, 5.0]), spacing, straight)
    yield case(np.array([2, 4, 6]), np.array([0.0, 0.0, 0.0]), spacing, turned)
    for _ in range(8):
        yield case(rng.integers(0, 40, 3), rng.uniform(-200, 200, 3), rng.uniform(0.4, 5.0, 3), _rotation(rng))


WORLD = Exercise(
    id="10.1",
    module=__name__,
    name="my_world_mm",
    title="Where is this voxel?",
    dots=2,
    hints=(
        "Three steps: turn the index round to (x, y, z), make it millimetres, then turn it into the patient's axes.",
        (
            "Millimetres along the image's own axes are index times spacing, value by value. Only then comes the "
            "direction."
        ),
        (
            "`direction @ steps_mm` adds up its columns, each weighed with the steps along that axis; the origin is "
            "added last."
        ),
    ),
    why=(
        "position = origin + direction (spacing * index), all in (x, y, z) order. Spacing belongs to the image's "
        "axes, so it multiplies before the direction turns them into the patient's. Arrays are indexed (z, y, x), "
        "which is why the index is reversed first. `image.TransformIndexToPhysicalPoint` gives the same numbers."
    ),
    cases=_world_cases,
    mistakes=(
        Mistake(
            "index not reversed",
            "It looks as if the index was used in array order: it is (z, y, x), everything else is (x, y, z).",
            lambda index, origin_mm, spacing_mm, direction: origin_mm + direction @ (index * spacing_mm),
        ),
        Mistake(
            "spacing reversed",
            "It looks as if the spacing was reversed too: it is in (x, y, z) order already.",
            lambda index, origin_mm, spacing_mm, direction: origin_mm + direction @ (index[::-1] * spacing_mm[::-1]),
        ),
        Mistake(
            "result reversed",
            "The position comes out as (z, y, x): the patient's axes are in (x, y, z) order.",
            lambda index, origin_mm, spacing_mm, direction: my_world_mm(index, origin_mm, spacing_mm, direction)[::-1],
        ),
        Mistake(
            "spacing ignored",
            "It looks as if the spacing was ignored: neighbouring voxels are `spacing_mm` apart, not 1 mm.",
            lambda index, origin_mm, spacing_mm, direction: origin_mm + direction @ index[::-1],
        ),
        Mistake(
            "direction ignored",
            "Straight images are right, turned ones are not: the direction says where the image's axes point to.",
            lambda index, origin_mm, spacing_mm, direction: origin_mm + index[::-1] * spacing_mm,
        ),
        Mistake(
            "direction transposed",
            "It looks as if rows and columns of the direction changed places: its columns are the image's axes.",
            lambda index, origin_mm, spacing_mm, direction: origin_mm + direction.T @ (index[::-1] * spacing_mm),
        ),
        Mistake(
            "spacing after direction",
            "It looks as if the spacing came after the direction: it belongs to the image's axes, so it comes before.",
            lambda index, origin_mm, spacing_mm, direction: origin_mm + spacing_mm * (direction @ index[::-1]),
        ),
        Mistake(
            "origin forgotten",
            "It looks as if the origin was forgotten: voxel 0, 0, 0 does not lie at 0, 0, 0 mm.",
            lambda index, origin_mm, spacing_mm, direction: direction @ (index[::-1] * spacing_mm),
        ),
    ),
)
check_world_mm = WORLD.check


# 10.2


def my_window(volume_hu: np.ndarray, level: float, width: float) -> np.ndarray:
    """Grey values that show a part of the Hounsfield scale.

    Args:
        volume_hu: array of any shape, integer or float, in HU.
        level: middle of the window, in HU.
        width: of the whole window, in HU.

    Returns:
        float32, same shape: 0 at and below the lower edge, 1 at and above the upper edge, straight in between.
    """
    lower = level - width / 2
    return np.clip((volume_hu - lower) / width, 0, 1).astype(np.float32)


def _window_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(np.array([-60.0, 40.0, 140.0], np.float32), 40, 400)
    yield case(np.array([-1000.0, -160.0, 240.0, 3000.0], np.float32), 40, 400)
    yield case(np.array([[-1000, 0], [40, 3000]], np.int16), 40, 400)
    for _ in range(6):
        shape = rng.integers(1, 6, rng.integers(1, 4))
        volume = rng.integers(-1024, 3072, shape).astype(rng.choice(["int16", "float32"]))
        yield case(volume, float(rng.integers(-600, 400)), float(rng.integers(50, 2000)))


def _line(volume_hu: np.ndarray, lower: float, width: float) -> np.ndarray:
    return np.clip((volume_hu - lower) / width, 0, 1).astype(np.float32)


def _own_range(values: np.ndarray) -> np.ndarray:
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)


WINDOW = Exercise(
    id="10.2",
    module=__name__,
    name="my_window",
    title="Window and level",
    dots=1,
    hints=(
        "The window reaches from `level - width / 2` to `level + width / 2`.",
        (
            "Take the lower edge away and divide by the width: that makes the edges 0 and 1. What happens to values "
            "beyond them?"
        ),
        "`np.clip(..., 0, 1)` holds them at the edges, and `.astype(np.float32)` gives the type asked for.",
    ),
    why=(
        "grey = clip((HU - (level - width / 2)) / width, 0, 1). A soft-tissue window of level 40, width 400 spends "
        "all greys on -160 to 240 HU; air and bone, which lie outside, become plain black and white. The clip must "
        "come after the floats are made: in 8 or 16 bits it would wrap round."
    ),
    cases=_window_cases,
    exact_dtype=True,
    mistakes=(
        Mistake(
            "not clipped",
            "Values outside the window leave 0 to 1: hold them at the edges with `np.clip`.",
            lambda volume_hu, level, width: ((volume_hu - level + width / 2) / width).astype(np.float32),
        ),
        Mistake(
            "level is the lower edge",
            "It looks as if the window began at the level: the level is its middle.",
            lambda volume_hu, level, width: _line(volume_hu, level, width),
        ),
        Mistake(
            "width on both sides",
            "The window is twice too wide: `width` is the whole of it, half on either side of the level.",
            lambda volume_hu, level, width: _line(volume_hu, level - width, 2 * width),
        ),
        Mistake(
            "own range",
            "It looks as if the values were scaled from their own minimum to their own maximum: level and width say "
            "what is shown.",
            lambda volume_hu, level, width: _own_range(volume_hu),
        ),
        Mistake(
            "clipped, then own range",
            "After clipping, the smallest value became 0 and the largest 1, whatever they were: divide by the width "
            "instead.",
            lambda volume_hu, level, width: _own_range(np.clip(volume_hu, level - width / 2, level + width / 2)),
        ),
        Mistake(
            "0 to 255",
            "The result goes from 0 to 255: 0 to 1 is asked for.",
            lambda volume_hu, level, width: 255 * my_window(volume_hu, level, width),
        ),
        Mistake(
            "black and white swapped",
            "Black and white are swapped: large values are bright.",
            lambda volume_hu, level, width: 1 - my_window(volume_hu, level, width),
        ),
    ),
)
check_window = WINDOW.check


# 10.3


def my_volume_ml(mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> float:
    """Physical volume of what a mask marks.

    Args:
        mask: (D, H, W); every value but 0 (or False) belongs to it: masks from files are often 0 and 255.
        spacing_mm: distance of neighbouring voxels along z, y and x, in mm.

    Returns:
        Volume in ml, 0.0 for an empty mask.
    """
    voxel_mm3 = np.prod(spacing_mm)
    return float(np.count_nonzero(mask) * voxel_mm3 / 1000)


def _volume_cases(rng: np.random.Generator) -> Iterator[Case]:
    one = np.zeros((1, 2, 2), bool)
    one[0, 0] = True
    yield case(one, (10.0, 5.0, 4.0))
    yield case(np.zeros((1, 2, 2), bool), (10.0, 5.0, 4.0))
    yield case(np.array([[[0, 255, 255]]], np.uint8), (10.0, 5.0, 4.0))
    yield case(np.array([[[0, 1, 2, 255]]], np.uint8), (10.0, 5.0, 4.0))
    for _ in range(8):
        mask = rng.random(rng.integers(2, 9, 3)) < rng.uniform(0.1, 0.9)
        spacing = tuple(round(float(s), 2) for s in rng.uniform(2.0, 9.0, 3))
        yield case(mask if rng.random() < 0.5 else mask.astype(np.uint8) * 255, spacing)


VOLUME = Exercise(
    id="10.3",
    module=__name__,
    name="my_volume_ml",
    title="Volume of a mask",
    dots=1,
    hints=(
        "How many voxels are marked, and how large is one? `np.count_nonzero` counts whatever the values are.",
        "One voxel has the product of the three spacings in cubic millimetres; 1000 of these are 1 ml.",
    ),
    why=(
        "Volume = number of marked voxels x z-spacing x y-spacing x x-spacing / 1000. The count must not depend on "
        "whether a file stores a mask as 1 or 255, and a volume without spacing is only a number of voxels: the same "
        "organ has four times as many at half the spacing in plane."
    ),
    cases=_volume_cases,
    tolerance=1e-6,
    mistakes=(
        Mistake(
            "spacing ignored",
            "It looks as if the spacing was ignored: a voxel is not 1 cubic millimetre.",
            lambda mask, spacing_mm: float(np.count_nonzero(mask) / 1000),
        ),
        Mistake(
            "voxels counted",
            "That is the number of voxels: multiply by the volume of one, in ml.",
            lambda mask, spacing_mm: float(np.count_nonzero(mask)),
        ),
        Mistake(
            "cubic millimetres",
            "That is in cubic millimetres: 1000 of them are one ml.",
            lambda mask, spacing_mm: float(np.count_nonzero(mask) * np.prod(spacing_mm)),
        ),
        Mistake(
            "values added up",
            "It looks as if the mask's values were added up: a mask of 255 then counts 255 times. Count the voxels "
            "that are not 0.",
            lambda mask, spacing_mm: float(mask.sum() * np.prod(spacing_mm) / 1000),
        ),
        Mistake(
            "only value 1",
            "It looks as if only voxels of value 1 were counted: every value but 0 belongs to the mask.",
            lambda mask, spacing_mm: float(np.count_nonzero(mask == 1) * np.prod(spacing_mm) / 1000),
        ),
        Mistake(
            "values over the largest",
            "It looks as if the mask's values were added up and divided by the largest: that is the count only where "
            "all are alike. Count the voxels that are not 0.",
            lambda mask, spacing_mm: float(mask.sum() / max(int(mask.max()), 1) * np.prod(spacing_mm) / 1000),
        ),
        Mistake(
            "only 1 and 255",
            "It looks as if only the values 1 and 255 were counted: every value but 0 belongs to the mask.",
            lambda mask, spacing_mm: float(np.isin(mask, (1, 255)).sum() * np.prod(spacing_mm) / 1000),
        ),
        Mistake(
            "only the largest value",
            "It looks as if only the voxels of the largest value were counted: a mask may hold several values, and "
            "every one but 0 belongs to it.",
            lambda mask, spacing_mm: float(
                np.count_nonzero((mask == mask.max()) & (mask != 0)) * np.prod(spacing_mm) / 1000
            ),
        ),
        Mistake(
            "whole image",
            "That is the volume of the whole image: only the marked voxels count.",
            lambda mask, spacing_mm: float(mask.size * np.prod(spacing_mm) / 1000),
        ),
        Mistake(
            "area of pixels",
            "It looks as if the distance between slices was left out: that gives an area.",
            lambda mask, spacing_mm: float(np.count_nonzero(mask) * np.prod(spacing_mm[1:]) / 1000),
        ),
        Mistake(
            "taken for cubes",
            "It looks as if one spacing was used three times: voxels are seldom cubes.",
            lambda mask, spacing_mm: float(np.count_nonzero(mask) * spacing_mm[0] ** 3 / 1000),
        ),
    ),
)
check_volume_ml = VOLUME.check


# 10.4


def my_flip_left_right(
    volume: np.ndarray, origin_mm: np.ndarray, spacing_mm: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Store a volume the other way round along x, so that every voxel stays where it is in the patient.

    Args:
        volume: (D, H, W), axes z, y, x.
        origin_mm: (x, y, z) of `volume[0, 0, 0]`.
        spacing_mm: (x, y, z).
        direction: (3, 3); its first column is where the x axis of the image points to in the patient.

    Returns:
        (flipped volume, its origin, its direction); the spacing stays.
    """
    flipped = volume[:, :, ::-1].copy()
    last = volume.shape[2] - 1  # this column becomes the first
    origin = origin_mm + direction[:, 0] * spacing_mm[0] * last
    turned = direction * np.array([-1, 1, 1])  # the first column points back
    return flipped, origin, turned


def _flip_cases(rng: np.random.Generator) -> Iterator[Case]:
    spacing = np.array([2.0, 3.0, 5.0])
    yield case(np.array([[[1.0, 2.0, 3.0]]]), np.array([-10.0, 0.0, 0.0]), spacing, np.eye(3))
    yield case(np.arange(8.0).reshape(2, 2, 2), np.zeros(3), spacing, np.eye(3)[[1, 2, 0]])
    for _ in range(8):
        volume = rng.integers(0, 100, rng.integers(2, 6, 3)).astype(float)
        yield case(volume, rng.uniform(-100, 100, 3), rng.uniform(0.5, 5.0, 3), _rotation(rng))


def _flip(volume: np.ndarray, origin_mm: np.ndarray, spacing_mm: np.ndarray, direction: np.ndarray, **how: Any) -> Any:
    """The flip with one thing done otherwise."""
    flipped = np.flip(volume, how.get("axis", 2))
    steps = volume.shape[2] - 1 + how.get("more", 0)
    axis = direction[0] if how.get("row") else direction[:, 0]
    spacing = how.get("step_mm", spacing_mm[0])
    origin = origin_mm + how.get("move", 1) * axis * spacing * steps
    turned = direction.copy()
    if how.get("row"):
        turned[0] *= -1
    elif how.get("turn", True):
        turned[:, 0] *= -1
    return flipped, origin, turned


FLIP = Exercise(
    id="10.4",
    module=__name__,
    name="my_flip_left_right",
    title="Left and right, without losing the patient",
    dots=3,
    hints=(
        (
            "Reversing the array alone would mirror the patient. What must change with it, so that each value keeps "
            "its place in mm?"
        ),
        (
            "x is the last axis of the array. After the flip the image's x axis points the other way: the first "
            "column of the direction changes its sign."
        ),
        (
            "The origin is the position of the voxel that is first now: W - 1 steps of `spacing_mm[0]` along the old "
            "first column."
        ),
    ),
    why=(
        "New index x' stands for old index x = W - 1 - x'. Put into position = origin + d_x s_x x + ...: the "
        "constant part gives origin + d_x s_x (W - 1), the part with x' gives -d_x s_x. So the origin moves by W - 1 "
        "steps and the first column turns round. Had only the array been reversed, the image would show a mirrored "
        "patient: a tumour on the wrong side."
    ),
    cases=_flip_cases,
    parts=("volume", "origin", "direction"),
    mistakes=(
        Mistake(
            "wrong axis",
            "The volume was reversed along z. Left and right lie along x, the last axis of the array.",
            lambda *args: _flip(*args, axis=0),
        ),
        Mistake(
            "y axis",
            "The volume was reversed along y. Left and right lie along x, the last axis of the array.",
            lambda *args: _flip(*args, axis=1),
        ),
        Mistake(
            "only the array",
            "The array was reversed, origin and direction were not: that mirrors the patient.",
            lambda *args: _flip(*args, move=0, turn=False),
        ),
        Mistake(
            "array not reversed",
            "Origin and direction changed, but the array did not: reverse it along x, the last axis.",
            lambda *args: (args[0], *my_flip_left_right(*args)[1:]),
        ),
        Mistake(
            "origin stays",
            "The direction turned, the origin stayed: the patient has moved by almost the width of the image.",
            lambda *args: _flip(*args, move=0),
        ),
        Mistake(
            "direction stays",
            "The origin moved, but the image's x axis must point back as well: turn the first column of the direction.",
            lambda *args: _flip(*args, turn=False),
        ),
        Mistake(
            "one voxel too far",
            "The origin went one voxel too far: from the first to the last of W voxels there are W - 1 steps.",
            lambda *args: _flip(*args, more=1),
        ),
        Mistake(
            "origin the wrong way",
            "The origin moved the wrong way: it goes to the last voxel of the old row, along the old direction.",
            lambda *args: _flip(*args, move=-1),
        ),
        Mistake(
            "row instead of column",
            "It looks as if the first row of the direction was used: the image's x axis is its first column.",
            lambda *args: _flip(*args, row=True),
        ),
        Mistake(
            "spacing ignored",
            "It looks as if the origin moved W - 1 mm: a step is `spacing_mm[0]` long.",
            lambda *args: _flip(*args, step_mm=1.0),
        ),
        Mistake(
            "spacing of z",
            "It looks as if the last spacing was taken: here they are in (x, y, z) order, a step along x is "
            "`spacing_mm[0]` long.",
            lambda *args: _flip(*args, step_mm=args[2][2]),
        ),
        Mistake(
            "number of slices",
            "It looks as if the number of slices was taken for W: W is the last entry of the shape.",
            lambda *args: _flip(*args, more=args[0].shape[0] - args[0].shape[2]),
        ),
    ),
)
check_flip_left_right = FLIP.check


# 10.5


def my_slice_order(positions_mm: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """In which order the slices of a series belong, whatever their file names are.

    Args:
        positions_mm: (N, 3), the position (x, y, z) of every slice, as the files came.
        row: (3,) unit vector along a row of pixels, the same for all slices.
        column: (3,) unit vector along a column of pixels.

    Returns:
        (N,) integers: which slice comes first, second, ... along the normal `row x column`.
    """
    normal = np.cross(row, column)
    return np.argsort(positions_mm @ normal)


def _order_cases(rng: np.random.Generator) -> Iterator[Case]:
    x, y, _ = np.eye(3)
    axial = np.array([[0.0, 0.0, 10.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0], [0.0, 0.0, 15.0]])
    yield case(axial[:3], x, y)
    yield case(axial, x, y)
    yield case(axial[:, [2, 0, 1]] - 30.0, y, np.array([0.0, 0.0, -1.0]))  # sagittal, slices along -x
    for _ in range(8):
        turned = _rotation(rng)
        places = np.outer(rng.permutation(int(rng.integers(4, 12))) * 2.5, np.cross(turned[0], turned[1]))
        yield case(places + rng.uniform(-100, 100, 3), turned[0], turned[1])


ORDER = Exercise(
    id="10.5",
    module=__name__,
    name="my_slice_order",
    title="Slices in the right order",
    dots=2,
    hints=(
        "Slices are stacked along the direction that stands upright on both rows and columns: `np.cross` gives it.",
        "How far a slice lies along a unit vector is the scalar product of its position with it.",
        "`np.argsort` returns which entry is smallest, second smallest, ...",
    ),
    why=(
        "The normal n = row x column is where the next slice lies; position . n is the distance along it, and "
        "sorting by that distance gives the stack. z alone works for axial series only: in a sagittal series every "
        "slice has the same z. File names and instance numbers promise nothing."
    ),
    cases=_order_cases,
    mistakes=(
        Mistake(
            "by z",
            "It looks as if the slices were sorted by z: that holds for axial series only. Which way does this one go?",
            lambda positions_mm, row, column: np.argsort(positions_mm[:, 2]),
        ),
        Mistake(
            "by x",
            "It looks as if the slices were sorted by x: project the positions on the normal.",
            lambda positions_mm, row, column: np.argsort(positions_mm[:, 0]),
        ),
        Mistake(
            "turned round",
            "The stack is upside down: the normal is row x column, in this order.",
            lambda positions_mm, row, column: np.argsort(positions_mm @ np.cross(column, row)),
        ),
        Mistake(
            "as they came",
            "That is the order in which the files came: names promise nothing.",
            lambda positions_mm, row, column: np.arange(len(positions_mm)),
        ),
        Mistake(
            "ranks",
            "That is the rank of every slice. Asked for is which slice comes first, second, ...: `np.argsort` once.",
            lambda positions_mm, row, column: np.argsort(np.argsort(positions_mm @ np.cross(row, column))),
        ),
        Mistake(
            "by distance from the origin",
            "It looks as if the slices were sorted by their distance from the origin, which knows no direction: use "
            "the scalar product with the normal.",
            lambda positions_mm, row, column: np.argsort(np.linalg.norm(positions_mm, axis=1)),
        ),
    ),
)
check_slice_order = ORDER.check
