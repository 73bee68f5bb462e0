"""Why an item has no reply, as the rows of batches and evaluations say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan
from fake_tools import FakeTools, calls
from scripted_service import Response, ScriptedService, event, stream
from virtual_time import run

from bot.batch.answers import line_of
from bot.bulk.answering import answer_item, strict_plan
from bot.bulk.rows import PromptRow
from bot.errors import FailureKind
from bot.messages import Completion
from bot.serve.chat_json import moa_json

NO_QUOTA = Response([b'{"error": {"message": "Insufficient Balance"}}'], status=402)
ANSWERS = {"a": stream("answer of a"), "b": stream("answer of b"), "judge": stream("the reply")}


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        (stream("\u200b"), "judge: empty answer: it finished without a word"),
        (NO_QUOTA, "judge: quota used up: HTTP 402: Insufficient Balance"),
        (Response([event({"content": "half"})]), "judge: stream cut: the stream ended before the answer did"),
    ],
)
def test_the_aggregator_that_failed_is_named(judge: Response, why: str) -> None:
    """It is not the model whose proposal would have been shown to a person."""
    plan = strict_plan(make_plan(layers("a", "b")))
    service = ScriptedService({**ANSWERS, "judge": judge})
    answer, _ = run(answer_item("1", ["hi"], plan, service, FakeModels()))
    assert answer.failure.startswith(why)
    assert answer.turns == ()


@pytest.mark.parametrize("mode", ["moa", "vote", "rank"])
@pytest.mark.parametrize(
    "reply",
    [
        "",
        failed(FailureKind.CONTENT_FILTER, "filtered", "judge"),
        Completion("half", partial="cut at max_tokens", truncation_kind=FailureKind.CUT),
        Completion("half", partial="repeats itself", truncation_kind=FailureKind.ENDLESS),
    ],
)
def test_a_row_without_a_reply_names_its_aggregator(mode: Any, reply: Any) -> None:
    """In the reason and in the column `model`: never the reference whose answer a person would be shown."""
    plan = strict_plan(make_plan(layers("a", "b"), mode=mode, instructions={mode: "INSTRUCTION"}))
    answer, result = run(answer_item("1", ["hi"], plan, FakeAsk({"judge": reply}), FakeModels()))
    assert answer.failure.startswith("judge: ")
    line = line_of(PromptRow(0, {}, ("hi",)), answer, result)
    assert (line["model"], line["reply"]) == ("judge", None)


def test_what_tools_found_stands_beside_the_reply() -> None:
    """A row of a batch, and the field `moa` of the service, say what the reply cites."""
    asked = {"a": [calls(("web_search", {"query": "cats"})), "Cats purr."], "judge": "They purr [1]."}
    plan = strict_plan(make_plan(layers("a"), tools=("*",), instructions={"tools": "ONLY WHAT RAN"}))
    answer, result = run(answer_item("1", ["hi"], plan, FakeAsk(asked), FakeModels(), tools=FakeTools()))
    assert result
    sources = [{"url": "https://site.example/cats", "title": result.sources[0].title}]
    assert line_of(PromptRow(0, {}, ("hi",)), answer, result)["sources"] == sources
    assert moa_json(SimpleNamespace(result=result), references=False)["sources"] == sources  # type: ignore[arg-type]
    assert "sources" not in line_of(PromptRow(0, {}, ("hi",)), answer, None)
