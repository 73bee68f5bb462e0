"""What is opened as a whole and closed as a whole: a program, a workbench."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self


class Opening:
    """`async with` around `_open`, which puts into `_stack` whatever is to be closed, also when it fails."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def _open(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Open it; what was open when that fails is closed again."""
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything, the last thing first."""
        await self._stack.aclose()
