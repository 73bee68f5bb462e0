"""Endpoints: addresses, keys, and that no key is ever shown."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import pytest

from bot.app.make_plan import make_plan
from bot.errors import ExitCode, KeyMissingError, UsageError
from bot.messages import Endpoint
from bot.settings.endpoints import is_loopback_url
from bot.settings.show import config_json, config_rows

if TYPE_CHECKING:
    from conftest import Home

_SECRET = "tgp-very-secret"


def test_a_key_from_the_environment(home: Home) -> None:
    """The key of the endpoint's variable goes into the endpoint, without blanks around it."""
    endpoint = home.resolve().endpoint("together", {"TOGETHER_API_KEY": f" {_SECRET}\n"})
    assert endpoint == Endpoint("together", "https://api.together.xyz/v1", _SECRET)


@pytest.mark.parametrize("environ", [{}, {"TOGETHER_API_KEY": ""}, {"TOGETHER_API_KEY": " "}])
def test_no_key_names_the_ways_on(environ: dict[str, str], home: Home) -> None:
    """Without a key: the variable, where to get one, a service on this computer, and --demo."""
    with pytest.raises(KeyMissingError) as caught:
        home.resolve().endpoint("together", environ)
    assert caught.value.message == "No Together API key yet: TOGETHER_API_KEY is not set."
    for way in (
        "TOGETHER_API_KEY",
        "https://api.together.ai/settings/api-keys",
        "--endpoint ollama",
        "--demo",
    ):
        assert way in caught.value.hint
    assert caught.value.exit_code is ExitCode.NO_KEY


def test_every_shipped_service(home: Home) -> None:
    """Each names its own variable, or is on this computer and needs none; none gets another's key."""
    settings = home.resolve()
    for name, config in settings.endpoints.items():
        if config.key_env is None:
            assert config.on_this_computer
            assert settings.endpoint(name, {"TOGETHER_API_KEY": _SECRET}).key is None
        else:
            assert settings.endpoint(name, {config.key_env: _SECRET}).key == _SECRET
    keys = [config.key_env for config in settings.endpoints.values() if config.key_env]
    assert len(set(keys)) == len(keys) == 11


def test_the_address_of_together_can_be_moved(home: Home) -> None:
    """TOGETHER_BASE_URL moves the endpoint; on this computer it needs no key, and takes one that is set."""
    settings = home.resolve(TOGETHER_BASE_URL="http://127.0.0.1:8099/v1/")
    assert settings.endpoint("together", {}) == Endpoint("together", "http://127.0.0.1:8099/v1", None)
    assert settings.endpoint("together", {"TOGETHER_API_KEY": _SECRET}).key == _SECRET
    assert settings.endpoints["together"].source == "environment TOGETHER_BASE_URL"
    for said in ("http://127.0.0.1:8099", "http://127.0.0.1:8099/"):  # as the SDK takes it
        assert (
            home.resolve(TOGETHER_BASE_URL=said).endpoints["together"].base_url == "http://127.0.0.1:8099/v1"
        )
    with pytest.raises(UsageError, match="environment TOGETHER_BASE_URL: expected an address"):
        home.resolve(TOGETHER_BASE_URL="localhost:8099")


def test_services_of_the_users_own(home: Home) -> None:
    """A new service and a changed one are used as written; what is not said of a shipped one stays."""
    home.config(
        "[endpoints.mine]\nbase_url = 'https://host.example/v1/'\nkey_env = 'MY_KEY'\nask_usage = false\n"
        "headers = {X-Title = 'moa'}\n[endpoints.openai]\nbase_url = 'https://proxy.example/v1'"
    )
    settings = home.resolve()
    endpoint = settings.endpoint("mine", {"MY_KEY": _SECRET})
    assert endpoint == Endpoint("mine", "https://host.example/v1", _SECRET, {"X-Title": "moa"})
    assert settings.endpoint("openai", {"OPENAI_API_KEY": "k"}).base_url == "https://proxy.example/v1"
    assert settings.endpoints["mine"].source == str(home.file)
    assert settings.endpoints["mine"].stream_fields == {}


def test_token_counts_are_asked_for_where_that_is_understood(home: Home) -> None:
    """Streams are asked for their usage, but not of a service that refuses to be asked."""
    endpoints = home.resolve().endpoints
    assert endpoints["together"].stream_fields == {"stream_options": {"include_usage": True}}
    assert endpoints["mistral"].stream_fields == {}


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1/v1", True),
        ("http://LOCALHOST/v1", True),
        ("http://127.0.0.1/v1", True),
        ("http://127.8.9.1:80/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://me.localhost/v1", True),
        ("https://127.example.com/v1", False),
        ("https://127.0.0.1.example.com/v1", False),
        ("https://localhost.example.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://0.0.0.0/v1", False),
        ("", False),
    ],
)
def test_this_computer(url: str, local: bool, home: Home) -> None:  # noqa: FBT001 - a row of the table
    """Only loopback addresses count as this computer, however they are written."""
    assert is_loopback_url(url) is local
    del home


def test_the_offline_service(home: Home) -> None:
    """Before it runs, --demo has no address; with one, no key is needed."""
    settings = home.resolve({"demo": True})
    with pytest.raises(UsageError, match="not running"):
        settings.endpoint("demo", {})
    running = settings.with_endpoint("demo", "http://127.0.0.1:4000/v1")
    assert running.endpoint("demo", {}) == Endpoint("demo", "http://127.0.0.1:4000/v1", None)
    assert make_plan(running) == make_plan(settings)


def test_an_address_given_in_the_program(home: Home) -> None:
    """with_endpoint changes address and key of one service and leaves the settings it came from alone."""
    before = home.resolve()
    after = before.with_endpoint("together", "https://gateway.example/v1/", _SECRET)
    assert after.endpoint("together", {}) == Endpoint("together", "https://gateway.example/v1", _SECRET)
    assert before.endpoints["together"].base_url == "https://api.together.xyz/v1"


@pytest.mark.parametrize("key", ["with space", "two\nlines", "schlüssel", "\x1b[31m"])
def test_what_cannot_be_a_key(key: str, home: Home) -> None:
    """A pasted line break or the like is said as such, and what was pasted is not."""
    with pytest.raises(KeyMissingError) as caught:
        home.resolve().endpoint("together", {"TOGETHER_API_KEY": key})
    assert caught.value.message == "TOGETHER_API_KEY: not a key, it holds characters that no key has."
    assert key not in caught.value.message + caught.value.hint


def test_no_key_is_ever_shown(home: Home) -> None:
    """Neither repr nor `config show`, as text or JSON, has a key or a header's value in it."""
    home.config(
        f"[endpoints.mine]\nbase_url = 'https://host.example/v1'\nheaders = {{Authorization = '{_SECRET}'}}"
    )
    environ = {"TOGETHER_API_KEY": _SECRET}
    settings = home.resolve(**environ).with_endpoint("groq", "https://groq.example/v1", _SECRET)
    rows = {row.key: row for row in config_rows(settings, environ)}
    shown = [repr(settings), repr(settings.endpoints), str(rows), json.dumps(config_json(settings, environ))]
    shown.append(repr(settings.endpoint("together", environ)))
    assert all(_SECRET not in text for text in shown)
    assert rows["endpoints.together"].value == "https://api.together.xyz/v1, key set (TOGETHER_API_KEY)"
    assert rows["endpoints.openai"].value == "https://api.openai.com/v1, key not set (OPENAI_API_KEY)"
    assert rows["endpoints.ollama"].value == "http://localhost:11434/v1, key not needed"
    assert rows["endpoints.groq"].value == "https://groq.example/v1, key set (GROQ_API_KEY)"
    assert rows["endpoints.mine"].value == "https://host.example/v1, key not needed, headers Authorization"


def test_settings_can_be_sent_to_a_process(home: Home) -> None:
    """Settings and plan survive pickling, whichever way a process is started."""
    settings = home.resolve({"rounds": 2})
    again = pickle.loads(pickle.dumps(settings))
    assert make_plan(again) == pickle.loads(pickle.dumps(make_plan(settings))) == make_plan(settings)
