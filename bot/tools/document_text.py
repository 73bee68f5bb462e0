"""The text of a page or PDF, read by `read_document.py` in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.tools.child import EXTRA, is_installed, run_script

Kind = Literal["html", "pdf"]
MAX_PAGES = 200
"""Pages of a PDF that are read."""


@dataclass(frozen=True, slots=True)
class DocumentText:
    """A document's readable text and title, and the pages that a PDF has; `error` says why it has none."""

    text: str = ""
    title: str = ""
    error: str = ""
    pages: int = 0


async def read_document(kind: Kind, content: bytes, *, url: str, charset: str = "") -> DocumentText:
    """Return the text of a document. When this is cancelled, the process ends."""
    if not is_installed("pypdf" if kind == "pdf" else "trafilatura"):
        return DocumentText(error=f"pages and PDFs cannot be read: {EXTRA}")
    answer = await run_script("read_document.py", {"kind": kind, "url": url, "charset": charset}, content)
    if not answer:
        return DocumentText(error="cannot be read: its reader ended")
    return DocumentText(
        answer.get("text", ""), answer.get("title", ""), answer.get("error", ""), answer.get("pages", 0)
    )
