"""Nothing that a batch has answered is lost: other sources, smaller limits, files of something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk

from bot.batch.batch import BatchOptions
from bot.errors import ExitCode, UsageError

pytestmark = pytest.mark.slow  # `datasets` reads the prompts


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BulkRuns:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return BulkRuns(tmp_path / "home", monkeypatch)


def prompts(file: Path, *asked: str, column: str = "prompt") -> Path:
    file.write_text("".join(json.dumps({column: each}) + "\n" for each in asked))
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("other", [("one", "three"), ("three", "four"), ("one",)])
def test_another_source_never_overwrites(runs: BulkRuns, tmp_path: Path, other: tuple[str, ...]) -> None:
    """Prompts of another file are refused in the same --out, also when some of them are the same."""
    out = tmp_path / "out.jsonl"
    first = prompts(tmp_path / "first.jsonl", "one", "two")
    ask = FakeAsk({})
    assert runs.batch(BatchOptions(str(first), out), ask) is ExitCode.DONE
    before, asked = out.read_bytes(), len(ask.requests)
    second = prompts(tmp_path / "second.jsonl", *other)
    with pytest.raises(UsageError, match="holds the answers to other prompts") as caught:
        runs.batch(BatchOptions(str(second), out), ask)
    assert "--out" in caught.value.hint
    assert (out.read_bytes(), len(ask.requests)) == (before, asked)


def test_another_form_of_a_name_never_overwrites(runs: BulkRuns, tmp_path: Path) -> None:
    """`q.jsonl` and `q.txt` have the same default answers file; the second batch is refused."""
    first = prompts(tmp_path / "q.jsonl", "one")
    assert runs.batch(BatchOptions(str(first)), FakeAsk({})) is ExitCode.DONE
    (tmp_path / "q.txt").write_text("two\n")
    with pytest.raises(UsageError, match=r"q\.jsonl, column prompt"):
        runs.batch(BatchOptions(str(tmp_path / "q.txt")), FakeAsk({}))


def test_another_column_never_overwrites(runs: BulkRuns, tmp_path: Path) -> None:
    """Another column of the same file is another source."""
    file = tmp_path / "q.jsonl"
    file.write_text('{"prompt": "one", "text": "two"}\n')
    assert runs.batch(BatchOptions(str(file)), FakeAsk({})) is ExitCode.DONE
    with pytest.raises(UsageError, match="other prompts"):
        runs.batch(BatchOptions(str(file), column="text"), FakeAsk({}))


def test_a_source_that_was_moved_or_grew_goes_on(runs: BulkRuns, tmp_path: Path) -> None:
    """The same prompts elsewhere, or with rows added or changed in place, are the same batch."""
    out, ask = tmp_path / "out.jsonl", FakeAsk({})
    file = prompts(tmp_path / "q.jsonl", "one", "two")
    assert runs.batch(BatchOptions(str(file), out), ask) is ExitCode.DONE
    moved = prompts(tmp_path / "moved.jsonl", "one", "two", "three")
    assert runs.batch(BatchOptions(str(moved), out), ask) is ExitCode.DONE
    assert len(lines(out)) == 3
    prompts(moved, "one", "2", "three")
    assert runs.batch(BatchOptions(str(moved), out), ask) is ExitCode.DONE
    assert [line["input"]["prompt"] for line in lines(out)] == ["one", "2", "three"]
    assert len(ask.to("judge")) == 4


def test_a_smaller_limit_keeps_the_other_rows(runs: BulkRuns, tmp_path: Path) -> None:
    """`--limit 1` after the whole file changes nothing; rows that ask something else by now are left out."""
    file, ask = prompts(tmp_path / "q.jsonl", "one", "two", "three"), FakeAsk({})
    out = tmp_path / "q.answers.jsonl"
    assert runs.batch(BatchOptions(str(file)), ask) is ExitCode.DONE
    before = out.read_bytes()
    assert runs.batch(BatchOptions(str(file), limit=1), ask) is ExitCode.DONE
    assert out.read_bytes() == before
    prompts(file, "one", "2", "three")
    assert runs.batch(BatchOptions(str(file), limit=1), ask) is ExitCode.DONE
    assert [line["index"] for line in lines(out)] == [0, 2]


@pytest.mark.parametrize(
    ("name", "says"), [("q.jsonl", "the file of the prompts"), ("x.jsonl", "something else")]
)
def test_a_file_of_something_else_is_kept(runs: BulkRuns, tmp_path: Path, name: str, says: str) -> None:
    """`--out` never replaces a file that no batch wrote, the prompts least of all."""
    file = prompts(tmp_path / "q.jsonl", "one")
    out = tmp_path / name
    if not out.exists():
        out.write_text("mine")
    before = out.read_bytes()
    with pytest.raises(UsageError, match=says):
        runs.batch(BatchOptions(str(file), out), FakeAsk({}))
    assert out.read_bytes() == before


@pytest.mark.parametrize("text", ["one\n\ntwo\n", "\n\none\n  \ntwo", "one\r\n\r\ntwo\r\n\r\n"])
def test_blank_lines_of_a_text_are_no_prompts(runs: BulkRuns, tmp_path: Path, text: str) -> None:
    """Blank lines between prompts and at the end are skipped."""
    file = tmp_path / "q.txt"
    file.write_bytes(text.encode())
    assert runs.batch(BatchOptions(str(file)), FakeAsk({})) is ExitCode.DONE
    found = lines(tmp_path / "q.answers.jsonl")
    assert [(line["index"], line["input"]["text"].strip()) for line in found] == [(0, "one"), (1, "two")]


def test_columns_without_values_have_a_type(runs: BulkRuns, tmp_path: Path) -> None:
    """In Parquet, a column of nothing but None (no error, no known cost) is text or number all the same."""
    import datasets

    file = prompts(tmp_path / "q.jsonl", "one")
    out = tmp_path / "out.parquet"
    assert runs.batch(BatchOptions(str(file), out), FakeAsk({})) is ExitCode.DONE
    features = datasets.Dataset.from_parquet(str(out), cache_dir=str(tmp_path / "cache")).features
    types = {name: getattr(feature, "dtype", "list") for name, feature in features.items()}
    assert "null" not in types.values()
    assert (types["error"], types["cost"], types["reply"]) == ("string", "float64", "string")
    assert (types["references"], types["notices"], types["index"]) == ("list", "list", "int64")


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("messages", "system", "sent"),
    [
        ([said("user", "one")], None, ["one"]),
        ([said("system", "Be brief."), said("user", "one")], "Be brief.", ["one"]),
        ([said("developer", "Be brief."), said("user", "one")], "Be brief.", ["one"]),
        (
            [said("user", "one"), said("assistant", "1"), said("user", "two")],
            None,
            ["one", "1", "two"],
        ),
        ([said("user", "one"), said("assistant", "the target")], None, ["one"]),
        ([said("user", [{"type": "text", "text": "one"}])], None, ["one"]),
    ],
)
def test_a_column_of_messages_is_a_conversation(
    runs: BulkRuns, tmp_path: Path, messages: list[dict[str, Any]], system: str | None, sent: list[str]
) -> None:
    """Its system prompt and history go along, its last prompt is answered, a reply at its end is left out."""
    file, ask = tmp_path / "q.jsonl", FakeAsk({})
    file.write_text(json.dumps({"messages": messages}) + "\n")
    assert runs.batch(BatchOptions(str(file)), ask) is ExitCode.DONE
    request = ask.to("a")[0]
    found = [message.content for message in request.messages if message.role != "system"]
    assert found == sent
    systems = [message.content for message in request.messages if message.role == "system"]
    assert systems == ([system] if system else [])
    [line] = lines(tmp_path / "q.answers.jsonl")
    assert (line["reply"], line["error"]) == ("answer of judge", None)
    assert runs.batch(BatchOptions(str(file)), ask) is ExitCode.DONE
    assert len(ask.requests) == 3


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([said("assistant", "1")], "no prompt of the user"),
        ([said("user", " ")], "no prompt of the user"),
        ([said("user", "one"), said("tool", "1"), said("user", "two")], "'tool'"),
        ([said("user", [{"type": "image_url", "text": None}])], "only text"),
        ([{"from": "human", "value": "one"}], "no role and content"),
    ],
)
def test_messages_that_cannot_be_asked_are_named(
    runs: BulkRuns, tmp_path: Path, messages: list[dict[str, Any]], says: str
) -> None:
    """The row and the column are named, with the reason, before anything is asked."""
    file, ask = tmp_path / "q.jsonl", FakeAsk({})
    file.write_text(json.dumps({"messages": messages}) + "\n")
    with pytest.raises(UsageError, match=says) as caught:
        runs.batch(BatchOptions(str(file)), ask)
    assert "row 1: column messages" in caught.value.message
    assert not ask.requests
