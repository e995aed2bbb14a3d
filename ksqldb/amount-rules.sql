-- Rules on amounts that are unusual for the account itself, once and again. Reads the sources of queries.sql.

-- The limits, once: how many times the average of the account's earlier payments, how many of their standard deviations
-- above it, and after how many payments these are known; an amount, and the currencies in which it says something; how
-- long an unusual payment is remembered, in milliseconds.
DEFINE known_after = '5';
DEFINE anomaly_times = '10';
DEFINE unusual_times = '3';
DEFINE spread = '2';
DEFINE account_amount = '220';
DEFINE account_currencies = 'EUR USD GBP';
DEFINE repeat_times = '2';
DEFINE repeat_ms = '259200000';

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

-- What an account has paid, by the order of the topic, the newest at the end: where the newest is raised at all, for most
-- payments are not.
CREATE TABLE account_amounts WITH (KAFKA_TOPIC='account_amounts', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(event_time, 11) AS times,
       LATEST_BY_OFFSET(amount, 11) AS amounts,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount,
       LATEST_BY_OFFSET(currency) AS currency,
       COUNT(*) AS tx_count,
       SUM(CAST(amount AS DECIMAL(38, 4))) AS total_amount,
       SUM(CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE)) AS total_square
FROM transactions
WHERE LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
GROUP BY account_id
HAVING (LATEST_BY_OFFSET(amount) > ${account_amount} AND INSTR('${account_currencies}', UCASE(LATEST_BY_OFFSET(currency))) > 0)
    OR (COUNT(*) > ${known_after}
        AND LATEST_BY_OFFSET(amount) * (COUNT(*) - 1) > ${repeat_times} * (SUM(CAST(amount AS DECIMAL(38, 4))) - LATEST_BY_OFFSET(amount)))
EMIT CHANGES;

CREATE STREAM account_amounts_changes (
  account VARCHAR,
  times ARRAY<BIGINT>,
  amounts ARRAY<DECIMAL(19, 4)>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  currency VARCHAR,
  tx_count BIGINT,
  total_amount DECIMAL(38, 4),
  total_square DOUBLE
) WITH (KAFKA_TOPIC='account_amounts', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: a payment many times the account's own average before it, once there are enough of them.
INSERT INTO fraud_alerts WITH (QUERY_ID='amount_anomaly')
SELECT account AS account_id,
       CONCAT('AMOUNT_ANOMALY:', transaction_id) AS alert_id,
       'AMOUNT_ANOMALY' AS rule,
       transaction_id,
       amount,
       CAST(1 AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_amounts_changes
WHERE tx_count > ${known_after} AND amount * (tx_count - 1) > ${anomaly_times} * (total_amount - amount)
PARTITION BY account
EMIT CHANGES;

-- Rule: several times the average, and beyond the spread. `tx_count` counts the unusual payments lately, with this one.
INSERT INTO fraud_alerts WITH (QUERY_ID='unusual_amount')
SELECT account AS account_id,
       CONCAT('UNUSUAL_AMOUNT:', transaction_id) AS alert_id,
       'UNUSUAL_AMOUNT' AS rule,
       transaction_id,
       amount,
       CAST(CASE WHEN tx_count > 1 THEN 1 + ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] >= times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) ELSE 1 END AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_amounts_changes
WHERE tx_count > ${known_after} AND amount * (tx_count - 1) > ${unusual_times} * (total_amount - amount)
  AND CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${spread} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE)))
PARTITION BY account
EMIT CHANGES;

-- Rule: above an amount that the account does not usually reach, or of an account that little is known of.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_for_account')
SELECT account AS account_id,
       CONCAT('HIGH_FOR_ACCOUNT:', transaction_id) AS alert_id,
       'HIGH_FOR_ACCOUNT' AS rule,
       transaction_id,
       amount,
       CAST(CASE WHEN tx_count > 1 THEN 1 + ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] >= times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) ELSE 1 END AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_amounts_changes
WHERE amount > ${account_amount} AND INSTR('${account_currencies}', UCASE(currency)) > 0
  AND (tx_count <= ${known_after} OR CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${spread} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE))))
PARTITION BY account
EMIT CHANGES;

-- Rule: raised again, soon after an unusual payment.
INSERT INTO fraud_alerts WITH (QUERY_ID='repeated_unusual')
SELECT account AS account_id,
       CONCAT('REPEATED_UNUSUAL:', transaction_id) AS alert_id,
       'REPEATED_UNUSUAL' AS rule,
       transaction_id,
       amount,
       CAST(CASE WHEN tx_count > 1 THEN 1 + ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] >= times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) ELSE 1 END AS BIGINT) AS tx_count,
       times[-1] AS window_start,
       times[-1] AS window_end,
       times[-1] AS detected_at
FROM account_amounts_changes
WHERE tx_count > ${known_after} AND amount * (tx_count - 1) > ${repeat_times} * (total_amount - amount)
  AND ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] >= times[-1] - ${repeat_ms}
    AND amounts[i] * (tx_count - 1) > ${unusual_times} * (total_amount - amount))) >= 1
PARTITION BY account
EMIT CHANGES;

-- When an account paid unusual amounts: what a chargeback of it is compared with (chargebacks.sql).
CREATE TABLE account_unusual WITH (KAFKA_TOPIC='account_unusual', VALUE_FORMAT='JSON') AS
SELECT account, LATEST_BY_OFFSET(times[-1], 10) AS times
FROM account_amounts_changes
WHERE (tx_count > ${known_after} AND amount * (tx_count - 1) > ${unusual_times} * (total_amount - amount)
  AND CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${spread} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE))))
   OR (amount > ${account_amount} AND INSTR('${account_currencies}', UCASE(currency)) > 0
  AND (tx_count <= ${known_after} OR CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${spread} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE)))))
GROUP BY account
EMIT CHANGES;
