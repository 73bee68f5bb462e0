"""The same batch on Ray: on this machine, and on a cluster of two nodes that loses an actor and a node."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from running import until, wait
from services import conversation, start_service

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from bot.batch.ray_runner import BLOCK_ROWS

ROOT = Path(__file__).parents[2]
ROWS = 500
PROMPTS = [f"question {number}" for number in range(ROWS)]


@contextmanager
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Yield a cluster of two nodes with one core each, and the second node."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    running = Cluster(head_node_args={"num_cpus": 1, "include_dashboard": False}, initialize_head=True)
    try:
        yield running, running.add_node(num_cpus=1)
    finally:
        running.shutdown()
        gc.collect()  # it leaves sockets open, about which the mark of the test is silent


def actors() -> list[psutil.Process]:
    """Return the processes of Ray's workers that answer rows."""
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if "MapBatches(Actor)" in " ".join(each.info["cmdline"] or ())]


class Run:
    """A batch of all prompts, started again and again as a process of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.file, self.out = folder / "p.jsonl", folder / "p.answers.jsonl"
        self._folder, self._environment = folder, environment
        self.file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bot", "batch", str(self.file), "--rounds", "0", "-a", "judge"]
        return subprocess.Popen(
            [*command, "--concurrency", "16", "--num_proc", "2", *options],
            env=self._environment,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answered(self) -> int:
        """Return how many answers are kept."""
        kept = self.out.with_name(f"{self.out.name}.run") / "answers.jsonl"
        return kept.read_text().count("\n") if kept.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_row_is_lost_and_none_is_there_twice(
    tagged: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local run, one on Ray that Ctrl-C ends, and one that loses an actor and a node: each goes on."""
    with start_service(tmp_path, {"models": {"judge": {"echo": True, "first_token": 0.1}}}) as service:
        environment = {**tagged, "TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "not-needed"}
        run = Run(tmp_path, {**environment, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)})
        assert wait(run.start("--limit", "20")) == 0

        interrupted = run.start("--engine", "ray")
        until(lambda: run.answered() >= 20 + BLOCK_ROWS)
        os.kill(interrupted.pid, signal.SIGINT)
        out, err = interrupted.communicate(timeout=300)
        assert (interrupted.returncode, out) == (130, ""), err
        assert "finishing what is under way" in err
        # Each answer that was paid for is kept.
        begun = run.answered()
        assert len(service.requests()) == begun < ROWS

        with two_nodes(monkeypatch) as (cluster, node):
            last = run.start("--engine", "ray", "--ray-address", cluster.address)
            until(lambda: run.answered() >= begun + BLOCK_ROWS)
            actors()[0].kill()
            until(lambda: run.answered() >= begun + 5 * BLOCK_ROWS)
            cluster.remove_node(node, allow_graceful=False)
            assert run.answered() < ROWS
            wait(last, 300)
        out, err = last.communicate()
        # Ray has many words for dead processes; stdout is for replies.
        assert (last.returncode, out) == (0, ""), err
        others = [line for line in err.splitlines() if not line.startswith("moa-bot: ")]
        assert all("RAY_BACKEND_LOG_LEVEL" in line for line in others), err
        assert ROWS <= len(service.requests()) <= ROWS + 6 * BLOCK_ROWS
    rows = [json.loads(line) for line in run.out.read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(ROWS))
    assert [conversation(json.loads(row["reply"]))[-1] for row in rows] == PROMPTS
    assert "not-needed" not in (tmp_path / "p.answers.jsonl.run" / "calls.jsonl").read_text()
