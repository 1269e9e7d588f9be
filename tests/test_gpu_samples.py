"""Small images and signals with one class each."""

import numpy as np
import pytest
import torch

from medlab import gpu
from medlab.augment import Augment
from medlab.gpu import Samples


def numbered(*size: int, count: int = 6) -> torch.Tensor:
    """Sample i is full of the number i."""
    return torch.arange(float(count)).view(-1, *[1] * len(size)).expand(count, *size).clone()


@pytest.mark.parametrize(("size", "dims"), [((2, 30), 1), ((3, 9, 14), 2), ((1, 4, 9, 14), 3)])
def test_inputs_and_classes_belong_together(size, dims):
    data = Samples(numbered(*size), np.array([0, 1, 2, 0, 1, 3]))
    assert (len(data), data.dims, data.channels, data.classes) == (6, dims, size[0], 4)
    inputs, targets = data.batch(200)
    assert inputs.shape == (200, *size)
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    drawn = inputs.flatten(1)[:, 0].long()
    assert torch.equal(drawn, data.last_cases)
    assert torch.equal(targets, torch.tensor([0, 1, 2, 0, 1, 3])[drawn])
    assert set(drawn.tolist()) == set(range(6))


def test_names_are_numbers_unless_given():
    assert Samples(numbered(1, 4), torch.zeros(6, dtype=torch.int32)).names[5] == "sample 5"
    assert Samples(numbered(1, 4), torch.zeros(6, dtype=torch.uint8), names=list("abcdef")).names[5] == "f"


def test_the_seed_and_the_state_decide_the_batches():
    drawn = []
    for number in (5, 5, 6):
        gpu.seed(number)
        data = Samples(numbered(1, 9, 14), torch.arange(6), augment=Augment())
        state = data.generator.get_state()
        drawn.append(data.batch(8)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    data.generator.set_state(state)
    assert torch.equal(data.batch(8)[0], drawn[2])


def test_the_augmentation_changes_images_and_leaves_classes():
    inputs = torch.randn(6, 1, 9, 14, generator=torch.Generator().manual_seed(0))
    data = Samples(inputs, torch.arange(6), augment=Augment())
    images, targets = data.batch(8)
    assert torch.equal(targets, data.last_cases)
    assert not torch.equal(images, inputs[data.last_cases])


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (torch.zeros(0, 1, 4), torch.zeros(0, dtype=torch.long), r"at least one sample, got torch.float32 \(0, 1, 4\)"),
        (torch.zeros(2, 4), torch.tensor([0, 1]), r"got torch.float32 \(2, 4\)"),
        (torch.zeros(2, 1, 4, dtype=torch.uint8), torch.tensor([0, 1]), "normalised floats .* got torch.uint8"),
        (torch.tensor([[[0.0]], [[torch.nan]]]), torch.tensor([0, 1]), "sample 1 holds NaN or infinity"),
        (
            torch.zeros(2, 1, 4),
            torch.tensor([0, 1, 1]),
            r"targets must be \(2,\) whole numbers .* got torch.int64 \(3,\)",
        ),
        (torch.zeros(2, 1, 4), torch.tensor([0.0, 1.0]), r"whole numbers from 0, one a sample, got torch.float32"),
        (torch.zeros(2, 1, 4), torch.tensor([0, -1]), "whole numbers from 0"),
    ],
)
def test_what_does_not_fit_is_refused(inputs, targets, message):
    with pytest.raises(ValueError, match=message):
        Samples(inputs, targets)


def test_names_and_sizes_are_checked():
    with pytest.raises(ValueError, match="names must be one a sample, got 1 names and 6 samples"):
        Samples(numbered(1, 4), torch.arange(6), names=["a"])
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        Samples(numbered(1, 4), torch.arange(6)).batch(0)
    with pytest.raises(torch.OutOfMemoryError, match=r"a batch of \d+ does not fit: lower the batch size"):
        Samples(numbered(1, 4), torch.arange(6)).batch(2**45)
