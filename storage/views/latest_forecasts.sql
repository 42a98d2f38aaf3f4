-- latest_forecasts: the newest served forecast of each symbol, one row a symbol and horizon.
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
--   run_id: the run that issued it
--   issued_at: UTC instant at which it was written
WITH newest AS (
    SELECT symbol, max(origin) AS origin FROM store.forecasts WHERE serving GROUP BY symbol
)
SELECT
    symbol, origin, horizon, target_session, forecaster, model_id, mode, close,
    q05, q10, q25, q50, q75, q90, q95, p_up, scale, run_id, issued_at
FROM store.forecasts
SEMI JOIN newest USING (symbol, origin)
WHERE serving
ORDER BY symbol, horizon
