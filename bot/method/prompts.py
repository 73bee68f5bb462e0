"""The messages that a model is sent.

Where the answers of the layer before stand is the placement:

    prompt   system prompts │ history │ prompt, numbered answers, instruction, the request again
    system   system prompts, instruction, numbered answers │ history │ prompt

Tool calls and their results since the prompt stand after it; with "prompt" the answers follow them.

With "prompt" each request begins as the one before it did, so that a service can charge less for what
it has read already; "system" is what the paper's own code does. The user's system prompt stands before
the agent's own. Nothing here knows about rounds, tokens or services.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bot.messages import Image, Message

Placement = Literal["prompt", "system"]

LONGEST_REPEATED = 2_000
"""Characters of a prompt that are repeated after the answers."""


def seal(answers: Sequence[str], what: str = "") -> str:
    """Return 12 hex digits that occur in none of the answers: the seal on their markers.

    It is a digest of all answers together: the same answers always make the same message (a run
    can be repeated), and no answer can contain its own closing marker, as its author would have
    to know the other answers and a digest of its own. Another `what` makes another seal.
    """
    salt = 0
    while True:
        digest = hashlib.sha256(f"{what}{salt}".encode())
        for answer in answers:
            raw = answer.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        digits = digest.hexdigest()[:12]
        if not any(digits in answer for answer in answers):
            return digits
        salt += 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the readers of answers are shown of tools: for each answer what ran, and all numbered sources."""

    runs: tuple[str, ...]
    sources: str = ""

    @property
    def text(self) -> str:
        """All of it, for an estimate of its tokens."""
        return "\n".join([*self.runs, self.sources])


def numbered(answers: Sequence[str], comparison: str = "", evidence: Evidence | None = None) -> str:
    """Return the answers as blocks numbered from 1 without gaps, each between sealed markers.

    With `evidence`, a block after each answer says which tool calls ran for it.

    A judge's `comparison` of them is the last block. It has a seal of its own, which no answer can hold;
    the answers' seal is another one than in the judge's request, so that no judge can know it.
    """
    texts = [*answers, comparison] if comparison else list(answers)
    if evidence:
        texts += [*evidence.runs, evidence.sources]
    mark = seal(texts)
    blocks = []
    for number, answer in enumerate(answers, start=1):
        blocks.append(f"<answer {number} of {len(answers)} · {mark}>\n{answer}\n</answer {number} · {mark}>")
        if evidence:
            runs = evidence.runs[number - 1]
            blocks.append(f"<tools of {number} · {mark}>\n{runs}\n</tools of {number} · {mark}>")
    if evidence and evidence.sources:
        blocks.append(f"<sources · {mark}>\n{evidence.sources}\n</sources · {mark}>")
    if comparison:
        mark = seal([*texts, mark], "comparison")
        blocks.append(f"<comparison · {mark}>\n{comparison}\n</comparison · {mark}>")
    return "\n\n".join(blocks)


def system_message(
    systems: Sequence[str | None],
    instruction: str = "",
    answers: Sequence[str] = (),
    comparison: str = "",
    evidence: Evidence | None = None,
) -> str:
    """Return the text of the system message, "" when it would be empty.

    `systems` are system prompts in their order (the user's first). Without answers the instruction
    is left out: there is nothing to aggregate.
    """
    parts = [system.strip() for system in systems if system and system.strip()]
    if answers:
        parts += [instruction.strip(), numbered(answers, comparison, evidence)]
    return "\n\n".join(parts)


def request_again(prompt: str) -> str:
    """Return the end of a message with answers: the request, or a long one's beginning and end."""
    if len(prompt) > LONGEST_REPEATED:
        half = LONGEST_REPEATED // 2
        prompt = f"{prompt[:half].rstrip()}\n[…]\n{prompt[-half:].lstrip()}"
    return f"The user's request was:\n\n{prompt}"


def compose(
    systems: Sequence[str | None],
    history: Sequence[Message],
    prompt: str,
    *,
    instruction: str = "",
    answers: Sequence[str] = (),
    comparison: str = "",
    task: str = "",
    placement: Placement = "prompt",
    after: Sequence[Message] = (),
    evidence: Evidence | None = None,
    images: Sequence[Image] = (),
) -> tuple[Message, ...]:
    """Return the messages of a request: system message if there is one, history, prompt, what came after.

    `images` go along with the prompt.

    The last message does not end with an answer: a small model would follow the last one that it reads.
    `task` is the last sentence of all, for a model that is not to answer the prompt.
    """
    if placement == "system":
        system = system_message(systems, instruction, answers, comparison, evidence)
    else:
        system = system_message(systems)
    asked = Message("user", prompt, images=tuple(images))
    messages = [*([Message("system", system)] if system else []), *history, asked, *after]
    ends = [task] if task else []
    if answers and placement == "prompt":
        ends = [numbered(answers, comparison, evidence), instruction.strip(), request_again(prompt), *ends]
    if ends:
        # Two messages of the user in a row are refused by some chat templates.
        last = messages.pop() if messages[-1].role == "user" else Message("user", "")
        messages.append(replace(last, content="\n\n".join(filter(None, [last.content, *ends]))))
    return tuple(messages)


def unseen(message: Message) -> Message:
    """Return a message without its images, for a model that does not see: it says that there are some."""
    if not message.images:
        return message
    labels = " ".join(image.label for image in message.images)
    them = "this image" if len(message.images) == 1 else "these images"
    note = f"{labels}\n(You cannot see {them}. Do not guess what is to be seen there.)"
    return replace(message, content="\n\n".join(filter(None, [message.content, note])), images=())


def tools_as_text(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages with tool calls and their results as text, for a model that has no tools."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    plain: list[Message] = []
    for message in messages:
        if message.tool_calls:
            calls = [f"[call of the tool {call.name}: {call.arguments}]" for call in message.tool_calls]
            text = "\n".join([message.content, *calls] if message.content else calls)
            plain.append(Message("assistant", text))
        elif message.role == "tool":
            name = names.get(message.tool_call_id)
            text = f"[result of {f'the tool {name}' if name else 'a tool'}]\n{message.content}"
            if plain and plain[-1].role == "user":  # results of calls that were made together
                text = f"{plain[-1].content}\n\n{text}"
                plain.append(replace(plain.pop(), content=text))
            else:
                plain.append(Message("user", text))
        else:
            plain.append(message)
    return tuple(plain)


def mark_history(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages with a cache mark on the last one before the prompt, if there is one.

    Later requests of the conversation begin with the same messages up to that one.
    """
    if len(messages) < 2 or not messages[-2].content.strip():  # noqa: PLR2004 - one before the prompt
        return messages
    *before, last, prompt = messages
    return (*before, replace(last, cache_mark=True), prompt)


def cache_key(system: str | None, history: Sequence[Message], prompt: str, model: str) -> str:
    """Return 32 hex digits that are the same for all requests of a conversation to one model."""
    first = next((message.content for message in history if message.role == "user"), prompt)
    return hashlib.sha256(repr((system or "", first, model)).encode()).hexdigest()[:32]


CONTINUE = (
    "Your reply above is not complete. Write the rest of it: begin with the very next character after the "
    "last one above, repeat nothing, and do not mention the interruption."
)


def continue_reply(messages: tuple[Message, ...], partial_reply: str) -> tuple[Message, ...]:
    """Return the request for the rest of a reply that ends after `partial_reply`."""
    return (*messages, Message("assistant", partial_reply), Message("user", CONTINUE))


def correct_reply(messages: tuple[Message, ...], reply: str, problem: str) -> tuple[Message, ...]:
    """Return the request for another reply in the place of one that has this problem."""
    said = (Message("assistant", reply),) if reply.strip() else ()
    return (*messages, *said, Message("user", problem))


class ContinuationJoiner:
    """Joins the rest of a reply to `partial_reply`, without the end of it that the model repeats.

    The beginning of the rest is held back until it is long enough to recognise a repetition.
    """

    WINDOW = 400
    """Characters: the longest repetition that is recognised."""
    MIN_OVERLAP = 8
    """Characters: a shorter repetition may well be part of the text, unless it is of all that there is."""

    def __init__(self, partial_reply: str) -> None:
        self._partial_reply = partial_reply
        self._held: str | None = "" if partial_reply else None

    def feed(self, text: str) -> str:
        """Return the part of the rest that is certainly new, after a further piece of it."""
        if self._held is None:
            return text
        self._held += text
        return self.close() if len(self._held) >= self.WINDOW else ""

    def close(self) -> str:
        """Return what was held back, without what `partial_reply` ends with."""
        held, self._held = self._held or "", None
        least = min(self.MIN_OVERLAP, max(1, len(self._partial_reply)))
        for length in range(min(len(held), len(self._partial_reply)), least - 1, -1):
            if self._partial_reply.endswith(held[:length]):
                return held[length:]
        return held
