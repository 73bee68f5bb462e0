"""Log probabilities of the first token, in the forms in which services send them."""

from __future__ import annotations

from typing import Any

import pytest

from bot.client.logprobs import top_logprobs

PAIRS = (("m", -0.1), ("M", -2.5))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (
            {"logprobs": {"content": [{"token": "m", "top_logprobs": [
                {"token": "m", "logprob": -0.1}, {"token": "M", "logprob": -2.5}]}]}},
            PAIRS,
        ),
        ({"logprobs": {"tokens": ["m"], "top_logprobs": [{"m": -0.1, "M": -2.5}]}}, PAIRS),
        ({"top_logprobs": {"m": -0.1, "M": -2.5}, "logprobs": -0.1}, PAIRS),
        ({"logprobs": None}, ()),
        ({"logprobs": {"content": []}}, ()),
        ({"logprobs": {"content": [{"token": "m", "top_logprobs": None}]}}, ()),
        ({"logprobs": {"content": ["nonsense"]}}, ()),
        ({"top_logprobs": [{"m": "much"}]}, ()),
        ({}, ()),
    ],
)  # fmt: skip
def test_the_likeliest_first_tokens(choice: dict[str, Any], expected: Any) -> None:
    """Each form gives tokens with their logarithms; what is none gives nothing and no error."""
    assert top_logprobs(choice) == expected
