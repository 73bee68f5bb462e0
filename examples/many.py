"""Many questions side by side: one mixture answers them all, each on its own."""

import asyncio

from bot import Mixture

PROMPTS = [f"What is {number} squared?" for number in range(5)]


async def main() -> None:
    async with Mixture(demo=True) as moa:
        results = await asyncio.gather(*(moa.aask(prompt) for prompt in PROMPTS))
    for prompt, result in zip(PROMPTS, results, strict=True):
        print(prompt, "→", len(result.reply), "characters,", result.usage.completion_tokens, "tokens")


asyncio.run(main())
