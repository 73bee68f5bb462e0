"""Slash commands that look at the last reply."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_service import Service
from chatting import chatting, in_loop

from bot.messages import Agent, Completion
from bot.settings import paths
from bot.store import Store
from bot.tool_use import ToolRun, ToolSource
from bot.turn_result import Call, Slot, TurnResult


@in_loop
async def test_command_refs(service: Service) -> None:
    """Every proposal of the last round or of another one, under its model's name."""
    async with chatting({"rounds": 2}) as talk:
        assert await talk.enter("/refs") == "There is no reply yet."
        await talk.enter("why?")
        shown = await talk.enter("/refs")
        assert shown.startswith("  round 2 of 2\n── a ─")
        assert "\nfrom a\n" in shown
        assert "── b ─" in shown
        assert (await talk.enter("/proposals 1")).startswith("  round 1 of 2\n")
        for wrong in ("3", "0", "x", "²"):
            assert await talk.enter(f"/refs {wrong}") == "There are rounds 1 to 2."


@in_loop
async def test_command_analysis(service: Service) -> None:
    """The comparison of the last reply by the models' names, also of a conversation that is resumed."""
    async with chatting() as talk:
        assert await talk.enter("/analysis") == "There is no reply yet."
        await talk.enter("why?")
        assert "were not compared" in await talk.enter("/analysis")
        found = {"unique": [{"claim": "b knows it", "answer": 2}], "blind_spots": ["why not"]}
        service.says(other={"reply": json.dumps(found)})
        await talk.enter("/set mode fusion")
        await talk.enter("/set judge other")
        shown = await talk.enter("and?")
        assert "compared   1 unique · 1 blind spot" in shown
        shown = await talk.enter("/analysis")
        assert "only b says" in shown
        assert "why not" in shown
        assert "unique: b knows it" in await talk.enter("/refs")
        assert "judge" in await talk.enter("/cost")
    async with chatting({"continue": True}) as talk:
        assert await talk.enter("/analysis") == shown
        assert "fusion" in await talk.enter("/show mode")


@in_loop
async def test_command_diff(service: Service) -> None:
    """What the revision changed in its draft, also in a resumed conversation; the reviews by /refs."""
    service.says(
        a={"reply": "- It is Canberra."}, judge={"replies": ["It is Sydney.", "It is Canberra.", "Yes."]}
    )
    async with chatting({"plain": True}) as talk:
        assert await talk.enter("/diff") == "There is no reply yet."
        await talk.enter("/set mode critique")
        shown = await talk.enter("which?")
        assert "review   2 of 2" in shown
        assert "It is Canberra." in shown
        assert "Sydney" not in shown
        assert await talk.enter("/diff") == "It is [-Sydney-] {+Canberra+}."
        assert await talk.enter("/diff 2") == "There is only draft 1."
        assert "- It is Canberra." in await talk.enter("/refs")
        cost = await talk.enter("/cost")
        assert all(word in cost for word in ("draft", "review", "reply"))
        await talk.enter("/set mode moa")
        await talk.enter("sure?")
        assert "had no draft" in await talk.enter("/diff")
        await talk.enter("/undo")
    async with chatting({"continue": True}) as talk:
        assert "Canberra" in await talk.enter("/diff")


@in_loop
async def test_refs_side_by_side(service: Service) -> None:
    """In a wide window proposals stand beside each other."""
    async with chatting(width=140) as talk:
        service.says()
        await talk.enter("why?")
        assert any("from a" in row and "from b" in row for row in (await talk.enter("/refs")).split("\n"))


@in_loop
async def test_command_trace(service: Service) -> None:
    """It shows how like each proposal the reply is, and never says that it is proof."""
    says = "Cats purr when they are content, and sometimes when they are in pain."
    service.says(a={"reply": says}, judge={"reply": says})
    async with chatting(height=60) as talk:
        assert await talk.enter("/trace") == "There is no reply yet."
        await talk.enter("why?")
        shown = await talk.enter("/trace")
        assert "similarity to the reply" in shown
        assert "not proof" in shown


@in_loop
async def test_command_cost(service: Service, home: Path) -> None:
    """Tokens and dollars by model, of the turn and of the chat; unknown prices are called unknown."""
    prices = "".join(
        f"[models.{name}]\ninput_price = 1000.0\noutput_price = 0\n" for name in ("a", "b", "judge")
    )
    (home / "config.toml").write_text(prices, encoding="utf-8")
    service.says(other={"reply": "x"})
    async with chatting() as talk:
        assert await talk.enter("/cost") == "  this chat: $0, 0 tokens"
        await talk.enter("why?")
        heading, *rows = (await talk.enter("/cost")).split("\n")
        assert heading.split() == ["call", "model", "prompt", "tokens", "answer", "tokens", "cost"]
        assert [row.split()[:3] for row in rows[:2]] == [["round", "1", "a"], ["round", "1", "b"]]
        assert rows[2].split()[:2] == ["reply", "judge"]
        assert len({len(row) for row in (heading, *rows[:3])}) == 1
        total = rows[3].removeprefix("  this turn: ")
        assert rows[4].startswith(f"  this chat: {total}, ")
        assert total in await talk.bar()
        await talk.enter("/model other")
        await talk.enter("why?")
        said = await talk.enter("/cost")
        assert "  this turn: cost unknown" in said
        assert f"  this chat: {total} and 1 turn of unknown cost, " in said


@in_loop
async def test_cost_of_cached_tokens(service: Service, home: Path) -> None:
    """The share of cached prompt tokens stands where a service reported some, also when resumed."""
    (home / "config.toml").write_text(
        "[models.a]\ninput_price = 1000.0\noutput_price = 0\ncached_input_price = 0\n", encoding="utf-8"
    )
    service.says(a={"reply": "x", "cached_tokens": 10**6}, b={"reply": "y", "cached_tokens": 0})
    async with chatting({"reference_models": ["a", "b"]}) as talk:
        await talk.enter("why?")
        shown = await talk.enter("/cost")
        _, first, second, reply, total = shown.split("\n")[:5]
        assert first.endswith("$0  100% cached")
        assert "cached" not in second + reply
        assert total.endswith("% of the prompt tokens cached")
        found = (await talk.enter("/history")).split("\n")[1].split()[0]
        await talk.enter("/new")
        await talk.enter(f"/resume {found}")
        assert (await talk.enter("/cost")).split("\n")[:5] == shown.split("\n")[:5]


@pytest.mark.parametrize(
    ("cached", "cached_price", "said"),
    [
        (10**6, "cached_input_price = 0\n", " without the cache, 100% of the prompt tokens cached"),
        (10**6, "cached_input_price = 9000\n", ", 100% of the prompt tokens cached"),
        (10**6, "", ", 100% of the prompt tokens cached"),
        (0, "cached_input_price = 0\n", ""),
        (None, "cached_input_price = 0\n", ""),
    ],
    ids=["cheaper", "same price", "no price", "nothing cached", "nothing reported"],
)
@in_loop
async def test_cost_without_the_cache(
    service: Service, home: Path, cached: int | None, cached_price: str, said: str
) -> None:
    """It stands beside a turn's cost where the cache has changed it, also when resumed."""
    tables = [f'[models."{name}"]\ninput_price = 9000\noutput_price = 1000\n{cached_price}' for name in "ab"]
    judge = "[models.judge]\ninput_price = 0\noutput_price = 1000\n"
    (home / "config.toml").write_text("".join(tables) + judge, encoding="utf-8")
    behaviour = {"reply": "x"} | ({} if cached is None else {"cached_tokens": cached})
    service.says(a=behaviour, b=behaviour, judge=behaviour)
    async with chatting({"reference_models": ["a", "b"]}) as talk:
        await talk.enter("why?")
        shown = await talk.enter("/cost")
        total = shown.split("\n")[4]
        assert total.startswith("  this turn: $")
        cost, *without = total.removeprefix("  this turn: ").removesuffix(said).split(", ")
        assert len(without) == ("without" in said)
        if without:
            assert float(without[0].removeprefix("$")) > float(cost.removeprefix("$"))
        found = (await talk.enter("/history")).split("\n")[1].split()[0]
        await talk.enter("/new")
        await talk.enter(f"/resume {found}")
        assert (await talk.enter("/cost")).split("\n")[:5] == shown.split("\n")[:5]


@in_loop
async def test_cost_after_a_fallback(service: Service) -> None:
    """The aggregator that failed and the one that wrote the reply are told apart, also when resumed."""
    service.says(judge={"failures": [{"status": 404}]}, other={"reply": "after all"})
    async with chatting({"fallbacks": ["other"]}) as talk:
        await talk.enter("why?")
        shown = await talk.enter("/cost")
        asked = [row.split()[:2] for row in shown.split("\n")[3:5]]
        assert asked == [["attempt", "judge"], ["reply", "other"]]
        found = (await talk.enter("/history")).split("\n")[1].split()[0]
        await talk.enter("/new")
        assert "attempt" not in await talk.enter("/cost")
        await talk.enter(f"/resume {found}")
        assert (await talk.enter("/cost")).split("\n")[:5] == shown.split("\n")[:5]


@in_loop
async def test_command_copy(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no clipboard of the system's, the terminal is asked to copy the last reply."""
    monkeypatch.setattr("pyperclip.copy", _no_clipboard)
    async with chatting() as talk:
        assert await talk.enter("/copy") == "There is no reply yet."
        await talk.enter("why?")
        assert await talk.enter("/copy") == "  Copied (9 characters)."
        assert "\x1b]52;c;dGhlIHJlcGx5\a" in talk.written


def _no_clipboard(text: str) -> None:
    import pyperclip

    raise pyperclip.PyperclipException("none here")


@in_loop
async def test_command_code(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply's code blocks are listed, copied by number, and written to files."""
    monkeypatch.setattr("pyperclip.copy", _no_clipboard)
    service.says(judge={"reply": "See:\n\n```python\nprint(1)\nprint(2)\n```\n\nand\n\n    plain code"})
    async with chatting(width=160) as talk:
        await talk.enter("why?")
        assert (
            await talk.enter("/code")
            == "  1  python     2 lines: print(1)\n  2  text       1 line: plain code"
        )
        assert await talk.enter("/code 1") == "print(1)\nprint(2)\n  Copied (18 characters)."
        await talk.enter(f"/code 1 {tmp_path / 'a b.py'}")
        assert (tmp_path / "a b.py").read_text() == "print(1)\nprint(2)\n"
        assert await talk.enter("/code 3") == "There are code blocks 1 to 2."
        service.says()
        await talk.enter("why?")
        assert await talk.enter("/code") == "There is no code in the last reply."


@in_loop
async def test_what_is_copied_has_no_control_characters(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clipboard and files get what the screen showed: nothing in it can end a bracketed paste."""
    copied: list[str] = []
    monkeypatch.setattr("pyperclip.copy", copied.append)
    evil = "a\x1b[201~;rm -rf ~\n\tb\x08\x00\u202e\x9b2Jc\x1b]0;title\x07d\n"
    clean = "a;rm -rf ~\n\tbcd\n"
    service.says(judge={"reply": f"```\n{evil}```\n"})
    async with chatting(width=160) as talk:
        await talk.enter("why?")
        await talk.enter("/copy")
        await talk.enter("/code 1")
        await talk.enter(f"/code 1 {tmp_path / 'code'}")
        await talk.enter(f"/save {tmp_path / 'reply'}")
    assert copied == [f"```\n{clean}```\n", clean]
    assert (tmp_path / "code").read_text() == clean
    assert (tmp_path / "reply").read_text() == f"```\n{clean}```\n"


@in_loop
async def test_command_save(service: Service, tmp_path: Path) -> None:
    """The last reply is written to a file that did not exist, whose name may hold blanks."""
    async with chatting(width=160) as talk:
        assert await talk.enter("/save") == "Where to? /save FILE"
        await talk.enter("why?")
        said = await talk.enter(f"/save {tmp_path}/my reply.md")
        assert said == f"  Written to {tmp_path}/my reply.md (1 line, about 3 tokens)"
        assert (tmp_path / "my reply.md").read_text() == "the reply\n"
        assert "exists already" in await talk.enter(f"/save {tmp_path}/my reply.md")
        assert "No such file" in await talk.enter(f"/save {tmp_path}/nowhere/reply.md")


@in_loop
async def test_command_expand(service: Service) -> None:
    """Answers are shown as they come, until it is said again."""
    async with chatting() as talk:
        assert await talk.enter("/expand") == "  Answers are shown as they come from now on."
        shown = await talk.enter("why?")
        assert shown.index("── a, round 1 ─") < shown.index("from a") < shown.index("the reply")
        assert await talk.enter("/expand") == "  Answers are folded from now on."
        assert "from a" not in await talk.enter("why?")


@in_loop
async def test_command_sources(service: Service) -> None:
    """Which tools ran and what they found, under the reply and by the command, also when it is resumed."""
    run = ToolRun("web_search", {"query": "cats"}, "", (ToolSource("https://a.example/x", "Cats \x1b[2J"),))
    done = Completion("They purr [1].")
    references = (Call(Slot(1, 0, Agent("a")), Completion("Cats."), tool_runs=(run,)),)
    call = Call(Slot(2, 0, Agent("judge"), "aggregator"), done)
    result = TurnResult("done", "They purr [1].", "", "judge", (*references, call))
    async with chatting() as talk:
        assert await talk.enter("/sources") == "There is no reply yet."
        await talk.enter("why?")
        assert await talk.enter("/sources") == "No tool ran for this reply."
    with Store.open(paths.store_file()) as store:
        conversation = store.create_conversation({}, None, "why?")
        store.finish_turn(store.begin_turn(conversation.id, "why?"), result)
    async with chatting({"resume": conversation.id}) as talk:
        shown = await talk.enter("/sources")
        assert shown.splitlines()[0] == "  a, round 1"
        assert '⌕ "cats"   0.0 s · 1 source' in shown
        assert "[1] Cats · https://a.example/x" in shown
