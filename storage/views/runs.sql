-- runs: every completed run, one row each, newest last.
--   run_id: names the run; the same work has the same id
--   flow: which flow ran
--   origin: session it was run for
--   status: completed, degraded or nothing_to_do
--   reason: why, where it was not simply completed
--   mode: live or backfill
--   source: where prices came from
--   symbols: the universe, comma separated
--   steps: steps that committed
--   rows_written: rows those steps wrote
--   attempts: how often it was started, killed attempts included
--   seconds: duration of the attempt that completed it
--   settings_digest: digest of the settings
--   code_version: version of nextclose
--   data_digest: digest of the data it worked on
--   started_at: UTC instant at which the completing attempt began
--   finished_at: UTC instant at which it completed
WITH step AS (
    SELECT run_id, count(*) AS steps, sum("rows")::BIGINT AS rows_written FROM store.steps GROUP BY run_id
),
attempt AS (
    SELECT run_id, count(*) AS attempts FROM store.attempts GROUP BY run_id
)
SELECT
    r.run_id, r.flow, r.origin, r.status, r.reason, r.mode, r.source, r.symbols,
    coalesce(s.steps, 0) AS steps, coalesce(s.rows_written, 0) AS rows_written, coalesce(a.attempts, 0) AS attempts,
    epoch(r.finished_at) - epoch(r.started_at) AS seconds,
    r.settings_digest, r.code_version, r.data_digest, r.started_at, r.finished_at
FROM store.runs AS r
LEFT JOIN step AS s ON s.run_id = r.run_id
LEFT JOIN attempt AS a ON a.run_id = r.run_id
ORDER BY r.finished_at
