"""Certificates for tests: an authority of our own, and what it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    file: Path
    key: Path


class Authority:
    """Makes its own certificate in `folder`, and those of servers and clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=tests", "-keyout", self._key, "-out", self.file)

    def issue(self, name: str = "server", hosts: str = "IP:127.0.0.1,DNS:localhost", days: int = 2) -> Certificate:
        """A certificate for these names; with negative `days` one that has expired."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extension = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={hosts}\n")
        _openssl("req", "-new", *_KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        signed = ("-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", str(days), "-extfile", extension)
        _openssl("x509", "-req", "-in", request, *signed, "-out", made.file)
        made.key.chmod(0o600)
        return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
