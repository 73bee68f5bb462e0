"""How much of what a turn repeats stands where a service's prefix cache finds it, and what that saves.

    python tests/bench/cache.py [--turns 8] [--data FOLDER] [--local MODEL.gguf]

A cache serves a request as far as it begins like an earlier one to the same model. For each role and
both placements: of the characters that were sent to the model before (system prompt, conversation,
and for a second round the round before), the share within that common beginning. Below it the price of
conversations with the preset `default`, with and without a file in the first prompt, tokens counted as a
quarter of the characters, at the shipped prices. The conversations are made of recorded questions and
answers; no service is asked.

With `--local`, a real model in the engine inside answers eight turns, once for each placement: prompt
tokens evaluated and seconds to the first token, turn by turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "support")]

from fake_models import FakeModels, layers, make_plan  # noqa: E402 - its place is known only now

from bot.api import library  # noqa: E402
from bot.app.load_settings import load_settings  # noqa: E402
from bot.app.make_plan import make_plan as plan_of  # noqa: E402
from bot.events import TurnFinished  # noqa: E402
from bot.messages import CallUpdate, Completion, Message, Request, Usage  # noqa: E402
from bot.method.mixture import Mixture  # noqa: E402
from bot.method.plan import Plan  # noqa: E402
from bot.method.prompts import Placement  # noqa: E402
from bot.settings.catalogue import Catalogue  # noqa: E402

SYSTEM = "You are a careful assistant. Answer in the language of the question, and say when you are unsure."
PLACEMENTS: tuple[Placement, ...] = ("prompt", "system")
CHARACTERS_PER_TOKEN = 4
INSTRUCTION = (HERE.parents[1] / "config" / "aggregate.md").read_text(encoding="utf-8").strip()
QUESTIONS = (
    "What is a prefix cache?", "Why do they help?", "Name three services that have one.", "And on mine?",
    "How do I notice that it works?", "What breaks it?", "Can it be wrong?", "Sum up in one sentence.",
)  # fmt: skip


class Service:
    """Answers from the recorded ones, and measures each request against all earlier ones to its model."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows, self.turn = rows, 0
        self.seen: dict[str, list[str]] = {}
        self.names: dict[str, str] = {}
        self.shares: dict[str, list[tuple[int, int, int]]] = {"reference": [], "aggregator": []}
        self.tokens: list[tuple[str, Usage]] = []

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        text = "".join(f"<|{message.role}|>{message.content}" for message in request.messages)
        earlier = self.seen.setdefault(request.model, [])
        cached = max((common_prefix(text, other) for other in earlier), default=0)
        if earlier:
            role = "aggregator" if request.model == "judge" else "reference"
            before = "\0".join(earlier)
            again = [part for part in parts(request) if part in before]
            instruction = sum(len(part) for part in again if part == INSTRUCTION)
            repeated = sum(map(len, again))
            self.shares[role].append((min(cached, repeated), repeated, instruction))
        earlier.append(text)
        outputs = self.rows[self.turn]["outputs"]
        name = self.names.setdefault(request.model, sorted(outputs)[len(self.names) % len(outputs)])
        reply = outputs[name]
        usage = Usage(tokens(text), tokens(reply), cached_tokens=cached // CHARACTERS_PER_TOKEN)
        self.tokens.append((request.model, usage))
        yield Completion(reply, usage=usage, finish_reason="stop")


def parts(request: Request) -> list[str]:
    """The parts of a request that may have been sent before: messages, and the instruction in one."""
    found = []
    for message in request.messages:
        *_, rest = message.content.partition(INSTRUCTION)
        found += [INSTRUCTION] if rest != "" or message.content.endswith(INSTRUCTION) else []
        found.append(message.content.partition("\n\n<answer 1 of")[0].partition(INSTRUCTION)[0].strip())
    return [part for part in found if part]


def tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def common_prefix(one: str, other: str) -> int:
    """Return the length of what both texts begin with."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


async def converse(plan: Plan, service: Service, turns: int) -> None:
    """Hold a conversation of recorded questions and replies."""
    mixture = Mixture(plan, service, FakeModels())
    history: list[Message] = []
    for service.turn in range(turns):
        prompt = service.rows[service.turn]["instruction"]
        async for event in mixture.run(history, prompt, None):
            if isinstance(event, TurnFinished):
                history += [Message("user", prompt), Message("assistant", event.result.reply)]


def shares(rows: Sequence[dict[str, Any]], turns: int) -> None:
    """Print the share of repeated characters in place, by role and placement."""
    print(
        f"{'repeated characters in place':32}{'reference':>12}{'aggregator':>12}   (without the instruction)"
    )
    for placement in PLACEMENTS:
        service = Service(rows)
        plan = make_plan(
            layers("a", "b", "c", rounds=2), system=SYSTEM, instruction=INSTRUCTION, placement=placement
        )
        asyncio.run(converse(plan, service, turns))
        found = []
        for each in service.shares.values():
            in_place, repeated, instruction = (sum(column) for column in zip(*each, strict=True))
            found += [(in_place / repeated, min(1.0, in_place / (repeated - instruction)))]
        columns = "".join(f"{share:12.3f}" for share, _ in found) + "".join(
            f"{share:9.3f}" for _, share in found
        )
        print(f"  --placement {placement:18}{columns}")


def dollars(rows: Sequence[dict[str, Any]], turns: int, document: str) -> None:
    """Print what a conversation with the preset `default` costs, by the shipped prices.

    `document` stands in its first prompt, as an attached file does.
    """
    rows = [{**rows[0], "instruction": rows[0]["instruction"] + document}, *rows[1:]]
    totals = {}
    for placement in PLACEMENTS:
        settings = load_settings({"preset": "default", "rounds": 2, "placement": placement, "system": SYSTEM})
        service = Service(rows)
        asyncio.run(converse(plan_of(settings), service, turns))

        def total(usages: Iterable[tuple[str, Usage]], catalogue: Catalogue = settings.catalogue) -> float:
            costs = [catalogue.prices(model, "together").cost(usage) for model, usage in usages]
            return sum(cost for cost in costs if cost is not None)

        answers = total((model, Usage(0, used.completion_tokens)) for model, used in service.tokens)
        uncached = total(
            (model, Usage(used.prompt_tokens, used.completion_tokens)) for model, used in service.tokens
        )
        totals[placement] = total(service.tokens)
        figures = f"{totals[placement]:9.3f}{answers:13.3f}{uncached:15.3f}"
        print(f"  {turns:5}{len(document):12,}  {placement:10}{figures}")
    print(f"{'prompt over system':>30}{totals['prompt'] / totals['system']:9.2f}")


async def with_a_model(file: Path, placement: Placement, turns: int) -> None:
    """Hold a conversation with a real model in the engine inside."""
    print(f"\n{file.name}, --placement {placement}")
    print(f"{'turn':>6}{'prompt tokens':>15}{'evaluated':>11}{'first token':>13}")
    options: dict[str, Any] = {
        "local": True, "models_dir": file.parent, "reference_models": f"{file.name}*3", "rounds": 2,
        "aggregator": file.name, "max_tokens": 64, "placement": placement, "temperature": 0.0, "save": False,
    }  # fmt: skip
    async with library.Mixture(**options) as mixture:
        chat = mixture.chat()
        for number, question in enumerate(QUESTIONS[:turns], 1):
            result = await chat.aask(question)
            usages = [call.completion.usage for call in result.calls if call.completion]
            sent = sum(usage.prompt_tokens or 0 for usage in usages)
            read = sent - sum(usage.cached_tokens or 0 for usage in usages)
            print(f"{number:6}{sent:15,}{read:11,}{result.first_token or 0:11.1f} s", flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--local", type=Path, help="a GGUF file: measure a real model as well")
    arguments = parser.parse_args()
    file = arguments.data / "alpaca_eval" / "recorded_answers.jsonl.gz"
    if not file.exists():
        print("skipped: there are no recorded answers beside the checkout (--data FOLDER)")
        return 0
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(max(arguments.turns, 30)), lines, strict=False)]
    with tempfile.TemporaryDirectory() as home:
        os.environ["MOA_BOT_HOME"] = home
        shares(rows, arguments.turns)
        print("\ndollars, preset default in two rounds: five references and an aggregator")
        print("  turns  characters  placement    total  for answers  without cache")
        print("         of a file")
        for turns, document in ((10, 0), (30, 0), (10, 20_000), (10, 60_000)):
            dollars(rows, turns, "word " * (document // 5))
        if arguments.local:
            for placement in PLACEMENTS:
                asyncio.run(with_a_model(arguments.local.absolute(), placement, arguments.turns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
