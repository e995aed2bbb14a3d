"""Why the certificate of a Postgres is not taken: libpq only says that it is not.

Source: https://www.postgresql.org/docs/current/protocol-flow.html, "SSL Session Encryption".
"""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path

from streamguard.config.certificates import certificate_reason
from streamguard.config.database import DatabaseAddress

ANSWER_S = 3.0
_SSL_REQUEST = struct.pack(">ii", 8, 80_877_103)
_ROOT_FILE = "~/.postgresql/root.crt"
"""Where libpq looks for authorities if `sslrootcert` names none."""


def certificate_problem(address: DatabaseAddress, answer_s: float = ANSWER_S) -> str | None:
    """The sentence for a certificate that is not taken; None where it is, or where the server cannot be asked."""
    authorities = Path(address.parameters.get("sslrootcert", _ROOT_FILE)).expanduser()
    try:
        context = ssl.create_default_context(cafile=str(authorities))
        context.check_hostname = address.parameters.get("sslmode") == "verify-full"
        with socket.create_connection((address.host, address.port), timeout=answer_s) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) == b"S":
                context.wrap_socket(plain, server_hostname=address.host).close()
    except ssl.SSLCertVerificationError as error:
        why = certificate_reason(
            address.host, error, name_in="DATABASE_URL", authority_in="the parameter sslrootcert of DATABASE_URL"
        )
        return f"Postgres at {address.host}:{address.port} {why}"
    except (OSError, ValueError):
        return None
    return None
