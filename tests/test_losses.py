"""Losses against closed forms that can be worked out on paper."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from medlab.losses import cross_entropy, cross_entropy_dice, soft_dice


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """(pixels, K) probabilities -> (1, K, 1, pixels) logits that give them."""
    return torch.tensor(probabilities).log().T[None, :, None, :]


def test_cross_entropy_of_a_network_that_knows_nothing_is_log_of_the_classes():
    assert_close(cross_entropy(torch.zeros(2, 5, 3, 4), torch.randint(0, 5, (2, 3, 4))), torch.tensor(math.log(5)))


def test_cross_entropy_is_the_mean_of_minus_log_of_the_true_class():
    logits = logits_of([[0.5, 0.5], [0.25, 0.75]])
    expected = (math.log(2) + math.log(4)) / 2  # the true classes have probability 1/2 and 1/4
    assert_close(cross_entropy(logits, torch.tensor([[[1, 0]]])), torch.tensor(expected))


@pytest.mark.parametrize("size", [(3, 5), (2, 3, 5)])
def test_cross_entropy_and_its_gradient_equal_torch(size):
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (2, *size))
    ours = torch.randn(2, 4, *size, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    value, reference = cross_entropy(ours, labels), F.cross_entropy(theirs, labels)
    assert_close(value, reference)
    value.backward()
    reference.backward()
    assert_close(ours.grad, theirs.grad)


def test_soft_dice_of_two_pixels_by_hand():
    logits = logits_of([[0.4, 0.6], [0.9, 0.1]])
    # overlap 0.6; sizes 0.7 predicted and 1 true: Dice = 1.2 / 1.7
    assert_close(soft_dice(logits, torch.tensor([[[1, 0]]])), torch.tensor(1 - 1.2 / 1.7))


def test_soft_dice_is_the_mean_over_the_classes_that_occur():
    logits = logits_of([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]])
    labels = torch.tensor([[[1, 1]]])  # class 2 occurs nowhere
    assert_close(soft_dice(logits, labels), torch.tensor(1 - 2 * 1.0 / (1.0 + 2.0)))
    labels = torch.tensor([[[1, 2]]])
    expected = 1 - (2 * 0.5 / 2 + 2 * 0.3 / 1.6) / 2
    assert_close(soft_dice(logits, labels), torch.tensor(expected))


def test_soft_dice_sums_over_the_batch_before_it_divides():
    logits = logits_of([[0.5, 0.5], [0.5, 0.5]])
    labels = torch.tensor([[[1, 1]], [[0, 1]]])
    batch = torch.cat([logits, logits])
    assert_close(soft_dice(batch, labels), torch.tensor(1 - 2 * 1.5 / (2 + 3)))


def test_soft_dice_of_a_batch_without_foreground_is_zero_and_pushes_nothing():
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    value = soft_dice(logits, torch.zeros(1, 4, 5, dtype=torch.long))
    value.backward()
    assert_close(value, torch.tensor(0.0))
    assert_close(logits.grad, torch.zeros_like(logits))


def test_a_sure_and_right_network_has_no_loss_and_a_sure_and_wrong_one_a_great_one():
    labels = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(0))
    right = 50.0 * F.one_hot(labels, 3).movedim(-1, 1).float()
    assert_close(cross_entropy_dice(right, labels), torch.tensor(0.0), atol=1e-6, rtol=0)
    wrong = 50.0 * F.one_hot((labels + 1) % 3, 3).movedim(-1, 1).float()
    assert cross_entropy_dice(wrong, labels) > 50


def test_the_sum_of_both_is_what_is_said():
    torch.manual_seed(1)
    logits, labels = torch.randn(2, 3, 4, 6), torch.randint(0, 3, (2, 4, 6))
    assert_close(cross_entropy_dice(logits, labels), cross_entropy(logits, labels) + soft_dice(logits, labels))


@pytest.mark.parametrize("loss", [soft_dice, cross_entropy_dice])
def test_one_class_alone_is_refused(loss):
    with pytest.raises(ValueError, match=r"at least 2 classes, background and foreground, got shape \(1, 1, 4, 5\)"):
        loss(torch.zeros(1, 1, 4, 5), torch.zeros(1, 4, 5, dtype=torch.long))


@pytest.mark.parametrize("loss", [cross_entropy, soft_dice])
def test_bfloat16_logits_are_worked_on_in_float32(loss):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 8, 12).bfloat16(), torch.randint(0, 3, (2, 8, 12))
    value = loss(logits, labels)
    assert value.dtype == torch.float32
    assert_close(value, loss(logits.float(), labels), atol=0, rtol=0)


@pytest.mark.parametrize("loss", [cross_entropy, soft_dice, cross_entropy_dice])
def test_wrong_input_is_refused_with_what_was_given(loss):
    logits = torch.zeros(2, 3, 4, 6)
    with pytest.raises(ValueError, match=r"share B and S, got \(2, 3, 4, 6\) and \(2, 6, 4\)"):
        loss(logits, torch.zeros(2, 6, 4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"must be integers, got torch.float32"):
        loss(logits, torch.zeros(2, 4, 6))
    with pytest.raises(ValueError, match="labels must be 0 to 2, one for each class of the logits, got 0 to 3"):
        loss(logits, torch.arange(48).view(2, 4, 6) % 4)
    with pytest.raises(ValueError, match="got -1 to 0"):
        loss(logits, torch.arange(48).view(2, 4, 6) % 2 - 1)
