"""The tokens that services report, under the names that they use."""

from __future__ import annotations

from typing import Any

import pytest

from bot.client.completion import CompletionBuilder
from bot.client.service_data import MAX_TOKENS
from bot.messages import Usage

COUNTS = {"prompt_tokens": 1000, "completion_tokens": 20}


def usage_of(*chunks: dict[str, Any]) -> Usage:
    """Return the usage of an answer with these chunks."""
    answer = CompletionBuilder(60.0)
    for chunk in chunks:
        answer.add_chunk(chunk)
    return answer.completion().usage


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_tokens_details": {"cached_tokens": 600}},
        {"prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": None}, "cached_tokens": 5},
        {"prompt_tokens_details": None, "prompt_cache_hit_tokens": 600, "prompt_cache_miss_tokens": 400},
        {"cached_tokens": 600},
        {"num_cached_tokens": 600},
        {"cache_read_input_tokens": 600, "cache_creation_input_tokens": 0},
        {"input_tokens_details": {"cached_tokens": 600}},
        {"prompt_tokens_details": {"cached_tokens": "many"}, "cached_tokens": 600},
    ],
)
def test_cached_prompt_tokens(fields: dict[str, Any]) -> None:
    """Each service's name for prompt tokens from a cache is read, in a chunk with or without choices."""
    usage = {**COUNTS, **fields}
    choice = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}
    for chunk in (
        {"choices": [], "usage": usage},
        {"choices": [choice], "usage": usage},
        {"choices": [{**choice, "usage": usage}]},
        {"choices": [choice], "x_groq": {"id": "req_1", "usage": usage}},
    ):
        assert usage_of(chunk) == Usage(1000, 20, None, 600)


def test_llama_cpp_reports_its_cache_with_the_timings() -> None:
    """Its count is used where the usage object has none, in the same chunk."""
    chunk = {"choices": [], "usage": COUNTS, "timings": {"cache_n": 900, "prompt_n": 100}}
    assert usage_of(chunk).cached_tokens == 900
    details = {**COUNTS, "prompt_tokens_details": {"cached_tokens": 850}}
    assert usage_of({**chunk, "usage": details}).cached_tokens == 850


@pytest.mark.parametrize(
    "cached", [-1, 1001, 10**400, True, 1.5, "600", None, [600], {"tokens": 600}, float("nan")]
)
def test_numbers_that_cannot_be(cached: object) -> None:
    """A count that is none, or larger than the prompt, is left out; the others stay."""
    for fields in ({"prompt_tokens_details": {"cached_tokens": cached}}, {"cached_tokens": cached}):
        assert usage_of({"usage": {**COUNTS, **fields}}) == Usage(1000, 20)
    assert usage_of({"usage": COUNTS, "timings": {"cache_n": cached}}) == Usage(1000, 20)


@pytest.mark.parametrize("count", [-1, MAX_TOKENS + 1, 10**400, True, 2.5, "seven", None, {}])
def test_counts_that_cannot_be(count: object) -> None:
    """The same for the tokens of prompt and answer; without prompt tokens, none of them are cached."""
    usage = {"prompt_tokens": count, "completion_tokens": count, "cached_tokens": 3}
    assert usage_of({"usage": usage}) == Usage()


def test_usage_that_comes_in_parts() -> None:
    """Later chunks add to earlier ones and correct them; an empty usage object takes nothing away."""
    parts: list[dict[str, Any]] = [
        {"usage": {"prompt_tokens": 1000, "completion_tokens": 1}},
        {"usage": {"completion_tokens": 20, "cached_tokens": 600}},
        {"usage": {}},
        {"usage": None},
        {"usage": "none"},
    ]
    assert usage_of(*parts) == Usage(1000, 20, None, 600)
