"""Every address, port, credential and limit of StreamGuard, in one typed place.

Values come from the environment and from `.env` in the current folder; names are those of the fields, in upper case,
prefixed `STREAMGUARD_`, except the three addresses that have common names: `KAFKA_BOOTSTRAP_SERVERS`, `KSQLDB_URL`,
`DATABASE_URL`. An address that is not given is made from the port (and the credentials), so that one variable moves a
part and everything that connects to it. A `STREAMGUARD_` name that is none of the fields is an error.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from streamguard.config.names import CheckedSettings

PiiMode = Literal["keep", "mask", "token"]
PiiKind = Literal["account", "card", "ip", "device"]


class Settings(CheckedSettings):
    """Addresses, credentials and limits of the application. It does not depend on which stack is at the addresses."""

    model_config = SettingsConfigDict(env_prefix="STREAMGUARD_", populate_by_name=True)
    # The limits of the Python rules (streamguard.rules.limits), and what only the tests read.
    elsewhere: ClassVar[tuple[str, ...]] = ("STREAMGUARD_RULES_", "STREAMGUARD_TEST_")

    # Ports, on loopback. `docker-compose.yaml` reads the same variables.
    kafka_port: int = Field(9092, ge=1, le=65535)
    ksqldb_port: int = Field(8088, ge=1, le=65535)
    postgres_port: int = Field(5432, ge=1, le=65535)
    kafka_ui_port: int = Field(8080, ge=1, le=65535)
    desk_port: int = Field(8501, ge=1, le=65535)
    metrics_port: int = Field(9108, ge=0, le=65530)
    """Where the metrics of the processes begin (streamguard.metrics.page.PORTS); 0: at ports that the system gives."""

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
    """All state of the embedded stack. A relative path counts from the current folder."""

    # The consumer.
    consumer_group: str = "streamguard-consumer"
    consumer_instance: str = ""
    """The group.instance.id of this member, unique in its group; empty makes a dynamic member."""
    batch_max_records: int = Field(5_000, ge=1)
    batch_linger_ms: int = Field(10, ge=0)
    """How long a batch may wait for more records after its first, milliseconds."""
    record_max_bytes: int = Field(1_048_576, ge=1_024)
    """A record above this is a dead letter: no transaction needs a megabyte."""

    max_ahead_s: int = Field(3_600, ge=0)
    """How far the time of a transaction may be ahead of the clock, seconds. Beyond, it is a dead letter and no rule sees it."""

    keep_raw: bool = True
    """Whether each transaction's record is kept beside its row, as JSON."""

    status_limit_s: float = Field(30.0, gt=0)
    """How long a thing may stand still before `streamguard status` says so, seconds."""

    # Personal data, before it reaches the database or a log line (streamguard.privacy.protection).
    # None: as the database has it, which begins with keep.
    pii_account: PiiMode | None = None
    pii_card: PiiMode | None = None
    pii_ip: PiiMode | None = None
    pii_device: PiiMode | None = None
    pii_fields: dict[str, PiiKind] = Field(default_factory=dict)
    """Further names of fields, such as {"payer_iban": "account"}."""
    pii_key: SecretStr = SecretStr("")
    """The key of masks and tokens. It allows to test guesses; without it old rows cannot be matched to new ones."""

    # The desk.
    desk_host: str = "127.0.0.1"
    """Where it listens; anything but loopback needs a certificate."""
    desk_certificate: Path | None = None
    desk_key: Path | None = None
    """PEM files; with both, the desk speaks TLS."""
    desk_public_url: str = ""
    """How browsers reach it behind a proxy, such as https://desk.example.org/fraud."""
    desk_idle_minutes: int = Field(120, ge=1)
    desk_session_hours: int = Field(12, ge=1)
    """A login ends after so long without a request, and after so long in any case."""
    desk_sla_minutes: int = Field(30, ge=1)
    """How long an alert may be open before its age is shown in red."""

    # The generator stream that `streamguard up` runs.
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
    def _long_key(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16:
            raise ValueError("masks and tokens need a secret of at least 16 characters, such as `openssl rand -hex 32`")
        return value

    @field_validator("desk_public_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError(f"an address is expected, such as https://desk.example.org, not {value!r}")
        return value.rstrip("/")

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
        return Path.cwd() / self.state_dir.expanduser()

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
        """What `psql` and every libpq program read, so that no password appears on a command line."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.name,
        }


def variable_of(field: str) -> str:
    """The environment variable that sets a field of `Settings`."""
    return Settings.variable_of(field)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings again; raises SettingsError with one sentence per wrong variable."""
    return Settings(**overrides)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once; raises SettingsError."""
    return load_settings()
