"""One question: the reply, and what each reference model said."""

from bot import Mixture
from bot.errors import MoaError

try:
    with Mixture(demo=True) as moa:
        result = moa.ask("How much is 12 * 12?")
except MoaError as error:
    raise SystemExit(f"{error.message}\n{error.hint}") from None

for call in result.rounds[-1]:
    said = call.failure or call.answer.splitlines()[0]
    print(f"{call.slot.agent.model}: {said}")
print()
print(result.reply)
