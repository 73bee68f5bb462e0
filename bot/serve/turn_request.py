"""What a request of any of the APIs asks for: a conversation, and how the mixture is to answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.messages import Image, Message
from bot.serve.api_errors import bad_request

if TYPE_CHECKING:
    from bot.serve.request_schema import MoaOptions
    from bot.text.reply_format import ReplyFormat

WITHOUT_PROMPT = "Continue."
"""The prompt of a conversation in which nobody but the assistant has spoken."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as the mixture is asked: the last user message is the prompt.

    `images` are the prompt's, `after` are tool calls and results since then, `prefill` is a last message of
    the assistant, which the reply continues.
    """

    system: str | None = None
    history: tuple[Message, ...] = ()
    prompt: str = ""
    after: tuple[Message, ...] = ()
    prefill: str = ""
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One request. `max_tokens` is the limit of the reply alone, None for the mixture's own.

    `reply_fields` are passed on to the aggregator as they are; `reply_format` is what the reply has to be.
    """

    model: str
    conversation: Conversation
    moa: MoaOptions
    stream: bool = False
    include_usage: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reply_fields: Mapping[str, object] = field(default_factory=dict)
    reply_format: ReplyFormat | None = None


def divide(messages: Sequence[Message], param: str = "messages") -> Conversation:
    """Return the messages as a conversation; system messages are joined wherever they stand.

    A system message alone is the prompt. ApiError (400) names `param` where there is nothing to answer.
    """
    system = "\n\n".join(each.content for each in messages if each.role == "system" and each.content.strip())
    dialogue = [each for each in messages if each.role != "system"]
    beginnings: list[str] = []
    while dialogue and dialogue[-1].role == "assistant" and not dialogue[-1].tool_calls:
        beginnings.insert(0, dialogue.pop().content)
    if dialogue and dialogue[-1].tool_calls:
        raise bad_request(f"{param}: The last message has tool calls without their results.", param)
    last = next((at for at in reversed(range(len(dialogue))) if dialogue[at].role == "user"), None)
    if last is not None:
        prompt, history, after = dialogue[last].content, dialogue[:last], dialogue[last + 1 :]
        images = dialogue[last].images
    else:
        prompt, history, after, images = system or WITHOUT_PROMPT, [], dialogue, ()
        system = ""
        if not (prompt != WITHOUT_PROMPT or after or any(beginnings)):
            raise bad_request(f"{param}: There is no message to answer.", param)
    if not (prompt.strip() or after or images):
        raise bad_request(f"{param}: The user's last message is empty.", param)
    return Conversation(
        system=system or None,
        history=tuple(each for each in history if _says_anything(each)),
        prompt=prompt,
        after=tuple(after),
        prefill="\n\n".join(filter(None, beginnings)),
        images=images,
    )


def _says_anything(message: Message) -> bool:
    return bool(message.content or message.images or message.tool_calls or message.role == "tool")
