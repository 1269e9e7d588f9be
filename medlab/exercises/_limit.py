"""A time limit for code that may never end, the same in every thread and on every system.

`signal.setitimer` knows only the main thread of Unix, a subprocess can't take a function that was typed into a
notebook, and tracing makes honest loops several times slower. So a watchdog thread asks the interpreter to raise in
the running thread (CPython's `PyThreadState_SetAsyncExc`). It strikes between two steps of Python: a single long call
into C ends first.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

AGAIN_S = 0.005  # strikes again this often, in case the code swallowed it


class TimeUp(BaseException):
    """The time is over. Not an `Exception`, so that `except Exception` in the code does not catch it."""


def call(function: Callable[[], Any], seconds: float) -> Any:
    """What `function()` returns, within `seconds`.

    Raises:
        TimeUp: after `seconds`, where the function has not returned by then.
        BaseException: whatever the function raises.
    """
    thread = threading.get_ident()
    done = threading.Event()

    def watch() -> None:
        wait = max(seconds, 0.0)
        while not done.wait(wait):
            _raise_in(thread, TimeUp)
            wait = AGAIN_S

    watchdog = threading.Thread(target=watch, daemon=True, name="medlab time limit")
    value, error = None, None
    try:
        watchdog.start()
        value = function()
    except BaseException as caught:
        error = caught
    while True:
        try:
            done.set()
            watchdog.join()
            _raise_in(thread, None)  # a strike that came as the function returned
            break
        except TimeUp:
            continue
    if error is not None:
        raise error
    return value


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error) if error else None)
