-- scoreboard: how well each forecaster did on settled forecasts, one row a forecaster, horizon and mode; the forecaster `served` is whoever served at the time.
--   forecaster: lstm or a rival; served: whoever served
--   horizon: sessions ahead of the origin
--   mode: live or backfill; the two are never mixed
--   n: settled forecasts
--   n_sessions: origins they come from
--   first_origin: oldest of these origins
--   last_origin: newest of these origins
--   pinball: mean pinball loss, as a fraction of the close at the origin
--   skill_vs_persistence: 1 - pinball / pinball of persistence on the same rows, as a fraction; above 0 is better
--   skill_vs_ewma: 1 - pinball / pinball of the EWMA rival on the same rows, as a fraction; above 0 is better
--   mae: mean distance of the median from what came true, as a fraction of the close at the origin
--   coverage_80: share of outcomes inside the 80 % interval
--   coverage_90: share of outcomes inside the 90 % interval
--   direction_hit_rate: share of right calls among those that called a direction
WITH scored AS (
    SELECT s.*, f.mode, f.serving
    FROM store.scores AS s
    JOIN store.forecasts AS f
        ON f.symbol = s.symbol AND f.origin = s.origin AND f.horizon = s.horizon AND f.forecaster = s.forecaster
),
named AS (
    SELECT forecaster AS who, * FROM scored
    UNION ALL
    SELECT 'served' AS who, * FROM scored WHERE serving
),
compared AS (
    SELECT n.*, p.pinball AS pinball_persistence, e.pinball AS pinball_ewma
    FROM named AS n
    LEFT JOIN store.scores AS p
        ON p.symbol = n.symbol AND p.origin = n.origin AND p.horizon = n.horizon AND p.forecaster = 'persistence'
    LEFT JOIN store.scores AS e
        ON e.symbol = n.symbol AND e.origin = n.origin AND e.horizon = n.horizon AND e.forecaster = 'ewma'
)
SELECT
    who AS forecaster, horizon, mode,
    count(*) AS n,
    count(DISTINCT origin) AS n_sessions,
    min(origin) AS first_origin,
    max(origin) AS last_origin,
    avg(pinball) AS pinball,
    1 - sum(pinball) FILTER (WHERE pinball_persistence IS NOT NULL) / nullif(sum(pinball_persistence), 0) AS skill_vs_persistence,
    1 - sum(pinball) FILTER (WHERE pinball_ewma IS NOT NULL) / nullif(sum(pinball_ewma), 0) AS skill_vs_ewma,
    avg(abs_error) AS mae,
    avg(inside_80::INTEGER) AS coverage_80,
    avg(inside_90::INTEGER) AS coverage_90,
    avg(direction_hit::INTEGER) AS direction_hit_rate
FROM compared
GROUP BY who, horizon, mode
ORDER BY horizon, mode, pinball
