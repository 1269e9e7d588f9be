"""Where data sets lie on this machine, and how they get there."""

import contextlib
import os
import sys
from pathlib import Path

import platformdirs

from medlab.manifests.lock import locked
from medlab.manifests.manifest import File, Manifest
from medlab.manifests.reading import get
from medlab.manifests.record import file_hash, in_words, read_record, write_record, wrong_with


def data_folder() -> Path:
    """Return the folder that takes the data sets: MEDLAB_DATA, or a folder in the user's cache."""
    chosen = os.environ.get("MEDLAB_DATA", "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("medlab")


def mirror() -> str:
    """Return MEDLAB_MIRROR: a folder, an http address, or "" where none is set."""
    return os.environ.get("MEDLAB_MIRROR", "").strip()


def mirror_folder() -> Path | None:
    """Return the mirror if it is a folder."""
    return None if not mirror() or _is_address(mirror()) else Path(mirror()).expanduser()


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


# ---------------------------------------------------------------- without a network


def find(name: str, *, part: str | int | None = None) -> Path | None:
    """Return the folder of a data set that is on this machine (data folder, then mirror), None if it isn't.

    Raises:
        ValueError: no data set has this name, it has no such part, or a file that was put into the data folder
            by hand is not the right one.
    """
    manifest = get(name)
    inside = data_folder() / manifest.folder
    if is_there(inside, manifest, part):
        _adopt(inside, manifest, part)
        return inside
    root = mirror_folder()
    if root and is_there(root / manifest.folder, manifest, part):
        return root / manifest.folder
    return None


def is_there(folder: Path, manifest: Manifest, part: str | int | None = None) -> bool:
    """Return whether a folder holds the data set, or at least some of its cases."""
    files = manifest.files_of(part)
    patterns = [manifest.holds] if manifest.holds else [file.holds for file in files]
    return all(any(folder.glob(pattern)) for pattern in patterns)


def _adopt(folder: Path, manifest: Manifest, part: str | int | None) -> None:
    """Check files that came into the data folder by hand, once, and enter them into its record."""
    sums = read_record(folder)
    new = {}
    for file in manifest.files_of(part):
        path = folder / file.name
        if file.unpack != "none" or file.name in sums or not path.is_file():
            continue
        problem = wrong_with(path, file.bytes, file.checksum)
        if problem:
            raise ValueError(f"{path} is not the file of {manifest.name}: {problem}. It was left where it is")
        new[file.name] = file_hash(path)
    if new:
        with contextlib.suppress(OSError):  # a folder that can't be written to is checked again next time
            write_record(folder, {**sums, **new})


# ---------------------------------------------------------------- with a network


def locate(name: str, *, part: str | int | None = None) -> Path:
    """Return the folder of a data set, after fetching it where it is not on this machine.

    Searched are the data folder, a mirror folder, an archive that was put into the data folder by hand, a mirror on
    the web, and the official addresses.

    Args:
        name: of the data set, such as "msd-hippocampus".
        part: of a set that comes in several, such as size 64 of a MedMNIST set; None: the default one.

    Raises:
        FileNotFoundError: it is nowhere; the message says where to get it and where to put it.
        ValueError: no such name or part, or a file that is not the right one.
        OSError: too little room on the disk.
    """
    return fetch(name, part=part)


def fetch(name: str, *, part: str | int | None = None, progress: bool = True, force: bool = False) -> Path:
    """Bring a data set into the data folder, unless it is on this machine already, and return its folder.

    Args:
        name: of the data set.
        part: of a set that comes in several; None: the default one.
        progress: show a bar with bytes, rate and time left.
        force: fetch it from the official address although it is here; its files are replaced.

    Raises:
        FileNotFoundError, ValueError, OSError: as `locate`.
    """
    manifest = get(name)
    if not force and (here := find(name, part=part)):
        return here
    root = data_folder()
    with locked(root / f".{manifest.folder}.lock", name):
        if not force and (here := find(name, part=part)):  # another process was quicker
            return here
        _bring(manifest, part, root, progress=progress, force=force)
    return root / manifest.folder


def _bring(manifest: Manifest, part: str | int | None, root: Path, *, progress: bool, force: bool) -> None:
    from tqdm import tqdm

    from medlab.manifests.bring import Bringing, DownloadError

    if manifest.files or _is_address(mirror()):
        print(f"{manifest.title}. Licence: {manifest.licence}", file=sys.stderr)
    else:
        progress = False  # there is nothing to download
    with tqdm(desc=manifest.name, unit="B", unit_scale=True, disable=not progress, file=sys.stderr) as bar:
        bringing = Bringing(manifest, manifest.files_of(part), root, bar, force)
        if not force:
            bringing.put_by_hand()
        if not force and is_there(root / manifest.folder, manifest, part):
            return None
        said = []
        if _is_address(mirror()) and not force:
            try:
                return bringing.from_mirror(mirror())
            except DownloadError as error:
                said.append(f"MEDLAB_MIRROR {error}")
        try:
            return bringing.from_official()
        except DownloadError as error:
            said.append(str(error))
    if bringing.staging.exists():
        said.append(f"the files received so far are kept in {bringing.staging}: the next try resumes there")
    raise FileNotFoundError(how_to_get(manifest, manifest.files_of(part), root, said))


def how_to_get(manifest: Manifest, files: tuple[File, ...], root: Path, said: list[str]) -> str:
    """Return the text of the error for data that are nowhere: where we looked, what to fetch, what to use instead."""
    mirrored = f"{mirror().rstrip('/')}/{manifest.folder}" if mirror() else "not set"
    lines = [
        f"{manifest.name} is not on this machine and could not be fetched.",
        "Looked in:",
        f"  data folder: {root / manifest.folder}",
        f"  MEDLAB_MIRROR: {mirrored}",
        *(f"  {line}" for text in said for line in text.splitlines()),
        "By hand:",
        *(f"  {line}" for line in _by_hand(manifest, files, root)),
        f'Without it: medlab.load("{manifest.alternative}") is built in and serves the same lesson.',
    ]
    return "\n".join(lines)


def _by_hand(manifest: Manifest, files: tuple[File, ...], root: Path) -> list[str]:
    lines = []
    missing = [file for file in files if not any((root / manifest.folder).glob(file.holds))]
    for file in missing[:3]:
        place = root / manifest.folder / file.name if file.unpack == "none" else root / file.name
        size = in_words(file.bytes) if file.bytes else "size unknown"
        lines += [f"download {file.addresses[0]} ({size})", f"  and put it at {place}"]
    if len(missing) > 3:
        lines.append(f"and likewise the {len(missing) - 3} other files of the manifest")
    if any(file.unpack != "none" for file in missing):
        lines.append("Leave it packed: it is checked and unpacked the next time.")
    if manifest.by_hand:
        lines += [manifest.by_hand, f"The data belong into {root / manifest.folder} ({manifest.layout})."]
    return lines
