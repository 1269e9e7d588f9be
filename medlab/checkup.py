"""`medlab doctor`: what is installed, where it computes, what the data folder holds; each `ok` or what to do."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import medlab
from medlab import manifests

NEEDED_MEMORY_GIB = 2.0  # a lesson with its defaults takes at most this
NEEDED_DISK_GIB = 2.0  # the largest set that a lesson uses by default, packed and unpacked

Finding = tuple[bool, str]  # whether it is fine; what was found, or what to do


def doctor() -> bool:
    """Print one line for each thing the lessons need, and return whether all of them are fine.

    The text can be pasted into a bug report: it names no user and no host.
    """
    checks = {
        "Python": _python,
        "packages": _packages,
        "device": _device,
        "memory": _memory,
        "notebooks": _notebooks,
        "data folder": _data_folder,
        "mirror": _mirror,
    }
    print(f"medlab {medlab.__version__}")
    fine = [_report(name, check) for name, check in checks.items()]
    print("All fine." if all(fine) else f"{fine.count(False)} of {len(fine)} need something done, see above.")
    return all(fine)


def _report(name: str, check: Callable[[], Finding]) -> bool:
    try:
        fine, text = check()
    except Exception as error:  # a broken installation breaks in ways nobody lists; the other lines must still come
        fine, text = False, f"{type(error).__name__}: {error}"
    print(f"{'ok  ' if fine else 'TODO'}  {name:12} {_anonymous(text)}")
    return fine


def _anonymous(text: str) -> str:
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _python() -> Finding:
    return True, f"{platform.python_version()} on {platform.system()} ({platform.machine()})"


def _packages() -> Finding:
    try:
        wrong = list(_wrong_packages())
    except metadata.PackageNotFoundError:
        return False, "medlab is not installed here: run `pip install -c constraints.txt -e .` in the checkout"
    if wrong:
        return False, f"{'; '.join(wrong)}: run `pip install -c constraints.txt -e .` in the checkout"
    return True, "everything the course needs, in versions that fit"


def _wrong_packages() -> Iterator[str]:
    """Each requirement of the package that is missing or too old, as text."""
    from packaging.requirements import Requirement

    for line in metadata.requires("medlab") or ():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            have = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name} is missing"
        else:
            if not requirement.specifier.contains(have, prereleases=True):
                yield f"{requirement.name} is {have}, but needs {requirement.specifier}"


def _device() -> Finding:
    try:
        import torch

        from medlab import gpu
    except ImportError as error:
        return False, f"torch does not load ({error}): run `pip install -c constraints.txt -e .` in the checkout"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        device = gpu.pick_device()
    found = f"torch {torch.__version__}, {said.getvalue().strip().removeprefix('Device: ')}"
    if device.type == "cpu" and shutil.which("nvidia-smi"):
        return False, f"{found} There is an NVIDIA driver, but this torch can't use it: see the README on GPUs"
    return True, found


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    free, whole = memory.available / 2**30, memory.total / 2**30
    if free < NEEDED_MEMORY_GIB:
        return False, f"{free:.1f} of {whole:.1f} GiB free; a lesson takes up to {NEEDED_MEMORY_GIB:g}: close something"
    return True, f"{free:.1f} of {whole:.1f} GiB free"


def _notebooks() -> Finding:
    from jupyter_core.paths import jupyter_path

    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    for extension in ("@jupyter-widgets/jupyterlab-manager", "anywidget"):
        if not any((folder / extension).is_dir() for folder in folders):
            return False, f"JupyterLab lacks {extension}: reinstall ipywidgets and anywidget beside JupyterLab"
    return True, f"JupyterLab {metadata.version('jupyterlab')} with widgets"


def _data_folder() -> Finding:
    folder = manifests.data_folder()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return False, f"{folder} can't be written: set MEDLAB_DATA to a folder of yours"
    free = shutil.disk_usage(there).free / 2**30
    if free < NEEDED_DISK_GIB:
        return False, f"{folder} has {free:.1f} GiB left: set MEDLAB_DATA to a folder with more room"
    return True, f"{folder}, {free:.0f} GiB left, holds {_sets('data folder')}"


def _sets(place: str) -> str:
    """Names of the public data sets in one place, as `medlab data list` names it."""
    held = [row["name"] for row in manifests.table() if row["here"] == place]
    return ", ".join(held) or "no public set (the lessons' own patients need none)"


def _mirror() -> Finding:
    mirror = os.environ.get("MEDLAB_MIRROR", "")
    if not mirror:
        return True, "none set (MEDLAB_MIRROR); public sets come from their official addresses"
    if mirror.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(mirror, timeout=5):
                return True, f"{mirror} answers"
        except OSError as error:
            return False, f"{mirror} does not answer ({error}): correct or unset MEDLAB_MIRROR"
    if not Path(mirror).is_dir():
        return False, f"there is no folder {mirror}: correct or unset MEDLAB_MIRROR"
    return True, f"{mirror}, holds {_sets('mirror')}"
