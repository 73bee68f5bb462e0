"""Commands that ask one prompt with another mixture; the next prompt has the usual one again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.repl.commands.registry import command
from bot.text.names import short_name

if TYPE_CHECKING:
    from bot.messages import Mode
    from bot.repl.chat_context import ChatContext

_FIELD = re.compile(r'\s*([^\W\d]\w*)=(?:"([^"]*)"|(\S*))')
"""A field of a template, before the prompt."""


@command("with", arguments="PRESET PROMPT", completes="presets")
async def _with(chat: ChatContext, argument: str) -> None:
    """Ask one prompt with another preset."""
    preset, prompt = _first_word(argument)
    if not prompt:
        raise UsageError("Which preset, and what is to be asked? /with PRESET PROMPT")
    # What was set for the usual preset does not apply to another one.
    unset = dict.fromkeys(("aggregator", "reference_models", "rounds", "mode", "judge"))
    mixture = chat.app.mixture({"preset": preset, **unset})
    await chat.ask(prompt, mixture=mixture, typed=f"/with {preset} {prompt}")


@command("t", "template", arguments="[NAME] [FIELD=VALUE …] PROMPT", completes="templates")
async def _template(chat: ChatContext, argument: str) -> None:
    """Ask one prompt that fills a template; without a name list the templates."""
    from bot.settings.templates import ONE_MODEL, Templates

    templates = Templates(chat.settings.config_file)
    name, words = _template_named(argument, templates.names())
    if not name:
        if not templates.names():
            raise UsageError("There are no templates yet.", hint="moa-bot prompts edit NAME")
        chat.say_list([(each.name, each.summary) for each in templates.all()])
        return
    template = templates.get(name)
    fields, words = _fields(words, template.fields)
    prompt = template.fill(words, fields)
    if not prompt:
        raise UsageError(f"What is to be asked? /t {name} PROMPT")
    # A chat of demonstration or local models goes on with these.
    options = template.options({name: getattr(chat.settings, name) for name in ONE_MODEL})
    if "preset" in options:
        options = {**dict.fromkeys(("aggregator", "reference_models", "rounds", "mode", "judge")), **options}
    await chat.ask(prompt, mixture=chat.app.mixture(options) if options else None, typed=f"/t {argument}")


def _template_named(argument: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the template's name, which may have blanks, and the rest."""
    for name in sorted(names, key=len, reverse=True):
        if " " in name and f"{argument} ".startswith(f"{name} "):
            return name, argument[len(name) :].strip()
    return _first_word(argument)


def _fields(words: str, names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return the fields at the beginning of the words (`lang=French`, `who="my aunt"`), and the rest."""
    fields: dict[str, str] = {}
    while found := _FIELD.match(words):
        if found[1] not in names or found[1] in fields:
            break
        fields[found[1]] = found[3] if found[2] is None else found[2]
        words = words[found.end() :]
    return fields, words


@command("single", arguments="[MODEL] PROMPT", completes="models")
async def _single(chat: ChatContext, argument: str) -> None:
    """Ask one prompt of one model alone, the aggregator if you name none."""
    word, prompt = _first_word(argument)
    model = _model_named(chat, word)
    if not model:
        word, prompt = "", argument
    if not prompt:
        raise UsageError("What is to be asked? /single [MODEL] PROMPT")
    mixture = chat.app.mixture({"aggregator": model} if model else None, alone=True)
    await chat.ask(prompt, mixture=mixture, typed=f"/single {argument}")


_MODES: dict[Mode, str] = {
    "moa": "Ask one prompt whose answers the aggregator reads and makes one reply of.",
    "fusion": "Ask one prompt whose answers a judge compares before the reply is written.",
    "critique": "Ask one prompt whose reply is a draft that was reviewed and revised.",
    "vote": "Ask one prompt with a short answer, which the models vote for.",
    "compare": "Ask one prompt and show the answers beside each other.",
    "rank": "Ask one prompt and have the aggregator choose the best answer as the reply.",
}
"""The modes that have a command of their name, and its help."""


def _add_mode(mode: Mode, summary: str) -> None:
    async def ask_in_mode(chat: ChatContext, prompt: str) -> None:
        if not prompt:
            raise UsageError(
                f"What is to be asked? /{mode} PROMPT", hint=f"For all prompts: /set mode {mode}"
            )
        await chat.ask(prompt, mixture=chat.app.mixture({"mode": mode}), typed=f"/{mode} {prompt}")

    ask_in_mode.__doc__ = summary
    command(mode, arguments="PROMPT")(ask_in_mode)


for _mode, _summary in _MODES.items():
    _add_mode(_mode, _summary)


def _first_word(argument: str) -> tuple[str, str]:
    word, *rest = argument.split(maxsplit=1)[:2] if argument else [""]
    return word, rest[0] if rest else ""


def _model_named(chat: ChatContext, word: str) -> str:
    """Return the model that a word names, "" for any other word.

    It is one of the mixture's, also by its short name, or of the catalogue, or ENDPOINT:MODEL.
    """
    for agent in chat.session.mixture.plan.agents():
        if word in {agent.model, short_name(agent.model)}:
            return f"{agent.endpoint}:{agent.model}"
    endpoint, colon, model = word.partition(":")
    named = bool(colon and model) and endpoint in chat.settings.endpoints
    return word if named or (word and chat.settings.catalogue.facts(word) is not None) else ""
