"""Signals and beats of PhysioNet's WFDB files: format 212 and the annotation format.

Three files make a record: a text header (.hea), the samples (.dat) and annotations (.atr).

Source: Moody G. B., WFDB Applications Guide, header(5), signal(5), annot(5), https://physionet.org/physiotools/wag/ .
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

# What a code of the annotation format stands for (annot(5) and ecgcodes.h); codes that are missing here are not in use.
SYMBOLS = {
    0: " ", 1: "N", 2: "L", 3: "R", 4: "a", 5: "V", 6: "F", 7: "J", 8: "A", 9: "S", 10: "E", 11: "j", 12: "/",
    13: "Q", 14: "~", 16: "|", 18: "s", 19: "T", 20: "*", 21: "D", 22: '"', 23: "=", 24: "p", 25: "B", 26: "^",
    27: "t", 28: "+", 29: "u", 30: "?", 31: "!", 32: "[", 33: "]", 34: "e", 35: "n", 36: "@", 37: "x", 38: "f",
    39: "(", 40: ")", 41: "r",
}  # fmt: skip
BEATS = frozenset("NLRaVFJASEj/QBenfr?")  # the symbols that mark a heart beat; the others mark events and quality

_SKIP, _NUM, _SUB, _CHN, _AUX = 59, 60, 61, 62, 63


@dataclass(frozen=True)
class Annotation:
    """One annotation: where, what, and what goes with it."""

    sample: int
    symbol: str
    subtype: int = 0
    channel: int = 0
    number: int = 0
    text: str = ""  # such as "(AFIB" at a change of rhythm


@dataclass(frozen=True, eq=False)
class Record:
    """A multi-lead recording with its beats.

    Attributes:
        name: of the record.
        signals_mv: float32 (n, leads), millivolts.
        sampling_hz: samples in a second.
        leads: a name for each column of `signals_mv`.
        beat_samples: int64 (beats,), sample number of each beat, counted from 0.
        beat_symbols: (beats,), one of `BEATS` each.
        annotations: all annotations, beats included.
        comments: what the header says about the person and the recording.
    """

    name: str
    signals_mv: np.ndarray
    sampling_hz: float
    leads: tuple[str, ...]
    beat_samples: np.ndarray
    beat_symbols: np.ndarray
    annotations: tuple[Annotation, ...] = ()
    comments: tuple[str, ...] = ()

    def __repr__(self) -> str:
        kinds = ", ".join(f"{symbol} {count}" for symbol, count in Counter(self.beat_symbols.tolist()).most_common())
        seconds = len(self.signals_mv) / self.sampling_hz
        return f"record {self.name}: {seconds:.0f} s at {self.sampling_hz:g} Hz, leads {', '.join(self.leads)}; {kinds}"


def read_record(path: str | Path) -> Record:
    """Read a record: its header, its samples, and its reference annotations (.atr) if it has some.

    Args:
        path: of the record, without ending: `mitdb/100` for 100.hea, 100.dat and 100.atr.

    Raises:
        FileNotFoundError: the header or the samples are missing.
        ValueError: a broken header, an unknown format, too few samples, or samples that don't agree with the header's
            initial values and checksums. The message names the file.
    """
    path = Path(path)
    header = read_header(path.with_name(f"{path.name}.hea"))
    digits = _read_212(header)
    annotated = path.with_name(f"{path.name}.atr")
    annotations = read_annotations(annotated) if annotated.exists() else ()
    beats = [one for one in annotations if one.symbol in BEATS]
    zero = np.array([lead.baseline for lead in header.leads])
    gain = np.array([lead.gain for lead in header.leads], dtype=np.float32)
    return Record(
        name=header.name,
        signals_mv=(digits - zero).astype(np.float32) / gain,
        sampling_hz=header.sampling_hz,
        leads=tuple(lead.name for lead in header.leads),
        beat_samples=np.array([one.sample for one in beats], dtype=np.int64),
        beat_symbols=np.array([one.symbol for one in beats], dtype="<U1"),
        annotations=annotations,
        comments=header.comments,
    )


# --- Header ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lead:
    """One signal as the header describes it."""

    name: str
    gain: float  # units per millivolt
    baseline: int  # the unit that stands for 0 mV
    first: int | None  # the first sample
    checksum: int | None  # sum of all samples, in 16 bits


@dataclass(frozen=True)
class Header:
    """The header of a record."""

    path: Path
    name: str
    sampling_hz: float
    samples: int  # in each signal
    signal_file: Path
    leads: tuple[Lead, ...]
    comments: tuple[str, ...]


def read_header(path: Path) -> Header:
    """Read a .hea file, with LF or CR LF line ends.

    Raises:
        FileNotFoundError: no such file.
        ValueError: names the file and what is wrong with it.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: the header of the record is missing")
    lines = [line.strip() for line in path.read_text(encoding="latin-1").splitlines()]
    comments = tuple(line.lstrip("# ") for line in lines if line.startswith("#"))
    fields = [line.split() for line in lines if line and not line.startswith("#")]
    try:
        name, count, rate, samples = fields[0][0], int(fields[0][1]), fields[0][2], int(fields[0][3])
        rows = fields[1 : 1 + count]
        leads = tuple(_lead(row, number) for number, row in enumerate(rows))
        files, formats = {row[0] for row in rows}, {row[1] for row in rows}
        sampling_hz = float(rate.split("/")[0])
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path}: not a WFDB header that can be read ({error})") from None
    if len(leads) != count or not count:
        raise ValueError(f"{path}: promises {count} signals and describes {len(leads)}")
    if formats != {"212"} or len(files) > 1:
        raise ValueError(
            f"{path}: signals in format {', '.join(sorted(formats))} in {len(files)} files; only format 212 in one "
            "file can be read"
        )
    return Header(path, name, sampling_hz, samples, path.with_name(files.pop()), leads, comments)


def _lead(row: list[str], number: int) -> Lead:
    """Fields of a signal: file, format, gain(baseline)/unit, bits, zero, first sample, checksum, block size, name."""
    gain_text, _, unit = (row[2] if len(row) > 2 else "").partition("/")
    if unit not in ("", "mV"):
        raise ValueError(f"signal {number} is in {unit}, only mV can be read")
    gain_text, _, baseline = gain_text.rstrip(")").partition("(")
    numbers = [int(text) for text in row[3:8]]
    zero = numbers[1] if len(numbers) > 1 else 0
    return Lead(
        name=" ".join(row[8:]) or f"lead {number + 1}",
        gain=float(gain_text or 0) or 200.0,  # 200 units per mV is the default of header(5)
        baseline=int(baseline) if baseline else zero,
        first=numbers[2] if len(numbers) > 2 else None,
        checksum=numbers[3] if len(numbers) > 3 else None,
    )


# --- Samples ---------------------------------------------------------------------------------------------------------


def _read_212(header: Header) -> np.ndarray:
    """Samples in units of the converter, int32 (n, leads), checked against the header."""
    if not header.signal_file.exists():
        raise FileNotFoundError(f"{header.signal_file}: the samples that {header.path.name} names are missing")
    total = header.samples * len(header.leads)
    needed = (total * 3 + 1) // 2  # two samples share three bytes
    packed = np.fromfile(header.signal_file, dtype=np.uint8, count=needed)
    if len(packed) < needed:
        raise ValueError(f"{header.signal_file}: cut short: {len(packed):,} bytes of {needed:,}; fetch it again")
    digits = unpack_212(packed, total).reshape(-1, len(header.leads))  # (n, leads)
    for lead, column in zip(header.leads, digits.T, strict=True):
        if lead.first is not None and column[0] != lead.first:
            raise ValueError(
                f"{header.signal_file}: {lead.name} starts with {column[0]}, the header says {lead.first}; fetch it "
                "again"
            )
        if lead.checksum is not None and (int(column.sum(dtype=np.int64)) - lead.checksum) % 2**16:
            raise ValueError(f"{header.signal_file}: {lead.name} does not have the header's checksum; fetch it again")
    return digits


def unpack_212(packed: np.ndarray, count: int) -> np.ndarray:
    """Samples of format 212: two samples of 12 bits in three bytes.

    The first byte holds the low bits of the first sample, the second byte the high four bits of both (first sample in
    its lower half), the third byte the low bits of the second.

    Args:
        packed: uint8 (m,).
        count: how many samples, at most `m * 2 // 3`.

    Returns:
        int32 (count,) from -2048 to 2047.
    """
    padded = np.concatenate([packed, np.zeros(-len(packed) % 3, dtype=np.uint8)])
    low, both, high = padded.reshape(-1, 3).astype(np.int32).T
    digits = np.stack([(both & 0x0F) << 8 | low, (both & 0xF0) << 4 | high], axis=1).ravel()[:count]
    return np.where(digits >= 2048, digits - 4096, digits).astype(np.int32)


# --- Annotations -----------------------------------------------------------------------------------------------------


def read_annotations(path: Path) -> tuple[Annotation, ...]:
    """Read a file of annotations, such as 100.atr.

    A word of 16 bits holds a code in its upper six bits and a number below: the samples since the last annotation, or,
    after an annotation, its subtype (SUB), channel (CHN), number (NUM), or the length of a text (AUX). SKIP is followed
    by a 32-bit interval, upper half first. Channel and number hold until they are changed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown code, or the file ends too early; names the file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: the annotations of the record are missing")
    content = path.read_bytes()
    found: list[Annotation] = []
    place = sample = channel = number = 0
    try:
        while word := _word(content, place):
            code, low = word >> 10, word & 0x3FF
            place += 2
            if code == _SKIP:
                high, rest = struct.unpack_from("<hH", content, place)
                sample += (high << 16) + rest
                place += 4
            elif code == _NUM:
                number = _signed(low)
                found[-1] = replace(found[-1], number=number)
            elif code == _SUB:
                found[-1] = replace(found[-1], subtype=_signed(low))
            elif code == _CHN:
                channel = low
                found[-1] = replace(found[-1], channel=channel)
            elif code == _AUX:
                text = content[place : place + low]
                if len(text) < low:
                    raise struct.error("the file ends in a text")
                found[-1] = replace(found[-1], text=text.rstrip(b"\0").decode("latin-1"))
                place += low + low % 2
            elif code in SYMBOLS:
                sample += low
                found.append(Annotation(sample, SYMBOLS[code], channel=channel, number=number))
            else:
                raise ValueError(f"{path}: unknown code {code} at byte {place - 2}")
    except (struct.error, IndexError) as error:
        raise ValueError(f"{path}: the annotations are cut short or broken at byte {place} ({error})") from None
    return tuple(found)


def _word(content: bytes, place: int) -> int:
    """The unsigned 16-bit number at a byte; 0 marks the end of the annotations."""
    return int(struct.unpack_from("<H", content, place)[0])


def _signed(low: int) -> int:
    """The lower eight bits as a signed number."""
    return (low & 0xFF) - 256 if low & 0x80 else low & 0xFF
