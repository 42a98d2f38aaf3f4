-- features_latest: the stored feature values of each symbol's newest session, one row a symbol, feature set and feature.
--   symbol: ticker as the exchange writes it, upper case
--   session: session the value was computed for
--   feature_set: name and version of the list of features
--   feature: name of the feature
--   value: its value; empty during warm-up or where it is undefined
--   run_id: the run that stored it
WITH newest AS (
    SELECT symbol, feature_set, max(session) AS session FROM store.features GROUP BY symbol, feature_set
)
SELECT symbol, session, feature_set, feature, value, run_id
FROM store.features
SEMI JOIN newest USING (symbol, feature_set, session)
ORDER BY symbol, feature_set, feature
