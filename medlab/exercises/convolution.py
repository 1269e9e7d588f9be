"""Lesson 20: output sizes, cross-correlation, pooling, receptive field, transposed convolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medlab.exercises._compare import SHAPE, VALUES, Problem
from medlab.exercises._engine import Case, Exercise, Mistake, case

# 20.1


def my_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """How many values a convolution gives along one axis.

    Args:
        size: values along the axis before padding.
        kernel: length of the kernel, 1 or more.
        stride: the kernel moves by so many values each time.
        padding: zeros added at each of the two ends.
        dilation: distance between neighbouring kernel values; 1 for a compact kernel.

    Returns:
        A whole number: `my_output_size(5, 3)` is 3.
    """
    span = dilation * (kernel - 1) + 1  # what the kernel covers, gaps included
    return (size + 2 * padding - span) // stride + 1


def _output_size_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(5, 3)
    yield case(5, 3, stride=2)
    yield case(6, 3, stride=2)
    yield case(5, 3, padding=1)
    yield case(7, 3, dilation=2)
    for _ in range(30):
        kernel, dilation = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        span = dilation * (kernel - 1) + 1
        stride, padding = int(rng.integers(1, 5)), int(rng.integers(0, 4))
        yield case(int(rng.integers(span, 40)), kernel, stride=stride, padding=padding, dilation=dilation)


OUTPUT_SIZE = Exercise(
    id="20.1",
    module=__name__,
    name="my_output_size",
    title="How large is the output?",
    dots=1,
    hints=(
        "Draw 5 values and a kernel of 3 on paper: at how many places can the kernel lie without hanging over?",
        (
            "Padding adds `padding` zeros at both ends. A kernel with dilation covers `dilation * (kernel - 1) + 1` "
            "values."
        ),
        (
            "The first place is always there; each further one needs `stride` more values. `//` leaves out a last "
            "step that does not fit."
        ),
    ),
    why=(
        "The padded axis has size + 2 padding values and the kernel covers span = dilation (kernel - 1) + 1 of them. "
        "The kernel starts at 0 and may move by stride until size + 2 padding - span is used up: floor((size + 2 "
        "padding - span) / stride) steps, and one more place, where it started."
    ),
    cases=_output_size_cases,
    mistakes=(
        Mistake(
            "start not counted",
            "That is the number of steps. The place where the kernel starts counts too: one more.",
            lambda size, kernel, stride=1, padding=0, dilation=1: (
                (size + 2 * padding - dilation * (kernel - 1) - 1) // stride
            ),
        ),
        Mistake(
            "padding once",
            "It looks as if padding was counted once. It is added at both ends.",
            lambda size, kernel, stride=1, padding=0, dilation=1: (
                (size + padding - dilation * (kernel - 1) - 1) // stride + 1
            ),
        ),
        Mistake(
            "padding ignored",
            "It looks as if padding was ignored: it is added at both ends before the kernel slides.",
            lambda size, kernel, stride=1, padding=0, dilation=1: (size - dilation * (kernel - 1) - 1) // stride + 1,
        ),
        Mistake(
            "dilation ignored",
            "It looks as if dilation was ignored: with gaps the kernel covers more than `kernel` values.",
            lambda size, kernel, stride=1, padding=0, dilation=1: (size + 2 * padding - kernel) // stride + 1,
        ),
        Mistake(
            "dilation times kernel",
            "A kernel of k values has k - 1 gaps between them, not k: it covers `dilation * (kernel - 1) + 1`.",
            lambda size, kernel, stride=1, padding=0, dilation=1: (
                (size + 2 * padding - dilation * kernel) // stride + 1
            ),
        ),
        Mistake(
            "rounded up",
            "It looks as if a step that does not fit was counted. The kernel never hangs over the padded edge: round "
            "down.",
            lambda size, kernel, stride=1, padding=0, dilation=1: (
                -(-(size + 2 * padding - dilation * (kernel - 1) - 1) // stride) + 1
            ),
        ),
        Mistake(
            "stride ignored",
            "It looks as if stride was ignored: how many steps of `stride` fit?",
            lambda size, kernel, stride=1, padding=0, dilation=1: size + 2 * padding - dilation * (kernel - 1),
        ),
    ),
)
check_output_size = OUTPUT_SIZE.check


# 20.2


def my_conv2d(image: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """What deep learning calls a convolution: slide the kernel, multiply, add up.

    Args:
        image: (H, W) float.
        kernel: (h, w) float, used as it is, without flipping.
        stride: the kernel moves by so many pixels, in both directions.
        padding: zeros added on all four sides of the image.

    Returns:
        (H', W') float, with the sizes of exercise 20.1.
    """
    padded = np.pad(image, padding)
    h, w = kernel.shape
    rows = (padded.shape[0] - h) // stride + 1
    columns = (padded.shape[1] - w) // stride + 1
    result = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = padded[i * stride : i * stride + h, j * stride : j * stride + w]
            result[i, j] = (window * kernel).sum()
    return result


NINE = np.arange(1.0, 10.0).reshape(3, 3)  # the image of the published example


def _conv2d_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(NINE, np.array([[1.0, 2.0], [0.0, -1.0]]))
    yield case(NINE, np.array([[1.0, 2.0], [0.0, -1.0]]), stride=2)
    yield case(NINE, np.array([[1.0, 2.0], [0.0, -1.0]]), padding=1)
    yield case(np.arange(12.0).reshape(3, 4), np.array([[1.0, 0.0, 2.0]]))
    for _ in range(12):
        h, w = rng.integers(1, 4, 2)
        size = rng.integers((h, w), (9, 8))
        kernel = rng.integers(-4, 5, (h, w)).astype(float)
        stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        yield case(rng.integers(-9, 10, size).astype(float), kernel, stride=stride, padding=padding)
    yield case(rng.normal(size=(7, 5)), rng.normal(size=(3, 2)), stride=2, padding=1)


def _conv2d_padded_once(image: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    return my_conv2d(np.pad(image, ((padding, 0), (padding, 0))), kernel, stride)


CONV2D = Exercise(
    id="20.2",
    module=__name__,
    name="my_conv2d",
    title="Cross-correlation by hand",
    dots=2,
    hints=(
        (
            "Start with stride 1 and no padding: which part of the image lies under the kernel for output (0, 0)? "
            "And for output (i, j)?"
        ),
        (
            "The window of output (i, j) starts at row `i * stride` and column `j * stride` of the padded image and "
            "is as large as the kernel."
        ),
        (
            "`np.pad(image, padding)` adds the zeros; `my_output_size` gives the shape; two loops fill it with "
            "`(window * kernel).sum()`."
        ),
    ),
    why=(
        "out[i, j] = sum over a, b of padded[i s + a, j s + b] kernel[a, b]. The kernel is laid on the image as it "
        "is, so this is a cross-correlation; a convolution in the sense of mathematics flips the kernel along both "
        "axes first. For learned kernels the difference does not matter: the network would learn the flipped one."
    ),
    cases=_conv2d_cases,
    mistakes=(
        Mistake(
            "kernel flipped",
            "It looks as if the kernel was flipped: that is the true convolution of mathematics. Networks use the "
            "kernel as it is.",
            lambda image, kernel, stride=1, padding=0: my_conv2d(image, kernel[::-1, ::-1], stride, padding),
        ),
        Mistake(
            "kernel transposed",
            "It looks as if the kernel's rows and columns changed places.",
            lambda image, kernel, stride=1, padding=0: my_conv2d(image, kernel.T, stride, padding),
        ),
        Mistake(
            "stride ignored",
            "It looks as if stride was ignored: output (i, j) looks at the image from row `i * stride` on.",
            lambda image, kernel, stride=1, padding=0: my_conv2d(image, kernel, 1, padding),
        ),
        Mistake(
            "stride only in the shape",
            "The shape knows the stride, but the windows do not: they start at `i * stride`, not at `i`.",
            lambda image, kernel, stride=1, padding=0: my_conv2d(image, kernel, 1, padding)[
                : my_conv2d(image, kernel, stride, padding).shape[0],
                : my_conv2d(image, kernel, stride, padding).shape[1],
            ],
        ),
        Mistake(
            "padding ignored",
            "It looks as if padding was ignored: zeros go around the image before the kernel slides.",
            lambda image, kernel, stride=1, padding=0: my_conv2d(image, kernel, stride, 0),
        ),
        Mistake(
            "padding on one side",
            "It looks as if the padding went to one side only: it goes to all four.",
            _conv2d_padded_once,
        ),
        Mistake(
            "padding repeats the edge",
            "It looks as if the edge was repeated outwards. Zeros are asked for here.",
            lambda image, kernel, stride=1, padding=0: my_conv2d(np.pad(image, padding, mode="edge"), kernel, stride),
        ),
        Mistake(
            "matrix product",
            "That is the matrix product of image and kernel. A convolution multiplies value by value, and adds up "
            "within the window.",
            lambda image, kernel, stride=1, padding=0: np.pad(image, padding) @ kernel,
        ),
        Mistake(
            "first window only",
            "Every output is the first one: does the window move with i and j?",
            lambda image, kernel, stride=1, padding=0: np.full_like(
                my_conv2d(image, kernel, stride, padding), my_conv2d(image, kernel, stride, padding)[0, 0]
            ),
        ),
    ),
)
check_conv2d = CONV2D.check


# 20.3

# Shape (3, 3). Over the image [[1, 2, 3], [4, 5, 6], [7, 8, 9]] the kernel must give one value, and the flipped kernel
# (turned by 180 degrees) another.
my_kernel = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])


def _judge_kernel(got: Any, expected: np.ndarray) -> Problem | None:
    try:
        kernel = np.asarray(got, dtype=float)
    except (TypeError, ValueError):
        return Problem(SHAPE, "an array of shape (3, 3)", "something that is not made of numbers")
    if kernel.shape != (3, 3):
        return Problem(SHAPE, "an array of shape (3, 3)", f"shape {kernel.shape}", "Three rows of three numbers.")
    if not np.isfinite(kernel).all():
        return Problem(VALUES, "finite numbers", "infinity or NaN", "Every value must be an ordinary number.")
    flipped = kernel[::-1, ::-1]
    straight, turned = (NINE * kernel).sum(), (NINE * flipped).sum()
    if not np.isclose(straight, turned):
        return None
    name = "differs, but not here"
    if np.array_equal(kernel, flipped):
        name = "unchanged by the flip"
        if (kernel == kernel.flat[0]).all():
            name = "all values equal"
    return Problem(VALUES, "two different values", f"{straight:g} without and {turned:g} with the flip", mistake=name)


KERNEL = Exercise(
    id="20.3",
    module=__name__,
    name="my_kernel",
    title="A kernel that tells correlation from convolution",
    dots=1,
    hints=(
        "Flipping turns the kernel by 180 degrees: the upper left value changes places with the lower right one.",
        "The image grows towards the lower right. Where would a single 1 have to stand to pick 1, and where to pick 9?",
        "Any kernel whose two halves weigh the image differently will do: a 1 in one corner and zeros elsewhere, say.",
    ),
    why=(
        "Over a 3 x 3 image both operations give one value: the sum of image times kernel, and of image times the "
        "turned kernel. The image and the turned image add up to 10 everywhere, so the two sums are alike exactly "
        "when kernel times (image - 5) adds up to 0. The published kernel happens to do that: it gives 30 both ways. "
        "An edge detector does not: -2 and 2."
    ),
    mistakes=(
        Mistake(
            "all values equal", "A kernel of equal values is its own flip, for every image: make its two halves differ."
        ),
        Mistake(
            "unchanged by the flip",
            "This kernel is its own flip, so no image could tell. A flip turns by 180 degrees: mirroring at the "
            "diagonal is not it.",
        ),
        Mistake(
            "differs, but not here",
            "The flipped kernel differs, but on this image both sums happen to be equal, as in the published "
            "example. "
            "Move some weight towards one corner.",
        ),
    ),
    judge=_judge_kernel,
)
check_kernel = KERNEL.check


# 20.4


def my_max_pool2d(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    """The largest value in every window.

    Args:
        image: (H, W) float, negative values too.
        size: the window has size x size pixels.
        stride: from one window to the next.

    Returns:
        (H', W') float; a window that would hang over the edge is left out.
    """
    rows = (image.shape[0] - size) // stride + 1
    columns = (image.shape[1] - size) // stride + 1
    result = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            result[i, j] = image[i * stride : i * stride + size, j * stride : j * stride + size].max()
    return result


def _max_pool2d_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(NINE, 2, 1)
    yield case(NINE, 2, 2)
    yield case(-NINE, 2, 1)
    yield case(np.array([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 1.0, 4.0]]), 2, 2)
    for _ in range(12):
        size = int(rng.integers(1, 4))
        shape = rng.integers(size, (10, 9))
        yield case(rng.integers(-20, 10, shape).astype(float), size, int(rng.integers(1, 4)))


def _pooled(image: np.ndarray, size: int, stride: int, over: Any, *, start: float | None = None) -> np.ndarray:
    """Pooling with another rule than the maximum; `start`: what the search for the largest begins with."""
    rows, columns = (image.shape[0] - size) // stride + 1, (image.shape[1] - size) // stride + 1
    windows = [
        image[i * stride : i * stride + size, j * stride : j * stride + size]
        for i in range(rows)
        for j in range(columns)
    ]
    values = [over(window) if start is None else max(start, over(window)) for window in windows]
    return np.array(values).reshape(rows, columns)


def _pooled_with_ceil_mode(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    rows, columns = (-(-(n - size) // stride) + 1 for n in image.shape)
    padded = np.pad(image, ((0, size + stride), (0, size + stride)), constant_values=-np.inf)
    return my_max_pool2d(padded, size, stride)[:rows, :columns]


def _pooled_by_row_index(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    rows, columns = ((n - size) // stride + 1 for n in image.shape)
    places = [(i, j) for i in range(rows) for j in range(columns)]
    values = [image[i * stride : i * stride + i + 1, j * stride : j * stride + i + 1].max() for i, j in places]
    return np.array(values).reshape(rows, columns)


def _pooled_over_the_stride(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    rows, columns = ((n - size) // stride + 1 for n in image.shape)
    tops, lefts = (range(0, stride * n, stride) for n in (rows, columns))
    return np.array([[image[i : i + stride, j : j + stride].max() for j in lefts] for i in tops])


MAX_POOL2D = Exercise(
    id="20.4",
    module=__name__,
    name="my_max_pool2d",
    title="Max pooling",
    dots=2,
    hints=(
        "The windows lie as in exercise 20.2; only what is done with each is different.",
        "There are `(H - size) // stride + 1` rows of windows; window (i, j) starts at `i * stride`, `j * stride`.",
        "Take `.max()` of the window. A search that begins with 0 goes wrong where all values are negative.",
    ),
    why=(
        "out[i, j] is the largest of the size x size values from row i stride and column j stride on. A 2 x 2 window "
        "of [[1, 2, 3], [4, 5, 6], [7, 8, 9]] holds 1, 2, 4, 5, so the first output is 5. The window's size is a "
        "choice of the designer and has nothing to do with the position of the output."
    ),
    cases=_max_pool2d_cases,
    mistakes=(
        Mistake(
            "average",
            "That is the mean of every window. The largest value is asked for.",
            lambda image, size, stride: _pooled(image, size, stride, np.mean),
        ),
        Mistake(
            "minimum",
            "That is the smallest value of every window.",
            lambda image, size, stride: _pooled(image, size, stride, np.min),
        ),
        Mistake(
            "search starts at 0",
            "Where all values are negative the answer can't be 0: begin the search with the window's own first value.",
            lambda image, size, stride: _pooled(image, size, stride, np.max, start=0.0),
        ),
        Mistake(
            "stride is the window size",
            "It looks as if the windows never overlap: they move by `stride`, which may differ from `size`.",
            lambda image, size, stride: my_max_pool2d(image, size, size),
        ),
        Mistake(
            "stride ignored",
            "It looks as if the window always moves by one pixel: it moves by `stride`.",
            lambda image, size, stride: my_max_pool2d(image, size, 1),
        ),
        Mistake(
            "window as large as the stride",
            "It looks as if the window had `stride` x `stride` pixels: it starts at `i * stride` and is `size` long.",
            _pooled_over_the_stride,
        ),
        Mistake(
            "window too wide",
            "The window has one column too many, as in the published example, where the first output is the largest "
            "of six values. A 2 x 2 window of it holds 1, 2, 4 and 5.",
            lambda image, size, stride: np.array(
                [
                    [
                        image[i * stride : i * stride + size, j * stride : j * stride + size + 1].max()
                        for j in range((image.shape[1] - size) // stride + 1)
                    ]
                    for i in range((image.shape[0] - size) // stride + 1)
                ]
            ),
        ),
        Mistake(
            "window grows with the row",
            "The window grows with the output's row, as in a published formula. It is size x size everywhere.",
            _pooled_by_row_index,
        ),
        Mistake(
            "overhanging window",
            "A window that hangs over the edge was kept (libraries call that ceil mode). Here it is left out: round "
            "down.",
            _pooled_with_ceil_mode,
        ),
    ),
)
check_max_pool2d = MAX_POOL2D.check


# 20.5


def my_receptive_field(layers: list[tuple[int, int]]) -> int:
    """How many input values along one axis can influence one value after all layers.

    Args:
        layers: (kernel, stride) of every layer, the one next to the input first; pooling layers count alike.

    Returns:
        A whole number: two layers of kernel 3 and stride 1 see 5 values.
    """
    field = 1
    step = 1  # input values between neighbouring values of this layer's input
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


def _receptive_field_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case([(3, 1)])
    yield case([(3, 1), (3, 1)])
    yield case([(2, 2), (3, 1)])
    yield case([(3, 2), (3, 1)])
    yield case([(3, 1), (2, 2)])
    for _ in range(15):
        count = int(rng.integers(2, 7))
        yield case([(int(rng.integers(1, 6)), int(rng.integers(1, 4))) for _ in range(count)])


def _field(layers: list[tuple[int, int]], *, own_stride: bool = False, added: bool = False) -> int:
    """The receptive field with the layer's own stride applied too early, or with strides added up."""
    field, step = 1, 1
    for kernel, stride in layers:
        if own_stride:
            step *= stride
        field += (kernel - 1) * step
        if added:
            step += stride - 1
        elif not own_stride:
            step *= stride
    return field


RECEPTIVE_FIELD = Exercise(
    id="20.5",
    module=__name__,
    name="my_receptive_field",
    title="Receptive field",
    dots=3,
    hints=(
        "Without strides each layer adds `kernel - 1` values. Draw two layers of kernel 3 to see it.",
        (
            "After a layer of stride 2, neighbouring values are 2 input values apart: a later kernel spreads over "
            "twice as many."
        ),
        (
            "Keep two numbers from the input on: the field (begins with 1) and the step between neighbours (begins "
            "with 1). Which changes first?"
        ),
    ),
    why=(
        "A value of layer l looks at kernel values of the layer before, which lie step input values apart, so the "
        "field grows by (kernel - 1) step. The layer's own stride moves its outputs apart, which only the next layer "
        "notices: step is multiplied afterwards. This is why pooling early makes a network see far."
    ),
    cases=_receptive_field_cases,
    mistakes=(
        Mistake(
            "strides ignored",
            "It looks as if strides were ignored: after a stride of 2, later kernels spread over twice as many input "
            "values.",
            lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers),
        ),
        Mistake(
            "kernels added up",
            "That is the sum of the kernels. Neighbouring windows overlap, so a layer adds `kernel - 1`, not `kernel`.",
            lambda layers: sum(kernel for kernel, _ in layers),
        ),
        Mistake(
            "kernels multiplied",
            "That is the product of the kernels. Windows overlap: two kernels of 3 see 5 values, not 9.",
            lambda layers: int(np.prod([kernel for kernel, _ in layers])),
        ),
        Mistake(
            "own stride too early",
            "A layer's own stride was used for its own kernel. It only moves its outputs apart, for the layers that "
            "follow.",
            lambda layers: _field(layers, own_stride=True),
        ),
        Mistake(
            "strides added up",
            "It looks as if strides were added. Two layers of stride 2 place neighbours 2 x 2 = 4 input values apart.",
            lambda layers: _field(layers, added=True),
        ),
        Mistake(
            "from the wrong end",
            "The layers seem to be taken from the output on: the list begins with the layer next to the input.",
            lambda layers: my_receptive_field(layers[::-1]),
        ),
        Mistake(
            "starts with 0",
            "One value less: without any layer a value sees itself, so the field begins with 1.",
            lambda layers: my_receptive_field(layers) - 1,
        ),
    ),
)
check_receptive_field = RECEPTIVE_FIELD.check


# 20.6


def my_transposed_size(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> int:
    """How many values a transposed convolution gives along one axis.

    Args:
        size: values that come in.
        kernel: length of the kernel.
        stride: distance at which neighbouring inputs write into the output.
        padding: values cut off at each of the two ends, as the padding of the convolution it undoes.
        output_padding: values added at the far end only, less than stride.

    Returns:
        A whole number: `my_transposed_size(3, 2, stride=2)` is 6.
    """
    return (size - 1) * stride + kernel - 2 * padding + output_padding


def _transposed_size_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield case(3, 2, stride=2)
    yield case(3, 3)
    yield case(4, 3, stride=2, padding=1)
    yield case(4, 3, stride=2, padding=1, output_padding=1)
    for _ in range(25):
        kernel, stride = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        padding, more = int(rng.integers(0, kernel)), int(rng.integers(0, stride))
        size = int(rng.integers(6, 20))
        yield case(size, kernel, stride=stride, padding=padding, output_padding=more)


TRANSPOSED_SIZE = Exercise(
    id="20.6",
    module=__name__,
    name="my_transposed_size",
    title="How large is the output of a transposed convolution?",
    dots=2,
    hints=(
        (
            "Each input value writes a copy of the kernel into the output, `stride` apart. Draw it for 3 inputs, "
            "kernel 2, stride 2."
        ),
        "The last copy begins at `(size - 1) * stride` and is `kernel` long.",
        "Then `padding` is cut off at both ends, and `output_padding` is added at one.",
    ),
    why=(
        "Turn exercise 20.1 around: an output of n values came from (n - 1) stride + kernel - 2 padding inputs, or "
        "from up to stride - 1 more, because rounding down had lost them. output_padding says which of these is "
        "meant. A 2 x 2 kernel with stride 2 doubles every size, which is what a U-Net's way up uses."
    ),
    cases=_transposed_size_cases,
    mistakes=(
        Mistake(
            "forward formula",
            "That is the size of an ordinary convolution, which shrinks. The transposed one goes the other way.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: my_output_size(size, kernel, stride, padding),
        ),
        Mistake(
            "size times stride",
            "Between `size` copies there are `size - 1` steps, and the last copy is `kernel` long.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: (
                size * stride + kernel - 2 * padding + output_padding
            ),
        ),
        Mistake(
            "kernel forgotten",
            "The last input writes a whole kernel, not a single value.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: (
                (size - 1) * stride + 1 - 2 * padding + output_padding
            ),
        ),
        Mistake(
            "padding added",
            "It looks as if padding was added. In a transposed convolution it is cut off.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: (
                (size - 1) * stride + kernel + 2 * padding + output_padding
            ),
        ),
        Mistake(
            "padding once",
            "It looks as if padding was cut off at one end only.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: (
                (size - 1) * stride + kernel - padding + output_padding
            ),
        ),
        Mistake(
            "padding ignored",
            "It looks as if padding was ignored: that many values are cut off at each of the two ends.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: (size - 1) * stride + kernel + output_padding,
        ),
        Mistake(
            "output padding ignored",
            "It looks as if output_padding was ignored: it adds that many values at the far end.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: (size - 1) * stride + kernel - 2 * padding,
        ),
        Mistake(
            "output padding twice",
            "output_padding is added at one end only.",
            lambda size, kernel, stride=1, padding=0, output_padding=0: (
                (size - 1) * stride + kernel - 2 * padding + 2 * output_padding
            ),
        ),
    ),
)
check_transposed_size = TRANSPOSED_SIZE.check
