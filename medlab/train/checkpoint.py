"""Files from which training goes on to the same numbers."""

from __future__ import annotations

import errno
import io
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medlab.train.data import Batches
from medlab.train.history import History


def save(
    path: Path, parts: dict[str, Any], data: Batches, history: History, best: dict[str, Tensor], settings: dict
) -> None:
    """Write beside, then rename: a run that is killed while it writes leaves the last whole checkpoint."""
    state = {name: part.state_dict() for name, part in parts.items() if part is not None}
    chance = {"data": data.generator.get_state(), "torch": torch.get_rng_state()}
    if data.device.type == "cuda":
        chance["device"] = torch.cuda.get_rng_state(data.device)
    buffer = io.BytesIO()  # torch.save into a file makes an unreadable RuntimeError of a full disk
    torch.save({**state, **settings, "chance": chance, "history": asdict(history), "best": best}, buffer)
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(buffer.getbuffer())
        beside.replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        kept = "the last whole one stays" if path.exists() else "there is none yet"
        warnings.warn(f"{path} could not be written, {kept}; training goes on: {error}", stacklevel=3)
    finally:
        beside.unlink(missing_ok=True)


def load(
    path: Path | None, parts: dict[str, Any], data: Batches, settings: dict[str, Any]
) -> tuple[History, dict[str, Tensor]]:
    """Bring everything that training changes back to where the checkpoint was written."""
    if path is None:
        raise ValueError("resume=True needs the checkpoint to go on from, got checkpoint=None")
    try:
        state = torch.load(path, map_location=data.device, weights_only=True)
        history, best, chance = History(**state["history"]), state["best"], state["chance"]
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}); delete it and train again") from error
    for name, value in settings.items():
        if state.get(name) != value:
            raise ValueError(
                f"{path} belongs to a run with {name}={state.get(name)}, got {name}={value}: the numbers would differ"
            )
    try:
        for name, part in parts.items():
            if part is not None:
                part.load_state_dict(state[name])
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} belongs to another network ({error})") from error
    data.generator.set_state(chance["data"].cpu())
    torch.set_rng_state(chance["torch"].cpu())
    if "device" in chance and data.device.type == "cuda":
        torch.cuda.set_rng_state(chance["device"].cpu(), data.device)
    return history, best
