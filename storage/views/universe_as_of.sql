-- universe_as_of(as_of): from when to when each symbol traded, as it was known at an instant.
--   symbol: ticker as the exchange writes it, upper case
--   valid_from: its first stored session
--   valid_to: its last session, once it had been silent for long; empty while it traded
--   revision: how often this had been corrected by then
--   known_at: UTC instant at which this became known
SELECT symbol, valid_from, valid_to, revision, known_at
FROM (SELECT * FROM store.universe WHERE known_at <= as_of)
ANTI JOIN (SELECT symbol, revision - 1 AS revision FROM store.universe WHERE revision > 0 AND known_at <= as_of)
USING (symbol, revision)
