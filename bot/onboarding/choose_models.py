"""Lets a person choose a mixture from the models that a service lists.

For services that no built-in preset covers: those on this computer, and other people's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bot.onboarding.questions import Questions, UserCancelledError

SUGGESTED = 3
"""Reference models that are suggested; a single model is asked so often."""
SHOWN = 20
MAX_REPEATS = 64
"""The largest N of MODEL*N."""


class Choice(NamedTuple):
    """Reference models and aggregator, as the service names them; "MODEL*3" stands for three times.

    `cancelled` says that the user left before choosing the aggregator, which is then the default.
    """

    references: tuple[str, ...]
    aggregator: str
    cancelled: bool = False

    def options(self, endpoint: str) -> dict[str, object]:
        """Return it as options; each model names its endpoint, so that the default does not matter."""
        return {
            "aggregator": f"{endpoint}:{self.aggregator}",
            "reference_models": [f"{endpoint}:{model}" for model in self.references],
        }


def choose_models(questions: Questions, names: Sequence[str], likely: Sequence[str] = ()) -> Choice:
    """Return the user's choice; any name may be typed when `names` is empty, and `likely` are suggested.

    Raises UserCancelledError when nothing is chosen.
    """
    for number, name in enumerate(names[:SHOWN], start=1):
        questions.say(f"  {number:>2}  {name}")
    if len(names) > SHOWN:
        questions.say(f"      … and {len(names) - SHOWN} more: type a part of a name to see which.")
    first_ones = tuple((names or likely)[:SUGGESTED])
    suggested = (f"{first_ones[0]}*{SUGGESTED}",) if len(first_ones) == 1 else first_ones
    default = f" [{', '.join(suggested)}] (Enter chooses these)" if suggested else " (names, with commas)"
    references: tuple[str, ...] = ()
    while not references:
        answer = questions.ask(f"Which models should answer?{default}")
        if not answer and not suggested:
            raise UserCancelledError
        references = _parse(questions, names, answer) if answer else suggested
    first = references[0].partition("*")[0]
    while True:
        try:
            answer = questions.ask(f"Which one writes the reply from their answers? [{first}]")
        except UserCancelledError:
            return Choice(references, first, cancelled=True)
        chosen = _parse(questions, names, answer) if answer else (first,)
        if len(chosen) == 1 and "*" not in chosen[0]:
            return Choice(references, chosen[0])
        if chosen:
            questions.say("One model, please.")


def _parse(questions: Questions, names: Sequence[str], answer: str) -> tuple[str, ...]:
    """Return the models in an answer, by number, name or "NAME*2"; () after saying what is wrong."""
    models = []
    for item in filter(None, (part.strip() for part in answer.split(","))):
        name, star, times = item.partition("*")
        name = name.strip()
        if name.isdecimal() and 1 <= int(name) <= len(names):
            name = names[int(name) - 1]
        if star and not (times.strip().isdecimal() and 1 <= int(times) <= MAX_REPEATS):
            questions.say(f"{item}: after the * there has to be a number from 1 to {MAX_REPEATS}.")
            return ()
        if names and name not in names:
            similar = [known for known in names if name.casefold() in known.casefold()]
            questions.say(
                f"Models with {name} in their name: {', '.join(similar[:SHOWN])}"
                if similar
                else f"There is no model {name}."
            )
            return ()
        models.append(f"{name}*{times.strip()}" if star else name)
    return tuple(models)
