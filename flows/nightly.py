"""Is everything as it was left? Then a copy of it."""

from __future__ import annotations

from typing import Any

from flows.entry import home_path, settings_for
from flows.parameters import Nightly
from tasks.clock import now_utc
from tasks.engine import flow
from tasks.keeping import Keeper, back_up, check, has_content, prune
from tasks.opening import home_at


@flow
def nightly(request: Nightly) -> dict[str, Any]:
    """Read everything again and compare it with the manifest; where it is as it was left, back it up and remove the oldest
    backups, and what the sources sent long ago. Damage ends the run as failed, and nothing is copied over a good backup."""
    home = home_at(home_path(request))
    if not has_content(home):
        return {"home": str(home.path), "nothing_to_do": f"nothing is stored in {home.path} yet; the first daily run does it"}
    serve = settings_for(request).serve
    keeper = Keeper(home, now_utc(), request.keep or serve.backups, serve.landing_days)
    check(keeper)
    back_up(keeper)
    prune(keeper)
    return keeper.report
