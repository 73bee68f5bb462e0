"""Adds files and piped input to the words of a prompt: named by an option, or in the words as `@path`.

A text file and a PDF become text of the prompt; for an image the text has its label.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from bot.app.images import is_image, read_image
from bot.app.mentions import MAX_FILES, Mention, find_mentions
from bot.errors import UsageError
from bot.messages import Attachment, Image, image_attachment
from bot.method.context import estimate_tokens
from bot.settings.bounded_read import read_bounded
from bot.text.numbers import plural
from bot.text.sanitise import one_line
from bot.tool_use import ToolRun

Fetch = Callable[[str], Awaitable[ToolRun]]
"""Returns the readable text of the page at an address, or why there is none."""
MAX_BYTES = 16_000_000
_PDF = b"%PDF-"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's text with that of its files, what is attached, and what to say of names in the words."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file as it goes along: `block` is its part of the prompt's text, `size` its size in words."""

    attachment: Attachment
    block: str
    size: str

    def describe(self) -> str:
        """Return its name and sizes."""
        tokens = plural(self.attachment.tokens, "token")
        return f"{self.attachment.name} ({', '.join(filter(None, (self.size, f'about {tokens}')))})"


async def attach(
    words: str,
    files: Sequence[Path] = (),
    piped: str = "",
    *,
    mentions: bool = True,
    earlier: Sequence[Image] = (),
    fetch: Fetch | None = None,
) -> Prompt:
    """Return the prompt: the words, then what was piped in, then each file under its name.

    With `mentions`, files that the words name (`@path`) are attached too; one whose text follows already,
    in a prompt that is asked again, is not. Of the `earlier` images those whose label is in the words go
    along. `fetch` reads pages that the words name. Words by themselves stay as they are, line ends and all.
    UsageError for a file that cannot be attached; a file of a pattern is left out instead.
    """
    found = await asyncio.to_thread(lambda: list(find_mentions(words))) if mentions and "@" in words else []
    kept = [image for image in earlier if image.label in words]
    kept_names = {image.name for image in kept}
    attached = [AttachedFile(image_attachment(image), "", "") for image in kept]
    attached += [await read_file(path, path.name) for path in files]
    known = {_real(path) for path in files}
    named: list[AttachedFile] = []
    notices: list[str] = []
    for name, path, required in _files(found):
        if _real(path) in known or f"{_title(name)}\n```" in words or name in kept_names:
            continue
        known.add(_real(path))
        try:
            named.append(await read_file(path, name))
        except UsageError as problem:
            if required:
                raise
            notices.append(f"not attached: {problem.message.removesuffix('.')}")
    if fetch is not None:
        pages = dict.fromkeys(each.name for each in found if each.page and not each.escaped)
        new = [url for url in pages if f"{_title(url, 'Page')}\n```" not in words]
        named += [_page(url, await fetch(url)) for url in new]
    if named:
        notices.insert(0, f"attached: {', '.join(file.describe() for file in named)}")
    folders = [mention.name for mention in found if not (mention.files or mention.escaped or mention.page)]
    notices += [f"@{name} is a folder: @{name.rstrip('/')}/* attaches its files" for name in folders]
    attached += named
    attachments, said = tuple(file.attachment for file in attached), tuple(map(one_line, notices))
    words = _unescaped(words, found)
    blocks = [file.block for file in attached if file.block not in words]
    if not blocks and not piped.strip():
        return Prompt(words, attachments, said)
    parts = [words.strip("\r\n"), piped.strip("\r\n"), *blocks]
    return Prompt("\n\n".join(part for part in parts if part.strip()), attachments, said)


def words_of(prompt: str, attachments: Sequence[Attachment]) -> str:
    """Return a prompt without what `attach` has added to its words."""
    blocks = (
        (f"{_title(each.name)}\n", f"{_title(each.name, 'Page')}\n", f"[image: {each.name},")
        for each in attachments
    )
    ends = [at for block in blocks for start in block if (at := prompt.find(f"\n\n{start}")) > 0]
    return prompt[: min(ends)] if ends else prompt


async def read_file(path: Path, name: str) -> AttachedFile:
    """Return a file as it goes along with a prompt. UsageError when it cannot be attached."""
    raw = await asyncio.to_thread(_read, path)
    if is_image(raw):
        image = await asyncio.to_thread(read_image, raw, name)
        return AttachedFile(image_attachment(image), image.label, f"{image.width}x{image.height}")
    if raw.startswith(_PDF):
        text, pages = await _pdf_text(raw, name)
        file = _text_file(name, text, pages)
        return replace(file, attachment=replace(file.attachment, kind="pdf", bytes=len(raw)))
    text = _decoded(path, raw)
    lines = text.count("\n") + (not text.endswith("\n"))
    file = _text_file(name, text, plural(lines, "line") if text else "empty")
    return replace(file, attachment=replace(file.attachment, bytes=len(raw)))


def read_attachment(path: Path) -> str:
    """Return a text file's text; UsageError when it cannot be read, or is not text."""
    return _decoded(path, _read(path))


def _files(mentions: Sequence[Mention]) -> Iterator[tuple[str, Path, bool]]:
    """Yield the shown name and path of each file, and whether the words name this very file."""
    for mention in mentions:
        if len(mention.files) > MAX_FILES and not mention.escaped:
            raise UsageError(f"@{mention.name} names more than {plural(MAX_FILES, 'file')}.")
        for path in mention.files if not mention.escaped else ():
            # The name as it was typed, unless it is a pattern.
            is_named = path.name == Path(mention.name).name
            yield mention.name if is_named else str(path), path, is_named


def _real(path: Path) -> str:
    return os.path.realpath(path)  # Path.resolve raises for a link to itself


def _unescaped(words: str, mentions: Sequence[Mention]) -> str:
    for mention in reversed([each for each in mentions if each.escaped]):
        words = words[: mention.start] + words[mention.start + 1 :]
    return words


def _page(url: str, run: ToolRun) -> AttachedFile:
    if run.error:
        raise UsageError(f"{url}: {run.error}.")
    file = _text_file(url, run.text, "", what="Page")
    return replace(file, attachment=replace(file.attachment, kind="page", bytes=run.bytes))


def _text_file(name: str, text: str, size: str, what: str = "File") -> AttachedFile:
    fence = "```"
    while fence in text:
        fence += "`"
    block = f"{_title(name, what)}\n{fence}\n{text.rstrip()}\n{fence}"
    return AttachedFile(Attachment(name, "text", 0, estimate_tokens(text)), block, size)


def _title(name: str, what: str = "File") -> str:
    return f"{what} {name}:"


async def _pdf_text(raw: bytes, name: str) -> tuple[str, str]:
    """Return the text of a PDF, each page under its number, and how many pages. UsageError without text."""
    from bot.tools.document_text import MAX_PAGES, read_document  # noqa: PLC0415 - not on the way to the prompt

    if find_spec("pypdf") is None:
        raise UsageError(f"{name}: a library for PDFs is not installed.", hint="pip install 'moa-bot[files]'")
    document = await read_document("pdf", raw, url="")
    if document.error:
        raise UsageError(f"{name}: {document.error}.")
    if not document.text.strip():
        raise UsageError(f"{name}: a PDF without text, perhaps scanned.", hint="Attach its pages as images.")
    pages = plural(document.pages, "page")
    cut = document.pages > MAX_PAGES
    return document.text, f"the first {MAX_PAGES} of {pages}" if cut else pages


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}.") from None


def _decoded(path: Path, raw: bytes) -> str:
    kinds = "an image (PNG, JPEG, WebP, GIF) or a PDF"
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file in UTF-8, {kinds}.") from None
    if "\0" in text:
        raise UsageError(f"{path}: not a text file, {kinds}.")
    return text
