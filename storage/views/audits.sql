-- audits: what the leak audit of each training run compared and found, one row a leak, and one with the number of values.
--   origin: session at whose close the model was trained
--   model_id: hash of the model folder that was audited
--   code: K1 truncation, K3 poisoned future, K5 order of symbols, K6 fitted numbers, K8 purge, K9 embargo, K10 split, K15 later
--     splits and dividends; compared: how many values were looked at
--   what: the feature, fitted number or split that saw the future
--   symbol: symbol of the first value that differed; empty for what belongs to no symbol
--   session: session of that value
--   detail: what was changed when it differed
--   cells: values that differed; for compared all that were compared
--   run_id: the run that audited
SELECT origin, model_id, code, what, symbol, session, detail, cells, run_id
FROM store.audits
ORDER BY origin, run_id, code, what
