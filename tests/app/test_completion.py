"""``nextclose completion``: the script of bash, asked by bash itself; those of zsh and fish by what is in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from app.cli import COMMANDS, execute


def completed(script: str, *words: str) -> list[str]:
    """What bash proposes for the last of the words."""
    line = " ".join(["nextclose", *words])
    asked = (
        f"{script}\nCOMP_WORDS=(nextclose {' '.join(repr(w) for w in words)}); COMP_CWORD={len(words)}; COMP_LINE={line!r}; "
        f"COMP_POINT={len(line)}\n_nextclose\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    done = subprocess.run(["bash", "--norc"], input=asked, capture_output=True, text=True, check=False, timeout=20)
    assert done.stderr == "", done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash__completes_commands_options_and_choices(capsys):
    assert execute(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert set(completed(script, "")) >= set(COMMANDS)
    assert completed(script, "fore") == ["forecast"] and completed(script, "sc") == ["scoreboard"]
    assert set(completed(script, "run", "--s")) == {"--symbols", "--source"}
    assert completed(script, "scoreboard", "--mode", "l") == ["live"]
    assert "--csv" in completed(script, "status", "--") and "--csv" not in completed(script, "backup", "--")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells__name_every_command_and_option(capsys, shell):
    assert execute(["completion", shell, "--json"]) == 0
    script = json.loads(capsys.readouterr().out)["script"]
    assert all(command in script for command in COMMANDS)
    assert all(option in script for option in ("symbols", "home", "csv", "replay"))
    assert script.startswith("#compdef nextclose" if shell == "zsh" else "# Fish completion")
    if (found := shutil.which(shell)) is not None:
        assert subprocess.run([found, "-n"], input=script, text=True, check=False).returncode == 0


def test_install__puts_it_where_the_shell_looks(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert execute(["completion", "--install", "--json"]) == 0
    file = json.loads(capsys.readouterr().out)["file"]
    assert file.startswith(str(tmp_path)) and "_nextclose()" in open(file).read()
    assert os.path.exists(tmp_path / ".bashrc")
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert execute(["completion"]) == 2 and "the shell is tcsh" in capsys.readouterr().err
