"""Keys at the `>>>` prompt, beyond those of Emacs or vi."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

QUOTES = '"""'


def unquote(text: str) -> str:
    """Return the text without the three quotes around it, if they are there.

    What stands between them is a prompt, also when it begins with a slash.
    """
    stripped = text.strip()
    if len(stripped) < 2 * len(QUOTES) or not (stripped.startswith(QUOTES) and stripped.endswith(QUOTES)):
        return text
    inner = stripped[len(QUOTES) : -len(QUOTES)].strip("\n")
    return "/" + inner if inner.startswith("/") else inner


def is_open(text: str) -> bool:
    """Tell whether three quotes have been opened and not closed."""
    stripped = text.strip()
    closed = len(stripped) >= 2 * len(QUOTES) and stripped.endswith(QUOTES)
    return stripped.startswith(QUOTES) and not closed


def key_bindings() -> KeyBindings:
    """Return the bindings. None of them is in force while earlier prompts are searched."""
    from prompt_toolkit.enums import DEFAULT_BUFFER
    from prompt_toolkit.filters import completion_is_selected, has_focus
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()
    in_line = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=in_line & completion_is_selected)
    def _choose(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("enter", filter=in_line & ~completion_is_selected)
    def _submit(event: KeyPressEvent) -> None:
        if is_open(event.current_buffer.text):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=in_line)
    @keys.add("c-j", filter=in_line)
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c", filter=in_line)
    def _interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return keys
