"""What a streamed Markdown reply costs: CPU time and terminal output, beside a redrawn rich Live.

Run it by hand: `python tests/bench/markdown.py`. Streams 10 kB of Markdown with every kind of block
in 885 pieces, as a service sends them at 60 pieces a second (simulated: nothing here waits). It
ends with status 1 if our numbers miss the target. Not a test of what is drawn.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown

from bot.render.markdown import MarkdownStream

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = 885
SIZE = 10_000
PER_SECOND = 60
TARGET_SECONDS = 0.3
TARGET_KB = 350

SECTION = """\
## Part {n}: what a cat's purr is for

Purring is a **self-regulating** behaviour as much as a sign of *contentment*. It comes from small
movements of the larynx, about `25` to `150` times a second, and [goes on](https://example.com/{n})
while the cat breathes in and out, which no other of its sounds does. Part {n} says a bit more.

1. It calms the cat itself, also when it is hurt or afraid
2. It tells its mother, or you, that all is well
   - kittens purr from their first days
   - grown cats purr when they *want* something: 猫が喉を鳴らす 🐈
3. It may help bones to heal, though that has not been shown

| sign       | what it means      | certain |
|:-----------|:-------------------|--------:|
| purring    | calm, or in pain   |    60 % |
| tail up    | a greeting         |    90 % |

> If the cat also hides and does not eat, purring is no reason not to call a vet.

```python
def purr(minutes: float, *, hertz: int = 25) -> int:
    \"\"\"Return how many times the larynx moves.\"\"\"
    return round(minutes * 60 * hertz)  # part {n}
```

"""


def document() -> str:
    """Return 10 kB of Markdown, always the same."""
    text = "# On purring\n\n"
    number = 0
    while len(text) < SIZE:
        number += 1
        text += SECTION.format(n=number)
    return text[:SIZE]


def pieces(text: str) -> list[str]:
    """Cut `text` into pieces of 11 or 12 characters, as tokens come in twos and threes."""
    return [text[len(text) * i // PIECES : len(text) * (i + 1) // PIECES] for i in range(PIECES)]


def console() -> tuple[Console, io.StringIO]:
    """Return a console that thinks it is a terminal of 80x24, and what is written to it."""
    file = io.StringIO()
    made = Console(
        file=file, force_terminal=True, width=80, height=24, color_system="256", legacy_windows=False
    )
    return made, file


def ours(text: str) -> int:
    """Stream `text`; return the characters written to the terminal."""
    screen, file = console()
    now = 0.0
    stream = MarkdownStream(screen, clock=lambda: now)
    for piece in pieces(text):
        now += 1 / PER_SECOND
        stream.feed(piece)
        stream.refresh()
    stream.close()
    return len(file.getvalue().encode())


def every_piece(text: str) -> int:
    """Do the same with a redraw at each piece, however soon it comes."""
    screen, file = console()
    stream = MarkdownStream(screen, interval=0.0, clock=lambda: 0.0)
    for piece in pieces(text):
        stream.feed(piece)
    stream.close()
    return len(file.getvalue().encode())


def redrawn_live(text: str) -> int:
    """Draw the whole reply so far at each piece."""
    screen, file = console()
    so_far = ""
    with Live(console=screen, auto_refresh=False, vertical_overflow="visible") as live:
        for piece in pieces(text):
            so_far += piece
            live.update(Markdown(so_far), refresh=True)
    return len(file.getvalue().encode())


def measure(name: str, run: Callable[[str], int], text: str) -> tuple[float, float]:
    """Run once, print and return CPU seconds and kB of output."""
    start = time.process_time()
    size = run(text) / 1000
    seconds = time.process_time() - start
    print(f"{name:<34} {seconds:8.3f} s CPU {size:10.0f} kB")
    return seconds, size


def main() -> int:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--without-live", action="store_true", help="leave out the slow comparison")
    options = parser.parse_args()
    text = document()
    ours(text[:2000])  # imports and caches are the program's start, not the stream's cost
    print(f"{len(text.encode()) / 1000:.1f} kB of Markdown in {PIECES} pieces, 80x24")
    seconds, size = measure(f"ours, {PER_SECOND} pieces a second", ours, text)
    measure("ours, a redraw at every piece", every_piece, text)
    if not options.without_live:
        other_seconds, other_size = measure("rich Live redrawn at every piece", redrawn_live, text)
        print(f"ratio: {other_seconds / seconds:.0f} times the CPU, {other_size / size:.0f} times the output")
    good = seconds <= TARGET_SECONDS and size <= TARGET_KB
    print(f"target {TARGET_SECONDS} s and {TARGET_KB} kB: {'met' if good else 'missed'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
