"""Whether the data keeps a CUDA GPU busy: training with ours against the same loop on one constant batch.

    python benchmarks/gpu.py [--output docs/gpu.md]

A 3D U-Net trains on patches of 32 x 48 x 32 with every patch augmented anew. The constant batch needs no loading at
all, so its rate is what the network alone allows. A profile says how much of the copying from the host runs while the
network computes; and the last table, on real hippocampi, how long it takes to a validation Dice of 0.88.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import medlab
from medlab import gpu, infer, losses, metrics, train
from medlab.augment import Augment
from medlab.models.unet import UNet

PATCH = (32, 48, 32)
WIDTHS = (32, 64, 128, 256)
OPTIONS: dict[str, Any] = {"dims": 3, "patch": PATCH, "multiple": 8, "foreground": 0.5}


def network(data: Any) -> UNet:
    return UNet(data.channels, data.classes, WIDTHS, dims=3)


def cases() -> tuple[str, Any]:
    """Real hippocampi where MEDLAB_MIRROR or the data folder has them, else synthetic brains."""
    try:
        return "hippocampus MR", medlab.load("msd-hippocampus")
    except OSError:
        return "synthetic brain MR", medlab.load("brain")


class Loop:
    """Training steps on batches from anywhere, as `train.fit` takes them."""

    def __init__(self, data: Any, device: torch.device) -> None:
        self.device, self.precision = device, gpu.precision(device)
        self.layout = self.precision.memory_format(3)
        self.model = network(data).to(device).to(memory_format=self.layout).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def step(self, batch: tuple[Tensor, Tensor]) -> None:
        """One step of the optimiser."""
        images, labels = batch
        with self.precision.autocast(self.device):
            logits = self.model(images.to(memory_format=self.layout))
        value = losses.cross_entropy_dice(logits, labels)
        self.optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=1.0)
        self.optimiser.step()

    def rate(self, deal: Callable[[], tuple[Tensor, Tensor]], steps: int) -> float:
        """Batches per second."""
        wait(self.device)
        started = time.perf_counter()
        for _ in range(steps):
            self.step(deal())
        wait(self.device)
        return steps / (time.perf_counter() - started)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def host_waits(deal: Callable[[], object], batches: int = 5) -> float:
    """How often a batch makes the host wait for the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(batches):
                deal()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught) / batches


def overlap(spans: list[tuple[bool, float, float]]) -> tuple[float, float]:
    """Of (is a copy from the host, start, end): the time of copying, and how much of it something computes, 0 to 1."""
    busy: list[list[float]] = []  # stretches in which a kernel runs
    for _, start, end in sorted(span for span in spans if not span[0]):
        if busy and start <= busy[-1][1]:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([start, end])
    copies = [(start, end) for is_copy, start, end in spans if is_copy]
    total = sum(end - start for start, end in copies)
    hidden = sum(max(0.0, min(end, b) - max(start, a)) for start, end in copies for a, b in busy)
    return total, hidden / total if total else 1.0


def profiled(loop: Loop, deal: Callable[[], tuple[Tensor, Tensor]], steps: int = 20) -> tuple[float, float]:
    """Milliseconds a batch spends on the way to the device, and the share of it that is hidden."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        loop.rate(deal, steps)
    events = [event for event in found.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    spans = [("HtoD" in e.name, e.time_range.start, e.time_range.end) for e in events if "Memset" not in e.name]
    total, hidden = overlap(spans)  # microseconds
    return total / 1e3 / steps, hidden


def throughput(chosen: list[Any], device: torch.device, *, batch: int, steps: int, rounds: int) -> list[str]:
    packed = gpu.packing.Packed(chosen)
    resident = gpu.Resident(packed, device=device, augment=Augment(), **OPTIONS)
    lines = ["| loading | batches /s | of the constant batch | host waits a batch | copying a batch, hidden |"]
    lines.append("|---|---|---|---|---|")
    with gpu.Prefetch(packed, device=device, augment=Augment(), **OPTIONS) as prefetch:
        constant = resident.batch(batch)
        deals = {
            "one constant batch": lambda: constant,
            "Resident": lambda: resident.batch(batch),
            "Prefetch": lambda: prefetch.batch(batch),
        }
        loop = Loop(resident, device)
        loop.rate(deals["Prefetch"], 10)  # cuDNN chooses its kernels
        rates: dict[str, list[float]] = {name: [] for name in deals}
        for _ in range(rounds):
            for name, deal in deals.items():
                rates[name].append(loop.rate(deal, steps))
        most = statistics.median(rates["one constant batch"])
        for name, deal in deals.items():
            rate = statistics.median(rates[name])
            waits, (copying, hidden) = host_waits(deal), profiled(loop, deal)
            lines.append(
                f"| {name} | {rate:.1f} | {rate / most:.1%} | {waits:.1f} "
                f"| {f'{copying:.2f} ms, {hidden:.0%}' if copying > 0.001 else 'none'} |"
            )
    return lines


def time_to_dice(cohort: Any, device: torch.device, *, steps: int, wanted: float = 0.88) -> str:
    """Seconds of training, validation left out, until the validation patients' mean Dice is reached."""
    training = gpu.Resident(cohort.train, device=device, augment=Augment(), **OPTIONS)
    validation = gpu.Resident(cohort.validation, device=device, dims=3, multiple=8)
    spent = 0.0
    began = time.perf_counter()
    reached: list[float] = []

    def validate(model: nn.Module) -> float:
        nonlocal spent
        wait(device)
        started = time.perf_counter()
        score = metrics.mean_dice(infer.dice_table(model, validation))
        wait(device)
        if score >= wanted:
            reached.append(started - began - spent)
        spent += time.perf_counter() - started
        return score

    history = train.fit(
        network(training),
        training,
        steps=steps,
        batch_size=8,
        peak_rate=5e-3,
        validate=validate,
        validate_every=100,
        progress=False,
    )
    said = f"after {reached[0]:.0f} s" if reached else f"not within {steps} steps"
    return (
        f"Hippocampus, validation Dice {wanted}: {said} of training; all {steps} steps took "
        f"{history.seconds - spent:.0f} s and reached {history.best_dice:.3f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--steps", type=int, default=50, help="batches a turn")
    arguments = parser.parse_args()
    made = "No CUDA GPU here: not measured."
    if torch.cuda.is_available():
        device = torch.device("cuda")
        medlab.seed(0)
        torch.backends.cudnn.benchmark = True  # sizes never change
        what, cohort = cases()
        lines = [f"{torch.cuda.get_device_name(device)}, {what}, batches of 32 patches of 32 x 48 x 32.", ""]
        lines += throughput(cohort.train[:64], device, batch=32, steps=arguments.steps, rounds=5)
        if "hippocampus" in what:
            lines += ["", time_to_dice(cohort, device, steps=1500)]
        made = "\n".join(lines)
    print(made)
    if arguments.output:
        arguments.output.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
