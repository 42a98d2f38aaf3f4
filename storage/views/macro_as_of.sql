-- macro_as_of(as_of): macro series as they were known at an instant, one row a vintage; use those published by then.
--   series: name of the series, upper case, such as VIX or DGS10
--   about: the day that the value is about, or the first day of its month or quarter
--   published_at: UTC instant from which the value may be used: by the sessions whose bars are final then or later
--   value: the value, in the unit of its source
--   revision: how often this vintage was corrected since it first became known (0: never); a new vintage is a row of its own
--   source: where it came from
--   dated_by: who says when it was published: source (it does), rule (how late such a series comes), seen (it differed
--     from what was there before), or session (stored before vintages were kept)
--   known_at: UTC instant at which this value became known to us
SELECT series, about, published_at, value, revision, source, dated_by, known_at
FROM (SELECT * FROM store.macro_values WHERE known_at <= as_of)
ANTI JOIN (
    SELECT series, about, published_at, revision - 1 AS revision FROM store.macro_values WHERE revision > 0 AND known_at <= as_of
) USING (series, about, published_at, revision)
