"""The value of --schema: which texts are schemas, and what is said of those that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bot.api.library import mixture_settings
from bot.app.known_models import KnownModels
from bot.app.make_plan import make_plan
from bot.client.adapt import Adaptation
from bot.errors import UsageError
from bot.settings.reply_schema import read_schema, schema_of_fields
from bot.text.reply_format import InvalidReplyError, format_of_schema

if TYPE_CHECKING:
    from conftest import Home

OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("name, age int", {"name": "string", "age": "integer"}),
        ("name", {"name": "string"}),
        ("name str,height float , alive bool,", {"name": "string", "height": "number", "alive": "boolean"}),
        ("name\nage int: in years, rounded", {"name": "string", "age": "integer"}),
        ("größe number", {"größe": "number"}),
        ("first-name text", {"first-name": "string"}),
        ("tags str[]", {"tags": "array"}),
        ("n: int, x: Float", {"n": "integer", "x": "number"}),
        ("a: list[int], b: str[], c: integers", {"a": "array", "b": "array", "c": "string"}),
    ],
)
def test_fields(text: str, fields: dict[str, str]) -> None:
    """Every field is needed, and no other is there."""
    schema = schema_of_fields(text)
    assert {name: each["type"] for name, each in schema["properties"].items()} == fields
    assert (schema["required"], schema["additionalProperties"]) == (list(fields), False)
    assert json.loads(read_schema(text)) == schema
    assert format_of_schema(schema).field["json_schema"]["strict"] is True


def test_what_a_field_means() -> None:
    """Is its description; a list says what is in it."""
    properties = schema_of_fields("age int: in years, rounded\ntags str[]")["properties"]
    assert properties["age"]["description"] == "in years, rounded"
    assert properties["tags"] == {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "a list is not a schema"),
        ('{"type": "objekt"}', "at $.type"),
        ('{"pattern": "("}', "at $.pattern"),
        ('{"$ref": "#/$defs/x"}', "leads to nothing in it"),
        ('{"$ref": "http://127.0.0.1:9/x"}', "leads to nothing in it"),
        ("missing.json", "cannot be read"),
        ("~/no such folder/x", "is not a field"),
        ("folder/missing", "cannot be read"),
        ("name foo", "the type of name can be str, int, float or bool, not foo"),
        ("name, name", "two fields name"),
        ("1st", "is not a field"),
        (",", "it names no field"),
        ('{"a": ' * 5000, "it is not JSON"),
        ("x" * 5000 + "!", "is not a field"),
        ("a\0b", "is not a field"),
    ],
)
def test_what_is_no_schema(text: str, why: str, home: Home) -> None:
    """Is said before anything is asked, with the reason; the program ends with 2."""
    with pytest.raises(UsageError, match="--schema: expected a JSON Schema") as caught:
        home.resolve({"schema": text})
    assert why in caught.value.message
    with pytest.raises(UsageError, match="environment MOA_BOT_SCHEMA"):
        home.resolve(MOA_BOT_SCHEMA=text)


def test_a_file(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a schema, or with fields; what is kept is the schema, so that the file may change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.json").write_text("\ufeff" + json.dumps(OBJECT), "utf-8")
    (tmp_path / "fields").write_text("name\nage int\n", "utf-8")
    for name, schema in {"s.json": OBJECT, "fields": schema_of_fields("name, age int")}.items():
        settings = home.resolve({"schema": name})
        assert json.loads(settings.schema or "") == schema
        assert json.loads(str(settings.stored_options()["schema"])) == schema


def test_none(home: Home) -> None:
    """Takes a schema of a farther level back."""
    assert home.resolve({"schema": "none"}, {"schema": "name"}).schema == ""
    assert make_plan(home.resolve({"schema": "none"})).reply_format is None
    assert home.resolve().schema is None


@pytest.mark.parametrize("mode", ["compare", "rank", "vote"])
def test_modes_without_a_writer(mode: str, home: Home) -> None:
    """Are refused, unless the aggregator answers alone."""
    with pytest.raises(UsageError, match=f"in mode {mode} no aggregator writes"):
        make_plan(home.resolve({"schema": "name", "mode": mode}))
    alone = make_plan(home.resolve({"schema": "name", "mode": mode, "rounds": 0}))
    assert alone.reply_format is not None


@pytest.mark.parametrize("given", [OBJECT, json.dumps(OBJECT)])
def test_in_the_library(given: Any, home: Home) -> None:
    """A table is a schema too."""
    settings = mixture_settings(None, None, None, {"schema": given})
    assert json.loads(settings.schema or "") == OBJECT
    with pytest.raises(UsageError, match="schema"):
        mixture_settings(None, None, None, {"schema": {"type": 1}})


def test_the_patterns_of_the_schema_are_kept() -> None:
    """The user's own are run; only those of a client of `serve` are not."""
    form = format_of_schema({"type": "string", "pattern": "^a"})
    assert form.checked('"ab"') == '"ab"'
    with pytest.raises(InvalidReplyError, match="does not match"):
        form.checked('"b"')


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (OBJECT, False),
        ({**OBJECT, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "array", "items": OBJECT}, False),
        ({"$defs": {"x": OBJECT}, "type": "string"}, False),
    ],
)
def test_strict_is_asked_for_where_it_is_possible(schema: dict[str, Any], strict: bool) -> None:  # noqa: FBT001 - of the table
    """A service refuses `strict` for open objects."""
    assert format_of_schema(schema).field["json_schema"].get("strict", False) is strict


def test_a_model_that_cannot(home: Home) -> None:
    """Is not sent the field at all."""
    home.config('[models."m"]\nstructured_output = false')
    models = KnownModels(home.resolve())
    assert models.adaptation("together", "m") == Adaptation(rejects=("response_format",))
