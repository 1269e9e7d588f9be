"""Training time to a mean Dice on hippocampus validation patients, ours and MONAI's, in one run, as a Markdown table.

    MEDLAB_MIRROR=... python benchmarks/time_to_dice.py [--output docs/time_to_dice.md] [--seeds 3] [--goals 0.8 0.85]

Ours is `medlab.train.fit` with `gpu.Resident`, batches augmented as a whole, and a U-Net that works at half the
resolution. The peer is MONAI's `UNet` (which halves the resolution in its first convolution) with MONAI's own
transforms, `CacheDataset`, `ThreadDataLoader` and `DiceCELoss`, in bfloat16 and channels last where ours is, with batch
norm, AdamW and the same kind of schedule. Both were tuned on the same validation patients with seed 0, ours by ten
short tries and the peer by six: rate, batch, steps, widths. Same split, same patches (32 x 48 x 32, half of them around
foreground), same augmentation strengths; both read the images once before the clock starts, and both predict whole
volumes for validation, while the clock stands still.
The seeds alternate; the time of a run that does not get there within its steps counts as more than all of them.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import medlab
from medlab import gpu, images, infer, metrics, train
from medlab.augment import Augment
from medlab.models.unet import UNet

PATCH, PADDED, CLASSES = (32, 48, 32), (48, 64, 48), 3
CPU = torch.device("cpu")
EVERY = 25  # steps between two validations


@dataclass
class Run:
    """One training: when it stood where.

    Attributes:
        seconds: of training, without validation, at every validation.
        dice: mean over patients and classes then.
        total_s: of all its steps.
    """

    seconds: list[float] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    total_s: float = 0.0

    def time_to(self, goal: float) -> float:
        """Seconds to the first validation that reached the goal; infinite if none did."""
        return next((s for s, d in zip(self.seconds, self.dice, strict=True) if d >= goal), math.inf)


class Clock:
    """Counts the seconds of training and stands still while the model is scored."""

    def __init__(self, score: Callable[[nn.Module], float]) -> None:
        self.run, self.score = Run(), score
        self.started, self.paused = self.now(), 0.0

    now = staticmethod(time.perf_counter)

    def __call__(self, model: nn.Module) -> float:
        """Score the model and note the time."""
        begun = self.now()
        self.run.seconds.append(begun - self.started - self.paused)
        self.run.dice.append(self.score(model))
        self.paused += self.now() - begun
        return self.run.dice[-1]

    def stop(self) -> Run:
        """The run, with its total."""
        self.run.total_s = self.now() - self.started - self.paused
        return self.run


def ours(cohort: Any, seed: int, steps: int) -> Run:
    gpu.seed(seed)
    augment = Augment(rotation_degrees=15, scale_percent=15, shift_percent=5)
    data = gpu.Resident(cohort.train, dims=3, patch=PATCH, foreground=0.5, augment=augment)
    held_out = gpu.Resident(cohort.validation, dims=3)
    model = UNet(1, CLASSES, (24, 48, 96), dims=3, fold=2)
    infer.dice_table(model, held_out)  # warms up
    clock = Clock(lambda net: metrics.mean_dice(infer.dice_table(net, held_out)))
    plan = {"steps": steps, "batch_size": 4, "peak_rate": 8e-3, "ema": 0.9, "progress": False}
    train.fit(model, data, validate=clock, validate_every=EVERY, **plan)
    return clock.stop()


def arrays(cases: Sequence[Any]) -> list[dict[str, np.ndarray]]:
    """What MONAI's transforms begin with: arrays with a channel axis."""
    return [
        {
            "image": images.array(case.image()).astype(np.float32)[None],
            "label": images.array(case.labels()).astype(np.uint8)[None],
        }
        for case in cases
    ]


def transforms() -> tuple[Any, Any]:
    """MONAI's: what training sees, and what validation sees."""
    from monai import transforms as mt

    keys = ["image", "label"]
    fixed = [mt.ToTensord(keys), mt.NormalizeIntensityd("image"), mt.SpatialPadd(keys, PADDED)]
    chance = [
        mt.RandCropByPosNegLabeld(keys, "label", PATCH, pos=1, neg=1, num_samples=1),
        mt.RandAffined(
            keys,
            prob=1.0,
            rotate_range=(math.radians(15),) * 3,
            scale_range=(0.15,) * 3,
            translate_range=tuple(0.05 * n for n in PATCH),
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
            cache_grid=True,
        ),
        mt.RandShiftIntensityd("image", 0.2, prob=1.0),
        mt.RandScaleIntensityd("image", 0.2, prob=1.0),
        mt.RandGaussianNoised("image", prob=1.0, std=0.1),
    ]
    return mt.Compose([*fixed, *chance]), mt.Compose(fixed[:2])


def theirs(cohort: Any, seed: int, steps: int, widths: Sequence[int], batch: int, rate: float) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MONAI imports and does is not ours to mend
        return monai_run(cohort, seed, steps, widths, batch, rate)


def monai_run(cohort: Any, seed: int, steps: int, widths: Sequence[int], batch: int, rate: float) -> Run:
    from monai.data import CacheDataset, ThreadDataLoader
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet as MonaiUNet
    from monai.utils import set_determinism

    set_determinism(seed)
    moving, still = transforms()
    data = CacheDataset(arrays(cohort.train), moving, progress=False)
    held_out = [still(case) for case in arrays(cohort.validation)]
    loader = ThreadDataLoader(data, batch_size=batch, shuffle=True, num_workers=0, drop_last=True)
    strides = (2,) * (len(widths) - 1)
    model = MonaiUNet(3, 1, CLASSES, widths, strides, num_res_units=2, norm="batch")
    precision = gpu.precision(CPU)
    layout = precision.memory_format(3)
    model = model.to(memory_format=layout)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.2)

    def score(net: nn.Module) -> float:
        return metrics.mean_dice(np.stack([case_dice(net, case, layout, precision) for case in held_out]))

    score(model)  # warms up
    clock, step = Clock(score), 0
    while step < steps:
        for dealt in loader:
            model.train()
            with precision.autocast(CPU):
                logits = model(dealt["image"].as_tensor().to(memory_format=layout))
            optimiser.zero_grad()
            loss(logits.float(), dealt["label"].as_tensor()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            if step % EVERY == 0 or step == steps:
                clock(model)
            if step == steps:
                break
    return clock.stop()


def case_dice(net: nn.Module, case: dict[str, Any], layout: torch.memory_format, precision: gpu.Precision) -> Any:
    """Dice of the classes of one whole volume, padded to what the network takes."""
    image: Tensor = case["image"].as_tensor()[None]
    size = image.shape[2:]
    image = nn.functional.pad(image, [p for n in reversed(size) for p in (0, -n % 16)])
    net.eval()
    with torch.inference_mode(), precision.autocast(CPU):
        labels = net(image.to(memory_format=layout)).argmax(1)[0]
    cut = labels[tuple(slice(0, n) for n in size)]
    return metrics.dice_per_class(cut, case["label"].as_tensor()[0].to(torch.uint8), range(1, CLASSES))


def shown(seconds: float) -> str:
    return f"{seconds:.1f} s" if math.isfinite(seconds) else "not reached"


def table(runs: dict[str, list[Run]], goals: Sequence[float]) -> str:
    seeds = len(next(iter(runs.values())))
    unit = ", CPU seconds" if Clock.now is time.process_time else ""
    lines = [
        f"| hippocampus, {seeds} seeds, {torch.get_num_threads()} threads{unit} | "
        + " | ".join(f"to Dice {goal:.2f} | of each seed" for goal in goals)
        + " | Dice at the end | training |",
        "|---|" + "---|" * (2 * len(goals) + 2),
    ]
    for name, made in runs.items():
        cells = []
        for goal in goals:
            times = sorted(run.time_to(goal) for run in made)
            cells += [shown(statistics.median(times)), ", ".join(map(shown, times))]
        end = statistics.median(run.dice[-1] for run in made)
        total = statistics.median(run.total_s for run in made)
        lines.append(f"| {name} | {' | '.join(cells)} | {end:.3f} | {total:.1f} s |")
    first, second = runs.values()
    for goal in goals:
        mine, peer = (statistics.median(run.time_to(goal) for run in made) for made in (first, second))
        lines += ["", f"To Dice {goal:.2f}: {verdict(mine, peer, statistics.median(r.total_s for r in second))}"]
    return "\n".join(lines)


def verdict(mine: float, peer: float, peer_total: float) -> str:
    """The ratio of the medians, and whether it is the half that is aimed at."""
    if not math.isfinite(mine):
        return "ours does not get there in its steps."
    if not math.isfinite(peer):
        return f"ours takes less than {mine / peer_total:.2f} of the peer's time, which does not get there."
    aim = "the target of a half is met" if mine <= peer / 2 else "the target of a half is NOT met"
    return f"ours takes {mine / peer:.2f} of the peer's time; {aim}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each")
    parser.add_argument("--goals", type=float, nargs="+", default=[0.8, 0.85], help="mean Dice to reach")
    parser.add_argument(
        "--cpu", action="store_true", help="CPU seconds of the process, where others use the machine too"
    )
    parser.add_argument("--our-steps", type=int, default=250)
    parser.add_argument("--their-steps", type=int, default=250)
    parser.add_argument("--their-batch", type=int, default=4)
    parser.add_argument("--their-rate", type=float, default=8e-3)
    parser.add_argument("--their-widths", type=int, nargs="+", default=[16, 32, 64])
    arguments = parser.parse_args()
    if not os.environ.get("MEDLAB_MIRROR"):
        print("MEDLAB_MIRROR is not set: the hippocampus data are fetched from their official address", file=sys.stderr)
    if arguments.cpu:
        Clock.now = staticmethod(time.process_time)
    cohort = medlab.load("msd-hippocampus")
    runs: dict[str, list[Run]] = {"medlab": [], "MONAI": []}
    peer = (arguments.their_steps, arguments.their_widths, arguments.their_batch, arguments.their_rate)
    for seed in range(arguments.seeds):
        runs["medlab"].append(ours(cohort, seed, arguments.our_steps))
        runs["MONAI"].append(theirs(cohort, seed, *peer))
        for name, made in runs.items():
            curve = zip(made[-1].seconds, made[-1].dice, strict=True)
            print(name, seed, " ".join(f"{s:.1f}:{d:.3f}" for s, d in curve), file=sys.stderr)
    made = table(runs, arguments.goals)
    print(made)
    if arguments.output:
        arguments.output.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
