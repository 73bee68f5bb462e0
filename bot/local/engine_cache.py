"""Which models are loaded: one process each, shared by all calls, unloaded when memory is short.

    lease(name) ─► ready: found, fetched, looked through ─► a turn of the processor
                ─► its process, if there is one and nobody asks it
                   else a new one, once there is room: idle ones go, the longest idle first
                   else wait until another is idle

A model that would not fit even alone is refused. How much memory there is is asked anew each time:
other programs come and go. To be used from one event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bot.errors import MoaError
from bot.local import memory
from bot.local.engine_process import EXTRA, EngineProcess, installed
from bot.local.gguf import ModelFile, read_model
from bot.local.model_files import HubFile, context_for, find
from bot.messages import Endpoint

SPARE = 256_000_000
"""Bytes of memory that are left to others."""
THREADS = 4
"""Processor cores for one model at work; with fewer than twice as many, models take turns.

The engine's threads wait for one another by spinning: more of them than cores make all of them slow.
"""


class Engines:
    """The engine's processes. `folder` tells the folder of models, `say` tells the user a line.

    `available` returns the bytes of memory that are free, None when nobody knows.
    """

    def __init__(
        self,
        folder: Callable[[], Path | None],
        say: Callable[[str], None],
        available: Callable[[], int | None] = memory.available,
    ) -> None:
        self._folder, self._say, self._available = folder, say, available
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        at_once = max(1, cores // THREADS)
        self._threads = cores // at_once
        self._turns = asyncio.Semaphore(at_once)
        self._changed = asyncio.Condition()
        self._ready: dict[str, asyncio.Task[ModelFile]] = {}
        self._engines: dict[Path, EngineProcess] = {}
        self._busy: set[Path] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the models that are loaded, the longest idle first."""
        return [engine.pid for engine in self._engines.values() if engine.alive]

    async def ready(self, name: str) -> ModelFile:
        """Return the file of local:`name`, fetched if need be and looked through.

        MoaError, which names file and cause, when it cannot be had or cannot be run.
        """
        task = self._ready.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._ready[name] = asyncio.create_task(asyncio.to_thread(self._get, name))
        # Several calls wait for one file: it goes on when one of them is cut off.
        return await asyncio.shield(task)

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncGenerator[Endpoint, None]:
        """Have a model to oneself, loaded, for one call: its service.

        MoaError, which names file and cause, when it cannot be loaded.
        """
        file = await self.ready(name)
        async with self._turns:
            engine = await self._take(file)
            try:
                try:
                    endpoint = await asyncio.to_thread(engine.wait)
                except MoaError:
                    await self._unload(file.path)
                    raise
                yield endpoint
            finally:
                await self._give_back(file.path)

    async def close(self) -> None:
        """End all processes; returns when they are gone."""
        self._closed = True
        engines = list(self._engines.values())
        self._engines.clear()
        await asyncio.gather(*(asyncio.to_thread(engine.stop) for engine in engines))

    def _get(self, name: str) -> ModelFile:
        """Find, fetch and look through a file (in a thread: all of it blocks)."""
        from bot.local import hub

        if not installed():
            raise MoaError(f"local:{name}: the engine is not installed.", hint=f"Install it: {EXTRA}")
        found = find(name, self._folder())
        if isinstance(found, HubFile):
            found = hub.fetch(found, self._say, stopped=lambda: self._closed)
        return read_model(found)

    async def _take(self, file: ModelFile) -> EngineProcess:
        """Return the model's process, started if need be, and busy from now on."""
        async with self._changed:
            while file.path in self._busy or not await self._loaded(file):
                await self._changed.wait()
            self._busy.add(file.path)
            return self._engines[file.path]

    async def _give_back(self, path: Path) -> None:
        async with self._changed:
            self._busy.discard(path)
            if engine := self._engines.pop(path, None):
                self._engines[path] = engine  # the last to go when room is made
            self._changed.notify_all()

    async def _loaded(self, file: ModelFile) -> bool:
        """Make sure that the model's process runs; false when there is no room for it yet."""
        engine = self._engines.get(file.path)
        if engine is not None and engine.alive:
            return True
        await self._unload(file.path)
        if self._closed:
            raise MoaError(f"{file.path}: the program is leaving.")
        context = context_for(file)
        if not await self._make_room(file, file.memory(context)):
            return False
        self._engines[file.path] = EngineProcess(file, context, self._threads)
        return True

    async def _make_room(self, file: ModelFile, needed: int) -> bool:
        """Unload idle models until there is room; false while only busy ones are in the way."""
        while (room := self._room()) is not None and needed > room:
            idle = next((path for path in self._engines if path not in self._busy), None)
            if idle is not None:
                await self._unload(idle)
            elif self._engines:
                return False
            else:
                raise MoaError(
                    f"{file.path}: too little memory: it takes about {needed / 1e9:.2f} GB,"
                    f" and {max(0, room) / 1e9:.2f} GB are free.",
                    hint="Close other programs, or take a smaller model, or one quantised further.",
                )
        return True

    def _room(self) -> int | None:
        """Return how many bytes another model may take, None when nobody knows.

        Weights are mapped from their files, so the platform counts those of loaded models as free.
        """
        free = self._available()
        if free is None:
            return None
        loaded = [(engine.file, engine.context) for engine in self._engines.values()]
        return free - SPARE - sum(file.size for file, _ in loaded)

    async def _unload(self, path: Path) -> None:
        engine = self._engines.pop(path, None)
        if engine is not None:
            await asyncio.to_thread(engine.stop)
