"""How piped bytes become prompts."""

from __future__ import annotations

import pytest

from bot.cli.prompt_reader import PromptReader


def read(data: bytes, size: int, *, null: bool = False) -> list[str]:
    reader = PromptReader(null=null)
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    return [prompt for chunk in chunks for prompt in reader.feed(chunk)] + list(reader.close())


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize(
    ("data", "prompts"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\n\r\n  \ntwo\r\n", ["one", "two"]),
        (b"", []),
        (b"\n\n", []),
        (b'"""\na\nb\n"""\nc\n', ["a\nb", "c"]),
        (b'"""a\n\nb"""\nc\n', ["a\n\nb", "c"]),
        (b'"""a b"""\n', ["a b"]),
        (b'"""\nnever closed\n', ["never closed"]),
        (b'say """ here\n', ['say """ here']),
        ("héllo\n".encode(), ["héllo"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        (b"cut \xc3", ["cut \ufffd"]),
    ],
)
def test_lines_and_blocks(data: bytes, prompts: list[str], size: int) -> None:
    """A line is a prompt, three quotes make one of several lines, and cuts do not matter."""
    assert read(data, size) == prompts


@pytest.mark.parametrize("size", [1, 10_000])
def test_nul_ends_a_prompt(size: int) -> None:
    """With NUL as the end, a prompt may hold lines and quotes."""
    assert read(b'one\ntwo\0"""three"""\0four', size, null=True) == ["one\ntwo", '"""three"""', "four"]


def test_a_megabyte_line() -> None:
    """A prompt of a megabyte is one prompt."""
    assert read(b"x" * 2**20 + b"\n", 65536) == ["x" * 2**20]
