"""Device, precision, and the cohort that lies on the device."""

import random
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch.testing import assert_close

from medlab import gpu
from medlab.gpu import Prefetch, Resident, normalise
from medlab.gpu.places import Places

CPU = torch.device("cpu")
SIZES = [(5, 20, 9), (7, 14, 12), (6, 17, 10)]  # (D, H, W), none a multiple of 8


@dataclass
class Case:
    name: str
    volume: np.ndarray
    truth: np.ndarray | None

    def image(self) -> sitk.Image:
        return sitk.GetImageFromArray(self.volume, isVector=self.volume.ndim == 4)

    def labels(self) -> sitk.Image | None:
        return None if self.truth is None else sitk.GetImageFromArray(self.truth)


def made(sizes=SIZES, channels=()) -> list[Case]:
    """Volumes of noise at very different scales, with one small block of label 1 and one voxel of label 2."""
    source = np.random.default_rng(0)
    cases = []
    for index, size in enumerate(sizes):
        truth = np.zeros(size, np.uint8)
        truth[2:4, 3:6, 4:6] = 1
        truth[1, 2, 3] = 2
        volume = source.normal(size=(*size, *channels)).astype(np.float32)
        cases.append(Case(f"case-{index}", (volume + index) * 1000.0**index, truth))
    return cases


def test_seed_sets_every_source_of_chance():
    drawn = []
    for number in (3, 3, 4):
        gpu.seed(number)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


@pytest.mark.parametrize("number", [-1, 2**32])
def test_seed_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match=f"seed must be 0 to 4294967295, got {number}"):
        gpu.seed(number)


def found(monkeypatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_fastest_device_is_picked_and_said_in_one_line(monkeypatch, capsys, cuda, mps, best):
    found(monkeypatch, cuda=cuda, mps=mps)
    assert gpu.pick_device().type == best
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith({"cuda": "Device: Some GPU", "mps": "Device: MPS", "cpu": "Device: CPU with "}[best])


def test_a_device_that_is_not_there_is_refused_not_replaced(monkeypatch):
    found(monkeypatch, cuda=False, mps=False)
    with pytest.raises(ValueError, match=r"device 'cuda' is not there; this machine has \['cpu'\]"):
        gpu.pick_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "dtype", "why"),
    [
        ({"avx512_bf16": True}, torch.bfloat16, "the CPU has AVX512-BF16"),
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16, "the CPU has AMX-BF16"),
        ({"avx512_f": True, "avx512_bf16": False}, torch.float32, "the CPU reports no bfloat16 arithmetic"),
    ],
)
def test_bfloat16_only_where_the_cpu_says_it_multiplies_it(monkeypatch, capabilities, dtype, why):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    chosen = gpu.precision(CPU)
    assert (chosen.dtype, chosen.why) == (dtype, why)
    with chosen.autocast(CPU):
        assert torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3)).dtype == dtype


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-3, 5), (1e6, -3e5)])
def test_normalise_takes_away_scale_and_offset(scale, offset):
    volume = np.random.default_rng(1).normal(size=(4, 6, 8))
    values = normalise(volume * scale + offset)
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(0, abs=1e-5)
    assert values.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(values, normalise(volume), atol=1e-4)


def test_normalise_works_on_each_channel():
    volume = np.random.default_rng(1).normal(size=(4, 6, 8, 2)) * [1, 50] + [0, 9]
    np.testing.assert_allclose(normalise(volume).std(axis=(0, 1, 2)), [1, 1], atol=1e-5)


def test_normalise_of_a_constant_volume_is_zero_and_outliers_are_clipped():
    assert not normalise(np.full((2, 3, 4), 7)).any()
    volume = np.zeros((10, 20, 30))
    volume[0, 0, 0] = 1e6
    assert normalise(volume).max() == pytest.approx(16, abs=1e-3)


@pytest.mark.parametrize("volume", [np.full((2, 3, 4), np.nan), np.zeros((0, 3, 4))])
def test_normalise_refuses_what_would_give_nan(volume):
    with pytest.raises(ValueError, match="volume must hold finite numbers"):
        normalise(volume)


@pytest.mark.parametrize("shape", [(20, 30), (1, 20, 24, 30), (1, 1, 20, 24, 30)])
def test_normalise_refuses_axes_in_another_order(shape):
    with pytest.raises(ValueError, match=r"channels come last; without any, leave their axis out"):
        normalise(np.ones(shape))


@pytest.mark.parametrize("context", [-1, 0.5])
@pytest.mark.parametrize("dealer", [Resident, Prefetch])
def test_a_context_that_is_no_number_of_slices_is_refused(dealer, context):
    with pytest.raises(ValueError, match=rf"context must be a whole number of slices from 0, got {context}"):
        dealer(made(), context=context)


def test_an_array_is_no_image():
    with pytest.raises(TypeError, match=r"must be a SimpleITK image, got ndarray: images\.from_array makes one"):
        gpu.network_input(np.zeros((3, 4, 5)))


def test_the_cohort_is_padded_evenly_and_comes_back_as_it_was():
    cases = made()
    data = Resident(cases, multiple=8)
    assert data.padded == (7, 24, 16)
    assert (len(data), data.classes, data.channels) == (3, 3, 3)
    assert data.bytes == 3 * 7 * 24 * 16 * (2 + 1)
    for index, case in enumerate(cases):
        volume, truth = data.volume(index)
        np.testing.assert_allclose(volume[0].numpy(), normalise(case.volume), atol=1 / 2048)
        np.testing.assert_array_equal(truth.numpy(), case.truth)
    assert data.labels[:, :, :2].sum() == 0  # (24 - 20) / 2 rows above the tallest
    assert data.values[0, :, 5:].abs().sum() == 0


def test_a_slice_comes_with_its_neighbours_and_its_own_labels():
    cases = made()
    data = Resident(cases, multiple=8)
    images, labels = data.batch(200)
    assert images.shape == (200, 3, 24, 16)
    assert labels.shape == (200, 24, 16)
    seen = set()
    for image, truth, index in zip(images, labels, data.last_cases.tolist(), strict=True):
        whole = data.values[index, 0].float() / 2048
        depth = SIZES[index][0]
        z = next(z for z in range(depth) if torch.equal(whole[z], image[1]))
        seen.add((index, z))
        assert torch.equal(image[0], whole[max(z - 1, 0)])
        assert torch.equal(image[2], whole[min(z + 1, depth - 1)])
        assert torch.equal(truth, data.labels[index, z].long())
    assert seen == {(index, z) for index, size in enumerate(SIZES) for z in range(size[0])}


@pytest.mark.parametrize(("dims", "patch"), [(2, (8, 12)), (3, (4, 8, 12))])
def test_a_patch_is_cut_out_of_image_and_labels_at_the_same_place(dims, patch):
    cases = made()
    for case in cases:  # the image shows the labels
        case.volume = case.truth.astype(np.float32)
    data = Resident(cases, dims=dims, patch=patch, multiple=4)
    images, labels = data.batch(64)
    middle = images[:, 1] if dims == 2 else images[:, 0]
    assert middle.shape == labels.shape == (64, *patch)
    inside = middle - middle.flatten(1).amin(1).view(-1, *[1] * dims) > 0.5
    assert torch.equal(inside, labels > 0)


@pytest.mark.parametrize(("foreground", "low", "high"), [(0.0, 0.0, 0.25), (1.0, 1.0, 1.0)])
def test_patches_are_centred_on_labels_as_often_as_asked(foreground, low, high):
    gpu.seed(0)
    sizes = [(9, 40, 48)] * 3
    data = Resident(made(sizes), dims=3, patch=(3, 5, 5), multiple=1, foreground=foreground)
    _, labels = data.batch(300)
    share = (labels.flatten(1).amax(1) > 0).float().mean().item()
    assert low <= share <= high


def test_rare_classes_and_all_cases_are_drawn():
    gpu.seed(0)
    data = Resident(made([(9, 40, 48)] * 3), dims=3, patch=(1, 1, 1), multiple=1, foreground=1.0)
    _, labels = data.batch(400)
    assert set(labels.unique().tolist()) == {1, 2}
    assert set(data.last_cases.tolist()) == {0, 1, 2}


def test_labelled_voxels_are_found_in_padded_volumes():
    data = Resident(made(), dims=3, patch=(1, 1, 1), multiple=8, foreground=1.0)
    assert data.batch(200)[1].flatten().all()


def test_a_cohort_without_foreground_still_deals():
    cases = made()
    for case in cases:
        case.truth[:] = 0
    _, labels = Resident(cases, multiple=8).batch(4)
    assert not labels.any()


def test_the_seed_decides_the_batches():
    drawn = []
    for number in (5, 5, 6):
        gpu.seed(number)
        drawn.append(Resident(made(), multiple=8).batch(8)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_channels_of_the_image_stay_together():
    data = Resident(made(channels=(2,)), multiple=8)
    assert data.channels == 6
    images, _ = data.batch(1)
    index = data.last_cases.item()
    whole = data.values[index].float() / 2048  # (2, D, H, W)
    assert any(torch.equal(images[0, 1], whole[0, z]) and torch.equal(images[0, 4], whole[1, z]) for z in range(7))


def test_pictures_are_volumes_of_one_slice():
    source = np.random.default_rng(0)
    cases = [Case("a", source.normal(size=(9, 14)), np.ones((9, 14), np.uint8))]
    data = Resident(cases, context=0, multiple=8)
    images, labels = data.batch(2)
    assert images.shape == (2, 1, 16, 16)
    assert labels.sum() == 2 * 9 * 14


def test_the_augmentation_gets_batch_and_generator():
    def negative(images, labels, generator):
        assert generator is data.generator
        return -images, labels + 1

    data = Resident(made(), multiple=8)
    state = data.generator.get_state()
    plain = data.batch(4)
    data.generator.set_state(state)
    data.augment = negative
    changed = data.batch(4)
    assert_close(changed[0], -plain[0])
    assert torch.equal(changed[1], plain[1] + 1)


def test_bad_cohorts_are_refused_by_name():
    with pytest.raises(ValueError, match="cases must hold at least one case, got none"):
        Resident([])
    volume = np.zeros((3, 4, 5), np.float32)
    with pytest.raises(ValueError, match="b-17 has no labels"):
        Resident([Case("b-17", volume, None)])
    with pytest.raises(ValueError, match=r"b-17 has an image of \(3, 4, 5\) and labels of \(3, 5, 4\)"):
        Resident([Case("b-17", volume, np.zeros((3, 5, 4), np.uint8))])
    with pytest.raises(ValueError, match="b-17 has labels that are no whole numbers from 0 to 255"):
        Resident([Case("b-17", volume, np.full((3, 4, 5), 300, np.uint16))])
    colours = Case("b-17", np.zeros((3, 4, 5, 2), np.float32), np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(ValueError, match="c-2 has 1 channels, b-17 has 2: make them alike"):
        Resident([colours, Case("c-2", volume, np.zeros((3, 4, 5), np.uint8))])
    with pytest.raises(ValueError, match=r"patch must be 2 sizes of at least 1 and at most \(16, 16\), got \(16, 20\)"):
        Resident([Case("b-17", volume, np.zeros((3, 4, 5), np.uint8))], patch=(16, 20))
    with pytest.raises(ValueError, match="patch must be 2 sizes"):
        Resident([Case("b-17", volume, np.zeros((3, 4, 5), np.uint8))], patch=(3, 4, 4))


def test_positions_beyond_the_range_of_int16_are_kept():
    size = (1, 40_000, 8)
    truth = np.zeros(size, np.uint8)
    truth[0, 39_990, 4] = 1
    case = Case("a", np.random.default_rng(0).normal(size=size).astype(np.float32), truth)
    data = Resident([case], context=0, patch=(8, 8), multiple=1, foreground=1.0)
    _, labels = data.batch(4)
    assert labels.flatten(1).sum(1).tolist() == [1, 1, 1, 1]


def test_cases_beyond_the_range_of_int16_are_kept():
    labels = [np.zeros((1, 1, 2), np.uint8)] * 33_000
    labels[-1] = np.ones((1, 1, 2), np.uint8)
    places = Places(
        SimpleNamespace(labels=labels, classes=2), dims=3, patch=(1, 1, 1), multiple=1, foreground=1.0, device=CPU
    )
    case, corner = places.draw(8, torch.Generator().manual_seed(0))
    assert case.tolist() == [32_999] * 8
    assert set(corner[:, 2].tolist()) == {0, 1}


def test_a_batch_beyond_the_memory_says_what_to_lower():
    data = Resident(made(), multiple=8)
    with pytest.raises(torch.OutOfMemoryError, match=r"a batch of \d+ does not fit: lower the batch size or the patch"):
        data.batch(2**45)
    assert data.batch(2)[0].shape == (2, 3, 24, 16)


def test_a_cohort_beyond_the_memory_points_to_prefetch(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Resident, "_fill", full)
    with pytest.raises(torch.OutOfMemoryError, match=r"3 volumes take 0\.0 GiB on cpu: take gpu\.Prefetch"):
        Resident(made())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 4}, "dims must be 2 or 3"),
        ({"multiple": 0}, "multiple at least 1"),
        ({"foreground": 1.5}, "foreground 0 to 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Resident(made(), **options)


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        Resident(made(), multiple=8).batch(0)


def test_a_value_that_is_not_finite_is_refused_by_name():
    case = made()[1]
    case.volume[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"case-1: volume must hold finite numbers"):
        Resident([case])


def test_one_case_is_a_cohort():
    images, _ = Resident(made(SIZES[:1]), multiple=8).batch(3)
    assert images.shape == (3, 3, 24, 16)
