"""One visible training loop, its history, and checkpoints from which it goes on to the same numbers."""

from medlab.train.data import Batches
from medlab.train.history import History
from medlab.train.loop import fit

__all__ = ["Batches", "History", "fit"]
