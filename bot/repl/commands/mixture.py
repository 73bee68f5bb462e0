"""Commands about the mixture. Each sets an option of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.render.styles import THEMES
from bot.repl.commands.registry import command
from bot.settings.model_names import NONE, split_endpoint
from bot.settings.options import BY_NAME
from bot.settings.values import InvalidValueError, parse_text
from bot.text.names import short_name
from bot.text.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bot.repl.chat_context import ChatContext


@command("preset", arguments="[NAME]", completes="presets")
async def _preset(chat: ChatContext, argument: str) -> None:
    """Switch to another preset; without NAME, list them."""
    if argument:
        # Models and rounds that were set for the previous preset do not apply to another one.
        chat.change_options(
            {"preset": argument, "aggregator": None, "reference_models": None, "rounds": None}
        )
        for notice in chat.settings.notices():
            chat.say(f"  {notice}")
        await _show_mixture(chat)
        return
    here, label = chat.settings.preset.name, chat.settings.preset_label
    rows = [
        (_marked(label if preset.name == here else preset.name, label), preset.description)
        for preset in chat.settings.presets.all()
    ]
    chat.say_list(rows)
    if label != here:
        chat.say(f"  * changed: /preset {here} takes back what was changed here, /show lists the options.")


@command("model", "aggregator", arguments="[MODEL]", completes="models")
async def _model(chat: ChatContext, argument: str) -> None:
    """Set the aggregator, which writes the reply; without MODEL, choose it from a list."""
    if not argument and chat.can_pick:
        from bot.repl.choices import WHICH_MODEL, model_choices

        plan = chat.session.mixture.plan
        current = f"{plan.aggregator.endpoint}:{plan.aggregator.model}"
        chosen = await chat.pick(WHICH_MODEL, model_choices(chat.settings, plan), current)
        argument = chosen if chosen and chosen != current else ""
    await _set_option(chat, "aggregator", argument)


@command("references", arguments="[MODEL,MODEL*N … | -MODEL …]", completes="models")
async def _references(chat: ChatContext, argument: str) -> None:
    """Set the reference models; -MODEL leaves one out; without MODEL, show them."""
    words = argument.replace(",", " ").split()
    left_out = [word.removeprefix("-") for word in words if word.startswith("-") and word != "-"]
    if not left_out:
        await _set_option(chat, "reference_models", ",".join(words))
        return
    if len(left_out) < len(words):
        raise UsageError("Give the models to leave out, each with a -, or the whole new list: not both.")
    kept = list(chat.settings.reference_models)
    for name in left_out:
        gone = _find_model(name, kept, chat.settings.endpoints)
        kept = [model for model in kept if model != gone]
    if not kept:
        raise UsageError("There would be no reference model left.")
    chat.change_options({"reference_models": tuple(kept)})
    await _show(chat, "reference_models")


def _find_model(name: str, models: Sequence[str], endpoints: Collection[str]) -> str:
    """Return the one of `models` whose name, or a part of it, is `name`. UsageError for none or several."""
    low = name.lower()
    names = {model: (model, short_name(split_endpoint(model, endpoints)[1])) for model in models}
    whole = {model for model, forms in names.items() if low in map(str.lower, forms)}
    found = whole or {model for model in models if low in model.lower()}
    if len(found) == 1:
        return found.pop()
    listed = ", ".join(dict.fromkeys(models))
    raise UsageError(f"{name}: {'several' if found else 'none'} of the reference models: {listed}.")


@command("rounds", arguments="[N]")
async def _rounds(chat: ChatContext, argument: str) -> None:
    """Set the number of rounds in which the reference models answer."""
    await _set_option(chat, "rounds", argument)


@command("temperature", arguments="[T]")
async def _temperature(chat: ChatContext, argument: str) -> None:
    """Set the temperature (0 to 2)."""
    await _set_option(chat, "temperature", argument)


@command("max_tokens", arguments="[N]")
async def _max_tokens(chat: ChatContext, argument: str) -> None:
    """Set the longest reply, in tokens."""
    await _set_option(chat, "max_tokens", argument)


@command("system", arguments="[TEXT]")
async def _system(chat: ChatContext, argument: str) -> None:
    """Set the system prompt; without TEXT, show it; `-` removes it."""
    await _set_option(chat, "system", argument)


@command("theme", arguments="[NAME]", completes="themes")
async def _theme(chat: ChatContext, argument: str) -> None:
    """Set the colours of replies; without NAME, list them."""
    if argument:
        await _set_option(chat, "theme", argument)
        return
    chat.say_list([(_marked(name, chat.settings.theme), what) for name, what in THEMES.items()])


@command("verbose")
async def _verbose(chat: ChatContext, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Show the log of calls, or stop showing it."""
    on = not chat.settings.verbose
    chat.change_options({"verbose": on})
    chat.app.log.show_on(chat.log_sink if on else None)
    chat.say(f"  The log is {'shown' if on else 'not shown'} from now on.")


@command("set", arguments="NAME VALUE", completes="options")
async def _set(chat: ChatContext, argument: str) -> None:
    """Set any option from the next prompt on; `-` as VALUE resets it."""
    name, _, value = argument.partition(" ")
    if "=" in name or value.lstrip().startswith("="):
        name, _, value = argument.partition("=")
    if not name or not value.strip():
        raise UsageError("Give an option and a value: /set NAME VALUE; /show lists the options.")
    await _set_option(chat, name.strip().lstrip("-").replace("-", "_"), value.strip())


@command("show", arguments="[NAME]", completes="options")
async def _show(chat: ChatContext, argument: str) -> None:
    """Show the options in force and their sources."""
    from bot.settings.show import config_rows

    wanted = argument.lstrip("-").replace("-", "_")
    rows = [row for row in config_rows(chat.settings) if wanted in ("", row.key)]
    if not rows:
        raise UsageError(f"There is no option {argument}.")
    shown = [row for row in rows if wanted or not row.key.startswith("endpoints.")]
    chat.say_list([(row.key, f"{row.value}  ({row.source})") for row in shown])


async def _set_option(chat: ChatContext, name: str, value: str) -> None:
    """Set one option, or show it when there is no value."""
    if name not in BY_NAME:
        raise UsageError(f"There is no option {name}. {did_you_mean(name, BY_NAME)}".rstrip())
    if not value:
        await _show(chat, name)
        return
    if name in FIXED:
        raise UsageError(f"{name} cannot be changed during a chat: start moa-bot with it.")
    try:
        parsed = None if value == "-" else parse_text(BY_NAME[name], value, "\n")
    except InvalidValueError as problem:
        raise UsageError(f"{name}: {problem}") from None
    # An empty list would be an option that is not given.
    chat.change_options({name: [NONE] if parsed == () else parsed})
    await _show(chat, name)


def _marked(name: str, here: str) -> str:
    """Return a name for a list, marked if it is the one in force."""
    return f"{'▸' if name == here else ' '} {name}"


async def _show_mixture(chat: ChatContext) -> None:
    from bot.settings.show import config_rows

    rows = {row.key: row for row in config_rows(chat.settings)}
    names = ("reference_models", "rounds", "aggregator")
    chat.say_list([(name, f"{rows[name].value}  ({rows[name].source})") for name in names if name in rows])


FIXED = frozenset(
    {
        *("demo", "local", "starter", "models_dir", "save", "continue", "resume"),
        *("json", "null", "file", "num_proc", "vi"),
    }
)
"""Options that cannot be changed during a chat."""
