"""Read and validate the manifests of public data sets: one TOML file a set, in `data_manifests/`."""

import difflib
import functools
import re
import tomllib
from pathlib import Path
from typing import Any

from medlab.manifests.manifest import File, Licence, Manifest, Split

PARTS_OF_A_SPLIT = ("train", "validation", "test")
BUILT_IN = ("brain", "chest", "ecg")
MODALITIES = (
    "MR", "CT", "CT and MR", "X-ray", "ultrasound", "ECG", "OCT",
    "microscopy", "electron microscopy", "fundus photograph", "dermatoscopy",
)  # fmt: skip
TASKS = (
    "segmentation", "classification", "multi-label classification", "ordinal classification",
    "beat classification", "detection", "none",
)  # fmt: skip
UNPACK = ("none", "tar", "zip")


def manifest_folder() -> Path:
    """Return the folder of the manifests: inside the installed package, or at the root of a checkout."""
    inside = Path(__file__).resolve().parents[1] / "data_manifests"
    return inside if inside.is_dir() else Path(__file__).resolve().parents[2] / "data_manifests"


def names() -> list[str]:
    """Return the names of all manifested data sets, sorted."""
    return sorted(path.stem for path in manifest_folder().glob("*.toml"))


def get(name: str) -> Manifest:
    """Return the manifest of a data set.

    Raises:
        ValueError: no manifest has this name (the error names the nearest), or the manifest is not valid.
    """
    path = manifest_folder() / f"{name}.toml"
    if not re.fullmatch("[a-z0-9-]+", name) or not path.is_file():
        near = difflib.get_close_matches(name.lower(), names(), n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise ValueError(f"no data set is called {name!r}{hint}. `medlab data list` shows all {len(names())}")
    return _read_once(path, path.stat().st_mtime_ns)


@functools.cache
def _read_once(path: Path, _changed_ns: int) -> Manifest:
    return read(path)


class _Table:
    """One table of a manifest; every complaint names the file, the entry and the field."""

    def __init__(self, raw: dict[str, Any], where: str) -> None:
        self.raw, self.where, self.known = raw, where, set[str]()

    def wrong(self, field: str, allowed: str) -> ValueError:
        got = repr(self.raw[field]) if field in self.raw else "nothing"
        return ValueError(f'{self.where}: field "{field}" must be {allowed}, got {got}')

    def value(self, field: str, kind: type, default: Any, allowed: str) -> Any:
        self.known.add(field)
        if field not in self.raw and default is not None:
            return default
        value = self.raw.get(field)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(field, allowed)
        return value

    def text(self, field: str, default: str | None = None, *, form: str = "", allowed: str = "a text") -> str:
        value: str = self.value(field, str, default, allowed)
        if (value and form and not re.fullmatch(form, value)) or (not value and default is None):
            raise self.wrong(field, allowed)
        return value

    def choice(self, field: str, choices: tuple[str, ...], default: str | None = None) -> str:
        allowed = f"one of {', '.join(choices)}"
        value = self.text(field, default, allowed=allowed)
        if value not in choices and value != default:
            raise self.wrong(field, allowed)
        return value

    def number(self, field: str) -> int:
        value: int = self.value(field, int, 0, "a whole number, at least 0 (0 or left out: not known)")
        if value < 0:
            raise self.wrong(field, "a whole number, at least 0 (0 or left out: not known)")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        values = self.value(field, list, (), "a list of texts")
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(field, "a list of texts")
        return tuple(values)

    def table(self, field: str, default: dict[str, Any] | None = None) -> "_Table":
        return _Table(self.value(field, dict, default, "a table"), f"{self.where}: [{field}]")

    def tables(self, field: str) -> list["_Table"]:
        rows = self.value(field, list, [], "a list of tables")
        if not all(isinstance(row, dict) for row in rows):
            raise self.wrong(field, "a list of tables")
        label = "{}: [[{}]] entry {} ({})"
        return [
            _Table(row, label.format(self.where, field, number, row.get("name", "no name")))
            for number, row in enumerate(rows, start=1)
        ]

    def finish(self) -> None:
        """Refuse fields that nobody asked for: they are mostly misspelt."""
        for field in sorted(set(self.raw) - self.known):
            near = difflib.get_close_matches(field, self.known, n=1)
            hint = f', did you mean "{near[0]}"?' if near else f"; allowed are {', '.join(sorted(self.known))}"
            raise ValueError(f'{self.where}: unknown field "{field}"{hint}')


_HTTP = r"https?://\S+"
_INSIDE = r"(?!.*(^|/)\.\.(/|$))[^/\\:][^\\:]*"  # a path that stays in its folder


def read(path: Path) -> Manifest:
    """Return the manifest that a TOML file holds.

    Raises:
        ValueError: the file is not valid TOML or not a valid manifest; the message names file, entry and field.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not valid TOML: {error}") from error
    table = _Table(raw, path.name)
    if table.text("name") != path.stem:
        raise table.wrong("name", f"the name of the file, {path.stem!r}")
    parts = table.table("parts", {})
    part_is, default_part = parts.text("called", ""), parts.text("default", "")
    parts.finish()
    patient = table.table("patient")
    manifest = Manifest(
        name=path.stem,
        title=table.text("title"),
        shows=table.text("shows"),
        modality=table.choice("modality", MODALITIES),
        anatomy=table.text("anatomy"),
        task=table.choice("task", TASKS),
        label_names=_label_names(table.table("label_names", {})),
        licence=_licence(table.table("licence")),
        citations=tuple(_citation(row) for row in table.tables("citations")),
        homepage=table.text("homepage", form=_HTTP, allowed="an http or https address"),
        folder=table.text("folder", form=r"[\w-]+", allowed="the name of one folder"),
        holds=table.text("holds", ""),
        cases=table.number("cases"),
        layout=table.text("layout"),
        oddities=table.texts("oddities"),
        alternative=table.choice("alternative", BUILT_IN),
        by_hand=table.text("by_hand", ""),
        part_is=part_is,
        default_part=default_part,
        files=_files(table, part_is),
        patient_pattern=patient.text("pattern", ""),
        patient_name=patient.text("name", ""),
        patient_note=patient.text("note", ""),
        split=_split(table.table("split")),
    )
    patient.finish()
    table.finish()
    _check(manifest, table, patient)
    return manifest


def _label_names(table: _Table) -> dict[int, str]:
    for field in table.raw:
        if not field.isdecimal():
            raise ValueError(f'{table.where}: "{field}" must be a label, a whole number of at least 0')
    return {int(field): table.text(field) for field in table.raw}


def _licence(table: _Table) -> Licence:
    licence = Licence(
        table.text("spdx", "", form=r"[\w.+-]+", allowed='an SPDX identifier, or "" where no licence was seen'),
        table.text("address", "", form=_HTTP, allowed="an http or https address"),
        table.text("note", ""),
    )
    if not licence.spdx and not licence.note:
        raise table.wrong("note", "a text that says what is known, because there is no spdx")
    table.finish()
    return licence


def _citation(table: _Table) -> tuple[str, str]:
    doi = table.text("doi", "", form=r"10\.\d{4,}/\S+", allowed="a DOI without its address, such as 10.1000/xyz")
    citation = (table.text("text"), doi)
    table.finish()
    return citation


def _files(manifest: _Table, part_is: str) -> tuple[File, ...]:
    base = manifest.texts("base_addresses")
    files = tuple(_file(table, base, part_is) for table in manifest.tables("files"))
    manifest_names = [file.name for file in files]
    for name in manifest_names:
        if manifest_names.count(name) > 1:
            raise ValueError(f"{manifest.where}: two [[files]] are called {name!r}")
    return files


def _file(table: _Table, base: tuple[str, ...], part_is: str) -> File:
    name = table.text("name", form=_INSIDE, allowed="a file name that stays in its folder")
    addresses = table.texts("addresses") or tuple(address + name for address in base)
    if not all(re.fullmatch(_HTTP, address) for address in addresses):
        raise table.wrong("addresses", "http or https addresses")
    unpack = table.choice("unpack", UNPACK, "none")
    place = table.table("place", {})
    file = File(
        name=name,
        addresses=addresses,
        bytes=table.number("bytes"),
        sha256=table.text("sha256", "", form="[0-9a-f]{64}", allowed="64 hexadecimal digits, or left out"),
        md5=table.text("md5", "", form="[0-9a-f]{32}", allowed="32 hexadecimal digits, or left out"),
        unpack=unpack,
        into=table.text("into", "", form=_INSIDE, allowed="a folder inside the data set's folder"),
        holds=table.text("holds", name if unpack == "none" else None, allowed="a glob of unpacked files"),
        place={pattern: place.text(pattern, form=_INSIDE, allowed="a folder") for pattern in place.raw},
        part=table.text("part", ""),
    )
    if file.part and not part_is:
        raise table.wrong("part", "left out, because [parts] does not say what a part is")
    table.finish()
    return file


def _split(table: _Table) -> Split:
    lists = {part: table.texts(part) for part in (*PARTS_OF_A_SPLIT, "excluded")}
    shares_table = table.table("shares", {})
    shares = {part: shares_table.number(part) for part in PARTS_OF_A_SPLIT}
    shares_table.finish()
    if shares_table.raw and sum(shares.values()) != 100:
        raise table.wrong("shares", "percentages of train, validation and test that sum to 100")
    seen: dict[str, str] = {}
    for part, patients in lists.items():
        for patient in patients:
            if patient in seen:
                raise ValueError(f"{table.where}: {patient!r} is in {seen[patient]} and in {part}, allowed is one")
            seen[patient] = part
    if not seen and not shares_table.raw:
        raise ValueError(f"{table.where}: needs lists of patients (train, validation, test) or shares")
    split = Split(lists, shares if shares_table.raw else {}, table.text("source"))
    table.finish()
    return split


def _check(manifest: Manifest, table: _Table, patient: _Table) -> None:
    """Check what takes more than one field."""
    if bool(manifest.patient_pattern) == bool(manifest.patient_name):
        raise ValueError(f"{patient.where}: needs a pattern or a name, one of the two")
    try:
        groups = re.compile(manifest.patient_pattern).groupindex
    except re.error as error:
        raise patient.wrong("pattern", f"a regular expression ({error})") from error
    if manifest.patient_pattern and "patient" not in groups:
        raise patient.wrong("pattern", "a regular expression with the group (?P<patient>...)")
    if manifest.part_is and manifest.default_part not in manifest.parts():
        raise ValueError(
            f'{table.where}: [parts]: field "default" must be one of {", ".join(manifest.parts())}, '
            f"got {manifest.default_part!r}"
        )
    if not any(file.addresses for file in manifest.files) and not manifest.by_hand:
        raise table.wrong("by_hand", "a text that says how to get the data, because no file has an address")
    if not manifest.holds and not manifest.files:
        raise table.wrong("holds", "a glob of unpacked files, because there are no [[files]]")
