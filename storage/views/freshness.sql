-- freshness: how far each symbol's prices and forecasts reach, one row a symbol.
--   symbol: ticker as the exchange writes it, upper case
--   calendar: exchange calendar of the symbol
--   currency: currency of its prices, where the source says it
--   unit: how much of that currency's major unit a price of 1 is: 0.01 where prices are in pence
--   source: where its prices come from
--   first_session: oldest stored session
--   last_session: newest stored session
--   sessions: stored sessions
--   sessions_behind: sessions of the same calendar stored for other symbols after last_session
--   last_known_at: UTC instant at which its newest prices became known
--   last_origin: origin of its newest served forecast
WITH known AS (
    SELECT * FROM store.symbols
    ANTI JOIN (SELECT symbol, revision - 1 AS revision FROM store.symbols WHERE revision > 0) USING (symbol, revision)
),
stored AS (
    SELECT symbol, min(session) AS first_session, max(session) AS last_session, count(*) FILTER (WHERE revision = 0) AS sessions,
        max(known_at) AS last_known_at
    FROM store.bars GROUP BY symbol
),
placed AS (
    SELECT s.*, k.calendar, k.currency, k.unit, k.source FROM stored AS s LEFT JOIN known AS k ON k.symbol = s.symbol
),
newest AS (
    SELECT calendar, max(last_session) AS last_session FROM placed GROUP BY calendar
),
late AS (
    SELECT p.symbol, count(DISTINCT b.session) AS sessions_behind
    FROM placed AS p
    JOIN newest AS n ON n.calendar IS NOT DISTINCT FROM p.calendar AND n.last_session > p.last_session
    JOIN placed AS o ON o.calendar IS NOT DISTINCT FROM p.calendar AND o.last_session > p.last_session
    JOIN store.bars AS b ON b.symbol = o.symbol AND b.session > p.last_session
    GROUP BY p.symbol
),
forecast AS (
    SELECT symbol, max(origin) AS last_origin FROM store.forecasts WHERE serving GROUP BY symbol
)
SELECT
    p.symbol, p.calendar, p.currency, p.unit, p.source, p.first_session, p.last_session, p.sessions,
    coalesce(l.sessions_behind, 0) AS sessions_behind, p.last_known_at, f.last_origin
FROM placed AS p
LEFT JOIN late AS l ON l.symbol = p.symbol
LEFT JOIN forecast AS f ON f.symbol = p.symbol
ORDER BY p.symbol
