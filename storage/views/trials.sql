-- trials: every specification that tuning tried, one row a trial; the lower the loss the better.
--   study: names the search: its base specification, space, folds and data
--   number: place of the trial in its study; 0 is the specification that was in use
--   state: complete, pruned (given up half-way, or impossible) or failed
--   loss: mean over folds and horizons of the pinball loss on validation sessions over that of the EWMA rival
--   gain: the share of the loss of trial 0 that it saves
--   rank: place among the completed trials of the study, 1 is the best
--   sampler: grid or tpe
--   changes_json: what differs from the specification that was in use
--   reason: why it was pruned or failed
--   curve_json: validation losses over those before training, at each look, one list a fold
--   seconds: how long it took
--   spec_json: the whole specification
--   spec_digest: SHA-256 of the specification, as gate and model card know it
--   data_digest: digest of the prices and macro values that it was tried on
--   run_id: the run that tried it
--   finished_at: UTC instant at which it ended
WITH ranked AS (
    SELECT study, number, rank() OVER (PARTITION BY study ORDER BY loss, number) AS rank
    FROM store.trials WHERE state = 'complete'
)
SELECT
    t.study, t.number, t.state, t.loss, 1 - t.loss / base.loss AS gain, ranked.rank, t.sampler, t.changes_json, t.reason,
    t.curve_json, epoch(t.finished_at) - epoch(t.started_at) AS seconds, t.spec_json, t.spec_digest, t.data_digest, t.run_id,
    t.finished_at
FROM store.trials AS t
LEFT JOIN ranked USING (study, number)
LEFT JOIN store.trials AS base ON base.study = t.study AND base.number = 0
ORDER BY t.study, t.number
