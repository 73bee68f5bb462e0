r"""Finds `@path` in a prompt: the files that a prompt names, and nothing that only looks like it.

    explain @src/app.py      compare @"a b.txt" with @my\ file.txt      what do @src/*.py and @~/notes say
    sum up @https://example.com/page

A name counts only where there is something of that name, be it a broken link; the address of a page always.
E-mail addresses and code in backticks are never names. `\@name` stays `@name`. Punctuation after a name does
not belong to it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import has_magic, iglob
from itertools import islice
from pathlib import Path

MAX_FILES = 100
"""Files that one pattern may attach."""
_ESCAPE = r"\\[^\n]|" if os.name == "posix" else ""
_PLAIN = rf"(?:{_ESCAPE}[^\s\"'`{chr(92) * 2 if os.name == 'posix' else ''}])"
BEFORE = r"(?<![0-9A-Za-z_.+%@/`-])"
"""What stands before the @: no word, as in an e-mail address, and no backtick, as in code."""
_MENTION = re.compile(rf"{BEFORE}(\\?)@(?:\"([^\"\n]+)\"|'([^'\n]+)'|({_PLAIN}+))")
TYPED = re.compile(rf"{BEFORE}(?<!\\)@(?:\"([^\"\n]*)|({_PLAIN}*\\?))\Z")
"""The name that is being typed at the end of a line: in quotation marks, or without."""
_CODE = re.compile(
    r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1|\Z)|(?<!`)(`+)(?!`)[^\n]*?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE
)
"""A fenced block, or code in backticks within a line."""
_END = re.compile(r"[.,;:!?)\]}>…]+\Z|[,;)\]}>、，。！？；：）】」』》].*\Z", re.DOTALL)


_ADDRESS = re.compile(r"https?://[^\s/]", re.IGNORECASE)
_URL_END = re.compile(r"[.,;:!?…]+\Z|[>、，。！？；：）】」』》].*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a prompt at `start` to `end`: its files; without any, a folder or (`page`) an address.

    An `escaped` one is only a word.
    """

    name: str
    start: int
    end: int
    files: tuple[Path, ...] = ()
    escaped: bool = False
    page: bool = False


def unescape(name: str) -> str:
    """Return a name without the backslashes that stand before blanks and other characters in it."""
    return re.sub(r"\\([^\n]?)", r"\1", name) if os.name == "posix" else name


def find_mentions(text: str) -> Iterator[Mention]:
    """Yield the names of files, folders and pages in `text`; of a pattern `MAX_FILES` + 1 files at most."""
    at, code = 0, [found.span() for found in _CODE.finditer(text)]
    while found := _MENTION.search(text, at):
        at = found.end()
        if any(start <= found.start() < end for start, end in code):
            continue
        group = next(number for number in (2, 3, 4) if found[number] is not None)
        if _ADDRESS.match(found[group]):
            url = found[group] if group != 4 else _url(found[group])  # noqa: PLR2004 - quoted
            at = found.start(group) + len(url) + (group != 4)  # noqa: PLR2004 - the closing quotation mark
            yield Mention(url, found.start(), at, escaped=bool(found[1]), page=True)
            continue
        for typed in _candidates(found[group]) if group == 4 else [found[group]]:  # noqa: PLR2004 - not quoted
            name = unescape(typed) if group == 4 else typed  # noqa: PLR2004 - as above
            files = _files(name)
            if files is None:
                continue
            at = found.start(group) + len(typed) + (group != 4)  # noqa: PLR2004 - the closing quotation mark
            yield Mention(name, found.start(), at, tuple(files), escaped=bool(found[1]))
            break


def _url(typed: str) -> str:
    """Return an address without the punctuation that follows it; brackets within it stay."""
    url = _URL_END.sub("", typed)
    while url.endswith((")", "]")) and url.count(url[-1]) > url.count("(" if url[-1] == ")" else "["):
        url = _URL_END.sub("", url[:-1])
    return url


def _candidates(typed: str) -> Iterator[str]:
    """Yield the name, then the shorter ones before punctuation that may follow it."""
    yield typed
    while found := _END.search(typed):
        if not (typed := typed[: found.start()]):
            return
        yield typed


def _is_there(path: Path) -> bool:
    """Whether there is something of that name; why it cannot be read is said when it is."""
    try:
        path.lstat()
    except PermissionError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _files(name: str) -> Sequence[Path] | None:
    """Return the files of a name or a pattern, () for a folder, None where there is nothing of that name."""
    try:
        path = Path(name).expanduser()
        if _is_there(path):
            return () if os.path.isdir(path) else (path,)  # noqa: PTH112 - Path.is_dir may raise
        if not has_magic(name):
            return None
        matches = (Path(each) for each in iglob(str(path), recursive=True))  # noqa: PTH207 - has ~ and ** as shells
        files = sorted(islice((match for match in matches if match.is_file()), MAX_FILES + 1))
    except (OSError, RuntimeError, ValueError, re.error):  # no such home; a NUL; a name that is too long
        return None
    return files or None
