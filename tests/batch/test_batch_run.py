"""Batches: every kind of file, resumed after a kill, within a budget, in order."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_models import layers, make_plan
from running import LIMIT, until

from bot.bulk.estimate import estimate
from bot.bulk.rows import PromptRow, Rows
from bot.demo.process import DemoProcess
from bot.errors import UsageError
from bot.messages import Agent, Usage

Run = Callable[..., subprocess.CompletedProcess[str]]
PROMPTS = [f"question {number}" for number in range(12)]


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    return offline({"models": {"a": {"reply": "from a"}, "judge": {"echo": True}}})


@pytest.fixture
def environment(service: DemoProcess, tmp_path: Path) -> dict[str, str]:
    return {
        "TOGETHER_BASE_URL": service.base_url,
        "TOGETHER_API_KEY": "not-needed",
        "MOA_BOT_REFERENCE_MODELS": "a",
        "MOA_BOT_AGGREGATOR": "judge",
        "HF_HOME": str(tmp_path / "hf"),
    }


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"id": n, "prompt": text}) + "\n" for n, text in enumerate(PROMPTS)))
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def asked(answer: dict[str, Any]) -> str:
    """The prompt that the echoing aggregator was sent: a reply has no marks of answers, so its last words."""
    content = str(json.loads(answer["reply"])["messages"][-1]["content"])
    return content.rpartition("The user's request was:\n\n")[2]


def test_answers_stand_in_order(
    here: Run, environment: dict[str, str], prompts: Path, tmp_path: Path
) -> None:
    """Each row has its own answer, its columns, its proposals, and its place."""
    done = here("batch", str(prompts), env=environment)
    assert done.returncode == 0, done.stderr
    answers = lines(tmp_path / "prompts.answers.jsonl")
    assert [asked(answer) for answer in answers] == PROMPTS
    panel = {"asked": 1, "answered": 1, "left_out": [], "families": 1}
    assert [(answer["panel"], answer["analysis"]) for answer in answers] == [(panel, None)] * len(PROMPTS)
    assert [answer["input"]["id"] for answer in answers] == list(range(12))
    assert answers[0]["references"] == [[{"model": "a", "text": "from a"}]]
    assert all(answer["error"] is None and answer["seconds"] > 0 for answer in answers)


def test_killed_and_resumed(
    *,
    moa: Run,
    start: Callable[..., subprocess.Popen[bytes]],
    environment: dict[str, str],
    prompts: Path,
    service: DemoProcess,
    tmp_path: Path,
) -> None:
    """A batch that is killed goes on with what is open, and asks nothing again that was answered."""
    service.set_behaviour({"models": {"a": {"reply": "from a", "delay": 0.15}, "judge": {"echo": True}}})
    arguments = ["batch", str(prompts), "--concurrency", "2"]
    calls = tmp_path / "prompts.answers.jsonl.run" / "calls.jsonl"

    def answered() -> int:
        return calls.read_text().count('"answer":') if calls.exists() else 0

    process = start(arguments, env=environment, stdin=subprocess.DEVNULL)
    until(lambda: answered() >= 8)
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT)
    until(lambda: not service.connections()["open"])
    before = answered()
    service.clear_requests()
    done = moa(*arguments, env=environment)
    assert done.returncode == 0, done.stderr
    assert "answered already" in done.stderr
    assert len(service.requests()) == 24 - before
    assert [asked(answer) for answer in lines(tmp_path / "prompts.answers.jsonl")] == PROMPTS


def test_a_row_that_fails_is_asked_again(
    here: Run, environment: dict[str, str], prompts: Path, service: DemoProcess, tmp_path: Path
) -> None:
    """An error stands beside its row, fails the run, and is made good by the next one."""
    refusing = {"echo": True, "failures": [{"status": 400, "contains": "question 3"}]}
    service.set_behaviour({"models": {"a": {"reply": "x"}, "judge": refusing}})
    done = here("batch", str(prompts), env=environment)
    assert done.returncode == 1
    answers = lines(tmp_path / "prompts.answers.jsonl")
    assert [answer["index"] for answer in answers if answer["error"]] == [3]
    assert answers[3]["reply"] is None
    assert here("batch", str(prompts), "--max_errors", "1", env=environment).returncode == 0
    service.set_behaviour({"models": {"a": {"reply": "x"}, "judge": {"echo": True}}})
    service.clear_requests()
    assert here("batch", str(prompts), env=environment).returncode == 0
    assert len(service.requests()) == 1
    assert not any(answer["error"] for answer in lines(tmp_path / "prompts.answers.jsonl"))


def test_the_same_prompt_twice_is_asked_twice(
    here: Run, environment: dict[str, str], service: DemoProcess, tmp_path: Path
) -> None:
    """Rows that ask the same are samples of their own."""
    service.set_behaviour({"models": {"a": {"reply": "x"}, "judge": {"replies": ["one", "two"]}}})
    file = tmp_path / "twice.jsonl"
    file.write_text('{"prompt": "why?"}\n' * 2)
    assert here("batch", str(file), env=environment).returncode == 0
    assert {answer["reply"] for answer in lines(tmp_path / "twice.answers.jsonl")} == {"one", "two"}


def test_csv_in_parquet_out(here: Run, environment: dict[str, str], tmp_path: Path) -> None:
    """Other columns and forms: the column is named, the answers are a table."""
    datasets = pytest.importorskip("datasets")
    file, out = tmp_path / "prompts.csv", tmp_path / "out.parquet"
    with file.open("w", newline="") as handle:
        csv.writer(handle).writerows([["ask", "who"], ["why, though?", "x"], ["how?", "y"]])
    done = here("batch", str(file), "--column", "ask", "--limit", "1", "-o", str(out), env=environment)
    assert done.returncode == 0, done.stderr
    table = datasets.Dataset.from_parquet(str(out), cache_dir=str(tmp_path / "cache"))
    assert len(table) == 1
    assert asked(table[0]) == "why, though?"
    assert json.loads(table[0]["input"])["who"] == "x"


def test_a_dry_run_asks_nothing(
    here: Run, environment: dict[str, str], prompts: Path, service: DemoProcess
) -> None:
    """The estimate counts prompts and calls, names models of unknown price, and touches no service."""
    done = here("batch", str(prompts), "--dry_run", env=environment)
    assert done.returncode == 0, done.stderr
    assert "12 prompts, 24 calls" in done.stdout
    assert "a, judge" in done.stdout
    assert not service.requests()


def test_a_budget_stops_a_batch(
    here: Run, environment: dict[str, str], prompts: Path, service: DemoProcess, tmp_path: Path
) -> None:
    """With --max_cost a batch ends before more is spent, says so, and goes on when it may."""
    home = tmp_path / "home"
    home.mkdir()
    prices = "input_price = 0\noutput_price = 100\nendpoint = 'together'\n"
    (home / "config.toml").write_text(f"[models.a]\n{prices}[models.judge]\n{prices}")
    service.set_behaviour({"models": {"a": {"reply": "x"}, "judge": {"reply": "word " * 10}}})
    arguments = ["batch", str(prompts), "--max_tokens", "20", "--concurrency", "1"]
    done = here(*arguments, "--max_cost", "0.005", env=environment)
    assert done.returncode == 1
    assert "budget" in done.stderr
    calls = lines(tmp_path / "prompts.answers.jsonl.run" / "calls.jsonl")
    spent = sum(call.get("cost") or 0 for call in calls)
    assert 0 < spent <= 0.005
    assert here(*arguments, "--max_cost", "1", env=environment).returncode == 0
    assert len(lines(tmp_path / "prompts.answers.jsonl")) == 12


def test_a_budget_needs_prices(here: Run, environment: dict[str, str], prompts: Path) -> None:
    """A cap on what nobody knows the price of is refused."""
    done = here("batch", str(prompts), "--max_cost", "1", env=environment)
    assert done.returncode == 1
    assert "price is not known" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "arguments", "said"),
    [
        ("none.jsonl", None, [], "no such file"),
        ("a.xyz", "x", [], "says no kind"),
        ("a.jsonl", '{"x": "1", "y": "2"}\n', [], "--column"),
        ("a.jsonl", '{"x": "1", "y": "2"}\n', ["--column", "z"], "no column z"),
        ("a.jsonl", '{"prompt": ""}\n', [], "row 1"),
        ("a.jsonl", '{"prompt": "x"}\n', ["-o", "out.txt"], ".parquet"),
        ("a.jsonl", '{"prompt": "x"}\n', ["--engine", "steam"], "steam"),
    ],
)
def test_mistakes_are_said(
    *,
    here: Run,
    environment: dict[str, str],
    tmp_path: Path,
    name: str,
    content: str | None,
    arguments: list[str],
    said: str,
) -> None:
    """What cannot be run is told in a line that names the file and the way out."""
    if content is not None:
        (tmp_path / name).write_text(content)
    done = here("batch", str(tmp_path / name), *arguments, env=environment)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_none_of_its_kind(moa: Run, environment: dict[str, str], tmp_path: Path) -> None:
    """What the library that reads it logs is not shown."""
    (tmp_path / "a.jsonl").write_text("not json\n")
    done = moa("batch", str(tmp_path / "a.jsonl"), env=environment)
    assert done.returncode == 2, done.stderr
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_rows_of_conversations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of prompts is a conversation of several turns; the row's digest is of what it asks."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    file = tmp_path / "rows.jsonl"
    file.write_text('{"turns": ["one", "two"]}\n{"turns": ["one", "two"]}\n{"turns": ["three"]}\n')
    rows = list(Rows(str(file)))
    assert [row.turns for row in rows] == [("one", "two"), ("one", "two"), ("three",)]
    assert rows[0].digest == rows[1].digest != rows[2].digest
    with pytest.raises(UsageError, match="no column"):
        Rows(str(file), column="prompt")


def test_a_row_has_the_comparison(here: Run, offline: Callable[..., DemoProcess], prompts: Path) -> None:
    """In JSONL as an object, in Parquet as its JSON: rows of changing shape are no table."""
    datasets = pytest.importorskip("datasets")
    found = {"consensus": [{"claim": "so", "answers": [1, 2]}], "blind_spots": ["why"]}
    service = offline(
        {"models": {"a": {"reply": "x"}, "w": {"reply": "the reply"}, "j": {"reply": json.dumps(found)}}}
    )
    environment = {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "not-needed"}
    mixture = ("-r", "a*2", "-a", "w", "--judge", "j", "--mode", "fusion", "--limit", "2")
    for name in ("out.jsonl", "out.parquet"):
        out = prompts.with_name(name)
        done = here("batch", str(prompts), *mixture, "-o", str(out), env=environment)
        assert done.returncode == 0, done.stderr
        assert "2 prompts, 8 calls" in done.stderr
    rows = [answer["analysis"] for answer in lines(prompts.with_name("out.jsonl"))]
    cache = str(prompts.with_name("cache"))
    table = datasets.Dataset.from_parquet(str(prompts.with_name("out.parquet")), cache_dir=cache)
    assert [json.loads(row["analysis"]) for row in table] == rows
    assert [(row["consensus"], row["blind_spots"]) for row in rows] == [tuple(found.values())] * 2


def test_an_estimate_counts_what_models_read() -> None:
    """Later layers pay for the answers they read; the dearest case pays for every token allowed."""
    plan = make_plan(layers("a", "b", rounds=2), max_tokens=1000, reference_max_tokens=800)

    def cost(agent: Agent, usage: Usage) -> float | None:
        return None if agent.model == "b" else (usage.completion_tokens or 0) / 1000

    found = estimate([PromptRow(0, {}, ("why?",))], plan, cost)  # type: ignore[arg-type]  # a plan as far as it is read
    assert (found.prompts, found.calls, found.unpriced) == (1, 5, {"b"})
    assert found.likely == pytest.approx(0.5 * 3)
    assert found.most == pytest.approx(0.8 * 2 + 1.0)


def test_rounds_are_skipped_where_answers_agree(
    *, here: Run, environment: dict[str, str], service: DemoProcess, prompts: Path, tmp_path: Path
) -> None:
    """The options that decide how many rounds are asked hold for a batch as for a chat."""
    mixture = ("-r", "a*2", "--rounds", "3", "--early_stop")
    done = here("batch", str(prompts), "--limit", "2", *mixture, env=environment)
    assert done.returncode == 0, done.stderr
    assert [len(answer["references"]) for answer in lines(tmp_path / "prompts.answers.jsonl")] == [1, 1]
    assert len(service.requests()) == 2 * (2 + 1)


@pytest.mark.parametrize("option", ["--deadline", "--quorum", "--grace", "--fallbacks"])
def test_nobody_is_left_out(here: Run, environment: dict[str, str], prompts: Path, option: str) -> None:
    """A batch waits for every model: options that would not hold are not taken."""
    done = here("batch", str(prompts), option, "1", env=environment)
    assert done.returncode == 2
    assert option in done.stderr
