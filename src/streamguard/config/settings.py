"""Every address, port, credential and limit of StreamGuard, in one typed place.

Values come from the environment and from `.env` in the working directory; the names are those of the fields, in upper
case, with the prefix `STREAMGUARD_`, but for the three addresses that the whole world names alike:
`KAFKA_BOOTSTRAP_SERVERS`, `KSQLDB_URL`, `DATABASE_URL`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the application knows of the world. Which stack answers at these addresses it never asks."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMGUARD_", env_file=".env", env_file_encoding="utf-8", extra="ignore", populate_by_name=True
    )

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    ksqldb_url: str = Field("http://127.0.0.1:8088", validation_alias="KSQLDB_URL")
    database_url: str = Field(
        "postgresql+psycopg2://streamguard:streamguard_2024@127.0.0.1:5432/streamguard", validation_alias="DATABASE_URL"
    )

    transactions_topic: str = "transactions"
    alerts_topic: str = "fraud_alerts"
    dead_letters_topic: str = "dead_letters"
    topic_partitions: int = Field(3, ge=1)

    state_dir: Path = Path(".streamguard")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
