"""Keys at the `>>>` prompt, beyond those of Emacs or vi."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

QUOTES = '"""'
TYPED_AHEAD = 0.08
"""Seconds after the prompt has come up in which keys must have been typed before it did."""


def unquote(text: str) -> str:
    """Return the text without the three quotes around it, if they are there."""
    stripped = text.strip()
    if len(stripped) >= 2 * len(QUOTES) and stripped.startswith(QUOTES) and stripped.endswith(QUOTES):
        return stripped[len(QUOTES) : -len(QUOTES)].strip("\n")
    return text


def is_open(text: str) -> bool:
    """Tell whether three quotes have been opened and not closed."""
    stripped = text.strip()
    closed = len(stripped) >= 2 * len(QUOTES) and stripped.endswith(QUOTES)
    return stripped.startswith(QUOTES) and not closed


def key_bindings() -> KeyBindings:
    """Return the bindings."""
    from prompt_toolkit.filters import completion_is_selected
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()
    begun: dict[int, float] = {}

    def submit(event: KeyPressEvent) -> None:
        if is_open(event.current_buffer.text):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("enter", filter=completion_is_selected)
    def _choose(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("enter", filter=~completion_is_selected)
    def _enter(event: KeyPressEvent) -> None:
        submit(event)

    @keys.add("escape", "enter")
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-j")
    def _control_j(event: KeyPressEvent) -> None:
        # An Enter typed before the prompt was there went through the terminal's cooked mode and
        # arrives as Ctrl-J: the two can only be told apart by when they come.
        started = begun.setdefault(id(event.app.renderer), monotonic())
        if event.app.render_counter <= 1 or monotonic() - started < TYPED_AHEAD:
            submit(event)
        else:
            event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return keys
