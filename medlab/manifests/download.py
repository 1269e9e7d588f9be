"""Download one file: resumed where it broke off, tried again, checked, from the first address that has it."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from medlab.manifests.record import size_of, wrong_with

RETRY_WAITS_S = (1.0, 2.0, 4.0, 8.0)  # pauses between attempts that bring no byte; tests shorten them
TIMEOUT_S = (10.0, 30.0)  # to connect; between two pieces
CHUNK_BYTES = 1 << 16
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(OSError):
    """No address gave the right file; the message says what each of them did and what is left on the disk."""


class _TryAgainError(Exception):
    """The same address may do better at the next attempt."""


class _NextAddressError(Exception):
    """This address is of no use."""


def session() -> requests.Session:
    """Return an HTTP session that asks for the bytes as they are, so that their count can be compared."""
    made = requests.Session()
    made.headers.update({"Accept-Encoding": "identity", "User-Agent": "medlab"})
    return made


@dataclass(frozen=True)
class Download:
    """One file on its way.

    Args:
        http: from `session()`.
        partial: where the bytes are collected; kept when the line breaks, deleted when they are wrong.
        size: of the file in bytes, 0 if not known.
        checksum: (algorithm, hexadecimal digits), empty if not known.
        bar: a tqdm bar that counts bytes.
        need: called with the bytes that are still to come, before they do; raises where they don't fit.
    """

    http: requests.Session
    partial: Path
    size: int
    checksum: tuple[str, str]
    bar: Any
    need: Callable[[int], None]

    def run(self, addresses: tuple[str, ...]) -> None:
        """Leave the whole, checked file at `partial`, and go on from what an earlier run left there.

        Args:
            addresses: http or https addresses in order of preference; redirects are followed.

        Raises:
            DownloadError: no address gave the right file.
            OSError: it can't be written.
        """
        self._count(self._have())
        reasons = []
        for address in addresses:
            try:
                self._from(address)
                return
            except _NextAddressError as reason:
                reasons.append(f"{address}: {reason}")
        if self.partial.exists():
            kept = f"the {self._have():,} bytes received are kept in {self.partial}"
            reasons.append(f"{kept}: the next try resumes there")
        raise DownloadError("\n".join(reasons))

    def _from(self, address: str) -> None:
        resumed = self._have() > 0
        self._receive_with_retries(address)
        problem = wrong_with(self.partial, self.size, self.checksum)
        if problem and resumed:  # what was left from an earlier time may be of another version: from the start
            self._throw_away()
            self._receive_with_retries(address)
            problem = wrong_with(self.partial, self.size, self.checksum)
        if problem:
            self._throw_away()
            raise _NextAddressError(f"{problem}; the download was deleted")

    def _receive_with_retries(self, address: str) -> None:
        failures = 0
        while True:
            before = self._have()
            try:
                self._receive(address)
                return
            except _TryAgainError as reason:
                failures = 0 if self._have() > before else failures + 1
                if failures > len(RETRY_WAITS_S):
                    raise _NextAddressError(f"{reason}; gave up after {failures} attempts") from None
                time.sleep(RETRY_WAITS_S[max(failures - 1, 0)])

    def _receive(self, address: str) -> None:
        """Make one request for what is missing, and append it."""
        if self.size and self._have() > self.size:
            self._throw_away()
        have = self._have()
        if self.size and have == self.size:
            return
        wanted = {"Range": f"bytes={have}-"} if have else {}
        try:
            with self.http.get(address, headers=wanted, stream=True, timeout=TIMEOUT_S) as response:
                if response.status_code == 416 and have and _stated_total(response) == have:
                    return
                total = self._agree(response)
                self._append(response, total)
        except requests.exceptions.RequestException as error:
            raise _translated(error) from error
        if self._have() < total:
            raise _TryAgainError(f"broke off after {self._have():,} of {total:,} bytes")

    def _agree(self, response: requests.Response) -> int:
        """Start anew where the server does, and return the bytes of the whole file (0 if nobody says)."""
        status = f"HTTP {response.status_code} {response.reason}"
        resumes = response.status_code == 206 and _stated_start(response) == self._have()
        if response.status_code in (206, 416) and not resumes:
            self._throw_away()
            raise _TryAgainError(status)
        if response.status_code in _WORTH_ANOTHER_TRY:
            raise _TryAgainError(status)
        if response.status_code not in (200, 206):
            raise _NextAddressError(status)
        length = response.headers.get("Content-Length", "")
        total = self._have() * resumes + int(length) if length.isdecimal() else self.size
        if self.size and total != self.size:  # such as the page of a hotel's network: what we have stays
            raise _NextAddressError(f"offers {total:,} bytes where {self.size:,} are expected; nothing of it was kept")
        if not resumes:
            self._throw_away()
        coming = max(total - self._have(), 0)
        self.bar.total = max(self.bar.total or 0, self.bar.n + coming) or None
        self.need(coming)
        return total

    def _append(self, response: requests.Response, most: int) -> None:
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        with self.partial.open("ab") as out:
            for chunk in response.iter_content(CHUNK_BYTES):
                out.write(chunk)
                self.bar.update(len(chunk))
                if most and out.tell() > most:
                    break  # more than there can be: the check that follows refuses it

    def _have(self) -> int:
        return size_of(self.partial)

    def _count(self, received: int) -> None:
        """Move the bar without moving the rate."""
        if not self.bar.disable:
            self.bar.n += received
            self.bar.initial += received

    def _throw_away(self) -> None:
        self._count(-self._have())
        self.partial.unlink(missing_ok=True)


def _translated(error: requests.exceptions.RequestException) -> _TryAgainError | _NextAddressError:
    """Return in a few words what went wrong; an address that can't be reached at all is not tried again."""
    text = str(error)
    if isinstance(error, requests.exceptions.Timeout):
        return _TryAgainError(f"no answer within {TIMEOUT_S[1]:g} s")
    if re.search(r"NewConnectionError|NameResolutionError|Failed to resolve|was refused", text):
        return _NextAddressError("cannot be reached")
    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return _TryAgainError("the line broke")
    return _NextAddressError(text)


def _stated_total(response: requests.Response) -> int:
    total = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    return int(total[1]) if total else -1


def _stated_start(response: requests.Response) -> int:
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(start[1]) if start else -1
