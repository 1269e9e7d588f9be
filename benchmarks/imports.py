"""How long imports take, each in a fresh interpreter, as a Markdown table.

    python benchmarks/imports.py [--output docs/imports.md]

Every statement is timed from the start of `python` to its end; the empty statement is the interpreter itself. The
statements take turns, so that a busy moment of the machine falls on all of them alike.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path

STATEMENTS = {
    "the interpreter alone": "pass",
    "`import medlab`": "import medlab",
    "`import torch`": "import torch",
    "`import monai`": "import monai",
    "`import torchio`": "import torchio",
    "`medlab.metrics.evaluate`": "import medlab.metrics; medlab.metrics.evaluate",
    "`monai.metrics.compute_hausdorff_distance`": "from monai.metrics import compute_hausdorff_distance",
    "`medlab.models.unet.UNet`": "from medlab.models.unet import UNet",
    "`monai.networks.nets.UNet`": "from monai.networks.nets import UNet",
}
OURS = "`import medlab`"


def seconds(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True, capture_output=True)
    return time.perf_counter() - started


def table(times: dict[str, list[float]]) -> str:
    middle = {name: statistics.median(taken) for name, taken in times.items()}
    lines = ["| fresh interpreter | median | times `import medlab` |", "|---|---|---|"]
    lines += [f"| {name} | {took:.2f} s | {took / middle[OURS]:.1f} |" for name, took in middle.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--rounds", type=int, default=5, help="how often each statement is run")
    arguments = parser.parse_args()
    missing = [peer for peer in ("monai", "torchio") if importlib.util.find_spec(peer) is None]
    chosen = {name: text for name, text in STATEMENTS.items() if not any(peer in text for peer in missing)}
    for text in chosen.values():  # the first import of all compiles and reads from the disk
        seconds(text)
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(arguments.rounds):
        for name, text in chosen.items():
            times[name].append(seconds(text))
    made = table(times)
    print(made)
    if arguments.output:
        arguments.output.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
