-- Live figures of merchants and accounts in a minute that slides by 20 seconds: each transaction is in three of them, and
-- costs as much. Reads the stream of analytics.sql; docs/analytics.md says how it is deployed.
CREATE TABLE figures_by_merchant_sliding WITH (KAFKA_TOPIC='figures_by_merchant_sliding', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
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
WINDOW HOPPING (SIZE 1 MINUTE, ADVANCE BY 20 SECONDS, GRACE PERIOD 5 MINUTES)
GROUP BY merchant_id, currency
EMIT CHANGES;

CREATE TABLE figures_by_account_sliding WITH (KAFKA_TOPIC='figures_by_account_sliding', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
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
WINDOW HOPPING (SIZE 1 MINUTE, ADVANCE BY 20 SECONDS, GRACE PERIOD 5 MINUTES)
GROUP BY account, currency
EMIT CHANGES;
