"""Rows in files, official files in folders and at addresses, means with their errors."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import json
import math
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.bulk.files import write_rows
from bot.errors import UsageError, needs_extra
from bot.eval.benchmark import figure, fill
from bot.eval.official_data import DataError, MissingDataError, OfficialData, OfficialFile, read_rows
from bot.eval.registry import BENCHMARKS, open_benchmark

ROWS: list[dict[str, object]] = [{"a": 1, "text": "ä\u2028\n\x00"}, {"a": None, "text": "\ud800"}]
CONTENT = b'{"id": 1}\n{"id": 2}\n'
SOURCE = OfficialFile(
    "alpaca_eval.thing",
    "http://127.0.0.1:9/",
    "deep/inside/thing.jsonl",
    (hashlib.sha256(CONTENT).hexdigest(),),
    others=("other.jsonl",),
)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server on this computer: its address, its folder, and the paths it was asked for."""
    folder = tmp_path / "web"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            if self.command == "GET":
                asked.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder, asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.json.gz", "x.jsonl.gz"])
def test_rows_come_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    """Every form of file keeps every row, whatever characters are in it, and leaves nothing else behind."""
    write_rows(tmp_path / "new" / name, ROWS)
    assert read_rows(tmp_path / "new" / name) == ROWS
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_the_name_decides_what_is_written(tmp_path: Path) -> None:
    """A .json file is one list, a .jsonl file a row a line, and equal rows give equal packed files."""
    for name in ("x.json", "x.jsonl", "x.jsonl.gz", "y.jsonl.gz"):
        write_rows(tmp_path / name, [{"a": 1}, {"a": 2}])
    assert json.loads((tmp_path / "x.json").read_text()) == [{"a": 1}, {"a": 2}]
    assert (tmp_path / "x.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'
    assert gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()) == (tmp_path / "x.jsonl").read_bytes()
    assert (tmp_path / "x.jsonl.gz").read_bytes() == (tmp_path / "y.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a"', "line 2: not JSON"),
        ("x.jsonl", b'{"a": 1}\n17\n', "line 2: not a JSON object"),
        ("x.json", b'[{"a": 1}, 3]', "element 2"),
        ("x.json", b"[1, ", "not JSON"),
        ("x.jsonl", b"\xff\xfe{", "not UTF-8"),
        ("x.jsonl.gz", gzip.compress(b"{}", mtime=0)[:-3], "cannot be read"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """What is wrong with a file, and where, is said with the file's name."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_rows(tmp_path / name)
    assert name in caught.value.message


def test_csv_is_read_by_its_header(tmp_path: Path) -> None:
    """A CSV file's rows have the names of its header, also of an index that has none."""
    (tmp_path / "x.csv").write_text(',worth\n0,"1,5"\n')
    assert read_rows(tmp_path / "x.csv") == [{"": "0", "worth": "1,5"}]


@pytest.mark.parametrize(
    "place",
    [
        "deep/inside/thing.jsonl",
        "thing.jsonl",
        "other.jsonl.gz",
        "alpaca_eval/thing.jsonl",
        "alpaca_eval/other.jsonl",
    ],
)
def test_a_file_is_found_in_the_folder(tmp_path: Path, place: str) -> None:
    """Official and flat names, packed or not, at the top or in the benchmark's folder are all found."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(CONTENT) if place.endswith(".gz") else CONTENT)
    data = OfficialData(tmp_path)
    assert data.records(SOURCE, dict) == [{"id": 1}, {"id": 2}]
    assert data.hashes == {SOURCE.key: SOURCE.sha256[0]}


def test_a_missing_file_says_what_to_fetch(tmp_path: Path) -> None:
    """The error names the address to fetch the file from and the place to put it."""
    with pytest.raises(MissingDataError, match=r"thing\.jsonl is missing") as caught:
        OfficialData(tmp_path).content(SOURCE)
    assert SOURCE.url in caught.value.hint
    assert f"deep/inside/thing.jsonl in {tmp_path}" in caught.value.hint


def test_an_altered_file_is_refused_unless_accepted(tmp_path: Path) -> None:
    """A file with another sha256 is an error, or is noted where the caller accepts such files."""
    (tmp_path / "other.jsonl").write_bytes(CONTENT + b'{"id": 3}\n')
    with pytest.raises(DataError, match="not the official file") as caught:
        OfficialData(tmp_path).content(SOURCE)
    assert SOURCE.url in caught.value.hint
    accepting = OfficialData(tmp_path, accept_altered=True)
    assert len(accepting.records(SOURCE, dict)) == 3
    assert accepting.altered == [SOURCE.key]


@pytest.mark.slow
def test_a_fetched_file_is_checked_and_kept(tmp_path: Path, web: tuple[str, Path, list[str]]) -> None:
    """A file is fetched over HTTP once, is checked, and comes from the cache the next time."""
    pytest.importorskip("aiohttp")
    address, folder, asked = web
    (folder / "thing.jsonl").write_bytes(CONTENT)
    source = OfficialFile(SOURCE.key, f"{address}/", "thing.jsonl", SOURCE.sha256)
    for _ in range(2):
        assert OfficialData(cache=tmp_path / "cache").content(source) == CONTENT
    assert asked == ["/thing.jsonl"]


@pytest.mark.slow
def test_a_fetched_file_that_is_altered_is_fetched_anew_and_refused(
    tmp_path: Path, web: tuple[str, Path, list[str]]
) -> None:
    """A broken copy in the cache mends itself; what stays altered is an error with a hint."""
    pytest.importorskip("aiohttp")
    address, folder, asked = web
    source = OfficialFile(SOURCE.key, f"{address}/", "thing.jsonl", SOURCE.sha256)
    (folder / "thing.jsonl").write_bytes(b"{}")
    with pytest.raises(DataError, match="not the official file") as caught:
        OfficialData(cache=tmp_path / "cache").content(source)
    assert "--data_dir" in caught.value.hint
    assert len(asked) == 2
    (folder / "thing.jsonl").write_bytes(CONTENT)
    assert OfficialData(cache=tmp_path / "cache").content(source) == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("repository", ["file:///no/such/", "http://127.0.0.1:9/"])
def test_what_cannot_be_fetched_says_what_to_do(tmp_path: Path, repository: str) -> None:
    """No network, or no file there, is an error that says where to put the file instead."""
    source = OfficialFile(SOURCE.key, repository, "thing.jsonl")
    with pytest.raises(MissingDataError, match="cannot be fetched") as caught:
        OfficialData(cache=tmp_path).content(source)
    assert source.url in caught.value.hint


def test_benchmarks_open_by_name(tmp_path: Path) -> None:
    """Each name opens its benchmark without reading anything, and no other name does."""
    assert [open_benchmark(name, tmp_path).name for name in BENCHMARKS] == list(BENCHMARKS)
    with pytest.raises(UsageError, match="No benchmark is called 'x'"):
        open_benchmark("x")


def test_placeholders_are_filled_at_once() -> None:
    """A value that looks like a placeholder stays as it is, and so do braces that are none."""
    filled = fill('{"q": "{a}", {b}, {c}}', {"a": r"{b} \1", "b": "{a}"})
    assert filled == r'{"q": "{b} \1", {a}, {c}}'


def test_a_missing_library_names_the_extra() -> None:
    """A library that is not installed is named together with what to install."""
    with pytest.raises(UsageError) as caught, needs_extra("eval"):
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401 - this is the point
    assert "moa-bot[eval]" in caught.value.hint
    assert "no_such_library" in caught.value.message


@given(st.lists(st.floats(0, 10), min_size=2, max_size=30))
def test_single_scores_have_the_usual_error(scores: list[float]) -> None:
    """With one score in each group the error is the standard deviation over the root of n."""
    found = figure([[score] for score in scores])
    assert found["score"] == pytest.approx(statistics.fmean(scores))
    assert found["standard_error"] == pytest.approx(
        statistics.stdev(scores) / math.sqrt(len(scores)), abs=1e-9
    )


def test_equal_scores_within_a_group_count_as_one() -> None:
    """Saying everything twice makes no figure more certain."""
    once, twice = figure([[1.0], [2.0], [4.0]]), figure([[1.0] * 2, [2.0] * 2, [4.0] * 2, []])
    assert once["standard_error"] == pytest.approx(twice["standard_error"])
    assert (once["n"], twice["n"]) == (3, 6)
    assert figure([]) == {"score": None, "standard_error": None, "n": 0}
    assert figure([[3.0]]) == {"score": 3.0, "standard_error": None, "n": 1}
