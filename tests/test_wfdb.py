"""WFDB records: samples against hand-packed bytes and the header's own checksums, beats against known counts."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlab import wfdb

# Beats of the common types, as counted in the notes of the data set by other software.
REFERENCE_COUNTS = {
    "100": {"N": 2239, "A": 33, "V": 1},
    "106": {"N": 1507, "V": 520},
    "109": {"L": 2492, "V": 38, "F": 2},
    "118": {"R": 2166, "A": 96, "V": 16},
    "119": {"N": 1543, "V": 444},
    "200": {"N": 1743, "V": 826, "A": 30, "F": 2},
    "207": {"L": 1457, "A": 107, "V": 105, "E": 105, "R": 86},
    "208": {"N": 1586, "V": 992, "F": 373, "S": 2, "Q": 2},
    "209": {"N": 2621, "A": 383, "V": 1},
    "213": {"N": 2641, "F": 362, "V": 220, "A": 25, "a": 3},
    "214": {"L": 2003, "V": 256, "Q": 2, "F": 1},
    "217": {"/": 1542, "f": 260, "N": 244, "V": 162},
    "222": {"N": 2062, "j": 212, "A": 208, "J": 1},
    "223": {"N": 2029, "V": 473, "A": 72, "e": 16, "F": 14, "a": 1},
    "231": {"R": 1254, "N": 314, "V": 2, "A": 1},
    "232": {"A": 1382, "R": 397, "j": 1},
    "233": {"N": 2230, "V": 831, "F": 11, "A": 7},
}


def pack_212(samples: np.ndarray) -> bytes:
    """Format 212 written the slow way: two samples of 12 bits in three bytes."""
    samples = [int(sample) & 0xFFF for sample in samples] + [0] * (len(samples) % 2)
    packed = bytearray()
    for a, b in zip(samples[::2], samples[1::2], strict=True):
        packed += bytes([a & 0xFF, a >> 8 | (b >> 8) << 4, b & 0xFF])
    return bytes(packed)


def word(code: int, low: int) -> bytes:
    return struct.pack("<H", code << 10 | low)


def write_record(folder: Path, digits: np.ndarray, *, ends: str = "\n", checksum: int | None = None) -> Path:
    """A record "r" of two leads at 250 Hz; digits (n, 2)."""
    sums = [checksum if checksum is not None else int(column.sum()) for column in digits.T]
    sums = [(one + 2**15) % 2**16 - 2**15 for one in sums]  # signed, in 16 bits
    lines = [f"r 2 250 {len(digits)}"]
    lines += [f"r.dat 212 100(-7)/mV 11 0 {digits[0, i]} {sums[i]} 0 lead {'AB'[i]}" for i in range(2)]
    (folder / "r.hea").write_bytes((ends.join([*lines, "# 40 M", ""])).encode())
    (folder / "r.dat").write_bytes(pack_212(digits.ravel()))
    return folder / "r"


def test_one_pair_by_hand():
    # 0x123 = 291 and 0xFFE = -2 share the bytes 23, F1, FE
    assert wfdb.unpack_212(np.array([0x23, 0xF1, 0xFE], np.uint8), 2).tolist() == [291, -2]


@settings(deadline=None)
@given(st.lists(st.integers(-2048, 2047), max_size=9))
def test_unpack_is_the_inverse_of_pack(samples):
    packed = np.frombuffer(pack_212(np.array(samples, int)), np.uint8)
    assert wfdb.unpack_212(packed, len(samples)).tolist() == samples
    needed = (len(samples) * 3 + 1) // 2
    assert wfdb.unpack_212(packed[:needed], len(samples)).tolist() == samples


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_record_is_in_millivolts_whatever_its_line_ends(tmp_path, ends):
    digits = np.array([[-7, 93], [43, -107], [2047, -2048]])
    record = wfdb.read_record(write_record(tmp_path, digits, ends=ends))
    np.testing.assert_allclose(record.signals_mv, (digits + 7) / 100, rtol=1e-6)
    assert record.signals_mv.dtype == np.float32
    assert (record.name, record.sampling_hz, record.leads) == ("r", 250, ("lead A", "lead B"))
    assert record.comments == ("40 M",)
    assert len(record.beat_samples) == 0


def test_gain_and_baseline_have_defaults(tmp_path):
    path = write_record(tmp_path, np.array([[1024, 1224], [824, 1024]]))
    path.with_suffix(".hea").write_text("r 2 360 2\nr.dat 212 0 11 1024\nr.dat 212 200/mV 11 1024\n")
    record = wfdb.read_record(path)
    np.testing.assert_allclose(record.signals_mv, [[0, 1], [-1, 0]])
    assert record.leads == ("lead 1", "lead 2")


def test_annotations_of_every_kind_by_hand(tmp_path):
    content = word(1, 100)  # N at 100
    content += word(61, 0xFF)  # its subtype is -1
    content += word(59, 0) + struct.pack("<HH", 1, 4464)  # skip 65536 + 4464 = 70000 samples, upper half first
    content += word(5, 1023)  # V at 100 + 70000 + 1023
    content += word(62, 1) + word(60, 3)  # channel 1 and number 3, from here on
    content += word(28, 7) + word(63, 5) + b"(AFIB\0"  # change of rhythm with a text of odd length
    content += word(8, 10)  # A, still in channel 1, number 3
    content += word(0, 0) + word(1, 1)  # what follows the end is not read
    (tmp_path / "r.atr").write_bytes(content)
    assert wfdb.read_annotations(tmp_path / "r.atr") == (
        wfdb.Annotation(100, "N", subtype=-1),
        wfdb.Annotation(71123, "V", channel=1, number=3),
        wfdb.Annotation(71130, "+", channel=1, number=3, text="(AFIB"),
        wfdb.Annotation(71140, "A", channel=1, number=3),
    )


def test_only_beats_are_beats(tmp_path):
    path = write_record(tmp_path, np.zeros((2, 2), int))
    codes = {symbol: code for code, symbol in wfdb.SYMBOLS.items()}
    content = b"".join(word(codes[symbol], 5) for symbol in 'NA+~|"[]x!V') + word(0, 0)
    path.with_suffix(".atr").write_bytes(content)
    record = wfdb.read_record(path)
    assert record.beat_symbols.tolist() == ["N", "A", "V"]
    assert record.beat_samples.tolist() == [5, 10, 55]
    assert record.beat_samples.dtype == np.int64
    assert len(record.annotations) == 11
    assert repr(record) == "record r: 0 s at 250 Hz, leads lead A, lead B; N 1, A 1, V 1"


def refused(path: Path, kind: type[Exception] = ValueError) -> str:
    with pytest.raises(kind) as caught:
        wfdb.read_record(path)
    return str(caught.value)


def test_missing_files_are_named(tmp_path):
    assert "r.hea: the header of the record is missing" in refused(tmp_path / "r", FileNotFoundError)
    path = write_record(tmp_path, np.zeros((2, 2), int))
    path.with_suffix(".dat").unlink()
    assert "r.dat: the samples that r.hea names are missing" in refused(path, FileNotFoundError)
    with pytest.raises(FileNotFoundError, match=r"r\.atr: the annotations of the record are missing"):
        wfdb.read_annotations(tmp_path / "r.atr")


def test_samples_cut_short_are_refused(tmp_path):
    path = write_record(tmp_path, np.zeros((4, 2), int))
    path.with_suffix(".dat").write_bytes(bytes(11))
    assert "r.dat: cut short: 11 bytes of 12" in refused(path)


def test_changed_samples_do_not_have_the_checksum(tmp_path):
    path = write_record(tmp_path, np.full((4, 2), 5))
    content = bytearray(path.with_suffix(".dat").read_bytes())
    content[6] ^= 1
    path.with_suffix(".dat").write_bytes(content)
    assert "r.dat: lead A does not have the header's checksum" in refused(path)
    content[0] ^= 1
    path.with_suffix(".dat").write_bytes(content)
    assert "r.dat: lead A starts with 4, the header says 5" in refused(path)


def test_the_checksum_wraps_at_16_bits(tmp_path):
    digits = np.full((50, 2), 2000)  # the sum is 100,000
    wfdb.read_record(write_record(tmp_path, digits))
    assert "checksum" in refused(write_record(tmp_path, digits, checksum=100_000 - 2**16 + 1))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("r 2 250 4\nr.dat 16 200\nr.dat 16 200\n", "signals in format 16 in 1 files; only format 212"),
        ("r 2 250 4\nr.dat 212x2 200\nr.dat 212x2 200\n", "signals in format 212x2"),
        ("r 2 250 4\na.dat 212 200\nb.dat 212 200\n", "signals in format 212 in 2 files"),
        ("r 2 250 4\nr.dat 212 200\n", "promises 2 signals and describes 1"),
        (
            "r 2 250 4\nr.dat 212 200/mmHg\nr.dat 212 200\n",
            "not a WFDB header that can be read (signal 0 is in mmHg, only mV",
        ),
        ("r 2\n", "not a WFDB header that can be read"),
        ("", "not a WFDB header that can be read"),
        ("hello world, this is text\n", "not a WFDB header that can be read"),
    ],
)
def test_headers_that_can_not_be_read_are_refused(tmp_path, header, said):
    path = write_record(tmp_path, np.zeros((4, 2), int))
    path.with_suffix(".hea").write_text(header)
    assert f"r.hea: {said}" in refused(path)


@pytest.mark.parametrize(
    "content",
    [b"", word(1, 5), word(1, 5) + b"\1", word(59, 0) + b"\0\0", word(61, 1), word(1, 5) + word(63, 9) + b"abc"],
)
def test_annotations_cut_short_are_refused(tmp_path, content):
    (tmp_path / "r.atr").write_bytes(content)
    with pytest.raises(ValueError, match=r"r\.atr: the annotations are cut short or broken at byte"):
        wfdb.read_annotations(tmp_path / "r.atr")


def test_an_unknown_code_is_refused(tmp_path):
    (tmp_path / "r.atr").write_bytes(word(1, 5) + word(45, 1) + word(0, 0))
    with pytest.raises(ValueError, match=r"r\.atr: unknown code 45 at byte 2"):
        wfdb.read_annotations(tmp_path / "r.atr")


# --- Real data ---


@pytest.mark.parametrize("name", REFERENCE_COUNTS)
def test_a_real_record_has_its_beats_and_checksums(mirror, name):
    record = wfdb.read_record(mirror / "mitdb" / name)  # checks first values and checksums itself
    assert Counter(record.beat_symbols.tolist()) == REFERENCE_COUNTS[name]
    assert record.signals_mv.shape == (650_000, 2)
    assert record.sampling_hz == 360
    assert record.leads == ("MLII", "V5" if name == "100" else "V1")
    assert np.all(np.diff(record.beat_samples) >= 0)


def test_the_first_values_of_record_100(mirror):
    record = wfdb.read_record(mirror / "mitdb/100")
    np.testing.assert_allclose(record.signals_mv[0], [(995 - 1024) / 200, (1011 - 1024) / 200], rtol=1e-6)
    assert record.comments == ("69 M 1085 1629 x1", "Aldomet, Inderal")
    assert record.annotations[0] == wfdb.Annotation(18, "+", text="(N")
    assert (record.beat_samples[0], record.beat_symbols[0]) == (77, "N")


def test_flutter_waves_are_annotated_but_are_no_beats(mirror):
    record = wfdb.read_record(mirror / "mitdb/207")
    assert Counter(one.symbol for one in record.annotations)["!"] == 472
    assert "!" not in record.beat_symbols
