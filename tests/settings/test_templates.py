"""Prompt templates: their files, what is filled in, and what is said when that is not possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.errors import ConfigError, UsageError
from bot.settings.templates import Template, Templates, choose_template, parse_fields

if TYPE_CHECKING:
    from conftest import Home


def template(text: str, **more: str) -> Template:
    from pathlib import Path

    return Template("x", Path("x.md"), text, **more)


@pytest.mark.parametrize(
    ("text", "words", "fields", "prompt"),
    [
        ("Translate to {lang}: {input}", "hi", {"lang": "French"}, "Translate to French: hi"),
        ("Explain:", "why?", {}, "Explain:\n\nwhy?"),
        ("Write a poem.", "", {}, "Write a poem."),
        ("", "why?", {}, "why?"),
        ("{input} and {input}", "a", {}, "a and a"),
        (
            'Braces stay: {"a": 1} {} { } {1} {a-b} f{ x }',
            "w",
            {},
            'Braces stay: {"a": 1} {} { } {1} {a-b} f{ x }\n\nw',
        ),
        ("Literal {{name}}, {{input}}: {input}", "w", {}, "Literal {name}, {input}: w"),
        ("{input} {who}", "{who} {input}", {"who": "{input}"}, "{who} {input} {input}"),
        ("{größe}", "", {"größe": "3"}, "3"),
        ("{a}", "", {"a": ""}, ""),
        (r"\d{2} \1 {input}", r"\1 \g<0>", {}, r"\d{2} \1 \1 \g<0>"),
    ],
)
def test_filling(text: str, words: str, fields: dict[str, str], prompt: str) -> None:
    """In one pass; only names in braces are fields."""
    assert template(text).fill(words, fields) == prompt


@pytest.mark.parametrize(
    ("text", "words", "fields", "said"),
    [
        ("{lang} {tone}: {input}", "w", {"tone": "kind"}, "The template x needs lang."),
        ("{lang} {tone}", "w", {}, "The template x needs lang, tone."),
        ("{input}", " ", {}, "needs words"),
        ("{lang}", "w", {"lang": "a", "tone": "b"}, "has no field tone"),
        ("text", "w", {"input": "b"}, "has no field input"),
    ],
)
def test_what_is_missing(text: str, words: str, fields: dict[str, str], said: str) -> None:
    """Is named, with what to write."""
    with pytest.raises(UsageError, match=said):
        template(text).fill(words, fields)


def test_files_and_tables(home: Home) -> None:
    """A text, a file of TOML, or a table in config.toml, which is nearer."""
    folder = home.folder / "prompts"
    folder.mkdir()
    (folder / "plain.md").write_text("About {input}\n", "utf-8")
    (folder / "whole.toml").write_text('text = "T"\nsystem = "S"\npreset = "fast"\n', "utf-8")
    (folder / "twice.txt").write_text("file", "utf-8")
    home.config('[prompts.twice]\ntext = "table"\n[prompts.role]\nsystem = "You are a cat."')
    found = {each.name: each for each in Templates(home.file).all()}
    assert list(found) == ["plain", "role", "twice", "whole"]
    assert (found["plain"].text, found["plain"].fields) == ("About {input}", ())
    assert found["twice"].text == "table"
    assert (found["role"].text, found["role"].system) == ("", "You are a cat.")
    assert found["whole"].options({}) == {"preset": "fast", "system": "S"}
    assert found["whole"].options({"demo": True, "system_file": "f"}) == {}
    with pytest.raises(UsageError, match='no template "plan"') as caught:
        Templates(home.file).get("plan")
    assert "plain" in caught.value.hint
    for name in ("../config", "/etc/passwd", "", "a\0b"):
        with pytest.raises(UsageError):
            Templates(home.file).get(name)


@pytest.mark.parametrize("table", ["txt = 'x'", "text = 3", "description = 'd'", ""])
def test_a_wrong_table(table: str, home: Home) -> None:
    """Names the file and the key."""
    home.config(f"[prompts.x]\n{table}")
    with pytest.raises(ConfigError, match=r"config\.toml"):
        Templates(home.file).get("x")


def test_one_mistake_does_not_hide_the_others(home: Home) -> None:
    """A list names it; the file of each can be opened, whatever is in it."""
    folder = home.folder / "prompts"
    (folder / "folder.md").mkdir(parents=True)
    (folder / "broken.toml").write_text("text = [", "utf-8")
    (folder / "bytes.md").write_bytes(b"\xff\xfe")
    (folder / "preset.toml").write_text('preset = "nonesuch"', "utf-8")
    (folder / "right.md").write_text("x" * 100_000, "utf-8")
    home.config("[prompts.table]\ntext = 3")
    templates = Templates(home.file)
    problems = {each.name: each.problem for each in templates.all()}
    assert list(problems) == ["broken", "bytes", "folder", "preset", "right", "table"]
    assert [name for name, problem in problems.items() if not problem] == ["right"]
    assert 'there is no preset "nonesuch"' in problems["preset"]
    assert templates.source("broken") == folder / "broken.toml"
    assert templates.source("table") == home.file
    assert all(len(each.summary) <= 300 for each in templates.all())


@pytest.mark.parametrize("given", [["a"], ["=b"], ["a=1", "a=2"]])
def test_wrong_fields(given: list[str]) -> None:
    """Are refused."""
    with pytest.raises(UsageError, match="--field"):
        parse_fields(given)
    with pytest.raises(UsageError, match="which one"):
        choose_template(None, given)


def test_fields_without_a_template_in_the_library(home: Home) -> None:
    """Are not ignored."""
    from bot import Mixture

    with pytest.raises(UsageError, match="which one"):
        Mixture(demo=True, fields={"a": "b"})


def test_fields() -> None:
    """A value may have any characters."""
    assert parse_fields(["a=b=c", "d="]) == {"a": "b=c", "d": ""}
