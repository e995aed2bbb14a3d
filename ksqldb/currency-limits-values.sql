-- The limits to begin with. Each INSERT replaces what the table has for its currency.
INSERT INTO currency_limits (currency, limit_amount) VALUES ('BRL', 3000);
INSERT INTO currency_limits (currency, limit_amount) VALUES ('USD', 5000);
INSERT INTO currency_limits (currency, limit_amount) VALUES ('KES', 100000);
