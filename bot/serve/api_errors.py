"""Errors in the form of the OpenAI API: of requests that are refused, and of turns that failed."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from bot.client.error_mapping import redact
from bot.errors import FailureKind

if TYPE_CHECKING:
    from bot.errors import Failure

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
_INTERNAL_SERVER_ERROR = 500
# Only what the client can act on has a status of its own. A wrong key or model name behind this service
# is a 502: a 401 would read as if the client's own key were wrong.
_STATUSES = {
    FailureKind.CONTEXT_LENGTH: (400, "context_length_exceeded"),
    FailureKind.CONTENT_FILTER: (400, "content_filter"),
    FailureKind.REFUSED: (400, "content_filter"),
    FailureKind.ATTACHMENT: (400, "unsupported_image"),
    # Not a 429 or 5xx, which clients send again by themselves.
    FailureKind.QUOTA: (402, "insufficient_quota"),
    FailureKind.RATE_LIMITED: (429, "upstream_rate_limited"),
    FailureKind.OVERLOADED: (503, "upstream_overloaded"),
    FailureKind.LOADING: (503, "upstream_overloaded"),
    FailureKind.TIMEOUT: (504, "upstream_timeout"),
    FailureKind.WORKER: (500, "internal_error"),
    FailureKind.INTERNAL: (500, "internal_error"),
}


class ApiError(Exception):
    """An HTTP status, and a body in the API's form.

    `code` is for programs, `param` names the field that is wrong, `headers` are sent with it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The body: {"error": {message, type, param, code}}."""
        default = "api_error" if self.status >= _INTERNAL_SERVER_ERROR else "invalid_request_error"
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, default),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    @property
    def body_with_status(self) -> dict[str, Any]:
        """The body of an answer whose status has been sent already: it says what it would have been."""
        return {**self.body, "status": self.status}

    def response(self) -> JSONResponse:
        """Return the HTTP response."""
        return JSONResponse(self.body, self.status, self.headers)


def bad_request(message: str, param: str | None, code: str = "invalid_value") -> ApiError:
    """Return the error for a request that is wrong in itself (400)."""
    return ApiError(400, message, code, param)


def rate_limited(message: str, code: str, seconds: float) -> ApiError:
    """Return the error for a request that may be sent again after so many seconds (429)."""
    return ApiError(429, message, code, headers={"Retry-After": str(max(1, ceil(seconds)))})


def service_stopping() -> ApiError:
    """Return the error of a service that is shutting down (503)."""
    return ApiError(503, "The service is stopping.", "service_stopping", headers={"Retry-After": "5"})


def error_for(failure: Failure) -> ApiError:
    """Return the error for a turn that failed."""
    status, code = _STATUSES.get(failure.kind, (502, "upstream_error"))
    message = redact(str(failure))
    if failure.kind is FailureKind.RATE_LIMITED:
        return rate_limited(message, code, failure.retry_after or 1)
    return ApiError(status, message, code)
