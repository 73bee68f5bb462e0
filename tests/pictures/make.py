"""Makes the pictures of README and docs: the real program, run in terminals of several sizes.

    python tests/pictures/make.py [FOLDER] [--only 88x30]     default: docs/pictures

Windows are dark or light, and say so when they are asked; the program chooses its colours by that.

The models are scripted: the offline service says, under the names of real models, what stands below,
with their speeds, thoughts and failures. All else is the program itself. What the terminal shows at
chosen moments becomes an SVG. Times in the pictures differ from run to run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pexpect  # type: ignore[import-untyped] # it ships no types
import pyte

from bot.demo.process import DemoProcess

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 88, 30
DARK, LIGHT = "16/19/1d", "fb/fb/f9"
BACKGROUND = DARK
PATIENCE = 60.0
"""Seconds that any moment is waited for."""

PROMPT = "Why do cats purr, and is it always a good sign?"
TITLE = "moa-bot, with scripted models"

REFERENCES = (
    "zai-org/GLM-5.3",
    "deepseek-ai/DeepSeek-V4-Pro-0813",
    "MiniMaxAI/MiniMax-M3",
    "openai/gpt-oss-120b",
    "moonshotai/Kimi-K3",
)
AGGREGATOR = "Qwen/Qwen3.7-Max"
# What the reference models say, in this order, and how they behave. One that fails
# says the same in both rounds: a request that is turned away takes its turn of the replies.
ROUND_1 = """
Cats purr by twitching the muscles of the larynx about 25 times a second. They mostly do it when
content, but also when hurt or afraid.
===
Purring is a signal between mother and kittens before it is anything else.
===
Mostly contentment, sometimes self-soothing: a purr at the vet's is a cat that calms itself.
===
Relaxed and kneading: content. With a cry in it: feed me. Hiding, not eating: pain.
===
That purring heals bones is a hypothesis: its frequencies are those that help bones grow in the
laboratory, but nobody has shown it in cats.
"""
ROUND_2 = """
Cats purr by twitching the muscles of the larynx 25 to 30 times a second, breathing in and out.
**It is not always a good sign**: injured, frightened and labouring cats purr too.
===
Purring begins as a signal between mother and kittens, a few days after birth. Grown cats keep it
for contentment, for asking to be fed, and for calming themselves: **look at the whole cat**. If it
hides, eats less or breathes fast while it purrs, call a vet.
===
Mostly contentment, sometimes self-soothing: a purr at the vet's is a cat that calms itself.
===
| purr | meaning |
|---|---|
| relaxed, kneading | content |
| with a cry in it | feed me |
| hiding, not eating | in pain: call a vet |
===
That purring heals bones is a hypothesis: its frequencies are those that help bones grow in the
laboratory, but nobody has shown it in cats.
"""
BEHAVIOURS: tuple[dict[str, Any], ...] = (
    {"tokens_per_second": 55, "first_token": 0.3},
    {"tokens_per_second": 16, "first_token": 0.6},
    {
        "tokens_per_second": 60,
        "failures": [{"status": 429, "times": 1, "references": True, "headers": {"Retry-After": 5}}],
    },
    {"tokens_per_second": 90, "first_token": 0.1},
    {
        "tokens_per_second": 20,
        "failures": [{"status": 503, "references": False}],
        "reasoning": """The answers agree on the larynx and on contentment. They differ on what else a purr
may be for: asking, soothing, perhaps healing. The last of these is a hypothesis and has to be named
as one. What helps the person most is how to tell the kinds apart.""",
    },
)
REPLY = """
Cats purr by twitching the muscles of the larynx 25 to 30 times a second, breathing in and out.

**It is not always a good sign**: injured, frightened and labouring cats purr too. Look at the
whole cat:

| purr | meaning |
|---|---|
| relaxed, kneading | content |
| with a cry in it | feed me |
| hiding, not eating | in pain: call a vet |

That purring heals bones is a hypothesis; nobody has shown it in cats.

So enjoy it, and trust what has changed more than the sound.
"""
CODE_PROMPT = "How do I read a date in Python?"
CODE_REPLY = """
Use `datetime.fromisoformat`, described in the [Python manual](https://docs.python.org/3/library/datetime.html):

```python
from datetime import datetime

when = datetime.fromisoformat("2026-01-31T09:05")
print(f"{when:%d %B %Y}")  # 31 January 2026
```

| call | reads | since |
|---|---|---:|
| `datetime.fromisoformat(text)` | ISO 8601, with or without a time and an offset | 3.7 |
| `datetime.strptime(text, "%d/%m/%y")` | any format that you describe | 2.5 |
"""


class Screen(pyte.Screen):
    """A terminal's screen that answers its program, and remembers which cells are dim."""

    def __init__(self, answer: Callable[[str], object]) -> None:
        super().__init__(COLUMNS, ROWS)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        """Send what the terminal is asked for, its cursor's place say."""
        self._answer(data)

    def select_graphic_rendition(self, *attrs: int, **_: object) -> None:
        """Keep "dim" in the place of "blink", which pyte knows and the program does not use."""
        codes: list[int] = []
        rest = list(attrs)
        while rest:
            code = rest.pop(0)
            if code in {38, 48}:  # a colour, whose numbers mean something else
                length = {5: 2, 2: 4}.get(rest[0] if rest else 0, 0)
                codes += [code, *rest[:length]]
                del rest[:length]
            else:
                codes += {2: [5], 22: [22, 25]}.get(code, [code])
        super().select_graphic_rendition(*codes)

    def text(self) -> str:
        """What can be read on it."""
        return "\n".join(line.rstrip() for line in self.display).rstrip()


class Terminal:
    """The program in a pseudo-terminal."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        command = ["-m", "bot", *arguments]
        self._child = pexpect.spawn(
            sys.executable, command, dimensions=(ROWS, COLUMNS), cwd=str(ROOT), env=environment
        )
        self.screen = Screen(self._child.send)
        self._stream = pyte.ByteStream(self.screen)

    def type(self, text: str) -> None:
        """Press keys."""
        self._child.send(text)

    def until(self, seen: Callable[[Screen], bool], what: str) -> None:
        """Read on until the screen shows something; TimeoutError, with the screen, if it never does."""
        deadline = time.monotonic() + PATIENCE
        while not seen(self.screen):
            if time.monotonic() > deadline or not self._read(0.05):
                raise TimeoutError(f"{what} was never seen; the screen:\n{self.screen.text()}")

    def until_prompt(self) -> None:
        """Read on until the program waits for the next prompt and has drawn all there is to draw."""
        self.until(_asks, "the prompt")
        quiet = time.monotonic()
        while time.monotonic() - quiet < 0.5:
            before = self.screen.text()
            self._read(0.1)
            if self.screen.text() != before:
                quiet = time.monotonic()

    def leave(self) -> None:
        """Leave with Ctrl-D, by force if that does not do."""
        self._child.sendeof()
        deadline = time.monotonic() + PATIENCE
        while self._read(0.1) and time.monotonic() < deadline:
            pass
        self._child.close(force=True)

    def _read(self, seconds: float) -> bool:
        """Take in what the program writes; False when it has ended."""
        try:
            written = self._child.read_nonblocking(1 << 16, timeout=seconds)
            if b"\x1b]11;?" in written:
                self._child.send(f"\x1b]11;rgb:{BACKGROUND}\x1b\\")
            self._stream.feed(written)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        return True


def _asks(screen: Screen) -> bool:
    return screen.display[screen.cursor.y].rstrip() == ">>>" and "/help" in screen.display[-1]


def _thinks(screen: Screen) -> bool:
    """Whether round 2 shows every state at once: done, writing (and how fast), thinking, asking again."""
    text = screen.text()
    wanted = ("round 2 of 2", "thinking", "asking again")
    return text.count("✓") > 1 and all(said in text for said in wanted) and bool(re.search("▸.*/s", text))


def shots(terminal: Terminal) -> Iterator[tuple[str, str]]:
    """Hold the conversation; yield each picture's name and content as its moment comes."""
    terminal.until_prompt()
    terminal.type(f"{PROMPT}\r")
    terminal.until(_thinks, "every state of a model at once")
    yield "thinking", svg(terminal.screen)
    terminal.until(lambda screen: "first word" in screen.text(), "the line under the reply")
    terminal.until_prompt()
    yield "reply", svg(terminal.screen)
    for name in ("refs", "trace"):
        terminal.type("\x0c")  # Ctrl-L
        terminal.until(lambda screen: screen.cursor.y == 0 and _asks(screen), "an empty screen")
        terminal.type(f"/{name}\r")
        terminal.until(lambda screen: screen.cursor.y > 0 and _asks(screen), f"what /{name} shows")
        terminal.until_prompt()
        yield name, svg(terminal.screen)


def finished(terminal: Terminal) -> Iterator[tuple[str, str]]:
    """Have code, a table and a link in a reply; yield the finished screen, then the menu."""
    terminal.until_prompt()
    terminal.type(f"{CODE_PROMPT}\r")
    terminal.until(lambda screen: "first word" in screen.text(), "the line under the reply")
    terminal.until_prompt()
    yield "code", svg(terminal.screen)
    terminal.type("\x0c")  # Ctrl-L
    terminal.until(lambda screen: screen.cursor.y == 0 and _asks(screen), "an empty screen")
    terminal.type("/re")
    terminal.until(lambda screen: "/resume" in screen.text(), "the menu")
    yield "menu", svg(terminal.screen)
    terminal.type("\x03")


def resumed(terminal: Terminal) -> Iterator[tuple[str, str]]:
    """Continue the conversation; yield what is shown of it."""
    terminal.until_prompt()
    yield "resumed", svg(terminal.screen)


# The picture: cells to SVG. A window of its own colours can be read on a light page and on a dark one.

CELL, LINE, SIZE, MARGIN, BAR = 8.43, 18, 14, 14, 34
WINDOW_COLOURS = {
    DARK: ("#16191d", "#3a4047", "#d7dce0", "#7d868f"),
    LIGHT: ("#fbfbf9", "#c9cdd1", "#22262a", "#6f777e"),
}
PAPER, FRAME, INK, QUIET = WINDOW_COLOURS[DARK]
COLOURS = {
    **dict.fromkeys(("default", "white", "brightwhite"), INK),
    **dict.fromkeys(("black", "brightblack"), QUIET),
    **dict.fromkeys(("red", "brightred"), "#e5777d"),
    **dict.fromkeys(("green", "brightgreen"), "#8cc98f"),
    **dict.fromkeys(("brown", "brightbrown"), "#d9b66f"),
    **dict.fromkeys(("blue", "brightblue"), "#86adf2"),
    **dict.fromkeys(("magenta", "brightmagenta"), "#c9a0e6"),
    **dict.fromkeys(("cyan", "brightcyan"), "#62c4cc"),
}
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"


def svg(screen: Screen) -> str:
    """Draw the screen, without the empty rows at its end, as a window."""
    rows = max(index for index, line in enumerate(screen.display) if line.strip() or index == 0) + 1
    width, height = round(COLUMNS * CELL) + 2 * MARGIN, rows * LINE + BAR + MARGIN
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    shape = f'width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="{FRAME}"'
    middle = f'x="{width / 2}" y="21" text-anchor="middle" font-size="12" fill="{QUIET}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" font-size="{SIZE}" role="img">',
        f'<title>{escape(TITLE)}</title><rect x=".5" y=".5" {shape}/>',
        *(f'<circle cx="{18 + 16 * place}" cy="17" r="4.5" fill="{FRAME}"/>' for place in range(3)),
        f"<text {middle}>{escape(TITLE)}</text>",
    ]
    for row in range(rows):
        parts += _row([screen.buffer[row][column] for column in range(COLUMNS)], BAR + row * LINE)
    if not screen.cursor.hidden and _asks(screen):
        x, y = MARGIN + screen.cursor.x * CELL, BAR + screen.cursor.y * LINE + 1
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{CELL}" height="{LINE - 2}" fill="{INK}" opacity=".75"/>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(cells: list[pyte.screens.Char], top: int) -> Iterator[str]:
    """Draw a row: a text for each stretch of one look without a wide gap, as long as its cells."""
    column = 0
    for look, same in groupby(cells, key=lambda cell: cell._replace(data="")):
        stretch = [cell.data for cell in same]
        ink, paper = _colour(look.fg, INK), _colour(look.bg, PAPER)
        if look.reverse:
            ink, paper = paper, ink
        if paper != PAPER:
            x, long = MARGIN + column * CELL, len(stretch) * CELL
            yield f'<rect x="{x:.1f}" y="{top}" width="{long:.1f}" height="{LINE}" fill="{paper}"/>'
        for start, text, wide in _words(stretch):
            x, long = MARGIN + (column + start) * CELL, wide * CELL
            yield (
                f'<text x="{x:.1f}" y="{top + 13}" textLength="{long:.1f}" lengthAdjust="spacingAndGlyphs"'
                f' fill="{ink}"{_attributes(look)}>{escape(text, quote=False)}</text>'
            )
        column += len(stretch)


def _words(cells: list[str]) -> Iterator[tuple[int, str, int]]:
    """Cut a stretch at its gaps; yields first cell, text and number of cells of each piece."""
    # A wide character is followed by an empty cell: it stands as a mark of its own length.
    line = "".join(data or "\0" for data in cells)
    for found in re.finditer(r"[^ ]+(?: [^ ]+)*", line):
        yield found.start(), found[0].replace("\0", ""), len(found[0])


def _colour(name: str, default: str) -> str:
    return default if name == "default" else COLOURS.get(name, f"#{name}")


def _attributes(look: pyte.screens.Char) -> str:
    lines = [
        name for name, on in (("underline", look.underscore), ("line-through", look.strikethrough)) if on
    ]
    return "".join(
        (
            ' font-weight="bold"' if look.bold else "",
            ' font-style="italic"' if look.italics else "",
            f' text-decoration="{" ".join(lines)}"' if lines else "",
            ' opacity=".62"' if look.blink else "",
        )
    )


def behaviour(reply: str) -> dict[str, Any]:
    """Return the offline service's behaviour for these models."""
    said = zip(*([text.strip() for text in texts.split("===")] for texts in (ROUND_1, ROUND_2)), strict=True)
    models = {
        model: {**how, "replies": list(replies)}
        for model, how, replies in zip(REFERENCES, BEHAVIOURS, said, strict=True)
    }
    models[AGGREGATOR] = {"tokens_per_second": 60, "first_token": 0.4, "reply": reply.strip()}
    return {"demo_models": False, "models": models}


def choose(size: str, background: str) -> None:
    """Set the window's size and colours."""
    global COLUMNS, ROWS, PAPER, FRAME, INK, QUIET, BACKGROUND
    COLUMNS, ROWS = (int(number) for number in size.split("x"))
    BACKGROUND, (PAPER, FRAME, INK, QUIET) = background, WINDOW_COLOURS[background]
    COLOURS.update(dict.fromkeys(("default", "white", "brightwhite"), INK))
    COLOURS.update(dict.fromkeys(("black", "brightblack"), QUIET))


Shots = Callable[[Terminal], Iterator[tuple[str, str]]]
WINDOWS: tuple[tuple[str, str, str, str, tuple[tuple[Shots, tuple[str, ...]], ...]], ...] = (
    ("88x30", DARK, "2", "", ((shots, ()),)),
    ("80x24", DARK, "1", "-80", ((finished, ()), (resumed, ("--continue",)))),
    ("120x40", LIGHT, "1", "-120", ((finished, ()), (resumed, ("--continue",)))),
)
"""Size, background, rounds, what is added to the pictures' names, and the chats with their options."""


def main() -> int:
    """Make all pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "docs" / "pictures")
    parser.add_argument("--only", help="a window's size", choices=[window[0] for window in WINDOWS])
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for size, background, rounds, suffix, chats in WINDOWS:
        if arguments.only in {None, size}:
            choose(size, background)
            _photograph(arguments.folder, rounds, suffix, chats)
    return 0


def _photograph(
    folder: Path, rounds: str, suffix: str, chats: tuple[tuple[Shots, tuple[str, ...]], ...]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        data = behaviour(CODE_REPLY if suffix else REPLY)
        file = Path(home, "behaviour.json")
        file.write_text(json.dumps(data), encoding="utf-8")
        with DemoProcess(file) as service:
            environment = {
                name: value
                for name, value in os.environ.items()
                if not name.startswith("MOA_BOT_") and name not in {"NO_COLOR", "TMUX", "STY"}
            }
            environment |= {"TERM": "xterm-256color", "MOA_BOT_HOME": home, "MOA_BOT_ROUNDS": rounds}
            environment |= {"COLORTERM": "truecolor", "VTE_VERSION": "7600" if suffix else ""}
            environment |= {
                "MOA_BOT_REFERENCE_MODELS": ",".join(REFERENCES),
                "MOA_BOT_AGGREGATOR": AGGREGATOR,
            }
            environment |= {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "none"}
            for shots_of, options in chats:
                terminal = Terminal(environment, *options)
                try:
                    for name, picture in shots_of(terminal):
                        (folder / f"{name}{suffix}.svg").write_text(picture, encoding="utf-8")
                        print(folder / f"{name}{suffix}.svg")
                finally:
                    terminal.leave()


if __name__ == "__main__":
    sys.exit(main())
