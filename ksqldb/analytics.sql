-- Live figures: what valid transactions come to by the minute, and the commission on them in four ways. They raise no
-- alert and are deployed when asked for: docs/analytics.md says how, and what each figure is. Reads the sources of queries.sql.

-- The rates, once: shares of an amount, of at most six places. The limits of the bands are amounts in the currency of the
-- transaction. The batch jobs read them here too.
DEFINE commission_flat = '0.02';
DEFINE commission_band_1 = '100';
DEFINE commission_band_2 = '1000';
DEFINE commission_rate_1 = '0.01';
DEFINE commission_rate_2 = '0.02';
DEFINE commission_rate_3 = '0.03';

-- Rates of categories of merchants; every other category has the flat one.
DEFINE commission_category_betting = '0.05';
DEFINE commission_category_digital_goods = '0.049';
DEFINE commission_category_electronics = '0.015';
DEFINE commission_category_fuel = '0.008';
DEFINE commission_category_gambling = '0.05';
DEFINE commission_category_grocery = '0.012';
DEFINE commission_category_hotel = '0.025';
DEFINE commission_category_pharmacy = '0.012';
DEFINE commission_category_school_fees = '0.005';
DEFINE commission_category_travel = '0.025';
DEFINE commission_category_utilities = '0.005';

-- Types of transactions that earn no commission, in lower case between spaces: cash, and money that goes back.
DEFINE no_commission = ' cash_in cash_out chargeback deposit refund reversal withdraw withdrawal ';

-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '3600000';
DEFINE currencies = 'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL';
DEFINE no_places = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
DEFINE three_places = 'BHD IQD JOD KWD LYD OMR TND';
DEFINE countries = 'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW';

-- Each valid transaction with its commission: flat at one rate; progressive, each part of the amount at the rate of its
-- band, as an income tax; tiered, the whole amount at the rate of its band, small ones dearest; by the category of the
-- merchant. A rate times an amount has ten places at most: nothing is rounded. What a transaction does not say is the empty
-- text, for no row is grouped by NULL; names are cut at 255 characters.
CREATE STREAM commissions WITH (KAFKA_TOPIC='commissions', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       transaction_id,
       event_time,
       UCASE(currency) AS currency,
       SUBSTRING(COALESCE(transaction_type, ''), 1, 255) AS transaction_type,
       SUBSTRING(COALESCE(channel, ''), 1, 255) AS channel,
       SUBSTRING(COALESCE(merchant_category, ''), 1, 255) AS merchant_category,
       SUBSTRING(COALESCE(city, ''), 1, 255) AS city,
       SUBSTRING(COALESCE(merchant_id, ''), 1, 255) AS merchant_id,
       SUBSTRING(merchant_name, 1, 255) AS merchant_name,
       CAST(amount AS DECIMAL(38, 4)) AS amount,
       CASE WHEN INSTR('${no_commission}', CONCAT(' ', LCASE(COALESCE(transaction_type, '')), ' ')) > 0 THEN CAST(0 AS DECIMAL(38, 4)) ELSE CAST(amount AS DECIMAL(38, 4)) END AS earning,
       CAST(amount * CASE WHEN INSTR('${no_commission}', CONCAT(' ', LCASE(COALESCE(transaction_type, '')), ' ')) > 0 THEN CAST(0 AS DECIMAL(7, 6))
            ELSE CAST('${commission_flat}' AS DECIMAL(7, 6)) END AS DECIMAL(38, 10)) AS flat,
       CASE WHEN INSTR('${no_commission}', CONCAT(' ', LCASE(COALESCE(transaction_type, '')), ' ')) > 0 THEN CAST(0 AS DECIMAL(38, 10))
            WHEN amount <= CAST('${commission_band_1}' AS DECIMAL(19, 4)) THEN CAST(amount * CAST('${commission_rate_1}' AS DECIMAL(7, 6)) AS DECIMAL(38, 10))
            WHEN amount <= CAST('${commission_band_2}' AS DECIMAL(19, 4)) THEN CAST(CAST('${commission_band_1}' AS DECIMAL(19, 4)) * CAST('${commission_rate_1}' AS DECIMAL(7, 6))
              + (amount - CAST('${commission_band_1}' AS DECIMAL(19, 4))) * CAST('${commission_rate_2}' AS DECIMAL(7, 6)) AS DECIMAL(38, 10))
            ELSE CAST(CAST('${commission_band_1}' AS DECIMAL(19, 4)) * CAST('${commission_rate_1}' AS DECIMAL(7, 6))
              + (CAST('${commission_band_2}' AS DECIMAL(19, 4)) - CAST('${commission_band_1}' AS DECIMAL(19, 4))) * CAST('${commission_rate_2}' AS DECIMAL(7, 6))
              + (amount - CAST('${commission_band_2}' AS DECIMAL(19, 4))) * CAST('${commission_rate_3}' AS DECIMAL(7, 6)) AS DECIMAL(38, 10)) END AS progressive,
       CAST(amount * CASE WHEN INSTR('${no_commission}', CONCAT(' ', LCASE(COALESCE(transaction_type, '')), ' ')) > 0 THEN CAST(0 AS DECIMAL(7, 6))
            WHEN amount < CAST('${commission_band_1}' AS DECIMAL(19, 4)) THEN CAST('${commission_rate_3}' AS DECIMAL(7, 6))
            WHEN amount < CAST('${commission_band_2}' AS DECIMAL(19, 4)) THEN CAST('${commission_rate_2}' AS DECIMAL(7, 6))
            ELSE CAST('${commission_rate_1}' AS DECIMAL(7, 6)) END AS DECIMAL(38, 10)) AS tiered,
       CAST(amount * CASE WHEN INSTR('${no_commission}', CONCAT(' ', LCASE(COALESCE(transaction_type, '')), ' ')) > 0 THEN CAST(0 AS DECIMAL(7, 6))
            WHEN merchant_category = 'betting' THEN CAST('${commission_category_betting}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'digital_goods' THEN CAST('${commission_category_digital_goods}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'electronics' THEN CAST('${commission_category_electronics}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'fuel' THEN CAST('${commission_category_fuel}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'gambling' THEN CAST('${commission_category_gambling}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'grocery' THEN CAST('${commission_category_grocery}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'hotel' THEN CAST('${commission_category_hotel}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'pharmacy' THEN CAST('${commission_category_pharmacy}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'school_fees' THEN CAST('${commission_category_school_fees}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'travel' THEN CAST('${commission_category_travel}' AS DECIMAL(7, 6))
            WHEN merchant_category = 'utilities' THEN CAST('${commission_category_utilities}' AS DECIMAL(7, 6))
            ELSE CAST('${commission_flat}' AS DECIMAL(7, 6)) END AS DECIMAL(38, 10)) AS by_category
FROM transactions
WHERE LEN(account_id) BETWEEN 1 AND 255 AND LEN(transaction_id) BETWEEN 1 AND 255
  AND amount > 0 AND amount < 1000000000000
  AND amount = CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                    WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
  AND event_time BETWEEN 100000000000 AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE(currency)) = 3 AND INSTR('${currencies}', UCASE(currency)) % 4 = 1
  AND (country IS NULL OR (LEN(country) = 2 AND INSTR('${countries}', country) % 3 = 1))
  AND (latitude IS NULL OR latitude BETWEEN -90 AND 90) AND (longitude IS NULL OR longitude BETWEEN -180 AND 180)
EMIT CHANGES;

-- Tables by the minute. A transaction that comes more than five minutes late is in none of them.
CREATE TABLE figures_by_type WITH (KAFKA_TOPIC='figures_by_type', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT transaction_type,
       currency,
       AS_VALUE(transaction_type) AS name,
       AS_VALUE(currency) AS currency_code,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 MINUTES)
GROUP BY transaction_type, currency
EMIT CHANGES;

CREATE TABLE figures_by_channel WITH (KAFKA_TOPIC='figures_by_channel', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT channel,
       currency,
       AS_VALUE(channel) AS name,
       AS_VALUE(currency) AS currency_code,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 MINUTES)
GROUP BY channel, currency
EMIT CHANGES;

CREATE TABLE figures_by_category WITH (KAFKA_TOPIC='figures_by_category', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT merchant_category,
       currency,
       AS_VALUE(merchant_category) AS name,
       AS_VALUE(currency) AS currency_code,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 MINUTES)
GROUP BY merchant_category, currency
EMIT CHANGES;

CREATE TABLE figures_by_city WITH (KAFKA_TOPIC='figures_by_city', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT city,
       currency,
       AS_VALUE(city) AS name,
       AS_VALUE(currency) AS currency_code,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 MINUTES)
GROUP BY city, currency
EMIT CHANGES;

CREATE TABLE figures_by_account WITH (KAFKA_TOPIC='figures_by_account', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT account,
       currency,
       AS_VALUE(account) AS name,
       AS_VALUE(currency) AS currency_code,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 MINUTES)
GROUP BY account, currency
EMIT CHANGES;

CREATE TABLE figures_by_merchant WITH (KAFKA_TOPIC='figures_by_merchant', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT merchant_id,
       currency,
       AS_VALUE(merchant_id) AS name,
       AS_VALUE(currency) AS currency_code,
       LATEST_BY_OFFSET(merchant_name) AS label,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 MINUTES)
GROUP BY merchant_id, currency
EMIT CHANGES;

-- What each merchant brings in five minutes: those that bring most are the top merchants of the window.
CREATE TABLE figures_by_merchant_5m WITH (KAFKA_TOPIC='figures_by_merchant_5m', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT merchant_id,
       currency,
       AS_VALUE(merchant_id) AS name,
       AS_VALUE(currency) AS currency_code,
       LATEST_BY_OFFSET(merchant_name) AS label,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW TUMBLING (SIZE 5 MINUTES, GRACE PERIOD 5 MINUTES)
GROUP BY merchant_id, currency
EMIT CHANGES;
