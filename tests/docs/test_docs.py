"""What the documents say is true: every command and code is in them, and nothing that they name is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_readme__lists_every_command_and_no_other():
    from app.cli import COMMANDS

    documented = re.findall(r"^\| `nextclose ([a-z]+)", README, flags=re.MULTILINE)
    assert set(documented) == set(COMMANDS)


def test_readme__opens_with_one_command_for_the_job_and_one_for_the_tests():
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == ["sh start demo", "sh start test"]
    assert "sh start test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_operations__explains_every_exit_code():
    import forecasting.errors as errors

    codes = {error.exit_code for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)}
    documented = {int(code) for code in re.findall(r"(?:^|\| )\|? ?(\d+) \|", OPERATIONS, flags=re.MULTILINE)}
    assert codes <= documented


def test_operations__names_only_settings_that_exist():
    import tomllib

    from tasks.settings import settings_of

    example = re.search(r"```toml\n(.*?)```", OPERATIONS, flags=re.DOTALL).group(1)
    assert settings_of(tomllib.loads(example)).universe.symbols == ("AAPL", "TSLA", "BRK-B", "0700.HK")


def test_gate__describes_each_of_its_codes_where_it_is_defined():
    import forecasting.judging.gate as gate

    used = set(re.findall(r'Check\(\s*"(G\d\d)"', Path(gate.__file__).read_text(encoding="utf-8")))
    assert used == set(re.findall(r"^    (G\d\d) ", gate.__doc__, flags=re.MULTILINE)) != set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_page__links_and_paths_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:forecasting|sources|storage|tasks|flows|app|deployments|tests|docs|benchmarks)/[\w./-]+)`", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in named if not (ROOT / path).exists()]
    assert missing == []


def test_project__names_no_machine_and_no_registry():
    """The project speaks of itself alone; a path of somebody's machine is nobody else's."""
    hosts = ("python" + "hosted", "py" + "pi.org", "registry." + "npmjs", "deb." + "debian")
    paths = ("/ro" + "ot/", "/wo" + "rk/", "/tmp/" + "bash_jobs")
    found = []
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        if path.suffix not in {".py", ".md", ".toml", ".lock", ".sql", ".yaml", ".sh"} or relative.parts[0] in {
            ".venv",
            ".git",
        }:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{relative}: {word}" for word in (*hosts, *paths) if word in text]
    assert found == []
