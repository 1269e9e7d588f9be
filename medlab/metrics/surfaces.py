"""Distances between the surfaces of two masks, exact and quick; `medlab.metrics` says how they are defined."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from medlab.metrics.inputs import flat_or_solid, joint_box, masks, spacing_of

STEPS = 300  # neighbours of a voxel that are looked at, near to far, before a tree is asked, which costs about as much
REACH = 12  # voxels, at most, of such a neighbour along one axis: thick slices have many within them
AT_ONCE = 20_000  # voxels times neighbours looked at in one go, so that small masks need few
LEAF = 48  # points in a leaf of the tree, which is asked too seldom to be worth more branches
SLACK = 1e-6  # of a tolerance: a spacing that was stored as float32 must not decide what lies within it


@dataclass(frozen=True)
class SurfaceDistances:
    """The distance of every surface voxel of one mask to the nearest surface voxel of the other.

    Attributes:
        prediction_to_truth_mm: (P,) float64, one a surface voxel of the prediction, in array order; all infinite where
            the truth is empty.
        truth_to_prediction_mm: (T,) float64, one a surface voxel of the truth; all infinite where the prediction is
            empty.
    """

    prediction_to_truth_mm: np.ndarray
    truth_to_prediction_mm: np.ndarray

    def hausdorff_mm(self, percentile: float = 100.0) -> float:
        """The larger of the two directed distances: the maximum, or a percentile of it (95 for HD95).

        Args:
            percentile: from 0 to 100, of each direction by itself, interpolated linearly.

        Returns:
            Millimetres; 0 where both masks are empty, infinite where one is.

        Raises:
            ValueError: if the percentile is not from 0 to 100.

        Source: Huttenlocher et al. 1993, doi:10.1109/34.232073. Built by hand in lesson 40.
        """
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile must be a number from 0 to 100, got {percentile}")
        directed = (self.prediction_to_truth_mm, self.truth_to_prediction_mm)
        return max((_percentile(distances, percentile) for distances in directed if distances.size), default=0.0)

    def average_mm(self) -> float:
        """The mean of both directions' distances together (average symmetric surface distance).

        Returns:
            Millimetres; 0 where both masks are empty, infinite where one is.
        """
        voxels = self.prediction_to_truth_mm.size + self.truth_to_prediction_mm.size
        total = float(self.prediction_to_truth_mm.sum()) + float(self.truth_to_prediction_mm.sum())
        return total / voxels if voxels else 0.0

    def surface_dice(self, tolerance_mm: float) -> float:
        """The share of both surfaces' voxels that lie within a tolerance of the other surface.

        Args:
            tolerance_mm: not negative, finite; usually the distance between two experts. Just on it is within it, up
                to a millionth of the tolerance, so that rounding does not decide.

        Returns:
            A number in [0, 1]; 1 where both masks are empty, 0 where one is.

        Raises:
            ValueError: if the tolerance is negative or not finite.

        Source: Nikolov et al. 2021, doi:10.2196/26151, with voxels counted in place of areas.
        """
        tolerance = checked_tolerance(tolerance_mm)
        voxels = self.prediction_to_truth_mm.size + self.truth_to_prediction_mm.size
        within = np.count_nonzero(self.prediction_to_truth_mm <= tolerance)
        within += np.count_nonzero(self.truth_to_prediction_mm <= tolerance)
        return int(within) / voxels if voxels else 1.0


def surface_distances(prediction: Any, truth: Any, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """The distances between the surfaces of two masks, from which all surface metrics follow.

    Args:
        prediction: bool mask, array or tensor, (D, H, W) or (H, W).
        truth: bool mask of the same shape.
        spacing_mm: voxel size, one positive number an axis, in array order.

    Returns:
        The distances in both directions, in millimetres.

    Raises:
        TypeError: if a mask is not bool.
        ValueError: if the shapes differ, the masks are not 2D or 3D, or the spacing does not fit them.

    Built by hand in lesson 40.
    """
    a, b = masks(prediction, truth)
    flat_or_solid(a.shape)
    spacing = spacing_of(spacing_mm, a.ndim)
    box = joint_box(a, b)
    if box is None:
        return NOTHING
    return label_distances(a[box].view(np.uint8), b[box].view(np.uint8), spacing)[1]


def checked_tolerance(tolerance_mm: float) -> float:
    """The tolerance with its slack; raises ValueError where it is negative or not finite."""
    if not 0 <= tolerance_mm < np.inf:
        raise ValueError(f"tolerance_mm must be a finite number that is not negative, got {tolerance_mm}")
    return float(tolerance_mm) * (1 + SLACK)


NOTHING = SurfaceDistances(np.empty(0), np.empty(0))


def _percentile(distances: np.ndarray, percentile: float) -> float:
    """As `numpy.percentile`, at a fraction of its cost; all distances are finite, or none is."""
    if percentile == 100:
        return float(distances.max())
    at = (distances.size - 1) * (percentile / 100)
    below = int(at)
    above = min(below + 1, distances.size - 1)
    part = np.partition(distances, (below, above))
    low, high = float(part[below]), float(part[above])
    return low + (at - below) * (high - low) if low < high else low  # both may be infinite


# From here on both label maps lie in one flat array, one after the other, the prediction first. Axis i reaches
# reach[i] empty voxels beyond its end:
#
#   1 empty layer | layers of the prediction | reach[0] empty layers | layers of the truth | reach[0] empty layers
#
# A step of up to reach[i] voxels along each axis then ends in the right voxel or in an empty one: what leaves a row to
# the left comes to the empty end of the row before (and negative places count from the end of the array). The same
# place in the other map is `far` places on, or back.


def label_distances(
    prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...]
) -> dict[int, SurfaceDistances]:
    """The distances of every label in either map, all labels at once.

    Args:
        prediction: labels from 0 on, uint8 or int64, 2D or 3D, best cut to their `joint_box`.
        truth: the same, of the same shape.
        spacing: voxel size in millimetres, in array order.

    Returns:
        One entry for each label but 0, in rising order.
    """
    ball = _ball(spacing)
    maps, layers = _one_after_the_other(prediction, truth, ball.reach)
    strides = [stride // maps.itemsize for stride in maps.strides]
    far = layers * strides[0]
    edges = _edges(maps.reshape(-1), strides)
    at = np.flatnonzero(edges != 0)
    values = edges[at]
    split = int(np.searchsorted(at, strides[0] + far))
    other = at.copy()  # the same place in the other map
    other[:split] += far
    other[split:] -= far
    distances = _search_near(edges, other, values, ball, ball.steps @ np.array(strides))
    found = {}
    for label in np.unique(values).tolist():
        mine = values == label
        forth, back = distances[:split][mine[:split]], distances[split:][mine[split:]]
        here, there = at[:split][mine[:split]], other[split:][mine[split:]]  # both as places in the first map
        _search_far(forth, here, there, maps.shape, spacing)
        _search_far(back, there, here, maps.shape, spacing)
        found[label] = SurfaceDistances(forth, back)
    return found


def _one_after_the_other(prediction: np.ndarray, truth: np.ndarray, reach: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Both maps in one array, as drawn above, and the layers from the one to the other."""
    layers = prediction.shape[0] + reach[0]
    shape = (1 + 2 * layers, *(size + empty for size, empty in zip(prediction.shape[1:], reach[1:], strict=True)))
    maps = np.zeros(shape, np.promote_types(prediction.dtype, truth.dtype))
    for first, labels in ((1, prediction), (1 + layers, truth)):
        maps[first:][tuple(slice(size) for size in labels.shape)] = labels
    return maps, layers


def _edges(labels: np.ndarray, strides: list[int]) -> np.ndarray:
    """The labels, flat, where a face neighbour has another label, and 0 elsewhere."""
    differs = np.zeros(labels.size, np.bool_)
    for stride in strides:
        step = labels[stride:] != labels[:-stride]
        differs[stride:] |= step
        differs[:-stride] |= step
    return labels * differs


def _search_near(
    edges: np.ndarray, other: np.ndarray, values: np.ndarray, ball: _Ball, jumps: np.ndarray
) -> np.ndarray:
    """For each edge voxel the distance to the nearest one of its label in the other map; infinite where that is far.

    The steps of the ball (`jumps` in places of the flat array) are taken shell by shell, from short to long: the first
    has length 0 and finds the edges that both maps share. A voxel that has found its neighbour takes no further part.
    """
    distances = np.full(values.size, np.inf)
    left = np.arange(values.size)
    shell = start = 0
    while shell < len(ball.ends) and left.size:
        following = max(shell + 1, bisect_right(ball.ends, start + AT_ONCE // left.size))
        stop = ball.ends[following - 1]
        hits = edges.take(other + jumps[start:stop, None]) == values  # (steps, voxels)
        hit = hits.any(axis=0)
        first = 0 if following == shell + 1 else hits[:, hit].argmax(axis=0)
        distances[left[hit]] = ball.lengths[start:stop][first]
        missed = np.flatnonzero(~hit)
        left, other, values = left[missed], other[missed], values[missed]
        shell, start = following, stop
    return distances


def _search_far(
    distances: np.ndarray, here: np.ndarray, there: np.ndarray, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    """Replace the infinite distances from places here to places there, both of one map; to nowhere they stay."""
    far = np.flatnonzero(np.isinf(distances))
    if far.size:
        tree = cKDTree(_points(there, shape, spacing), LEAF, balanced_tree=False, compact_nodes=False)
        distances[far] = tree.query(_points(here[far], shape, spacing))[0]


def _points(places: np.ndarray, shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """(N, ndim) millimetres of flat places."""
    return np.stack(np.unravel_index(places, shape), axis=1) * np.array(spacing)


@dataclass(frozen=True)
class _Ball:
    """About STEPS steps to the nearest voxels, from short to long.

    Attributes:
        reach: the most voxels of a step along each axis, at least 1, as edges look at the next voxel.
        steps: (K, ndim) voxels.
        lengths: (K,) mm.
        ends: where in `steps` each shell of equal lengths ends.
    """

    reach: tuple[int, ...]
    steps: np.ndarray
    lengths: np.ndarray
    ends: list[int]


@lru_cache(maxsize=64)
def _ball(spacing: tuple[float, ...]) -> _Ball:
    """All steps up to one length: as they fill a ball, the first hit is the nearest."""
    ndim = len(spacing)
    volume = STEPS * math.prod(spacing) / (4 / 3 * math.pi if ndim == 3 else math.pi)
    radius = min(volume ** (1 / ndim), REACH * min(spacing))  # mm
    reach = (radius / np.array(spacing)).astype(int)
    grid = np.indices(2 * reach + 1).reshape(ndim, -1).T - reach
    lengths = np.sqrt(((grid * spacing) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] <= radius]
    ends = [*(np.flatnonzero(np.diff(lengths[order])) + 1).tolist(), order.size]
    return _Ball(tuple(np.maximum(reach, 1).tolist()), grid[order], lengths[order], ends)
