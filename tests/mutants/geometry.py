"""Wrong answers to the exercises of lesson 10."""

import math

import numpy as np

from mutants import wrong

# 10.1 world coordinates


@wrong("10.1", "index not reversed")
def array_order(index, origin_mm, spacing_mm, direction):
    return direction.dot(np.diag(spacing_mm)).dot(index) + origin_mm


@wrong("10.1", "spacing reversed")
def everything_reversed(index, origin_mm, spacing_mm, direction):
    return origin_mm + direction @ (index * spacing_mm)[::-1]


@wrong("10.1", "result reversed")
def back_to_zyx(index, origin_mm, spacing_mm, direction):
    x, y, z = origin_mm + direction @ (index[::-1] * spacing_mm)
    return np.array([z, y, x])


@wrong("10.1", "spacing ignored")
def one_mm_voxels(index, origin_mm, spacing_mm, direction):
    z, y, x = index
    return origin_mm + direction @ np.array([x, y, z])


@wrong("10.1", "direction ignored")
def straight(index, origin_mm, spacing_mm, direction):
    return np.array([origin_mm[i] + index[2 - i] * spacing_mm[i] for i in range(3)])


@wrong("10.1", "direction transposed")
def rows_as_axes(index, origin_mm, spacing_mm, direction):
    return origin_mm + (index[::-1] * spacing_mm) @ direction


@wrong("10.1", "spacing after direction")
def turned_first(index, origin_mm, spacing_mm, direction):
    return (direction @ index[::-1]) * spacing_mm + origin_mm


@wrong("10.1", "origin forgotten")
def from_zero(index, origin_mm, spacing_mm, direction):
    return direction @ np.multiply(index[::-1], spacing_mm)


@wrong("10.1", says="make it an array")
def as_list(index, origin_mm, spacing_mm, direction):
    return list(origin_mm + direction @ (index[::-1] * spacing_mm))


# 10.2 window


@wrong("10.2", "not clipped")
def open_ended(volume_hu, level, width):
    return np.float32(0.5) + (volume_hu.astype(np.float32) - np.float32(level)) / np.float32(width)


@wrong("10.2", "level is the lower edge")
def begins_at_level(volume_hu, level, width):
    return ((np.clip(volume_hu, level, level + width) - level) / width).astype("float32")


@wrong("10.2", "width on both sides")
def half_width(volume_hu, level, width):
    low, high = level - width, level + width
    return ((np.clip(volume_hu, low, high) - low) / (high - low)).astype("float32")


@wrong("10.2", "own range")
def min_max(volume_hu, level, width):
    low, high = float(volume_hu.min()), float(volume_hu.max())
    return ((volume_hu - low) / (high - low)).astype("float32")


@wrong("10.2", "clipped, then own range")
def clip_then_min_max(volume_hu, level, width):
    v = np.clip(volume_hu.astype(float), level - width / 2, level + width / 2)
    v -= v.min()
    return (v / v.max()).astype("float32")


@wrong("10.2", "0 to 255")
def bytes_range(volume_hu, level, width):
    v = np.clip(volume_hu, level - width / 2, level + width / 2)
    return ((v - (level - width / 2)) * 255 / width).astype("float32")


@wrong("10.2", "black and white swapped")
def x_ray_film(volume_hu, level, width):
    return np.clip((level + width / 2 - volume_hu) / width, 0, 1).astype("float32")


@wrong("10.2", says="astype(np.float32)")
def double_precision(volume_hu, level, width):
    return np.clip((volume_hu.astype(float) - level + width / 2) / width, 0, 1)


@wrong("10.2", says="changed its input `volume_hu`")
def clips_in_place(volume_hu, level, width):
    low, high = level - width / 2, level + width / 2
    volume_hu[volume_hu < low] = np.floor(low)
    volume_hu[volume_hu > high] = np.ceil(high)
    return np.clip((volume_hu - low) / width, 0, 1).astype("float32")


# 10.3 volume


@wrong("10.3", "spacing ignored")
def cubic(mask, spacing_mm):
    return (mask != 0).sum() / 1000


@wrong("10.3", "voxels counted")
def count(mask, spacing_mm):
    return int((mask != 0).sum())


@wrong("10.3", "cubic millimetres")
def mm3(mask, spacing_mm):
    return (mask != 0).sum() * math.prod(spacing_mm)


@wrong("10.3", "values added up")
def summed(mask, spacing_mm):
    return mask.sum() * math.prod(spacing_mm) / 1000


@wrong("10.3", "only value 1")
def ones(mask, spacing_mm):
    return len(mask[mask == 1]) * math.prod(spacing_mm) * 0.001


@wrong("10.3", "only 1 and 255")
def two_values(mask, spacing_mm):
    return ((mask == 1) | (mask == 255)).sum() * math.prod(spacing_mm) / 1000


@wrong("10.3", "only the largest value")
def largest(mask, spacing_mm):
    if not mask.any():
        return 0.0
    return (mask == mask.max()).sum() * math.prod(spacing_mm) / 1000


@wrong("10.3", "values over the largest")
def divided_by_the_largest(mask, spacing_mm):
    return mask.sum() / max(int(mask.max()), 1) * math.prod(spacing_mm) / 1000


@wrong("10.3", "whole image")
def field_of_view(mask, spacing_mm):
    return math.prod(n * s for n, s in zip(mask.shape, spacing_mm, strict=True)) / 1000


@wrong("10.3", "area of pixels")
def area(mask, spacing_mm):
    return (mask > 0).sum() * spacing_mm[1] * spacing_mm[2] / 1000


@wrong("10.3", "taken for cubes")
def cubes(mask, spacing_mm):
    return (mask > 0).sum() * spacing_mm[0] ** 3 / 1000


# 10.4 flip


@wrong("10.4", "wrong axis")
def upside_down(volume, origin_mm, spacing_mm, direction):
    d = direction.copy()
    d[:, 0] = -d[:, 0]
    return volume[::-1], origin_mm + (volume.shape[2] - 1) * spacing_mm[0] * direction[:, 0], d


@wrong("10.4", "y axis")
def front_to_back(volume, origin_mm, spacing_mm, direction):
    d = direction @ np.diag([-1, 1, 1])
    return volume[:, ::-1], origin_mm - (volume.shape[2] - 1) * spacing_mm[0] * d[:, 0], d


@wrong("10.4", "only the array")
def mirrored(volume, origin_mm, spacing_mm, direction):
    return np.fliplr(volume.transpose(1, 2, 0)).transpose(2, 0, 1), origin_mm, direction


@wrong("10.4", "array not reversed")
def header_only(volume, origin_mm, spacing_mm, direction):
    last = (volume.shape[2] - 1) * spacing_mm[0]
    return volume, origin_mm + last * direction[:, 0], direction @ np.diag([-1, 1, 1])


@wrong("10.4", "origin stays")
def origin_kept(volume, origin_mm, spacing_mm, direction):
    return volume[..., ::-1], origin_mm, direction @ np.diag([-1, 1, 1])


@wrong("10.4", "direction stays")
def direction_kept(volume, origin_mm, spacing_mm, direction):
    return volume[..., ::-1], origin_mm + (volume.shape[2] - 1) * spacing_mm[0] * direction[:, 0], direction


@wrong("10.4", "one voxel too far")
def by_the_width(volume, origin_mm, spacing_mm, direction):
    return (
        volume[..., ::-1],
        origin_mm + volume.shape[2] * spacing_mm[0] * direction[:, 0],
        direction @ np.diag([-1, 1, 1]),
    )


@wrong("10.4", "origin the wrong way")
def along_the_new_axis(volume, origin_mm, spacing_mm, direction):
    d = direction @ np.diag([-1, 1, 1])
    return volume[..., ::-1], origin_mm + (volume.shape[2] - 1) * spacing_mm[0] * d[:, 0], d


@wrong("10.4", "row instead of column")
def first_row(volume, origin_mm, spacing_mm, direction):
    d = np.diag([-1, 1, 1]) @ direction
    return volume[..., ::-1], origin_mm - (volume.shape[2] - 1) * spacing_mm[0] * d[0], d


@wrong("10.4", "spacing ignored")
def in_voxels(volume, origin_mm, spacing_mm, direction):
    return volume[..., ::-1], origin_mm + (volume.shape[2] - 1) * direction[:, 0], direction @ np.diag([-1, 1, 1])


@wrong("10.4", "spacing of z")
def steps_of_z(volume, origin_mm, spacing_mm, direction):
    last = (volume.shape[2] - 1) * spacing_mm[2]
    return volume[..., ::-1], origin_mm + last * direction[:, 0], direction @ np.diag([-1, 1, 1])


@wrong("10.4", "number of slices")
def first_entry_of_the_shape(volume, origin_mm, spacing_mm, direction):
    last = (volume.shape[0] - 1) * spacing_mm[0]
    return volume[..., ::-1], origin_mm + last * direction[:, 0], direction @ np.diag([-1, 1, 1])


# 10.5 order of slices


@wrong("10.5", "by z")
def sorted_by_z(positions_mm, row, column):
    return np.array(sorted(range(len(positions_mm)), key=lambda i: positions_mm[i][2]))


@wrong("10.5", "by x")
def sorted_by_first(positions_mm, row, column):
    return np.array(sorted(range(len(positions_mm)), key=lambda i: positions_mm[i][0]))


@wrong("10.5", "turned round")
def last_first(positions_mm, row, column):
    return np.argsort(positions_mm @ np.cross(row, column))[::-1]


@wrong("10.5", "as they came")
def file_order(positions_mm, row, column):
    return np.array(range(len(positions_mm)))


@wrong("10.5", "ranks")
def place_of_each(positions_mm, row, column):
    along = positions_mm @ np.cross(row, column)
    return np.array([(along < a).sum() for a in along])


@wrong("10.5", "by distance from the origin")
def by_length(positions_mm, row, column):
    return np.argsort((positions_mm**2).sum(1))


@wrong("10.5", says="changed its input")
def sorts_the_positions(positions_mm, row, column):
    order = np.argsort(positions_mm @ np.cross(row, column))
    positions_mm[:] = positions_mm[order]
    return order
