"""What delta-rs says of a storage, in one sentence."""

from __future__ import annotations

import pytest

from streamguard.config.ksqldb import without_login
from streamguard.config.storage import storage_error

LIST = "Generic S3 error \x1b[31m↳\x1b[0m Error performing list request\n\x1b[31m↳\x1b[0m "


LOCAL = "Generic LocalFileSystem error: Unable to copy"
MISSING = "<Error><Code>NoSuchBucket</Code><Message>The bucket is not there</Message></Error>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"Kernel error -> {LIST}tcp connect error\n ↳ Connection refused", "Connection refused"),
        (f"{LIST}404 ↳ {MISSING}", "The bucket is not there"),
        (f"{LOCAL}\ndata to file", f"{LOCAL} data to file"),
        ("x" * 400, "x" * 300),
        ("", "OSError"),
    ],
)
def test_it_is_the_cause(text: str, said: str) -> None:
    assert storage_error(OSError(text)) == said


@pytest.mark.parametrize(
    ("address", "shown"),
    [("/data/a@b/lake", "/data/a@b/lake"), ("s3://key:secret@host/lake", "s3://host/lake"), ("u:p@host:1", "host:1")],
)
def test_an_address_is_shown_without_its_login(address: str, shown: str) -> None:
    assert without_login(address) == shown
