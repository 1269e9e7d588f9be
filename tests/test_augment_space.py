"""Shear, smooth fields, and volumes on the CPU: one grid for image and labels, and nothing folds."""

import pytest
import torch
from test_augment import SIZES, block, chance, fixed
from torch.testing import assert_close

from medlab.augment import Augment, deform, trilinear
from medlab.augment.drawing import smooth_field

EVERYTHING = {
    "rotation_degrees": 30.0,
    "scale_percent": 20.0,
    "shift_percent": 10.0,
    "shear_degrees": 20.0,
    "elastic_percent": 10.0,
}


def places(size: tuple[int, ...], batch: int = 1, seed: int = 0, **strengths: float) -> torch.Tensor:
    """Where every voxel comes from, (B, dims, *S) in voxels, read off an image of coordinates."""
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in size), indexing="ij")
    coordinates = torch.stack(axes).expand(batch, -1, *[-1] * len(size))
    return deform(coordinates, torch.zeros(batch), chance(seed), **strengths)[0]


def test_shear_slides_rows_by_hand(monkeypatch):
    fixed(monkeypatch, 1.0)
    labels = torch.randint(0, 5, (1, 9, 41))
    _, truth = deform(labels.unsqueeze(1).float(), labels, chance(), shear_degrees=45)
    for y in range(9):  # by as many columns as rows from the middle, and not at all in the middle
        slide = y - 4
        assert torch.equal(truth[0, y, 4:-4], labels[0, y, 4 + slide : 41 - 4 + slide])


def test_shear_in_3d_slides_x_along_y_and_z_and_y_along_z(monkeypatch):
    fixed(monkeypatch, 1.0)
    z, y, x = places((5, 21, 25), shear_degrees=45)[0]
    k, j, i = torch.meshgrid(torch.arange(5.0), torch.arange(21.0), torch.arange(25.0), indexing="ij")
    assert_close(z, k)
    assert_close(y, (j + (k - 2)).clamp(0, 20), atol=1e-4, rtol=0)
    assert_close(x, (i + (j - 10) + (k - 2)).clamp(0, 24), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_a_field_of_equal_control_points_is_a_shift(monkeypatch, size):
    fixed(monkeypatch, 1.0)
    assert_close(places(size, elastic_percent=7.0), places(size, shift_percent=7.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_no_voxel_moves_farther_than_the_percentage(size):
    still = places(size)
    moved = places(size, batch=20, elastic_percent=8.0) - still
    for axis, n in enumerate(size):
        assert moved[:, axis].abs().max() <= 0.08 * n + 1e-4
        assert moved[:, axis].abs().max() > 0.02 * n
    assert not torch.equal(moved[0], moved[1])


def volume_ratios(at: torch.Tensor) -> torch.Tensor:
    """Determinants of the Jacobian where the places (B, dims, *S) lie inside the image."""
    dims = at.shape[1]
    steps = [at.diff(dim=axis + 2)[(..., *(slice(0, n - 1) for n in at.shape[2:]))] for axis in range(dims)]
    jacobian = torch.stack(steps, dim=-1).movedim(1, -2)  # (B, *S, dims, dims)
    inside = torch.ones(jacobian.shape[:-2], dtype=torch.bool)
    for axis, n in enumerate(at.shape[2:]):
        for shifted in (at[:, axis], at[:, axis].roll(-1, dims=1), at[:, axis].roll(-1, dims=2)):
            cut = shifted[(slice(None), *(slice(0, m - 1) for m in at.shape[2:]))]
            inside &= (cut > 0) & (cut < n - 1)
        if dims == 3:
            cut = at[:, axis].roll(-1, dims=3)[(slice(None), *(slice(0, m - 1) for m in at.shape[2:]))]
            inside &= (cut > 0) & (cut < n - 1)
    return torch.linalg.det(jacobian)[inside]


@pytest.mark.parametrize(("size", "batch"), [((60, 84), 60), ((32, 24, 40), 30)])
@pytest.mark.parametrize("others", [{}, {"rotation_degrees": 90, "scale_percent": 30, "shear_degrees": 45}])
def test_nothing_folds_at_the_largest_strength(monkeypatch, size, batch, others):
    def corners(like, shape, generator):  # control points as far out as they go: the worst there is
        return (torch.rand(shape, generator=generator) < 0.5) * 2.0 - 1

    monkeypatch.setattr("medlab.augment.space.even", corners)
    ratios = volume_ratios(places(size, batch=batch, elastic_percent=10.0, **others))
    assert len(ratios) > 10_000
    assert ratios.min() > 0
    assert ratios.max() > 1.2 * ratios.median()  # and much is bent


@pytest.mark.parametrize("size", [(32, 44), (16, 26, 20)])
def test_image_and_labels_share_one_grid(size):
    images, labels = block(size, batch=8)
    moved, truth = deform(images, labels, chance(), **EVERYTHING)
    assert not torch.equal(truth, labels)
    # Where all neighbours agree, so must the nearest.
    assert (truth[moved[:, 0] > 0.9999] == 1).all()
    assert (truth[moved[:, 0] < 0.0001] == 0).all()
    assert ((moved[:, 0] > 0.9999) | (moved[:, 0] < 0.0001)).float().mean() > 0.5


@pytest.mark.parametrize("size", [(6, 10, 14), (1, 9, 5), (2, 1, 7), (5, 6, 1)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_volumes_on_the_cpu_are_what_grid_sample_makes_of_them(monkeypatch, size, dtype):
    images, labels = torch.randn(3, 2, *size), torch.randint(0, 4, (3, *size), dtype=dtype)
    assert trilinear.is_faster(images)
    kept = images.clone()
    ours = deform(images, labels, chance(1), **EVERYTHING)
    assert torch.equal(images, kept)
    monkeypatch.setattr(trilinear, "is_faster", lambda _: False)
    theirs = deform(images, labels, chance(1), **EVERYTHING)
    assert_close(ours[0], theirs[0], atol=1e-4, rtol=0)
    assert ours[1].dtype == dtype
    assert (ours[1] != theirs[1]).float().mean() < 0.01  # a tie may go either way


def test_only_volumes_of_float32_on_the_cpu_are_sampled_here():
    assert not trilinear.is_faster(torch.zeros(1, 1, 4, 4))
    assert not trilinear.is_faster(torch.zeros(1, 1, 4, 4, 4, dtype=torch.float64))
    assert not trilinear.is_faster(torch.zeros(1, 1, 4, 4, 4, device="meta"))
    assert not trilinear.is_faster(torch.zeros(1).expand(1, 1, 257, 256, 256))


@pytest.mark.parametrize("size", SIZES)
def test_classes_stay_and_their_images_move_as_with_labels(size):
    images, labels = block(size)
    recipe = Augment(flip_axes=(0,), elastic_percent=5)
    classes = torch.tensor([4, 0, 7])
    moved, same = recipe(images, classes, chance())
    assert torch.equal(same, classes)
    assert torch.equal(moved, recipe(images, labels, chance())[0])
    assert not torch.equal(moved, images)


def test_signals_keep_their_place_and_change_their_values():
    signals, classes = torch.randn(4, 2, 50), torch.arange(4)
    still = {"brightness": 0, "contrast_percent": 0, "noise": 0}
    moved, same = Augment(rotation_degrees=90, flip_axes=(0,), elastic_percent=10, **still)(signals, classes, chance())
    assert torch.equal(moved, signals)
    assert torch.equal(same, classes)
    assert not torch.equal(Augment()(signals, classes, chance())[0], signals)


def test_a_smooth_field_reproduces_a_plane():
    """Control points on a plane give that plane: a property of B-splines."""
    k = torch.arange(7.0) - 1  # the first cell begins at control point 1
    points = (3 * k[:, None] - 2 * k + 1)[None, None]
    y, x = ((torch.arange(n) + 0.5) * 4 / n for n in (9, 14))
    assert_close(smooth_field(points, (9, 14))[0, 0], 3 * y[:, None] - 2 * x + 1)


def test_a_smooth_field_at_a_control_point_weighs_it_by_two_thirds():
    points = torch.zeros(1, 1, 4)
    points[0, 0, 1] = 1
    assert_close(smooth_field(points, (10_001,))[0, 0, 0].item(), 2 / 3, atol=1e-3, rtol=0)
    assert_close(smooth_field(points, (10_001,))[0, 0, -1].item(), 1 / 6, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("name", "value", "most"), [("shear_degrees", 46, 45), ("elastic_percent", 10.5, 10)])
def test_a_strength_that_could_fold_is_refused(name, value, most):
    with pytest.raises(ValueError, match=rf"{name} must be 0 to {most}, got {value}"):
        deform(torch.zeros(1, 1, 4, 6), torch.zeros(1), chance(), **{name: value})
