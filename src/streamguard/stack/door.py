"""Whether the desk may listen where its settings say: loopback, or TLS."""

from __future__ import annotations

from ipaddress import ip_address

from streamguard.config import Settings, UserError


class DeskCannotStart(UserError):
    """Why the desk cannot start."""


def check_door(settings: Settings) -> None:
    """Raises DeskCannotStart where passwords would cross a network in the clear."""
    if (settings.desk_certificate is None) != (settings.desk_key is None):
        raise DeskCannotStart(
            "STREAMGUARD_DESK_CERTIFICATE and STREAMGUARD_DESK_KEY belong together: set both, or none"
        )
    for file in filter(None, (settings.desk_certificate, settings.desk_key)):
        if not file.is_file():
            raise DeskCannotStart(f"there is no file {file} (STREAMGUARD_DESK_CERTIFICATE, STREAMGUARD_DESK_KEY)")
    if not _is_loopback(settings.desk_host) and settings.desk_certificate is None:
        raise DeskCannotStart(
            f"the desk does not listen on {settings.desk_host} without TLS: give STREAMGUARD_DESK_CERTIFICATE and"
            " STREAMGUARD_DESK_KEY, or leave it on 127.0.0.1 behind a proxy with STREAMGUARD_DESK_PUBLIC_URL"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
