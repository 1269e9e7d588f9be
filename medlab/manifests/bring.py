"""Bring one data set into the data folder: from an archive put there by hand, from a mirror, from its own address."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from medlab.manifests.download import Download, DownloadError, session
from medlab.manifests.manifest import File, Manifest
from medlab.manifests.record import (
    RECORD,
    check_room,
    file_hash,
    in_words,
    parse_record,
    read_record,
    size_of,
    write_record,
    wrong_with,
)
from medlab.manifests.unpack import unpack

__all__ = ["Bringing", "DownloadError"]


@dataclass(frozen=True)
class Bringing:
    """One data set on its way into `root`; `force` brings files that are there once more."""

    manifest: Manifest
    files: tuple[File, ...]
    root: Path
    bar: Any
    force: bool = False

    @property
    def folder(self) -> Path:
        """Where the data will lie."""
        return self.root / self.manifest.folder

    @property
    def staging(self) -> Path:
        """Where files that came one by one wait until all are there: what is in it is checked, so it can be resumed."""
        return self.root / f"{self.manifest.name}.part"

    def missing(self) -> list[File]:
        """Return the files that are not there yet."""
        return [file for file in self.files if self.force or not any(self.folder.glob(file.holds))]

    # ------------------------------------------------ by hand

    def put_by_hand(self) -> None:
        """Check and unpack the archives that somebody put into the data folder; they stay there.

        Raises:
            ValueError: such a file is not the right one, or can't be unpacked safely.
        """
        for file in self.missing():
            archive = self.root / file.name
            if file.unpack == "none" or not archive.is_file():
                continue
            problem = wrong_with(archive, file.bytes, file.checksum)
            if problem:
                raise ValueError(
                    f"{archive} is not the file of {self.manifest.name}: {problem}. It was left where it is"
                )
            self._unpack(file, archive, "it was left where it is")

    # ------------------------------------------------ from its own address

    def from_official(self) -> None:
        """Download what is missing from the addresses of the manifest.

        Raises:
            DownloadError: no address gives the right file, or there is none.
            ValueError: an archive can't be unpacked safely; it was deleted.
            OSError: too little room.
        """
        files = self.missing()
        if not self.files or any(not file.addresses for file in files):
            raise DownloadError("official address: no simple download is known")
        self._check_room(files)
        self.bar.total = sum(file.bytes for file in files) or None
        with session() as http:
            loose = [file for file in files if file.unpack == "none"]
            for number, file in enumerate(loose, start=1):
                self.bar.set_postfix_str(f"file {number} of {len(loose)}" if len(loose) > 1 else "")
                self._receive(http, file.addresses, self.staging / file.name, file.bytes, file.checksum)
            if loose:
                self._settle(self.staging, {file.name: file_hash(self.staging / file.name) for file in loose})
            for file in files:
                if file.unpack != "none":
                    self._download_and_unpack(http, file)
        self._clean_up()

    def _download_and_unpack(self, http: Any, file: File) -> None:
        partial = self.root / f"{file.name}.part"
        self.bar.set_postfix_str(file.name)
        Download(http, partial, file.bytes, file.checksum, self.bar, self._need(2)).run(file.addresses)
        try:
            self._unpack(file, partial, "the download was deleted")
        except ValueError:
            partial.unlink()
            raise
        partial.unlink()

    def _receive(
        self, http: Any, addresses: tuple[str, ...], target: Path, size: int, checksum: tuple[str, str]
    ) -> None:
        """Leave one checked file at `target`, from its `.part` where there is one."""
        if target.is_file() and not wrong_with(target, size, checksum):
            return
        partial = target.with_name(f"{target.name}.part")
        try:
            Download(http, partial, size, checksum, self.bar, self._need(1)).run(addresses)
        except OSError:
            _remove_empty_folders(self.staging)
            raise
        partial.replace(target)

    def _check_room(self, files: list[File]) -> None:
        coming = sum(max(file.bytes - size_of(self.root / f"{file.name}.part"), 0) for file in files)
        unpacked = sum(file.bytes for file in files if file.unpack != "none")
        check_room(self.root, coming + unpacked, f"{self.manifest.name} ({in_words(coming)} to download)")

    def _need(self, times: int) -> Callable[[int], None]:
        def need(coming: int) -> None:
            check_room(self.root, times * coming, f"{self.manifest.name} ({in_words(coming)} to download)")

        return need

    # ------------------------------------------------ from a mirror

    def from_mirror(self, address: str) -> None:
        """Download what the mirror lists for this data set, each file checked against that list.

        Raises:
            DownloadError: the mirror does not have it, or gives wrong files.
            OSError: too little room.
        """
        base = f"{address.rstrip('/')}/{self.manifest.folder}/"
        with session() as http:
            sums = self._listed(http, base)
            for number, (path, digest) in enumerate(sums.items(), start=1):
                self.bar.set_postfix_str(f"file {number} of {len(sums)}")
                self._receive(http, (base + path,), self.staging / path, 0, ("sha256", digest))
        self._settle(self.staging, sums)
        self._clean_up()

    def _listed(self, http: Any, base: str) -> dict[str, str]:
        """Return the files of this data set, with their checksums, that the mirror's list names."""
        partial = self.staging / f"{RECORD}.part"
        partial.unlink(missing_ok=True)  # a list has no checksum of its own, so it is never resumed
        try:
            Download(http, partial, 0, ("", ""), self.bar, self._need(1)).run((base + RECORD,))
            sums = parse_record(partial.read_text(encoding="utf-8"), base + RECORD)
        except ValueError as error:
            raise DownloadError(str(error)) from error
        finally:
            partial.unlink(missing_ok=True)
            _remove_empty_folders(self.staging)
        if not self.manifest.holds:  # other data sets may share the folder
            sums = {path: sums[path] for path in sums if any(file.owns(path) for file in self.files)}
        wanted = [self.manifest.holds] if self.manifest.holds else [file.holds for file in self.files]
        for pattern in wanted:
            if not any(PurePosixPath(path).match(pattern) for path in sums):
                raise DownloadError(f"{base + RECORD}: lists nothing like {pattern}")
        return sums

    # ------------------------------------------------ into its place

    def _unpack(self, file: File, archive: Path, what_became_of_it: str) -> None:
        """Unpack beside the final place, then move there; nothing is left when that fails."""
        beside = self.root / f"{self.manifest.name}.unpacking"
        shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
        tops = (self.manifest.folder, PurePosixPath(file.name).stem, file.into)
        try:
            sums = unpack(
                archive, file.unpack, beside / file.into, tops=tops, place=file.place, need=self._need_unpacked(archive)
            )
            if not any(beside.glob(file.holds)):
                raise ValueError(f"it holds nothing like {file.holds}")
            self._settle(beside, {str(PurePosixPath(file.into) / path): digest for path, digest in sums.items()})
        except ValueError as error:
            raise ValueError(
                f"{self.manifest.name}: {file.name} was refused: {error}; "
                f"nothing of it was unpacked and {what_became_of_it}"
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _need_unpacked(self, archive: Path) -> Callable[[int], None]:
        def need(size: int) -> None:
            check_room(self.root, size, f"unpacking {archive} (which is kept until there is room)")

        return need

    def _clean_up(self) -> None:
        """Remove what an interrupted try from elsewhere left."""
        shutil.rmtree(self.staging, ignore_errors=True)
        for file in self.files:
            (self.root / f"{file.name}.part").unlink(missing_ok=True)

    def _settle(self, source: Path, sums: dict[str, str]) -> None:
        """Move finished files into the data set's folder, and enter them into its record."""
        if not self.folder.exists():
            for path in [path for path in source.rglob("*") if path.is_file()]:
                if path.relative_to(source).as_posix() not in sums:
                    path.unlink()  # left from another try
            write_record(source, sums)
            source.rename(self.folder)
            return
        for name in sums:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).replace(self.folder / name)
        write_record(self.folder, {**read_record(self.folder), **sums})
        shutil.rmtree(source)


def _remove_empty_folders(root: Path) -> None:
    for folder in [*sorted(root.rglob("*"), reverse=True), root]:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
