"""For every test and all that a test starts: loopback only, a data folder of its own, a share of the cores."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

LOOPBACK_ONLY = Path(__file__).parent / "tests" / "loopback_only"


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment that tests, workers and kernels inherit, before anything heavy is imported."""
    if not hasattr(config, "workerinput"):  # the controller; workers inherit what it sets
        os.environ["MEDLAB_DATA"] = tempfile.mkdtemp(prefix="medlab-test-data-")
        os.environ["MEDLAB_PROGRESS"] = "off"  # what the developer once predicted must not change an output
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(LOOPBACK_ONLY), *([before] if before else [])])
    else:
        workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    if not hasattr(sys.modules.get("sitecustomize"), "refuse_the_outside"):
        sys.path.insert(0, str(LOOPBACK_ONLY))
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")
        sys.path.remove(str(LOOPBACK_ONLY))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the data folder once the controller is done with it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["MEDLAB_DATA"], ignore_errors=True)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real data; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("MEDLAB_MIRROR", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: MEDLAB_MIRROR names no folder")
    return Path(folder)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks lose more by waiting for a second thread than they gain."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
