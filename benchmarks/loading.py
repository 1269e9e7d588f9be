"""Augmented patches per second of CPU time: ours against MONAI's and TorchIO's loaders, as a Markdown table.

    python benchmarks/loading.py [--output docs/loading.md]

All deal batches of 8 patches of 32 x 48 x 32 out of the same volumes, which each holds in memory: half of the patches
on labelled voxels, every patch rotated, scaled and shifted in one resampling, its contrast and brightness changed,
noise added. One torch thread each; CPU time is that of all threads and child processes. The contenders take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import torchio as tio
from monai import transforms as mt
from monai.data import CacheDataset, DataLoader, ThreadDataLoader, set_track_meta

import medlab
from medlab import gpu
from medlab.augment import Augment

PATCH = (32, 48, 32)
BATCH = 8
KEYS = ("image", "label")
SHIFT = tuple(0.05 * n for n in PATCH)  # 5 % of the patch in voxels
Batch = tuple[torch.Tensor, torch.Tensor]


def cases(count: int) -> tuple[str, list[Any]]:
    """Real hippocampi where MEDLAB_MIRROR or the data folder has them, else synthetic brains."""
    try:
        return "hippocampus MR", medlab.load("msd-hippocampus").train[:count]
    except OSError:
        return "synthetic brain MR", medlab.load("brain").train[: count // 8]


def resident(packed: Any, volumes: list[Any]) -> Iterator[Batch]:
    data = gpu.Resident(packed, dims=3, patch=PATCH, multiple=8, augment=Augment())
    while True:
        yield data.batch(BATCH)


def prefetch(packed: Any, volumes: list[Any]) -> Iterator[Batch]:
    with gpu.Prefetch(packed, dims=3, patch=PATCH, multiple=8, augment=Augment(), workers=2) as data:
        while True:
            yield data.batch(BATCH)


def monai_steps(samples: int, **affine: Any) -> mt.Compose:
    size = {"spatial_size": PATCH}
    return mt.Compose(
        [
            mt.SpatialPadd(KEYS, **size),  # what stands before the first random step is cached
            mt.RandCropByPosNegLabeld(KEYS, label_key="label", pos=1, neg=1, num_samples=samples, **size),
            mt.RandAffined(
                KEYS,
                prob=1,
                rotate_range=(np.pi / 12,) * 3,
                scale_range=(0.15,) * 3,
                translate_range=SHIFT,
                mode=("bilinear", "nearest"),
                padding_mode="border",
                **affine,
            ),
            mt.RandScaleIntensityd("image", factors=0.2, prob=1),
            mt.RandShiftIntensityd("image", offsets=0.2, prob=1),
            mt.RandGaussianNoised("image", prob=1, std=0.1),
        ]
    )


def as_monai(volumes: list[Any]) -> list[dict[str, torch.Tensor]]:
    return [{"image": image, "label": labels[None]} for image, labels in volumes]


def monai_default(packed: Any, volumes: list[Any]) -> Iterator[Batch]:
    """As it comes, with metadata; they are switched on for its turn alone."""
    set_track_meta(True)
    data = CacheDataset(as_monai(volumes), monai_steps(1), progress=False)
    while True:
        for batch in DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True):
            set_track_meta(False)
            yield batch["image"], batch["label"][:, 0]
            set_track_meta(True)


def monai_tuned(packed: Any, volumes: list[Any]) -> Iterator[Batch]:
    """No metadata, four patches out of a volume, the identity grid kept, a thread that works ahead."""
    data = CacheDataset(as_monai(volumes), monai_steps(4, spatial_size=PATCH, cache_grid=True), progress=False)
    while True:
        for batch in ThreadDataLoader(data, batch_size=BATCH // 4, shuffle=True, drop_last=True, num_workers=0):
            yield batch["image"], batch["label"][:, 0]


def torchio_queue(packed: Any, volumes: list[Any]) -> Iterator[Batch]:
    """The whole volume is augmented; then four patches are taken out of it. It has no brightness and contrast."""
    steps = tio.Compose(
        [
            tio.CropOrPad(tuple(max(int(n), 48) for n in np.max([v[1].shape for v in volumes], axis=0))),
            tio.RandomAffine(scales=(0.85, 1.15), degrees=15, translation=2, isotropic=True),
            tio.RandomNoise(std=(0, 0.1)),
        ]
    )
    subjects = [
        tio.Subject(image=tio.ScalarImage(tensor=image), label=tio.LabelMap(tensor=labels[None]))
        for image, labels in volumes
    ]
    queue = tio.Queue(
        tio.SubjectsDataset(subjects, transform=steps),
        max_length=64,
        samples_per_volume=4,
        sampler=tio.LabelSampler(PATCH, label_probabilities={0: 1, 1: 0.5, 2: 0.5}),
        num_workers=0,
    )
    while True:
        for batch in tio.SubjectsLoader(queue, batch_size=BATCH, drop_last=True):
            yield batch["image"][tio.DATA], batch["label"][tio.DATA][:, 0]


CONTENDERS: dict[str, tuple[Callable[..., Iterator[Batch]], str]] = {
    "medlab Resident": (resident, "every patch"),
    "medlab Prefetch, 2 threads": (prefetch, "every patch"),
    "MONAI CacheDataset, DataLoader": (monai_default, "every patch"),
    "MONAI tuned: ThreadDataLoader, no metadata, 4 crops a volume": (monai_tuned, "every patch"),
    "TorchIO Queue, 4 patches a volume": (torchio_queue, "every volume"),
}


def cpu_seconds() -> float:
    """Of this process and its living children."""
    children = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return time.process_time() + sum(t.user + t.system for t in children)


def check(name: str, batch: Batch) -> None:
    """That all do the same work: sizes, labels, and grey values that are still z-scores."""
    images, labels = (torch.as_tensor(part) for part in batch)
    assert images.shape == (BATCH, 1, *PATCH), (name, images.shape)
    assert labels.shape == (BATCH, *PATCH), (name, labels.shape)
    assert set(labels.unique().tolist()) <= set(range(8)), name
    assert 0.3 < float(images.std()) < 3, (name, float(images.std()))


def measure(source: Iterator[Batch], batches: int) -> tuple[float, float]:
    """Patches per second of CPU time and of wall time."""
    started, clock = cpu_seconds(), time.perf_counter()
    for _ in range(batches):
        next(source)
    return BATCH * batches / (cpu_seconds() - started), BATCH * batches / (time.perf_counter() - clock)


def table(rates: dict[str, list[tuple[float, float]]], what: str) -> str:
    ours = statistics.median(rate for rate, _ in rates["medlab Resident"])
    lines = [
        f"| {what}, 32 x 48 x 32 | patches per CPU second | Resident is faster by | by the clock | augmented anew |",
        "|---|---|---|---|---|",
    ]
    for name, found in rates.items():
        cpu, wall = (statistics.median(column) for column in zip(*found, strict=True))
        lines.append(f"| {name} | {cpu:.0f} | {ours / cpu:.2f} | {wall:.0f} /s | {CONTENDERS[name][1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each contender takes")
    parser.add_argument("--batches", type=int, default=30, help="batches a turn")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers, about their own dependencies
    torch.set_num_threads(1)
    set_track_meta(False)
    medlab.seed(0)
    what, chosen = cases(64)
    packed = gpu.packing.Packed(chosen)
    host = gpu.Prefetch(packed, workers=0)
    volumes = [host.volume(i) for i in range(len(host))]
    sources = {name: make(packed, volumes) for name, (make, _) in CONTENDERS.items()}
    for name, source in sources.items():
        for _ in range(4):
            check(name, next(source))
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    for _ in range(arguments.rounds):
        for name, source in sources.items():
            rates[name].append(measure(source, arguments.batches))
    made = table(rates, what)
    print(made)
    if arguments.output:
        arguments.output.write_text(made + "\n", encoding="utf-8")
    for source in sources.values():
        source.close()


if __name__ == "__main__":
    main()
