-- controls: what the product said of markets, models and leaks whose truth is known, one row a case.
--   control: random_walk, ar1, broken, leak or honest; see docs/controls.md
--   case_name: which one
--   strength: coefficient of the planted AR(1); empty where nothing is planted
--   expected: what a right answer is
--   answer: what was said
--   right_answer: whether it was right
--   code: the gate's check or the audit's property that decided; empty where none objected
--   sentence: what was said, in one sentence
--   run_id: the run of the controls
--   finished_at: UTC instant at which the case was done
SELECT control, case_name, strength, expected, answer, right_answer, code, sentence, run_id, finished_at
FROM store.controls
ORDER BY run_id, control, strength, case_name
