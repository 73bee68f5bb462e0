"""Behaviour files: valid and invalid ones, and the requests that their rules apply to."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from bot.demo import DEMO_AGGREGATOR, DEMO_REFERENCES
from bot.demo.behaviour import Behaviour, load_behaviour, parse_behaviour
from bot.demo.fault_injection import CHANGES_ANSWER, DURING_ANSWER, REPLACES_ANSWER
from bot.demo.fault_rules import KIND_KEYS, FaultRule, seeded_random
from bot.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_file_the_demonstration_models_are_served() -> None:
    """The default behaviour serves the demonstration models and no other."""
    behaviour = Behaviour()
    assert set(behaviour.models) == {*DEMO_REFERENCES, DEMO_AGGREGATOR}
    assert behaviour.get("other") is None


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    """The same data in TOML and in JSON gives the same behaviour."""
    data = {"any_model": True, "models": {"a/b": {"delay": 1, "failures": [{"kind": "cut", "tokens": 3}]}}}
    (tmp_path / "b.json").write_text(json.dumps(data), encoding="utf-8")
    (tmp_path / "b.toml").write_text(
        'any_model = true\n[models."a/b"]\ndelay = 1\nfailures = [{ kind = "cut", tokens = 3 }]\n',
        encoding="utf-8",
    )
    behaviour = load_behaviour(tmp_path / "b.toml")
    assert behaviour == load_behaviour(tmp_path / "b.json")
    assert behaviour.models["a/b"].failures == (FaultRule("cut", tokens=3),)


def test_a_model_inherits_the_values_of_the_star() -> None:
    """The values of "*" are defaults, key by key; a model's own reply replaces the echo of "*"."""
    behaviour = parse_behaviour(
        {
            "any_model": True,
            "models": {
                "*": {"delay": 2, "first_token": 1, "echo": True, "failures": [{"kind": "reset"}]},
                "own": {"delay": 0, "reply": "hello", "failures": []},
            },
        }
    )
    own, other = behaviour.get("own"), behaviour.get("any id at all")
    assert own is not None
    assert (own.delay, own.first_token, own.echo, own.reply, own.failures) == (0, 1, False, "hello", ())
    assert other is not None
    assert (other.delay, other.first_token, other.echo, len(other.failures)) == (2, 1, True, 1)


def test_the_demonstration_models_can_be_left_out() -> None:
    """`demo_models = false` serves only the models of the file."""
    assert list(parse_behaviour({"demo_models": False, "models": {"a": {}}}).models) == ["a"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], ["table at the top"]),
        ({"any_modle": True}, ["any_modle", "did you mean any_model"]),
        ({"any_model": 1}, ["any_model", "true or false", "1"]),
        ({"models": {"m": 3}}, ['models."m"', "a table"]),
        ({"models": {"m": {"delay": -1}}}, ['models."m".delay', "0 or more", "-1"]),
        ({"models": {"m": {"delay": True}}}, ['models."m".delay', "number of seconds"]),
        ({"models": {"m": {"delay": float("inf")}}}, ['models."m".delay', "inf"]),
        ({"models": {"m": {"tokens_per_second": 0}}}, ["tokens_per_second", "above 0"]),
        ({"models": {"m": {"replies": []}}}, ["replies", "at least one"]),
        ({"models": {"m": {"program": "demo/none"}}}, ["program", "demo/outliner"]),
        ({"models": {"m": {"headers": {"a b": "c"}}}}, ["headers", "header names"]),
        ({"models": {"m": {"headers": {"a": "c\r\nd"}}}}, ["headers"]),
        ({"models": {"m": {"recorded": "x.jsonl"}}}, ["recorded", "recorded_as"]),
        ({"models": {"m": {"recorded": "none.jsonl", "recorded_as": "k"}}}, ["recorded", "none.jsonl"]),
        ({"models": {"m": {"failures": [{"kind": "bang"}]}}}, ['models."m".failures[0].kind', '"cut"']),
        ({"models": {"m": {"failures": [{}, {"kind": []}]}}}, ["failures[1].kind"]),
        (
            {"models": {"m": {"failures": [{"kind": "html", "tokens": 1}]}}},
            ["failures[0].tokens", "unknown key"],
        ),
        ({"models": {"m": {"failures": [{"status": 42}]}}}, ["failures[0].status", "from 200 to 599"]),
    ],
)
def test_a_wrong_file_is_an_error_of_one_line(tmp_path: Path, data: Any, words: list[str]) -> None:
    """The error names the file, the place in it, and what was expected."""
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_behaviour(path)
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith(str(path))
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("name", "content"), [("a.toml", b"a = ["), ("a.json", b"{"), ("a.json", b"\xff"), ("a.toml", b"\xff")]
)
def test_an_unreadable_file_is_an_error_of_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    """Broken syntax, broken UTF-8 and a missing file name the file."""
    path = tmp_path / name
    with pytest.raises(ConfigError, match="cannot be read"):
        load_behaviour(path)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"not a (TOML|JSON) file"):
        load_behaviour(path)


def test_recorded_answers_are_read_from_beside_the_file(tmp_path: Path) -> None:
    """A recorded file, gzipped or not, is found beside the behaviour file and read under its key."""
    rows = [
        {"instruction": "Hi", "outputs": {"A": "from a", "B": "from b"}},
        {"instruction": "Ho", "outputs": {}},
    ]
    lines = "\n".join(map(json.dumps, rows)) + "\n"
    (tmp_path / "plain.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    path = tmp_path / "behaviour.toml"
    path.write_text(
        '[models.a]\nrecorded = "plain.jsonl"\nrecorded_as = "A"\n'
        '[models.b]\nrecorded = "packed.jsonl.gz"\nrecorded_as = "B"\n',
        encoding="utf-8",
    )
    models = load_behaviour(path).models
    assert models["a"].recorded == {"Hi": "from a"}
    assert models["b"].recorded == {"Hi": "from b"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "cannot read"),
        (b'{"instruction": 1, "outputs": {}}', "line 1"),
        (b'{"instruction": "a", "outputs": {"X": "x"}}', "it holds X"),
        (b"\xff", "cannot read"),
    ],
)
def test_wrong_recordings_are_errors(tmp_path: Path, content: bytes, said: str) -> None:
    """A broken recorded file, or a key that it lacks, is an error that names it."""
    (tmp_path / "r.jsonl").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse_behaviour({"models": {"m": {"recorded": "r.jsonl", "recorded_as": "A"}}}, "b", tmp_path)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "r.jsonl" in caught.value.message


def test_a_truncated_gzip_is_an_error(tmp_path: Path) -> None:
    """A recorded file that ends too early is an error in one line."""
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(b'{"instruction": "a", "outputs": {}}\n' * 99)[:-9])
    with pytest.raises(ConfigError, match="cannot read"):
        parse_behaviour({"models": {"m": {"recorded": "r.jsonl.gz", "recorded_as": "A"}}}, "b", tmp_path)


def test_every_kind_does_something() -> None:
    """Each kind of fault is in exactly one table."""
    tables = [*REPLACES_ANSWER, *DURING_ANSWER, *CHANGES_ANSWER]
    assert sorted(tables) == sorted(KIND_KEYS)


@pytest.mark.parametrize(
    ("rule", "applies"),
    [
        (FaultRule(), [1, 2, 3, 4, 5, 6]),
        (FaultRule(times=2), [1, 2]),
        (FaultRule(skip=1, times=1), [2]),
        (FaultRule(every=3), [3, 6]),
        (FaultRule(skip=1, every=2), [3, 5]),
        (FaultRule(probability=0), []),
        (FaultRule(probability=1), [1, 2, 3, 4, 5, 6]),
    ],
)
def test_which_requests_a_rule_applies_to(rule: FaultRule, applies: list[int]) -> None:
    """`times`, `skip`, `every` and `probability` pick the requests that fail."""
    assert [seen for seen in range(1, 7) if rule.applies(seen, "m")] == applies


def test_seeded_random_numbers() -> None:
    """The same seed gives the same numbers, another seed others, and they are spread evenly."""
    drawn = [seeded_random(1, "m", number) for number in range(1000)]
    assert drawn == [seeded_random(1, "m", number) for number in range(1000)]
    assert drawn != [seeded_random(2, "m", number) for number in range(1000)]
    assert 400 < sum(lot < 0.5 for lot in drawn) < 600
    assert 50 < sum(lot < 0.1 for lot in drawn) < 150


def test_which_requests_a_rule_matches() -> None:
    """`contains` and `references` restrict a rule to certain prompts and rounds."""
    assert FaultRule(contains="now").matches("fail now", references=False)
    assert not FaultRule(contains="now").matches("fail later", references=False)
    assert FaultRule(references=True).matches("", references=True)
    assert not FaultRule(references=True).matches("", references=False)
    assert not FaultRule(references=False).matches("", references=True)
