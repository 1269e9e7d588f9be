"""One visible training loop, its history, and checkpoints from which it goes on to the same numbers."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from medlab import gpu
from medlab.losses import cross_entropy_dice

__all__ = ["History", "fit"]


@dataclass
class History:
    """What happened in training.

    Attributes:
        losses: one number a step.
        rates: the learning rate of every step.
        validation_steps: after how many steps the validation ran.
        validation_dice: its results, in [0, 1].
        best_step: after how many steps the kept model was made.
        best_dice: its validation result; NaN where there was no validation.
        seconds: wall time, validation included.
        interrupted: whether it was stopped by hand.
    """

    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    validation_steps: list[int] = field(default_factory=list)
    validation_dice: list[float] = field(default_factory=list)
    best_step: int = 0
    best_dice: float = math.nan
    seconds: float = 0.0
    interrupted: bool = False


def fit(
    model: nn.Module,
    data: gpu.Resident,
    *,
    steps: int,
    batch_size: int = 32,
    peak_rate: float = 5e-3,
    weight_decay: float = 0.01,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy_dice,
    validate: Callable[[nn.Module], float] | None = None,
    validate_every: int = 100,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train the model in place; at the end it holds the weights that validated best.

    Interrupting (the stop button) ends training early and keeps the best model so far.

    Args:
        model: a network of logits; moved to the data's device.
        data: deals the batches.
        steps: how many batches in all.
        batch_size: patches a batch.
        peak_rate: highest learning rate of the one-cycle schedule; 20 % of the steps lead up to it.
        weight_decay: of AdamW.
        loss: of logits (B, K, *S) and labels (B, *S).
        validate: scores the model, higher is better, such as mean Dice over the validation cases.
        validate_every: steps between two validations; the last step always has one.
        checkpoint: file that is written at every validation.
        resume: go on from that file, to the numbers that an unbroken run gives.
        progress: show a bar with loss, Dice and the time left.

    Raises:
        FloatingPointError: if the loss is not finite; names the step and the cases of the batch.
        ValueError: if the data hold a label that the model has no class for, or the checkpoint does not fit.

    Built by hand in lesson 30.
    """
    _check(model, data, steps)
    precision = gpu.precision(data.device)
    layout = precision.memory_format(data.dims)
    model.to(data.device).to(memory_format=layout).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=weight_decay)
    warm_up = min(0.9, max(0.2, 2 / steps))  # the schedule needs two steps to get to the top
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak_rate, total_steps=steps, pct_start=warm_up)
    history, best = History(), _weights(model)
    parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
    if resume:
        history, best = _load(checkpoint, parts, data, steps)
    done = len(history.losses)
    started = time.perf_counter() - history.seconds
    # Reading a loss waits for a GPU to finish; there the losses are looked at in groups.
    look_every = 1 if data.device.type == "cpu" else 20
    fresh: list[tuple[Tensor, Tensor]] = []
    bar = tqdm(total=steps, initial=done, desc="Training", unit="step", disable=not progress)
    try:
        for step in range(done + 1, steps + 1):
            inputs, labels = data.batch(batch_size)
            with precision.autocast(data.device):
                logits = model(inputs.to(memory_format=layout))
            value = loss(logits, labels)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimiser.step()
            history.rates.append(float(schedule.get_last_lr()[0]))
            if step < steps:
                schedule.step()
            fresh.append((value.detach(), data.last_cases))

            milestone = step % validate_every == 0 or step == steps
            if milestone or step % look_every == 0:
                history.losses += _read(fresh, len(history.losses), data.names)
                bar.update(step - bar.n)
                bar.set_postfix_str(_standing(history), refresh=False)
            if milestone and validate is not None:
                score = float(validate(model))
                model.train()
                history.validation_steps.append(step)
                history.validation_dice.append(score)
                if not score <= history.best_dice:  # the first score beats NaN
                    history.best_dice, history.best_step, best = score, step, _weights(model)
                bar.set_postfix_str(_standing(history), refresh=False)
            if milestone and checkpoint is not None:
                history.seconds = time.perf_counter() - started
                _save(checkpoint, parts, data, history, best, steps)
    except KeyboardInterrupt:
        history.interrupted = True
        del history.rates[len(history.losses) :]
        tqdm.write(f"Interrupted after {len(history.losses)} of {steps} steps.", file=sys.stderr)
    finally:
        bar.close()
        if history.validation_steps:
            model.load_state_dict(best)
        model.eval()
    if not history.validation_steps:
        history.best_step = len(history.losses)
    history.seconds = time.perf_counter() - started
    return history


def _check(model: nn.Module, data: gpu.Resident, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    classes = int(getattr(model, "classes", data.classes))
    if data.classes > classes:
        raise ValueError(
            f"the labels go up to {data.classes - 1}, but the model has classes 0 to {classes - 1}: "
            f"make it with classes={data.classes}"
        )


def _read(fresh: list[tuple[Tensor, Tensor]], done: int, names: list[str]) -> list[float]:
    """The losses as numbers; empties the list."""
    values = torch.stack([value for value, _ in fresh]).tolist()
    for offset, value in enumerate(values):
        if not math.isfinite(value):
            cases = sorted({names[i] for i in fresh[offset][1].tolist()})
            shown = ", ".join(cases[:8]) + (f" and {len(cases) - 8} more" if len(cases) > 8 else "")
            raise FloatingPointError(
                f"the loss of step {done + offset + 1} is {value}; its batch came from {shown}. "
                "Lower peak_rate, or look at these images"
            )
    fresh.clear()
    return values


def _standing(history: History) -> str:
    """What stands at the end of the progress bar."""
    dice = f", Dice {history.validation_dice[-1]:.3f}" if history.validation_dice else ""
    return f"loss {history.losses[-1]:.3f}{dice}"


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy that further training does not change."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _save(
    path: Path, parts: dict[str, Any], data: gpu.Resident, history: History, best: dict[str, Tensor], steps: int
) -> None:
    """Write beside, then rename: a run that is killed while it writes leaves the last whole checkpoint."""
    state = {name: part.state_dict() for name, part in parts.items()}
    chance = {"data": data.generator.get_state(), "torch": torch.get_rng_state()}
    beside = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.save({**state, "chance": chance, "history": asdict(history), "best": best, "steps": steps}, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _load(
    path: Path | None, parts: dict[str, Any], data: gpu.Resident, steps: int
) -> tuple[History, dict[str, Tensor]]:
    """Bring everything that training changes back to where the checkpoint was written."""
    if path is None:
        raise ValueError("resume=True needs the checkpoint to go on from, got checkpoint=None")
    try:
        state = torch.load(path, map_location=data.device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}); delete it and train again") from error
    if state["steps"] != steps:
        raise ValueError(f"{path} belongs to a run of {state['steps']} steps, got {steps}: the rates would differ")
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} belongs to another network ({error})") from error
    data.generator.set_state(state["chance"]["data"].cpu())
    torch.set_rng_state(state["chance"]["torch"].cpu())
    return History(**state["history"]), state["best"]
