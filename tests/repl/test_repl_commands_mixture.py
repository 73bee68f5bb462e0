"""Slash commands about the mixture: who answers, and how."""

from __future__ import annotations

import pytest
from chat_service import Service
from chatting import chatting, in_loop


@in_loop
async def test_command_preset(service: Service) -> None:
    """The list marks the one in force; a change takes its models, and an unknown one changes nothing."""
    async with chatting(width=120) as talk:
        listed = await talk.enter("/preset")
        assert "\n  ▸ default* " in "\n" + listed
        assert "  self-moa " in listed
        shown = await talk.enter("/preset self-moa")
        assert "reference_models" in shown
        assert (await talk.bar()).startswith("self-moa* · ")
        assert "nonesuch" in await talk.enter("/preset nonesuch")
        assert (await talk.bar()).startswith("self-moa* · ")


@in_loop
async def test_a_changed_preset_has_a_star(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the greeting, the bar and the list, as long as the mixture is not as in the preset."""
    async with chatting(width=120) as talk:
        assert "· default*: 2 models → judge · /help" in talk.text
        assert "\n  ▸ default* " in "\n" + await talk.enter("/preset")
    monkeypatch.delenv("MOA_BOT_REFERENCE_MODELS")
    monkeypatch.delenv("MOA_BOT_AGGREGATOR")
    async with chatting(width=120) as talk:
        assert "· default: 3 models → " in talk.text
        assert (await talk.bar()).startswith("default · ")
        for line, star in [
            ("/references a", "*"), ("/preset default", ""),
            ("/temperature 0.1", "*"), ("/set temperature -", ""),
            ("/theme light", ""), ("/rounds 1", ""), ("/rounds 2", "*"), ("/preset self-moa", ""),
        ]:  # fmt: skip
            await talk.enter(line)
            assert f"{star} · " in (await talk.bar())[:12], line
            assert ("*" in (await talk.bar())[:12]) == bool(star), line
        await talk.enter("/theme terminal")


@in_loop
async def test_one_model_is_one_model(service: Service) -> None:
    """The greeting counts it in the singular."""
    async with chatting({"reference_models": ["a"]}, width=120) as talk:
        assert ": 1 model → judge" in talk.text


@in_loop
async def test_command_model(service: Service) -> None:
    """It has the aggregator chosen from a list, or sets the one named, from the next prompt on."""
    service.says(other={"reply": "another reply"})
    async with chatting() as talk:
        talk.type("/model\r")
        await talk.shows("▸ together:judge  ")
        talk.type("\x1b")
        await talk.shows("\n  aggregator  judge  (environment MOA_BOT_AGGREGATOR)\n>>>")
        talk.type("/model\r")
        await talk.shows("▸ together:judge  ")
        talk.type("ether:b\r")
        await talk.shows("\n  aggregator  together:b  (option --aggregator)\n>>>")
        assert "other" in await talk.enter("/aggregator other")
        assert "another reply" in await talk.enter("why?")
        assert "other ← 2" in await talk.bar()


@in_loop
async def test_command_references(service: Service) -> None:
    """Models in a list, each as often as said."""
    async with chatting() as talk:
        assert "a*3" in await talk.enter("/references a*3, b")
        await talk.enter("why?")
        assert (len(service.prompts("a")), len(service.prompts("b"))) == (3, 1)
        assert "judge ← 4" in await talk.bar()


@in_loop
async def test_a_reference_model_is_left_out(service: Service) -> None:
    """By its name or a part that one model has, however often it is listed; else nothing changes."""
    async with chatting(width=120) as talk:
        await talk.enter("/references vendor/a-model*2, b-model, c")
        assert (
            await talk.enter("/references -A-Model")
            == "  reference_models  b-model, c  (option --reference_models)"
        )
        assert "none of the reference models: b-model, c" in await talk.enter("/references -x")
        assert "not both" in await talk.enter("/references -c d")
        assert "no reference model left" in await talk.enter("/references -b-model, -c")
        assert "  c  " in await talk.enter("/references -b")
        await talk.enter("why?")
        assert service.prompts("c")[-1] == "why?"
        assert service.prompts("b-model") == []
        await talk.enter("/references -")
        assert "a, b" in await talk.enter("/references")
        await talk.enter("/references x-1 x-2")
        assert "several of the reference models: x-1, x-2" in await talk.enter("/references -x")


@in_loop
async def test_command_rounds(service: Service) -> None:
    """The next prompt goes through so many rounds; what is no number of rounds changes nothing."""
    async with chatting() as talk:
        assert await talk.enter("/rounds 2") == "  rounds  2  (option --rounds)"
        await talk.enter("why?")
        assert len(service.prompts("a")) == 2
        assert "expected" in await talk.enter("/rounds many")
        assert "expected" in await talk.enter("/rounds -1")
        assert "  rounds  2  " in await talk.enter("/rounds")


@in_loop
async def test_command_temperature(service: Service) -> None:
    """It is sent from the next prompt on."""
    async with chatting() as talk:
        await talk.enter("/temperature 0.25")
        await talk.enter("why?")
        assert service.bodies("a")[-1]["temperature"] == 0.25
        assert "expected" in await talk.enter("/temperature 3")


@in_loop
async def test_command_max_tokens(service: Service) -> None:
    """It is sent from the next prompt on."""
    async with chatting() as talk:
        await talk.enter("/max_tokens 77")
        await talk.enter("why?")
        assert service.bodies()[-1]["max_tokens"] == 77


@in_loop
async def test_command_system(service: Service) -> None:
    """The system prompt comes first in every request until it is taken off."""
    async with chatting() as talk:
        assert "You are a cat." in await talk.enter("/system You are a cat.")
        await talk.enter("why?")
        await talk.enter("/system -")
        await talk.enter("why?")
        with_it, without = service.bodies("a")
        assert with_it["messages"][0] == {"role": "system", "content": "You are a cat."}
        assert [m["role"] for m in without["messages"]] == ["user", "assistant", "user"]


@in_loop
async def test_command_theme(service: Service) -> None:
    """The list marks the one in force, and a change holds for the next reply."""
    service.says(judge={"reply": "`code`"})
    async with chatting() as talk:
        assert "  ▸ auto " in await talk.enter("/theme")
        await talk.enter("/theme light")
        await talk.enter("why?")
        assert "38;2;0;112;125" in talk.written or "38;5;" in talk.written
        assert "  ▸ light " in await talk.enter("/theme")
        assert "expected" in await talk.enter("/theme pink")
        await talk.enter("/theme terminal")


@in_loop
async def test_command_verbose(service: Service) -> None:
    """The log is shown until it is switched off again."""
    async with chatting() as talk:
        assert await talk.enter("/verbose") == "  The log is shown from now on."
        shown = await talk.enter("one")
        assert "moa-bot: round 1 | reference | together | a | done" in shown
        assert "round 1 of 1" not in shown
        assert await talk.enter("/verbose") == "  The log is not shown from now on."
        assert "| reference |" not in await talk.enter("two")


@in_loop
async def test_command_set(service: Service) -> None:
    """Any option in either spelling, with or without a sign of equality; some cannot be changed in a chat."""
    async with chatting() as talk:
        assert await talk.enter("/set min_references 2") == "  min_references  2  (option --min_references)"
        assert "0.5" in await talk.enter("/set --temperature=0.5")
        assert "reference_max_tokens  9 " in await talk.enter("/set reference-max-tokens 9")
        assert "[0-9=]" in await talk.enter('/set schema {"pattern": "[0-9=]"}')
        assert "0.4" in await talk.enter("/set temperature = 0.4")
        assert "(environment MOA_BOT_AGGREGATOR)" in await talk.enter("/set aggregator -")
        assert (
            await talk.enter("/set tempratur 1") == "There is no option tempratur. Did you mean temperature?"
        )
        assert await talk.enter("/set reference_models none") == (
            "  reference_models  none  (option --reference_models)"
        )
        assert "demo cannot be changed during a chat" in await talk.enter("/set demo on")
        assert "/set NAME VALUE" in await talk.enter("/set rounds")


@in_loop
async def test_command_show(service: Service) -> None:
    """All options with value and source, or one of them; never a key."""
    async with chatting(height=100) as talk:
        listed = await talk.enter("/show")
        assert "\n  rounds " in listed
        assert "(environment MOA_BOT_AGGREGATOR)" in listed
        assert await talk.enter("/show rounds") == "  rounds  1  (defaults)"
        assert await talk.enter("/show tempo") == "There is no option tempo."
        assert "a-secret-key" not in talk.text
