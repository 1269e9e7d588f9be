"""Lesion-wise counts: how many connected parts of the truth are found, and how many are made up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medlab.metrics.inputs import flat_or_solid, joint_box, masks, spacing_of


@dataclass(frozen=True)
class LesionCounts:
    """The lesions of one case, in array order of their first voxels.

    Attributes:
        truth_ml: (T,) volume of each lesion of the truth.
        found: (T,) bool, whether the prediction finds it.
        prediction_ml: (P,) volume of each lesion of the prediction.
        confirmed: (P,) bool, whether the truth confirms it.
    """

    truth_ml: np.ndarray
    found: np.ndarray
    prediction_ml: np.ndarray
    confirmed: np.ndarray

    @property
    def true_positives(self) -> int:
        """Lesions of the truth that are found."""
        return int(np.count_nonzero(self.found))

    @property
    def false_negatives(self) -> int:
        """Lesions of the truth that are missed."""
        return self.found.size - self.true_positives

    @property
    def false_positives(self) -> int:
        """Lesions of the prediction that the truth does not confirm."""
        return self.confirmed.size - int(np.count_nonzero(self.confirmed))

    @property
    def sensitivity(self) -> float:
        """The share of the truth's lesions that are found; 1 where there is none to find."""
        return self.true_positives / self.found.size if self.found.size else 1.0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FN + FP); 1 where neither map holds a lesion."""
        all_ = 2 * self.true_positives + self.false_negatives + self.false_positives
        return 2 * self.true_positives / all_ if all_ else 1.0


def lesion_counts(
    prediction: Any, truth: Any, *, spacing_mm: Sequence[float] | None = None, overlap: float = 0.0
) -> LesionCounts:
    """Lesions found, missed and made up, of one case.

    A lesion is a connected part of a mask: voxels that share a face, an edge or a corner are connected (26 neighbours
    in 3D, 8 in 2D). A lesion of the truth is found where the prediction covers more than `overlap` of it, one of the
    prediction is confirmed where the truth covers more than `overlap` of it: by default, one shared voxel is enough.
    One large predicted lesion may so find two, and two small ones find the same.

    Args:
        prediction: bool mask, array or tensor, (D, H, W) or (H, W).
        truth: bool mask of the same shape.
        spacing_mm: voxel size for the volumes, one positive number an axis, in array order; 1 mm by default. A picture
            counts as 1 mm thick.
        overlap: share of a lesion, from 0 up to but not including 1.

    Returns:
        The lesions with their volumes, and the counts.

    Raises:
        TypeError: if a mask is not bool.
        ValueError: if the shapes differ, the masks are not 2D or 3D, or the spacing or the overlap is not possible.

    Built by hand in lesson 40.
    """
    a, b = masks(prediction, truth)
    flat_or_solid(a.shape)
    spacing = spacing_of(spacing_mm, a.ndim)
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be a share from 0 up to, not including, 1, got {overlap}")
    box = joint_box(a, b)
    if box is None:
        return LesionCounts(np.empty(0), np.empty(0, bool), np.empty(0), np.empty(0, bool))
    a, b = _padded(a[box]), _padded(b[box])
    predicted, true, shared = _runs(a), _runs(b), _runs(a & b)
    voxel_ml = float(np.prod(spacing)) / 1000
    volumes, covered = [], []
    for runs in (true, predicted):
        lesion = _lesion_of_run(*runs, a.shape)
        voxels = np.bincount(lesion, runs[1] - runs[0])
        # A shared run lies in one run of each mask: the last that starts at or before it.
        around = lesion[np.searchsorted(runs[0], shared[0], "right") - 1] if lesion.size else lesion
        both = np.bincount(around, shared[1] - shared[0], minlength=voxels.size)
        volumes.append(voxels * voxel_ml)
        covered.append(both > overlap * voxels)
    return LesionCounts(volumes[0], covered[0], volumes[1], covered[1])


def _padded(mask: np.ndarray) -> np.ndarray:
    """The mask with an empty layer in front, and one empty voxel behind each of the other axes."""
    return np.pad(mask, ((1, 0), *((0, 1),) * (mask.ndim - 1)))


def _runs(padded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows' runs of True start, and where they end (one past the last), as flat places."""
    flat = padded.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    return changes[::2], changes[1::2]


def _lesion_of_run(starts: np.ndarray, ends: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The number of the connected part that each run belongs to.

    A run touches those of a neighbouring row that start at most one voxel behind its end and end at most one before
    its start; whole rows of voxels are so joined at once, and the few runs make a graph.
    """
    rows = np.cumprod((1, *shape[:0:-1]))[1:][::-1]  # places from one row to the next, along each axis but the last
    pairs = []
    for step in itertools.product((-1, 0, 1), repeat=len(rows)):
        if step <= (0,) * len(rows):  # each pair of rows once
            continue
        jump = int(np.dot(step, rows))
        first = np.searchsorted(ends, starts + jump, "left")
        count = np.searchsorted(starts, ends + jump, "right") - first
        run = np.repeat(np.arange(starts.size), count)
        pairs.append((run, np.arange(run.size) - np.repeat(np.cumsum(count) - count - first, count)))
    run, touched = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(run.size, np.bool_), (run, touched)), shape=(starts.size, starts.size))
    return connected_components(graph, directed=False)[1] if starts.size else np.empty(0, np.int32)
