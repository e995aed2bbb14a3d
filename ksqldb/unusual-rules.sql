-- Rules on amounts that are unusual for the account itself, once and again. They read what account-rules.sql keeps of it.

-- The limits, once: how many times the average of the account's earlier payments, and how many of their standard
-- deviations above it; after how many payments an average is known; how long a payment is remembered, in milliseconds.
DEFINE unusual_times = '3';
DEFINE unusual_deviations = '2.5';
DEFINE unusual_after = '5';
DEFINE account_amount = '220';
DEFINE account_deviations = '2';
DEFINE repeat_ms = '172800000';
DEFINE repeat_times = '1.75';
DEFINE spree_count = '3';

-- Rule: an amount that the account does not usually pay. `tx_count` counts the unusual ones lately, with this one.
INSERT INTO fraud_alerts WITH (QUERY_ID='unusual_amount')
SELECT account AS account_id,
       CONCAT('UNUSUAL_AMOUNT:', transaction_id) AS alert_id,
       'UNUSUAL_AMOUNT' AS rule,
       transaction_id,
       amount,
       CAST(1 + ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] > times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_recent_changes
WHERE tx_count > ${unusual_after} AND amount * (tx_count - 1) > ${unusual_times} * (total_amount - amount)
  AND CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${unusual_deviations} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE)))
PARTITION BY account
EMIT CHANGES;

-- Rule: an amount above a limit that the account does not usually reach, or of an account that little is known of.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_for_account')
SELECT account AS account_id,
       CONCAT('HIGH_FOR_ACCOUNT:', transaction_id) AS alert_id,
       'HIGH_FOR_ACCOUNT' AS rule,
       transaction_id,
       amount,
       CAST(CASE WHEN tx_count > 1 THEN 1 + ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] > times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) ELSE 1 END AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_recent_changes
WHERE amount > ${account_amount}
  AND (tx_count <= ${unusual_after} OR CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${account_deviations} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE))))
PARTITION BY account
EMIT CHANGES;

-- Rule: above the usual again, soon after an unusual amount.
INSERT INTO fraud_alerts WITH (QUERY_ID='repeated_unusual')
SELECT account AS account_id,
       CONCAT('REPEATED_UNUSUAL:', transaction_id) AS alert_id,
       'REPEATED_UNUSUAL' AS rule,
       transaction_id,
       amount,
       CAST(1 + ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] > times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_recent_changes
WHERE tx_count > ${unusual_after} AND amount * (tx_count - 1) > ${repeat_times} * (total_amount - amount)
  AND ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] > times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) >= 1
PARTITION BY account
EMIT CHANGES;

-- Rule: whatever is paid after several unusual amounts within the time.
INSERT INTO fraud_alerts WITH (QUERY_ID='unusual_spree')
SELECT account AS account_id,
       CONCAT('UNUSUAL_SPREE:', transaction_id) AS alert_id,
       'UNUSUAL_SPREE' AS rule,
       transaction_id,
       amount,
       CAST(ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] > times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_recent_changes
WHERE tx_count > ${unusual_after} AND ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] > times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) > ${spree_count}
PARTITION BY account
EMIT CHANGES;

-- When an account paid unusual amounts: what a chargeback of it is compared with (chargebacks.sql).
CREATE TABLE account_unusual WITH (KAFKA_TOPIC='account_unusual', VALUE_FORMAT='JSON') AS
SELECT account, LATEST_BY_OFFSET(times[-1], 10) AS times
FROM account_recent_changes
WHERE (tx_count > ${unusual_after} AND amount * (tx_count - 1) > ${unusual_times} * (total_amount - amount)
  AND CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${unusual_deviations} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE)))) OR (amount > ${account_amount}
  AND (tx_count <= ${unusual_after} OR CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${account_deviations} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE)))))
GROUP BY account
EMIT CHANGES;
