-- models: every trained model folder, one row a folder; it holds the LSTM and the rivals fitted on the same span.
--   model_id: hash of the folder's content and its name under models/
--   origin: session whose close was the last one known when it was trained
--   kind: what was trained
--   train_end: last session of the training span
--   valid_end: last session of the validation span (early stopping)
--   test_end: last session of the span the gate judged it on
--   verdict: what the gate said of it last: promoted, refused or cannot_tell; empty before a decision
--   sentence: the gate's reason in one sentence
--   approval: what a person was asked or said of that last: pending, approved, rejected, overridden, rolled_back; empty: nothing
--   serving: whether one of its forecasters serves now
--   forecaster: which one, where it serves
--   data_digest: digest of the data it was trained on
--   run_id: the run that trained it
--   created_at: UTC instant at which it was registered
WITH verdicts AS (
    SELECT model_id, arg_max(verdict, decided_at) AS verdict, arg_max(sentence, decided_at) AS sentence,
        arg_max(decision_id, decided_at) AS decision_id
    FROM store.decisions GROUP BY model_id
),
words AS (
    SELECT decision_id, arg_max(state, position) AS approval FROM store.approvals
    WHERE forecaster = 'lstm' GROUP BY decision_id
),
now_serving AS (
    SELECT model_id, forecaster FROM store.serving ORDER BY origin DESC, position DESC LIMIT 1
)
SELECT
    m.model_id, m.origin, m.kind, m.train_end, m.valid_end, m.test_end, v.verdict, v.sentence,
    w.approval,
    n.model_id IS NOT NULL AS serving, n.forecaster,
    m.data_digest, m.run_id, m.created_at
FROM store.models AS m
LEFT JOIN verdicts AS v ON v.model_id = m.model_id
LEFT JOIN words AS w ON w.decision_id = v.decision_id
LEFT JOIN now_serving AS n ON n.model_id = m.model_id
ORDER BY m.origin, m.created_at
