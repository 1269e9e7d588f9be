"""Metrics of label maps against MONAI, surface-distance, scipy and Panoptica, in one run, as a Markdown table.

    python benchmarks/metrics.py [--output docs/metrics.md] [report case hd95 lesions]

Contenders take turns in one process; a figure is the median of the rounds. What they say is compared with exact values
first: distances between all edge voxels in float64. MONAI gets its one-hot tensors, and surface-distance its masks,
outside the time that is measured; ours gets label maps. Panoptica takes part where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

sys.path.insert(0, str(Path(__file__).parents[1]))

from medlab import metrics

SPACING = (2.5, 0.8, 0.8)  # mm: CT of an abdomen
TOLERANCE = 1.0  # mm


@dataclass
class Contender:
    """One way to do the work: `said` takes out of its result what can be compared with the exact values."""

    name: str
    run: Callable[[], Any]
    said: Callable[[Any], np.ndarray]
    allowed: float  # how far it may be off the exact values; infinite where it defines them otherwise


# Work -----------------------------------------------------------------------------------------------------------------


def organ_and_tumour(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth, (128, 256, 256): an organ (1) with a tumour (2), rough in two different ways."""
    rng = np.random.default_rng(seed)
    z, y, x = (axis.astype(np.float32) for axis in np.ogrid[-1:1:128j, -1:1:256j, -1:1:256j])
    maps = []
    for shift in (0.01, 0.0):
        rough = ndimage.zoom(rng.normal(0, 0.08, (8, 16, 16)).astype(np.float32), 16, order=1)
        organ = ((z - shift) / 0.62) ** 2 + (y / 0.55) ** 2 + ((x + 0.1) / 0.66) ** 2 + rough < 1
        tumour = ((z - shift - 0.1) / 0.22) ** 2 + ((y - 0.1) / 0.2) ** 2 + ((x + 0.2) / 0.2) ** 2 + 2 * rough < 1
        maps.append((organ | tumour).astype(np.uint8) + tumour)
    return maps[0], maps[1]


def real_case() -> tuple[str, np.ndarray, np.ndarray, tuple[float, ...]]:
    """A hippocampus where MEDLAB_MIRROR names a mirror, a built-in brain otherwise."""
    import medlab
    from medlab import images

    mirrored = bool(os.environ.get("MEDLAB_MIRROR"))
    name, cohort = ("hippocampus", "msd-hippocampus") if mirrored else ("built-in brain", "brain")
    labels = medlab.load(cohort).test[0].labels()
    truth = images.array(labels)
    moved = np.random.default_rng(0).normal(size=(3, *truth.shape))
    moved = ndimage.gaussian_filter(moved, (0, 4, 4, 4))
    prediction = ndimage.map_coordinates(truth, np.indices(truth.shape) + 0.8 * moved / moved.std(), order=0)
    return name, prediction, truth, labels.GetSpacing()[::-1]


def lesions(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth, (128, 256, 256): 64 balls well apart, of which some are missed and some made up."""
    rng = np.random.default_rng(seed)
    prediction, truth = np.zeros((2, 128, 256, 256), bool)
    for i, centre in enumerate(np.array(list(np.ndindex(4, 4, 4)))):
        cube = tuple(slice(at, at + 28) for at in (centre * (32, 64, 64) + rng.integers(0, (4, 36, 36))).tolist())
        from_centre = np.sqrt(sum((axis - 13.5) ** 2 for axis in np.ogrid[:28, :28, :28]))
        radius = rng.uniform(3, 13)
        if i % 9 != 0:
            truth[cube] |= from_centre <= radius
        if i % 7 != 0:
            prediction[cube] |= from_centre <= radius * rng.uniform(0.93, 1.07)
    return prediction, truth


# Exact values ---------------------------------------------------------------------------------------------------------


def exact(prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...], labels: list[int]) -> np.ndarray:
    """(labels, 5): Dice, HD, HD95, average distance, surface Dice, from edges by erosion and scipy's plain tree."""
    rows = []
    for label in labels:
        points = []
        for mask in (prediction == label, truth == label):
            points.append(np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(spacing))
        forth, back = (KDTree(points[1 - i]).query(points[i])[0] for i in (0, 1))
        both = np.concatenate([forth, back])
        hd95 = max(np.percentile(forth, 95), np.percentile(back, 95))
        dice = metrics.dice(prediction == label, truth == label)
        rows.append([dice, both.max(), hd95, both.mean(), np.mean(both <= TOLERANCE * (1 + 1e-6))])
    return np.array(rows)


# Contenders -----------------------------------------------------------------------------------------------------------


def our_report(prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...], classes: int) -> Contender:
    names = {label: str(label) for label in range(1, classes)}
    keys = ("dice", "hausdorff_mm", "hd95_mm", "average_surface_distance_mm", "surface_dice")
    return Contender(
        "medlab",
        lambda: metrics.evaluate(prediction, truth, label_names=names, spacing_mm=spacing, tolerance_mm=TOLERANCE),
        lambda report: np.array([[scores[key] for key in keys] for scores in report.values()]),
        1e-9,
    )


def one_hot(labels: np.ndarray, classes: int) -> Any:
    import torch

    return torch.nn.functional.one_hot(torch.from_numpy(labels.astype(np.int64)), classes).movedim(-1, 0)[None].float()


def monai_report(prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...], classes: int) -> Contender:
    import monai.metrics as monai

    both = one_hot(prediction, classes), one_hot(truth, classes)

    def run() -> list[Any]:
        return [
            monai.compute_dice(*both, include_background=False),
            monai.compute_hausdorff_distance(*both, spacing=spacing),
            monai.compute_hausdorff_distance(*both, percentile=95, spacing=spacing),
            monai.compute_average_surface_distance(*both, symmetric=True, spacing=spacing),
            monai.compute_surface_dice(*both, [TOLERANCE] * (classes - 1), spacing=spacing),
        ]

    return Contender(f"MONAI {version('monai')}", run, lambda said: np.concatenate([s.numpy() for s in said]).T, 1e-4)


def surface_distance_report(
    prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...], classes: int
) -> Contender:
    import surface_distance as sd

    masks = [(truth == label, prediction == label) for label in range(1, classes)]

    def run() -> list[list[float]]:
        rows = []
        for pair in masks:
            found = sd.compute_surface_distances(*pair, spacing)
            hausdorff = [sd.compute_robust_hausdorff(found, percentile) for percentile in (100, 95)]
            average = np.mean(sd.compute_average_surface_distance(found))
            surface_dice = sd.compute_surface_dice_at_tolerance(found, TOLERANCE)
            rows.append([sd.compute_dice_coefficient(*pair), *hausdorff, average, surface_dice])
        return rows

    return Contender(f"surface-distance {version('surface-distance')}", run, np.array, np.inf)


def our_hd95(prediction: np.ndarray, truth: np.ndarray) -> Contender:
    def run() -> list[float]:
        return [
            metrics.surface_distances(prediction == label, truth == label, SPACING).hausdorff_mm(95) for label in (1, 2)
        ]

    return Contender("medlab", run, np.array, 1e-9)


def monai_hd95(prediction: np.ndarray, truth: np.ndarray) -> Contender:
    import monai.metrics as monai

    both = one_hot(prediction, 3), one_hot(truth, 3)
    return Contender(
        f"MONAI {version('monai')}",
        lambda: monai.compute_hausdorff_distance(*both, percentile=95, spacing=SPACING),
        lambda said: said.numpy()[0],
        1e-4,
    )


def our_lesions(prediction: np.ndarray, truth: np.ndarray) -> Contender:
    return Contender(
        "medlab",
        lambda: metrics.lesion_counts(prediction, truth, spacing_mm=SPACING),
        lambda counts: np.array([counts.true_positives, counts.false_negatives, counts.false_positives]),
        0,
    )


def scipy_lesions(prediction: np.ndarray, truth: np.ndarray) -> Contender:
    """The same counts from `scipy.ndimage.label`, without a loop over the lesions."""
    corners = np.ones((3, 3, 3))

    def run() -> list[int]:
        (predicted, made), (true, real) = (ndimage.label(mask, corners) for mask in (prediction, truth))
        shared = prediction & truth
        found = np.unique(true[shared]).size
        return [found, real - found, made - np.unique(predicted[shared]).size]

    return Contender(f"scipy {version('scipy')}", run, np.array, 0)


def panoptica_lesions(prediction: np.ndarray, truth: np.ndarray) -> Contender:
    import panoptica

    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.SEMANTIC,
        instance_approximator=panoptica.ConnectedComponentsInstanceApproximator(),
        instance_matcher=panoptica.NaiveThresholdMatching(),
    )
    both = prediction.astype(np.uint8), truth.astype(np.uint8)
    return Contender(
        f"Panoptica {version('panoptica')}",
        lambda: evaluator.evaluate(*both, verbose=False)["ungrouped"],
        lambda counts: np.array([counts.tp, counts.fn, counts.fp]),
        0,
    )


# Measuring ------------------------------------------------------------------------------------------------------------


REPORTS = our_report, monai_report, surface_distance_report


def report_work() -> tuple[str, np.ndarray, list[Contender]]:
    maps = organ_and_tumour()
    contenders = [make(*maps, SPACING, 3) for make in REPORTS]
    return "Dice, HD, HD95, average, surface Dice; 256 x 256 x 128, 2 labels", exact(*maps, SPACING, [1, 2]), contenders


def case_work() -> tuple[str, np.ndarray, list[Contender]]:
    name, prediction, truth, spacing = real_case()
    classes = int(truth.max()) + 1
    size = " x ".join(str(n) for n in truth.shape[::-1])
    truths = exact(prediction, truth, spacing, list(range(1, classes)))
    contenders = [make(prediction, truth, spacing, classes) for make in REPORTS]
    return f"the same; {name}, {size}, {classes - 1} labels", truths, contenders


def hd95_work() -> tuple[str, np.ndarray, list[Contender]]:
    maps = organ_and_tumour()
    contenders = [our_hd95(*maps), monai_hd95(*maps)]
    return "HD95 alone; 256 x 256 x 128, 2 labels", exact(*maps, SPACING, [1, 2])[:, 2], contenders


def lesions_work() -> tuple[str, np.ndarray, list[Contender]]:
    maps = lesions()
    contenders = [our_lesions(*maps), scipy_lesions(*maps)]
    if importlib.util.find_spec("panoptica"):
        contenders.append(panoptica_lesions(*maps))
    counts = [sum((i % 9 != 0) is real and (i % 7 != 0) is made for i in range(64)) for real, made in PLANNED]
    return "lesions found, missed, made up; 256 x 256 x 128", np.array(counts), contenders


PLANNED = ((True, True), (True, False), (False, True))  # in the truth, in the prediction
WORK = {"report": report_work, "case": case_work, "hd95": hd95_work, "lesions": lesions_work}


@dataclass
class Times:
    """Of each turn, per call: milliseconds on the clock and of processor time."""

    clock: list[float]
    processor: list[float]

    def add(self, run: Callable[[], Any]) -> None:
        """One turn: as many calls as fill a twentieth of a second, one at least."""
        clock, processor, calls = time.perf_counter(), time.process_time(), 0
        while calls == 0 or time.perf_counter() - clock < 0.05:
            run()
            calls += 1
        self.clock.append(1000 * (time.perf_counter() - clock) / calls)
        self.processor.append(1000 * (time.process_time() - processor) / calls)


def rows(work: str, rounds: int) -> Iterator[str]:
    """The lines of one table's work; raises ValueError where a contender is wrong by its own definition."""
    title, truth, contenders = WORK[work]()
    off = [float(np.abs(c.said(c.run()) - truth).max()) for c in contenders]  # also warms up
    for contender, difference in zip(contenders, off, strict=True):
        if not difference <= contender.allowed:
            raise ValueError(f"{title}: {contender.name} is off by {difference}, allowed is {contender.allowed}")
    times = [Times([], []) for _ in contenders]
    for _ in range(rounds):
        for contender, measured in zip(contenders, times, strict=True):
            measured.add(contender.run)
    for contender, difference, measured in zip(contenders, off, times, strict=True):
        ratio = statistics.median(measured.clock) / statistics.median(times[0].clock)
        apart = "defined otherwise" if contender.allowed == np.inf else f"{difference:.0e}" if difference else "0"
        yield (
            f"| {title} | {contender.name} | {digits(statistics.median(measured.clock))} ms "
            f"| {digits(min(measured.clock))} to {digits(max(measured.clock))} ms "
            f"| {digits(statistics.median(measured.processor))} ms | {ratio:.1f} | {apart} |"
        )
        title = ""


def digits(milliseconds: float) -> str:
    return f"{milliseconds:.{0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", nargs="*", help=f"what to measure, of {', '.join(WORK)}; everything by default")
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--rounds", type=int, default=5, help="how often each takes its turn")
    arguments = parser.parse_args()
    if unknown := set(arguments.work) - set(WORK):
        parser.error(f"there is no work {', '.join(sorted(unknown))}; there is {', '.join(WORK)}")
    warnings.simplefilter("ignore")  # of the peers, about names that move
    lines = [
        "| work | with | median | range | processor time | times ours | off the exact values by |",
        "|---|---|---|---|---|---|---|",
    ]
    for work in arguments.work or WORK:
        lines += rows(work, arguments.rounds)
    made = "\n".join(lines)
    print(made)
    if arguments.output:
        arguments.output.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
