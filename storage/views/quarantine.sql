-- quarantine: the rows that cleaning set aside or warned about, one row each.
--   symbol: ticker as the exchange writes it, upper case
--   session: trading date of the row; empty where it had none
--   reason: stable code of the rule
--   severity: how grave it is: warning, quarantine or reject
--   message: the rule in one sentence, with the figures
--   row_json: the row as it came, as JSON
--   source: where it came from
--   run_id: the run that met it
--   known_at: UTC instant at which it came
SELECT symbol, session, reason, severity, message, row_json, source, run_id, known_at
FROM store.quarantine
ORDER BY known_at, symbol, session, reason
