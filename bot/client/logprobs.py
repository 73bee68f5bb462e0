"""Reads the likeliest first tokens of an answer, in the forms in which services send them.

    OpenAI      choice.logprobs.content[0].top_logprobs = [{"token": t, "logprob": l}, …]
    Together    choice.logprobs.top_logprobs[0] = {t: l, …}, or choice.top_logprobs = {t: l, …}

Only judges are asked for them. What has another form is no log probability, and no error either.
"""

from __future__ import annotations

from typing import Any

TopLogprobs = tuple[tuple[str, float], ...]
"""Tokens with their log probabilities, in the order of the service."""


def top_logprobs(choice: dict[str, Any]) -> TopLogprobs:
    """Return the first token's likeliest tokens in this chunk or completion, () when it holds none."""
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, dict):
        content = logprobs.get("content")
        first = _first(content) if isinstance(content, list) else None
        if isinstance(first, dict):
            return _pairs(first.get("top_logprobs"))
        return _pairs(_first(logprobs.get("top_logprobs")))
    return _pairs(_first(choice.get("top_logprobs")))


def _first(value: object) -> object:
    return (value[0] if value else None) if isinstance(value, list) else value


def _pairs(value: object) -> TopLogprobs:
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(each.get("token"), each.get("logprob")) for each in value if isinstance(each, dict)]
    else:
        return ()
    return tuple(
        (token, float(logprob))
        for token, logprob in pairs
        if isinstance(token, str) and isinstance(logprob, int | float)
    )
