"""When the certificates of the settings expire."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from streamguard.config import load_settings
from streamguard.metrics.certificates import CertificateMetrics, expiry
from tests.support.tls import Authority


def test_the_first_to_expire_of_a_file_counts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain = tmp_path / "chain.pem"
    chain.write_text(authority.issue(days=900).file.read_text() + authority.file.read_text())
    now = datetime.now(timezone.utc)
    assert timedelta(days=1, hours=23) < expiry(chain) - now <= timedelta(days=2)


def test_both_forms_of_a_time_are_read(tmp_path: Path) -> None:
    """RFC 5280, 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050."""
    days = 365 * 60
    found = expiry(Authority(tmp_path).issue(days=days).file)
    assert abs(found - datetime.now(timezone.utc) - timedelta(days=days)) < timedelta(hours=1)
    assert found.year >= 2050


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_an_error_and_counts_as_expired(tmp_path: Path, text: str) -> None:
    file = tmp_path / "desk.pem"
    file.write_text(text)
    with pytest.raises(ValueError, match="it "):
        expiry(file)
    assert shown(file) == {"desk_certificate": -1.0}


def test_one_that_has_expired_and_one_that_is_gone(tmp_path: Path) -> None:
    made = Authority(tmp_path).issue(days=-1)
    assert -90_000 < shown(made.file)["desk_certificate"] < -80_000
    metrics = CertificateMetrics(load_settings(desk_certificate=made.file))
    made.file.unlink()
    [family] = metrics.collect()
    assert [sample.value for sample in family.samples] == [-1.0]


def shown(file: Path) -> dict[str, float]:
    [family] = CertificateMetrics(load_settings(desk_certificate=file)).collect()
    return {sample.labels["certificate"]: sample.value for sample in family.samples}
