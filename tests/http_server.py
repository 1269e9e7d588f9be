"""A real HTTP server on loopback that can misbehave: breaks off, redirects, answers 503, ignores Range, hangs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server serves and how; `requests` lists (path, Range header) in the order they came."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)  # sent first, one a request
    break_after: dict[str, list[int]] = field(default_factory=dict)  # bytes sent before the line breaks, one a request
    hold: dict[str, threading.Event] = field(default_factory=dict)  # no answer before this is set
    ignore_range: bool = False
    say_length: bool = True
    requests: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def ranges(self, path: str) -> list[str]:
        """Return the Range header of every request for a path, "" where there was none."""
        return [header for asked, header in self.requests if asked == path]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.requests.append((self.path, self.headers.get("Range", "")))
        if self.path in site.hold:
            site.hold[self.path].wait()
        if site.statuses.get(self.path):
            self.send_error(site.statuses[self.path].pop(0))
        elif self.path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[self.path])
            self.end_headers()
        elif self.path in site.files:
            self._send(site, site.files[self.path])
        else:
            self.send_error(404)

    def _send(self, site: Site, content: bytes) -> None:
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and not site.ignore_range else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if site.say_length:
            self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        breaks = site.break_after.get(self.path)
        self.wfile.write(content[start:][: breaks.pop(0) if breaks else None])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def serving() -> Iterator[Site]:
    """Serve a site on loopback for the length of a with-block."""
    site = Site()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.site = site  # type: ignore[attr-defined]
        server.daemon_threads = True
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            for event in site.hold.values():
                event.set()
            server.shutdown()
            thread.join()
