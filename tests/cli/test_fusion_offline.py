"""Mode "fusion" from outside, with the demonstration service: one comparison, wherever it is looked at."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from bot.demo.scripted import SCRIPTED_ANSWERS, SCRIPTED_PROMPT

Moa = Callable[..., "subprocess.CompletedProcess[str]"]

MIXTURE = ("--demo", "--mode", "fusion", "-r", ",".join(SCRIPTED_ANSWERS))


@pytest.mark.slow
def test_two_contradictions_a_unique_fact_and_a_shared_error(moa: Moa) -> None:
    """The comparison names them and the reply deals with them; pipe, JSON, history and exports agree."""
    done = moa("ask", *MIXTURE, "--json", SCRIPTED_PROMPT)
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    analysis, reply = record["analysis"], record["reply"]
    assert analysis["consensus"][0] == {
        "claim": "A cat that purrs is always content.",
        "answers": [1, 2, 3, 4, 5],
    }
    assert [[len(side["answers"]) for side in each["positions"]] for each in analysis["contradictions"]] == [
        [3, 1],
        [1, 2],
    ]
    assert analysis["unique"] == [
        {"claim": "Purring near 26 hertz has been linked to the healing of bones.", "answer": 3}
    ]
    assert len(analysis["blind_spots"]) == 1
    for words in ("all are wrong", "25 or 70 times", "Lions cannot purr", "26 hertz", "Why they stop"):
        assert words in reply
    assert "consensus" not in reply
    assert record["panel"] == {"asked": 5, "answered": 5, "left_out": [], "families": 5}
    [judge] = record["attempts"]
    assert (judge["role"], judge["error"]) == ("judge", None)
    calls = [*record["references"][0], judge, record["aggregator"]]
    assert record["usage"]["completion_tokens"] == sum(call["tokens"] for call in calls)

    conversation = record["conversation_id"]
    shown = moa("history", "show", conversation, "--references").stdout
    assert "compared: agree on 2 · differ on 2 · 1 unique · 1 blind spot" in shown
    assert "would be settled by" in shown
    page = moa("history", "export", conversation, "--format", "html").stdout
    assert page.count("<th>differ: ") == 2
    document = json.loads(moa("history", "export", conversation, "--format", "json").stdout)
    [turn] = document["turns"]
    assert (turn["analysis"], turn["panel"]) == (analysis, record["panel"])
    assert len(turn["judge_calls"]) == 1

    # A resumed conversation keeps its mode; in a pipe nothing but the reply comes out.
    done = moa("--demo", "--continue", stdin=f"{SCRIPTED_PROMPT}\n")
    assert (done.returncode, done.stdout) == (0, reply + "\n")
    document = json.loads(moa("history", "export", conversation, "--format", "json").stdout)
    assert document["turns"][1]["analysis"] == analysis
