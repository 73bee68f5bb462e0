"""`moa-bot doctor`: what works, what is broken, and what to do."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.demo.process import DemoProcess
from bot.onboarding.system_checks import (
    Status,
    check_certificates,
    check_log,
    check_proxies,
    check_store,
    check_terminal,
    check_versions,
)
from bot.store import Store

KEY = "a-secret-key-0815"
Moa = Callable[..., "subprocess.CompletedProcess[str]"]
SCREEN = Streams(
    None,
    io.StringIO(),
    io.StringIO(),
    stdin_is_terminal=True,
    stdout_is_terminal=True,
    stderr_is_terminal=True,
)


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_everything_works(here: Moa, environment: dict[str, str], service: DemoProcess) -> None:
    """Exit code 0, a line for each check; every model was asked once, for one token, all with the key."""
    done = here("doctor", env=environment)
    assert (done.returncode, done.stderr) == (0, f"All {len(done.stdout.splitlines())} checks passed.\n")
    assert all(line.startswith("✓ ") for line in done.stdout.splitlines())
    for name in (
        "versions",
        "configuration",
        "Together API key",
        "endpoint together",
        "model a",
        "model judge",
    ):
        assert f"✓ {name}  " in done.stdout
    assert "environment TOGETHER_API_KEY" in done.stdout
    assert KEY not in done.stdout + done.stderr
    bodies = [request["body"] for request in service.requests()]
    assert sorted(body["model"] for body in bodies) == ["a", "b", "judge"]
    assert {body["max_tokens"] for body in bodies} == {1}


def test_without_calls(here: Moa, environment: dict[str, str], service: DemoProcess) -> None:
    """With --no_calls no model is asked."""
    for spelling in ("--no_calls", "--no-calls"):
        done = here("doctor", spelling, "--json", env=environment)
        assert json.loads(done.stdout)["fine"] is True
        assert not any(name.startswith("model ") for name in checks(done))
    assert service.requests() == []


def test_offline(moa: Moa) -> None:
    """With --demo every check passes without key and network, and a repeated model is asked once."""
    done = moa("doctor", "--demo", "--json")
    assert done.returncode == 0
    assert sum(name.startswith("model demo/") for name in checks(done)) == 7


def test_models_that_fail(here: Moa, environment: dict[str, str], service: DemoProcess) -> None:
    """Each is reported with its reason and what to do; the others are still asked; exit code 1."""
    service.set_behaviour(
        {
            "models": {"a": {"failures": [{"status": 403, "message": "not you"}]}, "judge": {}},
            "require_key": KEY,
            "demo_models": False,
        }
    )
    done = here("doctor", "--json", env=environment)
    assert done.returncode == 1
    found = checks(done)
    assert found["model a"]["verdict"] == "broken"
    assert "not you" in found["model a"]["found"]
    assert found["model a"]["advice"]
    assert "no such model" in found["model b"]["found"]
    assert found["model judge"]["verdict"] == "fine"
    assert found["endpoint together"]["verdict"] == "note"
    assert "not among them: b" in found["endpoint together"]["found"]
    assert "models --endpoint together" in found["endpoint together"]["advice"]


def test_models_that_refuse_a_field(here: Moa, environment: dict[str, str], service: DemoProcess) -> None:
    """They work, and the note says what is left out and how to make that permanent."""
    service.set_behaviour({"models": {"a": {"reject_fields": ["temperature"]}, "b": {}, "judge": {}}})
    done = here("doctor", "--json", env=environment)
    assert done.returncode == 0
    found = checks(done)
    assert found["model a"]["verdict"] == "note"
    assert '[models."a"] rejects = ["temperature"]' in found["model a"]["advice"]
    assert found["model b"]["verdict"] == "fine"


@pytest.mark.parametrize(
    ("env", "name", "said"),
    [
        ({"TOGETHER_API_KEY": "wrong-key-0815"}, "endpoint together", "key refused"),
        ({"TOGETHER_BASE_URL": "http://127.0.0.1:9/v1"}, "endpoint together", "cannot connect"),
        ({"TOGETHER_API_KEY": "", "TOGETHER_BASE_URL": ""}, "Together API key", "TOGETHER_API_KEY"),
        ({"MOA_BOT_MIN_REFERENCES": "9"}, "mixture", "at least 9"),
    ],
)
def test_what_is_broken_is_found(
    here: Moa, environment: dict[str, str], env: dict[str, str], name: str, said: str
) -> None:
    """The check that fails is named, with what to do; the rest are still made; exit code 1."""
    done = here("doctor", "--json", "--no_calls", env={**environment, **env})
    assert done.returncode == 1
    check = checks(done)[name]
    assert check["verdict"] == "broken"
    assert said in check["found"]
    assert check["advice"]
    assert "wrong-key-0815" not in done.stdout
    assert "store" in checks(done)


def test_settings_that_cannot_be_read(here: Moa, home: Path) -> None:
    """The mistake in config.toml is a check that fails, not the end; wrong options are wrong usage."""
    (home / "config.toml").write_text("rounds = 99\n", encoding="utf-8")
    done = here("doctor")
    assert done.returncode == 1
    assert "✗ configuration" in done.stdout
    assert "moa-bot config edit" in done.stdout
    assert "✓ log" in done.stdout
    assert "1 of " in done.stderr
    assert (
        here("doctor", "--preset", "nowhere").returncode == 1
        or here("doctor", "--rounds", "2").returncode == 2
    )


def test_a_key_file_that_others_can_read(here: Moa, home: Path, away: str) -> None:
    """It is named, with the command that fixes it."""
    file = home / "keys.toml"
    file.write_text(f"together = {{ key = '{KEY}' }}\n", encoding="utf-8")
    file.chmod(0o644)
    check = checks(here("doctor", "--json", "--no_calls", env={"TOGETHER_BASE_URL": away}))[
        "Together API key"
    ]
    assert check["verdict"] == "broken"
    assert f"chmod 600 {file}" in check["advice"]


def test_versions() -> None:
    """Those of the program, of Python and of its main packages."""
    check = check_versions()
    assert check.status is Status.OK
    for name in ("moa-bot", "Python", "together", "prompt_toolkit"):
        assert f"{name} " in check.found


def test_the_store(tmp_path: Path) -> None:
    """None yet, one in order, one that others can read, a damaged one, and something else altogether."""
    file = tmp_path / "conversations.db"
    assert check_store(file).status is Status.OK
    assert not file.exists()
    Store.open(file).close()
    assert "0 conversations" in check_store(file).found
    if os.name == "posix":
        file.chmod(0o644)
        loose = check_store(file)
        assert (loose.status, f"chmod 600 {file}" in loose.advice) == (Status.WARNING, True)
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE filler AS SELECT value FROM json_each('[1,2,3]')")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    file.write_bytes(content)
    damaged = check_store(file)
    assert damaged.status is Status.ERROR
    assert damaged.advice
    file.write_bytes(b"something else " * 100)
    assert check_store(file).status is Status.ERROR
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert check_store(tmp_path / "file" / "conversations.db").status is Status.ERROR


def test_the_log(tmp_path: Path) -> None:
    """It can be written, also where its folder does not exist yet; where it cannot, that is a warning."""
    assert check_log(tmp_path / "logs" / "moa-bot.log").status is Status.OK
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "logs").write_text("", encoding="utf-8")
    assert check_log(tmp_path / "logs" / "moa-bot.log").status is Status.WARNING
    (tmp_path / "folder.log").mkdir()
    assert check_log(tmp_path / "folder.log").status is Status.WARNING


@pytest.mark.skipif(sys.platform == "win32", reason="TERM is not Windows'")
def test_the_terminal() -> None:
    """What it can do; one that can do little is a warning with what to do."""
    rich = check_terminal(SCREEN, {"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    assert "xterm-256color" in rich.found
    assert "24-bit" in rich.found
    assert "NO_COLOR" in check_terminal(SCREEN, {"TERM": "xterm", "NO_COLOR": "1"}).found
    dumb = check_terminal(SCREEN, {"TERM": "dumb"})
    assert (dumb.status, "TERM" in dumb.advice) == (Status.WARNING, True)
    assert check_terminal(replace(SCREEN, stdout_is_terminal=False), {}).status is Status.OK


def test_proxies(home: Path) -> None:
    """They are named without passwords; one for this computer is a warning, an invalid one an error."""
    far = load_settings({}, None, {"MOA_BOT_HOME": str(home)})
    near = load_settings(
        {"aggregator": "ollama:x", "reference_models": ["ollama:y"]}, None, {"MOA_BOT_HOME": str(home)}
    )
    proxy = {"https_proxy": f"http://me:{KEY}@proxy.example:3128"}
    assert check_proxies(far, {}).found == "none"
    named = check_proxies(far, proxy)
    assert (named.status, KEY in named.found) == (Status.OK, False)
    assert "http://proxy.example:3128" in named.found
    assert "NO_PROXY" in check_proxies(near, proxy).advice
    assert check_proxies(near, {**proxy, "NO_PROXY": "localhost"}).status is Status.OK
    assert check_proxies(far, {"HTTP_PROXY": "what"}).status is Status.ERROR
    assert "together through http://proxy.example:3128" in named.found
    assert "ollama directly" in check_proxies(near, {**proxy, "NO_PROXY": "127.0.0.0/8,localhost"}).found
    assert "ollama through socks5://s:1" in check_proxies(near, {"ALL_PROXY": "socks5://u:p@s:1"}).found
    blocks = check_proxies(far, {**proxy, "NO_PROXY": "10.0.0.0/8,.together.xyz"})
    assert "together directly" in blocks.found


def test_certificates(tmp_path: Path) -> None:
    """Which are trusted is reported; a file or folder that cannot be used is an error with its variable."""
    assert check_certificates({}).status is Status.OK
    missing = check_certificates({"SSL_CERT_FILE": str(tmp_path / "no.pem")})
    assert missing.status is Status.ERROR
    assert f"SSL_CERT_FILE={tmp_path / 'no.pem'}" in missing.found
