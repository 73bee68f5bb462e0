"""`moa-bot eval depth`: how often stopping early would have changed the reply."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.bulk.answering import ItemAnswer
from bot.cli.app import typer_app
from bot.demo.process import DemoProcess
from bot.eval.depth import depth_text, figures, read_folder, stored_turns
from bot.store import Store
from bot.turn_result import Shadow, TurnResult

SAME = "a button is sewn on with a needle and thread"


def shadow(stop_after: int | None = 1, reply: str = SAME, error: str = "") -> Shadow:
    return Shadow(
        stop_after, 0.8 if stop_after else 0.3, 0.75, "why", reply if stop_after else "", "judge", error
    )


def row(name: str, reply: str, *shadows: Shadow) -> dict[str, Any]:
    listed = [{"turn": 1, **each.as_json()} for each in shadows]
    return {"id": name, "turns": [reply], "shadows": listed}


ROWS = [
    row("1", SAME, shadow()),
    row("2", "the moon is far", shadow(2)),
    row("3", "the moon is far", shadow(None)),
    row("4", SAME, shadow(1, "", "HTTP 500")),
    row("5", "not asked"),
]


def write(file: Path, rows: list[Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return file


def test_the_figures_of_a_run(tmp_path: Path) -> None:
    """Turns, those that would have stopped, those with two replies, and those whose replies differ."""
    run = tmp_path / "sweep" / "run"
    write(run / "results.jsonl", ROWS)
    scores = [(6.0, 5.0), (8.0, 8.0), (None, 1.0)]
    write(
        run / "stopped.jsonl", [{"id": "x", "score": own, "score_if_stopped": other} for own, other in scores]
    )
    [source] = read_folder(tmp_path)
    found = figures(source)
    assert {name: found[name] for name in ("turns", "would_stop", "stop_after", "compared", "changed")} == {
        "turns": 4, "would_stop": 3, "stop_after": {"1": 2, "2": 1}, "compared": 2, "changed": 1,
    }  # fmt: skip
    assert found["similarity"]["lowest"] < 0.1
    assert found["similarity"]["highest"] == pytest.approx(1)
    assert found["similarity"]["lowest"] < found["similarity"]["median"] < found["similarity"]["highest"]
    assert found["score"] == {
        "n": 2, "as_it_is": 7.0, "if_stopped": 6.5, "difference": -0.5, "standard_error": 0.5,
    }  # fmt: skip
    text = depth_text([found])
    assert "1 (50%)" in text
    assert "agree may be wrong together" in text
    assert figures(source, threshold=0.0)["changed"] == 0


def test_a_batch_that_was_killed(tmp_path: Path) -> None:
    """The last line of a row counts; half a line and what is none of it are left out."""
    listed = [{"turn": 1, **shadow().as_json()}, {"turn": 9, **shadow().as_json()}, {"turn": 1}, 5]
    rows = [
        {"index": 0, "reply": None, "shadows": listed},
        {"index": 0, "reply": SAME, "shadows": listed},
        {"index": 1, "reply": "b", "replies": ["a", "b"], "shadows": [{"turn": 2, **shadow().as_json()}]},
        7,
    ]
    file = write(tmp_path / "out.jsonl.run" / "answers.jsonl", rows)
    with file.open("a", encoding="utf-8") as out:
        out.write('{"index": 2, "rep')
    [source] = read_folder(tmp_path)
    assert [turn.reply for turn in source.turns] == [SAME, "b"]
    assert [turn.reply for turn in read_folder(file)[0].turns] == [SAME, "b"]


@pytest.mark.slow
def test_the_kept_conversations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder the user's own conversations are looked at; without such turns that is said."""
    monkeypatch.setenv("MOA_BOT_HOME", str(tmp_path))
    runner = CliRunner()
    nothing = runner.invoke(typer_app, ["eval", "depth"])
    assert "no turns with --early_stop shadow" in str(nothing.exception)
    from bot.settings import paths

    with Store.open(paths.store_file()) as store:
        for status, made in (("done", shadow()), ("failed", shadow()), ("done", None)):
            conversation = store.create_conversation({}, None, "t")
            turn = store.begin_turn(conversation.id, "p")
            store.finish_turn(turn, TurnResult(status, SAME, "", "judge", shadow=made))  # type: ignore[arg-type]
        assert [turn.reply for turn in stored_turns(store).turns] == [SAME]
    done = runner.invoke(typer_app, ["eval", "depth", "--json"])
    assert done.exit_code == 0, done.output
    [found] = json.loads(done.stdout)
    assert (found["source"], found["turns"], found["changed"]) == ("kept conversations", 1, 0)
    assert "kept conversations" in runner.invoke(typer_app, ["eval", "depth"]).stdout


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    """It is an error that says what is looked for."""
    result = CliRunner().invoke(typer_app, ["eval", "depth", str(tmp_path)])
    assert "no run of an evaluation or a batch" in str(result.exception)


@pytest.mark.parametrize(
    ("shadows", "stopped"),
    [
        ([], None),
        ([(1, shadow(None)), (2, shadow(None))], None),
        ([(1, shadow(None)), (2, shadow(1, "other"))], ("one", "other")),
        ([(1, shadow(1, "x")), (2, shadow(2, "y"))], ("x", "y")),
        ([(1, shadow(1, "x")), (2, shadow(2, "", "HTTP 500"))], None),
    ],
)
def test_the_replies_if_stopped(shadows: list[tuple[int, Shadow]], stopped: tuple[str, ...] | None) -> None:
    """Where early stop would have changed nothing the reply is the turn's own."""
    listed = tuple({"turn": turn, **each.as_json()} for turn, each in shadows)
    answer = ItemAnswer("1", ("one", "two"), shadows=listed)
    assert answer.stopped_turns() == stopped
    assert ItemAnswer.from_row(json.loads(json.dumps({**vars_of(answer)}))) == answer


def vars_of(answer: ItemAnswer) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(answer)


@pytest.mark.slow
def test_an_evaluation_judges_both_replies(
    here: Callable[..., subprocess.CompletedProcess[str]],
    offline: Callable[..., DemoProcess],
    recorded: Path,
    tmp_path: Path,
) -> None:
    """Where stopping would have changed the reply, the judge judges both; the figures are of the true one."""
    service = offline(
        {
            "models": {
                "a": {"replies": [SAME, "the moon is far"]},
                "writer": {"replies": ["one reply", "and another"]},
                "reviewer": {"reply": "Good. [[9]]"},
            }
        }
    )
    environment = {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "not-needed"}
    run = ["eval", "mt_bench", "run", "--limit", "2", "--json", "-r", "a*2", "-a", "writer", "--rounds", "2"]
    run += [
        "--judge",
        "together:reviewer",
        "--early_stop",
        "shadow",
        "--agreement",
        "0",
        "--concurrency",
        "1",
    ]
    places = ["--data_dir", str(recorded), "--out", str(tmp_path / "out")]
    done = here(*run, *places, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 4
    depth = here("eval", "depth", str(tmp_path / "out"), "--json")
    [found] = json.loads(depth.stdout)
    assert (found["turns"], found["would_stop"], found["compared"]) == (4, 4, 4)
    assert found["score"] == {
        "n": 2, "as_it_is": 9.0, "if_stopped": 9.0, "difference": 0.0, "standard_error": 0.0,
    }  # fmt: skip
