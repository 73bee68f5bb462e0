"""What tools ran for a turn, in its JSON, in the store, in history and in every export."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan
from fake_tools import FakeTools, calls

from bot.app.session import Session
from bot.events import TurnFinished
from bot.history.documents import document_of, export_json
from bot.history.html import export_html
from bot.history.import_json import import_json
from bot.history.markdown import export_markdown
from bot.history.terminal import show_text
from bot.messages import Agent
from bot.method.mixture import Mixture
from bot.render.reply import turn_json
from bot.render.sources import evidence_lines
from bot.store import Store, StoredCall, StoredConversation, StoredTurn
from bot.store.results import turn_result
from bot.tool_use import ToolRun, ToolSource, stored_runs
from bot.turn_result import TurnResult

HOSTILE = 'x</a><script>alert(1)</script> \x1b[31m"'


def kept(
    store: Store, reply: str = "They purr [2]."
) -> tuple[TurnResult, StoredConversation, StoredTurn, list[StoredCall]]:
    """Run and store a turn in which two references searched and one of the searches failed."""
    search = calls(("web_search", {"query": "cats"}), ("web_fetch", {"url": "https://www.b.example/?q=1"}))
    other = calls(("web_search", {"query": "dogs"}))

    def answer(name: str, arguments: object) -> ToolRun:
        assert isinstance(arguments, dict)
        if name == "web_fetch":
            return ToolRun(name, arguments, error=f"HTTP 404 {HOSTILE}", seconds=0.5)
        url = f"https://site.example/{arguments['query']}"
        return ToolRun(name, arguments, "text", (ToolSource(url, f"About {HOSTILE}"),), seconds=1.5, bytes=4)

    ask = FakeAsk({"a": [search, "Cats."], "b": [other, "Dogs."], "judge": reply})
    plan = make_plan(layers("a", "b"), tools=("web",))
    session = Session(Mixture(plan, ask, FakeModels(), tools=FakeTools(answer)), store=store)

    async def work() -> TurnResult:
        result = None
        async with aclosing(session.turn("why?")) as events:
            async for event in events:
                if isinstance(event, TurnFinished):
                    result = event.result
        assert result
        return result

    result = asyncio.run(work())
    assert session.conversation
    identifier = session.conversation.id
    turn = store.turns(identifier)[0]
    return result, session.conversation, turn, list(store.calls(turn.id))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an open store."""
    return Store.open(tmp_path / "store.db")


def test_json_names_what_ran_and_all_sources(store: Store) -> None:
    """Each call has its tools, the reply its numbered sources, and the store keeps them."""
    result, _, turn, stored = kept(store)
    found = turn_json(result, conversation_id=None, turn=None)
    assert found["references"][0][0]["tools"] == [
        {
            "name": "web_search",
            "arguments": {"query": "cats"},
            "seconds": 1.5,
            "bytes": 4,
            "sources": [{"url": "https://site.example/cats", "title": f"About {HOSTILE}"}],
            "error": None,
        },
        {
            "name": "web_fetch",
            "arguments": {"url": "https://www.b.example/?q=1"},
            "seconds": 0.5,
            "bytes": 0,
            "sources": [],
            "error": f"HTTP 404 {HOSTILE}",
        },
    ]
    assert [each["url"][-4:] for each in found["sources"]] == ["cats", "dogs"]
    again = turn_result(turn, stored)
    assert again.sources == result.sources
    assert turn_json(again, conversation_id=None, turn=None)["references"] == found["references"]


def test_evidence_in_words(store: Store) -> None:
    """Under each model what it called, then all sources: for /sources, /trace and `moa-bot trace`."""
    result, *_ = kept(store)
    assert evidence_lines(result) == [
        "a, round 1",
        '  ⌕ "cats"   1.5 s · 1 source',
        '  ↓ b.example/?q=1   0.5 s · HTTP 404 x</a><script>alert(1)</script> "',
        "b, round 1",
        '  ⌕ "dogs"   1.5 s · 1 source',
        "",
        '[1] About x</a><script>alert(1)</script> " · https://site.example/cats',
        '[2] About x</a><script>alert(1)</script> " · https://site.example/dogs',
    ]


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ("[2]", [2]), ("[1, 2]", [1, 2]), ("[1][2]", [1, 2]), ("none", [1, 2]), ("[9]", [1, 2]),
        ("[1](http://x)", [1, 2]),
    ],
)  # fmt: skip
def test_the_sources_that_a_reply_cites(store: Store, reply: str, shown: list[int]) -> None:
    """Those that it cites, with their own numbers; all of them if it cites none."""
    result, *_ = kept(store, reply)
    assert [number for number, _ in result.shown_sources] == shown


def test_every_form_has_them(store: Store) -> None:
    """Transcript, Markdown, HTML and JSON; a hostile title does nothing in any of them."""
    _, conversation, turn, stored = kept(store)
    text = show_text(conversation, [turn], stored, references=True)
    assert "[2] About x" in text
    assert "https://site.example/dogs" in text
    assert "site.example/cats" not in text
    assert '⌕ "cats" · 1.5 s · 1 source' in text
    assert "↓ b.example/?q=1 · 0.5 s · HTTP 404" in text
    assert "\x1b" not in text
    markdown = export_markdown(conversation, [turn], stored)
    assert "2. <https://site.example/dogs> About x\\</a\\>" in markdown
    assert "- ↓ b.example" in markdown
    html = export_html(conversation, [turn], stored)
    assert '<li value="2" dir="auto"><a href="https://site.example/dogs" rel="noopener' in html
    assert "<script>" not in html
    assert "⌕ &#34;cats&#34; · 1.5 s · 1 source" in html


def test_an_export_brings_them_back(store: Store, tmp_path: Path) -> None:
    """What is imported is what was exported; what is no tool run is left out."""
    _, conversation, turn, stored = kept(store)
    other = Store.open(tmp_path / "other.db")
    document = json.loads(export_json(conversation, [turn], stored))
    document["turns"][0]["references"][0][0]["tools"].append({"name": 5})
    imported = import_json(other, document)
    [again_turn] = other.turns(imported.id)
    again = document_of(imported, [again_turn], other.calls(again_turn.id))
    del document["turns"][0]["references"][0][0]["tools"][2]
    assert again["turns"][0]["references"] == document["turns"][0]["references"]


@pytest.mark.parametrize(
    ("value", "runs"),
    [
        (None, 0), ("x", 0), ([5, None, {}], 0), ([{"name": "f"}], 0), ([{"name": "f", "arguments": {}}], 1),
        ([{"name": "f", "arguments": {}, "sources": [{"url": 1}, 2], "seconds": "x", "bytes": None}], 1),
    ],
)  # fmt: skip
def test_what_was_stored_otherwise(value: object, runs: int) -> None:
    """A store may be anyone's: what is no tool run counts as nothing."""
    assert len(stored_runs(value)) == runs


def test_the_call_that_consulted_the_panel(store: Store) -> None:
    """History and exports have it, with its question, before what the panel answered."""
    asks = calls(("consult_panel", {"question": "Do cats purr?"}))
    plan = make_plan(layers("a"), on_demand=True, fallbacks=(Agent("second"),))
    ask = FakeAsk({"a": "Cats.", "judge": failed(), "second": [asks, "They do."]})
    session = Session(Mixture(plan, ask, FakeModels()), store=store)

    async def work() -> None:
        async with aclosing(session.turn("why?")) as events:
            async for _ in events:
                pass

    asyncio.run(work())
    conversation = session.conversation
    assert conversation
    [turn] = store.turns(conversation.id)
    stored = list(store.calls(turn.id))
    text = show_text(conversation, [turn], stored, references=True)
    consulted = "⚙ consult_panel question=Do cats purr?"
    assert text.index("consultation: second") < text.index(consulted) < text.index("round 1: a")
    for form in (export_markdown, export_html):
        page = form(conversation, [turn], stored)
        assert page.index("Consultation") < page.index("question=Do cats purr?") < page.index("Cats.")
    assert "1 answer of the reference models in 1 round" in page
