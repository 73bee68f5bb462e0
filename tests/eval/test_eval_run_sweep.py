"""Sweeps share every answer; rank and report say what they compare."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_models import layers

from bot.app.load_settings import load_settings
from bot.bulk.answering import active_parameters
from bot.demo.process import DemoProcess
from bot.errors import UsageError
from bot.eval.sweep import variants_of
from bot.messages import Agent
from bot.method.plan import Plan

Run = Callable[..., subprocess.CompletedProcess[str]]


def plan(*models: str, rounds: int = 1) -> Plan:
    return Plan(
        layers=layers(*models, rounds=rounds),
        aggregator=Agent("judge"),
        temperature=0.7,
        max_tokens=10,
        reference_max_tokens=10,
        min_references=1,
        seed=None,
        timeout=1,
        instruction="I",
    )


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    says = {
        "a-7b": {"reply": "answer a"},
        "b-7b": {"reply": "answer b"},
        "judge-72b": {"replies": ["2"]},
        "grader": {"reply": "Good. [[8]]"},
    }
    return offline({"models": says})


@pytest.fixture
def arguments(service: DemoProcess, recorded: Path) -> list[str]:
    return ["--data_dir", str(recorded), "--first", "2", "-r", "a-7b,b-7b", "-a", "judge-72b",
            "--judge", "together:grader"]  # fmt: skip


@pytest.fixture
def environment(service: DemoProcess) -> dict[str, str]:
    return {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "not-needed"}


def test_points_of_a_sweep() -> None:
    """Numbers of proposers as far as there are any, rounds, roles, and each mixture once."""
    settings = load_settings({})
    found = variants_of(plan("a", "b", "c"), settings, ("proposers", "single", "rounds", "roles"))
    assert [name for name in found if name.startswith("proposers")] == [
        "proposers-1",
        "proposers-2",
        "proposers-3",
    ]
    assert [len(found[f"rounds-{number}"].layers) for number in (2, 3, 4)] == [2, 3, 4]
    assert "rounds-1" not in found  # the same mixture as proposers-3
    assert len(found["single-6"].layers[0]) == 6
    assert found["aggregator-a"].aggregator == Agent("a")
    assert {agent.model for agent in found["proposer-b"].layers[0]} == {"b"}
    assert len(set(map(str, found.values()))) == len(found)
    with pytest.raises(UsageError, match="No sweep"):
        variants_of(plan("a"), settings, ("nonsense",))


def test_rank_asks_the_proposers_once(
    tmp_path: Path, here: Run, service: DemoProcess, environment: dict[str, str], arguments: list[str]
) -> None:
    """The mixture and its LLM-ranker read the same proposals, which are asked for once."""
    out = tmp_path / "out"
    done = here("eval", "rank", "mt_bench", *arguments, "--json", "--out", str(out), env=environment)
    assert done.returncode == 0, done.stderr
    moa_run, rank = json.loads(done.stdout)
    assert (moa_run["name"], rank["name"]) == ("moa", "rank")
    asked = [request["body"]["model"] for request in service.requests()]
    # Two items of two turns; the second turn's history differs, as the two replies do.
    assert asked.count("a-7b") == asked.count("b-7b") == 2 + 2 + 2
    answers = [json.loads(line) for line in (out / "rank" / "results.jsonl").read_text().splitlines()]
    assert {turn for answer in answers for turn in answer["turns"]} == {"answer b"}
    service.clear_requests()
    again = here("eval", "rank", "mt_bench", *arguments, "--json", "--out", str(out), env=environment)
    assert json.loads(again.stdout) == [moa_run, rank]
    assert not service.requests()


def test_a_sweep_and_its_report(
    tmp_path: Path, here: Run, service: DemoProcess, environment: dict[str, str], arguments: list[str]
) -> None:
    """One table of all points, from which text, pictures and a page are made."""
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    done = here("eval", "sweep", "mt_bench", "proposers", *arguments, "--out", str(out), env=environment)
    assert done.returncode == 0, done.stderr
    assert "proposers-2" in done.stdout
    assert "4 of 160" in done.stdout
    asked = [request["body"]["model"] for request in service.requests()]
    assert (asked.count("a-7b"), asked.count("b-7b")) == (4, 4)  # both points share them
    page, pictures = tmp_path / "page.html", tmp_path / "pictures"
    report = here("eval", "report", str(out), "--html", str(page), "--pictures", str(pictures))
    assert report.returncode == 0, report.stderr
    assert "MoA with GPT-4o (paper)" in report.stdout
    assert "4 of 160" in report.stdout or "4 of 4" in report.stdout
    html = page.read_text(encoding="utf-8")
    assert "<svg" in html
    assert "http" not in html.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")
    assert {file.suffix for file in pictures.iterdir()} == {".png", ".svg"}


@pytest.mark.slow
def test_charts_in_the_terminal() -> None:
    """Points and their front, and FLASK's skills, are drawn as text."""
    pytest.importorskip("plotext")
    from bot.eval.charts import pareto_points, terminal_charts

    def run(name: str, cost: float, score: float) -> dict[str, object]:
        skills = {skill: {"score": score} for skill in ("factuality", "robustness", "readability")}
        return {
            "benchmark": "flask",
            "name": name,
            "cost_per_query": cost,
            "tflops_per_query": None,
            "figures": {"score": score, "skill": skills},
        }

    runs = [run("cheap", 0.1, 3.0), run("waste", 0.3, 2.5), run("dear", 0.5, 4.0)]
    assert [point.name for point in pareto_points(runs, "cost") if point.best] == ["cheap", "dear"]
    assert pareto_points(runs, "tflops") == []
    drawn = terminal_charts(runs)
    assert all(name in drawn.partition("FLASK: skills")[0] for name in ("cheap", "waste", "dear"))
    assert "factuality" in drawn


def test_scores_that_are_not_there() -> None:
    """A report of nothing says how scores are made."""
    from bot.eval.report import read_runs

    with pytest.raises(UsageError, match="no scores"):
        read_runs([Path("nowhere")])


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("Qwen/Qwen1.5-72B-Chat", 72.0),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", 39.0),
        ("databricks/dbrx-instruct", 36.0),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", 22.0),
        ("google/gemma-3n-E4B-it", None),
        ("openai/gpt-4o", None),
    ],
)
def test_sizes_are_read_off_names(model: str, billions: float | None) -> None:
    """Active parameters where the name says them, and no guess where it does not."""
    assert active_parameters(model) == billions
