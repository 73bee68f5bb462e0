"""Refused fields, proxies and certificates as a user meets them: through the whole program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from services import models, start_service

from bot.demo.process import DemoProcess
from bot.errors import ExitCode

Moa = Callable[..., subprocess.CompletedProcess[str]]

PICKY = models(
    a={"reply": "from a", "reject_fields": ["temperature", "stream_options"]},
    b={"reply": "from b", "reject_fields": ["max_tokens"]},
    judge={"reply": "the reply", "reject_fields": ["temperature"]},
)
MIXTURE = ("-r", "a,b", "-a", "judge")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoProcess]:
    """A service whose models each refuse something else."""
    with start_service(tmp_path, PICKY) as running:
        yield running


@pytest.fixture
def env(service: DemoProcess) -> dict[str, str]:
    """The environment in which it is the default service."""
    return {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "k"}


def sent(service: DemoProcess, model: str) -> list[dict[str, Any]]:
    return [each["body"] for each in service.requests() if each["body"] and each["body"]["model"] == model]


@pytest.mark.slow
def test_in_a_pipe(here: Moa, service: DemoProcess, env: dict[str, str]) -> None:
    """Two prompts: each refusal is met and said once, whichever worker it came to."""
    done = here(*MIXTURE, stdin="one\ntwo\n", env=env)
    assert (done.returncode, done.stdout) == (0, "the reply\nthe reply\n")
    lines = [line for line in done.stderr.splitlines() if "To make this permanent" in line]
    assert len(lines) == 3
    for model, part in (
        ("a", "rejects = ["),
        ("b", "max_tokens_field = "),
        ("judge", 'rejects = ["temperature"]'),
    ):
        [line] = [line for line in lines if line.startswith(f"moa-bot: {model} ")]
        assert f'config.toml: [models."{model}"] {part}' in line
    assert len(sent(service, "a")) == 4
    assert len(sent(service, "b")) == len(sent(service, "judge")) == 3
    assert sent(service, "b")[-1]["max_completion_tokens"] > 0


@pytest.mark.slow
def test_the_line_of_the_notice_makes_it_permanent(
    here: Moa, service: DemoProcess, env: dict[str, str], tmp_path: Path
) -> None:
    """With what the notice says in config.toml, nothing is refused any more."""
    first = json.loads(here("ask", *MIXTURE, "--json", "why?", env=env).stdout)
    said = [notice.rpartition("config.toml: ")[2] for notice in first["notices"]]
    assert len(said) == 3
    home = tmp_path / "other home"
    home.mkdir()
    tables = [line.replace("] ", "]\n", 1).replace(", max", "\nmax") for line in said]
    (home / "config.toml").write_text("\n".join(tables), encoding="utf-8")
    before = len(service.requests())
    again = here("ask", *MIXTURE, "--json", "why?", env={**env, "MOA_BOT_HOME": str(home)})
    assert json.loads(again.stdout)["notices"] == []
    assert len(service.requests()) == before + 3


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "HTTPS_PROXY"])
def test_a_setting_of_the_network_that_is_wrong(moa: Moa, variable: str) -> None:
    """One line says which, before anything is asked."""
    done = moa("ask", "why?", env={"TOGETHER_API_KEY": "k", variable: "/no/such/file"})
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"moa-bot: {variable}")


@pytest.mark.slow
def test_the_demonstration_needs_neither_proxy_nor_certificates(moa: Moa) -> None:
    """Services that this program runs are asked directly."""
    wrong = {"SSL_CERT_FILE": "/no/such/file", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    done = moa("ask", "--demo", "--no_save", "why?", env=wrong)
    assert done.returncode == 0, done.stderr
