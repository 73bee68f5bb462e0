"""A conversation as one HTML document: fit to read and to share; not to be imported again.

It holds no script and asks for nothing from anywhere: its style is in it, pictures are shown as
links, and its Content-Security-Policy forbids the rest. Texts of people and models come in as
text, or as Markdown in which raw HTML is text as well. This is not a filter for HTML.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll

from bot import __version__
from bot.history.facts import by_round, by_turn, call_facts, ending, mixture, turn_facts
from bot.text.dates import local_time
from bot.text.numbers import money, plural
from bot.text.sanitise import sanitise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from markdown_it.token import Token

    from bot.store import Conversation, StoredCall, Turn

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
RELATION = "noopener noreferrer nofollow"

# About 70 characters a line; one accent; prints without what only a screen needs.
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2428; --quiet: #5a646d; --line: #dfe3e7;
  --soft: #f5f6f7; --accent: #0a6a73; --word: #7a3e9d; --name: #1f5fa8; --text: #2f6f2f; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #dde2e6; --quiet: #98a2ab;
  --line: #2d3338; --soft: #1d2125; --accent: #62c4cc; --word: #c9a0e2; --name: #8cb8ee; --text: #9ccc8f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 62ch; margin: 0 auto; padding: 3rem 1.25rem 5rem; overflow-wrap: break-word; }
h1, h2, h3, h4, h5, h6 { line-height: 1.25; margin: 1.6em 0 .5em; font-size: 1rem; }
h1 { font-size: 1.7rem; margin: 0 0 .4em; }
.turn { margin-top: 2.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h2, .references > h3 { margin: 0 0 .75em; color: var(--quiet); font-size: .85rem; font-weight: 600; }
.references > h3 { margin-top: 1.25em; }
.reply h3 { font-size: 1.3rem; }
.reply h4 { font-size: 1.12rem; }
.prompt { margin: 0 0 1.5rem; padding: .7em 1em; max-height: 24em; overflow: auto; white-space: pre-wrap;
  background: var(--soft); border-inline-start: 3px solid var(--accent); border-radius: 3px; }
p, ul, ol, pre, blockquote, .wide { margin: 0 0 1em; }
ul, ol { padding-inline-start: 1.6em; }
li > p { margin-bottom: .4em; }
a { color: var(--accent); text-underline-offset: .15em; }
.facts { color: var(--quiet); font-size: .85rem; margin: 0 0 .75rem; }
.note { font-style: italic; padding-inline-start: .8em; border-inline-start: 3px solid var(--line); }
summary { cursor: pointer; color: var(--quiet); font-size: .9rem; }
summary:hover, summary strong { color: var(--ink); }
details > :not(summary) { margin-top: .75rem; }
.answer { margin: .4rem 0; }
.answer > .reply { padding-inline-start: 1em; border-inline-start: 1px solid var(--line); }
p.answer { color: var(--quiet); font-size: .9rem; padding-inline-start: 1.1em; }
blockquote { color: var(--quiet); padding-inline-start: 1em; border-inline-start: 3px solid var(--line); }
hr { border: 0; border-top: 1px solid var(--line); margin: 2em 0; }
code, pre { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { background: var(--soft); padding: .1em .3em; border-radius: 3px; }
pre { background: var(--soft); padding: .8em 1em; border-radius: 5px; overflow-x: auto; tab-size: 4; }
pre code { font: inherit; background: none; padding: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .95em; overflow-wrap: normal; }
th, td { padding: .3em .8em; border-bottom: 1px solid var(--line); text-align: start; vertical-align: top; }
.left { text-align: left; }
.center { text-align: center; }
.right { text-align: right; font-variant-numeric: tabular-nums; }
.code [class^="c"] { color: var(--quiet); font-style: italic; }
.code [class^="k"], .code .ow, .code .nt { color: var(--word); }
.code .nf, .code .nc, .code .nb, .code .nd, .code .na { color: var(--name); }
.code [class^="s"], .code .gi { color: var(--text); }
.code [class^="m"], .code .gd { color: var(--accent); }
.code .gh, .code .gu { font-weight: 600; }
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --quiet: #444; --line: #bbb; --soft: #f5f5f5; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  .prompt { max-height: none; overflow: visible; }
  pre { white-space: pre-wrap; }
  h2, h3, h4, summary { break-after: avoid; }
  pre, table, blockquote { break-inside: avoid; }
  .reply a[href]::after { content: " (" attr(href) ")"; color: var(--quiet); font-size: .85em; }
}
"""

_SHIFT = 2  # a reply's headings stand below those of the document and of the turn
_DEEPEST = 6
# Some lexers take quadratic time; so much code, or so long a line, is data, not code to read.
_LONGEST_LINE, _LONGEST_CODE = 2000, 100_000
_SAFE_LINK = re.compile(r"https?://|mailto:", re.IGNORECASE)
# References such as `&#x202e;` turn into characters only while Markdown is rendered.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ANY_DIRECTION = frozenset(
    {"paragraph_open", "heading_open", "bullet_list_open", "ordered_list_open", "th_open", "td_open"}
)


def export_html(conversation: Conversation, turns: Sequence[Turn], calls: Iterable[StoredCall] = ()) -> str:
    """Write a conversation as one document, with every proposal folded under its reply."""
    calls_by_turn = by_turn(calls)
    title = _line(conversation.title)
    parts = [
        "<!doctype html>",
        '<html><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f'<meta name="generator" content="moa-bot {__version__}">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style></head>",
        "<body><main>",
        f'<header><h1 dir="auto">{title}</h1>',
        f'<p class="facts">{_line(_facts(conversation, turns))}</p>',
    ]
    if conversation.system:
        parts.append(f"<details><summary>System prompt</summary>{_verbatim(conversation.system)}</details>")
    parts.append("</header>")
    for turn in turns:
        parts += _turn(turn, calls_by_turn.get(turn.number, []))
    parts.append("</main></body></html>")
    return _UNSEEN.sub("", "\n".join(parts)) + "\n"


def markdown_to_html(text: str) -> str:
    """Render a text that anyone may have written; no element or address in it can do anything."""
    html: str = _markdown().render(sanitise(text))
    return html


def _facts(conversation: Conversation, turns: Sequence[Turn]) -> str:
    parts = [local_time(conversation.created), mixture(conversation.settings), plural(len(turns), "turn")]
    costs = [turn.cost for turn in turns if turn.cost is not None]
    if costs:
        parts.append(money(sum(costs), len(turns) - len(costs)))
    return " · ".join(part for part in parts if part)


def _turn(turn: Turn, calls: Sequence[StoredCall]) -> Iterator[str]:
    yield f'<section class="turn"><h2>Turn {turn.number}</h2>'
    yield _verbatim(turn.prompt)
    if turn.reply:
        yield f'<div class="reply">{markdown_to_html(turn.reply)}</div>'
    for note in (ending(turn), *turn.notices):
        if note:
            yield f'<p class="note" dir="auto">{_line(note)}</p>'
    if facts := turn_facts(turn, calls):
        yield f'<p class="facts">{_line(facts)}</p>'
    yield from _references(calls)
    yield "</section>"


def _references(calls: Sequence[StoredCall]) -> Iterator[str]:
    rounds = by_round(calls)
    if not rounds:
        return
    asked = [call for of_round in rounds.values() for call in of_round]
    failed = sum(call.status == "failed" for call in asked)
    said = f"{plural(len(asked) - failed, 'answer')} of the reference models"
    said += f" in {plural(len(rounds), 'round')}" + (f", {failed} failed" if failed else "")
    yield f'<details class="references"><summary>{said}</summary>'
    for round_number, of_round in rounds.items():
        yield f"<h3>Round {round_number}</h3>"
        for call in of_round:
            yield _reference(call)
    yield "</details>"


def _reference(call: StoredCall) -> str:
    facts = call_facts(call).removeprefix(call.model)
    head = f"<strong>{_line(call.model)}</strong>{_line(facts)}"
    if call.text:
        return (
            f'<details class="answer"><summary>{head}</summary>'
            f'<div class="reply">{markdown_to_html(call.text)}</div></details>'
        )
    return f'<p class="answer">{head}</p>'


def _line(text: str) -> str:
    return escape(sanitise(text, newlines=False))


def _verbatim(text: str) -> str:
    return f'<div class="prompt" dir="auto">{escape(sanitise(text).strip(chr(10)))}</div>'


class _Markdown(MarkdownIt):
    """Markdown in which a link leads to the web or to a mailbox, or is no link."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name that MarkdownIt calls
        """Tell whether an address may become a link; it stays text otherwise."""
        return bool(_SAFE_LINK.match(url))


@cache
def _markdown() -> MarkdownIt:
    markdown = _Markdown("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.core.ruler.push("fit_in", _fit_in)
    for name, rule in _RULES.items():
        markdown.add_render_rule(name, rule)
    return markdown


def _fit_in(state: Any) -> None:
    """Make a text's blocks fit into the document: headings below ours, each in its own direction."""
    for token in state.tokens:
        if token.type.startswith("heading_"):
            token.tag = f"h{min(int(token.tag[1]) + _SHIFT, _DEEPEST)}"
        if "style" in token.attrs:
            # The alignment of a table's cell; the document has classes in place of styles.
            token.attrs = {"class": str(token.attrs["style"]).rpartition(":")[2]}
        if token.type in _ANY_DIRECTION:
            token.attrSet("dir", "auto")
        inside = False
        for child in token.children or ():
            inside = child.type == "link_open" or (inside and child.type != "link_close")
            child.meta["in a link"] = inside


# The rules below have the parameters of markdown-it's own: renderer, tokens, index, options, environment.


def _code_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    words = unescapeAll(tokens[index].info).split()
    code = _highlighted(tokens[index].content, words[0] if words else "")
    return f'<pre class="code" dir="ltr"><code>{code}</code></pre>\n'


def _inline_code_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    return f"<code>{escape(tokens[index].content)}</code>"


def _link_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    return _link(str(tokens[index].attrGet("href")))


def _image_rule(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Show a picture as a link to it, as bare words inside another link: nothing is loaded."""
    token = tokens[index]
    alternative = renderer.renderInlineAsText(token.children, options, env)
    said = escape(f"[picture: {alternative}]" if alternative else "[picture]")
    return said if token.meta["in a link"] else f"{_link(str(token.attrGet('src')))}{said}</a>"


def _link(address: str) -> str:
    return f'<a href="{escape(address)}" rel="{RELATION}">'


_RULES: dict[str, Any] = {
    "fence": _code_rule,
    "code_block": _code_rule,
    "code_inline": _inline_code_rule,
    "link_open": _link_rule,
    "image": _image_rule,
    # A table that is wider than the column scrolls by itself.
    "table_open": lambda *_: '<div class="wide"><table>\n',
    "table_close": lambda *_: "</table></div>\n",
}


def _highlighted(code: str, language: str) -> str:
    """Return code as HTML, in spans of Pygments' classes where the language is known."""
    from pygments import format as format_tokens  # type: ignore[import-untyped] # Pygments ships no types
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped] # Pygments ships no types
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped] # Pygments ships no types
    from pygments.util import ClassNotFound  # type: ignore[import-untyped] # Pygments ships no types

    if len(code) > _LONGEST_CODE or max(map(len, code.split("\n"))) > _LONGEST_LINE:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    tokens = list(lexer.get_tokens(code))
    if "".join(text for _, text in tokens) != code:
        return escape(code)
    html: str = format_tokens(tokens, HtmlFormatter(nowrap=True))
    return html
