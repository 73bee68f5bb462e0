"""Which models are loaded: one process each, shared by all calls, unloaded when memory is short.

    acquire(name) ─► prepare: find, download and check the file ─► wait for processor cores
                  ─► its process, if it is loaded and idle
                     else a new one, once there is room: the longest idle models are unloaded
                     else wait until another model is idle

A model that would not fit even alone is refused. Free memory is measured each time, because other
programs use it too. For use from one event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bot.errors import MoaError
from bot.local.engine_process import EXTRA, EngineProcess, is_installed
from bot.local.gguf_header import ModelFile, read_model
from bot.local.model_files import HubFile, find_model_file, load_context
from bot.messages import Endpoint

SPARE = 256_000_000
"""Bytes of memory that are left to other programs."""
THREADS = 4
"""Processor cores for one running model; with fewer than twice as many, models run one at a time.

The engine's threads wait for one another at every step: more threads than cores slow all of them down.
"""
LONGEST_WAIT = 10.0
"""Seconds after which the next model no longer waits for one that answers at length, but runs beside it."""
_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many processor cores the engine may use: physical ones, as many as a container has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(ModuleNotFoundError):
        import psutil  # noqa: PLC0415 - an extra

        cores = min(cores, psutil.cpu_count(logical=False) or cores)
    with suppress(OSError, ValueError):
        # Microseconds of processor time in a period; "max" is no number, and no limit.
        quota, period = (_CGROUP / "cpu.max").read_text("ascii").split()
        cores = min(cores, -(-int(quota) // int(period)))
    return max(1, cores)


def available_memory() -> int | None:
    """Return the bytes that programs can still be given, the file cache counted as free.

    None without the package psutil, which the extra `local` brings.
    """
    try:
        import psutil  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        return None
    left: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        # A container may have less than the machine; "max" is no number, and no limit.
        limit = int((_CGROUP / "memory.max").read_text("ascii"))
        left = min(left, max(0, limit - int((_CGROUP / "memory.current").read_text("ascii"))))
    return left


class EngineCache:
    """The engine's processes. `folder` returns the models folder, `say` shows the user a line.

    `available` returns the bytes of free memory, None when unknown. `longest_wait` is how many seconds a
    model waits for the cores that another one uses.
    """

    def __init__(
        self,
        folder: Callable[[], Path | None],
        say: Callable[[str], None],
        available: Callable[[], int | None] = available_memory,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self._folder, self._say, self._available = folder, say, available
        cores = usable_cores()
        at_once = max(1, cores // THREADS)
        self._threads = cores // at_once
        self._cores = asyncio.Semaphore(at_once)
        self._longest_wait = longest_wait
        self._turns: dict[Path, asyncio.Lock] = {}
        self._changed = asyncio.Condition()
        self._prepared: dict[str, asyncio.Task[ModelFile]] = {}
        self._files: dict[Path, ModelFile] = {}
        self._engines: dict[Path, EngineProcess] = {}
        self._busy: set[Path] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the models that are loaded, the longest idle first."""
        return [engine.pid for engine in self._engines.values() if engine.alive]

    async def prepare(self, name: str) -> ModelFile:
        """Return the file of local:`name`, downloaded if necessary, and checked.

        MoaError, which names file and cause, when it cannot be downloaded or run.
        """
        task = self._prepared.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._prepared[name] = asyncio.create_task(asyncio.to_thread(self._find, name))
        # Several calls may wait for one file: it goes on when one of them is cancelled.
        file = await asyncio.shield(task)
        # One process for a file, by whatever name or link.
        return self._files.setdefault(file.path.resolve(), file)

    @asynccontextmanager
    async def acquire(self, name: str) -> AsyncGenerator[Endpoint, None]:
        """Load a model if necessary, and yield its service for one call; no other call uses it meanwhile.

        MoaError, which names file and cause, when it cannot be loaded.
        """
        file = await self.prepare(name)
        # The calls to one model wait for each other first, so that they keep no cores from another model.
        async with self._turns.setdefault(file.path, asyncio.Lock()), self._core_share() as begin:
            engine = await self._reserve(file)
            try:
                try:
                    endpoint = await asyncio.to_thread(engine.wait)
                except MoaError:
                    await self._unload(file.path)
                    raise
                begin()
                yield endpoint
            finally:
                await self._release(file.path)

    @asynccontextmanager
    async def _core_share(self) -> AsyncGenerator[Callable[[], None], None]:
        """Wait for processor cores; yields what is to be called when the model begins to answer.

        `longest_wait` seconds after that the next model no longer waits for this one.
        """
        await self._cores.acquire()
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._cores.release()

        def begin() -> None:
            nonlocal timer
            timer = loop.call_later(self._longest_wait, release)

        try:
            yield begin
        finally:
            if timer:
                timer.cancel()
            release()

    async def close(self) -> None:
        """End all processes; returns when they have ended."""
        self._closed = True
        engines = list(self._engines.values())
        self._engines.clear()
        await asyncio.gather(*(asyncio.to_thread(engine.stop) for engine in engines))

    def _find(self, name: str) -> ModelFile:
        """Find, download and check a file. Blocks."""
        if not is_installed():
            raise MoaError(f"local:{name}: the engine is not installed.", hint=f"Install it: {EXTRA}")
        found = find_model_file(name, self._folder())
        if isinstance(found, HubFile):
            from bot.local.hub import download  # noqa: PLC0415 - imports httpx

            found = download(found, self._say, stopped=lambda: self._closed)
        file = read_model(found)
        if file.no_chat:
            self._say(f"local:{name} is {file.no_chat}: its answers may make no sense.")
        return file

    async def _reserve(self, file: ModelFile) -> EngineProcess:
        """Return the model's process, started if necessary, and mark it as busy."""
        async with self._changed:
            while file.path in self._busy or not await self._load(file):
                await self._changed.wait()
            self._busy.add(file.path)
            return self._engines[file.path]

    async def _release(self, path: Path) -> None:
        async with self._changed:
            self._busy.discard(path)
            if engine := self._engines.pop(path, None):
                self._engines[path] = engine  # the last to go when room is made
            self._changed.notify_all()

    async def _load(self, file: ModelFile) -> bool:
        """Start the model's process unless it runs; false when there is no room for it yet."""
        engine = self._engines.get(file.path)
        if engine is not None and engine.alive:
            return True
        await self._unload(file.path)
        if self._closed:
            raise MoaError(f"{file.path}: the program is ending.")
        context = load_context(file)
        if not await self._make_room(file, file.memory(context)):
            return False
        self._engines[file.path] = EngineProcess(file, context, self._threads)
        return True

    async def _make_room(self, file: ModelFile, needed: int) -> bool:
        """Unload idle models until there is room; false when all that are left are busy."""
        while (room := self._free_memory()) is not None and needed > room:
            idle = next((path for path in self._engines if path not in self._busy), None)
            if idle is not None:
                await self._unload(idle)
            elif self._engines:
                return False
            else:
                raise MoaError(
                    f"{file.path}: too little memory: it needs about {needed / 1e9:.2f} GB,"
                    f" and {max(0, room) / 1e9:.2f} GB are free.",
                    hint="Close other programs, or use a smaller model, or a smaller quantisation.",
                )
        return True

    def _free_memory(self) -> int | None:
        """Return how many bytes another model may use, None when unknown.

        Weights are mapped from their files, so the system counts those of loaded models as free.
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
