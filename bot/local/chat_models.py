"""A mixture out of the models that a service lists: a suggestion, and a person's choice.

For services that no preset of the program knows: those on this computer, and other people's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.onboarding.questions import Questions, Skipped

if TYPE_CHECKING:
    from bot.client.model_list import ListedModel

SUGGESTED = 3
"""Reference models that are suggested; a single model is asked so often."""
SHOWN = 20

# By their names, since most services do not tell: these answer no prompt.
_NO_CHAT = re.compile(
    r"embed|rerank|whisper|tts|dall-e|moderation|transcri|realtime|image|sora", re.IGNORECASE
)


class Choice(NamedTuple):
    """Who answers, and who writes the reply: names as the service has them, "MODEL*3" for three times."""

    references: tuple[str, ...]
    aggregator: str

    def preset(self, endpoint: str, description: str) -> dict[str, object]:
        """Return it as the table of a preset; each model says where it is, whatever the default is."""
        return {
            "description": description,
            "aggregator": f"{endpoint}:{self.aggregator}",
            "reference_models": [f"{endpoint}:{model}" for model in self.references],
        }


def usable(models: Iterable[ListedModel]) -> list[str]:
    """Return the names of the models that look as if they could hold a chat."""
    return [
        model.id
        for model in models
        if model.chats and not _NO_CHAT.search(model.id) and not {",", "*"}.intersection(model.id)
    ]


def suggest(names: Sequence[str]) -> tuple[str, ...]:
    """Return the reference models to begin with: the first few, or the only one several times."""
    if len(names) == 1:
        return (f"{names[0]}*{SUGGESTED}",)
    return tuple(names[:SUGGESTED])


def choose_mixture(questions: Questions, names: Sequence[str]) -> Choice:
    """Have a person choose among these models; with no names, any may be typed. Skipped if none is."""
    _show(questions, names)
    suggested = suggest(names)
    offer = f" [{', '.join(suggested)}]" if names else " (names, with commas between them)"
    references: tuple[str, ...] = ()
    while not references:
        answer = questions.ask(f"Which models shall answer?{offer}")
        if not answer and not names:
            raise Skipped
        references = _picked(questions, names, answer) if answer else suggested
    first = references[0].partition("*")[0]
    while True:
        answer = questions.ask(f"Which one writes the reply from their answers? [{first}]")
        picked = _picked(questions, names, answer) if answer else (first,)
        if len(picked) == 1 and "*" not in picked[0]:
            return Choice(references, picked[0])
        if picked:
            questions.say("One model, please.")


def _show(questions: Questions, names: Sequence[str]) -> None:
    for number, name in enumerate(names[:SHOWN], start=1):
        questions.say(f"  {number:>2}  {name}")
    if len(names) > SHOWN:
        questions.say(f"      … and {len(names) - SHOWN} more: type a part of a name to see which.")


def _picked(questions: Questions, names: Sequence[str], answer: str) -> tuple[str, ...]:
    """Return the models that an answer names, by number, name or "NAME*2"; () after saying why not."""
    picked = []
    for item in filter(None, (part.strip() for part in answer.split(","))):
        name, star, times = item.partition("*")
        name = name.strip()
        if name.isdecimal() and 1 <= int(name) <= len(names):
            name = names[int(name) - 1]
        if star and not (times.strip().isdecimal() and 1 <= int(times) <= 64):  # noqa: PLR2004 - as MODEL*N everywhere
            questions.say(f"{item}: a number from 1 to 64 belongs behind the *.")
            return ()
        if names and name not in names:
            near = [known for known in names if name.casefold() in known.casefold()]
            questions.say(
                f"Those with {name} in their name: {', '.join(near[:SHOWN])}"
                if near
                else f"There is no model {name}."
            )
            return ()
        picked.append(f"{name}*{times.strip()}" if star else name)
    return tuple(picked)
