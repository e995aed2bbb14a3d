-- Rules that look back over an account's own payments, without the borders of windows. Reads the sources of queries.sql.

-- The limits, once. Times in milliseconds, amounts in the currency of the transaction, distances in kilometres.
DEFINE lookback_count = '3';
DEFINE lookback_ms = '60000';
DEFINE burst_count = '5';
DEFINE burst_ms = '120000';
DEFINE travel_km = '50';
DEFINE travel_ms = '300000';
DEFINE spend_amount = '10000';

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

-- What an account did last, by the order of the topic; the newest stands at the end. Only where so many of these are as late
-- as the longer of the two times allows: without that neither rule can be met, and most payments are alone in it.
CREATE TABLE account_recent WITH (KAFKA_TOPIC='account_recent', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(event_time, 20) AS times,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount
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
HAVING ARRAY_SORT(LATEST_BY_OFFSET(event_time, 20), 'DESC')[LEAST(${lookback_count}, ${burst_count}) + 1]
    > LATEST_BY_OFFSET(event_time) - GREATEST(${lookback_ms}, ${burst_ms})
EMIT CHANGES;

CREATE STREAM account_recent_changes (
  account VARCHAR,
  times ARRAY<BIGINT>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4)
) WITH (KAFKA_TOPIC='account_recent', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: more payments than the limit in the minute that ends with this one. `amount` is that of the last payment.
INSERT INTO fraud_alerts WITH (QUERY_ID='lookback_velocity')
SELECT account AS account_id,
       CONCAT('LOOKBACK_VELOCITY:', transaction_id) AS alert_id,
       'LOOKBACK_VELOCITY' AS rule,
       transaction_id,
       amount,
       CAST(ARRAY_LENGTH(FILTER(times, t => t > times[-1] - ${lookback_ms} AND t <= times[-1])) AS BIGINT) AS tx_count,
       times[-1] - ${lookback_ms} + 1 AS window_start,
       times[-1] + 1 AS window_end,
       times[-1] AS detected_at
FROM account_recent_changes
WHERE ARRAY_LENGTH(FILTER(times, t => t > times[-1] - ${lookback_ms} AND t <= times[-1])) > ${lookback_count}
PARTITION BY account
EMIT CHANGES;

-- Rule: the second limit, over two minutes.
INSERT INTO fraud_alerts WITH (QUERY_ID='lookback_burst')
SELECT account AS account_id,
       CONCAT('LOOKBACK_BURST:', transaction_id) AS alert_id,
       'LOOKBACK_BURST' AS rule,
       transaction_id,
       amount,
       CAST(ARRAY_LENGTH(FILTER(times, t => t > times[-1] - ${burst_ms} AND t <= times[-1])) AS BIGINT) AS tx_count,
       times[-1] - ${burst_ms} + 1 AS window_start,
       times[-1] + 1 AS window_end,
       times[-1] AS detected_at
FROM account_recent_changes
WHERE ARRAY_LENGTH(FILTER(times, t => t > times[-1] - ${burst_ms} AND t <= times[-1])) > ${burst_count}
PARTITION BY account
EMIT CHANGES;

-- The last two places of an account, where they were soon after each other. Payments without a place say nothing about travel.
CREATE TABLE account_places WITH (KAFKA_TOPIC='account_places', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(event_time, 2) AS times,
       LATEST_BY_OFFSET(latitude, 2) AS latitudes,
       LATEST_BY_OFFSET(longitude, 2) AS longitudes,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount
FROM transactions
WHERE latitude IS NOT NULL AND longitude IS NOT NULL
  AND LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
GROUP BY account_id
HAVING COUNT(*) > 1
   AND ABS(LATEST_BY_OFFSET(event_time, 2)[2] - LATEST_BY_OFFSET(event_time, 2)[1]) < ${travel_ms}
EMIT CHANGES;

CREATE STREAM account_places_changes (
  account VARCHAR,
  times ARRAY<BIGINT>,
  latitudes ARRAY<DOUBLE>,
  longitudes ARRAY<DOUBLE>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4)
) WITH (KAFKA_TOPIC='account_places', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: two places further apart than anybody travels in the time between.
INSERT INTO fraud_alerts WITH (QUERY_ID='impossible_travel')
SELECT account AS account_id,
       CONCAT('IMPOSSIBLE_TRAVEL:', transaction_id) AS alert_id,
       'IMPOSSIBLE_TRAVEL' AS rule,
       transaction_id,
       amount,
       CAST(2 AS BIGINT) AS tx_count,
       LEAST(times[1], times[2]) AS window_start,
       GREATEST(times[1], times[2]) + 1 AS window_end,
       times[2] AS detected_at
FROM account_places_changes
WHERE ARRAY_LENGTH(times) = 2
  AND ABS(times[2] - times[1]) < ${travel_ms}
  AND GEO_DISTANCE(latitudes[1], longitudes[1], latitudes[2], longitudes[2], 'KM') > ${travel_km}
PARTITION BY account
EMIT CHANGES;

-- Rule: much money in five minutes, whatever the number of payments.
CREATE TABLE account_spend WITH (KAFKA_TOPIC='account_spend', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       COUNT(*) AS tx_count,
       SUM(CAST(amount AS DECIMAL(38, 4))) AS total_amount,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM transactions
WINDOW TUMBLING (SIZE 5 MINUTES, GRACE PERIOD 10 SECONDS)
WHERE LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
GROUP BY account_id
HAVING SUM(CAST(amount AS DECIMAL(38, 4))) > ${spend_amount}
EMIT CHANGES;

CREATE STREAM account_spend_changes (
  account VARCHAR,
  tx_count BIGINT,
  total_amount DECIMAL(38, 4),
  transaction_id VARCHAR,
  window_start BIGINT,
  window_end BIGINT
) WITH (KAFKA_TOPIC='account_spend', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

INSERT INTO fraud_alerts WITH (QUERY_ID='window_amount')
SELECT account AS account_id,
       CONCAT('WINDOW_AMOUNT:', account, ':', CAST(window_start AS VARCHAR)) AS alert_id,
       'WINDOW_AMOUNT' AS rule,
       transaction_id,
       CAST(total_amount AS DECIMAL(19, 4)) AS amount,
       tx_count,
       window_start,
       window_end,
       ROWTIME AS detected_at
FROM account_spend_changes
PARTITION BY account
EMIT CHANGES;
