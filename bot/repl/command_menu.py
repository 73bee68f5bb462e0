"""The menu under the prompt: it opens on a slash, and stays open while a command is typed."""

from __future__ import annotations

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import get_app
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, emacs_insert_mode, has_completions, has_focus, vi_insert_mode
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.controls import BufferControl

from bot.repl.commands import COMMANDS

ROWS = 8
"""Rows that the menu has at least; the window scrolls where there are fewer below the prompt."""
_ESCAPE_WAIT = 0.05  # seconds; Alt and a key come at once
STYLE = {
    "completion-menu": "bg:default fg:default",
    "completion-menu.completion": "bg:default fg:default",
    "completion-menu.completion.current": "noreverse bold bg:default fg:ansicyan",
    "completion-menu.meta.completion": "bg:default fg:default dim",
    "completion-menu.meta.completion.current": "bg:default fg:default",
    "scrollbar.background": "bg:default",
    "scrollbar.button": "bg:ansibrightblack",
}
"""As the status bar, without a background."""


def opens_menu(text: str) -> bool:
    """Tell whether the text before the cursor is completed without Tab.

    That is a command's name, and an argument that is chosen from a list. Of a command that ends in a
    prompt it is the first argument only: the prompt's words are the user's own.
    """
    if not text.startswith("/") or text.startswith("//") or "\n" in text:
        return False
    name, space, rest = text[1:].partition(" ")
    if not space:
        return "/" not in name
    entry = next((entry for entry in COMMANDS.values() if name in entry.names), None)
    return entry is not None and bool(entry.completes) and not ("PROMPT" in entry.arguments and " " in rest)


@Condition
def is_typing_command() -> bool:
    """Whether the menu belongs to what stands before the cursor."""
    return opens_menu(get_app().current_buffer.document.text_before_cursor)


def add_menu_bindings(bindings: KeyBindings) -> None:
    """Add Tab and Backspace for lines that open the menu, and Escape, which closes it."""
    in_line = has_focus(DEFAULT_BUFFER)

    @bindings.add("c-i", filter=in_line & is_typing_command & ~has_completions)
    def _complete(event: KeyPressEvent) -> None:
        # The editor's own Tab does nothing while the menu is about to open.
        buffer = event.current_buffer
        requested = CompleteEvent(completion_requested=True)
        found = list(buffer.completer.get_completions(buffer.document, requested))
        if len(found) == 1:
            buffer.apply_completion(found[0])
        elif common := get_common_complete_suffix(buffer.document, found):
            buffer.insert_text(common)
        else:
            buffer.start_completion()

    @bindings.add("c-h", filter=in_line & is_typing_command & (emacs_insert_mode | vi_insert_mode))
    def _backspace(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        buffer.delete_before_cursor(count=event.arg)
        if buffer.complete_while_typing():
            buffer.start_completion(select_first=False)

    @bindings.add("escape", filter=in_line & has_completions & emacs_insert_mode)
    def _close(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()


def close_menu_soon(session: PromptSession[str]) -> None:
    """Have Escape close the menu without the long wait for a key that would make it Alt and that key."""
    app, usual = session.app, session.app.timeoutlen

    def set_wait(_: object) -> None:
        app.timeoutlen = _ESCAPE_WAIT if session.default_buffer.complete_state else usual

    app.before_render += set_wait


def align_menu(session: PromptSession[str]) -> None:
    """Have the menu stand below the beginning of the word that it completes."""
    buffer = session.default_buffer

    def word_start() -> int | None:
        state = buffer.complete_state
        if state is None or not state.completions:
            return None
        return state.original_document.cursor_position + state.completions[0].start_position

    for control in session.layout.find_all_controls():
        if isinstance(control, BufferControl) and control.buffer is buffer:
            control.menu_position = word_start
