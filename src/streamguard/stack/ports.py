"""Ports that are taken: reported before anything starts, with the variable that moves the part."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from streamguard.stack.parts import Part


def conflicts(parts: Iterable[Part]) -> list[str]:
    """One sentence per part whose port cannot be listened on, or is that of another one."""
    found = []
    owners: dict[int, Part] = {}
    for part in parts:
        if part.host is None or part.port is None:
            continue
        owner = owners.setdefault(part.port, part)
        if owner is not part:
            found.append(
                f"{owner.name} and {part.name} cannot both have port {part.port}: set {owner.variable} or {part.variable}"
            )
            continue
        try:
            family, kind, _, _, address = socket.getaddrinfo(part.host, part.port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            found.append(_sentence(part, error))
    return found


def _sentence(part: Part, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {part.port} is in use, {part.name} needs it: stop what uses it, or set {part.variable}"
    reason = error.strerror or str(error)
    return f"{part.name} cannot listen on {part.host}:{part.port} ({part.variable}): {reason}"


def free() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
