"""The HTML export: everything is in it, and nothing in it can do anything."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.history import html
from bot.history.html import POLICY, RELATION, export_html, markdown_to_html
from bot.store import StoredCall, StoredConversation, StoredTurn

WHEN = datetime(2026, 7, 2, 9, 31, 12, 345_000, tzinfo=UTC)
STYLE = Path(html.__file__).with_name("templates").joinpath("conversation.css").read_text(encoding="utf-8")
LOCAL = WHEN.astimezone().strftime("%Y-%m-%d %H:%M")
CONVERSATION = StoredConversation("abcdef", "Cats", WHEN, WHEN, {"preset": "fast"}, "Be kind.")
REPLY = """# Because

They *really* **do**, ~~not~~ `always`: see [this](https://example.org/a?b=1&c=2 "x").

| cat | purrs |
|:----|------:|
| Tom | 25 |

3. three

```python
def f(x):  # a comment
    return "s" + 1
```
"""
TURNS = (
    StoredTurn(
        "abcdef",
        1,
        "Why?\n  # not <b>a</b> heading",
        WHEN,
        "done",
        REPLY,
        "secret thoughts",
        model="j",
        seconds=2.0,
        cost=0.02,
    ),
    StoredTurn("abcdef", 2, "Code?", WHEN, "partial", "```python\nx = 1", notices=("history was shortened",)),
    StoredTurn("abcdef", 3, "Lost", WHEN, "failed", error="too few references: 0 of 2"),
)
CALLS = (
    StoredCall(1, 1, 0, "reference", "v/a", "t", "done", text="They **purr**.",
                completion_tokens=9, seconds=3.6),
    StoredCall(1, 1, 1, "reference", "v/b", "t", "failed", "timed out", "no word for 120 s"),
    StoredCall(1, 2, 0, "reference", "v/a", "t", "done", text="Second round."),
    StoredCall(1, 3, 0, "aggregator", "j", "t", "done", text="# Because"),
)  # fmt: skip

VOID = {"meta", "br", "hr"}
ELEMENTS = {
    *("html", "head", "title", "style", "body", "main", "header", "section", "div", "details", "summary"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "ul", "ol", "li", "pre", "code", "span"),
    *("a", "em", "strong", "s", "table", "thead", "tbody", "tr", "th", "td"),
    *VOID,
}
ATTRIBUTES = {"class", "dir", "href", "rel", "start", "charset", "http-equiv", "content", "name"}
CLASS = re.compile(
    r"turn|prompt|reply|note|facts|references|answer|wide|code|left|center|right|[a-z][a-z0-9]{0,3}"
)
LINK = re.compile(r"(?:https?://|mailto:)[!-~]*", re.IGNORECASE)
SEEN = re.compile("[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*")


class Reader(HTMLParser):
    """Reads a document as a browser would and refuses whatever is not known to be harmless."""

    def __init__(self, document: str, *, whole: bool = True) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(document)
        self.close()
        assert not self.open
        if whole:
            names = [name for name, _ in self.elements]
            assert [names.count(once) for once in ("html", "head", "title", "style", "main", "h1")] == [1] * 6
        assert SEEN.fullmatch(document)
        document.encode()

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        assert tag in ELEMENTS
        assert len(values) == len(attrs)
        assert values.keys() <= ATTRIBUTES
        assert all(CLASS.fullmatch(name) for name in values.get("class", "").split())
        assert values.get("dir", "auto") in {"auto", "ltr"}
        if tag == "a":
            assert LINK.fullmatch(values["href"])
            assert values["rel"] == RELATION
            assert "a" not in self.open
        else:
            assert not values.keys() & {"href", "rel"}
        assert tag == "meta" or not values.keys() & {"charset", "http-equiv", "content", "name"}
        self.elements.append((tag, values))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            assert data == STYLE
        else:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")

    def handle_pi(self, data: str) -> None:
        pytest.fail(f"a processing instruction: {data}")

    def unknown_decl(self, data: str) -> None:
        pytest.fail(f"a declaration: {data}")

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"


def everywhere(text: str) -> str:
    """A document in which every field that a person, model or service fills holds this text."""
    conversation = StoredConversation(
        text, text, WHEN, WHEN, {"preset": text, "aggregator": text, "reference_models": [text]}, text
    )
    turns = [
        StoredTurn("abcdef", 1, text, WHEN, "done", text, text, text, text, notices=(text, text)),
        StoredTurn("abcdef", 2, text, WHEN, "failed", "", text, text, text),
    ]
    calls = [
        StoredCall(1, 1, 0, "reference", text, text, "done", text=text, reasoning=text, partial=text),
        StoredCall(1, 1, 1, "reference", text, text, "failed", text, text),
        StoredCall(1, 2, 0, "aggregator", text, text, "done", text=text),
    ]
    return export_html(conversation, turns, calls)


def test_everything_is_in_it() -> None:
    """Title, facts, prompts, replies, what went wrong and the folded references are all there."""
    text = Reader(export_html(CONVERSATION, TURNS, CALLS)).text
    for said in (
        f"{LOCAL} · preset fast · 3 turns · $0.02+",
        "Be kind.",
        "Why?\n  # not <b>a</b> heading",
        "They really do",
        "2 of 3 references in 2 rounds → j · 2.0 s · $0.02",
        "2 answers of the reference models in 2 rounds, 1 failed",
        "v/a · 9 tokens · 3.6 s",
        "They purr.",
        "v/b · timed out: no word for 120 s",
        "Round 2",
        "Second round.",
        "x = 1",
        "the reply was cut off",
        "history was shortened",
        "failed: too few references: 0 of 2",
    ):
        assert said in text
    assert "secret thoughts" not in text


def test_the_references_are_folded_under_their_reply() -> None:
    """One `details` per turn holds one per answer; nothing of it is open from the start."""
    document = export_html(CONVERSATION, TURNS[:1], CALLS)
    assert document.index('class="reply"') < document.index('<details class="references">')
    assert document.count('<details class="answer">') == 2
    assert document.count('<p class="answer">') == 1
    assert "<details" not in export_html(replace(CONVERSATION, system=None), TURNS[1:], ())


def test_markdown_is_rendered() -> None:
    """Emphasis, tables, lists, code in colours and links come out as elements; headings go below ours."""
    reader = Reader(markdown_to_html(REPLY), whole=False)
    names = [name for name, _ in reader.elements]
    assert {"em", "strong", "s", "code", "table", "th", "td", "pre", "span"} <= set(names)
    assert names[0] == "h3"
    assert ("ol", {"start": "3", "dir": "auto"}) in reader.elements
    assert ("td", {"class": "right", "dir": "auto"}) in reader.elements
    assert ("span", {"class": "k"}) in reader.elements
    assert ("a", {"href": "https://example.org/a?b=1&c=2", "rel": RELATION}) in reader.elements
    assert 'def f(x):  # a comment\n    return "s" + 1\n' in reader.text


def test_headings_never_leave_the_six() -> None:
    """A reply's deepest heading is still a heading."""
    names = [
        name for name, _ in Reader(markdown_to_html("# a\n##### b\n###### c\n\nd\n==="), whole=False).elements
    ]
    assert names == ["h3", "h6", "h6", "h3"]


def test_the_document_asks_for_nothing() -> None:
    """The policy allows inline style alone, and the style itself names no address."""
    document = export_html(CONVERSATION, TURNS, CALLS)
    metas = [values for name, values in Reader(document).elements if name == "meta"]
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in metas
    assert POLICY.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert not re.search(r"url\(|@import|expression|</", STYLE)
    for needed in ("prefers-color-scheme: dark", "@media print", "color-scheme: light dark"):
        assert needed in STYLE


@pytest.mark.parametrize(
    ("markdown", "elements", "said"),
    [
        ("![a cat](https://e.org/c.png)", ["p", "a"], "[picture: a cat]"),
        ("![](https://e.org/c.png)", ["p", "a"], "[picture]"),
        ("[![a cat](https://e.org/c.png) b](https://e.org)", ["p", "a"], "[picture: a cat] b"),
        ("[a](https://e.org) ![b](https://e.org)", ["p", "a", "a"], "a [picture: b]"),
        ("![a](data:image/png;base64,AAAA)", ["p"], "![a](data:image/png;base64,AAAA)"),
        ("[a](javascript:alert(1))", ["p"], "[a](javascript:alert(1))"),
        ("[a](JaVa&#x0A;Script&colon;alert(1))", ["p"], "Script"),
        ("<javascript:alert(1)>", ["p"], "<javascript:alert(1)>"),
        ("[a](data:text/html,x)", ["p"], "data:text/html"),
        ("[a](//e.org) [b](/etc) [c](#d) [e](file:///etc)", ["p"], "[b](/etc)"),
        ("[a]( https:e)", ["p"], "https:e"),
        ("[a][1]\n\n[1]: vbscript:x", ["p", "p"], "vbscript:x"),
        ("[a](HTTPS://e.org) <me@e.org>", ["p", "a", "a"], "a me@e.org"),
        ('[a](https://e.org/"onclick=") ', ["p", "a"], "a"),
        ("<script>alert(1)</script>", ["p"], "<script>alert(1)</script>"),
        ("<img src=x onerror=alert(1)>", ["p"], "<img src=x onerror=alert(1)>"),
        ("</details></main><style>*{}</style>", ["p"], "</details></main><style>*{}</style>"),
        ("```\n</code></pre><script>", ["pre", "code"], "</code></pre><script>"),
        ('```"><script>\nx', ["pre", "code"], "x"),
        ("```html\n<script>\n```", ["pre", "code", "span", "span", "span"], "<script>"),
        ("`<b>`", ["p", "code"], "<b>"),
        ("a &lt;b&gt; &#60;i&#62;", ["p"], "a <b> <i>"),
    ],
)
def test_hostile_markdown(markdown: str, elements: list[str], said: str) -> None:
    """Scripts, pictures and addresses but those of web and mail come out as text."""
    reader = Reader(markdown_to_html(markdown), whole=False)
    assert [name for name, _ in reader.elements] == elements
    assert said in reader.text


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "</title></style></head><script>alert(1)</script>",
        "</details></section></main></body></html>",
        '" onmouseover="alert(1)',
        "<!-- <![CDATA[ <?php ]]> -->",
        "``` \"'><svg/onload=alert(1)>\nleft open",
        "\u202ecod.exe \u2066a\u2069 &#x202e;b&#8294; <https://e.org/%E2%80%AEc%1b%5d>",
        "\ud800 lone \udc00 \ud83d\ude00 &#xd800; &#0; &#27;",
        "\x1b]52;c;AAAA\x07\x9b31m\x00\r\n\x0c",
        "[a](javascript:alert(1)) ![b](javascript:alert(1)) <a href=javascript:alert(1)>",
    ],
)
def test_no_field_can_do_anything(text: str) -> None:
    """Whatever stands in any field, the document is whole and holds our elements and nothing else."""
    Reader(everywhere(text))


PIECES = st.sampled_from(
    [
        *("<script>", "</div>", "</details>", "<a href=", "javascript:", "https://e.org/", '"', "'", ">"),
        *("<!--", "\n", "\n\n", "    ", "> ", "- ", "%E2%80%AE", "\u202e", "\ud800", "\x1b]", "\x07"),
        *("](", "[", "]", "![", ")", "```", "~~~", "`", "*", "**", "~~", "|"),
        *("1. ", "# ", "---", "|-|-|", "&#x202e;", "&lt;", "&quot;", "\\"),
        *("python\n", "html\n", "<", "/", "a", " ", "\t", "[1]: ", "<https://", "mailto:"),
    ]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150)
@given(text=st.lists(PIECES | st.text(max_size=4), max_size=25).map("".join))
@example("")
@example("[]()")
def test_any_text_is_harmless(text: str) -> None:
    """No combination of markup, in any field, gives an element or attribute that is not allowed."""
    Reader(everywhere(text))


def test_what_a_terminal_would_obey_is_not_shown_either() -> None:
    """An escape sequence goes as a whole, half a character becomes the sign for one."""
    assert markdown_to_html("\x1b]52;c;AAAA\x07a \ud83d\ude00 \ud800") == '<p dir="auto">a 😀 \ufffd</p>\n'


def test_code_that_is_data_is_not_coloured() -> None:
    """A very long line of code, or an unknown language, comes out as it is, in no colours."""
    for code, language in (("x = 1;" * 1000, "python"), ("x = 1", "no-such-language"), ("x = 1", "")):
        reader = Reader(markdown_to_html(f"```{language}\n{code}\n```"), whole=False)
        assert [name for name, _ in reader.elements] == ["pre", "code"]
        assert code in reader.text


@pytest.mark.slow
def test_many_pictures_take_no_time_to_speak_of() -> None:
    """Work grows with the length of a reply, not with its square."""
    document = markdown_to_html("![](https://e.org) " * 5000)
    assert document.count("<a href=") == 5000
