"""Prediction of a whole volume, ours and MONAI's sliding window, in one run, as a Markdown table.

    python benchmarks/sliding_window.py [--output docs/sliding_window.md]

One network, trained for a few steps so that its labels mean something, predicts 128 x 128 x 64 voxels. Ours is
`medlab.infer.predict`: at once, or in tiles with a halo where the memory asks for it. The peer is
`sliding_window_inference` with windows of 64 x 64 x 64, overlap 0.5 and Gaussian blending, followed by `argmax`: as
it comes (float32), then with the number and memory format that ours takes. Tiles must equal the whole volume within
1e-6 in float32, and the labels of all must agree in 95 % of the voxels. Every round runs all once; times are medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from medlab import gpu, infer, train
from medlab.models.unet import UNet

SIZE = (64, 128, 128)  # (D, H, W)
WIDTHS = (16, 32, 64)
ROI = (64, 64, 64)
CPU = torch.device("cpu")
FLOAT32 = gpu.Precision(torch.float32, True, "asked for")


class Clouds:
    """Smooth noise in noise; the labels are its two ends."""

    def __init__(self) -> None:
        self.device, self.dims, self.classes, self.names = CPU, 3, 3, ["clouds"]
        self.generator = torch.Generator().manual_seed(0)
        self.last_cases = torch.zeros(0, dtype=torch.long)

    def batch(self, size: int, shape: tuple[int, ...] = (32, 32, 32)) -> tuple[Tensor, Tensor]:
        """Volumes (size, 1, *shape) and their labels."""
        self.last_cases = torch.zeros(size, dtype=torch.long)
        coarse = torch.randn(size, 1, *(n // 8 for n in shape), generator=self.generator)
        smooth = F.interpolate(coarse, shape, mode="trilinear")
        labels = (smooth[:, 0] > 0.3).long() + (smooth[:, 0] > 0.9).long()
        return smooth + torch.randn(smooth.shape, generator=self.generator) / 2, labels


def peer(model: UNet, volume: Tensor, precision: gpu.Precision) -> Tensor:
    """MONAI's answer: labels (D, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MONAI imports is not ours to mend
        from monai.inferers import sliding_window_inference

        layout = precision.memory_format(3)
        inputs = volume[None].to(memory_format=layout)
        with torch.inference_mode(), precision.autocast(CPU):
            logits = sliding_window_inference(inputs, ROI, 4, model, overlap=0.5, mode="gaussian")
        return logits.argmax(1)[0]  # type: ignore[union-attr]


def contenders(model: UNet, volume: Tensor) -> dict[str, Callable[[], Tensor]]:
    whole_mib = needed_mib(model, volume)
    precision = gpu.precision(CPU)
    as_it_comes = gpu.Precision(torch.float32, False, "as it comes")

    def with_weights_in(layout: torch.memory_format, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            model.to(memory_format=layout)  # type: ignore[call-overload]
            return call()

        return run

    last, first = precision.memory_format(3), torch.contiguous_format
    return {
        "medlab, at once": with_weights_in(last, lambda: infer.predict(model, volume, memory_mib=2 * whole_mib)),
        "medlab, tiles in half the memory": with_weights_in(
            last, lambda: infer.predict(model, volume, memory_mib=whole_mib / 2)
        ),
        "MONAI sliding window, as it comes": with_weights_in(first, lambda: peer(model, volume, as_it_comes)),
        f"MONAI sliding window, {precision.title}": with_weights_in(last, lambda: peer(model, volume, precision)),
    }


def needed_mib(model: UNet, volume: Tensor) -> float:
    """What the network takes for the whole volume, as `infer` estimates it."""
    from medlab.infer import probe

    fixed, voxel = probe.needs(model)
    return (fixed + voxel * volume[0].numel()) / 2**20


def exact(model: UNet, volume: Tensor) -> float:
    """The largest difference between tiles and the whole volume, in float32."""
    chosen, gpu.precision = gpu.precision, lambda _: FLOAT32
    try:
        whole_mib = needed_mib(model, volume)
        whole = infer.probabilities(model, volume, memory_mib=2 * whole_mib)
        return float((infer.probabilities(model, volume, memory_mib=whole_mib / 2) - whole).abs().max())
    finally:
        gpu.precision = chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    arguments = parser.parse_args()
    gpu.seed(0)
    data = Clouds()
    model = UNet(1, 3, WIDTHS, dims=3)
    train.fit(model, data, steps=40, batch_size=2, progress=False)
    images, truth = data.batch(1, SIZE)
    volume = images[0]
    difference = exact(model, volume)
    assert difference <= 1e-6, difference
    calls = contenders(model, volume)
    times: dict[str, list[float]] = {name: [] for name in calls}
    labels: dict[str, Tensor] = {}
    for round_ in range(arguments.rounds + 1):  # the first warms up
        for name, call in calls.items():
            started = time.perf_counter()
            labels[name] = call()
            if round_:
                times[name].append(time.perf_counter() - started)
    made = table(times, labels, truth[0], difference)
    print(made)
    if arguments.output:
        arguments.output.write_text(made + "\n", encoding="utf-8")


def table(times: dict[str, list[float]], labels: dict[str, Tensor], truth: Tensor, difference: float) -> str:
    ours = statistics.median(next(iter(times.values())))
    reference = next(iter(labels.values())).long()
    lines = [
        (
            f"| {SIZE[1]} x {SIZE[2]} x {SIZE[0]} voxels, {torch.get_num_threads()} threads "
            "| time | times ours | right | as ours |"
        ),
        "|---|---|---|---|---|",
    ]
    for name, seconds in times.items():
        median, found = statistics.median(seconds), labels[name].long()
        same = float((found == reference).float().mean())
        assert same > 0.95, (name, same)
        right = float((found == truth).float().mean())
        lines.append(f"| {name} | {median * 1e3:.0f} ms | {median / ours:.1f} | {right:.2%} | {same:.2%} |")
    return "\n".join(
        [*lines, "", f"In float32, tiles and whole volume differ by {difference:.0e} at the most (allowed: 1e-06)."]
    )


if __name__ == "__main__":
    main()
