"""One process at a time: a lock file that the operating system frees when its holder ends, however it ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _take(handle: IO[str], wait: bool) -> None:
        handle.seek(0)
        while True:
            try:
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                return
            except OSError:  # LK_LOCK gives up after ten seconds
                if not wait:
                    raise

else:
    import fcntl

    def _take(handle: IO[str], wait: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file at `path`; where another process holds it, say so and wait.

    Args:
        path: of the lock file; its folder is made.
        what: what the other process is busy with, for the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            _take(handle, wait=False)
        except OSError:
            print(f"Another process is fetching {what}: waiting for it.", file=sys.stderr)
            _take(handle, wait=True)
        yield
