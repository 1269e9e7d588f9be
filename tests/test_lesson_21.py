"""Lesson 21: what it writes by hand is what torch computes, over random shapes and random expressions."""

from __future__ import annotations

import re
import types
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

LESSON = Path(__file__).parent.parent / "notebooks" / "21_activations_and_backprop.ipynb"
CELLS = {cell.id: cell.source for cell in nbformat.read(LESSON, as_version=4).cells if cell.cell_type == "code"}
BUILT_BY_HAND = ("activations", "losses", "autograd", "optimisers", "descent", "network")

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)


def run_cells() -> types.SimpleNamespace:
    """The lesson's own definitions: its imports, and the cells whose ids say what they build."""
    names: dict[str, object] = {}
    for name, source in CELLS.items():
        if source.startswith("import ") or name.startswith(BUILT_BY_HAND):
            exec(compile(source, name, "exec"), names)
        if name == "losses":  # the lesson's alias from a cell that also prints
            names["affine"] = names["exercises"].backprop.my_affine
    return types.SimpleNamespace(**names)


lesson = run_cells()


def tensor(array):
    return torch.from_numpy(np.array(array, dtype=np.float64))


def close(actual, expected):
    expected = expected.detach() if torch.is_tensor(expected) else tensor(expected)
    torch.testing.assert_close(tensor(actual), expected, rtol=1e-9, atol=1e-12)


# Autograd -------------------------------------------------------------------------------------------------------------

UNARY = {
    "tanh": (lambda a: lesson.tanh(a), torch.tanh),
    "relu": (lambda a: lesson.relu(a), torch.relu),
    "exp": (lambda a: lesson.exp(lesson.tanh(a)), lambda a: torch.exp(torch.tanh(a))),
    "log": (lambda a: lesson.log(1 + a**2), lambda a: torch.log(1 + a**2)),
    "cube": (lambda a: a**3, lambda a: a**3),
    "minus": (lambda a: -a, lambda a: -a),
    "from one": (lambda a: 1 - a, lambda a: 1 - a),
    "over": (lambda a: 2 / (1 + a**2), lambda a: 2 / (1 + a**2)),
}
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (2 + b**2),
}
leaves = st.integers(0, 2)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), inner), st.tuples(st.sampled_from(sorted(BINARY)), inner, inner)
    ),
    max_leaves=8,
)


def evaluate(tree, numbers, side):
    if isinstance(tree, int):
        return numbers[tree]
    operation, *inner = tree
    values = [evaluate(part, numbers, side) for part in inner]
    return UNARY[operation][side](*values) if len(values) == 1 else BINARY[operation](*values)


@settings(quick, max_examples=300)
@given(tree=trees, numbers=st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3))
def test_value_and_gradient_of_any_expression_are_torchs(tree, numbers):
    ours = [lesson.Value(number) for number in numbers]
    theirs = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    result = evaluate(tree, ours, 0)
    expected = evaluate(tree, theirs, 1)
    result.backward()
    expected.backward()
    close(result.data, expected)
    close([value.grad for value in ours], theirs.grad)


def test_a_value_used_twice_gets_the_sum_of_both_gradients():
    a = lesson.Value(3)
    (a * a + a).backward()
    assert a.grad == 7


def test_a_second_call_starts_anew():
    a = lesson.Value(3)
    result = a**2
    result.backward()
    result.backward()
    assert a.grad == 6


def test_a_long_chain_needs_no_recursion():
    a = lesson.Value(1)
    result = a
    for _ in range(5000):
        result = result + a
    result.backward()
    assert (result.data, a.grad) == (5001, 5001)


def test_a_relu_at_zero_is_shut():
    a = lesson.Value(0)
    lesson.relu(a).backward()
    assert a.grad == 0


def test_the_autograd_has_about_60_lines():
    lines = [line for name, source in CELLS.items() if name.startswith("autograd") for line in source.splitlines()]
    assert 40 <= sum(bool(line.strip()) for line in lines) <= 65


# Activations and losses -----------------------------------------------------------------------------------------------

TORCHS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "ReLU": torch.relu,
    "leaky ReLU": lambda a: F.leaky_relu(a, 0.1),
    "SiLU": F.silu,
}


def test_every_activation_of_the_lesson_is_compared():
    assert sorted(lesson.activations) == sorted(TORCHS)


@pytest.mark.parametrize("name", TORCHS)
@quick
@given(numbers=st.lists(st.floats(-30, 30), min_size=1, max_size=9))
def test_activations_and_their_derivatives_are_torchs(name, numbers):
    a = torch.tensor([*numbers, 0.0], dtype=torch.float64, requires_grad=True)
    TORCHS[name](a).sum().backward()
    value, derivative = lesson.activations[name]
    close(value(a.detach().numpy()), TORCHS[name](a))
    torch.testing.assert_close(tensor(derivative(a.detach().numpy())), a.grad, rtol=1e-7, atol=1e-12)


@quick
@given(b=st.integers(1, 7), k=st.integers(1, 6), scale=st.sampled_from([1, 100, 10_000]), seed=seeds)
def test_losses_are_torchs(b, k, scale, seed):
    rng = np.random.default_rng(seed)
    logits, target, wanted = rng.normal(size=(b, k)) * scale, rng.integers(0, k, b), rng.normal(size=(b, k))
    close(lesson.cross_entropy(logits, target), F.cross_entropy(tensor(logits), torch.from_numpy(target)))
    close(lesson.mse(logits, wanted), F.mse_loss(tensor(logits), tensor(wanted)))


# Downhill -------------------------------------------------------------------------------------------------------------

OPTIMISERS = {
    "SGD": lambda w, rate, momentum: torch.optim.SGD([w], lr=rate),
    "momentum": lambda w, rate, momentum: torch.optim.SGD([w], lr=rate, momentum=momentum),
    "Adam": lambda w, rate, momentum: torch.optim.Adam([w], lr=rate),
}


@pytest.mark.parametrize("surface", sorted(lesson.SURFACES))
@pytest.mark.parametrize("name", OPTIMISERS)
@settings(quick, max_examples=5)
@given(rate=st.floats(0.001, 0.02), momentum=st.floats(0.0, 0.9))
def test_every_step_downhill_is_torchs(surface, name, rate, momentum):
    height, start = lesson.SURFACES[surface]
    path = lesson.descend(height, start, name, rate, momentum, steps=12)
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = OPTIMISERS[name](w, rate, momentum)
    for point in path:
        torch.testing.assert_close(tensor(point), w.detach(), rtol=1e-7, atol=1e-7)
        optimiser.zero_grad()
        height(*w).backward()
        optimiser.step()


def test_plain_descent_leaves_the_narrow_valley_above_a_rate_of_2_over_50():
    height, start = lesson.SURFACES["narrow valley"]
    inside = lesson.descend(height, start, "SGD", 0.0399)
    outside = lesson.descend(height, start, "SGD", 0.0401)
    assert abs(inside[-1, 1]) < start[1] < abs(outside[-1, 1])


def test_a_path_that_runs_off_ends_early():
    height, start = lesson.SURFACES["bent valley"]
    path = lesson.descend(height, start, "SGD", 1.5)
    assert len(path) < 10
    assert np.isfinite(path).all()


# The network that tells tissues ---------------------------------------------------------------------------------------


@quick
@given(b=st.integers(1, 9), inputs=st.integers(1, 4), hidden=st.integers(1, 7), classes=st.integers(2, 5), seed=seeds)
def test_the_gradients_of_the_network_are_torchs(b, inputs, hidden, classes, seed):
    rng = np.random.default_rng(seed)
    x, target = rng.normal(size=(b, inputs)), rng.integers(0, classes, b)
    parameters = [array + 0.1 for array in lesson.new_parameters(rng, inputs, hidden, classes)]
    tensors = [tensor(array).requires_grad_() for array in parameters]
    logits = F.linear(torch.relu(F.linear(tensor(x), *tensors[:2])), *tensors[2:])
    F.cross_entropy(logits, torch.from_numpy(target)).backward()
    close(lesson.forward(x, parameters)[1], logits)
    for ours, theirs in zip(lesson.network_gradients(x, target, parameters), tensors, strict=True):
        close(ours, theirs.grad)


# The published claim --------------------------------------------------------------------------------------------------


def test_the_published_product_stands_beside_the_right_one():
    cells = nbformat.read(LESSON, as_version=4).cells
    printed = next(
        output.text for cell in cells for output in cell.get("outputs", ()) if "published:" in output.get("text", "")
    )
    published, right = printed.split("right:")[:2]
    assert [int(n) for n in re.findall(r"\d+", published)] == [8, 6, 9, 13, 11, 14, 9, 8, 9]
    assert [int(n) for n in re.findall(r"\d+", right)] == [8, 10, 12, 5, 7, 9, 11, 13, 15]
