"""SQLAlchemy's map of the schema. `docker/init-db.sql` is the truth; a test reads both back and compares them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Double, ForeignKey, Integer, LargeBinary, Numeric, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NOW = text("clock_timestamp()")


class Base(DeclarativeBase):
    """The common base; instants are timestamps with time zone, money is NUMERIC(15, 2)."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        int: BigInteger(),
        float: Double(),
        bytes: LargeBinary(),
        Decimal: Numeric(15, 2),
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
    }


class TransactionRow(Base):
    """A payment, stored once, with its place in the log."""

    __tablename__ = "transactions"

    transaction_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    amount: Mapped[Decimal]
    currency: Mapped[str]
    transaction_type: Mapped[str | None]
    channel: Mapped[str | None]
    merchant_id: Mapped[str | None]
    merchant_name: Mapped[str | None]
    merchant_category: Mapped[str | None]
    city: Mapped[str | None]
    country: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    device_id: Mapped[str | None]
    ip_address: Mapped[str | None]
    event_time: Mapped[datetime]
    is_fraud: Mapped[bool] = mapped_column(server_default=text("false"))
    source_partition: Mapped[int] = mapped_column(Integer)
    source_offset: Mapped[int]
    stored_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class TransactionRecordRow(Base):
    """A payment's record as it was read, until it is cut by age. Each month is a table of its own."""

    __tablename__ = "transaction_records"

    transaction_id: Mapped[str] = mapped_column()
    event_time: Mapped[datetime] = mapped_column()
    raw: Mapped[dict[str, Any]]

    # No constraint of the database: the store writes a record with its row only.
    __mapper_args__ = MappingProxyType({"primary_key": (event_time, transaction_id)})


class FraudAlertRow(Base):
    """An incident: the newest version of it, what the rules decided on it, and what an analyst made of it."""

    __tablename__ = "fraud_alerts"

    alert_id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    account_id: Mapped[str]
    transaction_id: Mapped[str | None]
    amount: Mapped[Decimal | None]
    tx_count: Mapped[int]
    window_start: Mapped[datetime | None]
    window_end: Mapped[datetime | None]
    detected_at: Mapped[datetime]
    outcome: Mapped[str | None]
    score: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(server_default="open")
    source_partition: Mapped[int] = mapped_column(Integer)
    source_offset: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class AlertTransactionRow(Base):
    """A transaction that belongs to an incident; either may be stored first."""

    __tablename__ = "alert_transactions"

    alert_id: Mapped[str] = mapped_column(ForeignKey("fraud_alerts.alert_id", ondelete="CASCADE"), primary_key=True)
    transaction_id: Mapped[str] = mapped_column(primary_key=True)


class DecisionRow(Base):
    """Who or what decided on which version of an alert, why, when, and on what facts."""

    __tablename__ = "decisions"

    alert_id: Mapped[str] = mapped_column(ForeignKey("fraud_alerts.alert_id", ondelete="CASCADE"), primary_key=True)
    tx_count: Mapped[int] = mapped_column(primary_key=True)
    decided_by: Mapped[str] = mapped_column(primary_key=True)
    action_no: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("0"))
    transaction_id: Mapped[str | None]
    outcome: Mapped[str | None]
    score: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str | None]
    verdicts: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    decided_at: Mapped[datetime | None]


class BlacklistRow(Base):
    """A value that must not pay: an account, merchant, device, address or country."""

    __tablename__ = "blacklist"

    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class AllowlistRow(Base):
    """A value that the desk vouches for."""

    __tablename__ = "allowlist"

    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class RuleModeRow(Base):
    """How a Python rule takes part: active, shadow or off."""

    __tablename__ = "rule_modes"

    rule: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str]
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class DeadLetterRow(Base):
    """A record that could not be used, whole, with its reason."""

    __tablename__ = "dead_letters"

    source_topic: Mapped[str] = mapped_column(primary_key=True)
    source_partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    source_offset: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str]
    raw_key: Mapped[bytes | None]
    raw_value: Mapped[bytes | None]
    failed_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    published: Mapped[bool] = mapped_column(server_default=text("false"))


class ConsumerOffsetRow(Base):
    """The first offset of a partition whose effect is not in this database yet."""

    __tablename__ = "consumer_offsets"

    group_id: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    partition_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    next_offset: Mapped[int]
    records_read: Mapped[int] = mapped_column(server_default=text("0"))
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class RetentionCutRow(Base):
    """What one run of `streamguard retention` has cut of one kind."""

    __tablename__ = "retention_cuts"

    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(primary_key=True)
    older_than: Mapped[datetime]
    cut_by: Mapped[str]
    row_count: Mapped[int]
