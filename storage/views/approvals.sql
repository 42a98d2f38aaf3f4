-- approvals: what people were asked about who serves and what they said, one row each, never changed.
--   position: order in which it was said
--   origin: last session stored when it was said
--   model_id: hash of the model folder
--   forecaster: who of the model it is about, lstm or a rival
--   state: pending, approved, rejected, overridden (although the gate did not open), chosen (a rival) or rolled_back (again)
--   by_whom: whose word it was, where that was said
--   reason: why
--   verdict: what the gate had said of the model's network; empty where it was never asked
--   decision_id: names the gate's decision
--   waits: whether it still waits for a yes
--   run_id: the run in which it was said
--   answered_at: UTC instant at which it was said
SELECT
    a.position, a.origin, a.model_id, a.forecaster, a.state, a.by_whom, a.reason, d.verdict, a.decision_id,
    a.state = 'pending' AND a.position = max(a.position) OVER (PARTITION BY a.decision_id, a.forecaster) AS waits,
    a.run_id, a.answered_at
FROM store.approvals AS a
LEFT JOIN store.decisions AS d ON d.decision_id = a.decision_id
ORDER BY a.position
