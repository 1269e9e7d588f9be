"""Refuse every connection that leaves this machine.

The folder of this file stands on PYTHONPATH while tests run, so that every Python process they start (notebook
kernels, papermill, command lines) imports it before anything else. Audit hooks can't be removed or worked around from
Python code, and see connections that libraries open as well.
"""

from __future__ import annotations

import ipaddress
import socket
import sys

_HOST_ARGUMENT = {
    "socket.connect": lambda arguments: arguments[1],
    "socket.sendto": lambda arguments: arguments[1],
    "socket.getaddrinfo": lambda arguments: arguments[0],
    "socket.gethostbyname": lambda arguments: arguments[0],
}


def refuse_the_outside(event: str, arguments: tuple) -> None:
    """Audit hook: raise OSError, as a machine without a network would, for any host but this one."""
    if event not in _HOST_ARGUMENT:
        return
    host = _HOST_ARGUMENT[event](arguments)
    if isinstance(host, tuple):  # an IPv4 or IPv6 address with its port; a plain str is a local (Unix) socket
        host = host[0]
    elif event in ("socket.connect", "socket.sendto"):
        return
    if isinstance(host, bytes):
        host = host.decode()
    if not _is_this_machine(host, resolving=event in ("socket.getaddrinfo", "socket.gethostbyname")):
        raise OSError(f"tests reach no network: {event} to {host!r} was refused")


def _is_this_machine(host: str | None, *, resolving: bool) -> bool:
    """Whether a host is loopback; resolving also lets through what needs no name server."""
    if host in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return resolving and host == socket.gethostname()
    return address.is_loopback or resolving


sys.addaudithook(refuse_the_outside)
