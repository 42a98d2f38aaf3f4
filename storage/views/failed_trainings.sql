-- failed_trainings: trainings that were due and failed while somebody served, one row a run and origin.
--   origin: session at whose close a model was to be trained
--   reason: why there is none, in one sentence
--   run_id: the run that tried
--   known_at: UTC instant of the run
SELECT origin, reason, run_id, known_at
FROM store.failed_trainings
ORDER BY origin, run_id
