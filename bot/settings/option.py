"""What an option is: its names, the values it accepts, its section of the help page.

The options themselves are in `bot.settings.options`; values are read in `bot.settings.values`.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum

VARIABLE_PREFIX = "MOA_BOT_"


class Kind(StrEnum):
    """The type of a value. MODELS, NAMES and PATHS are lists."""

    TEXT = "text"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    MODEL = "model"
    MODELS = "models"
    NAMES = "names"
    PATH = "path"
    PATHS = "paths"
    SCHEMA = "schema"


class Group(StrEnum):
    """The sections of the help page."""

    MIXTURE = "Mixture"
    CONVERSATION = "Conversation"
    OUTPUT = "Output"
    ADVANCED = "Advanced"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Option:
    """One option.

    `default` is used when config/defaults.toml has no value. `minimum` and `maximum` are inclusive,
    `above` is exclusive. `choices` are the only values of a text; a switch has them beside true and false.
    `in_file` and `in_preset` say whether config.toml and a preset may have the
    option; every option may come from the environment.
    """

    name: str
    kind: Kind
    group: Group
    _: KW_ONLY
    help: str
    short: str = ""
    metavar: str = ""
    negative: str = ""
    default: object = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    unit: str = ""
    may_be_empty: bool = False
    choices: tuple[str, ...] = ()
    in_file: bool = True
    in_preset: bool = False

    @property
    def attribute(self) -> str:
        """The attribute of `Settings` with the value; a valid Python name."""
        return _ATTRIBUTES.get(self.name, self.name)

    @property
    def flag(self) -> str:
        """The spelling in messages, such as "--reference_models"."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable, such as "MOA_BOT_ROUNDS"."""
        return VARIABLE_PREFIX + self.name.upper()

    @property
    def negative_variable(self) -> str:
        """The environment variable that switches it off, or ""."""
        return VARIABLE_PREFIX + self.negative.upper() if self.negative else ""

    @property
    def is_list(self) -> bool:
        """Whether it may be given several times."""
        return self.kind in {Kind.MODELS, Kind.NAMES, Kind.PATHS}

    @property
    def spelling(self) -> str:
        """The option in a table of options: "--aggregator, -a MODEL", "--stream / --no_stream"."""
        names = ", ".join((self.flag, self.short) if self.short else (self.flag,))
        if self.kind is Kind.BOOL and self.choices:
            names += f" [{'|'.join(self.choices)}]"
        if self.negative:
            names += f" / --{self.negative}"
        return f"{names} {self.metavar}".rstrip()

    @property
    def expected(self) -> str:
        """The values it accepts, as the end of "expected …"."""
        if self.kind is Kind.BOOL and self.choices:
            return f"true, false or {', '.join(self.choices)}"
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return _EXPECTED[self.kind] + self._range()

    def _range(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.above is not None:
            upper = "" if self.maximum is None else f" and at most {self.maximum:g}"
            return f" above {self.above:g}{upper}{unit}"
        if self.minimum is not None and self.maximum is not None:
            return f" from {_plain(self.minimum)} to {_plain(self.maximum)}{unit}"
        return "" if self.minimum is None else f", {_plain(self.minimum)} or more{unit}"


_EXPECTED = {
    Kind.TEXT: "a text",
    Kind.INT: "a whole number",
    Kind.FLOAT: "a number",
    Kind.BOOL: "true or false",
    Kind.MODEL: "one model's name",
    Kind.MODELS: "a list of models' names (MODEL or MODEL*N)",
    Kind.NAMES: "a list of names",
    Kind.PATH: "a file's path",
    Kind.PATHS: "a list of files' paths",
    Kind.SCHEMA: "a JSON Schema, a file with one, or fields such as: name, age int",
}
_ATTRIBUTES = {"continue": "continue_", "endpoint": "default_endpoint"}
"""Where the option's name is a keyword of Python or a method of `Settings`."""


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"
