"""The table of options, of which command line, environment, config.toml, presets and docs are made.

Which of several values of an option is used is decided in `bot.settings.resolve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from bot.messages import Mode
from bot.settings.option import Group, Kind, Option

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BY_NAME",
    "CHOOSE",
    "EXCLUSIVE",
    "FILE_OPTIONS",
    "OPTIONS",
    "PRESET_OPTIONS",
    "Group",
    "Kind",
    "Option",
]

MAX_ROUNDS = 20
MAX_TOKENS = 10_000_000
CHOOSE = "?"
"""The value of `resume` when no conversation was named: the user is to choose one."""

# fmt: off
OPTIONS: tuple[Option, ...] = (
    Option("preset", Kind.TEXT, Group.MIXTURE, short="-p", metavar="NAME",
           help="The mixture to start from; other options change it."),
    Option("aggregator", Kind.MODEL, Group.MIXTURE, short="-a", metavar="MODEL",
           help="The model that reads all answers and writes the final reply."),
    Option("reference_models", Kind.MODELS, Group.MIXTURE, short="-r", metavar="MODEL",
           help="A model that answers first; repeat it or use commas. MODEL*3: three times; none: no model."),
    Option("rounds", Kind.INT, Group.MIXTURE, metavar="N", minimum=0, maximum=MAX_ROUNDS, in_preset=True,
           help="How often the reference models answer, each time having read one another; 0: never."),
    Option("temperature", Kind.FLOAT, Group.MIXTURE, metavar="T", minimum=0, maximum=2, in_preset=True,
           help="How freely the models choose their words: 0 is the most predictable."),
    Option("max_tokens", Kind.INT, Group.MIXTURE, metavar="N", minimum=1, maximum=MAX_TOKENS, in_preset=True,
           help="The longest reply, in tokens (about 3/4 of a word each)."),
    Option("reference_max_tokens", Kind.INT, Group.MIXTURE, metavar="N", minimum=1, maximum=MAX_TOKENS,
           in_preset=True,
           help="The same for reference models; max_tokens if not given, at most 512 on this computer."),
    Option("min_references", Kind.INT, Group.MIXTURE, metavar="N", minimum=0, maximum=1000, in_preset=True,
           help="The fewest reference models that must answer; with 0 the reply comes even without any."),
    Option("mode", Kind.TEXT, Group.MIXTURE, metavar="MODE", default="moa", choices=get_args(Mode),
           in_preset=True,
           help="moa writes, fusion compares first, critique revises, vote counts, compare only"
                " shows, rank picks."),
    Option("judge", Kind.MODEL, Group.MIXTURE, metavar="MODEL", in_preset=True,
           help="The model that compares the answers, in the modes that do; the aggregator if not given."),
    Option("placement", Kind.TEXT, Group.MIXTURE, metavar="WHERE", default="prompt",
           choices=("prompt", "system"), in_preset=True,
           help="Where answers stand: after the prompt (the rest can be cached) or in the system message."),
    Option("order", Kind.TEXT, Group.MIXTURE, metavar="ORDER", default="given",
           choices=("given", "rotated"), in_preset=True,
           help="How the aggregator reads the answers: in the given order, or rotated by prompt."),
    Option("fallbacks", Kind.MODELS, Group.MIXTURE, metavar="MODEL", default=(), in_preset=True,
           help="Aggregators to turn to, in order, when the aggregator fails."),
    Option("deadline", Kind.FLOAT, Group.MIXTURE, metavar="SECONDS", maximum=86400, above=0, unit="seconds",
           in_preset=True,
           help="End a round after this time; if not given, twice its median answer, at least 10 s."),
    Option("quorum", Kind.FLOAT, Group.MIXTURE, metavar="N", maximum=1000, above=0, in_preset=True,
           help="Once N references (below 1: this share of them) have answered, wait only --grace longer."),
    Option("grace", Kind.FLOAT, Group.MIXTURE, metavar="SECONDS", default=2.0, minimum=0, maximum=86400,
           unit="seconds", in_preset=True,
           help="How long a round waits for the others once there is a quorum."),
    Option("early_stop", Kind.BOOL, Group.MIXTURE, negative="no_early_stop", default=False,
           choices=("shadow",), in_preset=True,
           help="Skip the remaining rounds once the answers of a round agree; shadow: only note it."),
    Option("adaptive", Kind.BOOL, Group.MIXTURE, negative="no_adaptive", default=False, in_preset=True,
           help="As --early_stop; if the first round agrees, the light aggregator writes the reply."),
    Option("agreement", Kind.FLOAT, Group.MIXTURE, metavar="X", default=0.75, minimum=0, maximum=1,
           in_preset=True,
           help="The similarity at which answers agree: 0 is no word in common, 1 the same words."),
    Option("light_aggregator", Kind.MODEL, Group.MIXTURE, metavar="MODEL", in_preset=True,
           help="A quick, cheap aggregator for --adaptive."),
    Option("tools", Kind.NAMES, Group.MIXTURE, metavar="NAME", default=(), may_be_empty=True, in_preset=True,
           help="Tools that the reference models may call: web, a server, SERVER.TOOL, or a pattern."),
    Option("tool_rounds", Kind.INT, Group.MIXTURE, metavar="N", default=6, minimum=1, maximum=100,
           in_preset=True,
           help="How many times in a row a model may call tools before it has to answer."),
    Option("tools_for", Kind.TEXT, Group.MIXTURE, metavar="WHO", default="references",
           choices=("references", "all"), in_preset=True,
           help="Who may call tools: the reference models, or the judge and the aggregator too."),
    Option("when", Kind.TEXT, Group.MIXTURE, metavar="WHEN", default="always",
           choices=("always", "auto", "never"), in_preset=True,
           help="When the reference models are asked: always, when the aggregator wants to, or never."),
    Option("allow", Kind.NAMES, Group.MIXTURE, metavar="NAME", default=(), may_be_empty=True,
           help="Tools that may run without being asked for, though they can change something."),
    Option("multi_turn", Kind.BOOL, Group.CONVERSATION, negative="no_multi_turn",
           help="Keep the context from prompt to prompt, or start afresh with each."),
    Option("system", Kind.TEXT, Group.CONVERSATION, metavar="TEXT", may_be_empty=True, in_preset=True,
           help="Instructions for all models, such as a role or a style."),
    Option("system_file", Kind.PATH, Group.CONVERSATION, metavar="FILE", in_preset=True,
           help="The same, read from a file."),
    Option("schema", Kind.SCHEMA, Group.CONVERSATION, metavar="SCHEMA", in_file=False,
           help="The reply is JSON: by a JSON Schema, a file with one, or fields (name, age int); or none."),
    Option("file", Kind.PATHS, Group.CONVERSATION, short="-f", metavar="FILE", default=(), in_file=False,
           help="Attach a file (text, image, PDF) to the prompt; may be repeated."),
    Option("continue", Kind.BOOL, Group.CONVERSATION, short="-c", default=False, in_file=False,
           help="Continue the latest conversation."),
    Option("resume", Kind.TEXT, Group.CONVERSATION, metavar="ID", in_file=False,
           help="Continue that conversation; the first letters of its ID are enough."),
    Option("save", Kind.BOOL, Group.CONVERSATION, negative="no_save",
           help="Keep the conversation for later, or keep nothing of it."),
    Option("stream", Kind.BOOL, Group.OUTPUT, negative="no_stream",
           help="Show the reply as it is written, or only when it is complete."),
    Option("plain", Kind.BOOL, Group.OUTPUT, default=False,
           help="Plain text: no Markdown rendering, no colour, nothing that moves."),
    Option("quiet", Kind.BOOL, Group.OUTPUT, short="-q", default=False,
           help="Print only the reply."),
    Option("verbose", Kind.BOOL, Group.OUTPUT, short="-v", default=False,
           help="Show the log on stderr as well."),
    Option("theme", Kind.TEXT, Group.OUTPUT, metavar="NAME", default="auto",
           choices=("auto", "terminal", "dark", "light", "mono"),
           help="The colours: as the window is, the terminal's own, for a dark or a light window, or none."),
    Option("notify", Kind.TEXT, Group.OUTPUT, metavar="WHEN", default="auto",
           choices=("auto", "always", "never"),
           help="Notify or ring when a turn of more than 10 s ends: while the window is not in front"
                " (auto)."),
    Option("vi", Kind.BOOL, Group.OUTPUT, negative="no_vi", default=False,
           help="Edit prompts with the keys of vi instead of those of Emacs."),
    Option("json", Kind.BOOL, Group.OUTPUT, default=False, in_file=False,
           help="Print one JSON object per reply, with every reference, tokens and cost."),
    Option("null", Kind.BOOL, Group.OUTPUT, short="-0", default=False, in_file=False,
           help="Piped prompts end with a NUL character instead of a line's end."),
    Option("demo", Kind.BOOL, Group.ADVANCED, default=False, in_file=False,
           help="Try it offline with built-in demonstration models: no key, no network."),
    Option("local", Kind.BOOL, Group.ADVANCED, default=False, in_file=False,
           help="A mixture of models on this computer: those of services found here, or in --models_dir."),
    Option("starter", Kind.BOOL, Group.ADVANCED, default=False, in_file=False,
           help="A tiny real model on this computer, three times: to see a mixture, not for good answers."),
    Option("models_dir", Kind.PATH, Group.ADVANCED, metavar="FOLDER",
           help="The folder of your GGUF files, of which --local makes its mixture."),
    Option("endpoint", Kind.TEXT, Group.ADVANCED, metavar="NAME", in_preset=True,
           help="The service that models belong to unless they say ENDPOINT:MODEL."),
    Option("mcp_config", Kind.PATHS, Group.ADVANCED, metavar="FILE", default=(),
           help="A JSON file with mcpServers, whose tools can be used; may be repeated."),
    Option("num_proc", Kind.INT, Group.ADVANCED, metavar="N", minimum=1, maximum=256,
           help="Worker processes; if not given, one per reference model, at most one per CPU core."),
    Option("seed", Kind.INT, Group.ADVANCED, metavar="N", minimum=0, maximum=2_000_000_000, in_preset=True,
           help="Ask for repeatable answers: call i of a round is sent the seed N+i."),
    Option("max_cost", Kind.FLOAT, Group.CONVERSATION, metavar="DOLLARS", minimum=0,
           help="Ask nothing that could bring the cost of this conversation, or of this run, above this."),
    Option("rate", Kind.FLOAT, Group.ADVANCED, metavar="N", maximum=1_000_000, above=0, in_preset=True,
           help="Send at most N requests a minute to each service."),
    Option("timeout", Kind.FLOAT, Group.ADVANCED, metavar="SECONDS", maximum=86400, above=0, unit="seconds",
           in_preset=True,
           help="Give up on a model that sends no word of answer or thinking for this long."),
)
# fmt: on


BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}

FILE_OPTIONS: tuple[str, ...] = tuple(option.name for option in OPTIONS if option.in_file)
PRESET_OPTIONS: tuple[str, ...] = tuple(option.name for option in OPTIONS if option.in_preset)

EXCLUSIVE: tuple[tuple[str, str], ...] = (
    ("system", "system_file"),
    ("continue", "resume"),
    ("demo", "local"),
    ("demo", "starter"),
    ("local", "starter"),
)
"""Pairs that exclude each other at one level; of different levels, the nearer one wins."""
