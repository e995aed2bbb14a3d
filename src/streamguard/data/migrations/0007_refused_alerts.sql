-- An alert whose transaction became a dead letter waited for it for ever. Its version is settled as refused, with the place
-- of the dead letter; so a dead letter has the id and the account of its transaction where they can be read, as the SQL
-- rules read them. And a dead letter that is sent again has with whom, when, and as which record.

ALTER TABLE dead_letters
    ADD COLUMN transaction_id    TEXT,
    ADD COLUMN account_id        TEXT,
    ADD COLUMN retry_id          UUID,
    ADD COLUMN retried_at        TIMESTAMPTZ,
    ADD COLUMN retried_by        TEXT,
    ADD COLUMN retried_partition INTEGER,
    ADD COLUMN retried_offset    BIGINT;
COMMENT ON COLUMN dead_letters.transaction_id IS 'the id in the record of a transaction, as the SQL rules read it; null where they read none';
COMMENT ON COLUMN dead_letters.account_id IS 'the account in the key of the record of a transaction';
COMMENT ON COLUMN dead_letters.retry_id IS 'the id of the record in the outbox by which it was sent again';
COMMENT ON COLUMN dead_letters.retried_offset IS 'with retried_partition the record that it was sent again as; null until that is sent';

CREATE FUNCTION pg_temp.text_of(bytes BYTEA) RETURNS TEXT LANGUAGE plpgsql AS $$
BEGIN
    RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE FUNCTION pg_temp.transaction_id_of(bytes BYTEA) RETURNS TEXT LANGUAGE plpgsql AS $$
DECLARE
    found TEXT;
BEGIN
    SELECT f.value INTO found
    FROM json_each_text(convert_from(bytes, 'UTF8')::JSON) WITH ORDINALITY AS f (name, value, place)
    WHERE lower(f.name) = 'transaction_id'
    ORDER BY f.name = 'TRANSACTION_ID' DESC, f.place LIMIT 1;
    RETURN CASE WHEN octet_length(found) <= 2000 THEN found END;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

UPDATE dead_letters
SET transaction_id = pg_temp.transaction_id_of(raw_value), account_id = left(pg_temp.text_of(raw_key), 500)
WHERE source_topic <> 'fraud_alerts';
DROP FUNCTION pg_temp.transaction_id_of(BYTEA);
DROP FUNCTION pg_temp.text_of(BYTEA);

CREATE INDEX dead_letters_transaction
    ON dead_letters (transaction_id, source_topic, source_offset, source_partition) WHERE transaction_id IS NOT NULL;
CREATE INDEX dead_letters_retrying ON dead_letters (retry_id) WHERE retry_id IS NOT NULL AND retried_offset IS NULL;

ALTER TABLE alert_versions
    ADD COLUMN refused_topic     TEXT,
    ADD COLUMN refused_partition INTEGER,
    ADD COLUMN refused_offset    BIGINT,
    ADD CONSTRAINT alert_versions_refused
        CHECK (num_nulls(refused_topic, refused_partition, refused_offset) IN (0, 3));
COMMENT ON COLUMN alert_versions.judged IS 'false while the transaction that raised this version is neither stored nor a dead letter';
COMMENT ON COLUMN alert_versions.refused_topic IS 'with partition and offset the dead letter that the transaction became; null where it is stored or waited for';

-- A version that is refused is judged after all when its transaction is stored later.
DROP INDEX alert_versions_waiting;
CREATE INDEX alert_versions_waiting ON alert_versions (transaction_id) WHERE NOT judged OR refused_topic IS NOT NULL;

ALTER TABLE fraud_alerts
    DROP CONSTRAINT fraud_alerts_outcome_check,
    ADD CONSTRAINT fraud_alerts_outcome_check CHECK (outcome IN ('dismiss', 'review', 'block', 'refused'));
COMMENT ON COLUMN fraud_alerts.outcome IS 'what the rules decided on the newest version, or refused where its transaction is a dead letter; null until its transaction is stored';

ALTER TABLE decisions
    DROP CONSTRAINT decisions_outcome_check,
    ADD CONSTRAINT decisions_outcome_check
        CHECK (outcome IN ('dismiss', 'review', 'block', 'refused', 'confirmed', 'dismissed', 'reopened'));
COMMENT ON COLUMN decisions.decided_by IS 'rules, consumer (a version whose transaction it refused), or analyst:NAME';
COMMENT ON COLUMN decisions.outcome IS 'dismiss, review or block by the rules; refused by the consumer; confirmed, dismissed or reopened by an analyst';
