-- evaluation_slices: the metrics of each trained model's evaluation again by year, market regime, sector and symbol.
--   model_id: hash of the model folder
--   forecaster: lstm, champion or a rival; by symbol only lstm, champion and ewma
--   horizon: sessions ahead of the origin
--   kind: year, regime, sector or symbol
--   slice: which of them; regimes are low, middle and high market volatility, terciles of the training sessions
--   metric: name of the metric; skill and t are against ewma, inside the slice
--   value: its value; empty where it could not be computed
--   n_rows: forecasts it was computed from
--   n_sessions: sessions these come from
--   run_id: the run that evaluated
SELECT model_id, forecaster, horizon, kind, slice, metric, value, n_rows, n_sessions, run_id
FROM store.evaluation_slices
ORDER BY model_id, run_id, kind, slice, horizon, forecaster, metric
