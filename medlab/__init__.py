"""A Jupyter-first course and workbench for deep learning on medical images."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medlab.checkup import doctor
    from medlab.cohorts import load
    from medlab.gpu import seed
    from medlab.viewer import compare, montage, view

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "doctor", "load", "montage", "seed", "view"]

_MODULE_OF = {
    "compare": "viewer",
    "doctor": "checkup",
    "load": "cohorts",
    "montage": "viewer",
    "seed": "gpu",
    "view": "viewer",
}


def __getattr__(name: str) -> Any:
    """Import what is behind a name when it is first used, so that ``import medlab`` stays quick."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'medlab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"medlab.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """Offer the lazy names to tab completion."""
    return sorted(__all__)
