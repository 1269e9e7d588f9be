"""Every solution that computes something, against torch, SimpleITK or a sum written out, over random shapes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics as sklearn_metrics
from torch.nn import functional as F

from medlab import metrics
from medlab.exercises import backprop, cnn, convolution, geometry, masks, recurrent, start, unet
from medlab.zoo import examples

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def close(actual: np.ndarray, expected: torch.Tensor) -> None:
    torch.testing.assert_close(tensor(np.asarray(actual)), expected, rtol=1e-9, atol=1e-9)


# Lesson 20


@quick
@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 5),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 3),
)
def test_output_size_is_torchs(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    out = F.conv1d(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), None, stride, padding, dilation)
    assert convolution.my_output_size(size, kernel, stride, padding, dilation) == out.shape[-1]


@quick
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    seed=seeds,
)
def test_conv2d_is_torchs(shape, kernel, stride: int, padding: int, seed: int) -> None:
    assume(all(n + 2 * padding >= k for n, k in zip(shape, kernel, strict=True)))
    rng = np.random.default_rng(seed)
    image, weights = rng.normal(size=shape), rng.normal(size=kernel)
    expected = F.conv2d(tensor(image)[None, None], tensor(weights)[None, None], None, stride, padding)[0, 0]
    close(convolution.my_conv2d(image, weights, stride, padding), expected)


@quick
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), size=st.integers(1, 4), stride=st.integers(1, 4), seed=seeds
)
def test_max_pooling_is_torchs(shape, size: int, stride: int, seed: int) -> None:
    assume(min(shape) >= size)
    image = np.random.default_rng(seed).normal(size=shape) - 3
    close(convolution.my_max_pool2d(image, size, stride), F.max_pool2d(tensor(image)[None], size, stride)[0])


def test_the_published_pooling_example_gives_5_not_6() -> None:
    assert convolution.my_max_pool2d(convolution.NINE, 2, 1).tolist() == [[5, 6], [8, 9]]
    assert convolution.my_max_pool2d(convolution.NINE, 2, 2).tolist() == [[5]]


def test_the_published_kernel_gives_30_either_way_and_ours_does_not() -> None:
    published = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]])
    for kernel, values in ((published, (30, 30)), (convolution.my_kernel, (-2, 2))):
        straight = convolution.my_conv2d(convolution.NINE, kernel)
        flipped = convolution.my_conv2d(convolution.NINE, kernel[::-1, ::-1])
        assert (straight.item(), flipped.item()) == values


@quick
@given(layers=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=4))
def test_receptive_field_is_where_a_gradient_arrives(layers: list[tuple[int, int]]) -> None:
    field = convolution.my_receptive_field(layers)
    x = torch.zeros(1, 1, 400, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = F.conv1d(y, torch.ones(1, 1, kernel), stride=stride)
    y[0, 0, 0].backward()
    touched = x.grad[0, 0].nonzero()
    # With strides above the kernel a layer jumps over values: the field is from the first to the last that is touched.
    assert touched.max() - touched.min() + 1 == field


@quick
@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    more=st.integers(0, 3),
)
def test_transposed_size_is_torchs(size: int, kernel: int, stride: int, padding: int, more: int) -> None:
    assume(more < stride and (size - 1) * stride + kernel - 2 * padding + more > 0)
    out = F.conv_transpose1d(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), None, stride, padding, more)
    assert convolution.my_transposed_size(size, kernel, stride, padding, more) == out.shape[-1]


# Lesson 21


@quick
@given(b=st.integers(1, 6), n=st.integers(1, 6), m=st.integers(1, 6), seed=seeds)
def test_affine_is_torchs_linear(b: int, n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight, bias = rng.normal(size=(b, n)), rng.normal(size=(m, n)), rng.normal(size=m)
    close(backprop.my_affine(x, weight, bias), F.linear(tensor(x), tensor(weight), tensor(bias)))


@quick
@given(b=st.integers(1, 6), k=st.integers(1, 6), power=st.integers(-2, 4), seed=seeds)
def test_softmax_is_torchs_at_every_scale(b: int, k: int, power: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(b, k)) * 10.0**power
    close(backprop.my_softmax(logits), tensor(logits).softmax(1))


@quick
@given(b=st.integers(1, 6), k=st.integers(1, 6), power=st.integers(-1, 4), seed=seeds)
def test_cross_entropy_gradient_is_torchs(b: int, k: int, power: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(size=(b, k)) * 10.0**power, rng.integers(0, k, b)
    z = tensor(logits).requires_grad_()
    F.cross_entropy(z, tensor(target)).backward()
    close(backprop.my_cross_entropy_gradient(logits, target), z.grad)


@quick
@given(b=st.integers(1, 5), n=st.integers(1, 5), h=st.integers(1, 5), m=st.integers(1, 5), seed=seeds)
def test_two_layer_gradients_are_torchs(b: int, n: int, h: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, target = rng.normal(size=(b, n)), rng.normal(size=(b, m))
    weights = [rng.normal(size=(n, h)), rng.normal(size=(h, m))]
    w1, w2 = (tensor(w).requires_grad_() for w in weights)
    F.mse_loss((tensor(x) @ w1).relu() @ w2, tensor(target)).backward()
    first, second = backprop.my_two_layer_gradients(x, target, *weights)
    close(first, w1.grad)
    close(second, w2.grad)


@quick
@given(steps=st.integers(1, 5), rate=st.floats(0.01, 0.5), momentum=st.floats(0.1, 0.99), seed=seeds)
def test_momentum_is_torchs_over_several_steps(steps: int, rate: float, momentum: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, velocity = rng.normal(size=(2, 3)), np.zeros((2, 3))
    theirs = tensor(weight.copy()).requires_grad_()
    optimiser = torch.optim.SGD([theirs], lr=rate, momentum=momentum)
    for _ in range(steps):
        gradient = rng.normal(size=(2, 3))
        weight, velocity = backprop.my_momentum_step(weight, gradient, velocity, rate, momentum)
        theirs.grad = tensor(gradient)
        optimiser.step()
    close(weight, theirs.detach())
    close(velocity, optimiser.state[theirs]["momentum_buffer"])


@quick
@given(steps=st.integers(1, 5), rate=st.floats(0.001, 0.5), scale=st.sampled_from([1e-8, 1.0, 1e4]), seed=seeds)
def test_adam_is_torchs_over_several_steps(steps: int, rate: float, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, mean, square = rng.normal(size=(2, 3)), np.zeros((2, 3)), np.zeros((2, 3))
    theirs = tensor(weight.copy()).requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=rate)
    for step in range(1, steps + 1):
        gradient = rng.normal(size=(2, 3)) * scale
        weight, mean, square = backprop.my_adam_step(weight, gradient, mean, square, step, rate)
        theirs.grad = tensor(gradient)
        optimiser.step()
    close(weight, theirs.detach())
    close(mean, optimiser.state[theirs]["exp_avg"])
    close(square, optimiser.state[theirs]["exp_avg_sq"])


# Lesson 22


@quick
@given(seed=seeds, size=st.integers(2, 40))
def test_confusion_and_auc_are_scikit_learns(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(size) < rng.integers(1, size))
    scores = np.round(rng.random(size) + 0.3 * truth, 1)  # with ties
    assert cnn.my_auc(scores, truth) == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores))
    expected = sklearn_metrics.confusion_matrix(truth, scores > 0.5, labels=[False, True])
    assert cnn.my_confusion(truth, scores > 0.5).tolist() == expected.tolist()


@quick
@given(shape=st.tuples(*(st.integers(2, 5),) * 4), seed=seeds, eps=st.sampled_from([1e-5, 0.1]))
def test_batch_norm_is_torchs(shape: tuple[int, ...], seed: int, eps: float) -> None:
    rng = np.random.default_rng(seed)
    maps, scale, shift = 3 + 2 * rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[1])
    expected = F.batch_norm(tensor(maps), None, None, tensor(scale), tensor(shift), training=True, eps=eps)
    close(cnn.my_batch_norm(maps, scale, shift, eps), expected)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_leaves_out_the_share(rate: float) -> None:
    draws = (np.arange(1000.0)[None] + 0.5) / 1000  # evenly over [0, 1)
    kept = cnn.my_dropout(np.full((1, 1000), 2.0), draws, rate, True)
    assert kept.mean() == pytest.approx(2)
    assert (kept == 0).mean() == pytest.approx(rate)
    assert (cnn.my_dropout(draws, draws, rate, False) == draws).all()


def test_early_stop_waits_for_its_patience_and_keeps_the_best_round() -> None:
    losses = [3.0, 2.0, 2.5, 1.9, 2.1, 2.2, 0.5]
    assert cnn.my_early_stop(losses, 1) == (1, 2)
    assert cnn.my_early_stop(losses, 2) == (3, 5)
    assert cnn.my_early_stop(losses, 3) == (6, 6)


# Lesson 10


@quick
@given(seed=seeds)
def test_world_coordinates_are_simpleitks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = sitk.Image(7, 5, 3, sitk.sitkUInt8)
    image.SetOrigin(rng.uniform(-200, 200, 3).tolist())
    image.SetSpacing(rng.uniform(0.3, 5, 3).tolist())
    image.SetDirection(geometry._rotation(rng).ravel().tolist())
    index = rng.integers(0, (3, 5, 7))
    position = geometry.my_world_mm(
        index,
        np.array(image.GetOrigin()),
        np.array(image.GetSpacing()),
        np.reshape(image.GetDirection(), (3, 3)),
    )
    np.testing.assert_allclose(position, image.TransformIndexToPhysicalPoint(index[::-1].tolist()), atol=1e-9)


@quick
@given(seed=seeds)
def test_flip_leaves_every_voxel_in_its_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume = rng.normal(size=rng.integers(1, 6, 3))
    before = rng.uniform(-100, 100, 3), rng.uniform(0.4, 5, 3), geometry._rotation(rng)
    flipped, origin, direction = geometry.my_flip_left_right(volume, *before)
    image = sitk.GetImageFromArray(volume)
    image.SetOrigin(before[0].tolist())
    image.SetSpacing(before[1].tolist())
    image.SetDirection(before[2].ravel().tolist())
    # The oracle: SimpleITK's own flip about the image's own axis, which keeps every voxel where it is.
    theirs = sitk.Flip(image, [True, False, False], False)
    np.testing.assert_array_equal(flipped, sitk.GetArrayFromImage(theirs))
    np.testing.assert_allclose(origin, theirs.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(direction.ravel(), theirs.GetDirection(), atol=1e-12)


@quick
@given(level=st.integers(-900, 900), width=st.integers(1, 3000), seed=seeds)
def test_window_is_simpleitks(level: int, width: int, seed: int) -> None:
    volume = np.random.default_rng(seed).integers(-1024, 3072, (2, 3, 4)).astype(np.int16)
    image = sitk.Cast(sitk.GetImageFromArray(volume), sitk.sitkFloat64)
    theirs = sitk.IntensityWindowing(image, level - width / 2, level + width / 2, 0.0, 1.0)
    ours = geometry.my_window(volume, level, width)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, sitk.GetArrayFromImage(theirs), atol=1e-6)


@quick
@given(seed=seeds)
def test_volume_is_simpleitks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(2, 6, 3)) < 0.5
    mask[0, 0, 0] = True
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    spacing = rng.uniform(0.3, 5, 3)
    image.SetSpacing(spacing[::-1].tolist())
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(image)
    for values in (mask, mask.astype(np.uint8) * 255):
        assert geometry.my_volume_ml(values, tuple(spacing)) == pytest.approx(shapes.GetPhysicalSize(1) / 1000)
    assert start.my_voxel_ml(tuple(spacing)) * mask.sum() == pytest.approx(shapes.GetPhysicalSize(1) / 1000)


@quick
@given(seed=seeds, count=st.integers(1, 12))
def test_slice_order_undoes_any_shuffle(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    turned = geometry._rotation(rng)
    normal = np.cross(turned[0], turned[1])
    stacked = rng.uniform(-100, 100, 3) + np.arange(count)[:, None] * 1.25 * normal
    shuffle = rng.permutation(count)
    order = geometry.my_slice_order(stacked[shuffle], turned[0], turned[1])
    np.testing.assert_array_equal(shuffle[order], np.arange(count))


def test_middle_slice_by_hand() -> None:
    volume = np.arange(4 * 2 * 3).reshape(4, 2, 3)
    assert start.my_middle_slice(volume).tolist() == [[12, 13, 14], [15, 16, 17]]
    assert start.my_middle_slice(volume[:3]).tolist() == [[6, 7, 8], [9, 10, 11]]


# Lesson 30


@quick
@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), threshold=st.floats(0.05, 0.95), seed=seeds)
def test_mask_is_torchs_sigmoid_above_the_threshold(shape, threshold: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=shape) * 3
    assert unet.my_mask(logits, threshold).tolist() == (tensor(logits).sigmoid() > threshold).tolist()


def test_mask_of_extreme_logits_is_right() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exp overflows to infinity, and 1 / infinity is the right 0
        assert unet.my_mask(np.array([-1e4, 1e4])).tolist() == [False, True]


@quick
@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), share=st.floats(0, 1), seed=seeds)
def test_dice_is_that_of_sets(shape, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random(shape) < share, rng.random(shape) < share
    first, second = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    assert unet.my_dice(a, b) == pytest.approx(
        2 * len(first & second) / (len(first) + len(second)) if first or second else 1.0
    )


@quick
@given(
    in_channels=st.integers(1, 5), classes=st.integers(2, 5), widths=st.lists(st.integers(1, 9), min_size=1, max_size=4)
)
def test_parameters_are_those_of_the_packages_network(in_channels: int, classes: int, widths: list[int]) -> None:
    from medlab.models.unet import UNet, parameter_count

    assert unet.my_parameters(in_channels, classes, widths) == parameter_count(UNet(in_channels, classes, widths))


@quick
@given(b=st.integers(1, 3), k=st.integers(2, 4), h=st.integers(1, 4), w=st.integers(1, 4), seed=seeds)
def test_soft_dice_loss_is_the_sum_written_out(b: int, k: int, h: int, w: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), (b, h, w))
    labels = rng.integers(0, k, (b, h, w))
    losses = []
    for label in range(1, k):
        t = labels == label
        if t.any():
            losses.append(1 - 2 * p[..., label][t].sum() / (p[..., label].sum() + t.sum()))
    one_hot = tensor(np.eye(k)[labels]).movedim(-1, 1)
    loss = unet.my_soft_dice_loss(tensor(p).movedim(-1, 1), one_hot)
    assert loss.item() == pytest.approx(np.mean(losses) if losses else 0.0)


@quick
@given(b=st.integers(1, 3), k=st.integers(2, 4), h=st.integers(1, 4), w=st.integers(1, 4), seed=seeds)
def test_soft_dice_loss_is_the_packages(b: int, k: int, h: int, w: int, seed: int) -> None:
    from medlab import losses

    rng = np.random.default_rng(seed)
    logits, labels = tensor(rng.normal(size=(b, k, h, w))), tensor(rng.integers(0, k, (b, h, w)))
    one_hot = F.one_hot(labels, k).movedim(-1, 1)
    ours = unet.my_soft_dice_loss(logits.softmax(1), one_hot)
    assert ours.item() == pytest.approx(losses.soft_dice(logits, labels).item(), abs=1e-5)


@quick
@given(h=st.integers(1, 5), w=st.integers(1, 5), more=st.tuples(st.integers(0, 4), st.integers(0, 4)), seed=seeds)
def test_skip_join_crops_as_torch_pads_by_negative_margins(h: int, w: int, more: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    skip, up = rng.normal(size=(2, h + more[0], w + more[1])), rng.normal(size=(3, h, w))
    margins = [-(more[1] // 2), -(more[1] - more[1] // 2), -(more[0] // 2), -(more[0] - more[0] // 2)]
    close(unet.my_skip_join(skip, up), torch.cat([F.pad(tensor(skip), margins), tensor(up)]))


@quick
@given(count=st.integers(2, 20), share=st.floats(0.1, 0.9), seed=st.integers(0, 1000))
def test_patient_split_has_every_slice_once_and_no_patient_twice(count: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = [f"P{n}" for n in rng.integers(0, count, 5 * count)]
    training, test = unet.my_patient_split(patients, share, seed)
    assert sorted(training + test) == list(range(len(patients)))
    assert not {patients[i] for i in training} & {patients[i] for i in test}
    assert abs(len({patients[i] for i in test}) - share * len(set(patients))) <= 0.5
    assert unet.my_patient_split(patients, share, seed) == (training, test)


def test_patient_split_may_make_plain_text_of_the_names() -> None:
    """Then names may not be found under the other hash that the check gives them: no sign of a bare set."""

    def by_set(patients, test_share, seed):
        names = np.random.default_rng(seed).permutation(np.unique(patients))
        test = set(names[: round(test_share * len(names))])
        return [i for i, p in enumerate(patients) if p not in test], [i for i, p in enumerate(patients) if p in test]

    def by_number(patients, test_share, seed):
        number = {name: n for n, name in enumerate(np.unique(patients).tolist())}
        test = np.random.default_rng(seed).permutation(len(number))[: round(test_share * len(number))]
        inside = np.isin([number[p] for p in patients], test)
        return np.flatnonzero(~inside).tolist(), np.flatnonzero(inside).tolist()

    for answer in (by_set, by_number):
        assert unet.check_patient_split(answer).outcome == "correct"


def test_patient_split_differs_between_seeds() -> None:
    patients = [f"P{n}" for n in range(30)]
    assert unet.my_patient_split(patients, 0.3, 0) != unet.my_patient_split(patients, 0.3, 1)


# Lesson 40


def two_masks(seed: int, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = rng.integers(2, 8, ndim)
    shares = rng.choice([0, 0.1, 0.5, 0.9, 1], 2)
    return rng.random(shape) < shares[0], rng.random(shape) < shares[1]


@quick
@given(seed=seeds, ndim=st.integers(2, 3))
def test_overlap_is_medlabs(seed: int, ndim: int) -> None:
    prediction, truth = two_masks(seed, ndim)
    report = metrics.evaluate(prediction, truth, label_names={1: "mask"})["mask"]
    assert masks.my_overlap(prediction, truth) == pytest.approx(
        [report[name] for name in ("dice", "iou", "precision", "recall")]
    )


@quick
@given(seed=seeds, ndim=st.integers(2, 3))
def test_surface_is_what_an_erosion_takes_away(seed: int, ndim: int) -> None:
    mask, _ = two_masks(seed, ndim)
    np.testing.assert_array_equal(masks.my_surface(mask), mask & ~ndimage.binary_erosion(mask))


@quick
@given(seed=seeds, ndim=st.integers(2, 3), tolerance_mm=st.sampled_from([0.0, 0.5, 1.0, 2.3]))
def test_hd95_and_surface_dice_are_medlabs(seed: int, ndim: int, tolerance_mm: float) -> None:
    prediction, truth = two_masks(seed, ndim)
    spacing_mm = (3.0, 0.7, 1.1)[-ndim:]
    distances = metrics.surface_distances(prediction, truth, spacing_mm)
    surfaces = masks.my_surface(prediction), masks.my_surface(truth)
    assert masks.my_hd95(*surfaces, spacing_mm) == pytest.approx(distances.hausdorff_mm(95))
    both = distances.prediction_to_truth_mm, distances.truth_to_prediction_mm
    assert masks.my_surface_dice(*both, tolerance_mm) == pytest.approx(distances.surface_dice(tolerance_mm))


@quick
@given(seed=seeds, ndim=st.integers(2, 3))
def test_lesions_are_counted_as_medlab_does(seed: int, ndim: int) -> None:
    prediction, truth = two_masks(seed, ndim)
    found = metrics.lesion_counts(prediction, truth)
    numbered = [ndimage.label(mask, np.ones((3,) * ndim))[0] for mask in (prediction, truth)]
    wanted = found.true_positives, found.false_negatives, found.false_positives
    assert masks.my_lesion_counts(*numbered) == wanted


# Lesson 23

sizes = st.integers(1, 6)


@quick
@given(b=sizes, n=sizes, h=sizes, seed=seeds)
def test_rnn_step_is_torchs_cell(b: int, n: int, h: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, state = rng.normal(size=(b, n)), rng.normal(size=(b, h))
    weights = rng.normal(size=(h, n)), rng.normal(size=(h, h)), rng.normal(size=h)
    theirs = torch.rnn_tanh_cell(*map(tensor, (x, state, *weights)), torch.zeros(h, dtype=torch.float64))
    close(recurrent.my_rnn_step(x, state, *weights), theirs)


def test_the_published_recurrent_step_is_a_vector_of_three() -> None:
    weight_ih = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
    x, state = np.array([[1.0, 2.0]]), np.array([[0.1, 0.2, 0.3]])
    step = recurrent.my_rnn_step(x, state, weight_ih, np.full((3, 3), 0.5), np.zeros(3))
    close(np.arctanh(step), torch.tensor([[0.6, 0.9, 1.2]], dtype=torch.float64))  # all positive: ReLU changes nothing


@quick
@given(steps=sizes, n=sizes, h=sizes, seed=seeds)
def test_rnn_gradients_are_those_of_autograd(steps: int, n: int, h: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, start, pull = rng.normal(size=(steps, n)), rng.normal(size=h), rng.normal(size=(steps, h))
    weights = [tensor(rng.normal(size=size)).requires_grad_() for size in ((h, n), (h, h), (h,))]
    states = [tensor(start)]
    for row in tensor(x):
        states.append(torch.tanh(weights[0] @ row + weights[1] @ states[-1] + weights[2]))
    (torch.stack(states[1:]) * tensor(pull)).sum().backward()
    values = torch.stack(states).detach().numpy()
    for ours, weight in zip(
        recurrent.my_rnn_gradients(x, values, pull, weights[1].detach().numpy()), weights, strict=True
    ):
        close(ours, weight.grad)


@quick
@given(h=sizes, n=sizes, limit=st.floats(0.1, 10), seed=seeds)
def test_clip_is_torchs(h: int, n: int, limit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair = rng.normal(size=(h, n)), rng.normal(size=(h, h))
    parameters = [torch.nn.Parameter(torch.zeros(array.shape, dtype=torch.float64)) for array in pair]
    for parameter, array in zip(parameters, pair, strict=True):
        parameter.grad = tensor(array.copy())
    torch.nn.utils.clip_grad_norm_(parameters, limit)
    for ours, parameter in zip(recurrent.my_clip(*pair, limit), parameters, strict=True):
        np.testing.assert_allclose(ours, parameter.grad, rtol=1e-4)  # torch adds 1e-6 to the length


@quick
@given(b=sizes, n=sizes, h=sizes, seed=seeds)
def test_lstm_step_is_torchs_cell(b: int, n: int, h: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, state, memory = rng.normal(size=(b, n)), rng.normal(size=(b, h)), rng.normal(size=(b, h))
    weights = rng.normal(size=(4 * h, n)), rng.normal(size=(4 * h, h)), rng.normal(size=4 * h)
    cell = torch.nn.LSTMCell(n, h).double()
    names = "weight_ih", "weight_hh", "bias_ih"
    cell.load_state_dict(dict(zip(names, map(tensor, weights), strict=True)) | {"bias_hh": torch.zeros(4 * h)})
    theirs = cell(tensor(x), (tensor(state), tensor(memory)))
    for ours, expected in zip(recurrent.my_lstm_step(x, state, memory, *weights), theirs, strict=True):
        close(ours, expected.detach())


@quick
@given(n=st.integers(1, 30), seed=seeds)
def test_beat_scores_are_the_zoos(n: int, seed: int) -> None:
    prediction, truth = np.random.default_rng(seed).integers(0, 3, (2, n))
    for label, expected in examples.beat_scores(prediction, truth).items():
        assert recurrent.my_beat_scores(prediction, truth, label) == pytest.approx(expected[:2])
