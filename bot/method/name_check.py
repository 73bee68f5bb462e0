"""The check of the models' names before the first round, which the user need not wait for."""

from __future__ import annotations

import asyncio

from bot.errors import Failure
from bot.method.fan_out import CancelToken
from bot.method.turn_context import CheckNames, TurnContext


async def checked_names(
    turn_context: TurnContext, check_names: CheckNames | None, cancel_token: CancelToken
) -> tuple[tuple[str, ...], Failure | None]:
    """Return what is to be said about the names of models; nothing when the user does not wait for it."""
    if check_names is None:
        return (), None
    checking = asyncio.ensure_future(check_names(turn_context.plan, vision=bool(turn_context.images)))
    stopping = asyncio.ensure_future(cancel_token.wait())
    try:
        await asyncio.wait({checking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return checking.result() if checking.done() else ((), None)
    finally:
        checking.cancel()
        stopping.cancel()
