-- forecasts: every forecast that was served, with what came true once its target session settled; one row a symbol, origin and horizon.
--   symbol: ticker as the exchange writes it, upper case
--   origin: session whose close was the last one known
--   horizon: sessions ahead of the origin
--   target_session: the session that is forecast
--   forecaster: who served: lstm, or the rival that did instead
--   model_id: hash of the model folder the forecaster came from
--   mode: live, or backfill where it was computed later from what was known at the origin
--   close: close at the origin, as traded, in the symbol's currency
--   q05: 5 % quantile of the close at the target session, in the units of close
--   q10: 10 % quantile
--   q25: 25 % quantile
--   q50: median
--   q75: 75 % quantile
--   q90: 90 % quantile; q10 to q90 is the 80 % interval
--   q95: 95 % quantile; q05 to q95 is the 90 % interval
--   p_up: probability that the close at the target session is above close
--   scale: expected size of the log return over the horizon, known at the origin
--   settled: whether the target session has a bar and the forecast was scored
--   close_at_target: what came true, in the units of close (splits since the origin undone)
--   pinball: mean pinball loss of the seven quantiles, as a fraction of close
--   abs_error: distance of the median from what came true, as a fraction of close
--   inside_80: whether q10 to q90 held what came true
--   inside_90: whether q05 to q95 held what came true
--   direction_hit: whether p_up was on the right side of one half; empty without a call or a move
--   data_digest: digest of the data the forecast was made from
--   run_id: the run that issued it
--   issued_at: UTC instant at which it was written
--   forecast_id: SHA-256 over symbol, origin, horizon and forecaster; `nextclose reproduce` takes its first digits
SELECT
    f.symbol, f.origin, f.horizon, f.target_session, f.forecaster, f.model_id, f.mode, f.close,
    f.q05, f.q10, f.q25, f.q50, f.q75, f.q90, f.q95, f.p_up, f.scale,
    s.symbol IS NOT NULL AS settled,
    s.close_at_target, s.pinball, s.abs_error, s.inside_80, s.inside_90, s.direction_hit,
    f.data_digest, f.run_id, f.issued_at,
    sha256(concat_ws('|', f.symbol, f.origin, f.horizon, f.forecaster)) AS forecast_id
FROM store.forecasts AS f
LEFT JOIN store.scores AS s
    ON s.symbol = f.symbol AND s.origin = f.origin AND s.horizon = f.horizon AND s.forecaster = f.forecaster
WHERE f.serving
