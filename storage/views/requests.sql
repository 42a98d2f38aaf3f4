-- requests: what asking the sources cost and how it went, one row a source and day (UTC).
--   source: the source
--   day: day of the requests, UTC
--   requests: requests made
--   seconds: seconds spent waiting for answers
--   answered: symbols that answered
--   failed: symbols that did not
--   last_success_at: UTC instant of the last answer of that day
--   last_failure_at: UTC instant of the last failure of that day
--   last_failure: what it was
SELECT
    source, asked_at::DATE AS day, sum(requests)::BIGINT AS requests, round(sum(seconds), 2) AS seconds,
    sum(answered)::BIGINT AS answered, sum(failed)::BIGINT AS failed,
    max(asked_at) FILTER (WHERE answered > 0) AS last_success_at,
    max(asked_at) FILTER (WHERE failed > 0) AS last_failure_at,
    arg_max(kind || ': ' || detail, asked_at) FILTER (WHERE failed > 0) AS last_failure
FROM store.requests
GROUP BY source, day
ORDER BY day, source
