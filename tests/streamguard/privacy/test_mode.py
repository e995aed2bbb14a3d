"""The mode and the key of personal data belong to the database: later starts have the same, or are rejected in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.config import Settings, load_settings
from streamguard.models import Transaction
from streamguard.privacy.key import keep, key_file
from streamguard.privacy.mode import OtherProtection, check_key, settle
from streamguard.privacy.protection import Protection
from tests.support.desk import Desk
from tests.support.records import T0_MS, transaction

KEY, OTHER_KEY = "a secret that only this test knows", "another secret, just as long as it"
TOKENS = Protection({"account": "token", "ip": "mask"}, KEY)


@pytest.fixture
def began(desk: Desk, tmp_path: Path) -> Desk:
    """A database that began with tokens of accounts and masks of addresses."""
    settle(desk.engine, settings_of(tmp_path, pii_account="token", pii_ip="mask", pii_key=KEY))
    return desk


def settings_of(state: Path, **given: object) -> Settings:
    return load_settings(state_dir=state, **given)


def values(protection: Protection) -> tuple[str, ...]:
    kinds = ("account", "card", "ip", "device")
    return tuple(protection.value(kind, f"{kind}-1234567890") for kind in kinds)


def test_what_is_not_set_is_as_the_database_began(began: Desk, tmp_path: Path) -> None:
    for given in ({}, {"pii_account": "token"}, {"pii_card": "keep", "pii_ip": "mask"}):
        assert values(settle(began.engine, settings_of(tmp_path, pii_key=KEY, **given))) == values(TOKENS)


def test_the_embedded_stack_keeps_the_key_for_its_owner_alone(began: Desk, tmp_path: Path) -> None:
    keep(settings_of(tmp_path))
    assert not key_file(settings_of(tmp_path)).exists()
    for _ in range(2):
        keep(settings_of(tmp_path, pii_key=KEY))
    assert key_file(settings_of(tmp_path)).stat().st_mode & 0o777 == 0o600
    assert values(settle(began.engine, settings_of(tmp_path))) == values(TOKENS)
    assert KEY not in str(began.rows("SELECT * FROM personal_data"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"pii_account": "keep"},
            r"STREAMGUARD_PII_ACCOUNT is keep, and this database has token since .*: leave it unset",
        ),
        ({"pii_card": "token"}, r"STREAMGUARD_PII_CARD is token, and this database has keep since"),
        ({"pii_key": OTHER_KEY}, r"STREAMGUARD_PII_KEY is not the key that this database has had since"),
        ({"pii_key": ""}, r"STREAMGUARD_PII_KEY: account as token and ip as mask needs a key, and there is none"),
    ],
)
def test_another_mode_or_key_is_rejected(began: Desk, tmp_path: Path, given: dict[str, str], said: str) -> None:
    with pytest.raises(OtherProtection, match=said):
        settle(began.engine, settings_of(tmp_path, **{"pii_key": KEY, **given}))
    assert began.rows("SELECT account, card, ip FROM personal_data") == [("token", "keep", "mask")]


def test_a_kept_key_of_another_database_is_named_by_its_file(began: Desk, tmp_path: Path) -> None:
    keep(settings_of(tmp_path, pii_key=OTHER_KEY))
    with pytest.raises(OtherProtection, match=r"pii\.key is not the key that this database"):
        settle(began.engine, settings_of(tmp_path))


def test_a_start_without_its_key_is_rejected_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(OtherProtection, match="STREAMGUARD_PII_KEY: device as token needs a key"):
        check_key(settings_of(tmp_path, pii_device="token", pii_card="keep"))
    check_key(settings_of(tmp_path, pii_device="keep"))
    check_key(settings_of(tmp_path, pii_device="token", pii_key=KEY))


def test_names_of_fields_are_added_and_never_changed(began: Desk, tmp_path: Path) -> None:
    settle(began.engine, settings_of(tmp_path, pii_key=KEY, pii_fields={"payer": "account"}))
    settle(began.engine, settings_of(tmp_path, pii_key=KEY, pii_fields={"payee": "account"}))
    raw = settle(began.engine, settings_of(tmp_path, pii_key=KEY)).raw(b'{"payer": "A-1", "payee": "A-2"}', None)
    assert b"A-1" not in raw and b"A-2" not in raw
    with pytest.raises(
        OtherProtection, match="STREAMGUARD_PII_FIELDS: payer is ip, and this database has it as account"
    ):
        settle(began.engine, settings_of(tmp_path, pii_key=KEY, pii_fields={"payer": "ip"}))


def test_rows_of_before_show_their_mode(desk: Desk, tmp_path: Path) -> None:
    """A database of a version that did not keep the mode."""
    desk.feed(transaction(0, "t0", TOKENS.value("account", "BR-1"), 1.0, T0_MS, ip_address="192.0.2.1"))
    with pytest.raises(OtherProtection, match="set STREAMGUARD_PII_ACCOUNT=token"):
        settle(desk.engine, settings_of(tmp_path))
    with pytest.raises(OtherProtection, match="rows with ip as keep"):
        settle(desk.engine, settings_of(tmp_path, pii_account="token", pii_ip="mask", pii_key=KEY))
    settle(desk.engine, settings_of(tmp_path, pii_account="token", pii_key=KEY))


def test_every_command_that_knows_values_asks_first(began: Desk, tmp_path: Path) -> None:
    """In a shell that has no setting, with the kept key; and with another setting, with a sentence and nothing stored."""
    keep(settings_of(tmp_path, pii_key=KEY))
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": began.postgres.url(),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STREAMGUARD_STATE_DIR": str(tmp_path),
    }

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streamguard.cli", *words]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, timeout=60)

    token = TOKENS.value("account", "BR-1")
    add = ("blacklist", "add", "account", "BR-1", "--reason", "BR-1 lost a card")
    assert run(*add).stdout == f"account {token} is on the blacklist\n"
    assert began.rows("SELECT value, reason FROM lists") == [(token, f"{token} lost a card")]
    for words in (
        add,
        ("blacklist", "remove", "account", "BR-1"),
        ("blacklist", "sync"),
        ("allowlist", "add", "device", "d", "--reason", "r"),
        ("alerts", "list", "--account", "BR-1"),
        ("consume",),
    ):
        for wrong in ({"STREAMGUARD_PII_ACCOUNT": "keep"}, {"STREAMGUARD_PII_KEY": OTHER_KEY}):
            done = run(*words, **wrong)
            assert done.returncode == 1, words
            assert done.stderr.splitlines()[-1].startswith(f"streamguard: {next(iter(wrong))} is "), done.stderr
            assert "Traceback" not in done.stderr
    assert began.rows("SELECT count(*) FROM list_history") == [(1,)]


def test_free_texts_lose_the_values_of_their_transaction() -> None:
    record = transaction(0, "t0", "BR-1", 1.0, T0_MS, merchant_name="refund to BR-1", city="at 192.0.2.1, Recife")
    stored = TOKENS.transaction(
        Transaction.from_record(record.value, record.key).model_copy(update={"ip_address": "192.0.2.1"})
    )
    assert stored.merchant_name == f"refund to {TOKENS.value('account', 'BR-1')}"
    assert stored.city == "at 192.0.*~" + TOKENS.value("ip", "192.0.2.1").split("~")[1] + ", Recife"
