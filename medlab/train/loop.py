"""One visible training loop."""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from medlab import gpu
from medlab.losses import cross_entropy_dice
from medlab.train import checkpoint as checkpoints
from medlab.train.average import Average
from medlab.train.data import Batches
from medlab.train.history import History


def fit(
    model: nn.Module,
    data: Batches,
    *,
    steps: int,
    batch_size: int = 32,
    peak_rate: float = 5e-3,
    weight_decay: float = 0.01,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy_dice,
    validate: Callable[[nn.Module], float] | None = None,
    validate_every: int = 100,
    patience: int | None = None,
    ema: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[History], None] | None = None,
) -> History:
    """Train the model in place; at the end it holds the weights that validated best.

    Interrupting (the stop button) ends training early and keeps the best model so far. A checkpoint that can't be
    written because the disk is full is a warning: the last whole one stays, and training goes on.

    Args:
        model: a network of logits; moved to the data's device.
        data: deals the batches, such as `gpu.Resident`, or `gpu.Samples` for whole pictures and signals.
        steps: how many batches in all.
        batch_size: patches a batch.
        peak_rate: highest learning rate of the one-cycle schedule; 20 % of the steps lead up to it.
        weight_decay: of AdamW.
        loss: of the model's output and the labels: logits (B, K, *S) and (B, *S), or (B, K) and (B,).
        validate: scores the model, higher is better, such as mean Dice over the validation cases.
        validate_every: steps between two validations; the last step always has one.
        patience: stop after so many validations in a row without a new best; None goes through all steps.
        ema: decay (0.99 looks back about 100 steps) of a moving average of the weights and of batch norm's statistics,
            which is validated and kept in their place; None keeps the weights.
        checkpoint: file that is written at every validation.
        resume: go on from that file, to the numbers that an unbroken run gives.
        progress: show a bar with loss, Dice and the time left.
        watch: called with the history whenever it has grown, such as `plots.LiveCurve(steps)`.

    Raises:
        FloatingPointError: if the loss is not finite; names the step and the cases of the batch.
        MemoryError: if the device has no memory left; says what to lower.
        ValueError: if the data hold a label that the model has no class for, or the checkpoint does not fit.

    Built by hand in lesson 30.
    """
    _check(model, data, steps, validate, patience, ema)
    precision = gpu.precision(data.device)
    layout = precision.memory_format(data.dims)
    precision.place(model, data.device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=weight_decay)
    warm_up = min(0.9, max(0.2, 2 / steps))  # the schedule needs two steps to get to the top
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak_rate, total_steps=steps, pct_start=warm_up)
    history, best = History(), _weights(model)
    average = None if ema is None else Average(model, ema)
    parts = {"model": model, "optimiser": optimiser, "schedule": schedule, "average": average}
    settings = {"steps": steps, "ema": ema}
    if resume:
        history, best = checkpoints.load(checkpoint, parts, data, settings)
    done = len(history.losses)
    started = time.perf_counter() - history.seconds
    # Reading a loss waits for a GPU to finish; there the losses are looked at in groups.
    look_every = 1 if data.device.type == "cpu" else 20
    fresh: list[tuple[Tensor, Tensor]] = []
    bar = tqdm(total=steps, initial=done, desc="Training", unit="step", disable=not progress)
    try:
        for step in range(done + 1, steps + 1):
            history.stopped_early = patience is not None and history.without_gain() >= patience
            if history.stopped_early:
                break
            inputs, labels = data.batch(batch_size)
            with precision.autocast(data.device):
                logits = model(inputs.to(memory_format=layout))
            value = loss(logits, labels)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimiser.step()
            if average is not None:
                average.update(step)
            history.rates.append(float(schedule.get_last_lr()[0]))
            if step < steps:
                schedule.step()
            fresh.append((value.detach(), data.last_cases))
            milestone = step % validate_every == 0 or step == steps
            if milestone or step % look_every == 0:
                history.losses += _read(fresh, len(history.losses), data.names)
                bar.update(step - bar.n)
                bar.set_postfix_str(_standing(history, labels), refresh=False)
            if milestone and validate is not None:
                with average.in_place() if average else nullcontext():
                    score = float(validate(model))
                    if score > history.best_dice or math.isnan(history.best_dice):
                        history.best_dice, history.best_step, best = score, step, _weights(model)
                model.train()
                history.validation_steps.append(step)
                history.validation_dice.append(score)
                bar.set_postfix_str(_standing(history, labels), refresh=False)
            if watch is not None and (milestone or step % look_every == 0):
                watch(history)
            if milestone and checkpoint is not None:
                history.seconds = time.perf_counter() - started
                checkpoints.save(checkpoint, parts, data, history, best, settings)
    except KeyboardInterrupt:
        history.interrupted = True
        del history.rates[len(history.losses) :]
        tqdm.write(f"Interrupted after {len(history.losses)} of {steps} steps.", file=sys.stderr)
    except RuntimeError as error:
        inputs = logits = value = torch.empty(0)  # the traceback would keep what they hold
        _raise_if_no_room(error, data.device, batch_size)
        raise
    finally:
        bar.close()
        if history.validation_steps:
            model.load_state_dict(best)
        elif average is not None:
            average.put()
        model.eval()
    if not history.validation_steps:
        history.best_step = len(history.losses)
    history.seconds = time.perf_counter() - started
    return history


def _check(
    model: nn.Module, data: Batches, steps: int, validate: object, patience: int | None, ema: float | None
) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if patience is not None and (patience < 1 or validate is None):
        raise ValueError(f"patience must be at least 1 validation, and needs validate; got {patience} and {validate}")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"ema must be a decay from 0 to below 1, such as 0.99, got {ema}")
    classes = int(getattr(model, "classes", data.classes))
    if data.classes > classes:
        raise ValueError(
            f"the labels go up to {data.classes - 1}, but the model has classes 0 to {classes - 1}: "
            f"make it with classes={data.classes}"
        )


def _raise_if_no_room(error: RuntimeError, device: torch.device, batch_size: int) -> None:
    """A MemoryError that says what to do, where this is about memory."""
    said = ("out of memory", "not enough memory", "can't allocate memory")
    if any(words in str(error) for words in said):
        traceback.clear_frames(error.__traceback__)  # they hold the maps of the step
        raise MemoryError(
            f"a step with a batch of {batch_size} does not fit into the memory of {device}: lower batch_size, "
            f"the patch, or the widths of the network ({str(error).splitlines()[0]})"
        ) from error


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


def _standing(history: History, labels: Tensor) -> str:
    """What stands at the end of the progress bar; the score of whole pictures is not a Dice."""
    name = "score" if getattr(labels, "ndim", 2) == 1 else "Dice"
    score = f", {name} {history.validation_dice[-1]:.3f}" if history.validation_dice else ""
    return f"loss {history.losses[-1]:.3f}{score}"


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy that further training does not change."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
