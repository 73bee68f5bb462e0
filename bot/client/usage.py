"""The tokens of a call, read leniently from the chunks of its answer.

Services agree on `prompt_tokens` and `completion_tokens`; the prompt tokens that came from a cache
have a name of their own nearly everywhere. The numbers are untrusted: one that cannot be is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bot.client.service_data import MAX_TOKENS, whole_number
from bot.messages import Usage

_CACHED = (
    "prompt_tokens_details.cached_tokens",  # OpenAI, Together, vLLM, SGLang, Groq, xAI, OpenRouter
    "input_tokens_details.cached_tokens",  # services that use the names of OpenAI's Responses API
    "prompt_cache_hit_tokens",  # DeepSeek
    "cached_tokens",  # Moonshot, Together
    "num_cached_tokens",  # Mistral
    "cache_read_input_tokens",  # Anthropic's name, as LiteLLM and others pass it on
    "prompt_tokens_details.cache_read_input_tokens",
    "prompt_tokens_details.cache_read_tokens",
    "cached_content_token_count",  # Google
)


def read_usage(chunk: Mapping[str, object], before: Usage) -> Usage:
    """Return the usage that a chunk (or a whole completion) reports; what it lacks is as in `before`.

    Cached tokens that would be more than the prompt tokens are left out.
    """
    usage = before
    for reported in _usage_objects(chunk):
        usage = Usage(
            _first(reported, "prompt_tokens", "input_tokens", default=usage.prompt_tokens),
            _first(reported, "completion_tokens", "output_tokens", default=usage.completion_tokens),
            _first(
                reported,
                "completion_tokens_details.reasoning_tokens",
                "output_tokens_details.reasoning_tokens",
                "reasoning_tokens",
                default=usage.reasoning_tokens,
            ),
            _first(reported, *_CACHED, default=usage.cached_tokens),
        )
    cached = _first(chunk, "timings.cache_n", default=None) if usage.cached_tokens is None else None
    if cached is not None:  # llama.cpp
        usage = _with_cached(usage, cached)
    if (usage.cached_tokens or 0) > (usage.prompt_tokens or 0):
        usage = _with_cached(usage, None)
    return usage


def _with_cached(usage: Usage, cached: int | None) -> Usage:
    return Usage(usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens, cached)


def _usage_objects(chunk: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the usage objects of a chunk: its own, Groq's, and that of the choice (Moonshot)."""
    groq, choices = chunk.get("x_groq"), chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    for holder in (groq, choice, chunk):
        if isinstance(holder, Mapping) and isinstance(usage := holder.get("usage"), Mapping):
            yield usage


def _first(reported: Mapping[str, object], *names: str, default: int | None) -> int | None:
    """Return the first of these numbers of tokens that is one; a dot leads into an inner object."""
    for name in names:
        value: object = reported
        for key in name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        tokens = whole_number(value, MAX_TOKENS) if isinstance(value, int) else None
        if tokens is not None:
            return tokens
    return default
