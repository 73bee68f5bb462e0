"""What is known of models: prices as configured, and as their service lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.app.known_models import KnownModels
from bot.client.model_list import ListedModel, ModelList, read_model_list
from bot.messages import Agent, Usage
from bot.settings.resolve import resolve

USAGE = Usage(1_000_000, 1_000_000, None, 500_000)
LIST = [
    {"id": "mine", "pricing": {"input": 9, "output": 9, "cached_input": 0.5}},
    {"id": "own", "pricing": {"input": 9, "output": 9, "cached_input": 0.5}},
    {"id": "listed", "pricing": {"prompt": "2e-6", "completion": "3e-6", "input_cache_read": "1e-7"}},
    {"id": "no-cache", "pricing": {"input": 2, "output": 3}},
    {"id": "nonsense", "pricing": {"input": 2, "output": 3, "cached_input": "-1", "input_cache_read": 1e400}},
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "before", "after"),
    [
        ("mine", 5.0, 0.5 * 2 + 0.5 * 0.5 + 3),
        ("own", 0.5 * 2 + 0.5 * 1 + 3, 0.5 * 2 + 0.5 * 1 + 3),
        ("listed", None, 0.5 * 2 + 0.5 * 0.1 + 3),
        ("no-cache", None, 5.0),
        ("nonsense", None, 5.0),
    ],
)
def test_prices_of_a_services_list(
    model: str, before: float | None, after: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list adds the prices that are not configured, the one for cached tokens too."""
    (tmp_path / "config.toml").write_text(
        "[models.mine]\ninput_price = 2\noutput_price = 3\n"
        "[models.own]\ninput_price = 2\noutput_price = 3\ncached_input_price = 1\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("MOA_BOT_HOME", str(tmp_path))
    models = KnownModels(resolve({}))
    agent = Agent(model, "together")
    assert models.cost(agent, USAGE) == (None if before is None else pytest.approx(before))
    found = read_model_list(LIST)
    assert found is not None
    models.learn_list("together", found)
    assert models.cost(agent, USAGE) == pytest.approx(after)
    assert models.cost(Agent(model, "openai"), USAGE) == (
        pytest.approx(before) if before is not None else None
    )


@pytest.mark.parametrize(
    ("endpoint", "model", "config", "context"),
    [
        ("ollama", "qwen3:8b", "", 4096),
        ("lmstudio", "openai/gpt-oss-20b", "", 4096),
        ("ollama", "qwen3:8b", "[models.'qwen3:8b']\ncontext = 16384\n", 16384),
        ("together", "unknown/model", "", None),
    ],
)
def test_the_context_that_a_server_lists(
    tmp_path: Path, endpoint: str, model: str, config: str, context: int | None
) -> None:
    """A server's on this computer holds, unless the user has configured another; not a hosted service's."""
    (tmp_path / "config.toml").write_text(config, encoding="utf-8")
    models = KnownModels(resolve({}, None, {"MOA_BOT_HOME": str(tmp_path)}))
    models.learn_list(endpoint, ModelList((ListedModel(model, 4096, max_context=40960),)))
    assert models.context_length(Agent(model, endpoint)) == context
