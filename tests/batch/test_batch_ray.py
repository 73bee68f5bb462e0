"""The same batch on a Ray cluster of two processes on this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from services import conversation, start_service

pytest.importorskip("ray", reason="the extra `ray` is not installed")

PROMPTS = [f"question {number}" for number in range(8)]


@pytest.mark.timeout(180)
def test_a_batch_on_ray_resumes_one_made_here(
    moa: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Two actors answer the rows that a local run has left open, into the same files, in order."""
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    says = {"a": {"reply": "from a"}, "judge": {"echo": True}}
    with start_service(tmp_path, {"models": says}) as service:
        environment = {
            "TOGETHER_BASE_URL": service.base_url,
            "TOGETHER_API_KEY": "not-needed",
            "HF_HOME": str(tmp_path / "hf"),
        }
        arguments = ["batch", str(file), "-r", "a", "-a", "judge", "--num_proc", "2"]
        refusing = {"echo": True, "failures": [{"status": 400, "contains": "question"}]}
        service.set_behaviour({"models": {**says, "judge": refusing}})
        assert moa(*arguments, env=environment).returncode == 1
        service.set_behaviour({"models": says})
        service.clear_requests()
        done = moa(*arguments, "--engine", "ray", env=environment, timeout=150)
        assert done.returncode == 0, done.stderr
        requests = service.requests()
        assert sum(request["body"]["model"] == "judge" for request in requests) == 8
        assert len({request["connection"] for request in requests}) >= 2
        service.clear_requests()
        assert moa(*arguments, env=environment).returncode == 0
        assert not service.requests()
    answers = [json.loads(line) for line in (tmp_path / "prompts.answers.jsonl").read_text().splitlines()]
    asked = [conversation(json.loads(answer["reply"]))[-1] for answer in answers]
    assert asked == PROMPTS
    assert "not-needed" not in (tmp_path / "prompts.answers.jsonl.run" / "calls.jsonl").read_text()
