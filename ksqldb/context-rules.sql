-- Rules on the circumstances of a payment: the hour where it was made, and the device it was made with. Neither is
-- suspicious by itself; each becomes an alert with an amount. Reads the sources of queries.sql.

-- The limits, once. Hours by the sun (15 degrees of longitude are an hour), amounts in the currency of the transaction.
DEFINE night_from_hour = '0';
DEFINE night_until_hour = '5';
DEFINE night_amount = '1000';
DEFINE new_device_after = '5';
DEFINE new_device_amount = '500';

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

-- Rule: much money while people sleep where it is spent. Without a longitude nothing is said: UTC's night is another
-- place's noon. A night across midnight (22 to 5) needs OR in the place of AND.
INSERT INTO fraud_alerts WITH (QUERY_ID='night_amount')
SELECT account_id,
       CONCAT('NIGHT_AMOUNT:', transaction_id) AS alert_id,
       'NIGHT_AMOUNT' AS rule,
       transaction_id,
       amount,
       CAST(1 AS BIGINT) AS tx_count,
       event_time AS window_start,
       event_time AS window_end,
       event_time AS detected_at
FROM transactions
WHERE amount > ${night_amount}
  AND longitude IS NOT NULL
  AND ((event_time + ROUND(longitude / 15) * 3600000) % 86400000) / 3600000 >= ${night_from_hour}
  AND ((event_time + ROUND(longitude / 15) * 3600000) % 86400000) / 3600000 < ${night_until_hour}
  AND LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
EMIT CHANGES;

-- The devices of an account's last payments, the newest at the end: where the newest is of so much money that a new device
-- would matter. Payments without a device say nothing about devices.
CREATE TABLE account_devices WITH (KAFKA_TOPIC='account_devices', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(device_id, 50) AS devices,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount,
       LATEST_BY_OFFSET(event_time) AS event_time,
       COUNT(*) AS tx_count
FROM transactions
WHERE device_id IS NOT NULL
  AND LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
GROUP BY account_id
HAVING COUNT(*) > ${new_device_after} AND LATEST_BY_OFFSET(amount) > ${new_device_amount}
EMIT CHANGES;

CREATE STREAM account_devices_changes (
  account VARCHAR,
  devices ARRAY<VARCHAR>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  event_time BIGINT,
  tx_count BIGINT
) WITH (KAFKA_TOPIC='account_devices', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: much money from a device that none of the account's last 49 payments came from, once there are enough of them.
INSERT INTO fraud_alerts WITH (QUERY_ID='new_device')
SELECT account AS account_id,
       CONCAT('NEW_DEVICE:', transaction_id) AS alert_id,
       'NEW_DEVICE' AS rule,
       transaction_id,
       amount,
       CAST(1 AS BIGINT) AS tx_count,
       event_time AS window_start,
       event_time AS window_end,
       event_time AS detected_at
FROM account_devices_changes
WHERE tx_count > ${new_device_after}
  AND amount > ${new_device_amount}
  AND ARRAY_LENGTH(FILTER(devices, d => d = devices[-1])) = 1
PARTITION BY account
EMIT CHANGES;
