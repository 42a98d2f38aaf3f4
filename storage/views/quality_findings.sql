-- quality_findings: what the rules found in what came in, one row a run, source, symbol and rule.
--   run_id: the run
--   origin: last session that the run knew
--   source: where the rows came from
--   symbol: ticker as the exchange writes it, upper case
--   rule: stable code of the rule, see docs/quality.md
--   severity: warn (the rows were kept), quarantine (set aside) or reject (the symbol's whole delivery was)
--   rows: how many rows the rule speaks of
--   first_session: the first of them
--   last_session: the last of them
--   message: the rule in one sentence
--   known_at: UTC instant of the run
SELECT run_id, origin, source, symbol, rule, severity, "rows", first_session, last_session, message, known_at
FROM store.findings
ORDER BY known_at, source, symbol, rule
