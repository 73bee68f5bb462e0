"""What a run may cost: a cap that holds, because money is set aside before a request is made.

What is set aside is the most that the request can cost (a high estimate of its prompt, and all of
its max_tokens); what it did cost takes its place when it is over. Prices are the catalogue's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.errors import MoaError
from bot.messages import Request, Usage
from bot.method.context import MESSAGE_TOKENS, estimate_tokens
from bot.text.numbers import money

Price = Callable[[Request, Usage], float | None]
"""US dollars of a call with this usage, None when its price or its tokens are unknown."""


class BudgetSpentError(MoaError):
    """What is left of the budget is too little for the next request."""


class Budget:
    """US dollars up to `cap` (None: no cap); `spent` is what has been paid already."""

    def __init__(self, price: Price, cap: float | None = None, spent: float = 0.0) -> None:
        self.price = price
        self.cap = cap
        self.spent = spent
        self._aside = 0.0
        self._changed = asyncio.Event()

    async def set_aside(self, request: Request) -> float:
        """Set the request's highest price aside, and return it; waits for others to settle if need be.

        Raises BudgetSpentError when it does not fit, MoaError when there is a cap and no price.
        """
        if self.cap is None:
            return 0.0
        most = highest_price(request, self.price)
        if most is None:
            raise MoaError(
                f"{request.model}: its price is not known, so no budget can be kept.",
                hint='Say it in config.toml ([models."ID"] input_price, output_price), or drop --max_cost.',
            )
        while self.spent + self._aside + most > self.cap:
            if self._aside <= 0:
                raise BudgetSpentError(
                    f"The budget of {money(self.cap)} is used up ({money(self.spent)} spent).",
                    hint="The same command with a higher --max_cost goes on from here.",
                )
            self._changed.clear()
            await self._changed.wait()
        self._aside += most
        return most

    def settle(self, aside: float, cost: float | None) -> None:
        """Take back what was set aside for a request that is over, and book what it cost."""
        # A price without its tokens is booked at its highest: a cap must hold.
        self.spent += aside if cost is None else cost
        self._aside = max(0.0, self._aside - aside)
        if self._aside < 1e-12:  # noqa: PLR2004 - what adding and taking away of floats leaves
            self._aside = 0.0
        self._changed.set()


def highest_price(request: Request, price: Price) -> float | None:
    """Return the most that a request can cost in US dollars, None when its price is unknown."""
    tokens = sum(estimate_tokens(message.content) + MESSAGE_TOKENS for message in request.messages)
    return price(request, Usage(tokens, request.max_tokens))
