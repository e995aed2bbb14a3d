-- A limit per currency, kept in a table that can be changed live:
--   ksql -e "INSERT INTO currency_limits (currency, limit_amount) VALUES ('KES', 120000);"
-- Reads the sources of queries.sql. The first limits are those of currency-limits-values.sql, sent once, to an empty table.

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

CREATE TABLE currency_limits (
  currency VARCHAR PRIMARY KEY,
  limit_amount DECIMAL(19, 4)
) WITH (KAFKA_TOPIC='currency_limits', VALUE_FORMAT='JSON', PARTITIONS=3);

INSERT INTO fraud_alerts WITH (QUERY_ID='currency_limit')
SELECT t.account_id AS account_id,
       CONCAT('CURRENCY_LIMIT:', t.transaction_id) AS alert_id,
       'CURRENCY_LIMIT' AS rule,
       t.transaction_id AS transaction_id,
       t.amount AS amount,
       CAST(1 AS BIGINT) AS tx_count,
       t.event_time AS window_start,
       t.event_time AS window_end,
       t.event_time AS detected_at
FROM transactions t
JOIN currency_limits l ON UCASE(t.currency) = l.currency
WHERE t.amount > l.limit_amount
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
