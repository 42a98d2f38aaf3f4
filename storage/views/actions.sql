-- actions: the splits and cash dividends as they are known now, one row a symbol, ex-date and kind.
--   symbol: ticker as the exchange writes it, upper case
--   session: ex-date
--   kind: split or dividend
--   value: new shares per old share, or cash per share as paid then
--   source: where it came from
--   revision: how often it was corrected since it first became known (0: never)
--   known_at: UTC instant at which this became known
FROM actions_as_of(TIMESTAMPTZ 'infinity')
