r"""Markdown rules that keep what models mean literally: mathematics, `__init__`, `2*3*4`.

CommonMark takes the backslashes of `\(x\)` for escapes and the stars of `2*3*4` for emphasis. The rules
here turn such text into tokens of the types `literal` (inline) and `math_block`, whose content is shown
as it stands, delimiters included. Text that is wrongly taken for mathematics loses its emphasis at most.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

_LONGEST = 2_000
"""Characters of mathematics in a line; bounds how far an opening delimiter looks for its end."""
_CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
_DUNDER = re.compile(r"__[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*__(?![A-Za-z0-9_])")
_INTERRUPTS = ["paragraph", "reference", "blockquote", "list"]


def literals_plugin(parser: MarkdownIt) -> None:
    """Add the rules to a parser; for use with `MarkdownIt.use`."""
    parser.inline.ruler.before("escape", "literal_math", _inline_math)
    parser.inline.ruler.before("emphasis", "literal_marks", _marks)
    parser.block.ruler.before("code", "math_block", _math_block, {"alt": _INTERRUPTS})


def _inline_math(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    r"""Keep `\(x\)`, `\[x\]`, `$$x$$` and `$x$`.

    As in Pandoc, a `$` opens only before and closes only after a character that is no blank, and closes
    only where no digit follows: prices are no mathematics.
    """
    start = state.pos
    opening = state.src[start : start + 2]
    if opening not in _CLOSING:
        opening = opening[:1]
    if opening not in _CLOSING:
        return False
    closing, inside = _CLOSING[opening], start + len(opening)
    last = min(state.posMax, inside + _LONGEST)
    end = state.src.find(closing, inside + 1, last)
    if opening == "$":
        while end > 0 and (state.src[end - 1] in " \n\\" or state.src[end + 1 : end + 2].isdecimal()):
            end = state.src.find(closing, end + 1, last)
        if state.src[inside : inside + 1].isspace():
            return False
    if end < 0:
        return False
    end += len(closing)
    if not silent:
        state.push("literal", "", 0).content = state.src[start:end]
    state.pos = end
    return True


def _marks(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    """Keep `__name__`, and stars between two letters or digits: `2*3*4`, `x**2`."""
    start, source = state.pos, state.src
    before = source[start - 1 : start] if start else ""
    if source[start] == "_":
        found = None if _is_word(before) or before == "_" else _DUNDER.match(source, start, state.posMax)
        end = found.end() if found else start
    elif source[start] == "*" and _is_word(before):
        end = start + 1
        while end < state.posMax and source[end] == "*":
            end += 1
        after = source[end : end + 1]
        # Two stars may be strong letters in a word ("**R**andom"), one star before a letter is a product.
        if not (_is_word(after) if end == start + 1 else after.isdecimal() and end == start + 2):
            end = start
    else:
        return False
    if end == start:
        return False
    if not silent:
        state.push("literal", "", 0).content = source[start:end]
    state.pos = end
    return True


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _math_block(state: StateBlock, first: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    r"""Keep lines from one that begins with `\[` or `$$` to one that ends with `\]` or `$$`.

    A blank line ends them as well, so that an opening without its end costs a paragraph at most. Only a
    delimiter alone on its line interrupts a paragraph.
    """
    if state.is_code_block(first):
        return False
    line = _line(state, first)
    opening = line[:2]
    if opening not in {"\\[", "$$"} or (silent and line != opening):
        return False
    closing = _CLOSING[opening]
    if closing in line[2:] and not line.endswith(closing):
        return False  # the line goes on after the mathematics: a paragraph
    if silent:
        return True
    after = first + 1
    if len(line) <= 2 or not line.endswith(closing):  # noqa: PLR2004 - a delimiter's length
        while after < end and not state.isEmpty(after) and state.sCount[after] >= state.blkIndent:
            after += 1
            if _line(state, after - 1).endswith(closing):
                break
    state.line = after
    token = state.push("math_block", "", 0)
    token.content = state.getLines(first, after, state.sCount[first], keepLastLF=False)
    token.map = [first, after]
    return True


def _line(state: StateBlock, line: int) -> str:
    start = state.bMarks[line] + state.tShift[line]
    return state.src[start : state.eMarks[line]].rstrip()
