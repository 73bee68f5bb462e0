"""Real clients against the service: each runs a script of its own, in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from client_environments import SCRIPTS, Client
from fake_models import FakeAsk
from running import slowness
from serving import REPLY, ServedApp, listening, weather_writer

from bot.cli.serve import PORT
from bot.eval.lm_eval_samples import read_lm_eval_samples
from bot.store.responses import ResponseStore

SECONDS = 300.0
"""How long a script may take: some clients need half a minute to start."""
CLIENTS = [
    Client("openai_python.py"),
    Client("openai_node.mjs", ("openai",)),
    Client("ai_sdk.mjs", ("ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "zod")),
    Client("litellm_python.py", ("litellm",)),
    Client("langchain_python.py", ("langchain-openai",)),
    Client("llama_index_python.py", ("llama-index-llms-openai-like",)),
    Client("instructor_python.py", ("instructor",)),
    Client("inspect_ai.sh", ("inspect_ai", "openai")),
    Client("lm_eval.sh", ("lm-eval[api]",)),
    Client("aider.sh", ("aider-chat",)),
]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: Path(client.script).stem)
def test_a_client(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole answers and streams, and what else it can do: tools, JSON, the Responses API."""
    command = client.command()
    monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:9/v1")
    app = ServedApp(FakeAsk({"judge": weather_writer}), responses=ResponseStore(tmp_path / "responses.db"))
    # A home of its own: some clients write settings and logs there. litellm would fetch prices from GitHub.
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": client.path(), "MOA_REPLY": REPLY}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    with listening(app) as url:
        done = subprocess.run(
            command,
            env={**environment, "MOA_URL": url, "URL": url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS * slowness(),
            check=False,
        )
    app.service.responses.close()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-6000:]
    assert app.ask.to("a"), "no reference was asked"
    if client.script == "lm_eval.sh":
        [samples] = tmp_path.glob("out/**/samples_weather_*.jsonl")
        arm = read_lm_eval_samples(samples)
        assert (arm.name, arm.kind) == ("moa", "mixture")
        assert [(each.item, each.score, each.reply) for each in arm.outcomes] == [("0", 1, REPLY)]


def test_the_table_of_clients() -> None:
    """The line that docs/service.md gives for a client is one of its script; each script has one."""
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    section = page.partition("## Clients")[2].partition("\n## ")[0]
    lines = [
        line.replace(f"http://127.0.0.1:{PORT}/v1", "URL") for line in re.findall(r"`` (.+?) ``", section)
    ]
    scripts = {client.script: _plain((SCRIPTS / client.script).read_text("utf-8")) for client in CLIENTS}
    for line in lines:
        assert any(_plain(line) in text for text in scripts.values()), f"no script runs: {line}"
    untold = [name for name, text in scripts.items() if not any(_plain(line) in text for line in lines)]
    assert lines
    assert not untold


def _plain(text: str) -> str:
    """Return the text with the address as docs and scripts both have it."""
    return text.replace('"URL"', "URL").replace("$URL", "URL")
