"""Splits piped bytes into prompts.

A line is a prompt; `\"\"\"` opens and closes a prompt of several lines; with `null`, prompts end with NUL
and may contain anything else. The last line need not end with a newline, and bytes that are not UTF-8
(such as half a character) become U+FFFD.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

QUOTES = '"""'


class PromptReader:
    """Takes bytes as they come, and yields the prompts that are complete."""

    def __init__(self, *, null: bool = False) -> None:
        self._null = null
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._pieces: list[str] = []
        self._block: list[str] | None = None

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the prompts that end in `chunk`."""
        yield from self._cut(self._decoder.decode(chunk))

    def close(self) -> Iterator[str]:
        """Yield the prompts that the end of input completes, including an open block."""
        yield from self._cut(self._decoder.decode(b"", final=True))
        rest = "".join(self._pieces)
        self._pieces.clear()
        if rest:
            yield from self._line(rest)
        if self._block is not None:
            block, self._block = "\n".join(self._block), None
            if block.strip():
                yield block

    def _cut(self, text: str) -> Iterator[str]:
        end = "\0" if self._null else "\n"
        while end in text:
            head, _, text = text.partition(end)
            line = "".join((*self._pieces, head))
            self._pieces.clear()
            yield from self._line(line)
        if text:
            self._pieces.append(text)

    def _line(self, line: str) -> Iterator[str]:
        if self._null:
            if line.strip():
                yield line
            return
        line = line.removesuffix("\r")
        if self._block is None:
            if not line.lstrip().startswith(QUOTES):
                if line.strip():
                    yield line
                return
            self._block = []
            line = line.lstrip().removeprefix(QUOTES)
            if not line.strip():
                return
        if not line.rstrip().endswith(QUOTES):
            self._block.append(line)
            return
        last = line.rstrip().removesuffix(QUOTES)
        block, self._block = "\n".join((*self._block, last) if last.strip() else self._block), None
        if block.strip():
            yield block
