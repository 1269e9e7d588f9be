"""Say what a data set is, and whether what is on the disk is still what it was; nothing here needs a network."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medlab.manifests.manifest import Manifest
from medlab.manifests.reading import get, names
from medlab.manifests.record import RECORD, file_hash, in_words, read_record, wrong_with
from medlab.manifests.store import data_folder, is_there, mirror_folder

_NOT_DATA = {RECORD, "PROVENANCE.md"}


@dataclass
class Audit:
    """What `verify` found: `problems` is empty where every file is what it should be."""

    name: str
    folder: Path | None = None
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the report as text, the verdict in the first line."""
        count = len(self.problems)
        verdict = f"{count} problem{'s' * (count > 1)}" if count else "ok"
        where = f"{self.files} files, {in_words(self.bytes)} in {self.folder}" if self.folder else "not on this machine"
        return "\n".join([f"{self.name}: {verdict}: {where}", *(f"  {line}" for line in self.problems + self.notes)])


def verify(name: str) -> Audit:
    """Compare the files of a data set on this machine (data folder, else mirror) with the list that came with them.

    Raises:
        ValueError: no data set has this name.
    """
    manifest = get(name)
    folder = _somewhere(manifest)
    audit = Audit(name, folder)
    if folder is None:
        audit.problems.append(f"looked in {' and '.join(str(root / manifest.folder) for root in _roots())}")
        return audit
    try:
        sums = {path: digest for path, digest in read_record(folder).items() if _belongs(path, manifest)}
    except ValueError as error:
        audit.problems.append(str(error))
        return audit
    for path, digest in sums.items():
        _check_listed(audit, folder, path, digest)
    _check_unlisted(audit, folder, manifest, set(sums))
    if manifest.cases:
        found = len(list(folder.glob(manifest.holds)))
        audit.notes.append(f"{found} of {manifest.cases} cases" + (", a part of the set" * (found < manifest.cases)))
    return audit


def _check_listed(audit: Audit, folder: Path, path: str, digest: str) -> None:
    if not (folder / path).is_file():
        audit.problems.append(f"{path}: missing, although {RECORD} lists it")
        return
    audit.files += 1
    audit.bytes += (folder / path).stat().st_size
    got = file_hash(folder / path)
    if got != digest:
        audit.problems.append(f"{path}: changed: {RECORD} states {digest}, got {got}")


def _check_unlisted(audit: Audit, folder: Path, manifest: Manifest, listed: set[str]) -> None:
    """Check files that no list names against the manifest; say which nothing is known about."""
    known = {file.name: file for file in manifest.files if file.unpack == "none"}
    unknown = []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        path = file.relative_to(folder).as_posix()
        if path in listed or path in _NOT_DATA or file.name.startswith(".") or not _belongs(path, manifest):
            continue
        audit.files += 1
        audit.bytes += file.stat().st_size
        if path in known and known[path].checksum[0]:
            problem = wrong_with(file, known[path].bytes, known[path].checksum)
            audit.problems += [f"{path}: {problem}"] if problem else []
        else:
            unknown.append(path)
    if unknown:
        others = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
        audit.notes.append(f"unverified: no checksum is known for {unknown[0]}{others}")


def _belongs(path: str, manifest: Manifest) -> bool:
    """Return whether a file is this data set's: some share a folder."""
    return bool(manifest.holds) or any(file.owns(path) for file in manifest.files)


def _roots() -> list[Path]:
    return [data_folder(), *([root] if (root := mirror_folder()) else [])]


def _somewhere(manifest: Manifest) -> Path | None:
    for root in _roots():
        for part in manifest.parts() or (None,):
            if is_there(root / manifest.folder, manifest, part):
                return root / manifest.folder
    return None


def table() -> list[dict[str, str]]:
    """Return one row a data set for a listing: name, title, modality, anatomy, task, size, licence, here.

    `size` is `Manifest.size()` ("-": there is no simple download);
    `here` is "data folder", "mirror" or "".
    """
    rows = []
    for name in names():
        manifest = get(name)
        folder = _somewhere(manifest)
        here = "" if folder is None else "data folder" if folder.parent == data_folder() else "mirror"
        row: dict[str, Any] = {"name": name, "title": manifest.title, "modality": manifest.modality}
        row |= {"anatomy": manifest.anatomy, "task": manifest.task, "size": manifest.size()}
        rows.append(row | {"licence": manifest.licence.spdx or "unknown", "here": here})
    return rows


def describe(name: str) -> str:
    """Return all that the manifest of a data set says, as text to read.

    Raises:
        ValueError: no data set has this name.
    """
    manifest = get(name)
    labels = ", ".join(f"{number} {label}" for number, label in manifest.label_names.items())
    folder = _somewhere(manifest)
    lines = [
        f"{manifest.name}: {manifest.title}",
        f"shows      {manifest.shows}",
        f"kind       {manifest.modality}, {manifest.anatomy}, {manifest.task}",
        f"labels     {labels or 'none known'}",
        f"licence    {manifest.licence}",
        *([f"           {manifest.licence.note}"] if manifest.licence.note else []),
        *(f"cite       {text}" + (f", https://doi.org/{doi}" if doi else "") for text, doi in manifest.citations),
        f"page       {manifest.homepage}",
        *_describe_files(manifest),
        f"layout     {manifest.folder}/: {manifest.layout}",
        f"patients   {manifest.patient_note or 'named in the file names'}",
        f"split      {manifest.split.source}",
        *(f"beware     {oddity}" for oddity in manifest.oddities),
        f"instead    the built-in cohort {manifest.alternative!r} serves the same lesson",
        f"here       {folder or 'not on this machine'}",
    ]
    return "\n".join(lines)


def _describe_files(manifest: Manifest) -> list[str]:
    lines = []
    for file in manifest.files[:12]:
        algorithm, digest = file.checksum
        check = f"{algorithm} {digest}" if algorithm else "unverified: no checksum is known"
        lines.append(f"file       {file.name}, {in_words(file.bytes) if file.bytes else 'size unknown'}, {check}")
        lines += [f"           {address}" for address in file.addresses]
    if len(manifest.files) > 12:
        lines.append(f"file       and {len(manifest.files) - 12} more")
    return lines + ([f"by hand    {manifest.by_hand}"] if manifest.by_hand else [])
