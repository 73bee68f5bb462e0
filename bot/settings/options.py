"""The table of options: the one place where an option is declared.

Command line, environment, config.toml, presets, `config show` and the README's table are all made
from it. What a declaration may say is in `bot.settings.option`; deciding between several values
of an option is `bot.settings.resolve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.settings.option import Group, Kind, Option

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BY_NAME", "EXCLUSIVE", "FILE_OPTIONS", "OPTIONS", "PRESET_OPTIONS", "Group", "Kind", "Option"]

MAX_ROUNDS = 20
MAX_TOKENS = 10_000_000

OPTIONS: tuple[Option, ...] = (
    Option(
        name="preset",
        kind=Kind.TEXT,
        group=Group.MIXTURE,
        short="-p",
        metavar="NAME",
        help="The mixture to start from; other options change it.",
    ),
    Option(
        name="aggregator",
        kind=Kind.MODEL,
        group=Group.MIXTURE,
        short="-a",
        metavar="MODEL",
        help="The model that reads all answers and writes the final reply.",
    ),
    Option(
        name="reference_models",
        kind=Kind.MODELS,
        group=Group.MIXTURE,
        short="-r",
        metavar="MODEL",
        help="A model that answers first; repeat it or use commas. MODEL*3 asks one three times.",
    ),
    Option(
        name="rounds",
        kind=Kind.INT,
        group=Group.MIXTURE,
        metavar="N",
        minimum=1,
        maximum=MAX_ROUNDS,
        in_preset=True,
        help="How many times the reference models answer, each time having read one another.",
    ),
    Option(
        name="temperature",
        kind=Kind.FLOAT,
        group=Group.MIXTURE,
        metavar="T",
        minimum=0,
        maximum=2,
        in_preset=True,
        help="How freely the models choose their words: 0 is the most predictable.",
    ),
    Option(
        name="max_tokens",
        kind=Kind.INT,
        group=Group.MIXTURE,
        metavar="N",
        minimum=1,
        maximum=MAX_TOKENS,
        in_preset=True,
        help="The longest reply, in tokens (about 3/4 of a word each).",
    ),
    Option(
        name="reference_max_tokens",
        kind=Kind.INT,
        group=Group.MIXTURE,
        metavar="N",
        minimum=1,
        maximum=MAX_TOKENS,
        in_preset=True,
        help="The longest answer of a reference model, in tokens; as max_tokens if not given.",
    ),
    Option(
        name="min_references",
        kind=Kind.INT,
        group=Group.MIXTURE,
        metavar="N",
        minimum=0,
        maximum=1000,
        in_preset=True,
        help="Go on when at least so many reference models have answered; 0: even without any.",
    ),
    Option(
        name="multi_turn",
        kind=Kind.BOOL,
        group=Group.CONVERSATION,
        negative="no_multi_turn",
        help="Keep the context from prompt to prompt, or start afresh with each.",
    ),
    Option(
        name="system",
        kind=Kind.TEXT,
        group=Group.CONVERSATION,
        metavar="TEXT",
        may_be_empty=True,
        in_preset=True,
        help="Instructions for all models, such as a role or a style.",
    ),
    Option(
        name="system_file",
        kind=Kind.PATH,
        group=Group.CONVERSATION,
        metavar="FILE",
        in_preset=True,
        help="The same, read from a file.",
    ),
    Option(
        name="file",
        kind=Kind.PATHS,
        group=Group.CONVERSATION,
        short="-f",
        metavar="FILE",
        default=(),
        in_file=False,
        help="Attach a text file to the prompt; may be repeated.",
    ),
    Option(
        name="continue",
        kind=Kind.BOOL,
        group=Group.CONVERSATION,
        short="-c",
        default=False,
        in_file=False,
        help="Go on with the latest conversation.",
    ),
    Option(
        name="resume",
        kind=Kind.TEXT,
        group=Group.CONVERSATION,
        metavar="ID",
        in_file=False,
        help="Go on with that conversation; the first letters of its ID are enough.",
    ),
    Option(
        name="save",
        kind=Kind.BOOL,
        group=Group.CONVERSATION,
        negative="no_save",
        help="Keep the conversation for later, or keep nothing of it.",
    ),
    Option(
        name="stream",
        kind=Kind.BOOL,
        group=Group.OUTPUT,
        negative="no_stream",
        help="Show the reply as it is written, or only when it is complete.",
    ),
    Option(
        name="plain",
        kind=Kind.BOOL,
        group=Group.OUTPUT,
        default=False,
        help="Plain text: no Markdown rendering, no colour, nothing that moves.",
    ),
    Option(
        name="quiet",
        kind=Kind.BOOL,
        group=Group.OUTPUT,
        short="-q",
        default=False,
        help="Print only the reply.",
    ),
    Option(
        name="verbose",
        kind=Kind.BOOL,
        group=Group.OUTPUT,
        short="-v",
        default=False,
        help="Show the log on stderr as well.",
    ),
    Option(
        name="theme",
        kind=Kind.TEXT,
        group=Group.OUTPUT,
        metavar="NAME",
        default="terminal",
        choices=("terminal", "dark", "light", "mono"),
        help="The colours: the terminal's own, for a dark or a light window, or none.",
    ),
    Option(
        name="vi",
        kind=Kind.BOOL,
        group=Group.OUTPUT,
        negative="no_vi",
        default=False,
        help="Edit prompts with the keys of vi instead of those of Emacs.",
    ),
    Option(
        name="json",
        kind=Kind.BOOL,
        group=Group.OUTPUT,
        default=False,
        in_file=False,
        help="Print one JSON object per reply, with every reference, tokens and cost.",
    ),
    Option(
        name="null",
        kind=Kind.BOOL,
        group=Group.OUTPUT,
        short="-0",
        default=False,
        in_file=False,
        help="Piped prompts end with a NUL character instead of a line's end.",
    ),
    Option(
        name="demo",
        kind=Kind.BOOL,
        group=Group.ADVANCED,
        default=False,
        in_file=False,
        help="Try it offline with built-in demonstration models: no key, no network.",
    ),
    Option(
        name="endpoint",
        kind=Kind.TEXT,
        group=Group.ADVANCED,
        metavar="NAME",
        in_preset=True,
        help="The service that models belong to unless they say ENDPOINT:MODEL.",
    ),
    Option(
        name="num_proc",
        kind=Kind.INT,
        group=Group.ADVANCED,
        metavar="N",
        minimum=1,
        maximum=256,
        help="Worker processes; if not given, one per reference model, at most one per CPU core.",
    ),
    Option(
        name="seed",
        kind=Kind.INT,
        group=Group.ADVANCED,
        metavar="N",
        minimum=0,
        maximum=2_000_000_000,
        in_preset=True,
        help="Ask for repeatable answers: call i of a round is sent seed N+i.",
    ),
    Option(
        name="timeout",
        kind=Kind.FLOAT,
        group=Group.ADVANCED,
        metavar="SECONDS",
        above=0,
        maximum=86400,
        unit="seconds",
        in_preset=True,
        help="Give up on a model that is silent for so long.",
    ),
)

BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}

FILE_OPTIONS: tuple[str, ...] = tuple(option.name for option in OPTIONS if option.in_file)
PRESET_OPTIONS: tuple[str, ...] = tuple(option.name for option in OPTIONS if option.in_preset)

EXCLUSIVE: tuple[tuple[str, str], ...] = (("system", "system_file"), ("continue", "resume"))
"""Pairs that cannot be said in one breath; said in different places, the nearer one wins."""
