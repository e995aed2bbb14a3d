"""Every address, port, credential and limit of StreamGuard, in one typed place.

Values come from the environment and from `.env` in the folder of the project or the one worked in; names are those of
the fields, in upper case, prefixed `STREAMGUARD_`, but for the three addresses that the whole world names alike:
`KAFKA_BOOTSTRAP_SERVERS`, `KSQLDB_URL`, `DATABASE_URL`. An address that is not given is made from the port (and the
credentials) beside it, so that one variable moves a part and everybody who talks to it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PiiMode = Literal["keep", "mask", "token"]
PiiKind = Literal["account", "card", "ip", "device"]

PROJECT_ROOT = Path(__file__).resolve().parents[3]
"""The repository: the project is installed from its folder (`pip install -e .`)."""


class SettingsError(ValueError):
    """A setting that makes no sense; `str()` of it is one sentence naming the variable."""


class Settings(BaseSettings):
    """What the application knows of the world. Which stack answers at these addresses it never asks."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMGUARD_",
        env_file=(PROJECT_ROOT / ".env", ".env"),
        env_file_encoding="utf-8",
        extra="ignore",
        populate_by_name=True,
    )

    # Ports, on loopback. `docker-compose.yaml` reads the same variables.
    kafka_port: int = Field(9092, ge=1, le=65535)
    ksqldb_port: int = Field(8088, ge=1, le=65535)
    postgres_port: int = Field(5432, ge=1, le=65535)
    kafka_ui_port: int = Field(8080, ge=1, le=65535)
    dashboard_port: int = Field(8501, ge=1, le=65535)
    metrics_port: int = Field(9108, ge=1, le=65535)

    postgres_user: str = "streamguard"
    postgres_password: str = "streamguard_2024"
    postgres_db: str = "streamguard"

    # Addresses. Empty means: made from the ports above.
    kafka_bootstrap_servers: str = Field("", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    ksqldb_url: str = Field("", validation_alias="KSQLDB_URL")
    database_url: str = Field("", validation_alias="DATABASE_URL")

    transactions_topic: str = "transactions"
    alerts_topic: str = "fraud_alerts"
    decisions_topic: str = "decisions"
    dead_letters_topic: str = "dead_letters"
    topic_partitions: int = Field(3, ge=1)

    state_dir: Path = Path(".streamguard")
    """Everything the embedded stack keeps. A relative path counts from the project's folder."""

    # The consumer.
    consumer_group: str = "streamguard-consumer"
    consumer_instance: str = ""
    """A name for this member of the group, unique in it; empty makes a nameless member."""
    batch_max_records: int = Field(5_000, ge=1)
    batch_linger_ms: int = Field(10, ge=0)
    """How long a batch may wait for more records once its first is there, milliseconds."""
    record_max_bytes: int = Field(1_048_576, ge=1_024)
    """A record above this is a dead letter: no payment is a megabyte."""

    keep_raw: bool = True
    """Whether each payment's record is kept beside its row, as JSON."""

    # Personal data, before it reaches the database or a log line (streamguard.privacy.protection).
    pii_account: PiiMode = "keep"
    pii_card: PiiMode = "keep"
    pii_ip: PiiMode = "keep"
    pii_device: PiiMode = "keep"
    pii_fields: dict[str, PiiKind] = {}
    """Further names of fields, such as {"payer_iban": "account"}."""
    pii_key: SecretStr = Field(SecretStr(""), validate_default=True)
    """The key of masks and tokens. Who has it can test guesses; who loses it can never match old rows to new ones."""

    # The generator stream that start.sh runs.
    generator_tps: float = Field(20.0, gt=0)

    @model_validator(mode="after")
    def _fill_addresses(self) -> Settings:
        """Make the addresses that were not given from the ports and credentials."""
        if not self.kafka_bootstrap_servers:
            self.kafka_bootstrap_servers = f"127.0.0.1:{self.kafka_port}"
        if not self.ksqldb_url:
            self.ksqldb_url = f"http://127.0.0.1:{self.ksqldb_port}"
        if not self.database_url:
            user, password = quote(self.postgres_user, safe=""), quote(self.postgres_password, safe="")
            self.database_url = (
                f"postgresql+psycopg2://{user}:{password}@127.0.0.1:{self.postgres_port}/{self.postgres_db}"
            )
        return self

    @field_validator("pii_key")
    @classmethod
    def _key_where_needed(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        modes = [info.data.get(name) for name in ("pii_account", "pii_card", "pii_ip", "pii_device")]
        if any(mode in ("mask", "token") for mode in modes) and len(value.get_secret_value()) < 16:
            raise ValueError("masks and tokens need a secret of at least 16 characters, such as `openssl rand -hex 32`")
        return value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        for part in filter(None, value.split(",")):
            host, _, port = part.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f"HOST:PORT is expected, such as 127.0.0.1:9092, not {part!r}")
        return value

    @field_validator("ksqldb_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError(f"a URL is expected, such as http://127.0.0.1:8088, not {value!r}")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _postgres_url(cls, value: str) -> str:
        """Accept the plain spelling too; SQLAlchemy needs the driver named."""
        for plain in ("postgres://", "postgresql://"):
            if value.startswith(plain):
                value = "postgresql+psycopg2://" + value[len(plain) :]
        if value and not value.startswith("postgresql+psycopg2://"):
            raise ValueError(
                f"a Postgres URL is expected, such as postgresql://user:password@host:5432/name, not {value!r}"
            )
        return value

    @property
    def state_path(self) -> Path:
        """`state_dir`, absolute."""
        return PROJECT_ROOT / self.state_dir.expanduser()

    @property
    def database(self) -> DatabaseAddress:
        """The parts of `database_url`."""
        return DatabaseAddress(self.database_url)


class DatabaseAddress:
    """Host, port, user, password and name out of a Postgres URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host: str = parts.hostname or "127.0.0.1"
        self.port: int = parts.port or 5432
        self.user: str = unquote(parts.username or "streamguard")
        self.password: str = unquote(parts.password or "")
        self.name: str = parts.path.lstrip("/") or self.user

    @property
    def libpq_environment(self) -> dict[str, str]:
        """What `psql` and every libpq program read, so that no password stands on a command line."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.name,
        }


def variable_of(field: str) -> str:
    """The environment variable that sets a field of `Settings`."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, str):
        return alias
    assert not isinstance(alias, AliasChoices), "settings have one name each"
    return "STREAMGUARD_" + field.upper()


def load_settings(**overrides: Any) -> Settings:
    """Read the settings anew; raises SettingsError with one sentence per wrong variable."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        complaints = []
        for item in error.errors(include_url=False):
            name = str(item["loc"][0]) if item["loc"] else "settings"
            variable = variable_of(name) if name in Settings.model_fields else name
            complaints.append(f"{variable}: {item['msg'].removeprefix('Value error, ')}")
        raise SettingsError("; ".join(complaints)) from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once; raises SettingsError."""
    return load_settings()
