"""How much memory is left for models, as the platform says it; nothing is measured or reserved."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Return the bytes that programs can still be given, files in the cache counted as free.

    None where the platform does not say.
    """
    if sys.platform == "win32":
        return _windows()
    if _MEMINFO.exists():
        return _linux()
    with suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(ValueError, OSError, AttributeError):
        # macOS says only what there is in all; about half of it is other programs'.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


def _linux() -> int | None:
    left: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = _MEMINFO.read_text("ascii").splitlines()
        left.extend(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    with suppress(OSError, ValueError):
        # A container may have less than the machine; "max" is no number, and no limit.
        limit = int((_GROUP / "memory.max").read_text("ascii"))
        left.append(max(0, limit - int((_GROUP / "memory.current").read_text("ascii"))))
    return min(left, default=None)


def _windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("all", "free", "pages", "free_pages")),
            *((name, ctypes.c_ulonglong) for name in ("space", "free_space", "extended")),
        )

    status = Status(ctypes.sizeof(Status))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - only Windows has it, and mypy looks for it
    return int(status.free) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None
