-- forecast_accuracy: how well the served forecasts of each symbol did, one row a symbol, horizon and mode.
--   symbol: ticker as the exchange writes it, upper case
--   horizon: sessions ahead of the origin
--   mode: live or backfill; the two are never mixed
--   n: settled forecasts
--   pinball: mean pinball loss, as a fraction of the close at the origin
--   mae: mean distance of the median from what came true, as a fraction of the close at the origin
--   mae_persistence: the same for the last close itself
--   coverage_80: share of outcomes inside the 80 % interval
--   coverage_90: share of outcomes inside the 90 % interval
--   direction_hit_rate: share of right calls among those that called a direction
--   first_origin: oldest origin counted
--   last_origin: newest origin counted
SELECT
    f.symbol, f.horizon, f.mode,
    count(*) AS n,
    avg(s.pinball) AS pinball,
    avg(s.abs_error) AS mae,
    avg(s.persistence_abs_error) AS mae_persistence,
    avg(s.inside_80::INTEGER) AS coverage_80,
    avg(s.inside_90::INTEGER) AS coverage_90,
    avg(s.direction_hit::INTEGER) AS direction_hit_rate,
    min(f.origin) AS first_origin,
    max(f.origin) AS last_origin
FROM store.forecasts AS f
JOIN store.scores AS s
    ON s.symbol = f.symbol AND s.origin = f.origin AND s.horizon = f.horizon AND s.forecaster = f.forecaster
WHERE f.serving
GROUP BY f.symbol, f.horizon, f.mode
ORDER BY f.symbol, f.horizon, f.mode
