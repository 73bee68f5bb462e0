"""A conversation as one HTML document, to read and share; it cannot be imported again.

It holds no script and loads nothing: its style is in it, pictures are shown as links, and its
Content-Security-Policy forbids the rest. The page is `templates/conversation.html`, in which Jinja
escapes every value; Markdown is rendered with raw HTML as text. This is not a filter for HTML.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markupsafe import Markup
from pygments import format as format_tokens  # type: ignore[import-untyped] # Pygments ships no types
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped] # Pygments ships no types

from bot import __version__
from bot.analysis import stored_analysis
from bot.history.facts import (
    CONSULTATION,
    by_turn,
    call_facts,
    contributions,
    mixture,
    notes,
    tool_facts,
    turn_facts,
)
from bot.render.comparison import answer_names
from bot.render.literals import literals_plugin
from bot.store.results import turn_result
from bot.text.code import code_tokens
from bot.text.dates import local_time
from bot.text.numbers import money, plural
from bot.text.sanitise import one_line, sanitise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jinja2 import Template
    from markdown_it.token import Token

    from bot.store import StoredCall, StoredConversation, StoredTurn

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
RELATION = "noopener noreferrer nofollow"

_SHIFT = 2  # a reply's headings stand below those of the document and of the turn
_DEEPEST = 6
_SAFE_LINK = re.compile(r"https?://|mailto:", re.IGNORECASE)
# References such as `&#x202e;` turn into characters only while Markdown is rendered.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ANY_DIRECTION = frozenset(
    {"paragraph_open", "heading_open", "bullet_list_open", "ordered_list_open", "th_open", "td_open"}
)


def export_html(
    conversation: StoredConversation, turns: Sequence[StoredTurn], calls: Iterable[StoredCall] = ()
) -> str:
    """Write a conversation as one document: proposals folded under their reply, a comparison beside it."""
    calls_by_turn = by_turn(calls)
    document = _template().render(
        conversation=conversation,
        facts=_facts(conversation, turns),
        turns=[(turn, calls_by_turn.get(turn.number, []), stored_analysis(turn.analysis)) for turn in turns],
    )
    return _UNSEEN.sub("", document)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("bot.history"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else sanitise(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "markdown": lambda text: Markup(markdown_to_html(text)),  # noqa: S704 - what it is for
        "inline": lambda text: Markup(inline_to_html(text)),  # noqa: S704 - what it is for
        "sanitise": sanitise,
    }
    environment.globals |= {
        "answer_names": answer_names,
        "call_facts": call_facts,
        "contributions": contributions,
        "notes": notes,
        "policy": POLICY,
        "relation": RELATION,
        "references_facts": _references_facts,
        "tool_facts": tool_facts,
        "sources": _sources,
        "turn_facts": turn_facts,
        "version": __version__,
    }
    return environment.get_template("conversation.html")


def markdown_to_html(text: str) -> str:
    """Render a text that anyone may have written; no element or address in it can do anything."""
    html: str = _markdown().render(sanitise(text))
    return html


def inline_to_html(text: str) -> str:
    """Render the inline Markdown (emphasis, code, links) of a text on one line; it cannot begin a block."""
    html: str = _markdown().renderInline(one_line(text))
    return html


def _facts(conversation: StoredConversation, turns: Sequence[StoredTurn]) -> str:
    parts = [local_time(conversation.created), mixture(conversation.settings), plural(len(turns), "turn")]
    costs = [turn.cost for turn in turns if turn.cost is not None]
    if costs:
        parts.append(money(sum(costs), len(turns) - len(costs)))
    return " · ".join(part for part in parts if part)


def _sources(turn: StoredTurn, calls: Sequence[StoredCall]) -> list[tuple[int, str, str]]:
    """Return number, address and title of the sources of a turn; "" for an address that must be no link."""
    return [
        (number, source.url if _is_safe(source.url) else "", source.title or source.url)
        for number, source in turn_result(turn, calls).shown_sources
    ]


def _references_facts(parts: Sequence[tuple[str, Sequence[StoredCall]]]) -> str:
    parts = [(name, calls) for name, calls in parts if name != CONSULTATION]
    asked = [call for _, calls in parts for call in calls]
    failed = sum(call.status == "failed" for call in asked)
    if any(call.role == "draft" for call in asked):
        drafts, reviews = (
            sum(call.role == role and call.status == "done" for call in asked) for role in ("draft", "review")
        )
        answers = f"{plural(drafts, 'draft')} and {plural(reviews, 'review')}"
    else:
        given = plural(len(asked) - failed, "answer")
        answers = f"{given} of the reference models in {plural(len(parts), 'round')}"
    return answers + (f", {failed} failed" if failed else "")


class _Markdown(MarkdownIt):
    """Markdown in which a link leads to the web or to a mailbox, or is no link."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name that MarkdownIt calls
        """Tell whether an address may become a link; it stays text otherwise."""
        return _is_safe(url)


@cache
def _markdown() -> MarkdownIt:
    markdown = (
        _Markdown("commonmark", {"html": False}).enable(["table", "strikethrough"]).use(literals_plugin)
    )
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
            if child.type == "link_open":
                # Markdown allows a link without an address: `[]()`.
                inside = _is_safe(str(child.attrGet("href")))
            if child.type.startswith("link_") and not inside:
                child.tag, child.attrs = "span", {}
            child.meta["in a link"] = inside = inside and child.type != "link_close"


# The rules below have the parameters of markdown-it's own: renderer, tokens, index, options, environment.


def _literal_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    return escape(tokens[index].content)


def _math_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    return f"<pre>{escape(tokens[index].content)}</pre>\n"


def _code_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    words = unescapeAll(tokens[index].info).split()
    code = _highlighted(tokens[index].content, words[0] if words else "")
    return f'<pre class="code" dir="ltr"><code>{code}</code></pre>\n'


def _inline_code_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    return f"<code>{escape(tokens[index].content)}</code>"


def _link_rule(_renderer: Any, tokens: Sequence[Token], index: int, *_: object) -> str:
    token = tokens[index]
    return _link(str(token.attrGet("href"))) if token.tag == "a" else "<span>"


def _image_rule(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Show a picture as a link to it, as bare words inside another link: nothing is loaded."""
    token = tokens[index]
    alternative = renderer.renderInlineAsText(token.children, options, env)
    text = escape(f"[picture: {alternative}]" if alternative else "[picture]")
    address = str(token.attrGet("src"))
    return text if token.meta["in a link"] or not _is_safe(address) else f"{_link(address)}{text}</a>"


def _is_safe(address: str) -> bool:
    return _SAFE_LINK.match(address) is not None


def _link(address: str) -> str:
    return f'<a href="{escape(address)}" rel="{RELATION}">'


_RULES: dict[str, Any] = {
    "fence": _code_rule,
    "code_block": _code_rule,
    "code_inline": _inline_code_rule,
    "literal": _literal_rule,
    "math_block": _math_rule,
    "link_open": _link_rule,
    "image": _image_rule,
    # A table that is wider than the column scrolls by itself.
    "table_open": lambda *_: '<div class="wide"><table>\n',
    "table_close": lambda *_: "</table></div>\n",
}


def _highlighted(code: str, language: str) -> str:
    """Return code as HTML, in spans of Pygments' classes where the language is known."""
    tokens = code_tokens(code, language)
    if tokens is None:
        return escape(code)
    html: str = format_tokens(tokens, HtmlFormatter(nowrap=True))
    return html
