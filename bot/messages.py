"""The values that the parts exchange: what is asked of a model, and what it answers.

All of them are frozen and picklable dataclasses of plain types, because most of them are sent to
another process. Tokens are counted as the service reports them; seconds are those of a monotonic
clock.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from bot.errors import Failure, FailureKind

Role = Literal["system", "user", "assistant", "tool"]
Reasoning = Literal["off", "low", "medium", "high"]
Mode = Literal["moa", "fusion", "critique", "vote", "compare", "rank"]
"""How the last layer makes the reply; `bot.method.modes` has the layer of each."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a function that the client offers; `arguments` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message: a data URL, or the address that the service is to fetch it from.

    `width` and `height` are in pixels, 0 where they are not known.
    """

    url: str = field(repr=False)
    name: str = "image"
    width: int = 0
    height: int = 0

    @property
    def label(self) -> str:
        """What stands for the image in texts."""
        return f"[image: {self.name}, {self.width}x{self.height}]" if self.width else f"[image: {self.name}]"

    @property
    def tokens(self) -> int:
        """About how many tokens the image takes: one for each 28 x 28 pixels (arXiv 2409.12191, section 2.1).

        Services count in their own ways, most of them fewer for large images.
        """
        return -(-self.width // 28) * -(-self.height // 28) + 2 if self.width else UNKNOWN_IMAGE_TOKENS

    @property
    def bytes(self) -> int:
        """The size of its file, 0 where only its address is known."""
        data = self.url.partition(",")[2] if self.url.startswith("data:") else ""
        return len(data) * 3 // 4 - data[-2:].count("=")


UNKNOWN_IMAGE_TOKENS = 1500
"""Tokens of an image of unknown size."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat: who says it, and what; its images follow its text.

    `cache_mark`: the service is asked to cache the request up to the end of this message. `tool_calls`
    are an assistant's; a message of role "tool" is the result of the call with the id `tool_call_id`.
    """

    role: Role
    content: str
    cache_mark: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along with a prompt: its size in bytes, and about how many tokens it takes.

    The text of a file or PDF is in the prompt; an `image` is beside it.
    """

    name: str
    kind: Literal["text", "pdf", "image", "page"]
    bytes: int
    tokens: int
    image: Image | None = None


def images_of(attachments: Iterable[Attachment]) -> tuple[Image, ...]:
    """Return the images among attachments."""
    return tuple(each.image for each in attachments if each.image)


def image_attachment(image: Image) -> Attachment:
    """Return an image as an attachment."""
    return Attachment(image.name, "image", image.bytes, image.tokens, image)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the service reported them; None where it did not say.

    `cached_tokens` are those of the prompt tokens that the service had in its cache, `reasoning_tokens`
    those of the completion tokens that were thinking.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """Tokens of prompt and answer, None where one of them is not known."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible service.

    `key` is None where none is needed (a service on this computer). It is left out of `repr`, so
    that no log line or traceback shows it. `rate` is the limit of requests per minute, `parallel`
    that of concurrent requests; None: no limit. `max_tokens_field` is the service's name for that
    field, `rejects` are fields of a request's body that the service does not accept. Requests to the
    models in `cache_marks` (patterns of model ids) say what is to be cached; `cache_key_field` and
    `cache_key_header` are the field and the header for a request's `cache_key`, "" for none. With `own`,
    no proxy is used: the service is this program's own, or --local asks one on this computer.
    `turn_markers` are those of the chat template of the model that it serves, where it is known.
    """

    name: str
    base_url: str
    key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate: float | None = None
    parallel: int | None = None
    max_tokens_field: str = "max_tokens"
    rejects: tuple[str, ...] = ()
    own: bool = field(default=False, compare=False)
    cache_marks: tuple[str, ...] = ()
    cache_key_field: str = ""
    cache_key_header: str = ""
    turn_markers: tuple[str, ...] = ()

    def wants_cache_mark(self, model: str) -> bool:
        """Whether requests to a model have to say what the service is to cache."""
        return any(fnmatchcase(model.lower(), pattern.lower()) for pattern in self.cache_marks)


@dataclass(frozen=True, slots=True)
class Agent:
    """A model in the mixture with its own parameters; None means the mixture's value.

    `tools` are patterns of the tools that it is offered, `extra_body` further fields of its requests' body (a
    JSON object as text, "" for none).
    """

    model: str
    endpoint: str = "together"
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    reasoning: Reasoning | None = None
    tools: tuple[str, ...] | None = None
    extra_body: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one chat completion. `extra` holds further fields of its JSON body.

    `timeout` is in seconds without a byte received. `delta_interval` is for how many seconds a
    worker collects deltas before it sends them (0: each at once). `retry_partial` says that the
    request may be sent again after a part of its answer has come. `cache_key` is the same for all
    requests of a conversation to one model. Without the fields in `required` the request is of no use: where
    the model does not accept one, the call fails.
    """

    endpoint: Endpoint
    model: str
    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    seed: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    timeout: float = 120.0
    delta_interval: float = 0.0
    retry_partial: bool = True
    cache_key: str = ""
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer, or of the thinking before it, as it arrives."""

    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Retrying:
    """The request had a transient failure and is sent again after `wait` seconds.

    The deltas before it are void.
    """

    failure: Failure
    attempt: int
    wait: float


@dataclass(frozen=True, slots=True)
class Queued:
    """The call waits until others to the same service are over, or until its model is loaded."""


@dataclass(frozen=True, slots=True)
class Dequeued:
    """The call's own time begins. Without `loaded`, the service may have to load the model first."""

    loaded: bool = True


@dataclass(frozen=True, slots=True)
class RateLimitHint:
    """The service accepts no more requests with this key for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Adapted:
    """The service refused a part of the request; it was asked without it. `text` says so to the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer. `text` never holds the model's thinking; that is `reasoning`.

    `first_token` and `seconds` are seconds since the request was first sent, earlier tries included.
    `partial` says why the text is not the whole answer ("" when it is), `truncation_kind` which kind
    of failure cut it off. `top_logprobs` are the likeliest first tokens with their log
    probabilities, where the request asked for them. `tool_calls` are those that end the answer.
    """

    text: str
    reasoning: str = ""
    usage: Usage = Usage()
    finish_reason: str | None = None
    first_token: float | None = None
    seconds: float = 0.0
    retries: int = 0
    partial: str = ""
    truncation_kind: FailureKind | None = None
    top_logprobs: tuple[tuple[str, float], ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


CallUpdate = Delta | Retrying | Queued | Dequeued | RateLimitHint | Adapted | Completion | Failure
"""What a call yields; the last one is always a `Completion` or a `Failure`."""

Ask = Callable[[Request], AsyncGenerator[CallUpdate, None]]
"""A way to ask a model: the pool's, or a test's. Closing the iterator cancels the call."""
