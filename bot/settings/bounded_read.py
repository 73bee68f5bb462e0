"""Reads a file whole, but never without end: not of a device, of a pipe that stays silent, or too much."""

from __future__ import annotations

import os
import select
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OPEN_SECONDS = 5.0
"""How long a named pipe may be without a program that writes to it."""
SILENT_SECONDS = 30.0
"""How long nothing may come from a pipe that a program holds open."""
TOTAL_SECONDS = 300.0
_CHUNK = 1 << 20
_STEP = 0.05
_UNREADABLE = {
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the file's bytes, `limit` at most; pipes are read to their end.

    OSError, with the reason as `strerror`, when it cannot be read, is larger, or is a socket or a
    device; also for a pipe into which nothing is written for too long.
    """
    try:
        kind = path.stat()
        if (why := _UNREADABLE.get(stat.S_IFMT(kind.st_mode))) and str(path) != os.devnull:
            raise OSError(0, why)
        too_large = OSError(0, f"larger than {limit // 1_000_000} MB")
        if kind.st_size > limit:
            raise too_large
        if os.name == "posix" and stat.S_ISFIFO(kind.st_mode):
            content = _read_pipe(path, limit)
        else:
            # /proc/kmsg and its like are files that wait for more at their end.
            with open(path, "rb", opener=_open_nonblocking) as file:
                content = file.read(limit + 1) or b""
    except ValueError as problem:  # such as a NUL character in its name
        raise OSError(0, str(problem)) from None
    if len(content) > limit:
        raise too_large
    return content


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_pipe(path: Path, limit: int) -> bytes:
    """Return what comes through a pipe until its writers close it, a little more than `limit` at most."""
    content = bytearray()
    start = last = time.monotonic()
    opened = False
    # To open a pipe that nobody writes to would wait without end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while len(content) <= limit:
            try:
                chunk = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                chunk, opened = None, True
            now = time.monotonic()
            if chunk:
                content += chunk
                last, opened = now, True
                continue
            if chunk == b"" and opened:
                break
            if now - last > (SILENT_SECONDS if opened else OPEN_SECONDS) or now - start > TOTAL_SECONDS:
                raise OSError(0, f"it is a pipe from which nothing came for {now - last:.0f} s")
            if opened:
                select.select([descriptor], [], [], _STEP)
            else:
                time.sleep(_STEP)
    finally:
        os.close(descriptor)
    return bytes(content)
