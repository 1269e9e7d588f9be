"""What the classifiers take: small pictures, and the stretches of a recording around its beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from medlab import cohorts, gpu, images
from medlab.wfdb import Record
from medlab.zoo.recipe import Recipe


def of(recipe: Recipe, cohort: cohorts.Cohort, parts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """All that a classifier sees of some parts of a cohort: inputs (N, C, *S) float32 and classes (N,) int64."""
    read = _pictures if recipe.task == "classification" else _beats
    values, classes = zip(*(read(recipe, cohort, part) for part in parts), strict=True)
    return torch.from_numpy(np.concatenate(values)), torch.from_numpy(np.concatenate(classes))


def _pictures(recipe: Recipe, cohort: cohorts.Cohort, part: str) -> tuple[np.ndarray, np.ndarray]:
    pictures, classes = cohort.arrays(part)
    return picture_inputs(pictures), classes


def picture_inputs(pictures: np.ndarray) -> np.ndarray:
    """Pictures (N, H, W) of any brightness as (N, 1, H, W) float32, each with mean 0 and standard deviation 1."""
    return np.stack([gpu.normalise(picture[None])[None, 0] for picture in pictures])


def picture(image: sitk.Image, size: Sequence[int]) -> np.ndarray:
    """One picture as (1, 1, *size), brought to the size of the training pictures.

    Raises:
        ValueError: the image is not 2D and grey.
    """
    if image.GetDimension() != 2 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(
            f"the model takes a grey 2D picture, got {image.GetDimension()} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} channels"
        )
    values = torch.from_numpy(images.array(image).astype(np.float64))[None, None]
    if tuple(values.shape[2:]) != tuple(size):
        values = torch.nn.functional.interpolate(values, tuple(size), mode="bilinear", antialias=True)
    return picture_inputs(values[0].numpy())


# --- Beats -----------------------------------------------------------------------------------------------------------


def _beats(recipe: Recipe, cohort: cohorts.Cohort, part: str) -> tuple[np.ndarray, np.ndarray]:
    windows, classes = [], []
    for case in cohort.part(part):
        truth = case.target.classes
        kept = truth < len(recipe.data["label_names"])  # unknown and paced beats are too few to learn
        windows.append(beat_inputs(case.record(), recipe.sampling)[kept])
        classes.append(truth[kept])
    return np.concatenate(windows), np.concatenate(classes)


def beat_inputs(record: Record, sampling: dict[str, Any]) -> np.ndarray:
    """The stretch around every beat, with the time since the last beat and to the next.

    Args:
        record: with the samples of its R peaks.
        sampling: `hz`, `before_s`, `samples`: where a stretch begins and how it is sampled.

    Returns:
        (beats, 4, samples) float32: the first lead about its median, in units of the recording's typical R peak; the
        same less the recording's typical beat (the median at each place); then, constant over time, the distance to
        the previous and to the next beat over the median distance of the surrounding 40 beats, in powers of 1.25.
        None of it needs a label.

    Raises:
        ValueError: the recording has fewer than 3 beats or its first lead is constant.
    """
    peaks, signal = record.beat_samples, record.signals_mv[:, 0].astype(np.float64)
    if len(peaks) < 3:
        raise ValueError(f"record {record.name} has {len(peaks)} beats; at least 3 are needed to know its rhythm")
    signal = signal - np.median(signal)
    height = np.median([np.abs(signal[max(0, p - 18) : p + 19]).max() for p in peaks])
    if not height > 0:
        raise ValueError(f"record {record.name} is constant around its beats: its first lead shows no heart")
    at = np.arange(sampling["samples"]) / sampling["hz"] - sampling["before_s"]  # s
    places = (peaks[:, None] + at * record.sampling_hz).clip(0, len(signal) - 1)  # (beats, samples)
    windows = (np.interp(places, np.arange(len(signal)), signal) / height).clip(-8, 8)
    shapes = np.stack([windows, windows - np.median(windows, axis=0)], axis=1)  # (beats, 2, samples)
    rhythm = _rhythm(peaks / record.sampling_hz)[:, :, None].repeat(len(at), axis=2)  # (beats, 2, samples)
    return np.concatenate([shapes, rhythm], axis=1).astype(np.float32)


def _rhythm(times_s: np.ndarray, around: int = 20) -> np.ndarray:
    """(beats, 2): distance to the previous and to the next beat over the median distance nearby, in powers of 1.25."""
    gaps = np.diff(times_s)
    usual = np.array([np.median(gaps[max(0, i - around) : i + around]) for i in range(len(times_s))])
    both = np.stack([np.concatenate([gaps[:1], gaps]), np.concatenate([gaps, gaps[-1:]])], axis=1)
    return (np.log(both / usual[:, None]) / np.log(1.25)).clip(-6, 6)


# --- Scores -----------------------------------------------------------------------------------------------------------


def score(recipe: Recipe, found: np.ndarray, classes: Tensor) -> float:
    """What validation goes by: AUC of a picture's class; of beats, the mean over classes of the F1 score."""
    truth = classes.numpy()
    if recipe.task == "classification":
        return area_under_curve(found[:, 1], truth)
    return float(np.mean([f1 for _, _, f1 in beat_scores(found.argmax(1), truth).values()]))


def area_under_curve(scores: np.ndarray, truth: np.ndarray) -> float:
    """The chance that a case of class 1 scores above one of class 0; ties count half. NaN without both classes.

    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # ties share their mean rank
    ones = int(truth.sum())
    if ones in (0, len(truth)):
        return float("nan")
    return float((ranks[truth == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(truth) - ones)))


def beat_scores(prediction: np.ndarray, truth: np.ndarray) -> dict[int, tuple[float, float, float]]:
    """Sensitivity, positive predictivity and F1 of every class that occurs in the truth; 0 where nothing was found."""
    scores = {}
    for label in np.unique(truth).tolist():
        right = np.sum((prediction == label) & (truth == label))
        true, said = np.sum(truth == label), np.sum(prediction == label)
        scores[label] = (right / true, right / max(said, 1), 2 * right / (true + said))
    return scores
