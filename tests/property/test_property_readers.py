"""Fuzzing of all that reads what others wrote: services' answers, settings, keys, behaviours."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.client import error_mapping
from bot.client.model_list import ModelList, read_model_list
from bot.demo.behaviour import parse_behaviour
from bot.errors import ConfigError, Failure, KeyMissingError
from bot.messages import Endpoint, Message, Request
from bot.settings.credentials import KeyFile
from bot.settings.key_command import split_command

pytestmark = pytest.mark.slow

KEY = "tgp_v1_secret-0815"
REQUEST = Request(Endpoint("e", "http://one/v1", KEY), "m", (Message("user", "hi"),), 0.7, 10)
NAMES = st.sampled_from(
    ["error", "message", "code", "type", "detail", "choices", "data", "models", "id", "object", "pricing"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(KEY),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
BODIES = st.text(max_size=200) | JSON.map(json.dumps)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after",
            "retry-after-ms",
            "location",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ]
    ),
    st.text(max_size=20)
    | st.sampled_from(["0", "1", "nan", "inf", "-1", "1m2s", "1e999", "Wed, 21 Oct 2015"]),
    max_size=4,
)
bounded = settings(max_examples=200)


@bounded
@given(st.integers(300, 599), BODIES, HEADERS)
def test_any_refusal_is_one_line_without_the_key(status: int, body: str, headers: dict[str, str]) -> None:
    """Whatever a service says when it refuses is a short line, a kind, and a time to wait that is one."""
    said = error_mapping.failure_from_response(REQUEST, status, body, headers)
    assert isinstance(said, Failure)
    assert len(str(said)) < 600
    assert len(str(said).splitlines()) <= 1
    assert KEY not in str(said)
    assert said.retry_after is None or 0 <= said.retry_after < float("inf")


@bounded
@given(JSON)
def test_any_error_in_a_stream_is_one_line(error: Any) -> None:
    """The same of an error object in the middle of a stream."""
    said = error_mapping.failure_from_stream_error(REQUEST, error)
    assert len(str(said).splitlines()) <= 1
    assert KEY not in str(said)


@bounded
@given(HEADERS)
def test_any_pace_is_a_time(headers: dict[str, str]) -> None:
    """What limits say is a finite number of seconds or nothing."""
    seconds = error_mapping.rate_limit_reset(headers)
    assert seconds is None or 0 <= seconds < float("inf")


@bounded
@given(JSON)
def test_any_answer_is_a_list_of_models_or_none(answer: Any) -> None:
    """A list of models is read from it, with names that can be shown, or it is none."""
    model_list = read_model_list(answer)
    if model_list is not None:
        assert isinstance(model_list, ModelList)
        assert all(model.id for model in model_list.models)
        assert not [c for model in model_list.models for c in model.id if c < " " or "\x7f" <= c <= "\x9f"]


@bounded
@given(JSON)
def test_any_behaviour_is_one_or_a_line(data: Any) -> None:
    """A programme of the offline service is understood or refused in a line that names its source."""
    said = "there: "
    try:
        parse_behaviour(data, "there")
    except ConfigError as error:
        said = error.message
    assert said.startswith("there: ")


@settings(max_examples=60)
@given(st.binary(max_size=120) | JSON.map(lambda value: f"own = {json.dumps(value)}".encode()))
def test_any_file_of_keys_is_read_or_refused_without_its_text(content: bytes) -> None:
    """keys.toml gives keys or an error that names the file and quotes nothing of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys.toml"
        file.write_bytes(b"# " + KEY.encode() + b"\n" + content)
        file.chmod(0o600)
        said = str(file)
        try:
            KeyFile(file).places()
        except (ConfigError, KeyMissingError) as error:
            said = error.message
        assert str(file) in said
        assert KEY not in said


@bounded
@given(JSON | st.text(max_size=40))
def test_any_value_is_a_command_or_none(value: Any) -> None:
    """key_cmd is words to be started, the first of them not empty, or a mistake."""
    words = split_command(value)
    assert words is None or (all(isinstance(word, str) for word in words) and words[0])
