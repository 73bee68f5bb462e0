"""Exports: lossless as JSON, readable as Markdown; imports trust nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.analysis import ComparedAnswer, read_analysis, stored_analysis
from bot.errors import UsageError
from bot.history.documents import document_of, export_json, export_jsonl
from bot.history.html import export_html
from bot.history.import_json import import_json
from bot.history.markdown import export_markdown
from bot.history.terminal import show_text
from bot.store import Store, StoredCall, StoredConversation, StoredTurn
from bot.store.names import clean_title
from bot.turn_result import LeftOut, Panel, Shadow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WHEN = datetime(2026, 7, 2, 9, 31, 12, 345_000, tzinfo=UTC)
CONVERSATION = StoredConversation("abcdef", "Cats", WHEN, WHEN, {"preset": "fast"}, "Be kind.")
TURNS = (
    StoredTurn(
        "abcdef", 1, "Why?\n# not a heading", WHEN, "done", "# Because\n\nyes.", model="j", seconds=2.0
    ),
    StoredTurn("abcdef", 2, "Code?", WHEN, "partial", "```python\nx = 1", notices=("shortened",)),
    StoredTurn("abcdef", 3, "Lost", WHEN),
)
CALLS = (
    StoredCall(1, 1, 0, "reference", "a", "together", "done", text="```\nopen fence"),
    StoredCall(1, 1, 1, "reference", "b", "together", "failed", "timed out", "no word for 120 s"),
    StoredCall(1, 2, 0, "reference", "a", "together", "done", text="Second round."),
    StoredCall(1, 3, 0, "aggregator", "j", "together", "done", text="# Because"),
)

texts = st.text(max_size=30)
moments = st.integers(0, 4_000_000_000_000).map(
    lambda ms: datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
)
counts = st.none() | st.integers(0, 2**63 - 1)
amounts = st.none() | st.floats(allow_nan=False, allow_infinity=False)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
conversations = st.builds(
    StoredConversation,
    id=st.just("abcdef"),
    title=texts.map(clean_title),
    created=moments,
    updated=moments,
    settings=st.dictionaries(texts, jsons, max_size=3),
    system=st.none() | texts,
)
ANSWERS = (ComparedAnswer(1, 0, "v/a"), ComparedAnswer(1, 1, "v/b"))
claims = st.lists(
    st.fixed_dictionaries({"claim": texts, "answers": st.lists(st.integers(0, 3), max_size=3)}), max_size=3
)
found = st.fixed_dictionaries(
    {
        "consensus": claims,
        "contradictions": st.lists(
            st.fixed_dictionaries({"question": texts, "positions": claims}), max_size=2
        ),
        "partial": claims,
        "unique": claims,
        "blind_spots": st.lists(texts, max_size=3),
    }
)
turns = st.builds(
    StoredTurn,
    conversation=st.just("abcdef"),
    number=st.integers(1, 9),
    prompt=texts,
    created=moments,
    status=st.sampled_from(["interrupted", "done", "partial", "failed"]),
    reply=texts,
    reasoning=texts,
    error=st.none() | texts,
    model=texts,
    seconds=amounts,
    first_token=amounts,
    prompt_tokens=counts,
    completion_tokens=counts,
    reasoning_tokens=counts,
    cached_tokens=counts,
    cost=amounts,
    notices=st.lists(texts, max_size=2).map(tuple),
    analysis=st.none()
    | st.builds(read_analysis, found, st.just(ANSWERS)).map(lambda each: each.as_json() if each else None),
    panel=st.none()
    | st.builds(Panel, st.integers(0, 9), st.integers(0, 9), st.just((LeftOut("a", "timed out"),))).map(
        lambda each: each.as_json()
    ),
    shadow=st.none()
    | st.builds(Shadow, st.none() | st.integers(1, 9), st.floats(0, 1), st.floats(0, 1), texts, texts).map(
        lambda each: each.as_json()
    ),
)
calls = st.builds(
    StoredCall,
    turn=st.just(0),
    round=st.integers(1, 3),
    slot=st.integers(0, 3),
    role=st.sampled_from(["reference", "judge", "aggregator", "shadow"]),
    model=texts,
    endpoint=texts,
    status=st.sampled_from(["done", "failed"]),
    error_kind=st.none() | texts,
    error_message=st.none() | texts,
    text=texts,
    reasoning=texts,
    prompt_tokens=counts,
    completion_tokens=counts,
    reasoning_tokens=counts,
    cached_tokens=counts,
    cost=amounts,
    first_token=amounts,
    seconds=amounts,
    finish_reason=st.none() | texts,
    retries=st.integers(0, 9),
    partial=texts,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[StoredConversation, tuple[StoredTurn, ...], tuple[StoredCall, ...]]:
    """A conversation with turns in order and calls that belong to them."""
    its_turns = draw(st.lists(turns, max_size=3, unique_by=lambda turn: turn.number))
    its_turns.sort(key=lambda turn: turn.number)
    its_calls = []
    for turn in its_turns:
        of_turn = draw(st.lists(calls, max_size=4, unique_by=lambda call: (call.round, call.slot)))
        its_calls += [replace(call, turn=turn.number) for call in of_turn]
    its_calls.sort(key=lambda call: (call.turn, call.round, call.slot))
    return draw(conversations), tuple(its_turns), tuple(its_calls)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "s.db") as opened:
        yield opened


@pytest.mark.slow
@settings(max_examples=100)
@given(history=histories())
def test_export_and_import_lose_nothing(
    store: Store, history: tuple[StoredConversation, tuple[StoredTurn, ...], tuple[StoredCall, ...]]
) -> None:
    """Store, export, import into an empty store, read: every field of every row is as it was."""
    store.delete_older_than(datetime(2200, 1, 1, tzinfo=UTC))
    conversation = store.restore(*history)
    exported = export_json(*whole(store, conversation.id))
    store.delete(conversation.id)
    assert import_json(store, exported) == history[0]
    assert whole(store, "abcdef") == history
    assert export_json(*whole(store, "abcdef")) == exported
    export_markdown(*history)  # whatever they hold, this is text
    exported.encode()


def whole(
    store: Store, identifier: str
) -> tuple[StoredConversation, tuple[StoredTurn, ...], tuple[StoredCall, ...]]:
    return store.conversation(identifier), store.turns(identifier), store.all_calls(identifier)


COMPARED = replace(
    TURNS[0],
    analysis=read_analysis(
        {
            "consensus": [{"claim": "they *purr* <b>", "answers": [1, 2]}],
            "contradictions": [
                {
                    "question": "how?",
                    "positions": [{"position": "so", "answers": [1]}, {"position": "not so"}],
                }
            ],
            "unique": [{"claim": "# alone", "answer": 2}],
            "blind_spots": ["\x1b[2Jwhy"],
        },
        ANSWERS,
    ).as_json(),
)


def test_a_comparison_in_every_form() -> None:
    """Answers are named by their models; a model's words can be no heading, element or control character."""
    markdown = export_markdown(CONVERSATION, [COMPARED], CALLS)
    assert "### Comparison of the answers\n\n**Agree**\n\n- they *purr* \\<b> (a, b)\n" in markdown
    assert "- \\# alone (b)" in markdown
    assert "\x1b" not in markdown.split("### Comparison")[1].split("\n*")[0]
    page = export_html(CONVERSATION, [COMPARED], CALLS)
    assert '<th>agree</th><th class="center">a</th><th class="center">b</th>' in page
    assert (
        '<td dir="auto">they <em>purr</em> &lt;b&gt;</td><td class="center">●</td><td class="center">●</td>'
        in page
    )
    assert "<th>differ: how?</th>" in page
    assert "only b says" in page
    assert "\x1b" not in page
    assert "comparison" not in export_html(CONVERSATION, TURNS, CALLS).partition("</style>")[2]
    shown = show_text(CONVERSATION, [COMPARED], CALLS)
    assert "compared: agree on 1 · differ on 1 · 1 unique · 1 blind spot" in shown
    assert "only b says" not in shown
    assert "  only b says  # alone" in show_text(CONVERSATION, [COMPARED], CALLS, references=True)


@pytest.mark.parametrize(
    "analysis", [{}, {"consensus": 5}, {"answers": [7, {}], "unique": [{"claim": "x"}] * 99}]
)
def test_an_import_keeps_what_is_a_comparison(store: Store, analysis: dict[str, Any]) -> None:
    """A document may be anyone's: what does not fit is left out, and lists have a limit."""
    document = document_of(CONVERSATION, TURNS[:1], CALLS)
    document["turns"][0] |= {"analysis": analysis, "panel": {"asked": "many"}, "shadow": {"reply": 1}}
    kept = import_json(store, document)
    [turn] = store.turns(kept.id)
    assert (turn.panel, turn.shadow) == (None, None)
    assert stored_analysis(turn.analysis) == (read_analysis(analysis, ()) or None)


def test_the_document() -> None:
    """The document groups references by round and keeps the aggregator's calls apart."""
    document = document_of(CONVERSATION, TURNS, CALLS)
    assert {key: document[key] for key in ("format", "version", "id", "title", "created", "system")} == {
        "format": "moa-bot conversation",
        "version": 1,
        "id": "abcdef",
        "title": "Cats",
        "created": "2026-07-02T09:31:12.345Z",
        "system": "Be kind.",
    }
    first, second, third = document["turns"]
    assert [[call["model"] for call in of_round] for of_round in first["references"]] == [["a", "b"], ["a"]]
    assert [call["text"] for call in first["aggregator_calls"]] == ["# Because"]
    assert first["references"][0][1]["error_kind"] == "timed out"
    assert (second["status"], second["notices"], second["references"]) == ("partial", ["shortened"], [])
    assert (third["status"], third["number"]) == ("interrupted", 3)


def test_json_lines() -> None:
    """JSON lines hold one object per turn, each naming its conversation."""
    lines = export_jsonl(CONVERSATION, TURNS, CALLS).splitlines()
    objects = [json.loads(line) for line in lines]
    assert [(entry["conversation_id"], entry["number"]) for entry in objects] == [
        ("abcdef", 1),
        ("abcdef", 2),
        ("abcdef", 3),
    ]
    assert len(objects[0]["references"]) == 2


def test_markdown() -> None:
    """In Markdown, prompts and proposals are quoted and a fence left open cannot swallow what follows."""
    local = WHEN.astimezone().strftime("%Y-%m-%d %H:%M")
    assert export_markdown(CONVERSATION, TURNS, CALLS) == (
        "# Cats\n\n"
        f"`abcdef` · {local} · 3 turns · preset fast\n\n"
        "System prompt:\n\n> Be kind.\n\n"
        "## Turn 1\n\n"
        "> Why?\n> # not a heading\n\n"
        "# Because\n\nyes.\n\n"
        "*2 of 3 references in 2 rounds → j · 2.0 s*\n\n"
        "### References, round 1\n\n"
        "**a**\n\n> ```\n> open fence\n\n"
        "**b · timed out: no word for 120 s**\n\n"
        "### References, round 2\n\n"
        "**a**\n\n> Second round.\n\n"
        "## Turn 2\n\n"
        "> Code?\n\n"
        "```python\nx = 1\n```\n\n"
        "*the reply was cut off*\n\n"
        "*shortened*\n\n"
        "## Turn 3\n\n"
        "> Lost\n\n"
        "*interrupted: the program ended before the reply was there*\n"
    )
    assert "open fence" not in export_markdown(CONVERSATION, TURNS, CALLS, references=False)


@pytest.mark.parametrize(
    ("reply", "ending"),
    [
        ("```\na\n```", "```"),
        ("````\n```\n", "\n````"),
        ("~~~ sh\n```", "\n~~~"),
        ("```\n``` still inside", "\n```"),
        ("a ```b``` c", "c"),
        ("``` a`b", "b"),
        ("    ```\nindented", "indented"),
    ],
)
def test_open_fences_are_closed(reply: str, ending: str) -> None:
    """A fence is closed as it was opened, and only where one is open."""
    turn = StoredTurn("abcdef", 1, "p", WHEN, "done", reply)
    exported = export_markdown(CONVERSATION, [turn])
    body = reply.strip("\n") + (ending if ending.startswith("\n") else "")
    assert exported.endswith(f"> p\n\n{body}\n")


def test_an_import_overwrites_nothing(store: Store) -> None:
    """A document whose id is taken, or is none of ours, is imported under a new id."""
    exported = export_json(CONVERSATION, TURNS, CALLS)
    first, second = import_json(store, exported), import_json(store, exported)
    odd = import_json(store, document_of(CONVERSATION, TURNS, CALLS) | {"id": "../../etc"})
    assert first.id == "abcdef"
    assert len({first.id, second.id, odd.id}) == 3
    for conversation in (first, second, odd):
        assert len(store.turns(conversation.id)) == 3
        assert len(store.all_calls(conversation.id)) == 4


def test_an_import_may_leave_out_what_is_unknown(store: Store) -> None:
    """A document with the least that a conversation needs can be imported."""
    stamp = "2026-07-02T09:31:12Z"
    least: dict[str, Any] = {"format": "moa-bot conversation", "version": 1, "id": "", "title": ""}
    least |= {"created": stamp, "updated": stamp, "more": 1}
    least["turns"] = [{"number": 4, "prompt": "p", "created": stamp, "seconds": 3}]
    (turn,) = store.turns(import_json(store, least).id)
    assert (turn.number, turn.prompt, turn.status, turn.seconds) == (4, "p", "interrupted", 3.0)


def first_call(document: dict[str, Any]) -> dict[str, Any]:
    call: dict[str, Any] = document["turns"][0]["references"][0][0]
    return call


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "not an exported conversation": lambda document: document.pop("format"),
    "version 2, not 1": lambda document: document.update(version=2),
    "the document of the export has no title": lambda document: document.pop("title"),
    "the document: created must be a time": lambda document: document.update(created="soon"),
    "the document: updated must be a time": lambda document: document.update(updated=20260102),
    "the document: settings must be an object": lambda document: document.update(settings=[]),
    "the document: turns must be a list": lambda document: document.update(turns={}),
    "turns\\[1\\] of the export must be an object": lambda document: document["turns"].insert(1, 7),
    "turns\\[0\\]: prompt must be text, not 7": lambda document: document["turns"][0].update(prompt=7),
    "turns\\[0\\]: number must be a whole number": lambda document: document["turns"][0].update(number=True),
    "turns\\[0\\]: status must be one of": lambda document: document["turns"][0].update(status="open"),
    "turns\\[0\\]: prompt_tokens is too large": lambda document: document["turns"][0].update(
        prompt_tokens=2**63
    ),
    "turns\\[0\\]: cost must be": lambda document: document["turns"][0].update(cost="\x1b[2J" * 99),
    "turns\\[0\\]: notices\\[0\\] must be text, not 1": lambda document: document["turns"][0].update(
        notices=[1]
    ),
    "turns\\[0\\]: references\\[0\\] must be a list": lambda document: document["turns"][0].update(
        references=[1]
    ),
    "references\\[0\\]\\[0\\]: role must be": lambda document: first_call(document).update(role=["x"]),
    "references\\[0\\]\\[0\\] of the export has no model": lambda document: first_call(document).pop("model"),
    "turn number 1 twice": lambda document: document["turns"].append(
        document["turns"][0] | {"references": []}
    ),
    "slot \\(1, 1, 0\\) twice": lambda document: document["turns"][0]["references"].append(
        [first_call(document)]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_document_is_refused(store: Store, said: str) -> None:
    """What is wrong is named with its place in a short line, and nothing of it is written."""
    document = json.loads(export_json(CONVERSATION, TURNS, CALLS))
    WRONG[said](document)
    with pytest.raises(UsageError, match=said) as refused:
        import_json(store, json.dumps(document))
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 160
    assert store.latest() is None


@pytest.mark.parametrize("text", ["", "no json", "[]", "null", "[" * 100_000, "1" * 5000, '"\\ud800"'])
def test_no_document_at_all(store: Store, text: str) -> None:
    """Anything that is not an exported conversation is refused as such."""
    with pytest.raises(UsageError, match=r"not JSON|not an exported conversation"):
        import_json(store, text)
    assert store.latest() is None
