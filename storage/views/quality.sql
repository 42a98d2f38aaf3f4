-- quality: what became of the rows that came in, one row a run, source and symbol; received is the sum of the six after it.
--   run_id: the run
--   origin: last session that the run knew
--   source: where the rows came from
--   symbol: ticker as the exchange writes it, upper case
--   received: rows delivered
--   stored: rows of sessions that were not stored yet
--   unchanged: rows that say what is stored
--   revised: rows that differ from what was stored; both are kept
--   merged: identical twins of a row of the same delivery
--   outside: rows after the origin, of sessions already stored from a source that ranks higher, or of a symbol taken from another
--   quarantined: rows set aside, each with its reason in quarantine
--   warned: rules that found something odd about rows that were kept, see quality_findings
--   known_at: UTC instant of the run
SELECT run_id, origin, source, symbol, received, stored, unchanged, revised, merged, outside, quarantined, warned, known_at
FROM store.quality
ORDER BY known_at, source, symbol
