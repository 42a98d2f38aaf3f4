-- evaluations: the metrics of each forecaster of each trained model on rows it never saw, one row a metric.
--   model_id: hash of the model folder
--   forecaster: lstm or a rival
--   horizon: sessions ahead of the origin
--   metric: name of the metric, see docs/evaluation.md
--   value: its value
--   n_rows: forecasts it was computed from (of a portfolio_... its sessions)
--   n_sessions: sessions these come from
--   span_start: first origin of the span
--   span_end: last origin of the span
--   run_id: the run that evaluated
SELECT model_id, forecaster, horizon, metric, value, n_rows, n_sessions, span_start, span_end, run_id
FROM store.evaluations
ORDER BY model_id, run_id, horizon, forecaster, metric
