-- universe: from when to when each symbol traded, as it is known now, one row a symbol; one that is gone stays in the past.
--   symbol: ticker as the exchange writes it, upper case
--   valid_from: its first stored session
--   valid_to: its last session, once it has been silent for universe.inactive_after sessions; empty while it trades
--   revision: how often this was corrected since it first became known (0: never)
--   known_at: UTC instant at which this became known
FROM universe_as_of(TIMESTAMPTZ 'infinity')
