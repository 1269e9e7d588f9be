"""Comparing the learner's result with the expected one: shape, then dtype, then values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medlab.exercises._report import SMALL, is_tensor, show, to_array

ERROR, SHAPE, DTYPE, VALUES, INPUT = range(5)  # how far a result came


@dataclass(frozen=True)
class Problem:
    """What is wrong with one result.

    Attributes:
        stage: ERROR, SHAPE, DTYPE, VALUES or INPUT: the lower is reported first.
        expected: what should have come, in words or numbers.
        got: what came.
        hint: said where no misconception is recognised.
        mistake: name of the misconception, where the judge knows it.
    """

    stage: int
    expected: str
    got: str
    hint: str = ""
    mistake: str | None = None


def compare(
    got: Any, expected: Any, *, parts: tuple[str, ...] = (), exact_dtype: bool = False, tolerance: float = 1e-5
) -> Problem | None:
    """The first problem of `got` against the solution's result, part by part where that is a tuple.

    Args:
        got: what the learner's code gave.
        expected: what the solution gave: a number, an array, a tensor, or a tuple of these.
        parts: names of what the tuple holds.
        exact_dtype: float32 must be float32, not only some float.
        tolerance: absolute and relative.
    """
    rules = (exact_dtype, tolerance)
    if not isinstance(expected, tuple):
        return _compare_one(got, expected, rules, "")
    if not isinstance(got, (tuple, list)) or len(got) != len(expected):
        wanted = ", ".join(parts) or f"{len(expected)} values"
        count = f"{len(got)} values" if isinstance(got, (tuple, list)) else show(got)
        return Problem(SHAPE, f"({wanted})", count, "Return all of them, separated by commas, in this order.")
    names = parts or tuple(f"value {n + 1}" for n in range(len(expected)))
    problems = [_compare_one(g, e, rules, f"{n}: ") for g, e, n in zip(got, expected, names, strict=True)]
    return min((p for p in problems if p), key=lambda p: p.stage, default=None)


def _compare_one(got: Any, expected: Any, rules: tuple[bool, float], prefix: str) -> Problem | None:
    truth = np.asarray(to_array(expected))
    if isinstance(got, (list, tuple)):
        hint = "That is a list: make it an array with `np.array(...)`." if truth.ndim else "One number is asked for."
        return Problem(SHAPE, prefix + _form(truth), f"{prefix}a {type(got).__name__}", hint)
    if is_tensor(expected) and not is_tensor(got):
        return Problem(SHAPE, f"{prefix}a tensor", prefix + show(got), "Keep to torch, so that gradients can flow.")
    array = to_array(got)
    if array is None or array.dtype.kind not in "biuf":
        return Problem(SHAPE, prefix + _form(truth), prefix + show(got), "That is not made of numbers.")
    if array.shape != truth.shape:
        hint = "The shape is not right yet: count rows and columns of the result first."
        return Problem(SHAPE, prefix + _form(truth), prefix + _form(array), hint)
    exact_dtype, tolerance = rules
    problem = _dtype_problem(array, truth, exact_dtype, prefix)
    if problem or np.allclose(array, truth, rtol=tolerance, atol=tolerance):
        return problem
    return _values_problem(array, truth, tolerance, prefix)


def _form(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"one number, {show(array[()])}"
    return f"shape {array.shape}" + (f", {show(array)}" if array.size <= 9 else "")


def _dtype_problem(array: np.ndarray, truth: np.ndarray, exact_dtype: bool, prefix: str) -> Problem | None:
    kinds = {"f": "float", "i": "integer", "u": "integer", "b": "bool"}
    got, wanted = kinds[array.dtype.kind], kinds[truth.dtype.kind]
    if got == "integer" and wanted == "float" and truth.ndim == 0:
        return None  # 24 for 24.0 is fine
    if got != wanted:
        hints = {
            "float": "The result needs fractions: integers cut them off.",
            "integer": "Whole numbers are asked for: `//` divides without a fraction.",
            "bool": "A mask is asked for: True and False, as a comparison gives.",
        }
        return Problem(DTYPE, f"{prefix}{wanted}", f"{prefix}{array.dtype}", hints[wanted])
    if exact_dtype and array.dtype != truth.dtype:
        hint = f"The values may be right, but the type is {array.dtype}: `.astype(np.{truth.dtype})` converts."
        return Problem(DTYPE, f"{prefix}{truth.dtype}", f"{prefix}{array.dtype}", hint)
    return None


def _values_problem(array: np.ndarray, truth: np.ndarray, tolerance: float, prefix: str) -> Problem:
    wrong = ~np.isclose(array, truth, rtol=tolerance, atol=tolerance)
    hint = ""
    if array.dtype.kind == "f" and np.isnan(array).any():
        hint = "There is a NaN, which 0/0 or infinity minus infinity gives: which input leads there?"
    expected, got = show(truth), show(array)
    if array.size > SMALL:
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        expected, got = show(truth[place]), show(array[place])
        got += f" at {list(place)}; {np.count_nonzero(wrong)} of {array.size} values differ"
        expected += f" at {list(place)}"
    elif expected == got:
        expected, got = show(truth, 9), show(array, 9)
    return Problem(VALUES, prefix + expected, prefix + got, hint)


def same(a: Any, b: Any) -> bool:
    """Whether an input is as it was."""
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    x, y = to_array(a), to_array(b)
    if x is None or y is None:
        return bool(a == b)
    return x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")


def alike(a: Any, b: Any, tolerance: float, *, dtype: bool) -> bool:
    """Whether two results are the same, NaN equal to NaN; with `dtype` their types too."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(alike(x, y, tolerance, dtype=dtype) for x, y in zip(a, b, strict=True))
    x, y = to_array(a), to_array(b)
    if x is None or y is None or x.shape != y.shape or x.dtype.kind not in "biuf" or y.dtype.kind not in "biuf":
        return False
    if dtype and x.dtype != y.dtype:
        return False
    return np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True)
