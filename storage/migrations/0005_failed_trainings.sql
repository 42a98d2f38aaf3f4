-- Trainings that were due and failed, while somebody served: the next one waits for a while, and a rerun tells the same.
-- As in 0001: no keys or indexes; appended only; TIMESTAMPTZ is wall clock and no part of the content digest.
CREATE TABLE store.failed_trainings (
    run_id VARCHAR NOT NULL, origin DATE NOT NULL, reason VARCHAR NOT NULL, known_at TIMESTAMPTZ NOT NULL
);
