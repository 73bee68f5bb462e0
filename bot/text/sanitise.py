"""Makes text of unknown origin harmless for a terminal: only visible text, newlines and tabs stay.

Taken out: escape sequences in their 7-bit and 8-bit forms, all other control characters, and the
invisible marks that reorder text against its reading direction. Not an HTML or Markdown filter.
"""

from __future__ import annotations

import re

# A string sequence (OSC, DCS, ...) that is longer than this loses its introducer only, and the
# rest shows as text: an opening that never ends must not swallow an answer.
STRING_LIMIT = 512

_DIRECTION = "\u202a-\u202e\u2066-\u2069"
_SUSPECT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION}\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")

_BODY = f"[^\x00-\x1f\x7f-\x9f]{{0,{STRING_LIMIT}}}+"
_CSI = r"(?:\x1b\[|\x9b)[0-?]{0,32}+[ -/]{0,8}+"
_STRING = rf"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]){_BODY}"
_TOKEN = re.compile(
    rf"(?P<gone>{_CSI}[@-~]|{_STRING}(?:\x07|\x9c|\x1b\\)|\x1b[ -/]{{1,4}}+[0-~]|\x1b[0-OQ-WYZ\\`-~])"
    # What stands at the very end may be the beginning of one of the above.
    rf"|(?P<open>(?:{_CSI}|{_STRING}\x1b?|\x1b[ -/]{{0,4}}+|\r|[\ud800-\udbff])\Z)"
    r"|(?P<newline>\r\n?|[\u2028\u2029])"
    "|(?P<pair>[\ud800-\udbff][\udc00-\udfff])"
    "|(?P<half>[\ud800-\udfff])"
    rf"|\x1b[\[\]PX^_]?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_DIRECTION}]"
)
_BLANKS = str.maketrans("\n\t", "  ")


def sanitise(text: str, *, newlines: bool = True) -> str:
    r"""Return `text` without anything but visible characters, `\n` and `\t`.

    `\r\n` and a lone `\r` become `\n`; a lone surrogate becomes U+FFFD. Without `newlines`, line
    ends and tabs become spaces, so that the result is one line.
    """
    if _SUSPECT.search(text):
        cleaner = Sanitiser()
        text = cleaner.feed(text) + cleaner.close()
    return text if newlines else text.translate(_BLANKS)


def one_line(text: str) -> str:
    """Return `text` sanitised, on one line, without runs of blanks."""
    return " ".join(sanitise(text, newlines=False).split())


def mend(text: str) -> str:
    """Return `text` with surrogate pairs joined and lone surrogates as U+FFFD: it can be encoded."""
    return _SURROGATE.sub(lambda m: _join(m[0]) if len(m[0]) == 2 else "\ufffd", text)  # noqa: PLR2004 - a pair is two


class Sanitiser:
    """The same as `sanitise` for text that comes in pieces, wherever they are cut.

    What could be the beginning of an escape sequence is held back, `STRING_LIMIT` characters and
    a few at most; `close` gives what was held.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Take the next piece; return what is certain by now."""
        if not self._held and not _SUSPECT.search(text):
            return text
        text, self._held = self._held + text, ""
        return _TOKEN.sub(self._replace, text)

    def close(self) -> str:
        """Return the rest: of an unfinished sequence its visible part."""
        # A character that ends every open sequence without being part of one, and is dropped.
        rest = self.feed("\x00") if self._held else ""
        self._held = ""
        return rest

    def _replace(self, match: re.Match[str]) -> str:
        match match.lastgroup:
            case "open":
                self._held = match[0]
                return ""
            case "newline":
                return "\n"
            case "pair":
                return _join(match[0])
            case "half":
                return "\ufffd"
        return ""


def _join(pair: str) -> str:
    return pair.encode("utf-16", "surrogatepass").decode("utf-16")
