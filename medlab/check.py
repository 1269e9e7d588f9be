"""Verdicts for results that differ a little from machine to machine: print the range that holds, not the digits."""

from __future__ import annotations


def between(name: str, value: float, low: float, high: float) -> None:
    """Print ``name: within [low, high]``, or raise when the value lies outside.

    What comes out of training is not the same to the last digit on every machine. The verdict is, so that a lesson's
    stored output can be compared as text.

    Args:
        name: What was measured, with its unit if it has one: ``"Dice"``, ``"volume (ml)"``.
        value: A number, or an array or tensor that holds just one.
        low: Smallest value that passes.
        high: Largest value that passes.

    Raises:
        AssertionError: The value lies outside the range, or is not a number.
        ValueError: ``low`` is larger than ``high``.
    """
    if not low <= high:
        raise ValueError(f"low must be at most high, got low={low!r} and high={high!r}")
    span = f"[{_text(low)}, {_text(high)}]"
    if not low <= float(value) <= high:
        raise AssertionError(f"{name}: expected within {span}, got {float(value):.6g}")
    print(f"{name}: within {span}")


def _text(bound: float) -> str:
    """Write a bound with two decimals or, where it has more, with all of them; a whole number stays whole."""
    if isinstance(bound, int):
        return str(bound)
    return max(f"{bound:.2f}", repr(float(bound)), key=len)
