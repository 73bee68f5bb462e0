"""What the service refuses, and what it says of a turn that failed: statuses and bodies of the OpenAI API."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

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
_SERVERS_FAULT = 500
# What a client can do something about keeps a status of its own; that the key or the name of a model
# behind this service is wrong is nothing its client did, and must not read as if its own key were.
_STATUSES = {
    FailureKind.CONTEXT_LENGTH: (400, "context_length_exceeded"),
    FailureKind.CONTENT_FILTER: (400, "content_filter"),
    FailureKind.RATE_LIMITED: (429, "upstream_rate_limited"),
    FailureKind.OVERLOADED: (503, "upstream_overloaded"),
    FailureKind.TIMEOUT: (504, "upstream_timeout"),
    FailureKind.WORKER: (500, "internal_error"),
    FailureKind.INTERNAL: (500, "internal_error"),
}


class ApiError(Exception):
    """A request that gets an error: HTTP status, and a body in the API's form.

    `code` is for programs, `param` names the field that is wrong, `headers` go along.
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
        usual = "api_error" if self.status >= _SERVERS_FAULT else "invalid_request_error"
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, usual),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}


def wrong(message: str, param: str | None, code: str = "invalid_value") -> ApiError:
    """Return the refusal of a request that is wrong in itself."""
    return ApiError(400, message, code, param)


def unsupported(message: str, param: str) -> ApiError:
    """Return the refusal of something that the API has and a mixture has not."""
    return wrong(message, param, "unsupported_parameter")


def busy(message: str, code: str, seconds: float) -> ApiError:
    """Return the refusal of what can be asked again after so many seconds."""
    return ApiError(429, message, code, headers={"Retry-After": str(max(1, ceil(seconds)))})


def stopping() -> ApiError:
    """Return the refusal of a service that is about to end."""
    return ApiError(503, "The service is stopping.", "service_stopping", headers={"Retry-After": "5"})


def error_for(failure: Failure) -> ApiError:
    """Return what a failed turn is in terms of the API."""
    status, code = _STATUSES.get(failure.kind, (502, "upstream_error"))
    message = redact(str(failure))
    if failure.kind is FailureKind.RATE_LIMITED:
        return busy(message, code, failure.retry_after or 1)
    return ApiError(status, message, code)
