-- Several consumers store side by side: alerts that are looked at once more.

CREATE TABLE alerts_to_check (
    alert_id       TEXT PRIMARY KEY REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    running_before BIGINT
);
COMMENT ON TABLE alerts_to_check IS 'alerts stored beside other consumers whose transaction was not there: looked at once more';
COMMENT ON COLUMN alerts_to_check.running_before IS 'when every database transaction with a lower number has ended, nothing of that moment is invisible any more; null until a consumer has looked';
