"""The events of a turn as they happen: models that finish, then the reply word by word."""

from bot import Mixture
from bot.events import CallFinished, ReplyDelta, RoundStarted, TurnFinished

with Mixture(demo=True, rounds=2) as moa:
    for event in moa.stream("Why do cats purr?"):
        match event:
            case RoundStarted():
                print(f"round {event.round} of {event.rounds}")
            case CallFinished() if event.call.slot.role == "reference":
                print(" ", event.call.slot.agent.model, "failed" if event.call.failure else "answered")
            case ReplyDelta():
                print(event.text, end="", flush=True)
            case TurnFinished():
                print(f"\n{event.result.status} after {event.result.seconds:.1f} s")
