r"""Finds what an error body says: its message, codes and HTTP status, in whatever form it comes.

Pure. Errors are nested in many ways, and gateways wrap the error of the service behind them:
    {"error": {"message": …}}     {"errors": [{"message": …}]}     {"detail": [{"loc": …, "msg": …}]}
    {"error": {"message": "Provider returned error", "metadata": {"raw": "{\"error\": …}"}}}
So the body is read as layers, from the outermost object to the innermost; the innermost that has words
says what went wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import NamedTuple

from bot.client.service_data import read_json, whole_number

BODY_CHARACTERS = 65_536
"""Of an error body or page that are looked at: a refusal is short, and a page says it at its top."""
WRAPPERS = ("error", "errors", "base_resp")
"""Fields that hold the error and nothing else."""
TEXTS = (
    *("message", "detail", "msg", "error_description", "error", "errors", "error_msg", "error_message"),
    *("errorMessage", "status_msg", "Message", "title"),
)
"""Fields that hold an error's words."""
_MOST_LAYERS = 8
_MOST_TEXTS = 5
_CODE_CHARACTERS = 64
_TAG = re.compile(r"<(/?+[a-z]*+)[^<>]*+>", re.IGNORECASE)


class ServiceError(NamedTuple):
    """What an error body says: a message, its codes and types in one text, and an HTTP status."""

    message: str
    codes: str = ""
    status: int | None = None


def error_message(body: str) -> ServiceError:
    """Return what an error body says: JSON in any of the usual forms, or a page's text."""
    try:
        data = read_json(body)
    except ValueError:
        return ServiceError(_page_text(body))
    return error_of(data)


def error_of(data: object) -> ServiceError:
    """Return what the value of a JSON error body says."""
    if isinstance(data, str):
        return ServiceError(data)
    layers = error_layers(data)
    codes = [
        each.get(name) for each in layers for name in ("code", "type", "status", "error_code", "status_code")
    ]
    statuses = [status for code in codes if (status := whole_number(code, 599)) and status >= 400]  # noqa: PLR2004 - HTTP's classes
    return ServiceError(
        next((text for each in reversed(layers) if (text := _text_of(each))), ""),
        " ".join(code[:_CODE_CHARACTERS] for code in codes if isinstance(code, str)),
        statuses[0] if statuses else None,
    )


def error_layers(data: object) -> list[Mapping[str, object]]:
    """Return the objects of an error that stand in one another, from the outermost to the innermost."""
    layers: list[Mapping[str, object]] = []
    layer = _object_in(data)
    while layer is not None and len(layers) < _MOST_LAYERS:
        layers.append(layer)
        layer = next((each for value in _inner(layer) if (each := _object_in(value)) is not None), None)
    return layers


def _inner(layer: Mapping[str, object]) -> Iterator[object]:
    """Yield what may hold the next layer: its wrappers, what a gateway passes on, its words."""
    metadata = layer.get("metadata")
    yield from (layer.get(name) for name in WRAPPERS)
    yield metadata.get("raw") if isinstance(metadata, Mapping) else None
    yield from (layer.get(name) for name in TEXTS)


def _object_in(value: object) -> Mapping[str, object] | None:
    """Return the object that a value is, or that is the first in its list or stands in its text."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            value = read_json(value.strip())
        except ValueError:
            return None
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, Mapping) else None


def _text_of(layer: Mapping[str, object]) -> str:
    """Return the words of one layer, after the place that pydantic names; "" when it has none."""
    metadata = layer.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    text = next((text for value in (raw, *map(layer.get, TEXTS)) if (text := _words(value))), "")
    place = layer.get("loc")
    if text and isinstance(place, list):
        return f"{'.'.join(str(part)[:_CODE_CHARACTERS] for part in place[:_MOST_TEXTS])}: {text}"
    return text


def _words(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(each for each in value[:_MOST_TEXTS] if isinstance(each, str))
    return value if isinstance(value, str) and value.strip() else ""


def _page_text(page: str) -> str:
    """Return the text of an HTML page's beginning: without tags, scripts and styles."""
    page = page[:BODY_CHARACTERS]
    parts: list[str] = []
    position, skipping = 0, ""
    for tag in _TAG.finditer(page):
        name = tag[1].lower()
        if not skipping:
            parts.append(page[position : tag.start()])
            skipping = name if name in {"script", "style"} else ""
        elif name == f"/{skipping}":
            skipping = ""
        position = tag.end()
    if not skipping:
        parts.append(page[position:])
    return unescape(" ".join(parts)).strip()
