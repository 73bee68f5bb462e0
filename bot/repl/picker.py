"""A list to choose from with the arrow keys, and by typing a part of what is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import BufferControl, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style
from rich.cells import cell_len

from bot.text.sanitise import sanitise
from bot.text.wrap import cut_cells, fit_cells

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

Choice = tuple[str, str]
"""A name, which is what is chosen, and what is said of it."""

ROWS = 12
"""Rows of the list at most."""
_AROUND = 4
"""Rows of the window that the list leaves free: title, keys, and what was on the screen before."""
_WIDEST_NAME = 48
_KEYS = "↑ ↓ and Enter choose · type to filter · Esc leaves"
_STYLE = {"title": "bold fg:ansicyan", "chosen": "bold fg:ansicyan", "quiet": "dim"}


class Picker:
    """A list of choices, those that contain all typed words; one of them is marked.

    `current` is the name that is marked to begin with. `terminal_in` and `terminal_out` replace the
    process's terminal.
    """

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        *,
        current: str = "",
        terminal_in: Input | None = None,
        terminal_out: Output | None = None,
    ) -> None:
        self._choices = [(name, sanitise(description, newlines=False)) for name, description in choices]
        self._found = list(self._choices)
        self._at = next((at for at, (name, _) in enumerate(self._choices) if name == current), 0)
        self._first = 0
        self._output = terminal_out or create_output()
        self._typed = Buffer(multiline=False, on_text_changed=lambda _: self._filter())
        line = Window(
            BufferControl(self._typed, input_processors=[BeforeInput(f"{title} ", "class:title")]), height=1
        )
        rows = Window(FormattedTextControl(self._rows), dont_extend_height=True, wrap_lines=False)
        self.application: Application[str | None] = Application(
            Layout(HSplit([line, rows])),
            key_bindings=self._keys(),
            style=Style.from_dict(_STYLE),
            erase_when_done=True,
            input=terminal_in,
            output=self._output,
        )

    async def choose(self) -> str | None:
        """Return the name that the user chose, None when the user left."""
        return await self.application.run_async(handle_sigint=False)

    def _filter(self) -> None:
        words = self._typed.text.lower().split()
        self._found = [
            (name, description)
            for name, description in self._choices
            if all(word in f"{name} {description}".lower() for word in words)
        ]
        self._at = 0

    @property
    def _height(self) -> int:
        return max(1, min(ROWS, self._output.get_size().rows - _AROUND, len(self._choices)))

    def _rows(self) -> StyleAndTextTuples:
        """Return the visible part of the list, of the same height whatever is found, and the keys."""
        width, height = self._output.get_size().columns - 1, self._height
        self._first = min(max(self._first, self._at - height + 1), self._at)
        names = max((cell_len(name) for name, _ in self._choices), default=0)
        names = min(names, _WIDEST_NAME, max(width // 2, 1))
        shown: StyleAndTextTuples = []
        for at in range(self._first, self._first + height):
            name, description = self._found[at] if at < len(self._found) else ("", "")
            row = f"{'▸' if at == self._at and name else ' '} {fit_cells(name, names)}  {description}"
            look = "class:chosen" if at == self._at else ""
            shown.append((look, cut_cells(row.rstrip(), width) + "\n"))
        count = f"{len(self._found)} of {len(self._choices)}" if self._found else "nothing matches"
        shown.append(("class:quiet", cut_cells(f"  {count} · {_KEYS}", width)))
        return shown

    def _keys(self) -> KeyBindings:
        bindings = KeyBindings()

        def move(step: int) -> None:
            if self._found:
                self._at = min(max(self._at + step, 0), len(self._found) - 1)

        for keys, step in {("up", "c-p", "s-tab"): -1, ("down", "c-n", "tab"): 1}.items():
            for key in keys:
                bindings.add(key)(lambda _, step=step: move(step))
        bindings.add("pageup")(lambda _: move(-self._height))
        bindings.add("pagedown")(lambda _: move(self._height))

        @bindings.add("enter")
        def _choose(event: KeyPressEvent) -> None:
            if self._found:
                event.app.exit(result=self._found[self._at][0])

        @bindings.add("escape", eager=True)
        @bindings.add("c-c")
        @bindings.add("c-d")
        @bindings.add("c-g")
        def _leave(event: KeyPressEvent) -> None:
            event.app.exit(result=None)

        return bindings
