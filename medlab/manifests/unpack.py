"""Unpack an archive that nobody vouches for: nothing may leave the folder, and only plain files come out."""

import hashlib
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from medlab.manifests.record import stays_inside

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class _RefusedError(Exception):
    """A member that must not be unpacked."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "folder", or what it is instead: "symbolic link", "hard link", "device"
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path,
    kind: str,
    target: Path,
    *,
    tops: tuple[str, ...],
    place: Mapping[str, str],
    need: Callable[[int], None],
) -> dict[str, str]:
    """Unpack an archive into an empty folder and return the SHA-256 of every file by its path in there.

    The files that macOS adds (`._*`, `__MACOSX`, `.DS_Store`) are skipped. Nothing is written before all members
    were looked at.

    Args:
        archive: the file.
        kind: "tar" (compressed or not) or "zip".
        target: folder to write into.
        tops: names of a folder that, where it holds everything, is left out of the paths.
        place: glob of a base name -> folder for archives that are laid out otherwise; {} keeps their layout.
        need: called with the unpacked bytes before anything is written; raises where they don't fit.

    Raises:
        ValueError: the archive can't be read, or a member leaves the folder, is no plain file, or comes twice.
    """
    try:
        with _opened(archive, kind) as members:
            wanted = [member for member in members if not _is_clutter(member.name)]
            for member in wanted:
                _refuse_unsafe(member)
            files = _paths([member for member in wanted if member.kind == "file"], tops, place)
            need(sum(member.size for member in files.values()))
            return {path: _write(member, target / path) for path, member in files.items()}
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    except _BROKEN as error:
        raise ValueError(f"it is not a {kind} archive that can be read ({error or type(error).__name__})") from error


@contextmanager
def _opened(archive: Path, kind: str) -> Iterator[list[_Member]]:
    if kind == "tar":
        with tarfile.open(archive) as tar:
            yield [_tar_member(tar, info) for info in tar]
    else:
        with zipfile.ZipFile(archive) as packed:
            yield [_zip_member(packed, info) for info in packed.infolist()]


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    kinds = {"file": info.isreg(), "folder": info.isdir(), "symbolic link": info.issym(), "hard link": info.islnk()}
    kind = next((kind for kind, holds in kinds.items() if holds), "device")
    return _Member(info.name, info.size, kind, lambda: _content(tar, info))


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    if content is None:
        raise _RefusedError(f"member {info.name!r} has no content")
    return content


def _zip_member(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = stat.S_IFMT(info.external_attr >> 16)
    plain = "folder" if info.is_dir() else "file"
    kind = {0: plain, stat.S_IFREG: plain, stat.S_IFDIR: plain, stat.S_IFLNK: "symbolic link"}.get(mode, "device")
    return _Member(info.orig_filename, info.file_size, kind, lambda: packed.open(info))


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and (parts[-1].startswith("._") or parts[-1] == ".DS_Store" or "__MACOSX" in parts)


def _refuse_unsafe(member: _Member) -> None:
    name = member.name
    if not stays_inside(name) and not (member.kind == "folder" and name.rstrip("/") == "."):
        raise _RefusedError(f"member {name!r} leaves the folder it is unpacked into")
    if member.kind not in ("file", "folder"):
        raise _RefusedError(f"member {name!r} is a {member.kind}, and only files and folders are unpacked")


def _paths(members: list[_Member], tops: tuple[str, ...], place: Mapping[str, str]) -> dict[str, _Member]:
    """Return the path that each file gets."""
    first = {PurePosixPath(member.name).parts[0] for member in members}
    top = first.pop() if len(first) == 1 and first <= set(tops) else ""
    files: dict[str, _Member] = {}
    taken: set[str] = set()
    for member in members:
        path = PurePosixPath(member.name)
        path = path.relative_to(top) if top else path
        folder = next((folder for pattern, folder in place.items() if fnmatchcase(path.name, pattern)), "")
        path = PurePosixPath(folder) / path.name if folder else path
        if str(path).casefold() in taken:
            raise _RefusedError(f"two members want to become {str(path)!r}")
        taken.add(str(path).casefold())
        files[str(path)] = member
    return files


def _write(member: _Member, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with member.open() as content, path.open("xb") as out:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
            out.write(chunk)
    if path.stat().st_size != member.size:
        raise _RefusedError(f"member {member.name!r} ends early")
    return digest.hexdigest()
