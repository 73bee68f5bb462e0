"""With what options a stored conversation goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.app.app import App
from bot.app.make_plan import make_plan
from bot.app.resume import resumed_options, settings_to_resume
from bot.settings import paths
from bot.settings.resolve import resolve
from bot.settings.settings import Settings
from bot.store import Store, StoredConversation

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Run:
    """A run of the program with these options: `resolve` changes them, as an open app does."""

    def __init__(self, folder: Path, cli: Mapping[str, object] | None = None, **environ: str) -> None:
        self.cli, self.environ = dict(cli or {}), {"MOA_BOT_HOME": str(folder), **environ}

    def __call__(self, changes: Mapping[str, object]) -> Settings:
        return resolve({**self.cli, **changes}, None, self.environ)


def stored(folder: Path, **cli: object) -> StoredConversation:
    """A conversation that was held with these options."""
    return StoredConversation("abcd", "title", NOW, NOW, Run(folder, cli)({}).stored_options())


def resumed(run: Run, conversation: StoredConversation) -> Settings:
    return run(resumed_options(conversation, run))


MIXTURE: dict[str, object] = {
    "reference_models": ("a", "b"),
    "aggregator": "judge",
    "rounds": 3,
    "fallbacks": ("second", "third"),
    "deadline": 7.0,
    "quorum": 2.0,
    "grace": 1.0,
    "early_stop": True,
    "placement": "system",
    "temperature": 0.3,
    "seed": 5,
    "multi_turn": False,
}


def test_every_option_comes_back(tmp_path: Path) -> None:
    """Models, rounds, fallbacks, waits and parameters are those of the conversation."""
    settings = resumed(Run(tmp_path), stored(tmp_path, **MIXTURE))
    assert {name: settings.value(name) for name in MIXTURE} == MIXTURE


@pytest.mark.parametrize("environment", [False, True])
def test_what_this_run_says_wins(tmp_path: Path, *, environment: bool) -> None:
    """An option of the command line or the environment replaces the stored one, and no other."""
    run = Run(tmp_path, MOA_BOT_ROUNDS="1") if environment else Run(tmp_path, {"rounds": 1})
    settings = resumed(run, stored(tmp_path, **MIXTURE))
    assert settings.rounds == 1
    assert (settings.reference_models, settings.aggregator) == (("a", "b"), "judge")


def test_another_preset_replaces_the_mixture(tmp_path: Path) -> None:
    """Of the stored options only those of the conversation are left."""
    run = Run(tmp_path, {"preset": "moa-lite"})
    settings = resumed(run, stored(tmp_path, **MIXTURE))
    assert settings.preset.name == "moa-lite"
    assert settings.reference_models == run({}).reference_models
    assert (settings.rounds, settings.fallbacks) == (1, ())
    assert settings.multi_turn is False


def test_the_stored_preset_comes_back(tmp_path: Path) -> None:
    """With its layers and its models' own values, not only its names."""
    settings = resumed(Run(tmp_path), stored(tmp_path, preset="moa"))
    assert settings.preset.name == "moa"
    assert settings.sources["reference_models"].text == "preset moa"


def test_a_preset_that_is_gone(tmp_path: Path) -> None:
    """Its models are asked all the same."""
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "mine.toml").write_text('aggregator = "judge"\nreference_models = ["a"]\n', encoding="utf-8")
    conversation = stored(tmp_path, preset="mine")
    (presets / "mine.toml").unlink()
    settings = resumed(Run(tmp_path), conversation)
    assert (settings.aggregator, settings.reference_models) == ("judge", ("a",))


@pytest.mark.parametrize(
    ("cli", "config", "system", "expected"),
    [
        ({}, "", "S", "S"),
        ({}, "", None, None),
        ({}, 'system = "mine"\n', "S", "S"),
        ({}, 'system = "mine"\n', None, None),
        ({}, 'system_file = "gone.txt"\n', "S", "S"),
        ({"system": "new"}, "", "S", "new"),
        ({"system": ""}, "", "S", None),
        ({"preset": "poet"}, "", "S", "Write verse."),
        ({"preset": "moa-lite"}, "", "S", "S"),
        ({}, "[models.a]\ncontext = 9\n", "S\n\nT", "S\n\nT"),
    ],
)
def test_the_system_prompt_comes_back(
    tmp_path: Path, cli: dict[str, object], config: str, system: str | None, expected: str | None
) -> None:
    """It is the beginning of every request, and part of the conversation; what this run gives wins."""
    (tmp_path / "presets").mkdir()
    poet = 'aggregator = "judge"\nreference_models = ["a"]\nsystem = "Write verse."\n'
    (tmp_path / "presets" / "poet.toml").write_text(poet, encoding="utf-8")
    (tmp_path / "config.toml").write_text(config, encoding="utf-8")
    conversation = replace(stored(tmp_path, **MIXTURE), system=system)
    assert make_plan(resumed(Run(tmp_path, cli), conversation)).system == expected


def test_the_system_prompt_of_the_stored_preset(tmp_path: Path) -> None:
    """A prompt that was changed in the chat stands before the preset's."""
    (tmp_path / "presets").mkdir()
    poet = 'aggregator = "judge"\nreference_models = ["a"]\nsystem = "Write verse."\n'
    (tmp_path / "presets" / "poet.toml").write_text(poet, encoding="utf-8")
    for system in ("Write verse.", "Write prose.", None):
        conversation = replace(stored(tmp_path, preset="poet"), system=system)
        assert make_plan(resumed(Run(tmp_path), conversation)).system == system


def test_what_was_changed_in_a_chat_and_is_not_the_conversation_s(tmp_path: Path) -> None:
    """A budget stays when another conversation is continued; the mixture is that of the other one."""
    run = Run(tmp_path)
    app = App(run({}), lambda _: None, resolve=run)
    app.change({"max_cost": 0.5, "rounds": 2, "system": "S"})
    app.resume(stored(tmp_path, **MIXTURE))
    assert (app.settings.max_cost, app.settings.rounds, app.plan.system) == (0.5, 3, None)
    assert app.settings.aggregator == "judge"


def test_across_the_demonstration(tmp_path: Path) -> None:
    """A conversation of the demonstration goes on with real models without --demo, and the reverse."""
    of_demo, of_models = stored(tmp_path, demo=True), stored(tmp_path, **MIXTURE)
    real = resumed(Run(tmp_path), of_demo)
    assert not any(model.startswith("demo/") for model in (real.aggregator, *real.reference_models))
    demo = resumed(Run(tmp_path, {"demo": True}), of_models)
    assert demo.aggregator == "demo/aggregator"
    assert all(model.startswith("demo/") for model in demo.reference_models)


@pytest.mark.parametrize("options", [{"continue": True}, {"resume": "ab"}])
def test_the_mixture_is_known_before_anything_is_opened(tmp_path: Path, options: dict[str, object]) -> None:
    """Keys are asked for those services only that the resumed mixture needs."""
    paths.store_file().parent.mkdir(parents=True, exist_ok=True)
    with Store.open(paths.store_file()) as store:
        settings = Run(tmp_path, {"aggregator": "openai:gpt", "reference_models": ("openai:gpt",)})({})
        conversation = store.create_conversation(settings.stored_options(), None, "why?")
        store.begin_turn(conversation.id, "why?")
    run = Run(tmp_path, {**options, **({"resume": conversation.id} if "resume" in options else {})})
    settings = settings_to_resume(run({}), run)
    assert settings.aggregator == "openai:gpt"
    assert settings_to_resume(run({"save": False}), run).aggregator != "openai:gpt"


def test_no_conversation_changes_nothing(tmp_path: Path) -> None:
    """An empty store leaves the settings as they are; the error comes where it is opened."""
    run = Run(tmp_path, {"continue": True})
    settings = run({})
    assert settings_to_resume(settings, run) is settings
