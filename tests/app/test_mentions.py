"""`@path` in a prompt: which words name files, what is attached, and what stays as it was typed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bot.app.attachments import Prompt
from bot.app.attachments import attach as attach_files
from bot.app.mentions import MAX_FILES
from bot.errors import UsageError
from bot.tool_use import ToolRun

_FILES = {
    "a.py": "A",
    "src/b.py": "B",
    "src/c.py": "C",
    "src/deep/d.py": "D",
    "my file.txt": "BLANK",
    "it's.txt": "QUOTE",
    "笔记.txt": "CHINESE",
    "pytest": "TOOL",
    "x@y.org": "MAIL",
    "odd[1].txt": "BRACKETS",
    "home/notes": "HOME",
    "Makefile": "MAKE",
}
_POSIX = pytest.mark.skipif(os.name != "posix", reason="a backslash is part of a path on Windows")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in _FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "src/e.pyc").write_bytes(b"\0\1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))


def attach(*given: Any, **named: Any) -> Prompt:
    return asyncio.run(attach_files(*given, **named))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("explain @a.py", ["a.py"]),
        ("@a.py", ["a.py"]),
        ("what is in @a.py?", ["a.py"]),
        ("see @a.py. And @src/b.py, too", ["a.py", "src/b.py"]),
        ("@a.py,@src/b.py", ["a.py", "src/b.py"]),
        ("(see @a.py)", ["a.py"]),
        ('"@a.py"', ["a.py"]),
        ("first\n@a.py\nlast", ["a.py"]),
        ("twice @a.py and @./a.py", ["a.py"]),
        ("@Makefile", ["Makefile"]),
        ("@\"my file.txt\" and @'my file.txt'", ["my file.txt"]),
        pytest.param("@my\\ file.txt", ["my file.txt"], marks=_POSIX),
        ('@"it\'s.txt"', ["it's.txt"]),
        ("请看@笔记.txt，讲了什么", ["笔记.txt"]),
        ("@~/notes", ["~/notes"]),
        ("@src/*.py", ["src/b.py", "src/c.py"]),
        ("@src/**/*.py", ["src/b.py", "src/c.py", "src/deep/d.py"]),
        ("@src/[c].py", ["src/c.py"]),
        ("@odd[1].txt", ["odd[1].txt"]),
    ],
)
def test_files_that_are_named(words: str, names: list[str]) -> None:
    """The words stay as they were typed; the text of each file follows once, under its name."""
    prompt = attach(words)
    assert [each.name for each in prompt.attachments] == names
    assert prompt.text.startswith(words)
    assert all(prompt.text.count(f"File {name}:\n```\n") == 1 for name in names)
    assert prompt.notices[0].startswith("attached: ")
    assert all(name in prompt.notices[0] for name in names)


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize(
    ("target", "message"), [("nowhere", "link: No such file"), ("link", "link: Too many levels")]
)
def test_links_that_lead_nowhere(target: str, message: str) -> None:
    """Their names are there: the prompt is not asked without them; a pattern leaves them out."""
    Path("link").symlink_to(target)
    with pytest.raises(UsageError, match=message):
        attach("sum up @link")
    assert [each.name for each in attach("sum up @[lM]*").attachments] == ["Makefile"]


def test_a_pattern_without_end_that_is_only_a_word() -> None:
    """A name that is escaped, or in code, is not held against the limit of files."""
    for number in range(MAX_FILES + 1):
        Path(f"many{number}").touch()
    assert attach("a \\@many* b").text == "a @many* b"
    with pytest.raises(UsageError, match="more than 100 files"):
        attach("a @many* b")


def test_an_empty_file() -> None:
    """It is said to be empty, whatever its name ends in."""
    Path("empty.png").touch()
    assert attach("@empty.png").notices == ("attached: empty.png (empty, about 1 token)",)


@pytest.mark.parametrize(
    ("words", "url"),
    [
        ("sum up @https://example.com/a?b=c#d", "https://example.com/a?b=c#d"),
        ("is @HTTP://example.com. good?", "HTTP://example.com"),
        ("(see @https://example.com/a_(b))", "https://example.com/a_(b)"),
        ('@"https://example.com/a b"', "https://example.com/a b"),
        ("请看@https://example.com/笔记，讲了什么", "https://example.com/笔记"),
        ("twice @https://example.com/ and @https://example.com/", "https://example.com/"),
    ],
)
def test_pages_that_are_named(words: str, url: str) -> None:
    """The readable text of the page follows the words; asked again, it is there once."""
    fetched = []

    async def fetch(url: str) -> ToolRun:
        fetched.append(url)
        return ToolRun("web_fetch", {"url": url}, "a page\n", bytes=999)

    prompt = attach(words, fetch=fetch)
    assert prompt.text == f"{words}\n\nPage {url}:\n```\na page\n```"
    [page] = prompt.attachments
    assert (page.name, page.kind, page.bytes) == (url, "page", 999)
    assert attach(prompt.text, fetch=fetch).text == prompt.text
    assert fetched == [url]
    assert attach(words).text == words


def test_a_page_that_cannot_be_read() -> None:
    """The prompt is refused with the address and the reason; escaped or in code, nothing is fetched."""

    async def fetch(url: str) -> ToolRun:
        return ToolRun("web_fetch", {"url": url}, error="HTTP 404 Not Found")

    with pytest.raises(UsageError, match=r"https://example\.com: HTTP 404 Not Found"):
        attach("@https://example.com", fetch=fetch)
    for words in ("`@https://example.com`", "me@https://example.com", "https://example.com", "@https:// x"):
        assert attach(words, fetch=fetch) == Prompt(words)
    assert attach(r"\@https://example.com", fetch=fetch).text == "@https://example.com"


@pytest.mark.parametrize(
    "words",
    [
        "write to me@a.py or x@y.org",
        "josé.müller+x@Makefile",
        "@nobody has no such name",
        "@pytest.mark.slow is a decorator",
        "@app.route('/a.py')",
        "in code: `@a.py`",
        "in code: `cat @a.py | wc`, and ``x = `@a.py` ``",
        "```python\n@pytest\ndef f(): ...\n```",
        "~~~\n@a.py",
        "git@a.py",
        "@ a.py",
        "@@a.py",
        "@src/*.rs",
        "@/proc/nothing/*",
        "@~nobody-of-this-name/x",
        "@" + "x" * 5000,
        "@a\0b",
        "a/@a.py",
    ],
)
def test_words_that_name_no_file(words: str) -> None:
    """Addresses, decorators, code and names that do not exist attach nothing, and nothing is said."""
    prompt = attach(words)
    assert (prompt.text, prompt.attachments, prompt.notices) == (words, (), ())


def test_an_escaped_name() -> None:
    """With a backslash before it, an existing name is only a word; other backslashes stay."""
    assert attach(r"\@a.py and \@nothing") == attach(r"@a.py and \@nothing", mentions=False)


def test_a_folder() -> None:
    """It attaches nothing, and how to attach its files is said."""
    prompt = attach("list @src/")
    assert prompt.attachments == ()
    assert prompt.notices == ("@src/ is a folder: @src/* attaches its files",)


def test_binary_files_of_a_pattern_are_left_out() -> None:
    """One file that is named and cannot be attached is refused; of several, the others are attached."""
    prompt = attach("@src/*")
    assert [each.name for each in prompt.attachments] == ["src/b.py", "src/c.py"]
    assert "e.pyc" in prompt.notices[1]
    with pytest.raises(UsageError, match=r"e\.pyc: not a text file"):
        attach("@src/e.pyc")


def test_too_many_files() -> None:
    """A pattern that names a whole tree is refused with its name."""
    for number in range(MAX_FILES + 1):
        Path(f"n{number}.txt").touch()
    with pytest.raises(UsageError, match=r"@n\*\.txt names more than 100 files"):
        attach("@n*.txt")


def test_a_prompt_that_is_asked_again() -> None:
    """A prompt that has its files already gets none of them twice, and none that they name."""
    Path("names.txt").write_text("see @src/b.py\n", encoding="utf-8")
    prompt = attach("read @names.txt and @a.py")
    assert attach(prompt.text).text == prompt.text


def test_a_file_by_option_and_by_name() -> None:
    """It is attached once; sizes are its own."""
    prompt = attach("explain @a.py", [Path("a.py")])
    assert [(each.name, each.kind, each.bytes) for each in prompt.attachments] == [("a.py", "text", 1)]
