"""The classifier of whole images: shapes, what it averages, what it refuses."""

import pytest
import torch

from medlab.models.cnn import CNN

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("dims", "size"), [(1, (37,)), (2, (28, 28)), (2, (5, 13)), (3, (4, 7, 9))])
def test_any_size_from_the_smallest_on_gives_one_logit_a_class(dims, size):
    model = CNN(3, 5, (4, 6, 8), dims=dims)
    assert model.smallest == 4
    assert model(torch.zeros(2, 3, *size)).shape == (2, 5)


def test_the_logits_come_from_the_mean_over_all_positions():
    torch.manual_seed(0)
    model = CNN(1, 3, (4, 6)).eval()
    images = torch.randn(2, 1, 8, 10)
    maps = model.features(images)
    assert maps.shape == (2, 6, 4, 5)
    torch.testing.assert_close(model(images), model.head(maps.mean((2, 3))))


def test_dropout_leaves_features_out_in_training_only():
    torch.manual_seed(0)
    model = CNN(1, 2, (4, 400), dropout=0.5)
    images = torch.randn(2, 1, 8, 8)
    kept = []
    model.head.register_forward_hook(lambda _, inputs, __: kept.append(float((inputs[0] != 0).float().mean())))
    model(images)
    model.eval()
    model(images)
    assert kept[0] == pytest.approx(0.5, abs=0.1)
    assert kept[1] > 0.9


def test_a_size_too_small_is_refused():
    with pytest.raises(ValueError, match=r"3 levels every size must be at least 4, got \(3, 9\): take larger images"):
        CNN(1, 2, (2, 2, 2))(torch.zeros(1, 1, 3, 9))


@pytest.mark.parametrize(
    ("dims", "shape", "axes"),
    [(2, (1, 2, 8, 8), "(B, C, H, W)"), (1, (1, 1, 8, 8), "(B, C, T)"), (3, (1, 1, 8, 8), "(B, C, D, H, W)")],
)
def test_wrong_channels_or_axes_are_refused(dims, shape, axes):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below, without escaping the brackets
        CNN(1, 2, (2, 2), dims=dims)(torch.zeros(shape))
    assert str(caught.value) == f"images must be {axes} with C = 1, got shape {shape}"


@pytest.mark.parametrize(
    "wrong", [{"in_channels": 0}, {"classes": 1}, {"widths": ()}, {"widths": (4, 0)}, {"dims": 4}, {"dropout": 1.0}]
)
def test_numbers_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*got"):
        CNN(**{"in_channels": 1, "classes": 2, "widths": (4,), **wrong})
