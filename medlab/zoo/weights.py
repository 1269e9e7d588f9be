"""Weights in safetensors files: written whole or not at all, checked by SHA-256 before anything in them is believed."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

# Convolutions and linear layers are stored in half precision; batch norm and biases, which are few, as they are.
STORED = torch.float16


def pack(model: nn.Module, name: str) -> bytes:
    """The content of a weights file: every tensor of the model, and its name in the header."""
    tensors = {}
    for key, tensor in model.state_dict().items():
        half = tensor.ndim >= 2 and tensor.is_floating_point()
        tensors[key] = tensor.detach().cpu().to(STORED if half else tensor.dtype).contiguous()
    return save(tensors, metadata={"name": name})  # one entry: several would come in any order, and change the checksum


def write(content: bytes, path: Path) -> dict[str, Any]:
    """Write beside and rename; returns what the card says of the file: `bytes` and `sha256`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read(path: Path, name: str, expected: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors in a weights file, as they are stored.

    Args:
        path: of the file.
        name: of the model that it must belong to.
        expected: its `bytes` and `sha256`, from the card.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is cut short, changed, or belongs to another model; says what was expected and what was got.
    """
    remedy = f"install medlab again, or make new ones with `medlab zoo train {name}`"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the weights of {name} are not there; {remedy}")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected["sha256"]:
        other = _owner(content)
        if other not in ("", name):
            what = f"these are the weights of {other}, not of {name}"
        elif len(content) != expected["bytes"]:
            what = f"the file is cut short or changed: expected {expected['bytes']:,} bytes, got {len(content):,}"
        else:
            what = "the file was changed"
        digests = f"SHA-256 expected {expected['sha256']}, got {found}"
        raise ValueError(f"{path}: {what} ({digests}); nothing was loaded: {remedy}")
    return load(content)


def fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put the tensors of a file into a model.

    Raises:
        ValueError: the file's tensors are those of another network; names the first that differ.
    """
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{path}: these weights belong to another network: {reason}") from None


def _owner(content: bytes) -> str:
    """The name in the header, or "" where there is none to be read."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        return str(json.loads(content[8 : 8 + length])["__metadata__"]["name"])
    except (struct.error, ValueError, KeyError, TypeError):
        return ""
