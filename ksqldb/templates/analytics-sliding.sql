-- Live figures of merchants and accounts in a minute that slides by 20 seconds: each transaction is in three of them, and
-- costs as much. Reads the stream of analytics.sql; docs/analytics.md says how it is deployed.
{{ figures('merchant_sliding', 'merchant_id', 'HOPPING (SIZE 1 MINUTE, ADVANCE BY 20 SECONDS', label='merchant_name') }}

{{ figures('account_sliding', 'account', 'HOPPING (SIZE 1 MINUTE, ADVANCE BY 20 SECONDS') }}
