"""What a manifest says about a public data set: facts, files, patients and their split."""

import fnmatch
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from medlab.manifests.record import in_words


@dataclass(frozen=True)
class Licence:
    """A licence: SPDX identifier ("" where no licence text was seen), its address, and what else is to be known."""

    spdx: str
    address: str
    note: str

    def __str__(self) -> str:
        """Return the licence in one line, "unknown" where none was seen."""
        return f"{self.spdx or 'licence unknown'}" + (f" ({self.address})" if self.address else "")


@dataclass(frozen=True)
class File:
    """One file to download. `bytes` is 0 and a checksum is "" where the value is not known."""

    name: str
    addresses: tuple[str, ...]  # in order of preference
    bytes: int
    sha256: str
    md5: str
    unpack: str  # none, tar or zip
    into: str  # folder inside the data set's folder that takes the unpacked files
    holds: str  # glob inside the data set's folder that finds something once this file is in place
    place: Mapping[str, str]  # glob of a member's base name -> folder, for archives that are laid out otherwise
    part: str  # "" belongs to every part

    def owns(self, path: str) -> bool:
        """Return whether a path inside the data set's folder comes from this file."""
        return PurePosixPath(path).match(self.holds) or bool(self.into and path.startswith(f"{self.into}/"))

    @property
    def checksum(self) -> tuple[str, str]:
        """The strongest known checksum as (algorithm, hexadecimal digits), ("", "") where none is known."""
        if self.sha256:
            return "sha256", self.sha256
        return ("md5", self.md5) if self.md5 else ("", "")


@dataclass(frozen=True)
class Split:
    """Who belongs to which part: patterns of patients first, then shares of a stable hash for all others."""

    lists: Mapping[str, tuple[str, ...]]  # part or "excluded" -> patients (with a * a shell pattern)
    shares: Mapping[str, int]  # part -> percent of the patients in no list; empty: every patient is in a list
    source: str


@dataclass(frozen=True)
class Manifest:
    """What is known about one public data set. Texts are "" and numbers 0 where the fact is not known."""

    name: str
    title: str
    shows: str
    modality: str
    anatomy: str
    task: str
    label_names: Mapping[int, str]
    licence: Licence
    citations: tuple[tuple[str, str], ...]  # (text, DOI)
    homepage: str
    folder: str
    holds: str  # glob of what the unpacked folder must hold; "" means: every file of the part
    cases: int  # how many files `holds` finds in the whole set
    layout: str
    oddities: tuple[str, ...]
    alternative: str  # built-in cohort that serves the same lesson
    by_hand: str  # how to get it where one download does not do
    part_is: str  # what a part is called, "" where the set comes in one part
    default_part: str
    files: tuple[File, ...]
    patient_pattern: str
    patient_name: str  # the only patient of the set; "" where the pattern says who it is
    patient_note: str
    split: Split

    def parts(self) -> list[str]:
        """Return the names of the parts, [] where the set comes in one."""
        return list(dict.fromkeys(file.part for file in self.files if file.part))

    def files_of(self, part: str | int | None = None) -> tuple[File, ...]:
        """Return the files of a part (None: the default part), with those that belong to every part.

        Raises:
            ValueError: the set has no such part.
        """
        if not self.part_is:
            if part is not None:
                raise ValueError(f"{self.name} comes in one part, so part must be left out, got {part!r}")
            return self.files
        wanted = self.default_part if part is None else str(part)
        if wanted not in self.parts():
            raise ValueError(f"{self.name}: {self.part_is} must be one of {', '.join(self.parts())}, got {part!r}")
        return tuple(file for file in self.files if file.part in ("", wanted))

    def patient_of(self, file: str | PurePath) -> str:
        """Return the patient that a file (a name, or a path inside the data set's folder) belongs to.

        Raises:
            ValueError: the name does not have the form that the manifest states.
        """
        if self.patient_name:
            return self.patient_name
        text = file.as_posix() if isinstance(file, PurePath) else file
        found = re.search(self.patient_pattern, text)
        if not found:
            raise ValueError(
                f"{self.name}: no patient can be recognised in the file name {text!r}, "
                f"which must match {self.patient_pattern!r}"
            )
        return found["patient"]

    def split_of(self, patient: str) -> str | None:
        """Return "train", "validation" or "test" for a patient, or None where the set leaves this patient out.

        The answer depends on the patient's name alone, so that it is the same for every subset of the data.

        Raises:
            ValueError: the split is by lists and this patient is in none of them.
        """
        for part, patterns in self.split.lists.items():
            if patient in patterns or any(fnmatch.fnmatchcase(patient, text) for text in patterns if "*" in text):
                return None if part == "excluded" else part
        if not self.split.shares:
            raise ValueError(f"{self.name}: patient {patient!r} is in no part of the split ({self.split.source})")
        position = _percent(f"{self.name}/{patient}")
        for part, share in self.split.shares.items():
            position -= share
            if position < 0:
                return part
        raise AssertionError("the shares of a split sum to 100")  # held by the validation

    def size(self) -> str:
        """Return what the default part weighs as a download, in words: "28.4 MB", "over 93 MB", "unknown", "-"."""
        sizes = [file.bytes for file in self.files_of()]
        if not sizes:
            return "-"
        known = in_words(sum(sizes)) if any(sizes) else "unknown"
        return known if all(sizes) or not any(sizes) else f"over {known}"


def _percent(text: str) -> float:
    """Return a number in [0, 100) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48 * 100
