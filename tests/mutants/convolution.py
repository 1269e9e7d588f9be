"""Wrong answers to the exercises of lesson 20."""

import math

import numpy as np

from mutants import wrong

# 20.1 output size


@wrong("20.1", "start not counted")
def steps_only(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride


@wrong("20.1", "padding once")
def padding_once(size, kernel, stride=1, padding=0, dilation=1):
    covered = 1 + dilation * (kernel - 1)
    return (size + padding - covered) // stride + 1


@wrong("20.1", "padding ignored")
def unpadded(size, kernel, stride=1, padding=0, dilation=1):
    return len(range(0, size - dilation * (kernel - 1), stride))


@wrong("20.1", "dilation ignored")
def no_dilation(size, kernel, stride=1, padding=0, dilation=1):
    return int((size - kernel + 2 * padding) / stride) + 1


@wrong("20.1", "dilation times kernel")
def too_much_dilation(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * kernel) // stride + 1


@wrong("20.1", "rounded up")
def rounded_up(size, kernel, stride=1, padding=0, dilation=1):
    return math.ceil((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1


@wrong("20.1", "stride ignored")
def no_stride(size, kernel, stride=1, padding=0, dilation=1):
    return len(range(0, size + 2 * padding - dilation * (kernel - 1)))


@wrong("20.1", says="divides without a fraction")
def not_whole(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1


# 20.2 conv2d


def correlate(image, kernel, stride=1):
    h, w = kernel.shape
    return np.array(
        [
            [(image[i : i + h, j : j + w] * kernel).sum() for j in range(0, image.shape[1] - w + 1, stride)]
            for i in range(0, image.shape[0] - h + 1, stride)
        ]
    )


@wrong("20.2", "kernel flipped")
def true_convolution(image, kernel, stride=1, padding=0):
    return correlate(np.pad(image, padding), np.flip(kernel), stride)


@wrong("20.2", "kernel transposed")
def rows_for_columns(image, kernel, stride=1, padding=0):
    return correlate(np.pad(image, padding), kernel.transpose(), stride)


@wrong("20.2", "stride ignored")
def every_pixel(image, kernel, stride=1, padding=0):
    return correlate(np.pad(image, padding), kernel)


@wrong("20.2", "stride only in the shape")
def windows_do_not_move(image, kernel, stride=1, padding=0):
    image = np.pad(image, padding)
    h, w = kernel.shape
    out = np.zeros(((image.shape[0] - h) // stride + 1, (image.shape[1] - w) // stride + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.sum(image[i : i + h, j : j + w] * kernel)
    return out


@wrong("20.2", "padding ignored")
def not_padded(image, kernel, stride=1, padding=0):
    return correlate(image, kernel, stride)


@wrong("20.2", "padding on one side")
def padded_at_the_start(image, kernel, stride=1, padding=0):
    bigger = np.zeros((image.shape[0] + padding, image.shape[1] + padding))
    bigger[padding:, padding:] = image
    return correlate(bigger, kernel, stride)


@wrong("20.2", "padding repeats the edge")
def edge_repeated(image, kernel, stride=1, padding=0):
    return correlate(np.pad(image, padding, "edge"), kernel, stride)


@wrong("20.2", "matrix product")
def published_formula(image, kernel, stride=1, padding=0):
    return np.matmul(np.pad(image, padding), kernel)


@wrong("20.2", "first window only")
def never_moves(image, kernel, stride=1, padding=0):
    right = correlate(np.pad(image, padding), kernel, stride)
    right[:] = right[0, 0]
    return right


@wrong("20.2", says="make it an array")
def nested_lists(image, kernel, stride=1, padding=0):
    return correlate(np.pad(image, padding), kernel, stride).tolist()


@wrong("20.2", says="cut them off")
def into_integers(image, kernel, stride=1, padding=0):
    return correlate(np.pad(image, padding), kernel, stride).astype(int)


@wrong("20.2", says="changed its input `image`")
def eats_its_input(image, kernel, stride=1, padding=0):
    result = correlate(np.pad(image, padding), kernel, stride)
    image *= 0
    return result


# 20.3 a kernel

wrong("20.3", "all values equal")(np.ones((3, 3)) / 9)
wrong("20.3", "unchanged by the flip")(np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]))
wrong("20.3", "unchanged by the flip")(np.array([[1, 2, 3], [4, 5, 4], [3, 2, 1]]))
wrong("20.3", "differs, but not here")(np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]]))
wrong("20.3", "differs, but not here")(np.array([[0, 2, 0], [0, 0, 0], [1, 0, 1]]))
wrong("20.3", says="Three rows")(np.array([[1, 0], [0, 0]]))
wrong("20.3", says="ordinary number")(np.full((3, 3), np.nan))

# 20.4 max pooling


@wrong("20.4", "average")
def mean_pooling(image, size, stride):
    rows, columns = (image.shape[0] - size) // stride + 1, (image.shape[1] - size) // stride + 1
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = image[i * stride :, j * stride :][:size, :size].sum() / size**2
    return out


@wrong("20.4", "minimum")
def smallest(image, size, stride):
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    return windows[::stride, ::stride].min((2, 3))


@wrong("20.4", "search starts at 0")
def begins_with_zero(image, size, stride):
    rows, columns = (image.shape[0] - size) // stride + 1, (image.shape[1] - size) // stride + 1
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            for a in range(size):
                for b in range(size):
                    if image[i * stride + a, j * stride + b] > out[i, j]:
                        out[i, j] = image[i * stride + a, j * stride + b]
    return out


@wrong("20.4", "stride is the window size")
def tiles(image, size, stride):
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    return windows[::size, ::size].max((2, 3))


@wrong("20.4", "stride ignored")
def one_by_one(image, size, stride):
    return np.lib.stride_tricks.sliding_window_view(image, (size, size)).max((2, 3))


@wrong("20.4", "window as large as the stride")
def stride_twice(image, size, stride):
    out = []
    for i in range(0, image.shape[0] - size + 1, stride):
        out.append([image[i : i + stride, j : j + stride].max() for j in range(0, image.shape[1] - size + 1, stride)])
    return np.array(out)


@wrong("20.4", "window too wide")
def six_values(image, size, stride):
    rows, columns = (image.shape[0] - size) // stride + 1, (image.shape[1] - size) // stride + 1
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = np.max(image[i * stride : i * stride + size, j * stride : j * stride + size + 1])
    return out


@wrong("20.4", "window grows with the row")
def published_window(image, size, stride):
    rows, columns = (image.shape[0] - size) // stride + 1, (image.shape[1] - size) // stride + 1
    out = np.zeros((rows, columns))
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            top, left = (i - 1) * stride, (j - 1) * stride
            out[i - 1, j - 1] = image[top : top + i, left : left + i].max()
    return out


@wrong("20.4", "overhanging window")
def ceil_mode(image, size, stride):
    rows = math.ceil((image.shape[0] - size) / stride) + 1
    columns = math.ceil((image.shape[1] - size) / stride) + 1
    out = np.full((rows, columns), -np.inf)
    for i in range(rows):
        for j in range(columns):
            window = image[i * stride : i * stride + size, j * stride : j * stride + size]
            if window.size:
                out[i, j] = window.max()
    return out


# 20.5 receptive field


@wrong("20.5", "strides ignored")
def no_strides(layers):
    field = 1
    for kernel, _ in layers:
        field = field + kernel - 1
    return field


@wrong("20.5", "kernels added up")
def sum_of_kernels(layers):
    return sum(kernel for kernel, stride in layers)


@wrong("20.5", "kernels multiplied")
def product_of_kernels(layers):
    return math.prod(kernel for kernel, stride in layers)


@wrong("20.5", "own stride too early")
def stride_first(layers):
    field = jump = 1
    for kernel, stride in layers:
        jump = jump * stride
        field = field + (kernel - 1) * jump
    return field


@wrong("20.5", "strides added up")
def sum_of_strides(layers):
    field = jump = 1
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump += stride - 1
    return field


@wrong("20.5", "from the wrong end")
def backwards(layers):
    field, jump = 1, 1
    for kernel, stride in reversed(layers):
        field += (kernel - 1) * jump
        jump *= stride
    return field


@wrong("20.5", "starts with 0")
def from_nothing(layers):
    field, jump = 0, 1
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump *= stride
    return field


# 20.6 transposed size


@wrong("20.6", "forward formula")
def ordinary(size, kernel, stride=1, padding=0, output_padding=0):
    return (size + 2 * padding - kernel) // stride + 1


@wrong("20.6", "size times stride")
def one_step_more(size, kernel, stride=1, padding=0, output_padding=0):
    return size * stride - 2 * padding + kernel + output_padding


@wrong("20.6", "kernel forgotten")
def no_kernel(size, kernel, stride=1, padding=0, output_padding=0):
    return (size - 1) * stride - 2 * padding + output_padding + 1


@wrong("20.6", "padding added")
def bigger(size, kernel, stride=1, padding=0, output_padding=0):
    return (size - 1) * stride + 2 * padding + kernel + output_padding


@wrong("20.6", "padding once")
def one_end(size, kernel, stride=1, padding=0, output_padding=0):
    return (size - 1) * stride - padding + kernel + output_padding


@wrong("20.6", "padding ignored")
def nothing_cut_off(size, kernel, stride=1, padding=0, output_padding=0):
    return kernel + stride * (size - 1) + output_padding


@wrong("20.6", "output padding ignored")
def no_output_padding(size, kernel, stride=1, padding=0, output_padding=0):
    return (size - 1) * stride - 2 * padding + kernel


@wrong("20.6", "output padding twice")
def both_ends(size, kernel, stride=1, padding=0, output_padding=0):
    return (size - 1) * stride + kernel - 2 * (padding - output_padding)
