"""Losses on logits: what a network is trained to make small."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cross_entropy", "cross_entropy_dice", "soft_dice"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over all voxels of -log(probability of the true class).

    Written as a sum over classes, not as a look-up: the look-up's gradient is not
    reproducible on a GPU. Built by hand in lesson 30.

    Args:
        logits: (B, K, *S) float, any scale; S is (H, W) or (D, H, W).
        labels: (B, *S) integers 0..K-1.

    Returns:
        A float32 scalar, at least 0; log(K) for a network that knows nothing.

    Raises:
        ValueError: if the shapes do not belong together or a label is not a class.
    """
    truth = _one_hot(logits, labels)
    return -(truth * logits.float().log_softmax(1)).sum(1).mean()


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 minus the mean soft Dice over the foreground classes, each summed over the whole batch.

    A class that no voxel of the batch belongs to is left out of the mean: its Dice would be 0
    whatever the network says, and its gradient would only push probabilities that the cross-entropy
    pushes already. With no foreground at all in the batch the loss is 0. Built by hand in lesson 30.

    Args:
        logits: (B, K, *S) float, K at least 2; class 0 is the background.
        labels: (B, *S) integers 0..K-1.

    Returns:
        A float32 scalar in [0, 1].

    Raises:
        ValueError: if there is no class but the background, the shapes do not belong together or a label is not a
            class.

    Source: Milletari, Navab, Ahmadi 2016, doi:10.1109/3DV.2016.79, without the squares in the denominator.
    """
    truth = _one_hot(logits, labels)
    if logits.shape[1] < 2:
        raise ValueError(
            f"logits must have at least 2 classes, background and foreground, got shape {tuple(logits.shape)}"
        )
    probabilities = logits.float().softmax(1)
    axes = (0, *range(2, logits.ndim))  # everything but the classes
    overlap = (probabilities * truth).sum(axes)[1:]  # (K - 1,)
    true_size = truth.sum(axes)[1:]
    dice = 2 * overlap / (probabilities.sum(axes)[1:] + true_size).clamp_min(1e-6)
    present = (true_size > 0).float()
    return (present * (1 - dice)).sum() / present.sum().clamp_min(1)


def cross_entropy_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """`cross_entropy` plus `soft_dice`: the first gives every voxel a gradient, the second weighs classes, not voxels.

    Args:
        logits: (B, K, *S) float, K at least 2.
        labels: (B, *S) integers 0..K-1.

    Returns:
        A float32 scalar, at least 0.

    Raises:
        ValueError: if there is one class only, the shapes do not belong together or a label is not a class.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    return cross_entropy(logits, labels) + soft_dice(logits, labels)


def _one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, K, *S) float32: 1 at the true class."""
    if logits.ndim < 3 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"logits (B, K, *S) and labels (B, *S) must share B and S, "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point():
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    classes = torch.arange(logits.shape[1], device=labels.device)
    shape = (1, -1, *[1] * (labels.ndim - 1))
    truth = (labels.unsqueeze(1) == classes.view(shape)).float()
    # Looking at values makes the host wait for a GPU; there `train.fit` checks the labels once, before the first step.
    if labels.device.type == "cpu" and truth.sum().item() != labels.numel():
        low, high = int(labels.min()), int(labels.max())
        raise ValueError(
            f"labels must be 0 to {logits.shape[1] - 1}, one for each class of the logits, got {low} to {high}"
        )
    return truth
