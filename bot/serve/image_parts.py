"""Images in requests: parts with a data URL, which is checked, or an address, which goes to the services."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import PydanticCustomError

from bot.app.images import read_data_url
from bot.errors import UsageError
from bot.messages import Image

_ADDRESS = re.compile(r"https?://[^\s/?#\x00-\x20\x7f][^\s\x00-\x20\x7f\ud800-\udfff]*", re.IGNORECASE)
MAX_URL = 4000
"""Characters of an address."""


def read_image_url(value: Any) -> Image:
    """Return the image of an `image_url`: a text, or an object with `url`. PydanticCustomError."""
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str):
        raise _error("it needs a url")
    if url[:8].lower().startswith(("https://", "http://")):
        if len(url) > MAX_URL:
            raise _error("the address is too long")
        if not _ADDRESS.fullmatch(url):
            raise _error("it is not the address of an image")
        return Image(url)
    try:
        return read_data_url(url, "image")
    except UsageError as problem:
        raise _error(f"{problem.message} {problem.hint}".strip().removesuffix(".")) from None


def _error(problem: str) -> PydanticCustomError:
    return PydanticCustomError("image", "{problem}", {"problem": problem})
