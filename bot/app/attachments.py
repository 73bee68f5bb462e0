"""Adds files and piped input to the words of a prompt: named by an option, or in the words as `@path`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.app.mentions import find_mentions
from bot.errors import UsageError
from bot.messages import Attachment
from bot.method.context import estimate_tokens
from bot.settings.bounded_read import read_bounded
from bot.text.numbers import plural
from bot.text.sanitise import one_line

MAX_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's text with that of its files, what is attached, and what to say of names in the words."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    notices: tuple[str, ...] = ()


def read_attachment(path: Path) -> str:
    """Return a text file's text; UsageError when it cannot be read, or is not text."""
    return _decoded(path, _read(path))


def attach(words: str, files: Sequence[Path] = (), piped: str = "", *, mentions: bool = True) -> Prompt:
    """Return the prompt: the words, then what was piped in, then each file under its name.

    With `mentions`, files that the words name (`@path`) are attached too; one whose text follows already,
    in a prompt that is asked again, is not. Words by themselves stay as they are, line ends and all.
    UsageError for a file that cannot be attached; of a pattern with several files, it is left out.
    """
    named, notices = _Named(words), []
    if mentions:
        named.find()
    read = [_read_file(path, path.name) for path in files]
    known = {path.resolve() for path in files}
    found: list[_File] = []
    for name, path, required in named.files:
        if path.resolve() in known or f"{_title(name)}\n```" in words:
            continue
        known.add(path.resolve())
        try:
            found.append(_read_file(path, name))
        except UsageError as problem:
            if required:
                raise
            notices.append(f"not attached: {problem.message.removesuffix('.')}")
    if found:
        notices.insert(0, f"attached: {', '.join(describe(file.attachment) for file in found)}")
    notices += [f"@{name} is a folder: @{name.rstrip('/')}/* attaches its files" for name in named.folders]
    read += found
    attachments = tuple(file.attachment for file in read)
    said = tuple(map(one_line, notices))
    if not read and not piped.strip():
        return Prompt(named.words, (), said)
    parts = [named.words.strip("\r\n"), piped.strip("\r\n"), *(file.block for file in read)]
    return Prompt("\n\n".join(part for part in parts if part.strip()), attachments, said)


def describe(attachment: Attachment) -> str:
    """Return an attachment's name and size."""
    return f"{attachment.name} (about {plural(attachment.tokens, 'token')})"


class _Named:
    """The files and folders that the words of a prompt name, and the words without escaped names."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.files: list[tuple[str, Path, bool]] = []
        self.folders: list[str] = []

    def find(self) -> None:
        """Find them. `files` are shown name, path, and whether the words name this very file."""
        words, at = "", 0
        for mention in find_mentions(self.words):
            words += self.words[at : mention.start]
            words += self.words[mention.start + mention.escaped : mention.end]
            at = mention.end
            if mention.escaped:
                continue
            if not mention.files:
                self.folders.append(mention.name)
            several = len(mention.files) > 1
            self.files += [
                (str(path) if several else mention.name, path, not several) for path in mention.files
            ]
        self.words = words + self.words[at:]


@dataclass(frozen=True, slots=True)
class _File:
    attachment: Attachment
    block: str


def _read_file(path: Path, name: str) -> _File:
    """Return a file as it goes along with a prompt. UsageError when it cannot be attached."""
    raw = _read(path)
    text = _decoded(path, raw)
    fence = "```"
    while fence in text:
        fence += "`"
    block = f"{_title(name)}\n{fence}\n{text.rstrip()}\n{fence}"
    return _File(Attachment(name, "text", len(raw), estimate_tokens(block)), block)


def _title(name: str) -> str:
    return f"File {name}:"


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}.") from None


def _decoded(path: Path, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file in UTF-8.") from None
    if "\0" in text:
        raise UsageError(f"{path}: not a text file.")
    return text
