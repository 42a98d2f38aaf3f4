-- The first tables. They live in the schema `store`; the views of storage/views are the public names in `main`.
-- Large tables have neither primary key nor index: storage/database.py appends by anti-join, sorted by key, and refuses
-- duplicates before the write. TIMESTAMPTZ columns hold wall-clock instants (UTC) and are left out of content digests.
-- `revision` counts, for one key, the values that became known one after the other: 0 is the first, the highest is current.

-- Operations: who may write, who tried, how long it took. Updated in place, not part of the content digest.
CREATE TABLE store.lease (
    name VARCHAR NOT NULL, holder VARCHAR, host VARCHAR, pid INTEGER,
    token BIGINT NOT NULL,  -- fencing: rises by one with every holder
    writes BIGINT NOT NULL, -- committed writes so far; each write reads its own count back
    expires_at TIMESTAMPTZ
);
INSERT INTO store.lease VALUES ('writer', NULL, NULL, NULL, 0, 0, NULL);
CREATE TABLE store.publication (run_id VARCHAR, published_at TIMESTAMPTZ, digest VARCHAR, schema INTEGER); -- of this copy
INSERT INTO store.publication VALUES (NULL, NULL, NULL, NULL);
CREATE TABLE store.attempts (
    attempt_id VARCHAR NOT NULL, run_id VARCHAR, flow VARCHAR NOT NULL, status VARCHAR NOT NULL, reason VARCHAR,
    host VARCHAR, pid INTEGER, started_at TIMESTAMPTZ NOT NULL, finished_at TIMESTAMPTZ
);
CREATE TABLE store.stage_times (run_id VARCHAR NOT NULL, stage VARCHAR NOT NULL, seconds DOUBLE, peak_mb DOUBLE);

-- Runs: one row a run, written when it completes; one row a step, written in the transaction of its rows.
CREATE TABLE store.runs (
    run_id VARCHAR NOT NULL, flow VARCHAR NOT NULL, origin DATE, status VARCHAR NOT NULL, reason VARCHAR, source VARCHAR,
    symbols VARCHAR, settings_digest VARCHAR, code_version VARCHAR, data_digest VARCHAR, mode VARCHAR,
    started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ
);
CREATE TABLE store.steps (
    run_id VARCHAR NOT NULL, step VARCHAR NOT NULL, "rows" BIGINT NOT NULL, digest VARCHAR NOT NULL, finished_at TIMESTAMPTZ
);

-- What came in.
CREATE TABLE store.symbols (
    symbol VARCHAR NOT NULL, calendar VARCHAR NOT NULL, currency VARCHAR, basis VARCHAR NOT NULL, source VARCHAR NOT NULL,
    revision INTEGER NOT NULL, known_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE store.bars (
    symbol VARCHAR NOT NULL, session DATE NOT NULL, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE NOT NULL, volume DOUBLE,
    source VARCHAR NOT NULL, basis VARCHAR NOT NULL, revision INTEGER NOT NULL, known_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);
CREATE TABLE store.actions (
    symbol VARCHAR NOT NULL, session DATE NOT NULL, kind VARCHAR NOT NULL,
    value DOUBLE, -- NULL in a later revision: the action was retracted
    source VARCHAR NOT NULL, revision INTEGER NOT NULL, known_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL
);
CREATE TABLE store.macro (
    series VARCHAR NOT NULL,
    session DATE NOT NULL, -- the first session at whose close the value was public
    value DOUBLE, source VARCHAR NOT NULL, revision INTEGER NOT NULL, known_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE store.quarantine (
    row_id VARCHAR NOT NULL, -- SHA-256 over symbol, session, reason and row: the same bad row is kept once
    symbol VARCHAR NOT NULL, session DATE, reason VARCHAR NOT NULL, severity VARCHAR NOT NULL, message VARCHAR,
    row_json VARCHAR, source VARCHAR, known_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL
);

-- What was made of it.
CREATE TABLE store.features (
    symbol VARCHAR NOT NULL, session DATE NOT NULL, feature_set VARCHAR NOT NULL, feature VARCHAR NOT NULL, value DOUBLE,
    run_id VARCHAR NOT NULL
);
CREATE TABLE store.models (
    model_id VARCHAR NOT NULL, origin DATE NOT NULL, kind VARCHAR NOT NULL, spec_json VARCHAR NOT NULL,
    card_json VARCHAR NOT NULL, train_end DATE, valid_end DATE, test_end DATE, data_digest VARCHAR, run_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE store.evaluations (
    model_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, forecaster VARCHAR NOT NULL, horizon INTEGER NOT NULL,
    metric VARCHAR NOT NULL, value DOUBLE, n_rows BIGINT, n_sessions BIGINT, span_start DATE, span_end DATE
);
CREATE TABLE store.decisions (
    decision_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, origin DATE NOT NULL,
    challenger VARCHAR NOT NULL, verdict VARCHAR NOT NULL CHECK (verdict IN ('promoted', 'refused', 'cannot_tell')),
    sentence VARCHAR NOT NULL, thresholds_digest VARCHAR, decided_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE store.checks (
    decision_id VARCHAR NOT NULL, position INTEGER NOT NULL, code VARCHAR NOT NULL, name VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('pass', 'fail', 'cannot_tell')), sentence VARCHAR NOT NULL, value DOUBLE,
    threshold DOUBLE
);
CREATE TABLE store.serving (
    position INTEGER NOT NULL, origin DATE NOT NULL, model_id VARCHAR NOT NULL, forecaster VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, decision_id VARCHAR, since TIMESTAMPTZ NOT NULL
);

-- The ledger: nothing in the code updates or deletes a row of these two.
CREATE TABLE store.forecasts (
    symbol VARCHAR NOT NULL, origin DATE NOT NULL, horizon INTEGER NOT NULL, forecaster VARCHAR NOT NULL,
    target_session DATE NOT NULL, model_id VARCHAR NOT NULL, serving BOOLEAN NOT NULL,
    mode VARCHAR NOT NULL CHECK (mode IN ('live', 'backfill')), close DOUBLE NOT NULL, scale DOUBLE,
    q05 DOUBLE NOT NULL, q10 DOUBLE NOT NULL, q25 DOUBLE NOT NULL, q50 DOUBLE NOT NULL, q75 DOUBLE NOT NULL,
    q90 DOUBLE NOT NULL, q95 DOUBLE NOT NULL, p_up DOUBLE, data_digest VARCHAR, run_id VARCHAR NOT NULL,
    issued_at TIMESTAMPTZ NOT NULL, as_of TIMESTAMPTZ,
    CHECK (target_session > origin AND horizon > 0)
);
CREATE TABLE store.scores (
    symbol VARCHAR NOT NULL, origin DATE NOT NULL, horizon INTEGER NOT NULL, forecaster VARCHAR NOT NULL,
    target_session DATE NOT NULL, close_at_target DOUBLE NOT NULL, pinball DOUBLE NOT NULL, abs_error DOUBLE NOT NULL,
    inside_80 BOOLEAN NOT NULL, inside_90 BOOLEAN NOT NULL, direction_hit BOOLEAN, persistence_abs_error DOUBLE NOT NULL,
    run_id VARCHAR NOT NULL, scored_at TIMESTAMPTZ NOT NULL
);
