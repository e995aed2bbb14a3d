"""SQLAlchemy's map of the schema. `docker/init-db.sql` is the truth; a test reads both back and compares them.

The columns of `transactions` are those of the model `Transaction`, and a few more: a field that is added to the model is a
column here without a further line. All statements are made from these lists; no row is read by position.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar
from uuid import UUID

from pydantic.fields import FieldInfo
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streamguard.models import Transaction
from streamguard.models.fields import INSTANT, parts

_NOW = text("clock_timestamp()")
_INSTANT = TIMESTAMP(timezone=True)
_MONEY = Numeric(19, 4)
_SUM = Numeric(38, 4)
_COMMISSION = Numeric(38, 10)


class Base(DeclarativeBase):
    """The common base; instants are timestamps with time zone, money is NUMERIC(19, 4)."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        int: BigInteger(),
        float: Double(),
        bytes: LargeBinary(),
        Decimal: _MONEY,
        datetime: _INSTANT,
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
    }


def _column(name: str, field: FieldInfo) -> Column[Any]:
    """The column of a field of `Transaction`: its type by the annotation, an instant where it is marked as one."""
    found = parts(field.annotation) | {marker for marker in field.metadata if isinstance(marker, str)}
    [kind] = [kind for kind in (str, int, float, Decimal) if kind in found]
    column_type = _INSTANT if INSTANT in found else Base.type_annotation_map[kind]
    return Column(name, column_type, primary_key=name == "transaction_id", nullable=not field.is_required())


TRANSACTION_COLUMNS = tuple(_column(name, field) for name, field in Transaction.model_fields.items())
"""The columns that hold the fields of `Transaction`, under their names and in their order."""

TRANSACTIONS = Table(
    "transactions",
    Base.metadata,
    *TRANSACTION_COLUMNS,
    Column("is_fraud", Boolean, nullable=False, server_default=text("false")),
    Column("source_partition", Integer, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("stored_at", _INSTANT, nullable=False, server_default=_NOW),
    Column("raw_is_row", Boolean, nullable=False, server_default=text("false")),
)
"""A transaction, stored once, with the partition and offset of its record."""


class TransactionRecordRow(Base):
    """A transaction's record as it was read, until it is cut by age. Each month is a table of its own."""

    __tablename__ = "transaction_records"

    transaction_id: Mapped[str] = mapped_column()
    event_time: Mapped[datetime] = mapped_column()
    raw: Mapped[dict[str, Any]]

    # No constraint of the database: the store writes a record with its row only.
    __mapper_args__ = MappingProxyType({"primary_key": (event_time, transaction_id)})


class FraudAlertRow(Base):
    """An alert: its newest version, what the rules decided on it, and what an analyst made of it."""

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
    duplicate_of: Mapped[str | None]


class AlertTransactionRow(Base):
    """A transaction that belongs to an alert; either may be stored first."""

    __tablename__ = "alert_transactions"

    alert_id: Mapped[str] = mapped_column(ForeignKey("fraud_alerts.alert_id", ondelete="CASCADE"), primary_key=True)
    transaction_id: Mapped[str] = mapped_column(primary_key=True)


class AlertVersionRow(Base):
    """What a SQL rule reported of an alert at one count of transactions; it waits until its transaction is stored or refused."""

    __tablename__ = "alert_versions"

    alert_id: Mapped[str] = mapped_column(ForeignKey("fraud_alerts.alert_id", ondelete="CASCADE"), primary_key=True)
    tx_count: Mapped[int] = mapped_column(primary_key=True)
    transaction_id: Mapped[str | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    judged: Mapped[bool] = mapped_column(server_default=text("false"))
    refused_topic: Mapped[str | None]
    refused_partition: Mapped[int | None] = mapped_column(Integer)
    refused_offset: Mapped[int | None]
    source_partition: Mapped[int | None] = mapped_column(Integer)
    source_offset: Mapped[int | None]
    stored_at: Mapped[datetime | None] = mapped_column(server_default=_NOW)


class DecisionRow(Base):
    """Who or what decided on which version of an alert, why and when."""

    __tablename__ = "decisions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["alert_id", "tx_count"], ["alert_versions.alert_id", "alert_versions.tx_count"], ondelete="CASCADE"
        ),
    )

    alert_id: Mapped[str] = mapped_column(primary_key=True)
    tx_count: Mapped[int] = mapped_column(primary_key=True)
    decided_by: Mapped[str] = mapped_column(primary_key=True)
    action_no: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("0"))
    transaction_id: Mapped[str | None]
    outcome: Mapped[str]
    score: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str | None]
    verdicts: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    decided_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    status_before: Mapped[str | None]
    rule_set_no: Mapped[int | None] = mapped_column(Integer)
    list_change_no: Mapped[int | None]


class RuleSetRow(Base):
    """A distinct state of program, rules, modes, limits and deployed SQL that decisions were made with."""

    __tablename__ = "rule_sets"

    rule_set_no: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    hash: Mapped[bytes]
    content: Mapped[dict[str, Any]]
    first_used: Mapped[datetime] = mapped_column(server_default=_NOW)


class DeployedRuleRow(Base):
    """The statements of a SQL rule, where a deployment found others than before."""

    __tablename__ = "deployed_rules"

    deployment_no: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    rule: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    sql_hash: Mapped[str]
    sql_text: Mapped[str]
    deployed_by: Mapped[str]
    deployed_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class ListRow(Base):
    """A value on the blacklist or the allowlist: an account, merchant, device, address or country."""

    __tablename__ = "lists"

    list: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class ListHistoryRow(Base):
    """One change of a list: who, when and why."""

    __tablename__ = "list_history"

    change_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    list: Mapped[str]
    kind: Mapped[str]
    value: Mapped[str]
    change: Mapped[str]
    reason: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class RuleModeRow(Base):
    """How a rule takes part: active, shadow or off. A rule without a row is active."""

    __tablename__ = "rule_modes"

    rule: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str]
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class RuleModeHistoryRow(Base):
    """One change of the mode of a rule: who, when, why, before and after."""

    __tablename__ = "rule_mode_history"

    change_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    rule: Mapped[str]
    mode_before: Mapped[str]
    mode_after: Mapped[str]
    reason: Mapped[str]
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class RuleReplacementRow(Base):
    """A SQL rule that a deployment replaced or started, with the transactions from which on the new one decides."""

    __tablename__ = "rule_replacements"

    replacement_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    rule: Mapped[str]
    start: Mapped[str]
    sql_before: Mapped[str | None]
    sql_after: Mapped[str]
    reason: Mapped[str]
    replaced_by: Mapped[str]
    replaced_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    first_offsets: Mapped[dict[str, Any]]
    alert_offsets: Mapped[dict[str, Any] | None]
    finished_at: Mapped[datetime | None]
    applies: Mapped[bool] = mapped_column(server_default=text("true"))
    left_out: Mapped[int] = mapped_column(server_default=text("0"))
    superseded: Mapped[int] = mapped_column(server_default=text("0"))


class HeldAlertRow(Base):
    """An alert around the replacement of its rule, until it is known which of the two rules decides on its transaction."""

    __tablename__ = "held_alerts"

    source_partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    source_offset: Mapped[int] = mapped_column(primary_key=True)
    rule: Mapped[str]
    alert: Mapped[dict[str, Any]]
    held_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class AlertToCheckRow(Base):
    """An alert stored beside other consumers that is looked at once more."""

    __tablename__ = "alerts_to_check"

    alert_id: Mapped[str] = mapped_column(ForeignKey("fraud_alerts.alert_id", ondelete="CASCADE"), primary_key=True)
    running_before: Mapped[int | None]


class ShadowDeploymentRow(Base):
    """SQL files that run beside the live ones, with who deployed them and what became of them."""

    __tablename__ = "shadow_deployments"

    deployment_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    state: Mapped[str]
    files: Mapped[list[Any]]
    definitions: Mapped[dict[str, Any]]
    reason: Mapped[str]
    made_by: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    change_reason: Mapped[str | None]
    changed_by: Mapped[str | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class BacktestRow(Base):
    """A back-test: its inputs, from which it can be repeated, and its result, both JSON."""

    __tablename__ = "backtests"

    backtest_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    command: Mapped[str]
    inputs: Mapped[str]
    result: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class DeadLetterRow(Base):
    """A record that could not be used, whole, with its reason; and as which record it was sent again, if it was."""

    __tablename__ = "dead_letters"

    source_topic: Mapped[str] = mapped_column(primary_key=True)
    source_partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    source_offset: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str]
    raw_key: Mapped[bytes | None]
    raw_value: Mapped[bytes | None]
    failed_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    transaction_id: Mapped[str | None]
    account_id: Mapped[str | None]
    retry_id: Mapped[UUID | None]
    retried_at: Mapped[datetime | None]
    retried_by: Mapped[str | None]
    retried_partition: Mapped[int | None] = mapped_column(Integer)
    retried_offset: Mapped[int | None]


class OutboxRow(Base):
    """A record on its way to a topic (see `streamguard.database.outbox`)."""

    __tablename__ = "outbox"

    record_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    id: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    topic: Mapped[str]
    key: Mapped[bytes | None]
    value: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class OutboxPositionRow(Base):
    """The offset of a topic behind which records of the outbox may be that are not marked as sent."""

    __tablename__ = "outbox_positions"

    topic: Mapped[str] = mapped_column(primary_key=True)
    partition_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    next_offset: Mapped[int]


class ConsumerOffsetRow(Base):
    """The first offset of a partition whose effect is not in this database yet."""

    __tablename__ = "consumer_offsets"

    group_id: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    partition_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    next_offset: Mapped[int]
    records_read: Mapped[int] = mapped_column(server_default=text("0"))
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    newest_event_ms: Mapped[int | None]


class QualityMinuteRow(Base):
    """What the consumer read of a topic in a minute: see `streamguard.quality.minutes`."""

    __tablename__ = "quality_minutes"

    minute: Mapped[datetime] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    lane: Mapped[int] = mapped_column(Integer, primary_key=True)
    records: Mapped[int]
    dead_letters: Mapped[int]
    duplicates: Mapped[int]
    late: Mapped[int]
    ages: Mapped[dict[str, Any]]
    age_sum_s: Mapped[float]
    age_max_s: Mapped[float]
    filled: Mapped[dict[str, Any]]


class LiveFigureRow(Base):
    """What was counted in a window: see `streamguard.figures`."""

    __tablename__ = "live_figures"

    figure: Mapped[str] = mapped_column(primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    window_end: Mapped[datetime]
    name: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str | None]
    transactions: Mapped[int]
    amount: Mapped[Decimal] = mapped_column(_SUM)
    earning: Mapped[Decimal] = mapped_column(_SUM)
    commission_flat: Mapped[Decimal] = mapped_column(_COMMISSION)
    commission_progressive: Mapped[Decimal] = mapped_column(_COMMISSION)
    commission_tiered: Mapped[Decimal] = mapped_column(_COMMISSION)
    commission_by_category: Mapped[Decimal] = mapped_column(_COMMISSION)


class FigureOffsetRow(Base):
    """How far a topic of live figures was read in a partition."""

    __tablename__ = "figure_offsets"

    topic: Mapped[str] = mapped_column(primary_key=True)
    partition_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    next_offset: Mapped[int]
    topic_id: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class AnalyticsRunRow(Base):
    """A run of a batch job."""

    __tablename__ = "analytics_runs"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    job: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    source: Mapped[str]
    since: Mapped[datetime | None]
    until: Mapped[datetime | None]
    rows: Mapped[int | None]
    status: Mapped[str]
    error: Mapped[str | None]


class AnalyticsResultRow(Base):
    """A row that a run of a batch job found."""

    __tablename__ = "analytics_results"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("analytics_runs.run_id"), primary_key=True)
    job: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    data: Mapped[dict[str, Any]]


class ScheduleRunRow(Base):
    """A run of a scheduled job: see `streamguard.schedules.history`."""

    __tablename__ = "schedule_runs"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    job: Mapped[str]
    command: Mapped[str]
    due_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer)
    status: Mapped[str]
    exit_code: Mapped[int | None] = mapped_column(Integer)
    output: Mapped[str | None]


class UserRow(Base):
    """Somebody who logs in to the desk."""

    __tablename__ = "users"

    user_name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    password_hash: Mapped[str]
    must_change: Mapped[bool] = mapped_column(server_default=text("false"))
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    password_set_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    disabled_at: Mapped[datetime | None]


class DeskSessionRow(Base):
    """A login at the desk, under the SHA-256 of its token."""

    __tablename__ = "desk_sessions"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_name: Mapped[str] = mapped_column(ForeignKey("users.user_name"))
    csrf_token: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    used_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class AuditRow(Base):
    """What somebody did at the desk."""

    __tablename__ = "audit_log"

    entry_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    done_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    done_by: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    reason: Mapped[str | None]
    value_before: Mapped[dict[str, Any] | None]
    value_after: Mapped[dict[str, Any] | None]
    chain_no: Mapped[int | None]
    previous_hash: Mapped[bytes | None]
    row_hash: Mapped[bytes | None]


class AuditHeadRow(Base):
    """The last row of the audit log's chain; a single row."""

    __tablename__ = "audit_head"

    only_row: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    chain_no: Mapped[int]
    row_hash: Mapped[bytes]


class AlertHandlingRow(Base):
    """Who works on an alert, until when it is put aside, and whether a lead is asked."""

    __tablename__ = "alert_handling"

    alert_id: Mapped[str] = mapped_column(ForeignKey("fraud_alerts.alert_id"), primary_key=True)
    assignee: Mapped[str | None] = mapped_column(ForeignKey("users.user_name"))
    snoozed_until: Mapped[datetime | None]
    escalated_by: Mapped[str | None]
    escalated_at: Mapped[datetime | None]


class AlertNoteRow(Base):
    """What an analyst wrote on an alert."""

    __tablename__ = "alert_notes"

    note_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    alert_id: Mapped[str] = mapped_column(ForeignKey("fraud_alerts.alert_id"))
    written_by: Mapped[str]
    written_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    note: Mapped[str]


class SavedViewRow(Base):
    """Filters of the queue under a name."""

    __tablename__ = "saved_views"

    user_name: Mapped[str] = mapped_column(ForeignKey("users.user_name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    filters: Mapped[str]


class ApiTokenRow(Base):
    """A token of the API, under its SHA-256."""

    __tablename__ = "api_tokens"

    token_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    token_hash: Mapped[bytes]
    user_name: Mapped[str] = mapped_column(ForeignKey("users.user_name"))
    name: Mapped[str]
    scope: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ApiAnswerRow(Base):
    """What a request with an idempotency key was answered."""

    __tablename__ = "api_answers"

    token_no: Mapped[int] = mapped_column(ForeignKey("api_tokens.token_no"), primary_key=True)
    idempotency: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[str]
    answered_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class WebhookRow(Base):
    """An address that decisions are posted to."""

    __tablename__ = "webhooks"

    hook_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    url: Mapped[str]
    description: Mapped[str] = mapped_column(server_default=text("''"))
    outcomes: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    rules: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    secret: Mapped[str]
    secret_before: Mapped[str | None]
    rotated_at: Mapped[datetime | None]
    is_on: Mapped[bool] = mapped_column(server_default=text("true"))
    off_reason: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failing_since: Mapped[datetime | None]
    held_until: Mapped[datetime | None]
    last_error: Mapped[str | None]


class WebhookDeliveryRow(Base):
    """A decision on its way to a webhook."""

    __tablename__ = "webhook_deliveries"

    delivery_no: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    hook_no: Mapped[int] = mapped_column(ForeignKey("webhooks.hook_no"))
    message_id: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    topic: Mapped[str | None]
    partition_no: Mapped[int | None] = mapped_column(Integer)
    record_offset: Mapped[int | None]
    payload: Mapped[bytes]
    status: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    next_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    first_at: Mapped[datetime | None]
    last_at: Mapped[datetime | None]
    last_ms: Mapped[int | None] = mapped_column(Integer)
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None]


class WebhookOffsetRow(Base):
    """How far decisions were read for webhooks in a partition."""

    __tablename__ = "webhook_offsets"

    topic: Mapped[str] = mapped_column(primary_key=True)
    partition_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    next_offset: Mapped[int]
    left_out: Mapped[int] = mapped_column(server_default=text("0"))
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class PersonalDataRow(Base):
    """How each kind of personal data is stored, and the fingerprint of the key; a single row."""

    __tablename__ = "personal_data"

    only_row: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    account: Mapped[str]
    card: Mapped[str]
    ip: Mapped[str]
    device: Mapped[str]
    fields: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    key_fingerprint: Mapped[str | None]
    set_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class RetentionCutRow(Base):
    """What one run of `streamguard retention` has cut of one kind."""

    __tablename__ = "retention_cuts"

    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(primary_key=True)
    older_than: Mapped[datetime]
    cut_by: Mapped[str]
    row_count: Mapped[int]


class SchemaVersionRow(Base):
    """A migration that this database has."""

    __tablename__ = "schema_version"

    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str]
    applied_at: Mapped[datetime] = mapped_column(server_default=_NOW)
