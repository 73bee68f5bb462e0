"""Work that several calls of a turn want done, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Shared:
    task: asyncio.Task[Any]
    waiting: int = 0


class SharedTasks:
    """Tasks by their keys. One that nobody waits for any more is cancelled."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, _Shared] = {}

    async def get(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Return what `work` returns, which is begun only if no work has been begun under this key."""
        shared = self._tasks.get(key)
        if shared is None:
            shared = self._tasks[key] = _Shared(asyncio.create_task(work()))
        shared.waiting += 1
        try:
            result: _Result = await asyncio.shield(shared.task)
            return result
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                shared.task.cancel()
                del self._tasks[key]
