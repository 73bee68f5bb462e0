"""Slash commands for one prompt, and those that make another reply from the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_service import Service
from chatting import chatting, in_loop

from bot.settings import paths
from bot.store import Store, StoredTurn


def stored() -> tuple[StoredTurn, ...]:
    """The turns of the latest conversation."""
    with Store.open(paths.store_file()) as store:
        latest = store.latest()
        return store.turns(latest.id) if latest else ()


@in_loop
async def test_command_with(service: Service, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One prompt with another preset; the next one has the usual mixture again."""
    monkeypatch.delenv("MOA_BOT_REFERENCE_MODELS")
    monkeypatch.delenv("MOA_BOT_AGGREGATOR")
    presets = "".join(
        f'[presets.{name}]\naggregator = "{writer}"\nreference_models = ["{reference}"]\n'
        for name, writer, reference in (("one", "judge", "a"), ("two", "other", "b"))
    )
    (home / "config.toml").write_text(f'preset = "one"\n{presets}', encoding="utf-8")
    service.says(other={"reply": "from the other"})
    async with chatting() as talk:
        assert "which preset" in (await talk.enter("/with two")).lower()
        assert "from the other" in await talk.enter("/with two why is that?")
        assert service.prompts("b") == ["why is that?"]
        assert service.prompts("a") == []
        assert "the reply" in await talk.enter("and now?")
        assert service.prompts("a") == ["and now?"]
        assert "nonesuch" in await talk.enter("/with nonesuch why?")
        assert [message["content"] for message in service.bodies()[-1]["messages"]][:2] == [
            "why is that?",
            "from the other",
        ]


@in_loop
async def test_command_single(service: Service) -> None:
    """One model alone: the aggregator, or the one that is named; a word that is no model is the prompt's."""
    async with chatting() as talk:
        assert "What is to be asked?" in await talk.enter("/single")
        assert "What is to be asked?" in await talk.enter("/single a")
        assert "the reply" in await talk.enter("/single why not?")
        assert service.prompts() == ["why not?"]
        assert "from a" in await talk.enter("/single a what?")
        assert service.prompts("a") == ["what?"]
        assert service.prompts("b") == []
        assert "from b" in await talk.enter("/single  together:b what?")
        await talk.enter("and?")
        assert service.prompts("b") == ["what?", "and?"]


@in_loop
async def test_command_moa(service: Service) -> None:
    """In another mode, one prompt is answered by the aggregator."""
    async with chatting({"mode": "compare"}) as talk:
        assert "the reply" in await talk.enter("/moa why?")
        assert "the reply" not in await talk.enter("why?")


@in_loop
async def test_command_fusion(service: Service) -> None:
    """The answers of one prompt are compared."""
    service.says(judge={"replies": [json.dumps({"blind_spots": ["why not"]}), "the reply"]})
    async with chatting() as talk:
        assert "What is to be asked?" in await talk.enter("/fusion")
        assert "1 blind spot" in await talk.enter("/fusion why?")
        assert "compared" not in await talk.enter("why?")


@in_loop
async def test_command_critique(service: Service) -> None:
    """One prompt is drafted, reviewed and revised; the prompt may have several lines."""
    service.says(judge={"replies": ["a draft", "a revision", "the reply"]})
    async with chatting() as talk:
        shown = await talk.enter("/critique why?")
        assert "a revision" in shown
        assert "review   2 of 2" in shown
        assert "the reply" in await talk.enter("and?")


@in_loop
async def test_command_vote(service: Service) -> None:
    """One prompt is voted on."""
    service.says(a={"reply": "ANSWER: 42"}, b={"reply": "ANSWER: 42.0"})
    async with chatting() as talk:
        shown = await talk.enter("/vote how many?")
        assert "2 of 2: 42" in shown
        assert service.prompts() == []
        await talk.enter("why?")
        assert len(service.prompts()) == 1


@in_loop
async def test_command_compare(service: Service) -> None:
    """The answers of one prompt are shown beside each other."""
    async with chatting(width=100) as talk:
        rows = (await talk.enter("/compare why?")).split("\n")
        assert any("1 · a" in row and "2 · b" in row for row in rows)
        assert any("from a" in row and "from b" in row for row in rows)
        assert service.prompts() == []


@in_loop
async def test_command_rank(service: Service) -> None:
    """Of the answers to one prompt, the best is the reply."""
    service.says(judge={"replies": ["2", "the reply"]})
    async with chatting() as talk:
        shown = await talk.enter("/rank why?")
        assert "from b" in shown
        assert "from a" not in shown
        assert "the reply" in await talk.enter("and?")


@in_loop
async def test_a_stopped_prompt_is_in_the_line_again_with_its_command(service: Service) -> None:
    """What was typed is not lost."""
    async with chatting({"max_cost": 0.01}) as talk:
        await talk.enter("/vote how many?")
        assert talk.text.rstrip().endswith(">>> /vote how many?")


@in_loop
async def test_a_stopped_template_is_in_the_line_as_it_was_typed(service: Service, home: Path) -> None:
    """With its fields, not with the text that they fill."""
    (home / "prompts").mkdir()
    (home / "prompts" / "to.md").write_text("To {lang}: {input}", "utf-8")
    async with chatting({"max_cost": 0.01}) as talk:
        await talk.enter('/t to lang="old French" hello')
        assert talk.text.rstrip().endswith('>>> /t to lang="old French" hello')


@in_loop
async def test_command_take(service: Service) -> None:
    """A proposal becomes the reply: in the next request, in the store, in a resumed conversation."""
    async with chatting() as talk:
        assert await talk.enter("/take") == "There is no reply yet."
        await talk.enter("why?")
        assert (await talk.enter("/take")).split() == ["1", "a", "from", "a", "2", "b", "from", "b"]
        assert await talk.enter("/take 3") == "There are answers 1 to 2."
        assert await talk.enter("/take 2") == "  Taken as the reply: the answer of b."
        await talk.enter("and?")
        said = [message["content"] for message in service.bodies()[-1]["messages"]]
        assert said[:2] == ["why?", "from b"]
        await talk.enter("/take 2")
        assert await talk.enter("/take 1") == "  Taken as the reply: the answer of a."
    first, second = stored()
    assert (first.status, first.reply, first.model) == ("done", "from b", "b")
    assert first.notices == ("Taken as the reply: the answer of b.",)
    assert (second.reply, second.notices) == ("from a", ("Taken as the reply: the answer of a.",))
    async with chatting({"continue": True}) as talk:
        assert "from b" in await talk.enter("/take")
        await talk.enter("go on")
        said = [message["content"] for message in service.bodies()[-1]["messages"]]
        assert said[:4] == ["why?", "from b", "and?", "from a"]


@in_loop
async def test_take_after_a_comparison_and_after_a_failure(service: Service) -> None:
    """In mode compare the numbers are those of the headings; a reply that failed is replaced, too."""
    service.says(a={"failures": [{"kind": "status", "status": 400}]}, judge={"reply": "w"})
    async with chatting({"reference_models": ["a", "b", "judge"]}) as talk:
        await talk.enter("/compare why?")
        assert await talk.enter("/take 1") == "  Taken as the reply: the answer of b."
        await talk.enter("/new")
        service.says(judge={"failures": [{"kind": "status", "status": 400}]})
        await talk.enter("and?")
        await talk.enter("/take 2")
        service.says()
        await talk.enter("so?")
        said = [message["content"] for message in service.bodies()[-1]["messages"]]
        assert said[:2] == ["and?", "from b"]


@in_loop
async def test_command_merge(service: Service) -> None:
    """The reply is written again from some of the answers; no reference model is asked again."""
    service.says(c={"reply": "from c"}, judge={"replies": ["the reply", "merged", "next"]})
    async with chatting({"reference_models": ["a", "b", "c"]}) as talk:
        assert await talk.enter("/merge 1,2") == "There is no reply yet."
        await talk.enter("why?")
        for wrong in ("", "2", "2,2"):
            assert "Which answers?" in await talk.enter(f"/merge {wrong}")
        assert await talk.enter("/merge 1,4") == "There are answers 1 to 3."
        assert "merged" in await talk.enter("/merge 3, 1")
        assert len(service.prompts("a")) == 1
        text = service.bodies()[-1]["messages"][-1]["content"]
        assert "<answer 1 of 2 · " in text
        assert text.index("from c") < text.index("from a")
        assert "from b" not in text
        await talk.enter("and?")
        said = [message["content"] for message in service.bodies()[-1]["messages"]]
        assert said[:2] == ["why?", "merged"]
    turns = stored()
    assert [(turn.reply, turn.status) for turn in turns] == [
        ("the reply", "undone"),
        ("merged", "done"),
        ("next", "done"),
    ]


@in_loop
async def test_one_blank_row_above_a_reply(service: Service) -> None:
    """Also where no round stands above it: a model alone, and answers that are merged."""
    async with chatting() as talk:
        for prompt in ("why?", "/single why?", "/single b why?", "/merge 1,2"):
            if prompt.startswith("/merge"):
                await talk.enter("again?")
            rows = (await talk.enter(prompt)).split("\n")
            folded = [row for row in rows if not row.startswith("  round ")]
            at = next(index for index, row in enumerate(rows) if row in {"the reply", "from b"})
            assert rows[0] == "" == rows[at - 1], prompt
            assert at == 1 + 2 * (len(rows) - len(folded)), prompt


@in_loop
async def test_command_t(service: Service, home: Path) -> None:
    """A template is filled with fields and words; its system prompt is for this prompt only."""
    (home / "prompts").mkdir()
    (home / "prompts" / "to.toml").write_text('text = "To {lang}: {input}"\nsystem = "Be exact."', "utf-8")
    async with chatting() as talk:
        assert "to" in await talk.enter("/t")
        assert "needs lang" in await talk.enter("/t to hello")
        assert "the reply" in await talk.enter('/t to lang="old French" x=1 hello')
        assert service.prompts("a") == ["To old French: x=1 hello"]
        assert "no template" in await talk.enter("/t nonesuch hello")
        (home / "prompts" / "my own.md").write_text("Mine: {input}", "utf-8")
        (home / "prompts" / "wrong.toml").write_text("text = [", "utf-8")
        assert "wrong.toml: not valid TOML" in " ".join((await talk.enter("/t")).split())
        assert "the reply" in await talk.enter("/t my own hello")
        assert service.prompts("a")[-1] == "Mine: hello"


@pytest.mark.slow
@in_loop
async def test_a_template_in_a_demonstration(home: Path) -> None:
    """Its preset names models of a service, which the demonstration does without."""
    (home / "prompts").mkdir()
    (home / "prompts" / "quick.toml").write_text('text = "In short: {input}"\npreset = "fast"', "utf-8")
    async with chatting({"demo": True}) as talk:
        assert "demonstration program" in await talk.enter("/t quick two words")
