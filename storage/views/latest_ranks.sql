-- latest_ranks: the newest served rank forecast of each symbol, likeliest to be in the highest fifth first.
--   symbol: ticker as the exchange writes it, upper case
--   origin: session whose close was the last one known
--   horizon: sessions ahead of the origin
--   target_session: the session at which the returns are ranked
--   forecaster: who served
--   symbols: how many were ranked together
--   p1: probability of the lowest fifth of returns
--   p2: of the second fifth
--   p3: of the middle fifth
--   p4: of the fourth fifth
--   p5: of the highest fifth; p1 to p5 sum to 1
--   p_up: probability, from the same draws, that the close at the target session is above that of the origin
--   issued_at: UTC instant at which it was written
WITH newest AS (
    SELECT symbol, max(origin) AS origin FROM store.rank_forecasts WHERE serving GROUP BY symbol
)
SELECT symbol, origin, horizon, target_session, forecaster, symbols, p1, p2, p3, p4, p5, p_up, issued_at
FROM store.rank_forecasts
SEMI JOIN newest USING (symbol, origin)
WHERE serving
ORDER BY horizon, p5 DESC, symbol
