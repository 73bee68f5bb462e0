"""The program of a process that turns one page or PDF into text; what it reads may be hostile.

    stdin:   a line of JSON {"kind": "html" | "pdf", "url": …, "charset": …}, then the document's bytes
    stdout:  JSON {"title": …, "text": …, "pages": …} or {"error": …}

In a process of its own it can be ended in the middle, and has a limit of memory; the libraries, which take
0.3 s to import, are not in the main process. Imports nothing of the program.
"""

import io
import json
import sys
from typing import Any

_MEMORY = 2 * 2**30
_PAGES = 200  # as in document_text.py


def main() -> None:
    """Read one document and print its text."""
    _limit_memory()
    request = json.loads(sys.stdin.buffer.readline())
    content = sys.stdin.buffer.read()
    try:
        answer = _read_pdf(content) if request["kind"] == "pdf" else _read_page(content, request)
    except Exception as problem:  # noqa: BLE001 - whatever a library raises on a broken document
        answer = {"error": _reason(problem, request["kind"])}
    sys.stdout.buffer.write(json.dumps(answer).encode())


def _reason(problem: Exception, kind: str) -> str:
    """Return what keeps a document from being read, in a reader's words where they are known."""
    names = {base.__name__ for base in type(problem).__mro__}
    if names & {"FileNotDecryptedError", "DependencyError"}:
        return "it is encrypted, and needs a password"
    if isinstance(problem, MemoryError):
        return "it is too large to be read"
    if kind == "pdf":
        return f"a damaged PDF, which cannot be read ({type(problem).__name__})"
    return f"cannot be read: {type(problem).__name__}"


def _limit_memory() -> None:
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    except (ValueError, OSError):  # macOS does not know it
        return


def _read_page(content: bytes, request: dict[str, Any]) -> dict[str, Any]:
    import trafilatura  # noqa: PLC0415 - takes 0.3 s; a PDF goes without it

    page: bytes | str = content
    if request.get("charset"):
        try:
            page = content.decode(request["charset"], "replace")
        except LookupError:
            page = content
    tree = trafilatura.load_html(page)
    if tree is None:
        return {"title": "", "text": ""}
    title = trafilatura.extract_metadata(tree).title or ""
    text = (
        trafilatura.extract(tree, url=request.get("url"), output_format="markdown", favor_recall=True) or ""
    )
    if len(text.split()) < 20:  # noqa: PLR2004 - a list, a form: the readable part was not found
        text = trafilatura.html2txt(page) or text
    return {"title": title, "text": text}


def _read_pdf(content: bytes) -> dict[str, Any]:
    import pypdf  # noqa: PLC0415 - takes 0.2 s; a page goes without it

    reader = pypdf.PdfReader(io.BytesIO(content))
    texts = (page.extract_text() for page, _ in zip(reader.pages, range(_PAGES), strict=False))
    pages = [f"[page {number}]\n{text}" if text.strip() else "" for number, text in enumerate(texts, 1)]
    if not any(pages):
        return {"title": "", "text": "", "pages": len(reader.pages)}
    pages = [page for page in pages if page]
    title = (reader.metadata.title if reader.metadata else "") or ""
    more = len(reader.pages) - _PAGES
    if more > 0:
        pages.append(f"({more} more pages)")
    return {"title": title, "text": "\n\n".join(pages), "pages": len(reader.pages)}


if __name__ == "__main__":
    main()
