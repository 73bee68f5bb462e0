"""The README's tables are the program's own. `python tests/docs/test_readme.py --write` makes them anew."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def options_table() -> str:
    from bot.settings.options import OPTIONS

    rows = [f"| `{option.spelling}` | {option.help} |" for option in OPTIONS]
    return "\n".join(["| option | meaning |", "|---|---|", *rows])


def presets_table() -> str:
    from bot.settings.presets import list_presets

    rows = [
        f"| `{preset.name}` | {preset.description} | "
        f"{', '.join(dict.fromkeys(short(agent.model) for layer in preset.layers for agent in layer))} | "
        f"{short(preset.aggregator.model)} |"
        for preset in sorted(list_presets(), key=lambda preset: (preset.name != "default", preset.name))
    ]
    return "\n".join(["| preset | | reference models | aggregator |", "|---|---|---|---|", *rows])


def commands_table() -> str:
    from bot.repl.commands import COMMANDS, KEYS

    rows = [
        f"| `{f'{entry.name} {entry.arguments}'.rstrip()}` | {entry.help} |" for entry in COMMANDS.values()
    ]
    keys = [f"| {keys.replace('|', '')} | {what} |" for keys, what in KEYS]
    escaped = [re.sub(r"(?<=\w)\|(?=\w)", r"\\|", row) for row in rows]
    return "\n".join(["| command or key | what it does |", "|---|---|", *escaped, *keys])


def short(model: str) -> str:
    return model.rpartition("/")[2]


def filled(text: str) -> str:
    """Return the README with its tables made anew."""
    tables = {"options": options_table(), "presets": presets_table(), "commands": commands_table()}.items()
    for name, table in tables:
        pattern = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        assert pattern.search(text), f"the README has no place for its table of {name}"
        text = pattern.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
    return text


def test_the_tables_are_up_to_date() -> None:
    """Options and presets stand in the README as the program has them."""
    text = README.read_text(encoding="utf-8")
    assert text == filled(text), "run: python tests/docs/test_readme.py --write"


def test_the_readme_has_the_commands_that_ci_runs() -> None:
    """The two set-up commands are there, each a single line."""
    text = README.read_text(encoding="utf-8")
    for name in ("demo", "tests"):
        [block] = re.findall(rf"<!-- command: {name} -->\n```sh\n(.*?)```", text, re.DOTALL)
        assert block.count("\n") == 1
        assert ".venv/bin/" in block


if __name__ == "__main__" and "--write" in sys.argv:
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
