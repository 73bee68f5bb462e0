"""What an option is: its names in every place, the values it takes, the panel it stands in.

The options themselves are in `bot.settings.options`; reading values is `bot.settings.values`.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE_PREFIX = "MOA_BOT_"


class Kind(StrEnum):
    """What a value is. Models and paths are lists."""

    TEXT = "text"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    MODEL = "model"
    MODELS = "models"
    PATH = "path"
    PATHS = "paths"


class Group(StrEnum):
    """The panels of the help page."""

    MIXTURE = "Mixture"
    CONVERSATION = "Conversation"
    OUTPUT = "Output"
    ADVANCED = "Advanced"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Option:
    """One option.

    `name` is its name in snake_case, as in docs/options.md; `default` stands when
    config/defaults.toml has no value either. `minimum` and `maximum` are inclusive, `above` is
    exclusive. `in_file` and `in_preset` say whether it may stand in config.toml and in a preset;
    from the environment every option may come.
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
        """The attribute of `Settings` (and a safe Python name) that holds the value."""
        return _ATTRIBUTES.get(self.name, self.name)

    @property
    def flag(self) -> str:
        """The spelling used in messages, such as "--reference_models"."""
        return f"--{self.name}"

    @property
    def flags(self) -> tuple[str, ...]:
        """All spellings of the option: underscores, hyphens, short."""
        return _spellings(self.name) + ((self.short,) if self.short else ())

    @property
    def negative_flags(self) -> tuple[str, ...]:
        """All spellings that switch it off; empty when there is none."""
        return _spellings(self.negative) if self.negative else ()

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
        return self.kind in {Kind.MODELS, Kind.PATHS}

    @property
    def python_type(self) -> object:
        """The annotation for a command-line signature: None means not given."""
        return _python_types()[self.kind]

    @property
    def spelling(self) -> str:
        """How a help table names it: "--aggregator, -a MODEL", "--stream / --no_stream"."""
        names = ", ".join((self.flag, self.short) if self.short else (self.flag,))
        if self.negative:
            names += f" / --{self.negative}"
        return f"{names} {self.metavar}".rstrip()

    @property
    def expected(self) -> str:
        """The values it takes, as the end of "expected …"."""
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
    Kind.PATH: "a file's path",
    Kind.PATHS: "a list of files' paths",
}
_ATTRIBUTES = {"continue": "continue_", "endpoint": "default_endpoint"}
"""Where the option's name is a keyword of Python or a method of `Settings`."""


def _spellings(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}")))


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _python_types() -> Mapping[Kind, object]:
    from pathlib import Path

    return {
        Kind.TEXT: str | None,
        Kind.INT: int | None,
        Kind.FLOAT: float | None,
        Kind.BOOL: bool | None,
        Kind.MODEL: str | None,
        Kind.MODELS: list[str] | None,
        Kind.PATH: Path | None,
        Kind.PATHS: list[Path] | None,
    }
