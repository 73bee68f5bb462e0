"""Keys at the `>>>` prompt, beyond those of Emacs or vi."""

from __future__ import annotations

from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, Filter, completion_is_selected, has_focus, vi_navigation_mode
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from bot.repl.command_menu import add_menu_bindings
from bot.repl.pastes import Pastes

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


def key_bindings(pastes: Pastes) -> KeyBindings:
    """Return the bindings, which do not apply while the user searches earlier prompts."""
    bindings = KeyBindings()
    in_line = has_focus(DEFAULT_BUFFER)

    @bindings.add("enter", filter=in_line & completion_is_selected)
    def _choose(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @bindings.add("enter", filter=in_line & ~completion_is_selected)
    def _submit(event: KeyPressEvent) -> None:
        if has_open_quotes(pastes.unfold(event.current_buffer.text)):
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

    _add_paste_bindings(bindings, in_line, pastes)
    add_menu_bindings(bindings)
    return bindings


def _add_paste_bindings(bindings: KeyBindings, in_line: Filter, pastes: Pastes) -> None:
    """Add the keys that fold a long paste and show its text again."""
    folded = Condition(lambda: pastes.unfold(get_app().current_buffer.text) != get_app().current_buffer.text)

    def unfold(buffer: Buffer) -> None:
        before = pastes.unfold(buffer.document.text_before_cursor)
        buffer.document = Document(pastes.unfold(buffer.text), len(before))

    @bindings.add(Keys.BracketedPaste, filter=in_line)
    def _paste(event: KeyPressEvent) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        event.current_buffer.insert_text(pastes.fold(text))

    @bindings.add("c-o", filter=in_line & folded)
    def _unfold(event: KeyPressEvent) -> None:
        unfold(event.current_buffer)

    @bindings.add("c-x", "c-e", filter=in_line & folded)
    @bindings.add("v", filter=in_line & folded & vi_navigation_mode)
    def _edit(event: KeyPressEvent) -> None:
        unfold(event.current_buffer)
        event.current_buffer.open_in_editor(validate_and_handle=True)
