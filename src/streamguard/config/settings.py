"""Every address, port, credential and limit of StreamGuard, in one typed place.

Values come from the environment and from `.env` in the current folder; names are those of the fields, in upper case,
prefixed `STREAMGUARD_`, except the five addresses that have common names: `KAFKA_BOOTSTRAP_SERVERS`, `KSQLDB_URL`,
`DATABASE_URL`, `MONGODB_URL`, `LAKE_URI`. An address that is not given is made from the port (and the credentials), so that
one variable moves a part and everything that connects to it. A `STREAMGUARD_` name that is none of the fields is an error.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from streamguard.config.cluster import Cluster, Mechanism, Protocol, Security, check_file, check_pair, read_secret
from streamguard.config.database import DatabaseAddress, forget_libpq_environment
from streamguard.config.http import is_loopback
from streamguard.config.ksqldb import Ksqldb, without_login
from streamguard.config.names import CheckedSettings
from streamguard.config.password import DEFAULT_PASSWORD, stored_password

PiiMode = Literal["keep", "mask", "token"]
PiiKind = Literal["account", "card", "ip", "device"]

_OF_EVERY_PART = ("kafka_", "ksqldb_", "sink_", "mongodb_", "lake_", "snowflake_", "schedule")
"""How the fields begin that are handed to the processes of the stack."""

MOST_METRICS_PORT = 65_530
"""The highest begin of the metrics' ports: each process has one of its own from there on."""


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
    prometheus_port: int = Field(9090, ge=1, le=65535)
    grafana_port: int = Field(3000, ge=1, le=65535)
    desk_port: int = Field(8501, ge=1, le=65535)
    metrics_port: int | Literal["off"] = Field(9108)
    """Where the ports of metrics begin (streamguard.metrics.targets.PORTS); 0: ports that the system gives; off: no metrics."""
    metrics_host: str = "127.0.0.1"
    """Where the application shows them, to everybody who asks there; those of broker and SQL engine stay on loopback."""

    postgres_user: str = "streamguard"
    postgres_password: str = DEFAULT_PASSWORD
    """Without it: the one that the first start has made and stored in the state folder."""
    postgres_db: str = "streamguard"

    # Addresses. Empty means: made from the ports above.
    kafka_bootstrap_servers: str = Field("", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    ksqldb_url: str = Field("", validation_alias="KSQLDB_URL")
    database_url: str = Field("", validation_alias="DATABASE_URL")

    # How every client logs in to ksqlDB; a login in KSQLDB_URL is moved here (streamguard.config.ksqldb).
    ksqldb_username: str = ""
    ksqldb_password: SecretStr = SecretStr("")
    ksqldb_password_file: Path | None = None
    """A file with the password, whose last line break does not count."""
    ksqldb_ssl_cafile: Path | None = None
    """PEM: the authorities that sign the server's certificate; none means the usual ones."""

    # The embedded SQL engine: with both it speaks TLS; with the user above it asks for a login.
    ksqldb_certificate: Path | None = None
    ksqldb_key: Path | None = None
    """PEM; the key may be in the certificate's file."""

    # How every client speaks to Kafka (streamguard.config.cluster).
    kafka_security_protocol: Protocol = "PLAINTEXT"
    kafka_sasl_mechanism: Mechanism | None = None
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_sasl_password_file: Path | None = None
    """A file with the password, whose last line break does not count."""
    kafka_ssl_cafile: Path | None = None
    kafka_ssl_certfile: Path | None = None
    kafka_ssl_keyfile: Path | None = None
    kafka_ssl_check_hostname: bool = True

    # The embedded broker: with the protocol above, and the user above as its first.
    kafka_host: str = "127.0.0.1"
    """Where it listens; anything but loopback needs SASL_SSL."""
    kafka_advertise: str = ""
    """HOST:PORT that it gives to clients, where they reach it by another address than it listens on."""
    kafka_certificate: Path | None = None
    kafka_key: Path | None = None
    """Its PEM files for TLS; the key may be in the certificate's file."""

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
    """How long a batch waits for more records after its first, milliseconds; up to five times that where storing takes long."""
    record_max_bytes: int = Field(1_048_576, ge=1_024)
    """A record above this is a dead letter: no transaction needs a megabyte."""

    max_ahead_s: int = Field(3_600, ge=0)
    """How far the time of a transaction may be ahead of the clock, seconds. Beyond, it is a dead letter and no rule sees it."""

    keep_raw: bool = True
    """Whether each transaction's record is kept beside its row, as JSON."""

    status_limit_s: float = Field(30.0, gt=0, allow_inf_nan=False)
    """How long a thing may stand still before `streamguard status` says so, seconds."""

    log_format: Literal["text", "json"] = "text"
    """How the processes write their logs (streamguard.config.logs)."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """From which level on; with DEBUG the consumer writes a line for each decision and each dead letter."""

    trace_sample: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    """The share of transactions that a trace is begun with, by OpenTelemetry (streamguard.metrics.traces)."""

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

    # Where alarms are sent (streamguard.alarms); none is set by default.
    alarms_webhook_url: SecretStr = SecretStr("")
    """Gets JSON of the form of Alertmanager's webhook; secret, for its path often is."""
    alarms_email_to: str = ""
    """Addresses, with commas between."""
    alarms_email_from: str = ""
    alarms_smtp_host: str = ""
    alarms_smtp_port: int | None = Field(None, ge=1, le=65535)
    """Without it 587, 465 or 25, by the security."""
    alarms_smtp_security: Literal["starttls", "tls", "plain"] = "starttls"
    alarms_smtp_username: str = ""
    alarms_smtp_password_file: Path | None = None
    """A file with the password, whose last line break does not count."""
    alarms_smtp_cafile: Path | None = None
    """PEM: the authorities that sign the mail server's certificate; none means the usual ones."""
    alarms_command: list[str] = Field(default_factory=list)
    """A program with its arguments, as a JSON list; it gets the text on its standard input."""
    alarms_repeat_hours: float = Field(4.0, gt=0, allow_inf_nan=False)
    """How often an alarm that goes on firing is announced again."""

    # Sinks: copies of the topics elsewhere (streamguard.sinks).
    sinks: str = ""
    """Those that `streamguard up` runs: names with commas between, or a JSON list."""
    sink_files: Path | None = None
    """The folder of the sink jsonl; without it `copies` below the state folder."""
    sink_files_mb: int = Field(256, ge=1)
    """A file is closed, and the next one begun, when it has so many MiB or at midnight (UTC)."""
    sink_webhook_url: SecretStr = SecretStr("")
    """Gets the records of the sink http; secret, for its path often is."""
    sink_webhook_token: SecretStr = SecretStr("")
    """Sent with them as `Authorization: Bearer`."""
    mongodb_url: SecretStr = Field(SecretStr(""), validation_alias="MONGODB_URL")
    mongodb_database: str = "streamguard"
    """Where the URL names none."""
    mongodb_days: int = Field(0, ge=0)
    """After how many days MongoDB removes a document; 0: never."""
    lake_uri: str = Field("", validation_alias="LAKE_URI")
    """The folder of the lake's tables, or a URL of object storage; without it `lake` below the state folder."""
    lake_batch_records: int = Field(20_000, ge=1)
    lake_batch_s: float = Field(10.0, ge=0, allow_inf_nan=False)
    """A write to the lake has so many records, or those of so many seconds."""
    lake_keep_hours: int = Field(168, ge=1)
    """How long files that compaction has replaced stay, for those who still read them."""
    snowflake_account: str = ""
    snowflake_user: str = ""
    snowflake_password: SecretStr = SecretStr("")
    snowflake_key_file: Path | None = None
    """PEM: the private key of the user, without a password, instead of the password."""
    snowflake_database: str = "STREAMGUARD"
    snowflake_schema: str = "PUBLIC"
    snowflake_warehouse: str = ""
    snowflake_role: str = ""
    snowflake_batch_records: int = Field(20_000, ge=1)
    snowflake_batch_s: float = Field(10.0, ge=0, allow_inf_nan=False)
    """A transaction there has so many records, or those of so many seconds."""

    # Commands at times (streamguard.schedules).
    schedule: Path | None = None
    """The file that says which; without it schedule.yaml in the state folder."""

    # The generator stream that `streamguard up` runs.
    generator_tps: float = Field(20.0, gt=0, allow_inf_nan=False)

    _has_default_password: bool = PrivateAttr(False)
    _kafka_security: Security = PrivateAttr(Security())

    @model_validator(mode="after")
    def _fill_addresses(self) -> Settings:
        """Make the addresses that were not given from the ports and credentials."""
        if not self.kafka_bootstrap_servers:
            self.kafka_bootstrap_servers = self.embedded_kafka
        if not self.ksqldb_url:
            scheme = "https" if self.ksqldb_certificate else "http"
            self.ksqldb_url = f"{scheme}://127.0.0.1:{self.ksqldb_port}"
        if not self.database_url:
            if "postgres_password" not in self.model_fields_set:
                stored = stored_password(self.state_path)
                self._has_default_password = stored is None
                self.postgres_password = stored or self.postgres_password
            self.database_url = self._own_database_url(self.postgres_password)
        if not self.lake_uri:
            self.lake_uri = str(self.state_path / "lake")
        elif "://" not in self.lake_uri:
            self.lake_uri = str(Path.cwd() / Path(self.lake_uri).expanduser())
        if self.sink_files is None:
            self.sink_files = self.state_path / "copies"
        return self

    def _own_database_url(self, password: str) -> str:
        user, secret = quote(self.postgres_user, safe=""), quote(password, safe="")
        return f"postgresql+psycopg2://{user}:{secret}@127.0.0.1:{self.postgres_port}/{self.postgres_db}"

    @property
    def has_default_password(self) -> bool:
        """Whether no password of the database was given, and none is stored."""
        return self._has_default_password

    def with_password(self, password: str) -> Settings:
        """These settings with another password of the database on this machine."""
        update = {"postgres_password": password, "database_url": self._own_database_url(password)}
        changed = self.model_copy(update=update)
        changed._has_default_password = False
        return changed

    @model_validator(mode="after")
    def _check_ksqldb(self) -> Settings:
        """The login of the URL, the file of the password, and what belongs together."""
        found = Ksqldb.of(self.ksqldb_url)
        self.ksqldb_url = found.url
        if found.username:
            self.ksqldb_username, self.ksqldb_password = found.username, SecretStr(found.password)
        elif self.ksqldb_password_file is not None and not self.ksqldb_password.get_secret_value():
            self.ksqldb_password = SecretStr(read_secret("STREAMGUARD_KSQLDB_PASSWORD_FILE", self.ksqldb_password_file))
        if bool(self.ksqldb_username) != bool(self.ksqldb_password.get_secret_value()):
            raise ValueError(
                "STREAMGUARD_KSQLDB_USERNAME and STREAMGUARD_KSQLDB_PASSWORD belong together: set both, or none"
            )
        for field in ("ksqldb_ssl_cafile", "ksqldb_certificate", "ksqldb_key"):
            if (file := getattr(self, field)) is not None and not os.access(file, os.R_OK):
                raise ValueError(f"{variable_of(field)}: the file {file} cannot be read")
        if self.ksqldb_key is not None and self.ksqldb_certificate is None:
            raise ValueError(
                "STREAMGUARD_KSQLDB_KEY is the key of a certificate: set STREAMGUARD_KSQLDB_CERTIFICATE too"
            )
        return self

    @model_validator(mode="after")
    def _check_kafka(self) -> Settings:
        """What belongs together is set together, and there."""
        self._kafka_security = self._read_security()
        self._kafka_security.check()
        if self.kafka_key is not None and self.kafka_certificate is None:
            raise ValueError("STREAMGUARD_KAFKA_KEY is the key of a certificate: set STREAMGUARD_KAFKA_CERTIFICATE too")
        if self.kafka_certificate is not None:
            variables = ("STREAMGUARD_KAFKA_CERTIFICATE", "STREAMGUARD_KAFKA_KEY")
            for variable, file in zip(variables, (self.kafka_certificate, self.kafka_key), strict=True):
                if file is not None:
                    check_file(variable, file)
            check_pair(variables, self.kafka_certificate, self.kafka_key)
        return self

    @model_validator(mode="after")
    def _check_alarms(self) -> Settings:
        """What belongs together is set together, and no password goes in the clear."""
        url = self.alarms_webhook_url.get_secret_value()
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError(
                "STREAMGUARD_ALARMS_WEBHOOK_URL: an address is expected, such as https://hooks.example.org/x"
            )
        if self.alarms_email_to and not (self.alarms_email_from and self.alarms_smtp_host):
            raise ValueError(
                "STREAMGUARD_ALARMS_EMAIL_TO needs STREAMGUARD_ALARMS_EMAIL_FROM and STREAMGUARD_ALARMS_SMTP_HOST"
            )
        if bool(self.alarms_smtp_username) != (self.alarms_smtp_password_file is not None):
            raise ValueError(
                "STREAMGUARD_ALARMS_SMTP_USERNAME and STREAMGUARD_ALARMS_SMTP_PASSWORD_FILE belong together: set both, or none"
            )
        if (
            self.alarms_smtp_username
            and self.alarms_smtp_security == "plain"
            and not is_loopback(self.alarms_smtp_host)
        ):
            raise ValueError(
                "STREAMGUARD_ALARMS_SMTP_SECURITY=plain would send the password in the clear: starttls or tls is needed"
            )
        for field in ("alarms_smtp_password_file", "alarms_smtp_cafile"):
            if (file := getattr(self, field)) is not None and not os.access(file, os.R_OK):
                raise ValueError(f"{variable_of(field)}: the file {file} cannot be read")
        return self

    @field_validator(
        *("kafka_sasl_mechanism", "kafka_sasl_password_file", "kafka_ssl_cafile", "kafka_ssl_certfile"),
        *("kafka_ssl_keyfile", "kafka_certificate", "kafka_key"),
        *("ksqldb_password_file", "ksqldb_ssl_cafile", "ksqldb_certificate", "ksqldb_key"),
        *(
            "alarms_smtp_port",
            "alarms_smtp_password_file",
            "alarms_smtp_cafile",
            "sink_files",
            "snowflake_key_file",
            "schedule",
        ),
        mode="before",
    )
    @classmethod
    def _unset(cls, value: Any) -> Any:
        """An empty value, as a line of `.env` may have it, is none."""
        return None if value == "" else value

    @field_validator("metrics_port", mode="before")
    @classmethod
    def _port_or_off(cls, value: Any) -> Any:
        text = str(value).strip()
        if text == "off":
            return text
        if not (text.isascii() and text.isdigit() and int(text) <= MOST_METRICS_PORT):
            raise ValueError(f"a port up to {MOST_METRICS_PORT}, 0 (any that is free) or off is expected, not {text!r}")
        return int(text)

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

    @field_validator("kafka_bootstrap_servers", "kafka_advertise")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        for part in value.split(",") if value else ():
            host, _, port = part.strip().rpartition(":")
            is_host = host and (":" not in host or (host[0] == "[" and host[-1] == "]"))
            if not is_host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
                raise ValueError(f"HOST:PORT is expected, such as 127.0.0.1:9092, not {part!r}")
        return value

    @field_validator("ksqldb_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError(f"a URL is expected, such as http://127.0.0.1:8088, not {without_login(value)!r}")
        _check_port(value)
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
                "a Postgres URL is expected, such as postgresql://user:password@host:5432/name, not"
                f" {without_login(value)!r}"
            )
        DatabaseAddress(value)
        return value

    @field_validator("transactions_topic", "alerts_topic", "decisions_topic", "dead_letters_topic")
    @classmethod
    def _topic_name(cls, value: str) -> str:
        if not re.fullmatch(r"(?!\.\.?$)[A-Za-z0-9._-]{1,249}", value):
            raise ValueError(f"the name of a topic is expected, of letters, digits, '.', '_' and '-', not {value!r}")
        return value

    @field_validator("state_dir", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        if not str(value):
            raise ValueError("a folder is expected; without the variable it is .streamguard")
        try:
            Path(str(value)).expanduser()
        except RuntimeError:
            raise ValueError(f"there is no home folder for {str(value)!r}") from None
        return value

    @property
    def sink_names(self) -> tuple[str, ...]:
        """The names in `sinks`, each once."""
        text = self.sinks.strip().removeprefix("[").removesuffix("]")
        names = [name.strip().strip("\"'") for name in text.split(",")]
        return tuple(dict.fromkeys(filter(None, names)))

    @property
    def ksqldb(self) -> Ksqldb:
        """The ksqlDB of `ksqldb_url`, and how to log in there."""
        password = self.ksqldb_password.get_secret_value()
        return Ksqldb(self.ksqldb_url, self.ksqldb_username, password, self.ksqldb_ssl_cafile)

    @property
    def kafka(self) -> Cluster:
        """The Kafka of `kafka_bootstrap_servers`, and how to speak to it."""
        return Cluster(self.kafka_bootstrap_servers, self._kafka_security)

    def _read_security(self) -> Security:
        password = self.kafka_sasl_password.get_secret_value()
        if self.kafka_sasl_password_file is not None:
            if password:
                raise ValueError(
                    "STREAMGUARD_KAFKA_SASL_PASSWORD and STREAMGUARD_KAFKA_SASL_PASSWORD_FILE are both set: set one"
                )
            password = read_secret("STREAMGUARD_KAFKA_SASL_PASSWORD_FILE", self.kafka_sasl_password_file)
        return Security(
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            password,
            self.kafka_ssl_cafile,
            self.kafka_ssl_certfile,
            self.kafka_ssl_keyfile,
            self.kafka_ssl_check_hostname,
        )

    @property
    def embedded_kafka(self) -> str:
        """The address of the embedded broker, as its clients reach it."""
        host = f"[{self.kafka_host}]" if ":" in self.kafka_host else self.kafka_host
        return self.kafka_advertise or f"{host}:{self.kafka_port}"

    @property
    def state_path(self) -> Path:
        """`state_dir`, absolute."""
        return Path.cwd() / self.state_dir.expanduser()

    @property
    def database(self) -> DatabaseAddress:
        """The parts of `database_url`."""
        return DatabaseAddress(self.database_url)

    @property
    def external(self) -> dict[str, str]:
        """The parts that are not ours to start, stop or wipe, because their address was given: the variable of each.

        The address that is made from the ports is the embedded part's, also where it is given: 127.0.0.1 (or localhost) and
        the port of STREAMGUARD_KAFKA_PORT, STREAMGUARD_KSQLDB_PORT or STREAMGUARD_POSTGRES_PORT.
        """
        [kafka, *more] = self.kafka.addresses
        [own] = Cluster(self.embedded_kafka).addresses
        ksqldb = urlsplit(self.ksqldb_url)
        ksqldb_port = ksqldb.port or (443 if ksqldb.scheme == "https" else 80)
        database = self.database
        ours = {
            "postgres": _same((database.host, database.port), ("127.0.0.1", self.postgres_port)),
            "broker": not more and _same(kafka, own),
            "ksqldb": _same((ksqldb.hostname or "", ksqldb_port), ("127.0.0.1", self.ksqldb_port)),
        }
        variables = {"postgres": "DATABASE_URL", "broker": "KAFKA_BOOTSTRAP_SERVERS", "ksqldb": "KSQLDB_URL"}
        return {name: variables[name] for name, own in ours.items() if not own}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that give another process the same stack, whatever its own environment and `.env` say."""
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
            "KSQLDB_URL": self.ksqldb_url,
            "DATABASE_URL": self.database_url,
            "STREAMGUARD_STATE_DIR": str(self.state_path),
        }
        for field in type(self).model_fields:
            if field.startswith(_OF_EVERY_PART) or field == "postgres_port":
                variables.setdefault(variable_of(field), _as_text(getattr(self, field)))
        return variables


def _check_port(url: str) -> None:
    """Raises ValueError, without the passwords that the address may have."""
    try:
        port = urlsplit(url).port
    except ValueError as error:
        raise ValueError(f"its host and port cannot be used: {error}") from None
    if port == 0:
        raise ValueError("port 0 is nowhere")


def _same(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two addresses are one, as far as that is known without asking."""
    local = is_loopback(one[0].strip("[]")) and is_loopback(other[0].strip("[]"))
    return one[1] == other[1] and (local or one[0].lower() == other[0].lower())


def _as_text(value: Any) -> str:
    """A value as an environment variable has it; empty means not set."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value.expanduser().absolute())
    return "" if value is None else str(value)


def variable_of(field: str) -> str:
    """The environment variable that sets a field of `Settings`."""
    return Settings.variable_of(field)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings again; raises SettingsError with one sentence per wrong variable."""
    return Settings(**overrides)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once; raises SettingsError."""
    settings = load_settings()
    if "postgres" not in settings.external:
        # What a person has set for another database would lead away from the embedded one, or ask it for TLS.
        forget_libpq_environment()
    return settings
