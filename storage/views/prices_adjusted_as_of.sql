-- prices_adjusted_as_of(as_of): the bars known at an instant, made comparable over time with the splits and dividends known then.
--   symbol: ticker as the exchange writes it, upper case
--   session: trading date of the symbol's exchange calendar
--   close: last price as traded, in the symbol's currency
--   open_split_adjusted: open in today's shares (divided by all later splits)
--   high_split_adjusted: high in today's shares
--   low_split_adjusted: low in today's shares
--   close_split_adjusted: close in today's shares; falls by a dividend on its ex-date, but not by a split
--   volume_split_adjusted: volume in today's shares (multiplied by all later splits)
--   close_total_return: split-adjusted close lowered by all later dividends, as if each had been reinvested at the close
--     before its ex-date; its returns are what a holder earned
--   split_factor: today's shares per share of that session
--   basis: as_traded, or adjusted where the source sent prices that were already adjusted (then nothing is applied here)
WITH bar AS (
    SELECT * FROM prices_as_of(as_of)
),
known_action AS (
    SELECT symbol, session, kind, value FROM actions_as_of(as_of)
),
effective AS ( -- an action whose ex-date has no bar takes effect at the symbol's next bar
    SELECT a.symbol, b.session, b.basis,
        coalesce(product(a.value) FILTER (WHERE a.kind = 'split'), 1) AS split,
        coalesce(sum(a.value) FILTER (WHERE a.kind = 'dividend'), 0) AS dividend
    FROM known_action AS a
    ASOF JOIN bar AS b ON a.symbol = b.symbol AND a.session <= b.session
    GROUP BY a.symbol, b.session, b.basis
),
priced AS ( -- a dividend is cash a new share; before the split of its day a share carried `split` of them
    SELECT e.symbol, e.session, e.split, 1 - e.dividend * e.split / b.close AS kept
    FROM effective AS e
    ASOF JOIN bar AS b ON e.symbol = b.symbol AND e.session > b.session
    WHERE e.basis = 'as_traded'
),
later AS ( -- everything from this event on, for the bars before it
    SELECT symbol, session, product(split) OVER onwards AS splits, product(greatest(kept, 0)) OVER onwards AS kept
    FROM priced
    WINDOW onwards AS (PARTITION BY symbol ORDER BY session DESC ROWS UNBOUNDED PRECEDING)
),
factored AS (
    SELECT b.*, coalesce(l.splits, 1) AS splits, coalesce(l.kept, 1) AS kept
    FROM bar AS b
    ASOF LEFT JOIN later AS l ON b.symbol = l.symbol AND b.session < l.session
)
SELECT
    symbol, session, close,
    open / splits AS open_split_adjusted,
    high / splits AS high_split_adjusted,
    low / splits AS low_split_adjusted,
    close / splits AS close_split_adjusted,
    volume * splits AS volume_split_adjusted,
    close / splits * kept AS close_total_return,
    splits AS split_factor,
    basis
FROM factored
