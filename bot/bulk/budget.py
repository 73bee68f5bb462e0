"""What a run may cost: a cap that holds, because money is reserved before a request is made.

What is reserved is the most that the request can cost (a high estimate of its prompt, and all of its
max_tokens); what it did cost takes its place when it is over. Prices are the catalogue's.
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
    """The remaining budget does not cover the next request."""


class Budget:
    """US dollars up to `cap` (None: no cap); `spent` is what has been paid already."""

    def __init__(self, price: Price, cap: float | None = None, spent: float = 0.0) -> None:
        self.price = price
        self.spent = spent
        self._cap = cap
        self._reserved: dict[object, float] = {}
        self._settled = asyncio.Event()

    async def reserve(self, request: Request) -> object:
        """Reserve the request's highest price, waiting for others to settle if need be; returns a token.

        Raises BudgetSpentError when it does not fit, MoaError when there is a cap and no price.
        """
        token = object()
        if self._cap is None:
            return token
        tokens = sum(estimate_tokens(message.content) + MESSAGE_TOKENS for message in request.messages)
        highest = self.price(request, Usage(tokens, request.max_tokens))
        if highest is None:
            raise MoaError(
                f"{request.model}: its price is not known, so no budget can be kept.",
                hint='Set it in config.toml ([models."ID"] input_price, output_price), or drop --max_cost.',
            )
        while self.spent + sum(self._reserved.values()) + highest > self._cap:
            if not self._reserved:
                raise BudgetSpentError(
                    f"The budget of {money(self._cap)} is used up ({money(self.spent)} spent).",
                    hint="The same command with a higher --max_cost goes on from here.",
                )
            self._settled.clear()
            await self._settled.wait()
        self._reserved[token] = highest
        return token

    def settle(self, token: object, cost: float | None) -> None:
        """Release the reservation of a request that is over, and book what it cost."""
        highest = self._reserved.pop(token, 0.0)
        # A price without its tokens is booked at its highest: a cap must hold.
        self.spent += highest if cost is None else cost
        self._settled.set()
