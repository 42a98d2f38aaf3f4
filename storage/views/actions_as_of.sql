-- actions_as_of(as_of): the splits and cash dividends as they were known at an instant, one row a symbol, ex-date and kind.
--   symbol: ticker as the exchange writes it, upper case
--   session: ex-date
--   kind: split or dividend
--   value: new shares per old share, or cash per share as paid then
--   source: where it came from
--   revision: how often it had been corrected by then
--   known_at: UTC instant at which this became known
SELECT symbol, session, kind, value, source, revision, known_at
FROM (SELECT * FROM store.actions WHERE known_at <= as_of)
ANTI JOIN (SELECT symbol, session, kind, revision - 1 AS revision FROM store.actions WHERE revision > 0 AND known_at <= as_of)
USING (symbol, session, kind, revision)
WHERE value IS NOT NULL AND value > 0
