"""How a step is run: as a Prefect task inside a Prefect flow, and as a plain call with the same policy outside one.

The product must run without a server, and Prefect 3 cannot: even a bare task call wants an API, and its stand-in, the
ephemeral server, costs 13-19 seconds and can fail on its own (docs/decisions/0005-two-ways-to-run-a-step.md). So a
step is written once, with ``@step(policy)``, and this module knows both ways to run it:

    @step(DATABASE)
    def publish(run: Run) -> Receipt: ...

    publish(run)        # inside a Prefect flow run: a task run with retries, timeout and log in the UI
                        # anywhere else: the same function with the same retries and timeout, in this process
    publish.fn(run)     # the bare function, for tests

``@flow`` does the same for whole flows: calling one runs it here; ``.prefect`` is the Prefect flow of it.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from tasks.faults import fault_point
from tasks.listening import tell
from tasks.measure import measured
from tasks.policies import Policy
from tasks.timeouts import time_limit

if TYPE_CHECKING:
    import prefect

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A function of the form ``fn(run, ...)`` with the policy under which it is tried."""

    def __init__(self, fn: Callable[P, R], policy: Policy) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.policy, self.name = fn, policy, fn.__name__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.as_prefect_task(*args, **kwargs) if inside_prefect() else self._here(*args, **kwargs)

    @functools.cached_property
    def as_prefect_task(self) -> prefect.Task[P, R]:
        """The step as a Prefect task with the same policy."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        policy = self.policy

        @functools.wraps(self.fn)
        def measured_step(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._measured(*args, **kwargs)

        def worth_retrying(task: object, task_run: object, state: Any) -> bool:
            return isinstance(state.data, BaseException) and policy.helps(state.data)

        return task(
            measured_step,
            name=self.name,
            task_run_name=_task_name(self.name),
            retries=policy.retries,
            retry_delay_seconds=policy.delays(),
            retry_jitter_factor=policy.jitter,
            retry_condition_fn=worth_retrying,
            timeout_seconds=policy.timeout_seconds,
            tags={f"policy:{policy.name}"},
            cache_policy=NO_CACHE,  # whether a step was done is asked of our own ledger, never of a result cache
            persist_result=False,
        )

    def _here(self, *args: P.args, **kwargs: P.kwargs) -> R:
        for retry in range(self.policy.retries + 1):
            try:
                with time_limit(self.policy.timeout_seconds, self.name):
                    return self._measured(*args, **kwargs)
            except Exception as error:
                if retry == self.policy.retries or not self.policy.helps(error):
                    raise
                wait = self.policy.delay(retry)
                tell().retrying(self.name, error, wait)
                time.sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    def _measured(self, *args: P.args, **kwargs: P.kwargs) -> R:
        run, *rest = args
        detail = _in_words(rest)
        fault_point(f"before:{self.name}")
        tell().started(self.name, detail)
        with measured() as cost:
            receipt = self.fn(*args, **kwargs)
        fault_point(f"after:{self.name}")
        run.spent(self.name, cost)
        tell().finished(self.name, detail, str(receipt), cost.seconds, cost.peak_mb)
        return receipt


def step(policy: Policy) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a step of a run; see the module's text."""
    return lambda fn: Step(fn, policy)


class Flow(Generic[P, R]):
    """A flow that runs where it is called; ``prefect`` is the same flow for Prefect."""

    def __init__(self, fn: Callable[P, R], name: str) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.name = fn, name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    @functools.cached_property
    def prefect(self) -> prefect.Flow[P, R]:
        """The flow for Prefect: its parameters become the form in the UI, its steps task runs."""
        from tasks.prefect_side import as_prefect_flow

        return as_prefect_flow(self.fn, self.name)

    def on_prefect(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run here, as a flow run of the Prefect server in use; InputError where there is none."""
        from tasks.prefect_side import run_on_server

        return run_on_server(self.prefect, *args, **kwargs)


def flow(fn: Callable[P, R]) -> Flow[P, R]:
    """Make a function a flow; see the module's text."""
    return Flow(fn, fn.__name__)


def inside_prefect() -> bool:
    """Whether the caller runs inside a Prefect flow run. Does not import Prefect to find out."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def _task_name(step: str) -> Callable[[dict[str, Any]], str]:
    """What the UI calls a task run: the stage and what it works on, 'fetch_prices AAPL..TSLA (50)'."""

    def named(parameters: dict[str, Any]) -> str:
        detail = _in_words([value for name, value in parameters.items() if name != "run"])
        return f"{step} {detail}".strip()[:200]

    return named


def _in_words(arguments: list[object]) -> str:
    """The arguments of a step, short enough for a line: 'AAPL..TSLA (6)' or '2013-02-01..2013-03-01 (20)'."""
    words = []
    for value in arguments:
        if isinstance(value, (tuple, list)):
            words.append(f"{value[0]}..{value[-1]} ({len(value)})" if len(value) > 3 else ", ".join(map(str, value)))
        elif value is not None:
            words.append(str(value))
    return " ".join(words)
