"""3D convolutions of volumes with fewer slices than their kernel has, which PyTorch gets wrong in bfloat16 on a CPU."""

from copy import deepcopy

import pytest
import torch
from torch.testing import assert_close

from medlab.gpu import Precision
from medlab.gpu.device import DeepEnough

CPU = torch.device("cpu")
BFLOAT16 = Precision(torch.bfloat16, True, "asked for")


def pass_through(layer, volumes):
    """What a layer gives, and the gradients of its weighted sum by the input and by the parameters."""
    layer.zero_grad()
    volumes = volumes.clone().requires_grad_()
    result = layer(volumes)
    (result * torch.arange(result.numel()).reshape(result.shape).cos()).sum().backward()
    return result, volumes.grad, *(p.grad.clone() for p in layer.parameters())


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "how",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": "same", "groups": 2},
        {"kernel_size": (5, 3, 3), "padding": "same", "dilation": (2, 1, 1)},
        {"kernel_size": (5, 3, 1), "padding": (2, 1, 0), "stride": (2, 1, 1)},
        {"kernel_size": 3, "padding": (2, 1, 1), "dilation": (2, 1, 1)},
        {"kernel_size": 3, "padding": 1, "padding_mode": "replicate"},
        {"kernel_size": (2, 1, 1), "padding": (1, 0, 0), "bias": False},
    ],
    ids=str,
)
def test_it_gives_what_torch_gives_in_float32(depth, how):
    torch.manual_seed(0)
    plain, volumes = torch.nn.Conv3d(4, 6, **how), torch.randn(2, 4, depth, 4, 3)
    ours = BFLOAT16.place(deepcopy(plain), CPU)
    assert type(ours) is DeepEnough
    for got, expected in zip(pass_through(ours, volumes), pass_through(plain, volumes), strict=True):
        assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_its_gradient_in_bfloat16_does_not_read_memory_that_nobody_wrote():
    torch.manual_seed(0)
    plain, volumes = torch.nn.Conv3d(32, 32, 3, padding=1, bias=False), torch.randn(2, 32, 2, 3, 2)
    expected = pass_through(plain, volumes)[-1]
    ours = BFLOAT16.place(deepcopy(plain), CPU)
    for _ in range(4):
        for power in range(8, 21, 2):  # what is given back here is handed out again as it is
            torch.full((2**power,), torch.nan)
        with BFLOAT16.autocast(CPU):
            got = pass_through(ours, volumes.contiguous(memory_format=torch.channels_last_3d))[-1]
        assert (got - expected).norm() < 0.01 * expected.norm()


def test_a_volume_into_which_no_window_fits_is_refused_as_by_torch():
    layer = BFLOAT16.place(torch.nn.Conv3d(1, 1, 3), CPU)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        layer(torch.zeros(1, 1, 2, 4, 4))


def test_float32_keeps_the_layers_of_torch():
    layer = Precision(torch.float32, False, "asked for").place(torch.nn.Conv3d(1, 1, 3), CPU)
    assert type(layer) is torch.nn.Conv3d
