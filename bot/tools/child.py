"""Runs one of this folder's scripts in a process of its own, which ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EXTRA = "pip install 'moa-bot[tools]'"


def is_installed(*modules: str) -> bool:
    """Whether modules are installed; those of the extra `tools` may not be."""
    return all(find_spec(module) is not None for module in modules)


async def run_script(name: str, request: dict[str, object], content: bytes = b"") -> dict[str, Any]:
    """Return what a script answers to a line of JSON and the bytes after it; {} when it ended without."""
    process = await asyncio.create_subprocess_exec(
        # -P keeps this folder off sys.path: the child imports nothing of the program.
        *(sys.executable, "-P", str(Path(__file__).with_name(name))),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # keeps the terminal's Ctrl-C away
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    try:
        output, _ = await process.communicate(json.dumps(request).encode() + b"\n" + content)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        answer = json.loads(output)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
