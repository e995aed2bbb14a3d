-- The sources and the two core rules of StreamGuard. `streamguard deploy` runs this file over REST, on the embedded
-- engine and on ksqlDB 0.29 alike; running it again changes nothing. Further rules stand in files beside it.

-- The limits, once. Amounts in the currency of the transaction; more than the count is a hit.
DEFINE high_amount = '3000';
DEFINE velocity_count = '3';

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

CREATE STREAM transactions (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  currency VARCHAR,
  transaction_type VARCHAR,
  channel VARCHAR,
  merchant_id VARCHAR,
  merchant_name VARCHAR,
  merchant_category VARCHAR,
  city VARCHAR,
  country VARCHAR,
  latitude DOUBLE,
  longitude DOUBLE,
  device_id VARCHAR,
  ip_address VARCHAR,
  event_time BIGINT
) WITH (KAFKA_TOPIC='transactions', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='event_time');

-- One schema for the alerts of all rules. The window is [window_start, window_end), in epoch milliseconds.
CREATE STREAM fraud_alerts (
  account_id VARCHAR KEY,
  alert_id VARCHAR,
  rule VARCHAR,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  tx_count BIGINT,
  window_start BIGINT,
  window_end BIGINT,
  detected_at BIGINT
) WITH (KAFKA_TOPIC='fraud_alerts', VALUE_FORMAT='JSON', PARTITIONS=3);

-- Rule 1: a single payment above the limit.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_amount')
SELECT account_id,
       CONCAT('HIGH_AMOUNT:', transaction_id) AS alert_id,
       'HIGH_AMOUNT' AS rule,
       transaction_id,
       amount,
       CAST(1 AS BIGINT) AS tx_count,
       event_time AS window_start,
       event_time AS window_end,
       event_time AS detected_at
FROM transactions
WHERE amount > ${high_amount}
  AND LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
EMIT CHANGES;

-- Rule 2: more payments of one account within a minute than the limit. The table counts...
CREATE TABLE account_velocity WITH (KAFKA_TOPIC='account_velocity', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       COUNT(*) AS tx_count,
       SUM(CAST(amount AS DECIMAL(38, 4))) AS total_amount,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       COLLECT_LIST(transaction_id) AS transaction_ids,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM transactions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 10 SECONDS)
WHERE LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
GROUP BY account_id
HAVING COUNT(*) > ${velocity_count}
EMIT CHANGES;

-- ...and its changes, read back as a stream (a windowed key cannot be partitioned by, hence KEY_FORMAT NONE)...
CREATE STREAM account_velocity_changes (
  account VARCHAR,
  tx_count BIGINT,
  total_amount DECIMAL(38, 4),
  transaction_id VARCHAR,
  transaction_ids ARRAY<VARCHAR>,
  window_start BIGINT,
  window_end BIGINT
) WITH (KAFKA_TOPIC='account_velocity', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- ...become alerts: one id per account and window, so that a further payment grows the incident.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_velocity')
SELECT account AS account_id,
       CONCAT('HIGH_VELOCITY:', account, ':', CAST(window_start AS VARCHAR)) AS alert_id,
       'HIGH_VELOCITY' AS rule,
       transaction_id,
       CAST(total_amount AS DECIMAL(19, 4)) AS amount,
       tx_count,
       window_start,
       window_end,
       ROWTIME AS detected_at
FROM account_velocity_changes
PARTITION BY account
EMIT CHANGES;
