-- drift: what the watch over the serving model found after each run, one row a figure.
--   origin: session up to which it looked
--   model_id: hash of the model folder that served
--   kind: population (features against the training rows), skill or coverage (of live forecasts that settled)
--   what: the feature, the rival or the interval; `features` sums up all features
--   horizon: sessions ahead of the origin; 0 for a population
--   value: the figure: a stability index, a share of features, a skill (1 - loss / loss of the rival) or a share of outcomes
--   threshold: the figure it was held against
--   verdict: steady, drifted or cannot_tell
--   action: none, retrain (the next run trains a challenger) or fall_back (a rival serves from now on, and the next run trains)
--   sentence: what was found, in one sentence
--   run_id: the run that looked
--   known_at: UTC instant of the run
SELECT origin, model_id, kind, what, horizon, value, threshold, verdict, action, sentence, run_id, known_at
FROM store.drift
ORDER BY origin, kind, horizon, what
