-- live_coverage: how often the forecasts that settled held what came true, one row a model, forecaster, horizon, mode and interval.
--   model_id: hash of the model folder that forecast
--   forecaster: lstm, or a rival
--   horizon: sessions ahead of the origin
--   mode: live or backfill; the two are never mixed
--   interval: share of outcomes that the interval is meant to hold, as a fraction: 0.5, 0.8 or 0.9
--   share: share that it held
--   missing: share minus interval: below 0 the interval is too narrow
--   n: settled forecasts
--   n_sessions: origins they come from
--   independent_sessions: about how many of these are no echo of one another: n_sessions over the horizon
--   standard_error: of the share, from its variation between origins, as wide as overlapping outcomes make it; empty with one
--   first_origin: oldest origin counted
--   last_origin: newest origin counted
WITH held AS (
    SELECT
        f.model_id, f.forecaster, f.horizon, f.mode, f.origin,
        unnest([0.5, 0.8, 0.9]) AS interval,
        unnest([
            s.close_at_target BETWEEN f.q25 AND f.q75,
            s.close_at_target BETWEEN f.q10 AND f.q90,
            s.close_at_target BETWEEN f.q05 AND f.q95
        ])::INTEGER AS inside
    FROM store.forecasts AS f
    JOIN store.scores AS s
        ON s.symbol = f.symbol AND s.origin = f.origin AND s.horizon = f.horizon AND s.forecaster = f.forecaster
),
each_origin AS (
    SELECT model_id, forecaster, horizon, mode, interval, origin, avg(inside) AS share, sum(inside) AS inside, count(*) AS n
    FROM held GROUP BY ALL
)
SELECT
    model_id, forecaster, horizon, mode, interval::DOUBLE AS interval,
    sum(inside) / sum(n) AS share,
    sum(inside) / sum(n) - interval::DOUBLE AS missing,
    sum(n)::BIGINT AS n,
    count(*) AS n_sessions,
    greatest(1, count(*) / horizon) AS independent_sessions,
    stddev_samp(share) / sqrt(greatest(1, count(*) / horizon)) AS standard_error,
    min(origin) AS first_origin,
    max(origin) AS last_origin
FROM each_origin
GROUP BY model_id, forecaster, horizon, mode, interval
ORDER BY model_id, forecaster, horizon, mode, interval
