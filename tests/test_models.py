"""What holds for every network: its size on paper, its arguments, that it can learn, that nothing in it is idle."""

import inspect
import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medlab.losses import cross_entropy_dice
from medlab.models.attention_unet import AttentionUNet
from medlab.models.cnn import CNN
from medlab.models.counts import multiply_adds, parameter_count
from medlab.models.gan import Discriminator, Generator
from medlab.models.multi_task import MultiTaskUNet
from medlab.models.recurrent import RecurrentClassifier
from medlab.models.recurrent_unet import RecurrentUNet
from medlab.models.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")


# On paper: [parameters, multiply-adds] of each part, as in lesson 20 -------------------------------------------------


def conv(inputs, outputs, taps, positions, *, bias=False):
    """`positions`: where the kernel is put down, on the output; of a transposed convolution on the input."""
    return np.array([taps * inputs * outputs + bias * outputs, taps * inputs * outputs * positions])


def norm(channels):
    return np.array([2 * channels, 0])


def linear(inputs, outputs):
    return conv(inputs, outputs, 1, 1, bias=True)


def block(inputs, outputs, dims, positions):
    first, second = (conv(channels, outputs, 3**dims, positions) for channels in (inputs, outputs))
    return first + second + 2 * norm(outputs)


def unet(inputs, classes, widths, size, *, fold=1):
    dims = len(size)
    positions = [math.prod(size) // fold**dims // 2 ** (dims * level) for level in range(len(widths))]
    cost = block(inputs * fold**dims, widths[0], dims, positions[0])
    for level in range(1, len(widths)):
        upper, lower = widths[level - 1], widths[level]
        cost = cost + block(upper, lower, dims, positions[level])
        cost = cost + conv(lower, upper, 2**dims, positions[level], bias=False) + [upper, 0]
        cost = cost + block(2 * upper, upper, dims, positions[level - 1])
    return cost + conv(widths[0], classes * fold**dims, 1, positions[0], bias=True)


def gates(widths, size):
    dims = len(size)
    cost = np.zeros(2, dtype=int)
    for level, width in enumerate(widths[:-1]):
        positions = math.prod(size) // 2 ** (dims * level)
        cost += conv(width, width // 2, 1, positions) + conv(width, width // 2, 1, positions, bias=True)
        cost += conv(width // 2, 1, 1, positions, bias=True)
    return cost


def recurrent(inputs, hidden, gate_count, steps, directions):
    """Two matrices and, as in torch, two biases for every gate."""
    rows = gate_count * hidden
    return directions * np.array([rows * (inputs + hidden + 2), steps * rows * (inputs + hidden)])


def conv_lstm(inputs, hidden, slices, positions):
    return conv(inputs, 4 * hidden, 9, slices * positions, bias=True) + conv(hidden, 4 * hidden, 9, slices * positions)


def recurrent_unet(inputs, classes, widths, size):
    depth, *plane = size
    cost = unet(inputs, classes, widths, plane) * [1, depth]
    for level, width in enumerate(widths):
        positions, hidden = math.prod(plane) // 4**level, max(1, width // 4)
        cost = cost + 2 * conv_lstm(width, hidden, depth, positions)
        cost = cost + conv(2 * hidden, width, 1, depth * positions) + norm(width)
    return cost


# 28 pixels are 7 doubled twice.
GENERATOR = (
    conv(5, 6, 49, 1) + norm(6) + conv(6, 3, 16, 49) + norm(3) + conv(3, 2, 16, 14 * 14, bias=True)  # 7, 14, 28
)
DISCRIMINATOR = conv(2, 3, 16, 14 * 14, bias=True) + conv(3, 6, 16, 49) + norm(6) + conv(6, 1, 49, 1, bias=True)
MODELS = {
    "unet-2d": (lambda: UNet(2, 3, (4, 6, 8)), (2, 8, 12), unet(2, 3, (4, 6, 8), (8, 12))),
    "unet-3d": (lambda: UNet(1, 2, (3, 5), dims=3), (1, 4, 6, 2), unet(1, 2, (3, 5), (4, 6, 2))),
    "unet-2d-folded": (lambda: UNet(2, 3, (4, 6), fold=3), (2, 6, 12), unet(2, 3, (4, 6), (6, 12), fold=3)),
    "unet-3d-folded": (
        lambda: UNet(1, 2, (3, 5), dims=3, fold=2),
        (1, 4, 12, 8),
        unet(1, 2, (3, 5), (4, 12, 8), fold=2),
    ),
    "attention-2d": (
        lambda: AttentionUNet(1, 3, (4, 6, 8)),
        (1, 8, 12),
        unet(1, 3, (4, 6, 8), (8, 12)) + gates((4, 6, 8), (8, 12)),
    ),
    "attention-3d": (
        lambda: AttentionUNet(1, 3, (4, 6), dims=3),
        (1, 4, 6, 8),
        unet(1, 3, (4, 6), (4, 6, 8)) + gates((4, 6), (4, 6, 8)),
    ),
    "multi-task-2d": (
        lambda: MultiTaskUNet(1, 3, 4, (4, 6, 8)),
        (1, 8, 12),
        unet(1, 3, (4, 6, 8), (8, 12)) + linear(8, 4),
    ),
    "multi-task-3d": (
        lambda: MultiTaskUNet(1, 3, 2, (4, 6), dims=3),
        (1, 4, 6, 8),
        unet(1, 3, (4, 6), (4, 6, 8)) + linear(6, 2),
    ),
    "recurrent-unet": (
        lambda: RecurrentUNet(2, 3, (4, 6, 8)),
        (2, 5, 8, 12),
        recurrent_unet(2, 3, (4, 6, 8), (5, 8, 12)),
    ),
    "cnn-1d": (lambda: CNN(3, 4, (5, 6), dims=1), (3, 13), block(3, 5, 1, 13) + block(5, 6, 1, 6) + linear(6, 4)),
    "cnn-2d": (
        lambda: CNN(1, 2, (4, 6, 8), dropout=0.5),
        (1, 11, 6),
        block(1, 4, 2, 66) + block(4, 6, 2, 15) + block(6, 8, 2, 2) + linear(8, 2),
    ),
    "cnn-3d": (
        lambda: CNN(1, 2, (4, 6), dims=3),
        (1, 4, 5, 6),
        block(1, 4, 3, 120) + block(4, 6, 3, 12) + linear(6, 2),
    ),
    "rnn": (
        lambda: RecurrentClassifier(2, 3, 7, cell="rnn"),
        (2, 20),
        recurrent(2, 7, 1, 20, 1) + linear(7, 3),
    ),
    "lstm": (
        lambda: RecurrentClassifier(2, 3, 7, samples_per_step=4, bidirectional=True),
        (2, 20),
        recurrent(8, 7, 4, 5, 2) + linear(14, 3),
    ),
    "gru": (
        lambda: RecurrentClassifier(1, 2, 6, cell="gru", samples_per_step=5),
        (1, 15),
        recurrent(5, 6, 3, 3, 1) + linear(6, 2),
    ),
    "generator": (lambda: Generator(5, 28, 3, channels=2), (5,), GENERATOR),
    "discriminator": (lambda: Discriminator(2, 28, 3), (2, 28, 28), DISCRIMINATOR),
}
every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_the_counts_are_those_on_paper(name):
    make, shape, (parameters, products) = MODELS[name]
    model = make()
    assert parameter_count(model) == parameters
    assert multiply_adds(model, torch.zeros(1, *shape)) == products
    assert multiply_adds(model, torch.zeros(3, *shape)) == 3 * products


def test_counting_leaves_the_model_as_it_was():
    model = CNN(1, 2, (4, 6)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    multiply_adds(model, torch.zeros(2, 1, 8, 8))
    assert model.training
    assert all(module.training for module in model.modules())
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_a_volume_too_large_for_this_machine_can_be_counted():
    size = (4096, 4096, 4096)
    volume = torch.zeros(()).expand(1, 1, *size)  # a shape, one number
    assert multiply_adds(UNet(1, 2, (4,), dims=3), volume) == unet(1, 2, (4,), size)[1]


@every_model
def test_every_parameter_gets_a_gradient(name):
    make, shape, _ = MODELS[name]
    torch.manual_seed(0)
    model = make()
    out = model(torch.randn(4, *shape))
    parts = out if isinstance(out, tuple) else (out,)
    sum(part.square().sum() for part in parts).backward()
    idle = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert idle == []


@every_model
def test_its_arguments_are_kept_as_plain_values_that_make_it_again(name):
    make, shape, _ = MODELS[name]
    torch.manual_seed(0)
    model = make().eval()
    arguments = {key: getattr(model, key) for key in inspect.signature(type(model)).parameters}
    again = type(model)(**json.loads(json.dumps(arguments))).eval()
    again.load_state_dict(model.state_dict())
    inputs = torch.randn(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(again(inputs), model(inputs), rtol=0, atol=0)


@every_model
def test_it_says_what_it_takes(name):
    make, shape, _ = MODELS[name]
    model = make()
    if name != "generator":
        assert (model.in_channels, model.dims) == (shape[0], len(shape) - 1)
    else:
        assert (model.channels, model.dims) == (2, 2)


def trained(model, inputs, loss_of, steps, rate=1e-2):
    """The losses before the first and after the last step."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        loss = loss_of(model(inputs))
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return losses[0], loss_of(model(inputs)).item()


def smoothed(images, dims):
    return (F.avg_pool2d if dims == 2 else F.avg_pool3d)(images, 3, stride=1, padding=1)[:, 0]


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (lambda: UNet(1, 3, (8, 16), fold=2), (16, 24)),
        (lambda: UNet(1, 3, (16, 16), dims=3, fold=2), (8, 4, 12)),
        (lambda: AttentionUNet(1, 3, (8, 16)), (16, 24)),
        (lambda: AttentionUNet(1, 3, (8, 8), dims=3), (4, 6, 8)),
        (lambda: RecurrentUNet(1, 3, (8, 16)), (5, 12, 16)),
    ],
    ids=["folded-2d", "folded-3d", "attention-2d", "attention-3d", "recurrent"],
)
def test_segmentation_can_overfit_one_batch(model, size):
    torch.manual_seed(0)
    images = torch.randn(2, 1, *size)
    middle = smoothed(images, len(size))
    labels = (middle > 0).long() + (middle > 0.4).long()
    first, last = trained(model(), images, lambda logits: cross_entropy_dice(logits, labels), 100, rate=2e-2)
    assert last < first / 10


def test_both_tasks_together_can_overfit_one_batch():
    torch.manual_seed(0)
    images = torch.randn(4, 1, 16, 24)
    labels, classes = (smoothed(images, 2) > 0).long(), torch.tensor([0, 1, 2, 1])

    def loss_of(out):
        return cross_entropy_dice(out[0], labels) + F.cross_entropy(out[1], classes)

    first, last = trained(MultiTaskUNet(1, 2, 3, (8, 16)), images, loss_of, 60, rate=2e-2)
    assert last < first / 10


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: CNN(2, 3, (8, 16), dims=1), (2, 21)),
        (lambda: CNN(1, 3, (8, 16)), (1, 9, 14)),
        (lambda: CNN(1, 3, (8, 16), dims=3), (1, 4, 6, 5)),
        (lambda: RecurrentClassifier(2, 3, 16, cell="rnn"), (2, 12)),
        (lambda: RecurrentClassifier(2, 3, 16, cell="lstm", bidirectional=True), (2, 12)),
        (lambda: RecurrentClassifier(2, 3, 16, cell="gru", samples_per_step=3), (2, 12)),
    ],
    ids=["cnn-1d", "cnn-2d", "cnn-3d", "rnn", "lstm", "gru"],
)
def test_classification_can_overfit_one_batch(model, shape):
    torch.manual_seed(0)
    inputs, classes = torch.randn(9, *shape), torch.arange(9) % 3
    first, last = trained(model(), inputs, lambda logits: F.cross_entropy(logits, classes), 80, rate=2e-2)
    assert last < first / 10


def test_frozen_numbers_do_not_count():
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert parameter_count(layer) == 6
