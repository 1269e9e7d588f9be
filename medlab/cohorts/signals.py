"""Reader of electrocardiograms with beats: the MIT-BIH Arrhythmia Database."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from medlab import wfdb
from medlab.cohorts.cohort import Case
from medlab.cohorts.files import Found, files_by_name, refuse_unpaired
from medlab.manifests import Manifest

# The five classes of ANSI/AAMI EC57 and the symbols that fall into each: de Chazal et al. 2004, table I,
# DOI 10.1109/TBME.2004.827359; B, n, r and ?, which that database lacks, as the standard groups them.
AAMI_NAMES = {0: "normal", 1: "supraventricular", 2: "ventricular", 3: "fusion", 4: "unknown or paced"}
_AAMI_SYMBOLS = ("NLRejB", "AaJSn", "VEr", "F", "/fQ?")
AAMI = {symbol: number for number, symbols in enumerate(_AAMI_SYMBOLS) for symbol in symbols}


@dataclass(frozen=True, eq=False)
class Beats:
    """Heart beats of a recording.

    Attributes:
        samples: int64 (n,), sample number of each beat, counted from 0.
        symbols: (n,), the kind of beat as its annotator wrote it, see `wfdb.BEATS`.
        classes: int64 (n,), the AAMI class of each, see `AAMI_NAMES`.
    """

    samples: np.ndarray
    symbols: np.ndarray
    classes: np.ndarray


def beats_of(record: wfdb.Record) -> Beats:
    """The beats of a recording, with their classes."""
    classes = np.array([AAMI[symbol] for symbol in record.beat_symbols], dtype=np.int64)
    return Beats(record.beat_samples, record.beat_symbols, classes)


def wfdb_records(manifest: Manifest, folder: Path) -> Found:
    """A case for each record: NNN.hea, NNN.dat and NNN.atr."""
    headers, beats = files_by_name(folder, ".hea"), files_by_name(folder, ".atr")
    refuse_unpaired(headers, beats, "annotations (.atr)")
    cases = [
        Case(
            name=name,
            patient=manifest.patient_of(path.relative_to(folder)),
            files=(path, folder / f"{name}.dat", beats[name]),
            read_record=partial(wfdb.read_record, folder / name),
            read_target=partial(_beats, folder / name),
        )
        for name, path in headers.items()
    ]
    return Found(cases)


def _beats(path: Path) -> Beats:
    return beats_of(wfdb.read_record(path))
