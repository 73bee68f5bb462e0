"""Keeps a model's thinking apart from its answer when both come in one stream of text.

Services send thinking in a field of its own (`reasoning`, `reasoning_content`), or leave it in
the text between `<think>` and `</think>`. Only a tag that opens the text counts: a reply about
the tag itself stays whole.
"""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Splits streamed text into answer and thinking, wherever the pieces are cut.

    `feed` returns `(text, thinking)` for a piece; `close` returns what was held back.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def feed(self, piece: str) -> tuple[str, str]:
        """Return the answer's and the thinking's share of all that is certain by now."""
        if self._state == "text":
            return piece, ""
        self._held += piece
        if self._state == "start":
            lead = self._held.lstrip()
            if lead.startswith(OPEN):
                self._held, self._state = lead[len(OPEN) :], "thinking"
            elif OPEN.startswith(lead):
                return "", ""
            else:
                return self._release("text"), ""
        if self._state == "thinking":
            return self._think()
        # After the thinking, the blank lines before the answer are not part of it.
        self._held = self._held.lstrip()
        return (self._release("text"), "") if self._held else ("", "")

    def close(self) -> tuple[str, str]:
        """Return what was held back, the stream being over."""
        held, self._held = self._held, ""
        return ("", held) if self._state == "thinking" else (held, "")

    def _release(self, state: str) -> str:
        held, self._held, self._state = self._held, "", state
        return held

    def _think(self) -> tuple[str, str]:
        thinking, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._state, self._held = "after", rest.lstrip()
            return (self._release("text") if self._held else ""), thinking
        # The end may be the first part of the closing tag: hold that much back.
        keep = next((n for n in range(len(CLOSE) - 1, 0, -1) if self._held.endswith(CLOSE[:n])), 0)
        cut = len(self._held) - keep
        certain, self._held = self._held[:cut], self._held[cut:]
        return "", certain


def split_thinking(text: str) -> tuple[str, str]:
    """Return `(answer, thinking)` of a whole text.

    Some chat templates open the thinking themselves, so that only `</think>` shows up; in a
    whole text everything before it is thinking.
    """
    splitter = ThinkSplitter()
    answer, thinking = splitter.feed(text)
    tail, more = splitter.close()
    answer, thinking = answer + tail, thinking + more
    if not thinking and answer.count(CLOSE) == 1 and OPEN not in answer:
        thinking, _, answer = answer.partition(CLOSE)
        answer = answer.lstrip()
    return answer, thinking
