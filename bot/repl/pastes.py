"""Long pasted texts: each is one character of the line, is shown as `[pasted 300 lines]`, and sent whole.

As it is one character, the keys of the editor move over it and delete it as such, and what is typed
around it cannot damage it. The characters are of Unicode's private use area.
"""

from __future__ import annotations

from bisect import bisect_right

from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

from bot.text.numbers import plural

LINES, CHARACTERS = 20, 4000
"""A longer paste is folded."""
_FIRST, _LAST = 0xF0000, 0xFFFFD
PASTED_AT = "\U0010fffd"
"""Stands for an @ of a folded paste until files are attached: few users have read each name in it."""


class Pastes:
    """The long texts that were pasted in this chat."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def fold(self, text: str) -> str:
        """Return what stands in the line for a pasted text: the text itself if it is short."""
        if text.count("\n") < LINES and len(text) <= CHARACTERS:
            return text
        free = (chr(code) for code in range(_FIRST, _LAST) if chr(code) not in self._texts)
        character = next((each for each in free if each not in text), "")
        if not character:
            return text
        self._texts[character] = text
        return character

    def refold(self, text: str) -> str:
        """Return a text that was sent as the line that it was."""
        text = text.replace(PASTED_AT, "@")
        for character, pasted in self._texts.items():
            text = text.replace(pasted, character)
        return text

    def unfold(self, line: str) -> str:
        """Return a line with the pasted texts themselves."""
        if line.isascii() or not self._texts:
            return line
        return "".join(self._texts.get(character, character) for character in line)

    def unfold_prompt(self, line: str) -> str:
        """Return a prompt with the pasted texts, in which `PASTED_AT` stands for each @."""
        if line.isascii() or not self._texts:
            return line
        marked = {character: text.replace("@", PASTED_AT) for character, text in self._texts.items()}
        return "".join(marked.get(character, character) for character in line)

    def label(self, character: str) -> str:
        """Return how a character of the line is shown, "" when it stands for itself."""
        text = self._texts.get(character)
        if text is None:
            return ""
        lines = text.count("\n") + (not text.endswith("\n"))
        long = lines <= LINES and f", {len(text):,} characters"
        return f"[pasted {plural(lines, 'line')}{long or ''}]"


class PasteProcessor(Processor):
    """Shows the characters that stand for pasted texts as their labels."""

    def __init__(self, pastes: Pastes) -> None:
        self._pastes = pastes

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace the characters, and tell the editor where the cursor is then."""
        starts, position = [], 0
        shown = []
        for style, character, *_ in explode_text_fragments(transformation_input.fragments):
            starts.append(position)
            label = self._pastes.label(character)
            shown.append((f"{style} class:paste" if label else style, label or character))
            position += len(label or character)
        # The cursor may stand after the line.
        starts += [position, position + 1]
        return Transformation(
            [(style, text) for style, text in shown],
            source_to_display=lambda index: starts[min(index, len(starts) - 1)],
            display_to_source=lambda index: max(bisect_right(starts, index) - 1, 0),
        )
