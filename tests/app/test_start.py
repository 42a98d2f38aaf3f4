"""The set-up script: what it makes, what it keeps, what it makes again. Python and pip are stood in for by a shell script."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Answers like Python as far as the script asks: its version, `-m venv`, `-m pip`; and notes what it was asked to do.
PYTHON = r"""#!/bin/sh
log=$STAND_IN_LOG
case "$*" in
    *version_info*) exit "${STAND_IN_WRONG_VERSION:-0}" ;;
    *"import ensurepip"*) exit "${STAND_IN_NO_VENV:-0}" ;;
    --version) echo "Python 3.12.1 (stand-in)" ;;
    "-c ") exit 0 ;;
    "-m venv --clear -- "*)
        for venv; do :; done
        echo "venv" >>"$log"
        rm -rf "$venv"; mkdir -p "$venv/bin"; cp "$0" "$venv/bin/python" ;;
    *"-m pip install"*"-r "*)
        for list; do :; done
        case $list in */requirements.lock) echo "packages" ;; *) echo "pip" ;; esac >>"$log"; cat "$list" >>"$log.given"
        sleep "${STAND_IN_SLOW:-0}"; exit "${STAND_IN_PIP:-0}" ;;
    *"-m pip install"*) echo "project" >>"$log" ;;
    "-P -m app.cli "*) shift 3; echo "nextclose $*" ;;
    "-m pytest"*) shift 2; echo "pytest in $(pwd): $*" ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""

PIP = """pip==2 \\
    --hash=sha256:21 \\
    --hash=sha256:22
    # via nextclose
"""
LOCK = f"""one==1 \\
    --hash=sha256:11
{PIP}pip-tools==3 \\
    --hash=sha256:31
"""
SET_UP = ["venv", "pip", "packages", "project"]


class Project:
    """A copy of the script in a folder with a blank in its name, and a PATH on which only the stand-in is a Python."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.log = folder / "a project", folder / "bin", folder / "log"
        self.root.mkdir()
        self.bin.mkdir()
        self.log.write_text("")
        shutil.copy(ROOT / "start", self.root / "start")
        (self.root / "requirements.lock").write_text(LOCK)
        (self.root / "pyproject.toml").write_text("[project]\n")
        for tool in (
            "sh",
            "cat",
            "rm",
            "mkdir",
            "rmdir",
            "mv",
            "cp",
            "cksum",
            "dirname",
            "sleep",
            "echo",
            "printf",
            "kill",
            "awk",
            "pwd",
        ):
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        self.python("python3.12")

    def python(self, name: str) -> None:
        (self.bin / name).write_text(PYTHON)
        (self.bin / name).chmod(0o755)

    def start(self, *arguments: str, wait: bool = True, **environment: str):
        command = ["/bin/sh", str(self.root / "start"), *arguments]
        bare = {"PATH": str(self.bin), "HOME": str(self.root), "STAND_IN_LOG": str(self.log), **environment}
        process = subprocess.Popen(
            command, env=bare, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        if not wait:
            return process
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    @property
    def did(self) -> list[str]:
        return self.log.read_text().split()

    @property
    def given(self) -> str:
        """The lists that pip was given, one after the other."""
        return Path(f"{self.log}.given").read_text()


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def test_start__sets_up_once_and_runs_the_command(project):
    code, out, err = project.start("demo", "--home", "my demo")
    assert (code, out) == (0, "nextclose demo --home my demo\n"), err
    assert project.did == SET_UP
    code, out, err = project.start("status")
    assert (code, out, err) == (0, "nextclose status\n", "")
    assert project.did == SET_UP  # nothing again


def test_start__installs_the_locks_own_pip_before_the_others(project):
    project.start("setup")
    assert project.given == PIP + LOCK


def test_start_test__runs_pytest_in_the_project_and_what_was_typed_comes_last(project):
    said = project.start("test", "-k", "gate", "-n", "0")[1]
    assert said == f"pytest in {project.root}: -n auto --dist loadfile --no-loadscope-reorder -k gate -n 0\n"


def test_start__sets_up_again_when_the_lock_changed(project):
    project.start("setup")
    (project.root / "requirements.lock").write_text("one==2\n")
    assert project.start("status")[0] == 0
    assert project.did == SET_UP * 2


def test_start__makes_a_half_finished_setup_again(project):
    code, _, err = project.start("demo", STAND_IN_PIP="1")
    assert code == 1 and "could not install the packages" in err and "run the same command again" in err
    assert project.start("demo")[:2] == (0, "nextclose demo\n")
    assert project.did == ["venv", "pip", *SET_UP]


def test_start__two_at_once_set_up_once(project):
    first = project.start("demo", wait=False, STAND_IN_SLOW="2")
    second = project.start("status", wait=False, STAND_IN_SLOW="2")
    said = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert [out for out, _ in said] == ["nextclose demo\n", "nextclose status\n"]
    assert project.did == SET_UP
    assert sum("another set-up is under way" in err for _, err in said) == 1
    assert not (project.root / ".venv.busy").exists()


def test_start__takes_over_from_a_setup_that_was_killed(project):
    (project.root / ".venv.busy").mkdir()
    (project.root / ".venv.busy" / "pid").write_text("999999999\n")
    assert project.start("demo")[0] == 0


def test_start__without_a_python_says_which_it_needs(project):
    (project.bin / "python3.12").unlink()
    code, _, err = project.start("demo")
    assert code == 1 and "no Python 3.11, 3.12 or 3.13" in err and "NEXTCLOSE_PYTHON" in err
    assert not (project.root / ".venv").exists()


def test_start__with_only_an_old_python(project):
    code, _, err = project.start("demo", STAND_IN_WRONG_VERSION="1")
    assert code == 1 and "no Python 3.11, 3.12 or 3.13" in err


def test_start__with_a_python_without_venv_says_what_to_install(project):
    code, _, err = project.start("demo", STAND_IN_NO_VENV="1")
    assert code == 1 and "apt install python3-venv" in err


def test_start__with_a_named_python_that_is_none(project):
    code, _, err = project.start("demo", NEXTCLOSE_PYTHON="/no/such/python")
    assert code == 1 and err == "start: NEXTCLOSE_PYTHON is /no/such/python, which is not Python 3.11, 3.12 or 3.13\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_start__in_a_folder_that_cannot_be_written(project):
    project.root.chmod(0o555)
    try:
        code, _, err = project.start("demo")
        assert code == 1 and "copy the project to a folder of your own" in err
    finally:
        project.root.chmod(0o755)


def test_ci__runs_the_same_command_as_the_readme():
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec sh start test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
