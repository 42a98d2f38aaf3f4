"""A life of a home: evenings of trouble, each followed by a calm run, and all invariants looked at after every event."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults.helpers import HELPERS, Helper
from tests.faults.killing import be_ready
from tests.faults.simulated_run import SUBSTANCE, Attempt
from tests.tiny import NETWORK

#: Where lives begin: before the clocks change in spring, before Good Friday, before the clocks change in autumn.
WORLDS = {"spring": date(2021, 3, 10), "easter": date(2021, 3, 29), "autumn": date(2021, 11, 3)}
EVENINGS = 5  # sessions after the first that a world knows
SETTINGS = (
    """
[universe]
symbols = ["AAA", "BBB", "CCC"]
[source]
name = "weather"
chunk = 2
trailing_sessions = 4
"""
    + NETWORK
)


class Broken(AssertionError):
    """An invariant that does not hold."""


@dataclass
class World:
    """The calm history of a home: ``homes[n]`` is what it was after evening ``n``, ``told[n]`` what it held (`looked_at`)."""

    sessions: list[date]
    homes: list[Path]
    told: list[dict[str, Any]]
    places: int  # writes of a calm evening
    flow: str


@dataclass
class Life:
    """One seed. ``story`` is for the person who replays it."""

    seed: int
    world: World
    home: Path
    rng: random.Random
    plant: str | None = None
    story: list[str] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    begin: int = 0
    evening: date | None = None  # whose forecasts may still come in

    def run(self, *attempts: Attempt) -> list[dict]:
        """Starts of the day in the same instant, each in a process of its own."""
        fresh = self.plant is not None  # what is planted stays in a process
        helpers = [Helper() for _ in attempts] if fresh else [HELPERS.mine, HELPERS.other][: len(attempts)]
        for helper, attempt in zip(helpers, attempts, strict=True):
            helper.tell("lived", self.home, attempt, self.plant, self.world.flow)
        answers = [helper.hear() for helper in helpers]
        for helper in helpers if fresh else ():
            helper.end()
        return answers

    def ask(self, what: str, *arguments: object) -> dict:
        return HELPERS.mine.ask(what, self.home, *arguments)


def live(life: Life, begin: int, evenings: int) -> None:
    """A life from the evening after ``begin`` on; raises Broken."""
    world, rng = life.world, life.rng
    shutil.copytree(world.homes[begin], life.home)
    life.begin, life.seen = begin, json.loads(json.dumps(world.told[begin]))
    exact, missed = True, []
    for number in range(begin + 1, begin + 1 + evenings):
        session = world.sessions[number]
        life.evening, last = session, number == begin + evenings
        if not last and rng.random() < 0.2:
            missed.append(session)
            life.story.append(f"{session}: nobody runs anything")
            life.events["missed evening"] += 1
            continue
        now = after_close(session) + timedelta(minutes=rng.choice([35, 90, 300, 840]))
        for _ in range(rng.choice([0, 1, 1, 2])):
            exact = trouble(life, now, session) and exact
            now += timedelta(minutes=rng.choice([0, 1, 10, 20]))
        exact = exact and not missed
        [calm] = life.run(Attempt(now))
        life.story.append(f"{session}: calm run at {now:%Y-%m-%d %H:%M}: {calm}")
        if (
            "error" in calm
            or "killed" in calm
            or calm["origin"] != str(session)
            or calm["status"] not in ("completed", "nothing_to_do")
        ):
            raise Broken(f"the calm run of {session} ended as {calm}")
        life.seen["known"][now.isoformat()] = None  # what is known now must be known for ever
        look(life, calm=True)
        expect(life, number, exact, missed)
        if rng.random() < 0.3:
            idle(life, now, session)


def trouble(life: Life, now: datetime, session: date) -> bool:
    """One bad event of an evening; whether the day can still end in the very digest of a calm one."""
    rng = life.rng
    kind = rng.choices(
        ["killed", "disk full", "disk broken", "provider", "two runs", "clock back", "killed and recovered", "log torn"],
        [5, 2, 2, 4, 2, 1, 1, 1],
    )[0]
    life.events[kind] += 1
    place = rng.randrange(1, life.world.places + 1)
    fate = {"disk full": "full", "disk broken": "broken"}.get(kind, "kill")
    mood = rng.choice(["down", "rate limited", "blocked", "one fails", "hole", "rubbish"]) if kind == "provider" else "fair"
    if kind == "two runs":
        collide(life, Attempt(now), Attempt(now, fate=rng.choice(["", "kill"]), place=place))
        return True
    if kind == "clock back":
        attempt = Attempt(now - timedelta(hours=1))
    elif kind == "provider":
        attempt = Attempt(now, mood, rng.choice([1, 2, 99]), rng.choice(["AAA", "CCC"]), rng.choice(["", "", "kill"]), place)
    else:
        attempt = Attempt(now, fate=fate, place=place)
    [answer] = life.run(attempt)
    life.story.append(f"{session}: {kind}: {attempt}: {answer}")
    if answer.get("code") == 1:
        raise Broken(f"{kind} was told as a fault of ours: {answer['error']}")
    log = life.home / "nextclose.duckdb.wal"
    if kind == "log torn" and log.exists():
        with log.open("rb+") as file:
            file.truncate(rng.randrange(1, log.stat().st_size + 1))
        done = life.ask("recovered", now)
        life.story.append(f"{session}: the log was torn; recover: {done}")
        look(life, torn=True)
    elif kind == "killed and recovered":
        done = life.ask("recovered", now)
        life.story.append(f"{session}: recover: {done}")
        if done.get("lost") != 0:
            raise Broken(f"recover after a kill: {done}")
        look(life)
    else:
        look(life)
    # A run that ended with a symbol missing is a run of its own; what it left out comes with the next one.
    return kind != "provider" or "digest" not in answer


def collide(life: Life, one: Attempt, other: Attempt) -> None:
    """Two runs in the same instant: at most one writes, and who does not says so."""
    answers = life.run(one, other)
    life.story.append(f"two runs: {one} and {other}: {answers}")
    wrote = [a for a in answers if a.get("already_done") is False]
    bad = [a for a in answers if "error" in a and a["code"] != 6]
    if len(wrote) > 1 or bad:
        raise Broken(f"two runs: {answers}")
    look(life)


def idle(life: Life, now: datetime, session: date) -> None:
    """A run when there is nothing to do: in mid-session of the next day, or at once again. Nothing may change."""
    later = now + timedelta(minutes=5) if life.rng.random() < 0.5 else next_noon(session)
    before = life.seen["digest"]
    [answer] = life.run(Attempt(later))
    life.story.append(f"{session}: once more at {later:%Y-%m-%d %H:%M}: {answer}")
    life.events["nothing to do"] += 1
    look(life)
    if answer.get("already_done") is not True or life.seen["digest"] != before:
        raise Broken(f"a run with nothing to do: {answer}")


def look(life: Life, calm: bool = False, torn: bool = False) -> None:
    """The invariants, against what was seen before."""
    before = life.seen
    now = life.ask("looked_at", list(before["known"]), before, calm)
    if "counts" not in now:
        raise Broken(f"the home cannot be read: {now}")
    published, was = now["published"], before["published"]
    wrong = {
        "published is torn": published["torn"],
        "published a run that is not complete": not published["whole"],
        "published less than before": published["forecasts"] < was["forecasts"] or published["bars"] < was["bars"],
        "a key twice": now["twice"],
        "rows without a step": now["orphans"],
        "rows lost": not torn and {t: (n, now["counts"][t]) for t, n in before["counts"].items() if now["counts"][t] < n},
        "commits lost": not torn and now["lost"],
        "issued forecasts changed": not torn
        and [o for o, mark in before["issued"].items() if now["issued"].get(o) != mark and o != str(life.evening)],
        "the past reads otherwise": {i for i, m in before["known"].items() if m and now["known"][i] != m},
        "published is not what is stored": calm and now["digest"] != published["digest"],
        "not in order after a calm run": calm and now["disorder"],
    }
    life.seen = now
    broken = {what: found for what, found in wrong.items() if found}
    if broken:
        raise Broken("; ".join(f"{what} ({found})" for what, found in broken.items()))


def expect(life: Life, number: int, exact: bool, missed: list[date]) -> None:
    """After a calm run: every session once; the calm history's digest, or at least its substance."""
    calm, session = life.world.told[number], life.world.sessions[number]
    wanted = [str(day) for day in life.world.sessions[: number + 1]]
    if sorted(life.seen["issued"]) != wanted:
        raise Broken(f"forecast origins {sorted(life.seen['issued'])}, not {wanted}")
    if exact and life.seen["digest"] != calm["digest"]:
        raise Broken(f"the digest after {session} is not that of an undisturbed life")
    substance = ("bars",) if missed else tuple(SUBSTANCE)
    other = [name for name in substance if life.seen["substance"][name] != calm["substance"][name]]
    if other:
        raise Broken(f"after {session} other {' and '.join(other)} than in an undisturbed life")
    since = life.world.sessions[life.begin + 1 : number + 1]
    modes = {day: life.seen["modes"][str(day)] for day in since}
    if modes != {day: "backfillbackfill" if day in missed else "livelive" for day in since}:
        raise Broken(f"missed were {missed}, and the modes of the sessions are {modes}")


def after_close(session: date) -> datetime:
    from forecasting.sessions import closes_at

    return closes_at("XNYS", session)


def next_noon(session: date) -> datetime:
    """In mid-session of the session after: its last day's run has nothing to do."""
    from forecasting.sessions import add_sessions

    return after_close(add_sessions("XNYS", session, 1)) - timedelta(hours=2)


def made(name: str, folder: Path, flow: str) -> World:
    """The calm history of a world: a home and what it holds after each evening."""
    from forecasting.sessions import sessions_between

    first = WORLDS[name]
    days = sessions_between("XNYS", first, first + timedelta(days=20)).astype("datetime64[D]").astype(object)
    world = World([*map(_as_date, days[: EVENINGS + 1])], [], [], 0, flow)
    home = folder / name
    home.mkdir(parents=True)
    (home / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    instants = []
    for number, session in enumerate(world.sessions):
        now = after_close(session) + timedelta(minutes=32)
        report = HELPERS.mine.ask("lived", home, Attempt(now, fate="count"), None, flow)
        if report.get("status") != "completed":
            raise SystemExit(f"the calm history ended at {session}: {report}")
        if number == 0:
            be_ready(HELPERS.mine.ask("modules")["modules"])
        world.places = report["places"]
        instants.append(now.isoformat())
        world.told.append(HELPERS.mine.ask("looked_at", home, instants))
        if "counts" not in world.told[-1]:
            raise SystemExit(f"the calm history cannot be read: {world.told[-1]}")
        world.homes.append(Path(shutil.copytree(home, folder / f"{name}-{number}")))
    return world


def _as_date(day: Any) -> date:
    return date(day.year, day.month, day.day)


def one(seed: int, worlds: dict[str, World], folder: Path, plant: str | None = None) -> tuple[Life, str]:
    """Live one seed; the life, and what broke (empty: nothing)."""
    rng = random.Random(seed)
    name = rng.choice(sorted(worlds))
    evenings = rng.choice([1, 1, 1, 2])
    begin = rng.randrange(0, EVENINGS + 1 - evenings)
    life = Life(seed, worlds[name], folder / f"seed-{seed}", rng, plant)
    life.story.append(f"seed {seed}: {name}, from {worlds[name].sessions[begin]} on, {evenings} sessions")
    try:
        live(life, begin, evenings)
        problem = ""
    except Broken as error:
        problem = str(error)
    finally:
        for path in folder.glob(f"seed-{seed}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return life, problem
