"""The same deployments three times: in code, in prefect.yaml, and in containers; parsed and held against each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployments.catalogue import deployments, planned, times_of
from deployments.environment import address_of, flows_environment, server_environment
from forecasting.errors import SettingError
from tasks.settings import Settings, read_settings, settings_of
from tests.deployments.conftest import ROOT

FILE = ROOT / "deployments" / "prefect.yaml"
CONTAINERS = ROOT / "deployments" / "containers"
COMPOSE = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")


def test_every_flow__has_a_deployment():
    parts = {"__init__", "challenge", "entry", "issuing", "parameters", "prices"}
    flows = {path.stem for path in (ROOT / "flows").glob("*.py")} - parts
    assert {plan.flow for plan in planned(times_of(Settings()))} == flows


def test_prefect_yaml__says_what_the_code_says():
    filed = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
    times = times_of(Settings())
    assert [one["name"] for one in filed] == [plan.name for plan in planned(times)]
    for one, plan in zip(filed, planned(times), strict=True):
        assert one["entrypoint"] == f"deployments.prefect_flows.{plan.flow}", plan.name
        assert one["description"] == plan.description, plan.name
        assert one["tags"] == plan.tags, plan.name
        assert one.get("parameters", {}) == ({} if plan.request is None else {"request": plan.request}), plan.name
        assert [(s["cron"], s["timezone"]) for s in one.get("schedules", [])] == [(cron, times.timezone) for cron in plan.crons]
        assert one["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
        assert one["version"] == deployments(Settings())[0].version


def test_deployments__follow_the_exchange_of_the_symbols():
    made = {d.name: d for d in deployments(settings_of({"universe": {"symbols": ["7203.T", "6758.T"]}}))}
    assert {s.schedule.timezone for s in made["daily"].schedules} == {"Asia/Tokyo"}
    assert made["promote"].schedules in (None, [])
    assert made["daily"].concurrency_options.collision_strategy == "CANCEL_NEW" and made["daily"].concurrency_limit == 1


def test_prefect_yaml__is_taken_by_the_real_command(client, served, prefect_server, tmp_path):
    """Under other names, since a deployment of a work pool is not served any more."""
    copy = tmp_path / "prefect.yaml"
    text = re.sub(r"^  - name: (.+)$", r"  - name: pool-\1", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    copy.write_text(text.replace('cron: "', 'active: false\n        cron: "'), encoding="utf-8")
    environment = {
        **os.environ, "PREFECT_API_URL": prefect_server, "PREFECT_API_AUTH_STRING": ":".join(served.login), "NO_COLOR": "1",
        "PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1",
    }  # fmt: skip
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    for arguments in (
        ["work-pool", "create", "nextclose", "--type", "process", "--overwrite"],
        ["deploy", "--all", "--prefect-file", str(copy)],
    ):
        done = subprocess.run(
            [*prefect, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    filed = {d.name.removeprefix("pool-"): d for d in client.read_deployments() if d.work_pool_name == "nextclose"}
    served_ones = {d.name: d for d in client.read_deployments() if d.work_pool_name is None}
    assert set(filed) == set(served_ones)
    for name, one in filed.items():
        other = served_ones[name]
        assert (one.entrypoint, one.description, one.tags) == (other.entrypoint, other.description, other.tags)
        assert one.parameter_openapi_schema == other.parameter_openapi_schema
        assert one.concurrency_options.collision_strategy == other.concurrency_options.collision_strategy
        crons = [sorted((s.schedule.cron, s.schedule.timezone) for s in d.schedules) for d in (one, other)]
        assert crons[0] == crons[1], name


def test_compose__publishes_to_this_machine_only():
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)


def test_compose__has_no_secret_and_starts_nothing_without_one():
    text = (CONTAINERS / "compose.yaml").read_text(encoding="utf-8")
    given = re.findall(r"(\w*PASSWORD\w*): (.+)", text)
    assert given and all("${" in value for _, value in given)
    assert "NEXTCLOSE_PASSWORD:?" in text and "NEXTCLOSE_DATABASE_PASSWORD:?" in text


@pytest.mark.parametrize("name", ["server", "worker", "web"])
def test_compose__service_is_closed_and_has_no_rights(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"] and "privileged" not in service


def test_compose__settings_are_settings_and_the_server_is_asked_for_a_password():
    """The variables of the server's container, with passwords put in, make an address that it agrees to listen on."""
    given = {k: str(v) for k, v in COMPOSE["services"]["server"]["environment"].items() if k.startswith("NEXTCLOSE_SERVE")}
    settings = read_settings(Path("none.toml"), given | {"NEXTCLOSE_SERVE__HOST": "0.0.0.0"})
    address = address_of(settings.serve, chosen_password=True)
    assert {"server:4200", "localhost:4200", "127.0.0.1:4200"} <= set(address.hosts)
    assert COMPOSE["services"]["worker"]["environment"]["PREFECT_API_URL"] == "http://server:4200/api"
    with pytest.raises(SettingError):
        address_of(settings.serve, chosen_password=False)


def test_compose__commands_are_commands_of_ours():
    from app.cli import COMMANDS

    for name in ("server", "web"):
        assert COMPOSE["services"][name]["command"][0] in COMMANDS
    assert re.search(r'ENTRYPOINT \["nextclose"\]', DOCKERFILE)


def test_compose__volumes_are_declared_and_the_web_app_only_reads():
    used = {volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])
    assert COMPOSE["services"]["web"]["volumes"] == ["data:/home/nextclose/data:ro"]
    assert "data:/home/nextclose/data" in COMPOSE["services"]["worker"]["volumes"]
    assert "NEXTCLOSE_HOME=/home/nextclose/data" in DOCKERFILE


def test_dockerfile__copies_every_package_and_nothing_that_is_not_there():
    copied = {source for line in re.findall(r"^COPY (.+)$", DOCKERFILE, flags=re.MULTILINE) for source in line.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied), copied
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert packages <= {source.rstrip("/") for source in copied}


def test_dockerfile__installs_from_the_lock_with_hashes_and_runs_as_nobody_special():
    assert "--no-deps --require-hashes -r requirements.lock" in DOCKERFILE
    last_user = re.findall(r"^USER (\w+)", DOCKERFILE, flags=re.MULTILINE)[-1]
    assert last_user == "nextclose" and "useradd" in DOCKERFILE
    version = re.search(r"^FROM python:(\d+)\.(\d+)", DOCKERFILE, flags=re.MULTILINE)
    assert (3, 11) <= (int(version[1]), int(version[2])) <= (3, 13)


def test_worker_script__is_shell_and_deploys_the_file():
    script = CONTAINERS / "worker.sh"
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    assert "--prefect-file deployments/prefect.yaml" in script.read_text(encoding="utf-8")


def test_environment__is_closed_whatever_the_callers_says(tmp_path):
    """A caller who opened his own Prefect by variables does not open ours."""
    settings, base = Settings(), {
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "false", "PREFECT_SERVER_API_AUTH_STRING": "", "PREFECT_API_KEY": "key",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "true", "NEXTCLOSE_PASSWORD": "do-not-hand-on", "PATH": "/bin",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
    }  # fmt: skip
    address = address_of(settings.serve, chosen_password=False)
    server = server_environment(base, tmp_path, settings.serve, address, "nextclose:secret-secret")
    flows = flows_environment(base, tmp_path, settings.serve, address, "nextclose:secret-secret")
    assert server["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    assert server["PREFECT_SERVER_API_AUTH_STRING"] == "nextclose:secret-secret"
    assert server["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false" and server["DO_NOT_TRACK"] == "1"
    assert server["PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT"] == "false"
    assert server["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200,http://localhost:4200"
    assert server["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == f"sqlite+aiosqlite:///{tmp_path}/prefect/prefect.db"
    for made in (server, flows):
        assert "PREFECT_API_KEY" not in made and "NEXTCLOSE_PASSWORD" not in made and made["PATH"] == "/bin"
        assert made["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert "PREFECT_SERVER_API_AUTH_STRING" not in flows


@pytest.mark.parametrize(
    ("said", "made"), [("*", "*"), ("", "127.0.0.1"), ("intranet,10.0.0.0/8", "intranet,10.0.0.0/8,127.0.0.1")]
)
def test_environment__asks_no_proxy_for_the_server_itself(tmp_path, said, made):
    settings = Settings()
    address = address_of(settings.serve, chosen_password=False)
    for one in (server_environment, flows_environment):
        assert one({"no_proxy": said}, tmp_path, settings.serve, address, "nextclose:secret-secret")["no_proxy"] == made


def test_environment__takes_postgres_by_setting(tmp_path):
    settings = read_settings(tmp_path / "none.toml", {"NEXTCLOSE_SERVE__DATABASE": "postgresql+asyncpg://u:p@db/prefect"})
    address = address_of(settings.serve, chosen_password=False)
    made = server_environment({}, tmp_path, settings.serve, address, "nextclose:secret-secret")
    assert made["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://u:p@db/prefect"


def test_environment__names_settings_that_prefect_has(tmp_path):
    """A misspelt variable would open the server without a word: each name is one of Prefect's own, and understood."""
    settings = Settings()
    address = address_of(settings.serve, chosen_password=False)
    server = server_environment({}, tmp_path, settings.serve, address, "nextclose:secret-secret")
    flows = flows_environment({}, tmp_path, settings.serve, address, "nextclose:secret-secret")
    script = (
        "from prefect.settings import get_current_settings\n"
        "found = get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)\n"
        "import json; print(json.dumps(found))"
    )
    import json

    for made in (server, flows):
        done = subprocess.run([sys.executable, "-c", script], env={"PATH": os.environ["PATH"], **made}, capture_output=True,
                              text=True, check=True, timeout=120)  # fmt: skip
        understood = json.loads(done.stdout.splitlines()[-1])
        wanted = {name for name in made if name.startswith("PREFECT_")}
        missing = {name for name in wanted if not _known(name, understood)}
        assert missing == set()


def _known(name: str, understood: dict[str, str]) -> bool:
    """Prefect gives some settings back under the newer of two names."""
    newer = {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "PREFECT_SERVER_EPHEMERAL_ENABLED"}
    return name in understood or newer.get(name) in understood
