"""What README and docs/ say is so. `python tests/docs/test_docs.py --write` makes their tables anew."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


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


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "options": ("docs/options.md", options_table),
    "presets": ("docs/configuration.md", presets_table),
    "commands": ("docs/commands.md", commands_table),
}
"""The generated tables: the page that each stands in, and the function that makes it."""


def filled(name: str) -> str:
    """Return the text of a table's page with the table made anew."""
    page, table = TABLES[name]
    text = (ROOT / page).read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    assert pattern.search(text), f"{page} has no place for its table of {name}"
    return pattern.sub(lambda found: f"{found[1]}\n{table()}\n\n{found[2]}", text)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_up_to_date(name: str) -> None:
    """Options, presets, and slash commands stand in the docs as the program has them."""
    text = (ROOT / TABLES[name][0]).read_text(encoding="utf-8")
    assert text == filled(name), "run: python tests/docs/test_docs.py --write"


def test_the_readme_has_the_commands_that_ci_runs() -> None:
    """The set-up commands, and the one with a real model, are there, each a single line."""
    text = README.read_text(encoding="utf-8")
    for name in ("demo", "starter", "tests"):
        [block] = re.findall(rf"<!-- command: {name} -->\n```sh\n(.*?)```", text, re.DOTALL)
        assert block.count("\n") == 1
        assert ".venv/bin/" in block


@pytest.mark.slow
def test_the_first_command_answers_its_question(moa: Callable[..., Any]) -> None:
    """The README's first question is answered rightly, by several models and by the aggregator."""
    [line] = re.findall(r"<!-- command: demo -->\n```sh\n(.*?)\n```", README.read_text("utf-8"), re.DOTALL)
    program, *arguments = shlex.split(line.rpartition("&&")[2])
    assert program == ".venv/bin/moa-bot"
    first, last = (date.fromisoformat(day) for day in re.findall(r"\d{4}-\d\d-\d\d", arguments[-1]))
    answer = f"it is {(last - first).days} days"
    done = moa(*arguments)
    assert done.returncode == 0, done.stderr
    opening, _, common = done.stdout.partition("### Common ground")
    assert answer in opening
    stated = [text for text in common.splitlines() if answer in text]
    assert stated, common
    assert re.search(r"\((\d) of 6 say so\)", stated[0])


def test_the_readme_is_short() -> None:
    """It has at most 160 lines; the rest is in docs/."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link to a file or heading of this repository names one that is there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}: no such heading"


@pytest.mark.parametrize("page", ["configuration", "endpoints", "local"])
def test_the_settings_shown_can_be_used(page: str, tmp_path: Path) -> None:
    """Every example of config.toml is read without a mistake, presets included."""
    from bot.settings.resolve import resolve

    examples = blocks(f"docs/{page}.md", "toml")
    assert examples
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.toml"
        file.write_text(example, encoding="utf-8")
        settings = resolve({}, environ={"MOA_BOT_HOME": str(tmp_path)}, config_file=file)
        settings.presets.all()


@pytest.mark.slow
def test_every_command_is_listed(here: Callable[..., Any]) -> None:
    """docs/commands.md lists the commands of `moa-bot --help`, in its order."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `moa-bot (\w+)` \|", page, re.MULTILINE)
    shown = here("--help").stdout.partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert listed == re.findall(r"^  (\w+) ", shown, re.MULTILINE)


def test_every_key_of_the_json_is_listed(moa: Callable[..., Any]) -> None:
    """docs/commands.md names every key of an object that --json prints, and no other."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("## JSON")[2].partition("\n## ")[0]
    of_reply, of_call = (
        {
            key
            for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
            for key in re.findall(r"`(\w+)`", row)
        }
        for table in (section.partition("\n### ")[0], section.partition(" A call has:")[2])
    )
    reply = json.loads(moa("ask", "--demo", "--no_save", "--json", "why?").stdout)
    assert of_reply == set(reply)
    assert of_call == set(reply["aggregator"])


def test_every_message_in_troubleshooting_is_one_of_ours() -> None:
    """The beginning of each message that docs/troubleshooting.md explains is in the program's source."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "bot").rglob("*.py"))
    for message in re.findall(r"^\| `([^`]+)`", page, re.MULTILINE):
        words = message.partition("…")[0].split()[:3]
        # A name in it may be put in by the program.
        beginning = " ".join(rf"(?:{re.escape(word)}|\{{[^{{}}]+\}})" for word in words)
        assert re.search(beginning, source) or message == "CERTIFICATE_VERIFY_FAILED", message


if __name__ == "__main__" and "--write" in sys.argv:
    with tempfile.TemporaryDirectory() as home:
        os.environ["MOA_BOT_HOME"] = home  # presets of whoever runs this are not for the docs
        for each in TABLES:
            (ROOT / TABLES[each][0]).write_text(filled(each), encoding="utf-8")
