-- prices: the bars as traded, one row a symbol and session, as they are known now.
--   symbol: ticker as the exchange writes it, upper case
--   session: trading date of the symbol's exchange calendar
--   open: first price, in the symbol's currency
--   high: highest price
--   low: lowest price
--   close: last price
--   volume: shares traded
--   basis: as_traded, or adjusted where the source sent prices that were already adjusted
--   source: where the bar came from
--   revision: how often the bar was corrected since it first became known (0: never)
--   known_at: UTC instant at which these values became known
WITH superseded AS (
    SELECT symbol, session, revision - 1 AS revision FROM store.bars WHERE revision > 0
)
SELECT symbol, session, open, high, low, close, volume, basis, source, revision, known_at
FROM store.bars
ANTI JOIN superseded USING (symbol, session, revision)
