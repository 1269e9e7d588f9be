"""Run every benchmark of this folder and write their tables into docs/benchmarks.md.

python benchmarks/run.py
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"


def main() -> None:
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    parts = [
        "# Benchmarks",
        f"Written by `make bench` on {machine}. Each table measures ours and its peers in one run, on the same work.",
    ]
    for script in sorted(set(HERE.glob("*.py")) - {Path(__file__)}):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "table.md"
            subprocess.run([sys.executable, script, "--output", part], check=True)
            parts += [f"## {script.stem}", part.read_text(encoding="utf-8").strip()]
    beside = PAGE.with_suffix(".md.new")
    beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    beside.replace(PAGE)


if __name__ == "__main__":
    main()
