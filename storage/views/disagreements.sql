-- disagreements: where a second source says otherwise than the first, one row a symbol, session and field.
--   symbol: ticker as the exchange writes it, upper case
--   session: trading date of the row
--   field: open, high, low, close or volume; session where one of them lacks it; adj_ratio where their own adjusted closes
--     step differently; split or dividend for actions
--   first_source: the source whose rows are stored
--   first_value: what it says, in the symbol's currency or in shares; empty where it says nothing
--   second_source: the source that checks it
--   second_value: what that one says
--   difference: second over first minus 1; where one of them is adjusted the level that they have in common is taken out
--   verdict: warn (kept) or quarantine (a bar was set aside)
--   run_id: the run that compared
--   known_at: UTC instant of the run
SELECT symbol, session, field, first_source, first_value, second_source, second_value, difference, verdict, run_id, known_at
FROM store.disagreements
ORDER BY known_at, symbol, session, field
