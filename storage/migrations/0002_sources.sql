-- More than one source: what each was asked and answered, what came of the rows, and who was listed when.
ALTER TABLE store.symbols ADD COLUMN unit DOUBLE; -- of the currency's major unit: 0.01 where prices are in pence

-- From when to when a symbol traded, as it was known: a symbol that is gone stays in the past.
CREATE TABLE store.universe (
    symbol VARCHAR NOT NULL, valid_from DATE NOT NULL,
    valid_to DATE, -- its last session, once it has been silent for longer than the settings allow; NULL while it trades
    revision INTEGER NOT NULL, known_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL
);

-- What became of the rows that came in: received = stored + unchanged + revised + merged + outside + quarantined.
CREATE TABLE store.quality (
    run_id VARCHAR NOT NULL, origin DATE NOT NULL, source VARCHAR NOT NULL, symbol VARCHAR NOT NULL,
    received BIGINT NOT NULL, stored BIGINT NOT NULL, unchanged BIGINT NOT NULL, revised BIGINT NOT NULL,
    merged BIGINT NOT NULL,      -- identical twins of a kept row
    outside BIGINT NOT NULL,     -- after the origin, or already stored from a source that ranks higher
    quarantined BIGINT NOT NULL, -- set aside, each with its reason in the quarantine
    warned BIGINT NOT NULL,      -- findings about rows that were kept
    known_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE store.findings (
    run_id VARCHAR NOT NULL, origin DATE NOT NULL, source VARCHAR NOT NULL, symbol VARCHAR NOT NULL, rule VARCHAR NOT NULL,
    severity VARCHAR NOT NULL, "rows" BIGINT NOT NULL, first_session DATE, last_session DATE, message VARCHAR,
    known_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE store.disagreements (
    run_id VARCHAR NOT NULL, symbol VARCHAR NOT NULL, session DATE NOT NULL, field VARCHAR NOT NULL,
    first_source VARCHAR NOT NULL, first_value DOUBLE, second_source VARCHAR NOT NULL, second_value DOUBLE,
    difference DOUBLE, verdict VARCHAR NOT NULL, known_at TIMESTAMPTZ NOT NULL
);

-- Operations: what asking cost, so that a provider's budget holds over all runs of a day.
CREATE TABLE store.requests (
    source VARCHAR NOT NULL, asked_at TIMESTAMPTZ NOT NULL, requests INTEGER NOT NULL, seconds DOUBLE NOT NULL,
    answered INTEGER NOT NULL, failed INTEGER NOT NULL, kind VARCHAR, detail VARCHAR -- of the gravest failure, if any
);
