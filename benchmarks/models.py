"""A forward pass and a training step of the same network, ours and MONAI's, in one run, as a Markdown table.

    python benchmarks/models.py [--output docs/models.md]

Ours is `UNet` as `medlab.train.fit` runs it: bfloat16 where the processor has it, channels last, batch norm. The peer
is MONAI's `DynUNet` of the same widths, as it comes (float32, instance norm), then with the same number and memory
format, then with batch norm as well. Parameters and multiply-adds must agree within 3 %; loss and optimiser are the
same for all. One round runs every contender once, forward and step; the times are medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from medlab import gpu
from medlab.losses import cross_entropy_dice
from medlab.models.counts import multiply_adds, parameter_count
from medlab.models.unet import UNet

CLASSES = 3
WIDTHS = (16, 32, 64, 128)
CPU = torch.device("cpu")
AS_IT_COMES = gpu.Precision(torch.float32, False, "as it comes")
# A batch of slices, and one of patches.
SHAPES = {2: (8, 1, 192, 192), 3: (2, 1, 48, 48, 32)}


@dataclass
class Contender:
    """One network in one number format, and its times in seconds."""

    name: str
    model: nn.Module
    precision: gpu.Precision
    dims: int
    forward_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Bring the weights into their memory format."""
        self.layout = self.precision.memory_format(self.dims)
        self.model.to(memory_format=self.layout)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def logits(self, images: Tensor) -> Tensor:
        """What the network says, in its number format."""
        with self.precision.autocast(CPU):
            return self.model(images.to(memory_format=self.layout))

    def forward(self, images: Tensor, labels: Tensor) -> None:
        """One pass as in prediction."""
        self.model.eval()
        with torch.inference_mode():
            assert self.logits(images).shape == (len(labels), CLASSES, *labels.shape[1:])

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One pass forth and back, and the optimiser's step."""
        self.model.train()
        self.optimiser.zero_grad()
        cross_entropy_dice(self.logits(images), labels).backward()
        self.optimiser.step()


def dyn_unet(dims: int, norm: str | tuple[str, dict[str, bool]]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MONAI imports is not ours to mend
        from monai.networks.nets import DynUNet

    levels = len(WIDTHS)
    return DynUNet(
        dims, 1, CLASSES, [3] * levels, [1] + [2] * (levels - 1), [2] * (levels - 1), filters=WIDTHS, norm_name=norm
    )


def contenders(dims: int) -> list[Contender]:
    """Ours first."""
    fast, instance = gpu.precision(CPU), ("INSTANCE", {"affine": True})
    made = [
        Contender(f"medlab: {fast.title}, batch norm", UNet(1, CLASSES, WIDTHS, dims=dims), fast, dims),
        Contender("MONAI as it comes: float32, instance norm", dyn_unet(dims, instance), AS_IT_COMES, dims),
        Contender(f"MONAI: {fast.title}, instance norm", dyn_unet(dims, instance), fast, dims),
        Contender(f"MONAI: {fast.title}, batch norm", dyn_unet(dims, "BATCH"), fast, dims),
    ]
    for count in (parameter_count, lambda model: multiply_adds(model, torch.zeros(1, *SHAPES[dims][1:]))):
        sizes = [count(contender.model) for contender in made]
        if max(sizes) > 1.03 * min(sizes):
            raise RuntimeError(f"the networks are not of one size: {sizes}")
    return made


def timed(work: Callable[[Tensor, Tensor], None], images: Tensor, labels: Tensor) -> float:
    started = time.perf_counter()
    work(images, labels)
    return time.perf_counter() - started


def measure(all_: Sequence[Contender], dims: int, rounds: int) -> None:
    images = torch.randn(SHAPES[dims])
    labels = torch.randint(CLASSES, (SHAPES[dims][0], *SHAPES[dims][2:]))
    for round_ in range(-1, rounds):  # the first one warms up
        for contender in all_:
            forward = timed(contender.forward, images, labels)
            step = timed(contender.step, images, labels)
            if round_ >= 0:
                contender.forward_s.append(forward)
                contender.step_s.append(step)


def table(all_: Sequence[Contender], dims: int) -> str:
    ours = all_[0]
    batch, _, *size = SHAPES[dims]
    shape = f"{dims}D, {batch} x {' x '.join(map(str, size))}, widths {'/'.join(map(str, WIDTHS))}"
    lines = [
        f"| {shape} | parameters | multiply-adds | forward | times ours | training step | times ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in all_:
        forward, step = statistics.median(c.forward_s), statistics.median(c.step_s)
        slower = forward / statistics.median(ours.forward_s), step / statistics.median(ours.step_s)
        products = multiply_adds(c.model, torch.zeros(SHAPES[dims])) / 1e9
        lines.append(
            f"| {c.name} | {parameter_count(c.model):,} | {products:.1f} G | {1e3 * forward:.0f} ms | {slower[0]:.1f} "
            f"| {1e3 * step:.0f} ms | {slower[1]:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--rounds", type=int, default=9, help="how often each is run")
    arguments = parser.parse_args()
    gpu.seed(0)
    parts = []
    for dims in (2, 3):
        all_ = contenders(dims)
        measure(all_, dims, arguments.rounds)
        parts.append(table(all_, dims))
        print(parts[-1], end="\n\n")
    if arguments.output:
        arguments.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
