-- prices_as_of(as_of): the bars as they were known at an instant, for example FROM prices_as_of(TIMESTAMPTZ '2024-03-01 22:00Z').
--   symbol: ticker as the exchange writes it, upper case
--   session: trading date of the symbol's exchange calendar
--   open: first price, in the symbol's currency
--   high: highest price
--   low: lowest price
--   close: last price
--   volume: shares traded
--   basis: as_traded, or adjusted where the source sent prices that were already adjusted
--   source: where the bar came from
--   revision: how often the bar had been corrected by then
--   known_at: UTC instant at which these values became known
SELECT symbol, session, open, high, low, close, volume, basis, source, revision, known_at
FROM (SELECT * FROM store.bars WHERE known_at <= as_of)
ANTI JOIN (SELECT symbol, session, revision - 1 AS revision FROM store.bars WHERE revision > 0 AND known_at <= as_of)
USING (symbol, session, revision)
