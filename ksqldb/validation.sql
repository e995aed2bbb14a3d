-- Validation as a stream: the transactions that the rules see go to transactions_clean, the others to error_logs with the
-- reason. (What is no JSON never becomes a row: the consumer keeps it in dead_letters.) Reads the topic of queries.sql.

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

-- The same topic once more, without TIMESTAMP: a record without event_time is a row here.
CREATE STREAM transactions_received (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  currency VARCHAR,
  channel VARCHAR,
  merchant_id VARCHAR,
  country VARCHAR,
  latitude DOUBLE,
  longitude DOUBLE,
  device_id VARCHAR,
  event_time BIGINT
) WITH (KAFKA_TOPIC='transactions', VALUE_FORMAT='JSON', PARTITIONS=3);

CREATE STREAM transactions_clean WITH (KAFKA_TOPIC='transactions_clean', VALUE_FORMAT='JSON') AS
SELECT account_id, transaction_id, amount, currency, channel, merchant_id, country, latitude, longitude, device_id,
       event_time
FROM transactions_received
WHERE LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
EMIT CHANGES;

CREATE STREAM error_logs WITH (KAFKA_TOPIC='error_logs', VALUE_FORMAT='JSON') AS
SELECT account_id,
       transaction_id,
       CASE
         WHEN LEN(account_id) IS NULL OR NOT (LEN(account_id) BETWEEN 1 AND 255) THEN 'account_id is missing or too long'
         WHEN LEN(transaction_id) IS NULL OR NOT (LEN(transaction_id) BETWEEN 1 AND 255) THEN 'transaction_id is missing or too long'
         WHEN amount IS NULL THEN 'amount is missing'
         WHEN NOT (amount > 0) THEN 'amount is not above 0'
         WHEN NOT (amount < 1000000000000) THEN 'amount is too large'
         WHEN currency IS NULL OR LEN(UCASE(currency)) <> 3 OR INSTR('${currencies}', UCASE(currency)) % 4 <> 1 THEN 'currency is not in ISO 4217'
         WHEN amount <> CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                             WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
           THEN 'amount has more decimal places than its currency'
         WHEN event_time IS NULL THEN 'event_time is missing'
         WHEN event_time < 100000000000 THEN 'event_time is too early, or no milliseconds'
         WHEN event_time > UNIX_TIMESTAMP() + ${max_ahead_ms} THEN 'event_time lies in the future'
         WHEN country IS NOT NULL AND (LEN(country) <> 2 OR INSTR('${countries}', country) % 3 <> 1) THEN 'country is not in ISO 3166'
         WHEN latitude < -90 OR latitude > 90 OR longitude < -180 OR longitude > 180 THEN 'no such place on earth'
         ELSE 'ok'
       END AS reason,
       amount,
       event_time,
       ROWTIME AS received_at
FROM transactions_received
WHERE CASE
         WHEN LEN(account_id) IS NULL OR NOT (LEN(account_id) BETWEEN 1 AND 255) THEN 'account_id is missing or too long'
         WHEN LEN(transaction_id) IS NULL OR NOT (LEN(transaction_id) BETWEEN 1 AND 255) THEN 'transaction_id is missing or too long'
         WHEN amount IS NULL THEN 'amount is missing'
         WHEN NOT (amount > 0) THEN 'amount is not above 0'
         WHEN NOT (amount < 1000000000000) THEN 'amount is too large'
         WHEN currency IS NULL OR LEN(UCASE(currency)) <> 3 OR INSTR('${currencies}', UCASE(currency)) % 4 <> 1 THEN 'currency is not in ISO 4217'
         WHEN amount <> CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                             WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
           THEN 'amount has more decimal places than its currency'
         WHEN event_time IS NULL THEN 'event_time is missing'
         WHEN event_time < 100000000000 THEN 'event_time is too early, or no milliseconds'
         WHEN event_time > UNIX_TIMESTAMP() + ${max_ahead_ms} THEN 'event_time lies in the future'
         WHEN country IS NOT NULL AND (LEN(country) <> 2 OR INSTR('${countries}', country) % 3 <> 1) THEN 'country is not in ISO 3166'
         WHEN latitude < -90 OR latitude > 90 OR longitude < -180 OR longitude > 180 THEN 'no such place on earth'
         ELSE 'ok'
       END <> 'ok'
EMIT CHANGES;
