"""A statement of a file against the text that ksqlDB makes of it (texts as its server 0.29.0 wrote them)."""

from __future__ import annotations

import pytest

from streamguard.sqldeploy.compare import same
from streamguard_ksql.parser import parse_statement

CREATE = (
    "CREATE STREAM transactions (account_id VARCHAR KEY, transaction_id VARCHAR, amount DOUBLE, event_time BIGINT)"
    " WITH (KAFKA_TOPIC='transactions', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='event_time');"
)
CREATED = (
    "CREATE STREAM TRANSACTIONS (ACCOUNT_ID STRING KEY, TRANSACTION_ID STRING, AMOUNT DOUBLE, EVENT_TIME BIGINT) WITH"
    " (CLEANUP_POLICY='delete', KAFKA_TOPIC='transactions', KEY_FORMAT='KAFKA', PARTITIONS=3, TIMESTAMP='event_time',"
    " VALUE_FORMAT='JSON');"
)
TABLE = (
    "CREATE TABLE account_velocity AS SELECT account_id, COUNT(*) AS tx_count, SUM(amount) AS total FROM transactions"
    " WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 10 SECONDS) GROUP BY account_id HAVING COUNT(*) > 1 EMIT CHANGES;"
)
TABLED = (
    "CREATE TABLE ACCOUNT_VELOCITY WITH (CLEANUP_POLICY='compact,delete', KAFKA_TOPIC='ACCOUNT_VELOCITY', PARTITIONS=3,"
    " REPLICAS=1, RETENTION_MS=604800000) AS SELECT\n  TRANSACTIONS.ACCOUNT_ID ACCOUNT_ID,\n  COUNT(*) TX_COUNT,\n"
    "  SUM(TRANSACTIONS.AMOUNT) TOTAL\nFROM TRANSACTIONS TRANSACTIONS\n"
    "WINDOW TUMBLING ( SIZE 1 MINUTES , GRACE PERIOD 10 SECONDS ) \nGROUP BY TRANSACTIONS.ACCOUNT_ID\n"
    "HAVING (COUNT(*) > 1)\nEMIT CHANGES;"
)
INSERT = (
    "INSERT INTO fraud_alerts WITH (QUERY_ID='high_amount') SELECT account_id, CONCAT('H:', transaction_id) AS alert_id"
    " FROM transactions WHERE amount > 3000 EMIT CHANGES;"
)
INSERTED = (
    "INSERT INTO FRAUD_ALERTS WITH (QUERY_ID='HIGH_AMOUNT') SELECT\n  TRANSACTIONS.ACCOUNT_ID ACCOUNT_ID,\n"
    "  CONCAT('H:', TRANSACTIONS.TRANSACTION_ID) ALERT_ID\nFROM TRANSACTIONS TRANSACTIONS\n"
    "WHERE (TRANSACTIONS.AMOUNT > 3000)\nEMIT CHANGES;"
)
JOIN = (
    "CREATE STREAM e AS SELECT t.account_id AS account_id, t.amount, p.tier FROM transactions t"
    " LEFT JOIN profile p ON t.account_id = p.account_id EMIT CHANGES;"
)


@pytest.mark.parametrize(("wanted", "running"), [(CREATE, CREATED), (TABLE, TABLED), (INSERT, INSERTED), (JOIN, JOIN)])
def test_the_servers_rewriting_changes_nothing(wanted: str, running: str) -> None:
    assert same(parse_statement(wanted), running)


@pytest.mark.parametrize(
    ("wanted", "running"),
    [
        (CREATE.replace("DOUBLE", "DECIMAL(15, 2)"), CREATED),
        (CREATE.replace("'JSON'", "'DELIMITED'"), CREATED),
        (CREATE.replace(", event_time BIGINT", ""), CREATED),
        (TABLE.replace("> 1", "> 2"), TABLED),
        (TABLE.replace("1 MINUTE", "2 MINUTES"), TABLED),
        (TABLE.replace("SUM(amount)", "MAX(amount)"), TABLED),
        (INSERT.replace("3000", "4000"), INSERTED),
        (INSERT.replace("'H:'", "'h:'"), INSERTED),
        (INSERT.replace("fraud_alerts", "other_alerts"), INSERTED),
        (JOIN, JOIN.replace("LEFT JOIN", "JOIN")),
        (JOIN, JOIN.replace("t.amount", "p.amount")),
        (CREATE, TABLED),
        (CREATE, "not SQL"),
    ],
)
def test_a_change_of_meaning_is_seen(wanted: str, running: str) -> None:
    assert not same(parse_statement(wanted), running)
