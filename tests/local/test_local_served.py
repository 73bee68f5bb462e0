"""Local models behind `moa-bot serve`: only those that it was started with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.app.load_settings import load_settings
from bot.serve.api_errors import ApiError
from bot.serve.request_schema import MoaOptions
from bot.serve.served_mixtures import ServedMixtures
from bot.settings.settings import Settings


@pytest.fixture
def mixtures(tmp_path: Path) -> ServedMixtures:
    """A service that was started with one local model."""
    environ = {"MOA_BOT_HOME": str(tmp_path)}
    own = {"reference_models": ["local:own.gguf", "ollama:a"], "aggregator": "local:own.gguf"}

    def make(changes: Mapping[str, object]) -> Settings:
        return load_settings({**(own if "preset" not in changes else {}), **changes}, None, environ)

    return ServedMixtures(make({}), make)


def test_its_own_are_served(mixtures: ServedMixtures) -> None:
    """The served mixture runs, and so does another of the same models."""
    assert mixtures.get("moa", MoaOptions()).plan.aggregator.model == "own.gguf"
    changed = mixtures.get("moa", MoaOptions(references=["local:own.gguf", "local:own.gguf"]))
    assert [agent.model for agent in changed.plan.layers[0]] == ["own.gguf", "own.gguf"]


@pytest.mark.parametrize("options", [MoaOptions(rounds=0), MoaOptions(references=["none"])])
def test_a_request_for_a_lone_model(mixtures: ServedMixtures, options: MoaOptions) -> None:
    """Without rounds or references the aggregator answers alone."""
    assert mixtures.get("moa", options).plan.layers == ()


def test_a_client_names_no_files(mixtures: ServedMixtures) -> None:
    """Not by a path, a name on the hub, or a preset, which is not listed either."""
    for name in ("local:/etc/passwd", "local:maker/repo/file.gguf"):
        with pytest.raises(ApiError, match="served only if the service was started with them"):
            mixtures.get("moa", MoaOptions(references=[name]))
    with pytest.raises(ApiError, match="served only if the service was started with them"):
        mixtures.get("local", MoaOptions())
    assert "local" not in [name for name, _ in mixtures.entries()]
