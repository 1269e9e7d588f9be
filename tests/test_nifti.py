"""The layout of NIfTI files, read from their headers; what it is for is tested with `images.read`."""

from __future__ import annotations

import struct

import numpy as np

from medlab import nifti


def test_nifti_2_and_big_endian_headers_are_measured(tmp_path):
    first = bytearray(540)
    struct.pack_into(">i", first, 0, 348)
    struct.pack_into(">8h", first, 40, 3, 7, 5, 4, 1, 1, 1, 1)
    struct.pack_into(">2h", first, 70, 4, 16)
    struct.pack_into(">f", first, 108, 352)
    (tmp_path / "a.nii").write_bytes(first)
    assert nifti.read_layout(tmp_path / "a.nii").bytes == 352 + 7 * 5 * 4 * 2
    second = bytearray(540)
    struct.pack_into("<i", second, 0, 540)
    struct.pack_into("<2h", second, 12, 64, 64)
    struct.pack_into("<8q", second, 16, 3, 7, 5, 4, 1, 1, 1, 1)
    struct.pack_into("<q", second, 168, 544)
    (tmp_path / "b.nii").write_bytes(second)
    layout = nifti.read_layout(tmp_path / "b.nii")
    assert (layout.bytes, layout.dtype) == (544 + 7 * 5 * 4 * 8, np.dtype("<f8"))


def test_another_file_has_no_layout(tmp_path):
    (tmp_path / "a.nii").write_bytes(bytes(540))
    assert nifti.read_layout(tmp_path / "a.nii") is None
