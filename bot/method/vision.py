"""Which models of a turn see its images, and what is said when some or all of them do not."""

from __future__ import annotations

from bot.errors import Failure, FailureKind
from bot.method.turn_context import TurnContext
from bot.text.names import short_name

HINT = 'name one that does, or set vision = true under [models."ID"] in config.toml'


def vision_of(turn_context: TurnContext, *, answering: bool) -> tuple[str, Failure | None]:
    """Return a notice about the models that do not see, "" where there are none; a failure if none sees.

    `answering`: the reference models are asked. A notice is given once.
    """
    plan = turn_context.plan
    agents = [agent for layer in plan.layers for agent in layer] if answering else []
    agents += [plan.judge] if plan.judge and plan.is_judged else []
    agents += plan.writers() if plan.is_written else []
    blind = [agent for agent in dict.fromkeys(agents) if not turn_context.models.sees(agent)]
    names = ", ".join(dict.fromkeys(short_name(agent.model) for agent in blind))
    if len(blind) == len(dict.fromkeys(agents)):
        message = f"no model of this mixture is known to see images: {names}"
        return "", Failure(FailureKind.ATTACHMENT, message, hint=HINT)
    verb = "is" if "," not in names else "are"
    notice = f"{names} cannot see images, and {verb} told that there is one." if blind else ""
    return notice if turn_context.is_new(notice) else "", None
