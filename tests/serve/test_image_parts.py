"""Images in requests: which addresses go to the services."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from bot.messages import Image
from bot.serve.image_parts import MAX_URL, read_image_url


@pytest.mark.parametrize("url", ["https://example.com/cat.png", "HTTP://a/?b#c", "https://[::1]:8/ü(1)"])
def test_addresses(url: str) -> None:
    """They go on as they are, given as a text or in an object."""
    assert read_image_url(url) == read_image_url({"url": url, "detail": "low"}) == Image(url)


@pytest.mark.parametrize(
    "value",
    [
        *("https://", "https:///cat.png", "https://?a", "https:// a", "https://a/b c", "https://a/\0"),
        *("https://a/\n", "https://a/\ud800", f"https://a/{'b' * MAX_URL}", "ftp://a/b", "file:///a", ""),
        *(None, 5, [], {}, {"url": None}, ["https://a/b"]),
    ],
)
def test_what_is_no_address(value: Any) -> None:
    """A host is needed; blanks and control characters are refused."""
    with pytest.raises(PydanticCustomError):
        read_image_url(value)
