"""Ends an answer at the turn marker with which the model goes on to turns that nobody asked for.

An answer may also be about markers. These do not end it: a marker in a code span or block, between
quotes, as a list item, after a colon on a line of its own, or within a sentence (a blank before it and
words after it on the same line, or a word and a blank before it).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from bot.text.turn_markers import ENDS, JOINER, ROLES, STARTS

_STRIKES = re.compile(r"(?:</?s>\s*)+")
"""Markers that are also the HTML of struck-out text."""
_OTHERS = ("user", "human", "system", "developer", "tool", "observation", "[inst]", "<<sys>>")
"""What a marker holds that begins a turn of another role than the assistant's."""
_ANSWER = r"</?answer \d{1,4}(?: of \d{1,4})? · [^<>\n]{0,20}>\n?"
_ANSWER_BEGINNING = re.compile(r"</?(?:answer(?: [^<>\n]{0,40}>?)?)?|</?a(?:n(?:s(?:we?)?)?)?")
_CUT_ANSWER = re.compile(r"</?answer [^<>`\n]{0,40}\Z")
"""The beginning of such a marker, where the answer ends within it."""
_FENCE = re.compile(r"\s{0,3}(?:(?:[-*+>]|\d+[.)])\s+)*(`{3,}|~{3,})(.*)")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+")
_OPEN_STRIKE = re.compile(r"<s(?=[\s>])", re.IGNORECASE)
_CLOSE_STRIKE = re.compile(r"</s>", re.IGNORECASE)
_OPENERS, _CLOSERS = "“‘«‹「『([{:=,|/", "\"'”’»›」』)]}`*_|"
_SENTENCE_ENDS = ".!?…。！？"
_LONGEST_MARKER, _MOST_HELD, _LONGEST_LINE = 64, 400, 1000
_THINK_START, _THINK_END = "<think>", "</think>"


class TurnEndFilter:
    """Passes an answer on as it streams, up to the marker that ends it, wherever the pieces are cut.

    `own_markers` are further ones, of the model's own template. `ended` says that the answer is over. A
    marker is held back with the blanks and the role after it until it is certain what it is. Left out are
    a marker of the assistant's turn at the beginning, the joiners of `defuse`, and copies of the markers
    that `bot.method.prompts` puts around references.
    """

    def __init__(self, own_markers: Sequence[str] = ()) -> None:
        self._scan, self._end, self._next_turn, self._beginnings = _patterns(tuple(own_markers))
        self._held = ""
        self._line = ""
        """The line so far, of a long one the end."""
        self._opened = ""
        """The backticks of a code span that is open where `_line` begins."""
        self._last = ""
        """The last character before this line that is not blank."""
        self._fence = ""
        self._fence_has_marker = self._example = self._thinks = False
        self._open_strikes = 0
        self.ended = False

    def feed(self, piece: str) -> str:
        """Return the text that is certain by now."""
        self._held += piece
        return self._read(closed=False)

    def close(self) -> str:
        """Return what was held back, the answer being over."""
        text = self._read(closed=True)
        return text if self._fence or self._in_span() else _CUT_ANSWER.sub("", text)

    def _read(self, *, closed: bool) -> str:
        out: list[str] = []
        held, at = self._held, 0
        while not self.ended and (found := self._scan.search(held, at)):
            out.append(self._pass(held[at : found.start()]))
            at = found.start()
            after = held[found.end() : found.end() + _MOST_HELD]
            text = self._replacement(found, after, closed=closed)
            if text is None:
                break
            out.append(text)
            at = found.end()
            if found["run"] and text in ("", _THINK_START, _THINK_END):
                at += len(after) - len(after.lstrip())
        else:
            keep = 0 if closed else self._partial(held[at:][-_LONGEST_MARKER:])
            out.append("" if self.ended else self._pass(held[at : len(held) - keep]))
            at = len(held) if self.ended else len(held) - keep
        self._held = held[at:]
        return "".join(out)

    def _replacement(self, found: re.Match[str], after: str, *, closed: bool) -> str | None:
        """Return the text for what was found; None while that depends on what comes after it."""
        text = found[0]
        if found["run"]:
            return self._run(text, after, closed=closed)
        if text.endswith(JOINER):
            return self._pass(text[0])
        if self._fence or self._in_span():
            return self._pass(text)
        return "" if closed or after or text.endswith("\n") else None

    def _partial(self, tail: str) -> int:
        """Return how many characters at the end may be the beginning of a marker."""
        for at, character in enumerate(tail):
            if character in "<[":
                beginning = tail[at:]
                if beginning.lower() in self._beginnings or _ANSWER_BEGINNING.fullmatch(beginning):
                    return len(beginning)
        return 0

    def _run(self, run: str, after: str, *, closed: bool) -> str | None:
        """Return the text for markers that follow one another; sets `ended` when they end the answer."""
        rest = after.lstrip()
        unclear = (
            not rest or rest.lower() in self._beginnings or any(r.startswith(after.lower()) for r in ROLES)
        )
        if unclear and not closed and len(run) + len(after) < _MOST_HELD:
            return None
        low = run.lower()
        if self._fence:
            # Only where a block that was not closed ends with its first marker: the model's own end.
            self.ended = not rest and not self._fence_has_marker
            self._fence_has_marker = True
        elif self._thinks:
            # gpt-oss with its channels left in the text: its thinking ends where the answer begins.
            self._thinks = False
            if "final" in low:
                return _THINK_END
            self.ended = True
        elif not (self._last or self._line.strip()) and self._begins_answer(low, after):
            self._thinks = "analysis" in low
            return _THINK_START if self._thinks else ""
        else:
            self.ended = self._ends(run, after)
        return "" if self.ended else self._pass(run)

    def _begins_answer(self, low: str, after: str) -> bool:
        """Whether markers before the first word are those of the assistant's own turn."""
        if _opens_strike(low) or self._end.match(low) or any(other in low for other in _OTHERS):
            return False
        return not (after[:1] == " " and after.lstrip()[:1].islower())

    def _ends(self, run: str, after: str) -> bool:
        """Whether markers outside a code block end the answer."""
        before, rest = self._line, after.lstrip(" \t")
        if self._example or before.startswith(("    ", "\t")) or _LIST_ITEM.fullmatch(before):
            return False
        low = run.lower()
        if _opens_strike(low) or (self._open_strikes > 0 and _STRIKES.fullmatch(low)):
            return False
        next_turn = bool(self._next_turn.search(run))
        if rest[:1] in ("", "\n"):
            return self._ends_at_line_end(before, next_turn=next_turn)
        if self._in_span() or (before[-1:] and before[-1] in _CLOSERS and after[:1] in _CLOSERS):
            return False
        if before[-1:].strip() and before[-1] not in _OPENERS:
            # Right after a word or a sentence, unless the sentence goes on in the same way.
            scripts = before[-1].isalnum() and not before[-1].isascii() and not after[0].isascii()
            return before[-1] in _SENTENCE_ENDS or after[0].isspace() or (after[0].isalnum() and not scripts)
        last = before.rstrip()[-1:]
        begins_turn = self._end.match(run) is None or next_turn
        return (
            (not last or last in _SENTENCE_ENDS)
            and begins_turn
            and rest[0].isalnum()
            and not rest[0].islower()
        )

    def _ends_at_line_end(self, before: str, *, next_turn: bool) -> bool:
        last = before.rstrip()[-1:]
        if not last and self._last in (":", "："):
            # An example follows the colon, up to the next blank line.
            self._example = True
            return False
        return next_turn or before[-1:] != " " or not (last.isalnum() or last in ",:=-–—→")

    def _in_span(self) -> bool:
        """Whether the line so far ends within a code span."""
        return bool(_open_ticks(self._line, self._opened))

    def _pass(self, text: str) -> str:
        """Note where the answer stands after `text`, and return it."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._end_line(self._line + line)
            self._line = self._opened = ""
        self._line += rest
        if len(self._line) > _LONGEST_LINE:
            kept = self._line[-_LONGEST_LINE // 4 :].lstrip("`")
            self._opened = _open_ticks(self._line.removesuffix(kept), self._opened)
            self._line = kept
        self._open_strikes += len(_OPEN_STRIKE.findall(text)) - len(_CLOSE_STRIKE.findall(text))
        return text

    def _end_line(self, line: str) -> None:
        found = _FENCE.match(line)
        if line.strip() == _THINK_END:
            self._fence = ""
        elif found and not self._fence and not (found[1][0] == "`" and "`" in found[2]):
            self._fence, self._fence_has_marker = found[1], False
        elif found and self._fence and found[1].startswith(self._fence) and not found[2].strip():
            self._fence = ""
        self._last = line.rstrip()[-1:] or self._last
        self._example = self._example and bool(line.strip())


@cache
def _patterns(
    own_markers: tuple[str, ...],
) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], frozenset[str]]:
    """Return three patterns, and the beginnings of all markers in small letters.

    The patterns find all that is looked for, a turn's end, and an end with the next turn's beginning.
    """
    known = {*STARTS, *ENDS}
    ends = (*ENDS, *(marker.lower() for marker in own_markers if marker.lower() not in known))
    start, end = _either(STARTS), _either(ends)
    unit = rf"(?:{end}|{start}(?:{_either(ROLES)}(?!\w))?)"
    scan = rf"[<\[]{JOINER}|{_ANSWER}|(?P<run>{unit}(?:\s*{unit})*)"
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in (scan, end, rf"{end}\s*{start}")]
    beginnings = frozenset(text[:size].lower() for text in (*STARTS, *ends) for size in range(1, len(text)))
    return patterns[0], patterns[1], patterns[2], beginnings


def _opens_strike(low: str) -> bool:
    """Whether markers that follow one another may be HTML that begins struck-out text."""
    return low.startswith("<s>") and _STRIKES.fullmatch(low) is not None


def _open_ticks(line: str, opened: str) -> str:
    """Return the backticks of the code span that is open at the end of a piece of a line, "" when none is."""
    for ticks in re.findall("`+", line):
        opened = "" if ticks == opened else opened or ticks
    return opened


def _either(texts: Sequence[str]) -> str:
    """Return a pattern for one of several texts, the longest first."""
    longest_first = sorted(texts, key=len, reverse=True)
    # One that is written in capitals is none in small letters: `x[inst]` is code.
    patterns = [re.escape(t) if t.islower() else f"(?-i:{re.escape(t)})" for t in longest_first]
    return f"(?:{'|'.join(patterns)})"
