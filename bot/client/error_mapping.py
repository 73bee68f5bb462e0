"""Maps what a service answers when it refuses to a `Failure`: status, headers and body in.

Pure, and free of the SDK. Services word the same refusal differently, so the body is searched
for the few causes worth distinguishing. Keys are removed from every message.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from time import time
from traceback import format_exception

from bot.client.error_body import BODY_CHARACTERS, ServiceError, error_message, error_of
from bot.client.refusals import find_refusal
from bot.client.service_data import MAX_SECONDS, MAX_TOKENS, decimal_number, whole_number
from bot.errors import Failure, FailureKind
from bot.messages import Request

_LOG = logging.getLogger(__name__)
_CONTEXT = re.compile(
    r"context.{0,20}(length|window|limit|size)|maximum.{0,20}(tokens|length)|too many (input )?tokens"
    r"|prompt is too long|max_new_tokens|input.{0,20}too long|exceeds?.{0,40}tokens",
    re.IGNORECASE | re.DOTALL,
)
_LIMIT = re.compile(
    r"(?:context (?:length|window|size)|maximum|limit|must be <=|at most)"
    r"\D{0,40}?([0-9]{1,3}(?:,[0-9]{3})++|[0-9]{3,}+)",
    re.IGNORECASE,
)
_FILTER = re.compile(r"content.?(filter|policy|management)|safety|moderation|flagged", re.IGNORECASE)
_QUOTA = re.compile(
    r"insufficient[ _-]?(quota|balance|credit|fund)|credit[ _-]balance|(more|out of|not enough|no) credits?\b"
    r"|exceed.{0,30}(quota|budget)|quota.{0,40}(exceed|exhaust|used up|reached)|spend(ing)?[ _-]limit"
    r"|billing[ _-](hard[ _-])?(limit|not[ _-]active)|billing.{0,20}disabled|payment[ _-]required|unpaid"
    r"|arrear|overdue|top up|recharge|balance.{0,20}insufficient|suspended.{0,80}(billing|spending|\bpay)"
    r"|limited to \d{1,9} .{0,30}(/ ?|per )month|余额不足|欠费|充值",
    re.IGNORECASE | re.DOTALL,
)
_SHORT = re.compile(r"per[ _-]?(second|min|hour)", re.IGNORECASE)
_SOON = re.compile(
    r"(retry|try again) (in|after)|rate.?limit|requests? per|tokens? per|\b[rt]p[ms]\b",
    re.IGNORECASE,
)
_UNPAID = 402
_MAY_BE_QUOTA = frozenset({400, 403, 412, 429})
_KEYISH = re.compile(r"\b(?:sk|tgp|gsk|key|pk|xai|fw|csk)[-_][\w-]{8,}|Bearer\s+\S+", re.IGNORECASE)
_LONGEST = 300
_SEARCHED = 2000
"""Characters of a message that are searched for its cause."""
_HEADER_CHARACTERS = 64
"""The longest header that can hold a time."""

LOADING = re.compile(r"\bloading (the )?model\b|\bmodel\b.{0,100}\bloading\b", re.IGNORECASE)
"""How servers say with status 503 that they cannot answer yet; llama.cpp's says "Loading model"."""
_UNAVAILABLE = 503
_BY_STATUS = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.KEY_REFUSED,
    _UNPAID: FailureKind.QUOTA,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    409: FailureKind.SERVICE,
    413: FailureKind.CONTEXT_LENGTH,
    422: FailureKind.BAD_REQUEST,
    429: FailureKind.RATE_LIMITED,
    _UNAVAILABLE: FailureKind.OVERLOADED,
    529: FailureKind.OVERLOADED,
}
_MAY_NAME_PARTS = frozenset({FailureKind.BAD_REQUEST, FailureKind.SERVICE})
"""Failures whose message may say what of the request is not accepted."""
_HINTS = {
    FailureKind.KEY_REFUSED: "check the key for this endpoint",
    FailureKind.FORBIDDEN: "this account may not use it: check plan, credit and region",
    FailureKind.NOT_FOUND: "check the model's name; the service may no longer serve it",
    FailureKind.QUOTA: "waiting does not help: check billing and quota of the account with {service}",
    FailureKind.RATE_LIMITED: "wait a moment, or ask fewer models at once",
    FailureKind.CONNECTION: "check the network and the endpoint's base_url",
    FailureKind.CONTEXT_LENGTH: "shorten the prompt, or choose a model with a longer context",
}


def redact(text: str, key: str | None = None) -> str:
    """Return `text` without `key` and without anything else that looks like one."""
    if key and len(key) > 3:  # noqa: PLR2004 - three characters protect nothing
        text = text.replace(key, "[key]")
    return _KEYISH.sub("[key]", text)


def request_failure(request: Request, kind: FailureKind, message: str, **more: object) -> Failure:
    """Return a failure of this request: its message without keys, and the hint for its kind."""
    said = " ".join(redact(_beginning(message), request.endpoint.key).split())
    if len(said) > _LONGEST:
        said = said[:_LONGEST] + "…"
    hint = _HINTS.get(kind, "").format(service=request.endpoint.name)
    return Failure(kind, said, request.model, hint=hint, **more)  # type: ignore[arg-type]  # Failure's own fields


def internal_failure(request: Request, error: Exception) -> Failure:
    """Return the failure of a call that ended in an exception which nothing accounts for."""
    if _LOG.isEnabledFor(logging.DEBUG):
        _LOG.debug("%s", redact("".join(format_exception(error)), request.endpoint.key))
    return request_failure(request, FailureKind.INTERNAL, f"{type(error).__name__}: {error}")


def failure_from_response(request: Request, status: int, body: str, headers: Mapping[str, str]) -> Failure:
    """Return what an HTTP status of 300 or more and its body mean.

    `body` is the raw text; `headers` have lower-case names.
    """
    failure = _refusal(request, status, error_message(body), headers)
    return _with_refused(failure, request, body)


def _with_refused(failure: Failure, request: Request, body: str) -> Failure:
    """Return the failure with what of the request the service does not accept, if the body says so."""
    refused = ""
    if failure.kind in _MAY_NAME_PARTS or (
        failure.kind is FailureKind.NOT_FOUND and "tools" in request.extra
    ):
        refused = find_refusal(request, body, failure.status or 400)
    if failure.kind is FailureKind.NOT_FOUND and refused != "tools":
        # OpenRouter has no service for a request with tools; of other parts it says nothing here.
        refused = ""
    return replace(failure, refused=refused) if refused else failure


def _refusal(request: Request, status: int, error: ServiceError, headers: Mapping[str, str]) -> Failure:
    message = error.message
    kind = _BY_STATUS.get(status)
    if kind is None:
        kind = FailureKind.SERVICE if status >= 500 else FailureKind.BAD_REQUEST  # noqa: PLR2004 - HTTP's classes
    about = _about(error)
    limit = None
    if status in {400, 413, 422} and _CONTEXT.search(about):
        kind = FailureKind.CONTEXT_LENGTH
        limit = context_limit(message)
    elif status in _MAY_BE_QUOTA and _is_quota(error):
        kind = FailureKind.QUOTA
    elif status in {400, 403} and _FILTER.search(about):
        kind = FailureKind.CONTENT_FILTER
    elif status == _UNAVAILABLE and LOADING.search(message[:_SEARCHED]):
        kind = FailureKind.LOADING
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's classes
        kind = FailureKind.BAD_REQUEST
        where = headers.get("location", "another address")
        message = f"redirected to {where}, which is not followed: check base_url"
    if not message:
        message = f"HTTP {status}"
    elif kind not in (FailureKind.KEY_REFUSED, FailureKind.NOT_FOUND):
        message = f"HTTP {status}: {message}"
    return request_failure(
        request, kind, message, status=status, retry_after=retry_after(headers), limit=limit
    )


def failure_from_stream_error(request: Request, error: object) -> Failure:
    """Return what an `error` object in the middle of a stream means."""
    failure = _failure_from_stream_error(request, error_of({"error": error}))
    return _with_refused(failure, request, json.dumps({"error": error}))


def _failure_from_stream_error(request: Request, said: ServiceError) -> Failure:
    if said.status is not None:
        return _refusal(request, said.status, said, {})
    about = _about(said)
    kind = FailureKind.SERVICE
    if _CONTEXT.search(about):
        kind = FailureKind.CONTEXT_LENGTH
    elif _is_quota(said):
        kind = FailureKind.QUOTA
    elif "rate" in said.codes:
        kind = FailureKind.RATE_LIMITED
    elif _FILTER.search(about):
        kind = FailureKind.CONTENT_FILTER
    limit = context_limit(said.message) if kind is FailureKind.CONTEXT_LENGTH else None
    return request_failure(request, kind, said.message or "the service broke off with an error", limit=limit)


def _is_quota(error: ServiceError) -> bool:
    """Return whether an error is about a quota or bill that waiting does not settle.

    Codes and messages speak of a quota also when it is one per minute. Otherwise a code or type that
    says so is enough.
    """
    message = error.message[:_SEARCHED]
    if _SHORT.search(message):
        return False
    if _QUOTA.search(error.codes):
        return True
    return bool(_QUOTA.search(message)) and not _SOON.search(message)


def _about(error: ServiceError) -> str:
    return f"{error.codes} {error.message[:_SEARCHED]}"


def _beginning(text: str) -> str:
    """Return the first `BODY_CHARACTERS` of a text, without a word (it may be a key) that they cut in two."""
    if len(text) <= BODY_CHARACTERS:
        return text
    return " ".join(text[:BODY_CHARACTERS].split()).rpartition(" ")[0] or text[:BODY_CHARACTERS]


def context_limit(message: str) -> int | None:
    """Return the context length in tokens that a context-length error names, if it does."""
    found = _LIMIT.search(message[:_SEARCHED])
    return whole_number(found[1].replace(",", ""), MAX_TOKENS) or None if found else None


def rate_limit_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds for which this key may send nothing more, from the x-ratelimit headers.

    OpenAI's form (`x-ratelimit-remaining-requests: 0`, `x-ratelimit-reset-requests: 1m2s`) and
    Together's (`x-ratelimit-remaining`, `x-ratelimit-reset` in seconds). None when more may be sent.
    """
    for suffix in ("", "-requests", "-tokens"):
        if headers.get(f"x-ratelimit-remaining{suffix}", "").strip() == "0":
            seconds = parse_duration(headers.get(f"x-ratelimit-reset{suffix}", ""))
            if seconds:
                return seconds
    return None


def parse_duration(text: str) -> float | None:
    """Return the seconds of "1.5", "20ms", "6m0s" or "1h2m"; None for anything else."""
    text = text[:_HEADER_CHARACTERS].strip()
    units = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return min(sum(float(number) * units[unit] for number, unit in parts), MAX_SECONDS)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the service asks to wait (RFC 9110, 10.2.3), None if it does not say."""
    in_ms, value = headers.get("retry-after-ms"), headers.get("retry-after")
    if not (in_ms or value):
        return rate_limit_reset(headers)
    seconds = decimal_number(in_ms or value)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime((value or "")[:_HEADER_CHARACTERS]).timestamp() - time()
        except (ValueError, TypeError, IndexError, ArithmeticError, OSError):
            return None
    elif in_ms:
        seconds /= 1000
    return min(max(0.0, seconds), MAX_SECONDS)
