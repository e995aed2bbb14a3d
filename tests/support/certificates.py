"""Certificates for tests, signed by an authority made for them, with openssl's command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder; `ca` is the file that clients trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca = folder / "ca.pem"
        _openssl(
            *("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=authority of a test"),
            *("-addext", "keyUsage=critical,keyCertSign", "-keyout", folder / "ca.key", "-out", self.ca),
        )

    def issue(self, name: str, *hosts: str, days: int = 2) -> Certificate:
        """A certificate for hosts such as `IP:127.0.0.1` and `DNS:localhost`; with negative `days` it has expired."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(hosts)}\n")
        _openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._folder / "ca.key", "-CAcreateserial"),
            *("-days", str(days), "-extfile", extensions, "-out", made.certificate),
        )
        return made

    def local(self) -> Certificate:
        """One for this machine, by name and by address."""
        return self.issue("local", "IP:127.0.0.1", "DNS:localhost")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
