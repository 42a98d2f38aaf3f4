-- Why a forecast may be trusted: what was tried, how the scores fall apart by slice, who approved, what was watched.
-- As in 0001: no keys or indexes; appended only; TIMESTAMPTZ is wall clock and no part of the content digest.

-- Tuning: every trial with its curve, so that the gate can correct for their number.
CREATE TABLE store.trials (
    study VARCHAR NOT NULL, number INTEGER NOT NULL, state VARCHAR NOT NULL CHECK (state IN ('complete', 'pruned', 'failed')),
    sampler VARCHAR NOT NULL, changes_json VARCHAR NOT NULL, -- what differs from the study's base specification, its trial 0
    spec_json VARCHAR, spec_digest VARCHAR,                  -- empty: the changes do not go together
    loss DOUBLE,                                             -- mean validation pinball over the folds, over that of EWMA
    curve_json VARCHAR,                                      -- validation losses at each look, one list a fold
    reason VARCHAR,                                          -- why it was pruned or failed
    data_digest VARCHAR, run_id VARCHAR NOT NULL, started_at TIMESTAMPTZ NOT NULL, finished_at TIMESTAMPTZ NOT NULL
);

-- Evaluation: the scores by year, volatility regime, sector and symbol.
CREATE TABLE store.evaluation_slices (
    model_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, forecaster VARCHAR NOT NULL, horizon INTEGER NOT NULL,
    kind VARCHAR NOT NULL CHECK (kind IN ('year', 'regime', 'sector', 'symbol')), slice VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, value DOUBLE, n_rows BIGINT, n_sessions BIGINT
);

-- The ledger of ranks: how likely each symbol's return over the horizon falls into each fifth of the universe's.
CREATE TABLE store.rank_forecasts (
    symbol VARCHAR NOT NULL, origin DATE NOT NULL, horizon INTEGER NOT NULL, forecaster VARCHAR NOT NULL,
    target_session DATE NOT NULL, model_id VARCHAR NOT NULL, symbols INTEGER NOT NULL, -- ranked together
    p1 DOUBLE NOT NULL, p2 DOUBLE NOT NULL, p3 DOUBLE NOT NULL, p4 DOUBLE NOT NULL, p5 DOUBLE NOT NULL, -- p5: the best fifth
    p_up DOUBLE NOT NULL, serving BOOLEAN NOT NULL, mode VARCHAR NOT NULL CHECK (mode IN ('live', 'backfill')),
    data_digest VARCHAR, run_id VARCHAR NOT NULL, issued_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE store.rank_scores (
    symbol VARCHAR NOT NULL, origin DATE NOT NULL, horizon INTEGER NOT NULL, forecaster VARCHAR NOT NULL,
    target_session DATE NOT NULL, fifth INTEGER NOT NULL, rps DOUBLE NOT NULL, run_id VARCHAR NOT NULL,
    scored_at TIMESTAMPTZ NOT NULL
);

-- What a training run's audit compared and found; a row with code 'compared' says how many values.
CREATE TABLE store.audits (
    run_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, origin DATE NOT NULL, code VARCHAR NOT NULL, what VARCHAR NOT NULL,
    symbol VARCHAR, session VARCHAR, detail VARCHAR, cells BIGINT NOT NULL
);

-- People: a model that passed the gate may wait for a yes, and whoever serves may be changed by hand.
CREATE TABLE store.approvals (
    position INTEGER NOT NULL, origin DATE NOT NULL, model_id VARCHAR NOT NULL, forecaster VARCHAR NOT NULL,
    decision_id VARCHAR,                                     -- what the gate had said; empty: nothing of this forecaster
    state VARCHAR NOT NULL
        CHECK (state IN ('pending', 'approved', 'rejected', 'overridden', 'chosen', 'rolled_back')),
    by_whom VARCHAR, reason VARCHAR NOT NULL, run_id VARCHAR NOT NULL, answered_at TIMESTAMPTZ NOT NULL
);

-- Watching: how far the data and the live scores have moved from what the serving model was judged on, and what was done.
CREATE TABLE store.drift (
    run_id VARCHAR NOT NULL, origin DATE NOT NULL, model_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL CHECK (kind IN ('population', 'skill', 'coverage')), what VARCHAR NOT NULL, horizon INTEGER NOT NULL,
    value DOUBLE, threshold DOUBLE, verdict VARCHAR NOT NULL CHECK (verdict IN ('steady', 'drifted', 'cannot_tell')),
    action VARCHAR NOT NULL CHECK (action IN ('none', 'retrain', 'fall_back')), sentence VARCHAR NOT NULL,
    known_at TIMESTAMPTZ NOT NULL
);

-- Markets where the truth is known: what the product said of them.
CREATE TABLE store.controls (
    run_id VARCHAR NOT NULL, control VARCHAR NOT NULL, case_name VARCHAR NOT NULL, strength DOUBLE, expected VARCHAR NOT NULL,
    answer VARCHAR NOT NULL, right_answer BOOLEAN NOT NULL, code VARCHAR, sentence VARCHAR, finished_at TIMESTAMPTZ NOT NULL
);
