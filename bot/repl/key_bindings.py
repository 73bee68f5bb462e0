"""Keys at the `>>>` prompt, beyond those of Emacs or vi."""

from __future__ import annotations

from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import completion_is_selected, has_focus
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

QUOTES = '"""'


def strip_quotes(text: str) -> str:
    """Return the text without the three quotes around it, if it has them.

    A quoted text is a prompt even if it begins with a slash.
    """
    stripped = text.strip()
    if len(stripped) < 2 * len(QUOTES) or not (stripped.startswith(QUOTES) and stripped.endswith(QUOTES)):
        return text
    inner = stripped[len(QUOTES) : -len(QUOTES)].strip("\n")
    return "/" + inner if inner.startswith("/") else inner


def has_open_quotes(text: str) -> bool:
    """Whether three quotes are opened and not closed."""
    stripped = text.strip()
    closed = len(stripped) >= 2 * len(QUOTES) and stripped.endswith(QUOTES)
    return stripped.startswith(QUOTES) and not closed


def key_bindings() -> KeyBindings:
    """Return the bindings, which do not apply while the user searches earlier prompts."""
    bindings = KeyBindings()
    in_line = has_focus(DEFAULT_BUFFER)

    @bindings.add("enter", filter=in_line & completion_is_selected)
    def _choose(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @bindings.add("enter", filter=in_line & ~completion_is_selected)
    def _submit(event: KeyPressEvent) -> None:
        if has_open_quotes(event.current_buffer.text):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter", filter=in_line)
    @bindings.add("c-j", filter=in_line)
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c", filter=in_line)
    def _interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return bindings
