-- Macro series as vintages: each value with the day that it is about and the instant at which it was published.
CREATE TABLE store.macro_values (
    series VARCHAR NOT NULL,
    about DATE NOT NULL,             -- the day, or the first day of the month or quarter
    published_at TIMESTAMP NOT NULL, -- UTC; content, not wall clock, hence without a time zone: it belongs to the digest
    value DOUBLE, source VARCHAR NOT NULL,
    dated_by VARCHAR NOT NULL CHECK (dated_by IN ('source', 'rule', 'seen', 'session')), -- who says when it was published
    revision INTEGER NOT NULL, known_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR -- NULL for what was stored before this table
);
-- Before, only the first session was kept at whose close a value was public. That session's own close is not known to SQL;
-- 16:00 UTC lies before every one of them and after the one of the day before, so that each value is seen by the session it
-- was. The next load brings these days anew, with their dates, and those then count (forecasting/macro.py, best_dated).
INSERT INTO store.macro_values
SELECT series, session, session + INTERVAL 16 HOUR, value, source, 'session', revision, known_at, NULL
FROM store.macro ORDER BY series, session, revision;
DROP TABLE store.macro;
