"""The text of a page or PDF, read by `read_document.py` in a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

EXTRA = "pip install 'moa-bot[tools]'"

Kind = Literal["html", "pdf"]


@dataclass(frozen=True, slots=True)
class DocumentText:
    """A document's readable text and title; `error` says why it has none."""

    text: str = ""
    title: str = ""
    error: str = ""


def is_installed() -> bool:
    """Whether the libraries that read pages and PDFs are installed; they are in an extra."""
    return find_spec("trafilatura") is not None and find_spec("pypdf") is not None


async def read_document(kind: Kind, content: bytes, *, url: str, charset: str = "") -> DocumentText:
    """Return the text of a document. When this is cancelled, the process ends."""
    if not is_installed():
        return DocumentText(error=f"pages and PDFs cannot be read: {EXTRA}")
    process = await asyncio.create_subprocess_exec(
        # -P keeps this folder off sys.path: the child imports nothing of the program.
        *(sys.executable, "-P", str(Path(__file__).with_name("read_document.py"))),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # keeps the terminal's Ctrl-C away
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    request = json.dumps({"kind": kind, "url": url, "charset": charset}).encode() + b"\n"
    try:
        output, _ = await process.communicate(request + content)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        answer = json.loads(output)
    except ValueError:
        return DocumentText(error="cannot be read: its reader ended")
    return DocumentText(answer.get("text", ""), answer.get("title", ""), answer.get("error", ""))
