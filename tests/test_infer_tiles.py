"""Volumes that do not fit at once: exact tiles, blended windows, and a memory that holds."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from medlab import gpu, infer
from medlab.infer import probe, tiles
from medlab.models.attention_unet import AttentionUNet
from medlab.models.recurrent_unet import RecurrentUNet
from medlab.models.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread", "float32")


@pytest.fixture
def float32(monkeypatch):
    """Networks compute in float32 whatever the machine has."""
    precise = gpu.Precision(torch.float32, True, "for this test")
    monkeypatch.setattr(gpu, "precision", lambda device: precise)


def trained(model: nn.Module) -> nn.Module:
    """As if trained: batch norm has seen something."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) / 10)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return model.eval()


def volume(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


def counting(model: nn.Module) -> list[int]:
    """How many voxels each call gets from now on, once what can be measured before has been."""
    probe.needs(model.eval())
    calls: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0][:, 0].numel()))
    return calls


# How far a voxel reaches ----------------------------------------------------------------------------------------------


def reach_by_formula(levels: int, fold: int) -> int:
    """The interval that depends on one block of voxels, followed through the U-Net: convolutions widen it by 1."""
    multiple = fold * 2 ** (levels - 1)
    low, high = 0, 2 ** (levels - 1)  # the block, in voxels of the upper level
    lows = []
    for level in range(levels):
        if level:
            low, high = low // 2, -(-high // 2)
        low, high = low - 2, high + 2
        lows.append(low)
    for skip in reversed(lows[:-1]):
        low = min(2 * low, skip) - 2
    return math.ceil(-low * fold / multiple) * multiple


@pytest.mark.parametrize(
    ("widths", "dims", "fold"), [((2,), 3, 1), ((2, 2), 2, 1), ((2, 2), 3, 2), ((2, 2, 2), 3, 1), ((2,) * 4, 2, 1)]
)
def test_the_reach_of_a_unet_is_that_of_the_formula(widths, dims, fold):
    model = UNet(1, 2, widths, dims=dims, fold=fold).eval()
    wanted = reach_by_formula(len(widths), fold)
    assert probe.reaches(model, [10 * wanted] * dims) == [wanted] * dims


def test_the_reach_is_that_of_the_gradient_where_no_way_is_closed():
    """ReLU and max pooling close ways; without them the gradient finds them all."""
    model = UNet(1, 2, (2, 2, 2)).eval()
    for block in [*model.down, *model.decode]:
        block[2], block[5] = nn.Identity(), nn.Identity()
    model.pool = nn.AvgPool2d(2)
    for weights in model.parameters():
        weights.data.abs_()
    images = torch.zeros(1, 1, 100, 4, requires_grad=True)
    model(images)[:, :, 48:52].sum().backward()
    rows = (images.grad[0, 0] != 0).any(1).nonzero().flatten()
    farthest = max(48 - int(rows[0]), int(rows[-1]) + 1 - 52)
    assert math.ceil(farthest / 4) * 4 == probe.reaches(model, [100, 100])[0]


def test_what_reads_a_whole_axis_has_no_reach_there():
    class Normed(nn.Sequential):
        dims, in_channels, multiple = 2, 1, 1

    everywhere = Normed(nn.Conv2d(1, 2, 3, padding=1), nn.InstanceNorm2d(2), nn.Conv2d(2, 2, 1)).eval()
    assert probe.reaches(everywhere, [40, 60]) == [None, None]
    along_z = probe.reaches(RecurrentUNet(1, 2, (2, 2)).eval(), [2, 200, 200])
    assert along_z[0] is None
    assert along_z[1] is not None
    longer = probe.reaches(RecurrentUNet(1, 2, (2, 2)).eval(), [20, 200, 200])
    assert longer[1] >= along_z[1] + 2 * 18  # its state spreads by a voxel of the lower level with every slice


# Tiles with a halo ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "size", "memory_mib"),
    [
        (lambda: UNet(1, 3, (4, 6), dims=3), (1, 13, 70, 61), 3),
        (lambda: UNet(2, 3, (4, 6), dims=3, fold=2), (2, 90, 21, 70), 3),
        (lambda: UNet(3, 3, (4, 4, 4)), (1, 3, 150, 131), 1.5),
        (lambda: AttentionUNet(3, 2, (4, 4)), (1, 2, 91, 130), 0.5),
        (lambda: RecurrentUNet(1, 2, (3, 3)), (1, 3, 150, 90), 2),
    ],
    ids=["3d", "folded", "2d", "attention", "recurrent"],
)
def test_tiles_with_a_halo_give_what_the_whole_volume_gives(make, size, memory_mib):
    gpu.seed(0)
    model, values = trained(make()), volume(*size)
    whole = infer.probabilities(model, values)
    calls = counting(model)
    tiled = infer.probabilities(model, values, memory_mib=memory_mib)
    assert_close(tiled, whole, atol=1e-6, rtol=0)
    assert len(calls) > 3
    voxels = values[0].numel() // (size[1] if model.dims == 2 else 1)
    assert max(calls) < voxels
    fixed, each = probe.needs(model)
    assert fixed + each * max(calls) <= memory_mib * 2**20
    assert float(whole[1].std()) > 1e-4  # there is something to get wrong
    assert torch.equal(infer.predict(model, values, memory_mib=memory_mib), infer.predict(model, values))


def test_a_halo_that_is_too_narrow_would_be_seen(monkeypatch):
    gpu.seed(0)
    model, values = trained(UNet(1, 3, (4, 6), dims=3)), volume(1, 13, 70, 61)
    whole = infer.probabilities(model, values)
    monkeypatch.setattr(probe, "reaches", lambda *_: [4, 4, 4])
    assert float((infer.probabilities(model, values, memory_mib=3) - whole).abs().max()) > 1e-4


@pytest.mark.parametrize("memory_mib", [4, 8, 64])
def test_the_memory_holds(memory_mib):
    """Counted while it predicts: all that is made, but for the result."""
    model, values = trained(UNet(1, 2, (4, 6), dims=3)), volume(1, 60, 52, 70)
    probe.needs(model)
    result_bytes = 4 * 2 * values[0].numel()
    with probe.Peak() as peak:
        infer.probabilities(model, values, memory_mib=memory_mib)
    assert peak.most <= 1.1 * memory_mib * 2**20 + 2 * result_bytes
    if memory_mib < 64:
        with probe.Peak() as free:
            infer.probabilities(model, values)
        assert free.most > peak.most


def test_memory_is_counted_as_by_hand():
    class OneLayer(nn.Conv3d):
        dims, multiple = 3, 4

    fixed, voxel = probe.needs(OneLayer(2, 4, 3, padding=1).eval())
    # 4 logits and 4 probabilities of 4 bytes, and the input's 2 values once more with the channels last
    assert voxel in (4 * 4 + 4 * 4, 4 * 4 + 2 * 4 + 4 * 4)
    assert fixed < 10_000


def test_memory_that_is_let_go_counts_no_longer():
    with probe.Peak() as peak:
        for _ in range(5):
            one = torch.zeros(1000)
            two = one + 1
            two.mul_(2)
            two.view(10, 100)
            del one, two
    assert peak.most == 8000
    assert peak.now == 0


def test_too_little_memory_says_how_much_is_needed():
    model = trained(UNet(1, 2, (2, 2), dims=3))
    with pytest.raises(
        ValueError, match=r"memory_mib=0\.1 is too little: .* takes \d+ MiB; raise memory_mib, or blend"
    ):
        infer.predict(model, volume(1, 60, 52, 70), memory_mib=0.1)
    with pytest.raises(ValueError, match="is too little"):
        infer.predict(model, volume(1, 60, 52, 70), memory_mib=0.1, patch=(20, 20, 20))


def test_a_long_stack_goes_through_in_batches_that_fit():
    model, values = trained(UNet(3, 2, (4, 4))), volume(1, 70, 32, 32)
    calls = counting(model)
    fixed, voxel = probe.needs(model)
    labels = infer.predict(model, values, memory_mib=(fixed + voxel * 32 * 32 * 9.5) / 2**20)
    assert calls == [9 * 32 * 32] * 7 + [7 * 32 * 32]
    assert torch.equal(labels, infer.predict(model, values))


def test_the_cheapest_tiles_that_fit_are_taken():
    one = [[(part.start, part.stop, part.low, part.high) for part in axis] for axis in tiles.fitting([24], [4], 4, 16)]
    # of cores 4, 8, 12, 24 the widest whose input fits: 12 + 4 at either end
    assert one == [[(0, 16, 0, 12), (8, 24, 12, 24)]]
    assert tiles.fitting([24], [4], 4, 11) is None
    along, across = tiles.fitting([64, 16], [4, 8], 4, 64 * 16 / 2)
    assert len(along) == 3
    assert len(across) == 1
    whole, cut = tiles.fitting([16, 64], [None, 4], 4, 16 * 24)
    assert len(whole) == 1
    assert max(part.stop - part.start for part in cut) <= 24


# Blended windows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize(("size", "patch"), [(8, 8), (9, 8), (61, 16), (128, 32), (17, 1)])
def test_windows_cover_every_voxel_with_weights_that_sum_to_one(size, patch, overlap):
    parts = tiles.windows(size, patch, overlap)
    total = torch.zeros(size)
    for part in parts:
        assert part.stop - part.start == part.high - part.low == len(part.weights) == patch
        assert float(part.weights.min()) > 0
        total[part.low : part.high] += part.weights
    assert_close(total, torch.ones(size))
    assert parts[0].start == 0
    assert parts[-1].stop == size
    steps = [b.start - a.start for a, b in itertools.pairwise(parts)]
    assert all(0 < step <= max(1, patch * (1 - overlap)) + 0.5 for step in steps)


def test_the_bell_is_symmetric_and_an_eighth_wide():
    bell = tiles.gaussian(17)
    assert_close(bell, bell.flip(0))
    assert float(bell[8]) == 1
    assert float(bell[8 + 2] / bell[8]) == pytest.approx(math.exp(-((2 / (17 / 8)) ** 2) / 2))


class Turn(nn.Module):
    """Says 1 with a probability that depends on which window it is."""

    dims, in_channels, classes, multiple = 3, 1, 2, 1

    def __init__(self) -> None:
        super().__init__()
        self.one, self.shares, self.sizes = nn.Parameter(torch.ones(())), [], []

    def forward(self, images: Tensor) -> Tensor:
        share = self.shares.pop(0) if self.shares else 0.5
        self.sizes.append(tuple(images.shape[2:]))
        return torch.stack([images[:, 0] * 0 + math.log(1 - share), images[:, 0] * 0 + math.log(share)], dim=1)


def test_windows_are_blended_by_their_bells():
    model = Turn().eval()
    probe.needs(model)
    model.shares, model.sizes = [0.2, 0.8, 0.4], []
    found = infer.probabilities(model, volume(1, 2, 3, 8), patch=(2, 3, 4))  # windows begin at x = 0, 2, 4
    assert model.sizes == [(2, 3, 4)] * 3
    bell = [math.exp(-((x / 0.5) ** 2) / 2) for x in (-1.5, -0.5, 0.5, 1.5)]
    middle = (0.2 * bell[3] + 0.8 * bell[1]) / (bell[3] + bell[1])  # x = 3 lies in the first two
    assert_close(found[1, 0, 0, [0, 3, 7]], torch.tensor([0.2, middle, 0.4]))
    assert_close(found.sum(0), torch.ones(2, 3, 8))


@pytest.mark.parametrize("size", [(5, 13, 22), (1, 1, 1), (1, 40, 3), (16, 16, 16), (33, 8, 9)])
def test_blending_takes_volumes_of_any_size(size):
    """A network that looks at single voxels says the same in every window."""

    class Pointwise(nn.Conv3d):
        dims, multiple = 3, 4

    torch.manual_seed(0)
    model, values = Pointwise(1, 3, 1), volume(1, *size)
    found = infer.probabilities(model, values, patch=(8, 12, 16))
    assert_close(found, infer.probabilities(model, values))
    assert_close(infer.probabilities(model, values, patch=(4, 4, 4), overlap=0), found)


@pytest.mark.parametrize("size", [(70, 13, 22), (1, 9, 5)])
def test_slices_are_blended_too(size):
    class Pointwise(nn.Conv2d):
        dims, multiple = 2, 4

    torch.manual_seed(0)
    model, values = Pointwise(3, 2, 1), volume(1, *size)
    assert_close(infer.probabilities(model, values, patch=(8, 12), batch_size=7), infer.probabilities(model, values))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch": (8, 8)}, r"patch must be 3 multiples of 2, got \(8, 8\)$"),
        ({"patch": (8, 9, 8)}, r"patch must be 3 multiples of 2, got \(8, 9, 8\); \(8, 8, 8\) would fit"),
        ({"patch": (0, 8, 8)}, r"got \(0, 8, 8\); \(2, 8, 8\) would fit"),
        ({"patch": (8, 8, 8), "overlap": 1}, "overlap must be 0 to below 1, got 1"),
        ({"patch": (8, 8, 8), "overlap": -0.5}, "overlap must be 0 to below 1"),
        ({"overlap": 1.0}, "overlap must be 0 to below 1, got 1.0"),
    ],
)
def test_windows_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        infer.predict(UNet(1, 2, (2, 2), dims=3), volume(1, 8, 8, 8), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch": 8}, r"patch must be 3 multiples of 2, got 8: write \(8, 8, 8\)"),
        ({"mirror_axes": 2}, r"mirror_axes must be several of 0, 1, 2 \(D, H, W\), got 2: `\(2,\)`"),
        ({"mirror_axes": 0}, r"mirror_axes must be several of 0, 1, 2 \(D, H, W\), got 0: `\(0,\)`"),
    ],
)
def test_a_single_number_where_several_are_wanted_is_refused(options, words):
    with pytest.raises(TypeError, match=words):
        infer.predict(UNet(1, 2, (2, 2), dims=3), volume(1, 8, 8, 8), **options)
