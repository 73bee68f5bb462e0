"""The guided set-up, answered through a pipe in place of a keyboard, and once on a real terminal."""

from __future__ import annotations

import io
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bot.app.load_settings import load_settings
from bot.app.make_plan import make_plan
from bot.app.resume import Resolve
from bot.app.streams import Streams
from bot.demo.process import DemoProcess
from bot.errors import KeyMissingError
from bot.onboarding.guided_setup import needs_setup, run_guided_setup
from bot.onboarding.questions import Questions

if TYPE_CHECKING:
    from pty_window import PtyWindow

KEY = "a-secret-key-0815"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe in the place of a terminal")


def streams(**more: Any) -> Streams:
    """Streams of a terminal, whose stderr can be read."""
    everything = Streams(
        None,
        io.StringIO(),
        io.StringIO(),
        stdin_is_terminal=True,
        stdout_is_terminal=True,
        stderr_is_terminal=True,
    )
    return replace(everything, **more)


class Person:
    """A user at a terminal who types `answers`; what was shown is in `heard`."""

    def __init__(
        self, environ: Mapping[str, str], home: Path, given: Mapping[str, object] | None = None
    ) -> None:
        self.environ = {"MOA_BOT_HOME": str(home), **environ}
        self.given = dict(given or {})
        self.home = home
        self.heard = ""

    def resolve(self, changes: Mapping[str, object]) -> Any:
        return load_settings({**self.given, **changes}, None, self.environ)

    def answers(self, *answers: str) -> Resolve:
        said = streams()
        with create_pipe_input() as terminal:
            terminal.send_text(
                "".join(answer if answer in {"\x03", "\x04"} else f"{answer}\r" for answer in answers)
            )
            try:
                return run_guided_setup(
                    self.resolve({}),
                    self.resolve,
                    said,
                    environ=self.environ,
                    terminal_in=terminal,
                    terminal_out=DummyOutput(),
                )
            finally:
                assert isinstance(said.stderr, io.StringIO)
                self.heard = said.stderr.getvalue()
                assert KEY not in self.heard

    def config(self) -> dict[str, Any]:
        file = self.home / "config.toml"
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


@pytest.fixture
def person(away: str, home: Path) -> Person:
    """A user without a key, with the test's service in place of Together."""
    return Person({"TOGETHER_BASE_URL": away}, home)


def test_a_key_that_is_kept(person: Person) -> None:
    """It is checked, saved in a file of mode 0600, and used by this chat and the next; the preset stays."""
    again = person.answers("1", KEY, "", "")
    assert again({}).endpoint("together", {}).key == KEY
    assert person.resolve({}).endpoint("together", {}).key == KEY
    assert person.config() == {}
    assert "It works: together serves 4 models." in person.heard
    assert str(person.home / "keys.toml") in person.heard
    assert (person.home / "keys.toml").stat().st_mode & 0o077 == 0


def test_a_key_kept_in_the_keyring(person: Person, keyring: Path) -> None:
    """With a system keyring it is saved there."""
    again = person.answers("1", KEY, "1", "1")
    assert again({}).endpoint("together", {}).key == KEY
    assert KEY in keyring.read_text(encoding="utf-8")
    assert KEY not in (person.home / "keys.toml").read_text(encoding="utf-8")


def test_a_key_for_this_session(person: Person) -> None:
    """Nothing is written, and the key survives every change of options in the chat."""
    again = person.answers("1", KEY, "2", "2")
    assert list(person.home.iterdir()) == []
    assert again({}).endpoint("together", {}).key == KEY
    assert again({}).preset.name == "fast"
    changed = again({"rounds": 3, "preset": "self-moa"})
    assert (changed.rounds, changed.preset.name) == (3, "self-moa")
    assert changed.endpoint("together", {}).key == KEY
    assert KEY not in repr(changed)


def test_the_fast_preset_is_kept(person: Person) -> None:
    """With a saved key the chosen preset is saved too."""
    again = person.answers("1", KEY, "", "fast")
    assert person.config() == {"preset": "fast"}
    assert again({}).preset.name == "fast"


def test_a_preset_of_the_users_own_is_not_asked_for(person: Person) -> None:
    """A user who has named a preset is not asked for one."""
    person.given = {"preset": "self-moa"}
    assert person.answers("1", KEY, "")({}).preset.name == "self-moa"


def test_a_key_that_is_refused(person: Person) -> None:
    """The user is told, and asked again; what cannot be a key is not sent."""
    again = person.answers("1", "wrong-key-4711", "with blanks in it", KEY, "", "")
    assert again({}).endpoint("together", {}).key == KEY
    assert "does not accept this key" in person.heard
    assert "holds characters that no key has" in person.heard
    assert "wrong-key-4711" not in person.heard


def test_three_keys_that_are_refused(person: Person) -> None:
    """After three, the program ends as without the set-up, and nothing is saved."""
    with pytest.raises(KeyMissingError):
        person.answers("1", "wrong-1", "wrong-2", "wrong-3")
    assert list(person.home.iterdir()) == []


def test_a_key_that_cannot_be_checked(person: Person) -> None:
    """Without a connection it is used unchecked, with a message."""
    person.environ["TOGETHER_BASE_URL"] = "http://0.0.0.0:9/v1"
    again = person.answers("1", KEY, "", "")
    assert "could not be checked (cannot connect" in person.heard
    assert again({}).endpoint("together", {}).key == KEY


@pytest.mark.parametrize(
    "way_out", [["\x04"], ["\x03"], [""], ["1", "\x04"], ["1", ""], ["1", KEY, "\x03"], ["2", ""]]
)
def test_ways_out(person: Person, way_out: list[str]) -> None:
    """Ctrl-D, Ctrl-C and an empty answer quit at every question: no key, what to do, and nothing saved."""
    with pytest.raises(KeyMissingError) as caught:
        person.answers(*way_out)
    for way in ("TOGETHER_API_KEY", "moa-bot keys set together", "--endpoint", "--demo"):
        assert way in caught.value.hint
    assert not (person.home / "config.toml").exists()


def _with_groq(person: Person, away: str) -> None:
    file = person.home / "config.toml"
    file.write_text(f"[endpoints.groq]\nbase_url = '{away}'\n", encoding="utf-8")


@pytest.mark.parametrize("way_out", ["\x03", "\x04"])
def test_left_after_the_key(person: Person, way_out: str) -> None:
    """A key that was saved is kept: that is not an error, and the next start asks nothing."""
    with pytest.raises(KeyboardInterrupt):
        person.answers("1", KEY, "", way_out)
    assert "What you answered is kept." in person.heard
    assert not needs_setup(person.resolve({}), streams(), person.environ)


@pytest.mark.parametrize("way_out", ["\x03", "\x04"])
def test_left_before_the_models(person: Person, away: str, way_out: str) -> None:
    """The key of another service is kept; the next start begins with it, and Enter goes on from there."""
    _with_groq(person, away)
    with pytest.raises(KeyMissingError):
        person.answers("2", "groq", KEY, "", way_out)
    again = person.answers("", "", "")
    assert "1  use Groq, which has a key" in person.heard
    plan = make_plan(again({}))
    assert [(agent.endpoint, agent.model) for agent in plan.layers[0]] == [
        ("groq", "a"),
        ("groq", "b"),
        ("groq", "judge"),
    ]
    assert person.config()["preset"] == "groq"


@pytest.mark.parametrize("way_out", ["\x03", "\x04"])
def test_left_before_the_aggregator(person: Person, away: str, way_out: str) -> None:
    """The models that were chosen are kept, with the default for the aggregator."""
    _with_groq(person, away)
    with pytest.raises(KeyboardInterrupt):
        person.answers("2", "groq", KEY, "", "b, judge", way_out)
    plan = make_plan(person.resolve({}))
    assert [agent.model for agent in plan.layers[0]] == ["b", "judge"]
    assert plan.aggregator.model == "b"
    assert not needs_setup(person.resolve({}), streams(), person.environ)


def test_the_service_without_a_key_is_named(person: Person, away: str) -> None:
    """Of a mixture of several services it is the one that is asked for."""
    _with_groq(person, away)
    person.environ["TOGETHER_API_KEY"] = KEY
    person.given = {"reference_models": ["a", "groq:b"], "aggregator": "judge"}
    again = person.answers("1", KEY, "")
    assert "No Groq API key yet." in person.heard
    assert again({}).endpoint("groq", {}).key == KEY
    assert make_plan(again({})).layers[0][1].endpoint == "groq"


def test_models_of_a_service_that_lists_none(person: Person) -> None:
    """Those of the catalogue are the default; any other can be typed."""
    (person.home / "config.toml").write_text(
        "[endpoints.openai]\nbase_url = 'http://0.0.0.0:9/v1'\n", encoding="utf-8"
    )
    plan = make_plan(person.answers("2", "openai", KEY, "2", "", "")({}))
    assert {agent.endpoint for agent in plan.agents()} == {"openai"}
    plan = make_plan(person.answers("2", "openai", KEY, "2", "my-own", "")({}))
    assert plan.aggregator.model == "my-own"


def test_offline(person: Person) -> None:
    """The demonstration models need no key; nothing is saved."""
    settings = person.answers("demo")({})
    assert (settings.demo, settings.preset.name) == (True, "demo")
    assert list(person.home.iterdir()) == []


def test_a_number_that_is_none(person: Person) -> None:
    """After an invalid answer the question is repeated, but not the answer: it could be a key."""
    assert person.answers("99", "17", "demo")({}).demo


def test_another_service(person: Person, away: str) -> None:
    """Its key is saved, and a mixture of its models becomes the default preset."""
    (person.home / "config.toml").write_text(
        f"# mine\n\n[endpoints.groq]\nbase_url = '{away}'\n"
        "[presets.other]\naggregator = 'x'\nreference_models = ['y']\n",
        encoding="utf-8",
    )
    again = person.answers("2", "groq", KEY, "", "a, b*2", "judge")
    plan = make_plan(again({}))
    assert [(agent.endpoint, agent.model) for agent in plan.layers[0]] == [
        ("groq", "a"),
        ("groq", "b"),
        ("groq", "b"),
    ]
    assert (plan.aggregator.endpoint, plan.aggregator.model) == ("groq", "judge")
    assert again({}).endpoint("groq", {}).key == KEY
    config = person.config()
    assert config["preset"] == "groq"
    assert set(config["presets"]) == {"other", "groq"}
    assert (person.home / "config.toml").read_text(encoding="utf-8").startswith("# mine\n")


def test_another_service_for_this_session(person: Person, away: str) -> None:
    """Its mixture and key are used, and neither is saved."""
    text = f"[endpoints.groq]\nbase_url = '{away}'\n"
    (person.home / "config.toml").write_text(text, encoding="utf-8")
    again = person.answers("2", "groq", KEY, "2", "1,2", "")
    settings = again({})
    assert settings.reference_models == ("groq:a", "groq:b")
    assert settings.aggregator == "groq:a"
    assert settings.endpoint("groq", {}).key == KEY
    assert (person.home / "config.toml").read_text(encoding="utf-8") == text
    assert not (person.home / "keys.toml").exists()


def test_a_service_on_this_computer(person: Person, service: DemoProcess) -> None:
    """It is found and its address shown; a mixture of its models is saved as the preset "local"."""
    service.set_behaviour(
        {"models": {"qwen3:8b": {}, "nomic-embed-text": {}, "llama3.2": {}}, "demo_models": False}
    )
    (person.home / "config.toml").write_text(
        f"endpoint = 'together'\n[endpoints.ollama]\nbase_url = '{service.base_url}'\n", encoding="utf-8"
    )
    again = person.answers("ollama", "", "qwen3:8b")
    assert f"found at {service.base_url}" in person.heard
    assert "nomic" not in person.heard
    plan = make_plan(again({}))
    assert [agent.model for agent in plan.layers[0]] == ["llama3.2", "qwen3:8b"]
    assert {agent.endpoint for agent in plan.agents()} == {"ollama"}
    assert plan.aggregator.model == "qwen3:8b"
    assert person.config()["preset"] == "local"
    assert make_plan(person.resolve({})) == plan
    assert not needs_setup(person.resolve({}), streams(), person.environ)


def test_a_service_with_a_single_model(person: Person, service: DemoProcess) -> None:
    """It is asked several times; a mixture that was saved before is replaced."""
    service.set_behaviour({"models": {"only": {}}, "demo_models": False})
    (person.home / "config.toml").write_text(
        f"[endpoints.ollama]\nbase_url = '{service.base_url}'\n"
        "[presets.local]\naggregator = 'old'\nreference_models = ['old']\nrounds = 3\n",
        encoding="utf-8",
    )
    plan = make_plan(person.answers("ollama", "", "")({}))
    assert [[agent.model for agent in layer] for layer in plan.layers] == [["only"] * 3]


def test_a_service_without_models(person: Person, service: DemoProcess) -> None:
    """The user is told that there are none, and asked again."""
    service.set_behaviour({"models": {}, "demo_models": False})
    (person.home / "config.toml").write_text(
        f"[endpoints.ollama]\nbase_url = '{service.base_url}'\n", encoding="utf-8"
    )
    assert person.answers("ollama", "demo")({}).demo
    assert "no model yet" in person.heard


def test_models_are_chosen_again_after_a_mistake(person: Person, service: DemoProcess) -> None:
    """A part of a name lists the matches; an unknown name is reported; there is one aggregator, not two."""
    service.set_behaviour({"models": {"one": {}, "two": {}}, "demo_models": False})
    (person.home / "config.toml").write_text(
        f"[endpoints.ollama]\nbase_url = '{service.base_url}'\n", encoding="utf-8"
    )
    plan = make_plan(person.answers("ollama", "tw", "three", "two*99", "two*2", "1,2", "1")({}))
    assert "Models with tw in their name: two" in person.heard
    assert "There is no model three" in person.heard
    assert "One model, please." in person.heard
    assert ([agent.model for agent in plan.layers[0]], plan.aggregator.model) == (["two", "two"], "one")


def test_files_that_cannot_be_written(person: Person, tmp_path: Path) -> None:
    """The chat starts with the answers; the user is told that they are not saved."""
    blocked = tmp_path / "blocked"
    blocked.write_text("", encoding="utf-8")
    for name in ("keys.toml", "config.toml"):
        (person.home / name).symlink_to(blocked / name)
    again = person.answers("1", KEY, "", "2")
    assert "It cannot be saved" in person.heard
    assert again({}).endpoint("together", {}).key == KEY
    assert again({}).preset.name == "fast"


@pytest.mark.parametrize(
    ("environ", "given", "more"),
    [
        ({"TOGETHER_API_KEY": KEY}, {}, {}),
        ({"TOGETHER_BASE_URL": "http://127.0.0.1:9/v1"}, {}, {}),
        ({}, {"quiet": True}, {}),
        ({}, {"json": True}, {}),
        ({}, {"demo": True}, {}),
        ({}, {"endpoint": "ollama"}, {}),
        ({}, {"aggregator": "ollama:x", "reference_models": ["ollama:y"]}, {}),
        ({}, {}, {"stdin_is_terminal": False}),
        ({}, {}, {"stdout_is_terminal": False}),
    ],
)
def test_when_it_keeps_out_of_the_way(
    home: Path, environ: dict[str, str], given: dict[str, object], more: dict[str, bool]
) -> None:
    """With a key, or without need of one, in a pipe, with --quiet or --json: no questions."""
    person = Person(environ, home, given)
    assert needs_setup(Person({}, home).resolve({}), streams(), {})
    assert not needs_setup(person.resolve({}), streams(**more), person.environ)
    assert (
        run_guided_setup(person.resolve({}), person.resolve, streams(**more), environ=person.environ)
        == person.resolve
    )


def test_what_is_wrong_with_a_kept_key_is_not_covered_up(home: Path) -> None:
    """A keys file that is refused is an error, which the set-up must not hide."""
    file = home / "keys.toml"
    file.write_text(f"together = {{ key = '{KEY}' }}\n", encoding="utf-8")
    file.chmod(0o644)
    person = Person({}, home)
    assert not needs_setup(person.resolve({}), streams(), person.environ)


def test_what_is_typed_is_not_remembered() -> None:
    """No answer can be recalled with the arrow keys, because it may be a key."""
    with create_pipe_input() as terminal:
        questions = Questions(streams(), terminal, DummyOutput())
        terminal.send_text(f"{KEY}\r\x1b[A\r")
        assert questions.ask("?", secret=True) == KEY
        assert questions.ask("?") == ""


def test_on_a_terminal(terminal: Callable[..., PtyWindow], home: Path) -> None:
    """The chat starts with the questions and continues as answered; Ctrl-D at a question ends with 3."""
    with terminal(width=100, height=40) as chat:
        chat.shows("No Together API key yet")
        chat.shows("Which?")
        chat.type("demo\r")
        chat.prompt()
        chat.type("\x04")
        assert chat.end() == 0
    with terminal(width=100, height=40) as chat:
        chat.shows("Which?")
        chat.type("\x04")
        assert chat.end() == 3
        assert "TOGETHER_API_KEY is not set" in chat.text
    assert [entry.name for entry in home.iterdir() if entry.suffix == ".toml"] == []
