"""What only a CUDA GPU can show: batches on their way while it computes, and a host that never waits."""

import pytest
import torch
from test_gpu import made
from torch.testing import assert_close

from medlab import gpu
from medlab.augment import Augment
from medlab.gpu import Prefetch, Resident

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
ALL = Augment(flip_axes=(0,), shear_degrees=10, elastic_percent=5, blur=1, low_resolution_percent=80, bias_percent=30)
OPTIONS = {"dims": 3, "patch": (4, 9, 8), "multiple": 8}


def test_patches_arrive_on_the_gpu_as_they_were_cut():
    gpu.seed(0)
    here = Prefetch(made(), workers=0, **OPTIONS)
    with Prefetch(made(), workers=2, device="cuda", **OPTIONS) as there:
        there.generator.set_state(here.generator.get_state())
        for _ in range(20):
            (images, labels), (expected, truth) = there.batch(6), here.batch(6)
            assert images.device.type == labels.device.type == there.last_cases.device.type == "cuda"
            assert_close(images.cpu(), expected)
            assert torch.equal(labels.cpu(), truth)
            assert torch.equal(there.last_cases.cpu(), here.last_cases)


@pytest.mark.parametrize("kind", [Resident, Prefetch])
def test_no_batch_makes_the_host_wait(kind):
    data = kind(made(), device="cuda", augment=ALL, **OPTIONS)
    data.batch(6)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        images, _ = data.batch(6)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert images.isfinite().all()


def test_augmentation_on_the_gpu_is_that_of_the_cpu_from_the_same_numbers(monkeypatch):
    draw = torch.rand

    def same(*shape, device=None, dtype=None, generator=None):
        return draw(*shape, generator=torch.Generator().manual_seed(3)).to(device)

    monkeypatch.setattr(torch, "rand", same)
    recipe = Augment(**{**vars(ALL), "noise": 0.0})
    images, labels = torch.randn(3, 1, 6, 10, 14), torch.randint(0, 3, (3, 6, 10, 14))
    ours = recipe(images, labels, torch.Generator())
    theirs = recipe(images.cuda(), labels.cuda(), torch.Generator("cuda"))
    assert_close(theirs[0].cpu(), ours[0], atol=1e-3, rtol=0)
    assert (theirs[1].cpu() != ours[1]).float().mean() < 0.01
