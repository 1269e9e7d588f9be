"""What happened in training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class History:
    """What happened in training.

    Attributes:
        losses: one number a step.
        rates: the learning rate of every step.
        validation_steps: after how many steps the validation ran.
        validation_dice: its results: mean Dice, or whatever else `validate` gives.
        best_step: after how many steps the kept model was made.
        best_dice: its validation result; NaN where there was no validation.
        seconds: wall time, validation included.
        interrupted: whether it was stopped by hand.
        stopped_early: whether `patience` ended it before the last step.
    """

    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    validation_steps: list[int] = field(default_factory=list)
    validation_dice: list[float] = field(default_factory=list)
    best_step: int = 0
    best_dice: float = math.nan
    seconds: float = 0.0
    interrupted: bool = False
    stopped_early: bool = False

    def without_gain(self) -> int:
        """How many validations in a row brought no new best."""
        return sum(step > self.best_step for step in self.validation_steps)
