"""Wrong answers to the exercises of lesson 00."""

import math

import numpy as np

from mutants import wrong


@wrong("00.1", "cubic millimetres")
def in_mm3(spacing_mm):
    return math.prod(spacing_mm)


@wrong("00.1", "edges added")
def added(spacing_mm):
    z, y, x = spacing_mm
    return (z + y + x) / 1000


@wrong("00.1", "taken for a cube")
def cube(spacing_mm):
    return (spacing_mm[0] / 10) ** 3


@wrong("00.1", "centimetres")
def by_ten(spacing_mm):
    return spacing_mm[0] * spacing_mm[1] * spacing_mm[2] / 10


@wrong("00.2", "last axis")
def sagittal(volume):
    return volume[..., volume.shape[-1] // 2]


@wrong("00.2", "middle axis")
def coronal(volume):
    return volume[:, len(volume[0]) // 2, :]


@wrong("00.2", "first slice")
def first(volume):
    return next(iter(volume))


@wrong("00.2", "one too early")
def counts_from_one(volume):
    return volume[len(volume) // 2 - 1]


@wrong("00.2", "one too late")
def rounds_up(volume):
    return volume[math.ceil(len(volume) / 2)]


@wrong("00.2", says="shape is not right")
def three_axes(volume):
    middle = len(volume) // 2
    return volume[middle : middle + 1]


@wrong("00.3", "any label")
def any_structure(labels, label):
    return int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))


@wrong("00.3", "values added")
def values_added(labels, label):
    return int(np.argmax([single.sum() for single in labels]))


@wrong("00.3", "another axis")
def column(labels, label):
    counts = [np.count_nonzero(labels[:, :, x] == label) for x in range(labels.shape[2])]
    return counts.index(max(counts))


@wrong("00.3", "last of equals")
def last(labels, label):
    counts = [np.count_nonzero(single == label) for single in labels]
    return max(range(len(counts)), key=lambda z: (counts[z], z))


@wrong("00.3", "the count")
def how_many(labels, label):
    return max(np.count_nonzero(single == label) for single in labels)
