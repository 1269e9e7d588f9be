"""Whole-volume prediction: the right grid, the right neighbours, whatever the size."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor, nn

from medlab import gpu, infer
from medlab.gpu import Resident
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
    assert all(any(torch.equal(one, fed) for fed in seen[0]) for one in dealt)


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
