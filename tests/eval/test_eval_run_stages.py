"""Whole evaluations against the offline service: killed, resumed, counted, and told honestly."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import (
    JUDGE,
    MT_MODEL,
    REFERENCES,
    UNDER_TEST,
    alpaca_behaviour,
    alpaca_data,
    mt_behaviour,
)
from running import LIMIT, slowness, until

from bot.demo.process import DemoProcess
from bot.eval.official_data import read_rows

QUESTIONS = 16
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    return offline({"models": {}})


@pytest.fixture
def environment(service: DemoProcess) -> dict[str, str]:
    return {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "not-needed"}


def answered(journal: Path) -> int:
    """How many calls the journal holds an answer to, counted apart from the program's own reading."""
    lines = journal.read_bytes().splitlines() if journal.exists() else []
    return sum(line.endswith(b"}") and b'"answer":' in line for line in lines)


def slowed(behaviour: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {"models": {name: {**says, "delay": seconds} for name, says in behaviour["models"].items()}}


@pytest.fixture
def evaluate(here: Run, environment: dict[str, str], recorded: Path, tmp_path: Path) -> Run:
    """Runs a command of the group `eval` over the recorded data, into a folder called `out`."""

    def run(*arguments: str, out: str = "out") -> subprocess.CompletedProcess[str]:
        places = ("--data_dir", str(recorded), "--out", str(tmp_path / out))
        return here("eval", *arguments, *places, env=environment)

    return run


@pytest.fixture
def killed_twice(
    start: Callable[..., subprocess.Popen[bytes]],
    here: Run,
    service: DemoProcess,
    environment: dict[str, str],
) -> Callable[..., dict[str, Any]]:
    """Runs, kills in each stage, resumes; returns the figures. What was answered is not asked again."""

    def run(arguments: list[str], out: Path, calls: tuple[int, int]) -> dict[str, Any]:
        arguments = [*arguments, "--out", str(out)]
        judgments = f"judges/together-{JUDGE}/judge.jsonl"
        for journal, some in (("generate.jsonl", calls[0] // 3), (judgments, calls[1] // 3)):
            process = start(arguments, env=environment, stdin=subprocess.DEVNULL)
            until(lambda file=out / journal, some=some: answered(file) >= some)
            process.send_signal(signal.SIGKILL)
            process.wait(LIMIT)
            # What its workers had been told to ask is theirs to end with.
            until(lambda: service.connections()["open"] == 0)
        before = answered(out / "generate.jsonl"), answered(out / judgments)
        assert before[0] == calls[0]
        assert calls[1] // 3 <= before[1] < calls[1]
        service.clear_requests()
        done = here(*arguments, env=environment)
        assert done.returncode == 0, done.stderr
        assert len(service.requests()) == sum(calls) - sum(before)
        return read(done.stdout)

    return run


def read(text: str) -> dict[str, Any]:
    """Figures whose last digits, which a fit on several cores leaves open, are rounded off."""
    figures: dict[str, Any] = json.loads(text, parse_float=lambda number: round(float(number), 9))
    return figures


def without_times(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name != "seconds_per_query"}


def test_alpaca_eval_killed_twice(
    *,
    recorded: Path,
    tmp_path: Path,
    here: Run,
    service: DemoProcess,
    environment: dict[str, str],
    killed_twice: Callable[..., dict[str, Any]],
) -> None:
    """Killed in both stages and resumed, AlpacaEval gives the figures of a run that nobody disturbed."""
    data = alpaca_data(recorded, tmp_path)
    behaviour = alpaca_behaviour(recorded, data, tmp_path)
    service.set_behaviour(behaviour)
    common = ["eval", "alpaca_eval", "run", "--data_dir", str(data), "--accept_altered", "--json"]
    common += ["-r", ",".join(REFERENCES), "-a", UNDER_TEST, "--judge", f"together:{JUDGE}"]
    common += ["--max_tokens", "100000", "--first", str(QUESTIONS), "--concurrency", "6"]
    calm = here(*common, "--out", str(tmp_path / "calm"), env=environment)
    assert calm.returncode == 0, calm.stderr
    undisturbed = read(calm.stdout)
    assert (undisturbed["n"], undisturbed["n_expected"]) == (QUESTIONS, QUESTIONS)
    assert undisturbed["figures"]["comparable"] is False

    service.set_behaviour(slowed(behaviour, 0.03))
    out = tmp_path / "killed"
    figures = killed_twice(common, out, (3 * QUESTIONS, QUESTIONS))
    assert without_times(figures) == without_times(undisturbed)
    for name in (f"judges/together-{JUDGE}/annotations.json", "model_outputs.json"):
        assert json.loads((out / name).read_text()) == json.loads((tmp_path / "calm" / name).read_text())

    rescored = here("eval", "alpaca_eval", "score", "--out", str(out), "--data_dir", str(data),
                   "--accept_altered", "--json")  # fmt: skip
    assert rescored.returncode == 0, rescored.stderr
    assert read(rescored.stdout) == figures
    official = here("eval", "alpaca_eval", "score", str(out / f"judges/together-{JUDGE}/annotations.json"),
                    "--data_dir", str(data), "--json")  # fmt: skip
    assert json.loads(official.stdout)["win_rate"] == pytest.approx(figures["figures"]["win_rate"])


def test_mt_bench_killed_twice(
    recorded: Path, tmp_path: Path, service: DemoProcess, killed_twice: Callable[..., dict[str, Any]]
) -> None:
    """The same of MT-Bench: both turns of a conversation, and the recorded scores at its end."""
    service.set_behaviour(slowed(mt_behaviour(recorded, tmp_path), 0.02))
    arguments = ["eval", "mt_bench", "run", "--data_dir", str(recorded), "--json", "--first", str(QUESTIONS)]
    arguments += ["-r", "reference", "-a", MT_MODEL, "--judge", f"together:{JUDGE}", "--max_tokens", "9000"]
    summary = killed_twice(arguments, tmp_path / "killed", (4 * QUESTIONS, 2 * QUESTIONS))
    [figures] = summary["figures"].values()
    assert (summary["n"], summary["n_expected"], summary["unparsable"]) == (2 * QUESTIONS, 2 * QUESTIONS, 0)
    rows = read_rows(recorded / "mt_bench" / "judgments.jsonl.gz")
    scores = [
        row["score"] for row in rows if row["model"] == MT_MODEL and row["question_id"] < 81 + QUESTIONS
    ]
    assert figures["score"] == pytest.approx(sum(scores) / len(scores))


def test_flask_with_a_made_up_judge(evaluate: Run, service: DemoProcess) -> None:
    """Reviews that cannot be read are counted, figures are made of the others, and the run fails."""
    skills = ("Logical Correctness", "Conciseness", "Comprehension", "Factuality", "Insightfulness")
    good = "Fine.\n" + json.dumps({**dict.fromkeys(skills, 4), "Completeness": 4, "Readability": "N/A"})
    service.set_behaviour(
        {
            "models": {
                "a": {"reply": "a proposal"},
                "judge": {"reply": "the answer"},
                "reviewer": {"replies": [good, good, "I would rather not say"]},
            }
        }
    )
    arguments = ["flask", "run", "--first", "12", "--json", "-r", "a", "-a", "judge"]
    arguments += ["--judge", "together:reviewer"]
    done = evaluate(*arguments)
    summary = json.loads(done.stdout)
    assert (summary["n"], summary["unparsable"], summary["n_expected"]) == (8, 4, 12)
    assert summary["figures"]["score"] == pytest.approx(4.0)
    assert done.returncode == 1
    assert "--max_errors 0" in done.stderr
    assert evaluate(*arguments, "--max_errors", "4").returncode == 0


def test_a_failure_is_never_a_score(evaluate: Run, service: DemoProcess) -> None:
    """Items without an answer are left out, counted, and asked again by the next run."""
    behaviour = {
        "a": {"reply": "a proposal"},
        "judge": {"reply": "x", "failures": [{"status": 400, "contains": "travel blog"}]},
        "reviewer": {"reply": "Good. [[9]]"},
    }
    service.set_behaviour({"models": behaviour})
    arguments = ["mt_bench", "run", "--first", "4", "--json", "-r", "a", "-a", "judge"]
    arguments += ["--judge", "together:reviewer"]
    done = evaluate(*arguments)
    summary = json.loads(done.stdout)
    assert (summary["unanswered"], summary["n"], summary["n_expected"]) == (1, 6, 8)
    assert done.returncode == 1
    service.set_behaviour({"models": behaviour | {"judge": {"reply": "x"}}})
    service.clear_requests()
    again = evaluate(*arguments)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["n"] == 8
    # Of the item that failed: its first aggregator again, its second turn, and its two judgments.
    assert len(service.requests()) == 1 + 2 + 2


def test_a_refused_key_ends_the_run(evaluate: Run, service: DemoProcess) -> None:
    """What no further request can change stops the run at once, with its own exit code."""
    service.set_behaviour({"models": {"a": {"reply": "x"}, "b": {"reply": "y"}}, "require_key": "another"})
    done = evaluate("mt_bench", "generate", "-r", "a", "-a", "b", "--concurrency", "2")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert len(service.requests()) < 40


def test_rate_limits_slow_a_run_down_and_fail_nothing(evaluate: Run, service: DemoProcess) -> None:
    """A service that takes two at once is sent fewer, and every item is answered in the end."""
    service.set_behaviour(
        {"models": {"a": {"reply": "x", "delay": 0.2}, "b": {"reply": "y"}}, "max_concurrent": 4}
    )
    done = evaluate("mt_bench", "generate", "--first", "10", "-r", "a", "-a", "b", "--concurrency", "16")
    assert done.returncode == 0, done.stderr
    assert "10 of 10" in done.stderr
    assert re.search(r"\d+ retries", done.stderr)


def test_ctrl_c_ends_cleanly(
    *,
    recorded: Path,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[bytes]],
    service: DemoProcess,
    environment: dict[str, str],
) -> None:
    """An interrupted run says how to go on, leaves with 130, and has kept what it had."""
    service.set_behaviour({"models": {"a": {"reply": "x", "delay": 0.2}, "b": {"reply": "y"}}})
    out = tmp_path / "out"
    arguments = ["eval", "mt_bench", "generate", "--data_dir", str(recorded), "-r", "a", "-a", "b",
                 "--concurrency", "4", "--out", str(out)]  # fmt: skip
    process = start(arguments, env=environment, stdin=subprocess.DEVNULL)
    until(lambda: answered(out / "generate.jsonl") >= 8)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10 * slowness())
    assert process.returncode == 130
    assert b"The same command goes on" in stderr
    assert b"Traceback" not in stderr
    assert (out / "results.jsonl").exists()


def test_a_folder_belongs_to_one_mixture(evaluate: Run, service: DemoProcess, tmp_path: Path) -> None:
    """Another mixture in the same folder is refused, with what is different, before anything is asked."""
    service.set_behaviour({"models": {"a": {"reply": "x"}, "b": {"reply": "y"}}})
    arguments = ["mt_bench", "generate", "--first", "1", "-r", "a", "-a", "b"]
    assert evaluate(*arguments).returncode == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["mixture"]["aggregator"]["model"] == "b"
    assert manifest["data"]
    assert manifest["versions"]["moa-bot"]
    service.clear_requests()
    refused = evaluate(*arguments, "--temperature", "0.1")
    assert refused.returncode == 2
    assert "temperature" in refused.stderr
    assert not service.requests()


def test_the_benchmark_prescribes_what_the_user_has_not_said(evaluate: Run, service: DemoProcess) -> None:
    """MT-Bench's temperature and length hold for its answers, unless the command line says otherwise."""
    service.set_behaviour({"models": {"a": {"reply": "x"}, "b": {"reply": "y"}}})
    arguments = ["mt_bench", "generate", "-r", "a", "-a", "b"]
    evaluate(*arguments, out="one")
    bodies = [request["body"] for request in service.requests()]
    assert {body["temperature"] for body in bodies} == {0.0, 0.1, 0.7}
    assert {body["max_tokens"] for body in bodies} == {1024}
    service.clear_requests()
    evaluate(*arguments, "--first", "1", "--temperature", "0.3", out="two")
    assert {request["body"]["temperature"] for request in service.requests()} == {0.3}
