"""The demonstration aggregator: reads the references it was given and writes one reply out of them.

It merges the points of all answers, puts first what several of them say, and keeps questions for
the end. It weighs by counting; a language model would judge. It sees only what the request holds.
"""

from __future__ import annotations

from typing import Final

from bot.demo.chat_reader import Reading, quoted
from bot.demo.exact import exact_facts
from bot.demo.models import REFERENCE_PROGRAMS
from bot.demo.points import NOT_A_MODEL, Point, merge

_SHARED: Final = 4
_SINGLE: Final = 5
_OPEN: Final = 3
_POINT: Final = 220
_TITLE_WORDS: Final = 12


def aggregate(reading: Reading) -> str:
    """One Markdown reply from the answers in the chat; without any, from the prompt alone."""
    answers = reading.references
    if not answers:
        return _alone(reading)
    points = merge(answers)
    questions = [point for point in points if point.text.rstrip("*_”\"'").endswith("?")]
    claims = [point for point in points if point not in questions]
    shared = sorted((p for p in claims if len(p.answers) > 1), key=lambda point: -len(point.answers))
    single = _taking_turns([point for point in claims if len(point.answers) == 1], len(answers))
    many = "one answer" if len(answers) == 1 else f"{len(answers)} answers"
    parts = [
        f"*Put together from {many} by a demonstration program, {NOT_A_MODEL}.*",
        f"## {_title(reading.prompt)}",
        _opening(reading),
    ]
    if shared:
        said = [f"- {_cut(p.text)} *({len(p.answers)} of {len(answers)} say so)*" for p in shared[:_SHARED]]
        parts += ["### Common ground", "\n".join(said)]
    if single:
        heading = "What else belongs to it" if shared else "The main points"
        parts += [f"### {heading}", "\n".join(f"- {_cut(point.text)}" for point in single[:_SINGLE])]
    if questions:
        questions.sort(key=lambda point: -len(point.answers))
        parts += ["### Left open", "\n".join(f"- {_cut(point.text)}" for point in questions[:_OPEN])]
    if not points:
        parts.append("The answers hold no sentence that could be taken up.")
    return "\n\n".join(parts)


def _opening(reading: Reading) -> str:
    sentences = [f"The request is about {reading.term(0)} and {reading.term(1)}."]
    if reading.earlier:
        nth = len(reading.earlier) + 1
        sentences.append(
            f"It is prompt {nth} of this conversation; before it you asked {quoted(reading.earlier[-1])}."
        )
    if reading.system:
        sentences.append(f"The system prompt, {quoted(reading.system)}, was read too.")
    facts = [fact for fact in exact_facts(reading.prompt) if " = " in fact]
    if facts:
        sentences.append(f"Computed: **{'; '.join(facts[:3])}**.")
    return " ".join(sentences)


def _taking_turns(points: list[Point], answers: int) -> list[Point]:
    """Points that one answer alone makes, one from each answer in turn, so that all are heard."""
    queues = [[point for point in points if number in point.answers] for number in range(answers)]
    turns = range(max(map(len, queues), default=0))
    return [queue[turn] for turn in turns for queue in queues if turn < len(queue)]


def _title(prompt: str) -> str:
    words = prompt[:400].replace("`", "'").replace("#", "").split()
    title = " ".join(words[:_TITLE_WORDS])[:80].rstrip(" .,;:!")
    return title + (" …" if len(words) > _TITLE_WORDS else "") or "Nothing was asked"


def _cut(text: str) -> str:
    """Shorten a point for a list; a cut one loses its emphasis, whose end may have been cut off."""
    if len(text) <= _POINT:
        return text
    return text[:_POINT].rsplit(" ", 1)[0].replace("*", "").replace("`", "") + " …"


def _alone(reading: Reading) -> str:
    steps = REFERENCE_PROGRAMS["demo/planner"](reading)
    return (
        f"*Written by a demonstration program, {NOT_A_MODEL}; no answers were given to it.*\n\n"
        f"## {_title(reading.prompt)}\n\n{_opening(reading)}\n\n{steps.replace('## ', '### ', 1)}"
    )
