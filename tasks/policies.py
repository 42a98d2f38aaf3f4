"""Retry policies, named by what can go wrong.

A step is given the policy of the worst thing that it meets. What cannot get better by asking again (a wrong setting, an
unknown symbol, a leak, a model folder that is not what was recorded) is never retried, whatever the policy.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from forecasting.errors import DatabaseLocked, NextcloseError, SourceError


@dataclass(frozen=True)
class Policy:
    """How often a step is tried again, how long is waited before each time, and how long one try may take.

    The ``n``-th retry waits ``first_delay * growth**n`` seconds, lengthened at random by up to the share ``jitter`` so
    that several runs do not come back in the same instant. ``timeout_seconds`` bounds one try, not all of them.
    """

    name: str
    retries: int
    first_delay: float
    timeout_seconds: float
    growth: float = 3.0
    jitter: float = 0.5
    passing: tuple[type[BaseException], ...] = ()  # what may have gone when asked again

    def delays(self) -> list[float]:
        """The seconds before each retry, without the jitter."""
        return [self.first_delay * self.growth**n for n in range(self.retries)]

    def delay(self, retry: int) -> float:
        """The seconds before retry number ``retry`` (0 is the first), with the jitter."""
        return self.delays()[retry] * (1 + random.random() * self.jitter)

    def helps(self, error: BaseException) -> bool:
        """Whether trying again can help against ``error``."""
        if isinstance(error, SourceError):
            return error.retry and SourceError in self.passing
        if isinstance(error, NextcloseError) and not isinstance(error, DatabaseLocked):
            return False
        if isinstance(error, TimeoutError):  # an OSError by descent, but a second try would take as long
            return False
        return isinstance(error, self.passing)


#: The source is slow, busy or down. Short on purpose: a person without a network waits seconds, not minutes; the schedule
#: comes back twice in the same evening, and a day that is done is found done.
SOURCE = Policy("source", retries=2, first_delay=1.0, timeout_seconds=1800, passing=(SourceError, DatabaseLocked))

#: Somebody else has the database file open, or the disk stutters. Passes in seconds.
DATABASE = Policy("database", retries=3, first_delay=0.5, timeout_seconds=600, passing=(DatabaseLocked, OSError))

#: Everything in the home is read, and copied: as the database, with time for what years leave there.
KEEPING = Policy("keeping", retries=3, first_delay=0.5, timeout_seconds=6 * 3600, passing=DATABASE.passing)

#: Training is deterministic: the same arithmetic would fail the same way. Memory and disk can come back.
TRAINING = Policy("training", retries=1, first_delay=5.0, timeout_seconds=4 * 3600, passing=(MemoryError, OSError))

#: Reads, computes, writes: as the database, with time to compute.
COMPUTE = Policy("compute", retries=2, first_delay=0.5, timeout_seconds=3600, passing=(DatabaseLocked, OSError, MemoryError))

#: A search may take days; each trial is stored when it ends, so a second try goes on where the first stood.
TUNING = Policy("tuning", retries=1, first_delay=5.0, timeout_seconds=7 * 86_400, passing=COMPUTE.passing)

POLICIES = (SOURCE, DATABASE, KEEPING, TRAINING, TUNING, COMPUTE)
