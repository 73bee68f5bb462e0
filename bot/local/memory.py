"""How much memory is free for models."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Return the bytes that programs can still be given, the file cache counted as free.

    None without the package psutil, which the extra `local` brings.
    """
    try:
        import psutil
    except ModuleNotFoundError:
        return None
    left: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        # A container may have less than the machine; "max" is no number, and no limit.
        limit = int((_CGROUP / "memory.max").read_text("ascii"))
        left = min(left, max(0, limit - int((_CGROUP / "memory.current").read_text("ascii"))))
    return left
