-- Confirmed fraud feeds back: chargebacks, days late. Where a card was used against its owner's habits, the chargeback says
-- nothing of the merchant; the others say that cards are copied there. Reads the sources of queries.sql and amount-rules.sql.

-- The limits, once, in milliseconds: how long a merchant stays compromised from its first fraud (28 days), how long after
-- one fraud alone (10), how long a fraud is remembered (35), how long before it an unusual amount explains it (14).
DEFINE compromised_ms = '2419200000';
DEFINE single_ms = '864000000';
DEFINE run_ms = '3024000000';
DEFINE explained_ms = '1209600000';

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

CREATE STREAM fraud_labels (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  merchant_id VARCHAR,
  amount DECIMAL(19, 4),
  is_fraud BOOLEAN,
  reason VARCHAR,
  event_time BIGINT,
  reported_at BIGINT
) WITH (KAFKA_TOPIC='fraud_labels', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='reported_at');

CREATE STREAM unexplained_fraud WITH (KAFKA_TOPIC='unexplained_fraud', VALUE_FORMAT='JSON') AS
SELECT l.merchant_id AS merchant_id, l.transaction_id AS transaction_id, l.event_time AS event_time
FROM fraud_labels l
LEFT JOIN account_unusual u ON l.account_id = u.account
WHERE l.is_fraud AND l.merchant_id IS NOT NULL AND l.event_time IS NOT NULL
  AND (u.times IS NULL OR ARRAY_LENGTH(FILTER(u.times, x => x >= l.event_time - ${explained_ms})) = 0)
PARTITION BY l.merchant_id
EMIT CHANGES;

CREATE TABLE merchant_fraud WITH (KAFKA_TOPIC='merchant_fraud', VALUE_FORMAT='JSON') AS
SELECT merchant_id, LATEST_BY_OFFSET(event_time, 40) AS times
FROM unexplained_fraud
GROUP BY merchant_id
EMIT CHANGES;

-- Rule: a payment where cards are copied. `tx_count` counts the frauds, the window is from the first of them.
INSERT INTO fraud_alerts WITH (QUERY_ID='compromised_merchant')
SELECT t.account_id AS account_id,
       CONCAT('COMPROMISED_MERCHANT:', t.transaction_id) AS alert_id,
       'COMPROMISED_MERCHANT' AS rule,
       t.transaction_id AS transaction_id,
       t.amount AS amount,
       CAST(ARRAY_LENGTH(FILTER(m.times, x => x > t.event_time - ${run_ms})) AS BIGINT) AS tx_count,
       ARRAY_MIN(FILTER(m.times, x => x > t.event_time - ${run_ms})) AS window_start,
       t.event_time AS window_end,
       t.event_time AS detected_at
FROM transactions t
-- What has no merchant meets none, and is not left out for want of a key.
JOIN merchant_fraud m ON COALESCE(t.merchant_id, '') = m.merchant_id
WHERE ARRAY_LENGTH(FILTER(m.times, x => x > t.event_time - ${run_ms})) > 0
  AND ARRAY_MIN(FILTER(m.times, x => x > t.event_time - ${run_ms})) > t.event_time - ${compromised_ms}
  AND (ARRAY_LENGTH(FILTER(m.times, x => x > t.event_time - ${run_ms})) > 1 OR ARRAY_MIN(FILTER(m.times, x => x > t.event_time - ${run_ms})) > t.event_time - ${single_ms})
  AND LEN(t.account_id) BETWEEN 1 AND 255 AND LEN(t.transaction_id) BETWEEN 1 AND 255
  AND t.amount > 0 AND t.amount < 1000000000000
  AND t.amount = CASE WHEN INSTR('${no_places}', UCASE(t.currency)) > 0 THEN ROUND(t.amount, 0)
                    WHEN INSTR('${three_places}', UCASE(t.currency)) > 0 THEN ROUND(t.amount, 3) ELSE ROUND(t.amount, 2) END
  AND t.event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(t.currency)) = 3 AND INSTR('${currencies}', UCASE(t.currency)) % 4 = 1
  AND (t.country IS NULL OR (LEN(t.country) = 2 AND INSTR('${countries}', t.country) % 3 = 1))
  AND (t.latitude IS NULL OR t.latitude BETWEEN -90 AND 90) AND (t.longitude IS NULL OR t.longitude BETWEEN -180 AND 180)
PARTITION BY t.account_id
EMIT CHANGES;
