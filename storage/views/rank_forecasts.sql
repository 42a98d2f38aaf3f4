-- rank_forecasts: how likely each symbol's return ranks in each fifth of the universe's, with what came true; one row a symbol, origin, horizon and forecaster.
--   symbol: ticker as the exchange writes it, upper case
--   origin: session whose close was the last one known
--   horizon: sessions ahead of the origin
--   target_session: the session at which the returns are ranked
--   forecaster: who served, with its own width in the draws; or joint_bootstrap, the rival: past sessions as they were
--   serving: whether it is the forecaster that served
--   model_id: hash of the model folder that served
--   mode: live, or backfill where it was computed later from what was known at the origin
--   symbols: how many were ranked together; another company gives other probabilities
--   p1: probability of the lowest fifth of returns
--   p2: of the second fifth
--   p3: of the middle fifth
--   p4: of the fourth fifth
--   p5: of the highest fifth; p1 to p5 sum to 1
--   p_up: probability, from the same draws, that the close at the target session is above that of the origin
--   settled: whether the company settled and was scored
--   fifth: the fifth that came true, 1 the lowest
--   rps: ranked probability score, 0 is best; five equal probabilities score 0.16 on average
--   data_digest: digest of the data the forecast was made from
--   run_id: the run that issued it
--   issued_at: UTC instant at which it was written
SELECT
    r.symbol, r.origin, r.horizon, r.target_session, r.forecaster, r.serving, r.model_id, r.mode, r.symbols,
    r.p1, r.p2, r.p3, r.p4, r.p5, r.p_up,
    s.symbol IS NOT NULL AS settled, s.fifth, s.rps,
    r.data_digest, r.run_id, r.issued_at
FROM store.rank_forecasts AS r
LEFT JOIN store.rank_scores AS s
    ON s.symbol = r.symbol AND s.origin = r.origin AND s.horizon = r.horizon AND s.forecaster = r.forecaster
