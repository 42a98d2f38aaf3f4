-- gate_decisions: every decision of the gate with its checks, one row a check.
--   decision_id: names the decision; its rows share it
--   origin: session at which the gate decided
--   model_id: hash of the model folder on trial
--   challenger: the forecaster on trial
--   verdict: promoted, refused or cannot_tell
--   sentence: the decision in one sentence
--   position: place of the check in the list
--   code: stable code of the check
--   check_name: what was checked
--   check_verdict: pass, fail or cannot_tell
--   check_sentence: what was found, in one sentence
--   value: the figure that was found
--   threshold: the figure it was held against
--   thresholds_digest: digest of all thresholds, fixed before the run
--   approval: what a person was asked or said of it last: pending, approved, rejected, overridden, rolled_back; empty: nothing
--   run_id: the run that decided
--   decided_at: UTC instant of the decision
WITH words AS (
    SELECT decision_id, arg_max(state, position) AS approval FROM store.approvals
    WHERE forecaster = 'lstm' GROUP BY decision_id
)
SELECT
    d.decision_id, d.origin, d.model_id, d.challenger, d.verdict, d.sentence,
    c.position, c.code, c.name AS check_name, c.verdict AS check_verdict, c.sentence AS check_sentence, c.value, c.threshold,
    d.thresholds_digest, w.approval, d.run_id, d.decided_at
FROM store.decisions AS d
LEFT JOIN store.checks AS c ON c.decision_id = d.decision_id
LEFT JOIN words AS w ON w.decision_id = d.decision_id
ORDER BY d.origin, d.decision_id, c.position
