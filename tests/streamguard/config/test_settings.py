"""The settings: addresses made from ports, and one sentence for what makes no sense."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from streamguard.config import Settings, SettingsError, load_settings, variable_of
from streamguard.config.password import PASSWORD_FILE
from streamguard.rules.limits import RuleLimits


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)


def test_addresses_come_from_the_ports_and_credentials() -> None:
    settings = load_settings(kafka_port=19092, ksqldb_port=18088, postgres_port=15432, postgres_password="p@ss/word")
    assert settings.kafka_bootstrap_servers == "127.0.0.1:19092"
    assert settings.ksqldb_url == "http://127.0.0.1:18088"
    assert settings.database_url == "postgresql+psycopg2://streamguard:p%40ss%2Fword@127.0.0.1:15432/streamguard"
    assert settings.database.password == "p@ss/word"


def test_an_address_that_is_given_wins_over_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@db.example:6000/name")
    monkeypatch.setenv("STREAMGUARD_POSTGRES_PORT", "7000")
    settings = load_settings()
    assert settings.database_url == "postgresql+psycopg2://u:p@db.example:6000/name"
    assert settings.database.libpq_environment == {
        "PGHOST": "db.example",
        "PGPORT": "6000",
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PGDATABASE": "name",
    }


def test_the_stored_password_is_used_unless_one_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    assert load_settings(state_dir=tmp_path / "old").has_default_password
    (tmp_path / PASSWORD_FILE).write_text("at/random\n")
    stored = load_settings(state_dir=tmp_path)
    assert not stored.has_default_password
    assert stored.database.password == stored.postgres_password == "at/random"
    monkeypatch.setenv("STREAMGUARD_POSTGRES_PASSWORD", "given")
    assert load_settings(state_dir=tmp_path).database.password == "given"
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@db.example/name")
    elsewhere = load_settings(state_dir=tmp_path / "old")
    assert elsewhere.database.password == "p" and not elsewhere.has_default_password


def test_the_env_file_of_the_current_folder_alone_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / ".env").write_text("STREAMGUARD_KAFKA_PORT=19092\nSTREAMGUARD_NONSENSE=1\n")
    monkeypatch.chdir(below)
    assert load_settings().kafka_port == 9092
    (below / ".env").write_text("STREAMGUARD_KAFKA_PORT=29092\n")
    assert load_settings().kafka_port == 29092


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost", "KAFKA_BOOTSTRAP_SERVERS: HOST:PORT is expected"),
        ("KAFKA_BOOTSTRAP_SERVERS", "h:99999", "KAFKA_BOOTSTRAP_SERVERS: HOST:PORT is expected"),
        ("KSQLDB_URL", "127.0.0.1:8088", "KSQLDB_URL: a URL is expected"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL: a Postgres URL is expected"),
        ("STREAMGUARD_KAFKA_PORT", "many", "STREAMGUARD_KAFKA_PORT: Input should be a valid integer"),
        ("STREAMGUARD_POSTGRES_PORT", "70000", "STREAMGUARD_POSTGRES_PORT: Input should be less than"),
        ("STREAMGUARD_GENERATOR_TPS", "0", "STREAMGUARD_GENERATOR_TPS: Input should be greater than 0"),
        ("STREAMGUARD_GENERATOR_TPS", "inf", "STREAMGUARD_GENERATOR_TPS: Input should be a finite number"),
        ("KAFKA_BOOTSTRAP_SERVERS", ",", "KAFKA_BOOTSTRAP_SERVERS: HOST:PORT is expected"),
        ("KAFKA_BOOTSTRAP_SERVERS", "[::1:9092", "KAFKA_BOOTSTRAP_SERVERS: HOST:PORT is expected"),
        ("KSQLDB_URL", "http://h:port", "KSQLDB_URL: its host and port cannot be used"),
        ("KSQLDB_URL", "http://[", "KSQLDB_URL: Invalid IPv6 URL"),
        ("DATABASE_URL", "postgresql://[::", "DATABASE_URL: "),
        ("DATABASE_URL", "postgresql://u:p@h:99999/x", "DATABASE_URL: "),
        ("STREAMGUARD_STATE_DIR", "", "STREAMGUARD_STATE_DIR: a folder is expected"),
        ("STREAMGUARD_STATE_DIR", "~nobody-has-it/x", "STREAMGUARD_STATE_DIR: there is no home folder"),
        ("STREAMGUARD_PII_FIELDS", "nonsense", "STREAMGUARD_PII_FIELDS: JSON is expected"),
        ("STREAMGUARD_TRANSACTIONS_TOPIC", "a b", "STREAMGUARD_TRANSACTIONS_TOPIC: the name of a topic is expected"),
        ("STREAMGUARD_ALERTS_TOPIC", "..", "STREAMGUARD_ALERTS_TOPIC: the name of a topic is expected"),
    ],
)
def test_nonsense_is_one_sentence_naming_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_an_env_file_of_somebody_else_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").touch()
    # No mode of a file keeps root, as whom tests may run, from reading it.
    monkeypatch.setattr("dotenv.main.open", refuse, raising=False)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert (
        str(caught.value) == f"{tmp_path}/.env cannot be read (Permission denied): make it yours to read, or remove it"
    )


def test_an_env_file_that_is_no_text_and_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / ".env").write_bytes(b"A=1\xff\n")
    with pytest.raises(SettingsError, match=r"\.env is not UTF-8 text"):
        load_settings()
    (folder / ".env").unlink()
    folder.rmdir()
    with pytest.raises(SettingsError, match="the current folder was removed"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("STREAMGUARD_KAFKA_PROT", "STREAMGUARD_KAFKA_PORT"),
        ("streamguard_stat_dir", "STREAMGUARD_STATE_DIR"),
        ("STREAMGUARD_DASHBOARD_PORT", "STREAMGUARD_"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"{name.upper()} is not a setting; the nearest one is {nearest}"):
        load_settings()


def test_the_env_file_of_the_current_folder_is_read_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("STREAMGUARD_DESK_PORT=8600\nOTHER=1\n")
    assert load_settings().desk_port == 8600
    (tmp_path / ".env").write_text("STREAMGUARD_DESK_PROT=8600\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"in {tmp_path / '.env'} is not a setting; the nearest one is STREAMGUARD_DESK_PORT" in str(caught.value)


def test_the_limits_of_the_rules_are_checked_by_their_own_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGUARD_RULES_REVIEW_AT", "40")
    load_settings()
    assert RuleLimits().review_at == 40
    monkeypatch.setenv("STREAMGUARD_RULES_REVIEW_TA", "40")
    with pytest.raises(SettingsError, match="the nearest one is STREAMGUARD_RULES_REVIEW_AT"):
        RuleLimits()


def test_the_state_folder_counts_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().state_path == tmp_path / ".streamguard"
    assert load_settings(state_dir="elsewhere").state_path == tmp_path / "elsewhere"
    assert load_settings(state_dir="/srv/x").state_path == Path("/srv/x")
