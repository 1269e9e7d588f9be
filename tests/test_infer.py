"""Whole-volume prediction: the right grid, the right neighbours, whatever the size."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from medlab import gpu, infer
from medlab.gpu import Resident
from medlab.infer.volumes import _largest
from medlab.models.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")


class Threshold(nn.Module):
    """A network that one can compute by hand: class 1 where one of its input channels is above 0."""

    def __init__(self, *, dims: int = 2, in_channels: int = 3, channel: int = 1, multiple: int = 8) -> None:
        super().__init__()
        self.dims, self.in_channels, self.classes, self.multiple, self.channel = dims, in_channels, 2, multiple, channel
        self.one = nn.Parameter(torch.ones(()))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        self.sizes.append(tuple(images.shape))
        assert images.shape[1] == self.in_channels
        assert all(n % self.multiple == 0 for n in images.shape[2:])
        chosen = images[:, self.channel] * self.one
        return torch.stack([-chosen, chosen], dim=1)


def volume(size=(5, 13, 22), channels: int = 1) -> Tensor:
    return torch.randn(channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(5, 13, 22), (1, 8, 16), (9, 3, 2)])
@pytest.mark.parametrize(("dims", "in_channels", "channel"), [(2, 3, 1), (2, 1, 0), (2, 5, 2), (3, 1, 0)])
def test_labels_lie_where_the_voxels_are(size, dims, in_channels, channel):
    values = volume(size)
    labels = infer.predict(Threshold(dims=dims, in_channels=in_channels, channel=channel), values)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, (values[0] > 0).to(torch.uint8))


@pytest.mark.parametrize(("channel", "step"), [(0, -1), (2, 1)])
def test_neighbouring_slices_are_the_other_channels_and_the_end_slice_stands_in(channel, step):
    values = volume()
    labels = infer.predict(Threshold(channel=channel), values)
    at = (torch.arange(5) + step).clamp(0, 4)
    assert torch.equal(labels, (values[0, at] > 0).to(torch.uint8))


def test_all_slices_of_one_channel_come_before_the_next_as_in_training():
    values = volume(channels=2)
    labels = infer.predict(Threshold(in_channels=6, channel=4), values)
    assert torch.equal(labels, (values[1] > 0).to(torch.uint8))


def test_slices_go_through_in_batches():
    model = Threshold()
    infer.predict(model, volume())  # the first time it is also measured
    model.sizes.clear()
    infer.predict(model, volume((5, 8, 8)), batch_size=2)
    assert [size[0] for size in model.sizes] == [2, 2, 1]


def test_the_model_is_put_back_into_the_mode_it_was_in():
    for training in (True, False):
        model = Threshold().train(training)
        infer.predict(model, volume())
        assert model.training is training


def test_padding_is_that_of_training():
    """What predict feeds a network for a case is what Resident deals for it."""
    source = np.random.default_rng(0)
    case = Case("a", source.normal(size=(4, 13, 22)).astype(np.float32))
    data = Resident([case], multiple=8)
    model = Threshold()
    seen = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    infer.predict(model, data.volume(0)[0])
    dealt, _ = data.batch(32)
    assert all(any(torch.equal(one, fed) for fed in seen[-1]) for one in dealt)


class Case:
    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name, self.values = name, values

    def image(self) -> sitk.Image:
        image = sitk.GetImageFromArray(self.values)
        image.SetSpacing((0.8, 1.1, 2.5))
        image.SetOrigin((-7, 11, 30))
        image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
        return image

    def labels(self) -> sitk.Image:
        return sitk.GetImageFromArray((self.values > self.values.mean()).astype(np.uint8))


@pytest.mark.parametrize("scale", [1, 1e-3, 1e6])
def test_labels_of_an_image_lie_on_its_own_grid_whatever_its_scale(scale):
    values = np.random.default_rng(2).normal(size=(5, 13, 22)) + 3
    image = Case("a", (values * scale)).image()
    labels = infer.predict_case(Threshold(), image)
    assert labels.GetPixelID() == sitk.sitkUInt8
    assert labels.GetSize() == (22, 13, 5)
    assert labels.GetSpacing() == image.GetSpacing()
    assert labels.GetOrigin() == image.GetOrigin()
    assert labels.GetDirection() == image.GetDirection()
    mean = values.mean()
    far = np.abs(values - mean) > 0.01  # the network computes in bfloat16 where the machine has it
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels)[far], (values > mean)[far])


def test_a_picture_gets_a_picture_of_labels():
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(9, 14)))
    labels = infer.predict_case(Threshold(in_channels=1, channel=0), image)
    assert labels.GetSize() == (14, 9)
    assert labels.GetDimension() == 2


def test_dice_of_whole_volumes_case_by_case():
    source = np.random.default_rng(0)
    data = Resident(
        [Case(str(i), source.normal(size=(4 + i, 13, 22)).astype(np.float32)) for i in range(3)], multiple=8
    )
    table = infer.dice_table(Threshold(), data)
    assert table.shape == (3, 1)
    assert (table > 0.999).all()
    shifted = infer.dice_table(Threshold(channel=0), data)
    assert (shifted < 0.8).all()


def test_a_class_that_the_model_has_and_the_cases_lack_is_scored():
    data = Resident([Case("a", np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float32))], multiple=8)
    model = Threshold()
    model.classes = 4
    assert infer.dice_table(model, data).tolist()[0][1:] == [1.0, 1.0]


def test_a_trained_shape_of_network_predicts_any_size():
    gpu.seed(0)
    labels = infer.predict(UNet(3, 4, (2, 3, 4)), volume((3, 7, 9)))
    assert labels.shape == (3, 7, 9)


@pytest.mark.parametrize(("dims", "in_channels", "channels"), [(2, 2, 1), (2, 3, 2), (3, 3, 1)])
def test_channels_that_do_not_fit_are_refused(dims, in_channels, channels):
    with pytest.raises(
        ValueError, match=rf"the model takes {in_channels} channels \({dims}D\), which {channels} channels"
    ):
        infer.predict(Threshold(dims=dims, in_channels=in_channels), volume(channels=channels))


@pytest.mark.parametrize("size", [(13, 22), (3, 5, 13, 22, 1), (1, 0, 8, 8)])
def test_what_is_no_volume_is_refused(size):
    with pytest.raises(ValueError, match=r"volume must be \(C, D, H, W\) and nowhere empty, got shape"):
        infer.predict(Threshold(), torch.zeros(size))


# Probabilities, ensembles, mirror images ------------------------------------------------------------------------------


@pytest.fixture
def float32(monkeypatch):
    """Networks compute in float32 whatever the machine has."""
    precise = gpu.Precision(torch.float32, True, "for this test")
    monkeypatch.setattr(gpu, "precision", lambda device: precise)


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """As if trained: batch norm has seen something."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) / 10)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return model


def unet(*arguments, seed: int = 0, **options) -> nn.Module:
    gpu.seed(seed)
    return trained(UNet(*arguments, **options), seed)


def test_probabilities_are_those_of_the_network(float32):
    model, values = unet(1, 3, (2, 4), dims=3), volume((4, 6, 8))
    found = infer.probabilities(model, values)
    model.eval()
    assert_close(found, model(values[None])[0].softmax(0).detach())
    assert found.dtype == torch.float32
    assert torch.equal(infer.predict(model, values), found.argmax(0).to(torch.uint8))


def test_of_equal_classes_the_first_wins_in_either_memory_format():
    values = torch.randint(3, (5, 4, 6, 7), generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    expected = values.argmax(0).to(torch.uint8)
    beside = values.movedim(0, -1).contiguous().movedim(-1, 0)
    assert beside.stride(0) == 1
    for one in (values, beside):
        assert torch.equal(_largest(one), expected)


@pytest.mark.parametrize("options", [{}, {"mirror_axes": (1,)}, {"patch": (8, 8)}], ids=str)
def test_an_ensemble_of_one_is_that_one(options):
    model, values = unet(3, 3, (2, 4)), volume()
    assert torch.equal(infer.probabilities([model], values, **options), infer.probabilities(model, values, **options))
    assert torch.equal(infer.predict([model], values, **options), infer.predict(model, values, **options))


def test_an_ensemble_is_the_mean_of_the_probabilities_even_of_2d_and_3d():
    models, values = [unet(3, 3, (2, 4)), unet(1, 3, (2,), dims=3, seed=1)], volume()
    one, other = (infer.probabilities(model, values) for model in models)
    assert_close(infer.probabilities(models, values), (one + other) / 2)
    assert torch.equal(infer.predict(models, values), ((one + other) / 2).argmax(0).to(torch.uint8))
    assert not torch.equal(one.argmax(0), other.argmax(0))


def test_ensembles_that_are_none_are_refused():
    with pytest.raises(ValueError, match="a network or several, got none"):
        infer.predict([], volume())
    with pytest.raises(ValueError, match=r"the same classes, got \{[23], [23]\}"):
        infer.predict([Threshold(), unet(3, 3, (2, 4))], volume())


def test_mirroring_is_the_mean_over_all_mirror_images(float32):
    model, values = unet(1, 3, (2, 4), dims=3), volume((4, 6, 10))
    expected = torch.stack(
        [
            infer.probabilities(model, values.flip(axes)).flip(axes)
            for axes in ([], [1], [3], [1, 3])  # of (C, D, H, W)
        ]
    ).mean(0)
    assert_close(infer.probabilities(model, values, mirror_axes=(0, 2)), expected)
    assert not torch.allclose(infer.probabilities(model, values), expected, atol=1e-3)


@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1, 2)])
def test_a_network_that_is_its_own_mirror_image_gains_nothing(float32, axes):
    class Symmetric(nn.Conv3d):
        dims, in_channels, classes, multiple = 3, 1, 3, 1

    model = Symmetric(1, 3, 3, padding=1)
    with torch.no_grad():
        for axis in (2, 3, 4):
            model.weight.copy_((model.weight + model.weight.flip(axis)) / 2)
    values = volume((3, 5, 9))
    assert_close(infer.probabilities(model, values, mirror_axes=axes), infer.probabilities(model, values))


@pytest.mark.parametrize("axes", [(3,), (-1,), (1, 1)])
def test_axes_that_a_volume_does_not_have_are_refused(axes):
    with pytest.raises(ValueError, match=r"mirror_axes must be different ones of 0, 1, 2 \(D, H, W\), got"):
        infer.predict(Threshold(), volume(), mirror_axes=axes)


def test_of_two_outputs_the_first_is_the_segmentation():
    class Two(Threshold):
        def forward(self, images):
            return super().forward(images), images.flatten(1).sum(1)

    assert torch.equal(infer.predict(Two(), volume()), infer.predict(Threshold(), volume()))


def test_options_reach_the_prediction_of_an_image_and_the_table_of_dice():
    case = Case("a", np.random.default_rng(0).normal(size=(4, 13, 22)).astype(np.float32))
    model, mirrored = unet(3, 2, (2, 4)), {"mirror_axes": (1, 2)}
    with torch.no_grad():
        model.head.bias.zero_()
        model.head.weight.copy_(torch.eye(2)[:, :, None, None])
    plain, other = (sitk.GetArrayFromImage(infer.predict_case(model, case.image(), **o)) for o in ({}, mirrored))
    assert not np.array_equal(plain, other)
    data = Resident([case], multiple=4)
    assert infer.dice_table(model, data) != infer.dice_table([model], data, **mirrored)


# Classes of whole pictures and signals --------------------------------------------------------------------------------


class Brighter(nn.Module):
    """Two classes, with the mean and its opposite as logits."""

    def __init__(self, scale: float = 1) -> None:
        super().__init__()
        self.classes, self.scale = 2, nn.Parameter(torch.tensor(float(scale)))
        self.sizes: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        assert not self.training
        self.sizes.append(len(inputs))
        mean = inputs.flatten(1).mean(1) * self.scale
        return torch.stack([-mean, mean], dim=1)


@pytest.mark.parametrize("size", [(7, 1, 5, 6), (7, 2, 9), (7, 1, 3, 4, 5)])
def test_classes_of_pictures_signals_and_volumes(size):
    inputs = torch.randn(size, generator=torch.Generator().manual_seed(0))
    model = Brighter()
    found = infer.classify(model, inputs, batch_size=3)
    mean = inputs.flatten(1).mean(1)
    assert_close(found, torch.stack([-mean, mean], dim=1).softmax(1))
    assert model.sizes == [3, 3, 1]
    assert model.training
    both = infer.classify([model, Brighter(5)], inputs)
    assert_close(both, (found + infer.classify(Brighter(5), inputs)) / 2)


def test_what_can_t_be_classified_is_refused():
    with pytest.raises(ValueError, match=r"inputs must be \(N, C, \*S\) with at least one, got shape \(0, 1, 4\)"):
        infer.classify(Brighter(), torch.zeros(0, 1, 4))
    with pytest.raises(ValueError, match=r"logits \(B, K\), got shape \(2, 2, 8, 8\): use `predict`"):
        infer.classify(Threshold(), torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        (np.zeros((2, 1, 4), np.float32), "ndarray"),
        (torch.zeros(2, 1, 4, dtype=torch.float64), "a tensor of torch.float64"),
        (torch.zeros(2, 1, 4, dtype=torch.int64), "a tensor of torch.int64"),
    ],
)
def test_inputs_of_another_type_are_refused_with_what_they_are(inputs, got):
    with pytest.raises(TypeError, match=rf"inputs must be a tensor of torch\.float32, got {got}: `torch"):
        infer.classify(Brighter(), inputs)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_refused_with_their_number(value):
    inputs = torch.zeros(4, 1, 5)
    inputs[2, 0, 3] = value
    with pytest.raises(ValueError, match="got NaN or infinity in 1 of 4, the first is number 2"):
        infer.classify(Brighter(), inputs)


@pytest.mark.parametrize("mirror_axes", [(), (2,)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_volume_that_is_not_finite_is_refused(mirror_axes, value):
    values = volume()
    values[0, 2, 3, 4] = value
    with pytest.raises(ValueError, match="volume must be finite, got NaN or infinity in 1 of 1430 values"):
        infer.predict(Threshold(), values, mirror_axes=mirror_axes)
