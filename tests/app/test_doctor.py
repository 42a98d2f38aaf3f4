"""`nextclose doctor`: each planted fault is one line with the next step, and a sound home has none."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.cli import execute
from app.doctor import Check, Patient, examinations, look_over
from storage.home import Home
from tests.deployments.conftest import free_port
from tests.flows.conftest import no_environment  # noqa: F401

NOW = datetime(2021, 3, 31, 23, 0, tzinfo=UTC)


def looked(home: Path, name: str, now: datetime = NOW, **environment: str) -> Check:
    [check] = look_over(Patient(Home(home), environment, now), (name,))
    return check


def test_sound_home__has_no_problem(copied, capsys):
    code = execute(["doctor", "--home", str(copied), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code == 0 and said["ok"] is True
    verdicts = {check["name"]: check["verdict"] for check in said["checks"]}
    assert set(verdicts.values()) <= {"ok", "warning", "not looked at"}
    assert verdicts["digests"] == verdicts["database"] == verdicts["commits"] == verdicts["model"] == "ok"
    assert len(said["checks"]) == len(examinations()) == 17


def test_every_check__that_is_not_well_says_what_to_type(copied, tmp_path):
    for home in (copied, tmp_path / "nothing"):
        for check in look_over(Patient(Home(home), {}, NOW)):
            assert (check.next_step == "") == (check.verdict in ("ok", "not looked at")), check
            assert "\n" not in check.sentence


def test_unknown_check__is_refused_with_those_that_there_are(tmp_path, capsys):
    assert execute(["doctor", "--home", str(tmp_path), "--only", "dsik"]) == 2
    assert "disk" in capsys.readouterr().err


def test_settings__that_are_wrong_are_named(copied):
    with (copied / "settings.toml").open("a") as file:
        file.write("\n[gate]\nalhpa = 0.1\n")
    check = looked(copied, "settings")
    assert check.verdict == "problem" and "gate.alhpa" in check.sentence


def test_password__that_others_can_read(copied):
    (copied / "server-password").write_text("nextclose:0123456789abcdef\n")
    (copied / "server-password").chmod(0o644)
    check = looked(copied, "permissions")
    assert check.verdict == "problem" and check.next_step == f"chmod go-rwx {copied / 'server-password'}"


def test_settings__with_a_password_that_others_can_read(copied):
    settings = copied / "settings.toml"
    settings.chmod(0o644)
    assert looked(copied, "permissions").verdict == "ok"
    with settings.open("a") as file:
        file.write('\n[notify]\nemail = ["desk@example.org"]\nsmtp_password = "hush"\n')
    check = looked(copied, "permissions")
    assert check.verdict == "problem" and check.next_step == f"chmod go-rwx {settings}" and "hush" not in check.sentence


def test_server__that_does_not_answer(copied):
    """Somebody serves the home, as the locked file says, and nothing listens where it said it would."""
    import fcntl

    with (copied / ".serving").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        port = free_port()
        json.dump({"pid": 1, "url": f"http://127.0.0.1:{port}", "api": f"http://127.0.0.1:{port}/api"}, file)
        file.flush()
        (copied / "server-password").write_text("nextclose:0123456789abcdef\n")
        for name in ("server_security", "schedules"):
            check = looked(copied, name)
            assert check.verdict == "problem" and check.sentence == (
                f"the server at http://127.0.0.1:{port} does not answer (ConnectError)"
            )


def test_disk__without_room(copied, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**12, 10**12 - 10**8, 10**8))
    check = looked(copied, "disk")
    assert check.verdict == "problem" and check.sentence == "0.1 GB free, 1.0 GB wanted"


def test_clock__behind_the_last_publish(copied):
    published = json.loads((copied / "manifest.json").read_text())["published_at"]
    now = datetime.fromisoformat(published)
    assert looked(copied, "clock", now + timedelta(hours=1)).verdict == "ok"
    assert looked(copied, "clock", now - timedelta(hours=1)).verdict == "problem"


def test_calendars__that_end_soon(copied):
    from forecasting.sessions import coverage

    end = datetime.combine(coverage("XNYS")[1], datetime.min.time(), UTC)
    assert looked(copied, "calendars", end - timedelta(days=90)).verdict == "ok"
    check = looked(copied, "calendars", end - timedelta(days=10))
    assert check.verdict == "warning" and "XNYS" in check.sentence and "exchange-calendars" in check.next_step


def test_environment__with_the_fault_hook_left_on(copied):
    assert looked(copied, "environment", NEXTCLOSE_FAULT="after:forecast").verdict == "problem"
    assert looked(copied, "environment", NEXT_CLOSE_HOME="/data").sentence == "NEXT_CLOSE_HOME is not read"


def test_database__that_is_gone_empty_or_text(copied):
    (copied / "nextclose.duckdb").write_text("")
    assert looked(copied, "database").verdict == "problem"
    (copied / "nextclose.duckdb").write_text("hello")
    assert looked(copied, "database").next_step == "type `nextclose recover`"
    (copied / "nextclose.duckdb").unlink()
    assert looked(copied, "database").sentence.endswith("is missing")
    assert not (copied / "nextclose.duckdb").exists()  # a look makes no new one


def test_commits__that_the_database_lost(copied):
    with (copied / ".commits").open("a") as file:
        file.write('[9999, "run", "forecast/2021-04-01..2021-04-01"]\n')
    found = {check.name: check for check in look_over(Patient(Home(copied), {}, NOW), ("database", "commits"))}
    assert found["commits"].sentence == "1 commits were lost: forecast/2021-04-01..2021-04-01"


def test_digests__of_a_changed_snapshot(copied, monkeypatch):
    monkeypatch.setattr("storage.verify._MOMENT", 0.1)  # nobody publishes
    os.chmod(copied / "snapshot.duckdb", 0o644)
    with (copied / "snapshot.duckdb").open("ab") as file:
        file.write(b"x")
    check = looked(copied, "digests")
    assert check.verdict == "problem" and check.next_step == "type `nextclose recover`"
    assert looked(copied, "permissions").verdict == "warning"


def test_model__that_is_not_what_was_recorded(copied):
    [card] = (copied / "models").glob("*/card.json")
    card.write_text(card.read_text() + " ")
    assert looked(copied, "model").verdict == "problem"


def test_freshness__is_by_the_calendar(copied):
    """Forecast on Wednesday 31 March; Good Friday is no session, so on Sunday one is missing, on Monday evening two are."""
    assert looked(copied, "freshness", datetime(2021, 4, 1, 12, tzinfo=UTC)).verdict == "ok"
    assert "1 sessions of XNYS are over since" in looked(copied, "freshness", datetime(2021, 4, 4, 12, tzinfo=UTC)).sentence
    assert "2 sessions of XNYS are over since" in looked(copied, "freshness", datetime(2021, 4, 5, 22, tzinfo=UTC)).sentence


def test_backups__that_are_old(copied):
    from storage.backup import back_up

    assert "none in" in looked(copied, "backups").sentence
    back_up(Home(copied), copied / "backups", NOW)
    assert looked(copied, "backups", NOW + timedelta(days=1)).verdict == "ok"
    assert looked(copied, "backups", NOW + timedelta(days=20)).sentence == "the newest is 20 days old"
    assert "still to come" in looked(copied, "backups", NOW - timedelta(days=1)).sentence


def test_check__that_fails_itself_hides_no_other(copied, monkeypatch):
    import app.checks_home

    def broken(patient: Patient) -> Check:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(app.checks_home, "check_snapshot", broken)
    found = {check.name: check for check in look_over(Patient(Home(copied), {}, NOW))}
    assert found["snapshot"].sentence == "the check itself failed: ZeroDivisionError: by zero"
    assert found["model"].verdict == "ok"


@pytest.mark.parametrize(
    ("version", "bounds", "kept"),
    [
        ("3.8.8", "<3.10,>=3.8.8", True),
        ("3.10", "<3.10,>=3.8.8", False),
        ("3.10.0", "<3.10", False),
        ("3.9.12", "<3.10", True),
        ("0.151.0", ">=0.139,<0.151", False),
        ("2.0.57", ">=2.0.50,<2.1", True),
        ("2.1.0rc1", "<2.1", False),
        ("1.0", "", True),
    ],
)
def test_bounds__are_read_as_pip_reads_them(version, bounds, kept):
    from packaging.specifiers import SpecifierSet

    from app.checks_installation import within

    assert within(version, bounds) is kept is SpecifierSet(bounds).contains(version, prereleases=version != "2.1.0rc1")


def test_package__beyond_its_bounds_is_named(copied, monkeypatch):
    import importlib.metadata

    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.163.2" if name == "fastapi" else real(name))
    check = looked(copied, "installation")
    assert check.verdict == "problem" and check.sentence.startswith("fastapi 0.163.2 is not ")


@pytest.mark.parametrize("command", ["backup", "restore", "recover"])
def test_command__of_an_empty_home_says_what_to_do(tmp_path, capsys, command):
    assert execute([command, "--home", str(tmp_path / "none")]) in (2, 5)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_backup_and_restore__by_the_command_line(copied, tmp_path, capsys):
    assert execute(["backup", "--home", str(copied), "--to", str(tmp_path / "kept"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert execute(["restore", made["backup"], "--home", str(tmp_path / "new"), "--json"]) == 0
    brought = json.loads(capsys.readouterr().out)
    assert brought["digest"] == made["digest"] and brought["findings"] == [] and brought["last_origin"] == "2021-03-31"
    assert execute(["forecast", "AAA", "--home", str(tmp_path / "new"), "--json"]) == 0


def test_backup__of_damage_is_refused(copied, capsys):
    [card] = (copied / "models").glob("*/card.json")
    card.write_text(card.read_text() + " ")
    assert execute(["backup", "--home", str(copied)]) == 5
    assert "nextclose recover" in capsys.readouterr().err
    assert not (copied / "backups").exists()
    assert execute(["backup", "--home", str(copied), "--unchecked"]) == 0


def test_recover__does_the_lost_session_again(finished, tmp_path, capsys):
    """1 April is forecast and published; then a database of the day before comes back and the snapshot is gone."""
    from flows.daily import daily
    from flows.parameters import Daily

    home = Path(shutil.copytree(finished[0], tmp_path / "home"))
    settings = home / "settings.toml"
    settings.write_text(settings.read_text().replace("sessions = 320", "sessions = 315"))  # the market ends on 1 April
    before = (home / "nextclose.duckdb").read_bytes()
    day = daily(Daily(home=str(home)))
    assert day["origin"] == "2021-04-01"
    (home / "nextclose.duckdb").write_bytes(before)
    (home / "snapshot.duckdb").unlink()
    from storage.backup import back_up

    good = shutil.copytree(finished[0], tmp_path / "good")
    back_up(Home(good), home / "backups", NOW)
    assert execute(["recover", "--home", str(home), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sessions_to_do"] == ["2021-04-01"] and said["last_forecast"] == "2021-03-31"
    assert said["run"]["origin"] == "2021-04-01"
    from storage.verify import verify

    assert verify(Home(home)) == []
