-- rank_scoreboard: how well the rank forecasts did that settled, one row a forecaster, horizon and mode.
--   forecaster: who served, or joint_bootstrap, the rival
--   horizon: sessions ahead of the origin
--   mode: live or backfill; the two are never mixed
--   n: settled rank forecasts
--   n_sessions: origins they come from; those closer than the horizon share their outcomes
--   first_origin: oldest of these origins
--   last_origin: newest of these origins
--   rps: mean ranked probability score; below rps_uniform is better than knowing nothing
--   rps_uniform: what five equal probabilities scored on the same rows
--   rps_bootstrap: what joint_bootstrap scored on the same rows; empty where it has none
SELECT
    s.forecaster, s.horizon, r.mode,
    count(*) AS n,
    count(DISTINCT s.origin) AS n_sessions,
    min(s.origin) AS first_origin,
    max(s.origin) AS last_origin,
    avg(s.rps) AS rps,
    avg(CASE s.fifth WHEN 1 THEN 0.24 WHEN 2 THEN 0.12 WHEN 3 THEN 0.08 WHEN 4 THEN 0.12 ELSE 0.24 END) AS rps_uniform,
    avg(b.rps) AS rps_bootstrap
FROM store.rank_scores AS s
JOIN store.rank_forecasts AS r
    ON r.symbol = s.symbol AND r.origin = s.origin AND r.horizon = s.horizon AND r.forecaster = s.forecaster
LEFT JOIN store.rank_scores AS b
    ON b.symbol = s.symbol AND b.origin = s.origin AND b.horizon = s.horizon AND b.forecaster = 'joint_bootstrap'
GROUP BY s.forecaster, s.horizon, r.mode
ORDER BY s.horizon, r.mode, rps
