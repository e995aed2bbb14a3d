"""Why a server's certificate is not taken, in words that say what to do."""

from __future__ import annotations

import ssl

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_IP = 10, 9, 62, 64
"""OpenSSL's X509_V_ERR_ numbers."""


def certificate_reason(host: str, error: ssl.SSLCertVerificationError, *, name_in: str, authority_in: str) -> str:
    """The end of a sentence that begins with the server. `name_in` and `authority_in`: where its name and the certificate of
    its authority are set."""
    if error.verify_code == _EXPIRED:
        return "has a certificate that has expired: it has to be renewed there"
    if error.verify_code == _NOT_YET_VALID:
        return "has a certificate that is not valid yet: see the clocks of both machines"
    if error.verify_code in (_OTHER_NAME, _OTHER_IP):
        return f"has a certificate for another name than {host}: use the name that it was made for in {name_in}"
    return (
        f"has a certificate that is not trusted ({error.verify_message}): set {authority_in} to the certificate of its"
        " authority"
    )
