"""Files on the disk: what they weigh, whether they are the right ones, and the list that says what they should be."""

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path

RECORD = "SHA256SUMS"  # one line a file, as the tool sha256sum writes and reads it


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def wrong_with(path: Path, size: int, checksum: tuple[str, str]) -> str:
    """Return what is wrong with a file against its known size and checksum (0 and "" are not compared), or ""."""
    if size and size_of(path) != size:
        return f"wrong size: expected {size:,} bytes, got {size_of(path):,}"
    algorithm, expected = checksum
    if algorithm and (got := file_hash(path, algorithm)) != expected:
        return f"wrong {algorithm}: expected {expected}, got {got}"
    return ""


def check_room(folder: Path, need: int, what: str) -> None:
    """Raise OSError if a disk has too little room.

    Args:
        folder: on that disk; need not exist yet.
        need: bytes.
        what: what needs them, for the message.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"{what} needs {in_words(need)} of free disk space, but {there} has {in_words(free)}. "
            f"Make room, or set MEDLAB_DATA to a folder on a larger disk",
        )


def in_words(size: int) -> str:
    """Return a number of bytes as a text such as "28.4 MB" (powers of 1000)."""
    number = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"


def read_record(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file by its path in the folder, as its list states them; {} without a list.

    Raises:
        ValueError: a line has another form, or names a path that leaves the folder.
    """
    path = folder / RECORD
    return parse_record(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else {}


def parse_record(text: str, where: str) -> dict[str, str]:
    """Return what the text of a list states; `where` names it in errors (raised as by `read_record`)."""
    sums = {}
    for number, line in enumerate(text.splitlines(), start=1):
        found = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line.strip())
        if not found or not stays_inside(found[2]):
            raise ValueError(
                f"{where}, line {number}: must be a SHA-256 and a path that stays in the folder, got {line[:100]!r}"
            )
        sums[found[2].removeprefix("./")] = found[1]
    return sums


def stays_inside(name: str) -> bool:
    """Return whether a path, as an archive or a list states it, stays in its folder on every system."""
    leaves = re.match(r"[/\\]|[A-Za-z]:", name) or "\\" in name or "\0" in name or ".." in name.split("/")
    return bool(name.strip("/.")) and not leaves


def write_record(folder: Path, sums: dict[str, str]) -> None:
    """Write the list of a folder, beside it first, so that it is never half there."""
    beside = folder / f".{RECORD}.{os.getpid()}"
    beside.write_text("".join(f"{sums[path]}  {path}\n" for path in sorted(sums)), encoding="utf-8")
    beside.replace(folder / RECORD)
