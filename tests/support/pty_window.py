"""A program in a pseudo-terminal: a window with its screen, its keyboard and its size. POSIX only."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import tty
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Self

from emulator import Emulator
from running import LIMIT

_WHERE = "\x1b[6n"


class PtyWindow:
    """Runs a command as a window's program. Use it as a context manager.

    It answers where the cursor is, as terminals do. Nothing waits for a fixed time.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], *, width: int = 80, height: int = 24
    ) -> None:
        self.emulator = Emulator(width, height)
        self.raw = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.master, slave = pty.openpty()
        self._slave = slave
        self.modes = termios.tcgetattr(slave)
        self.resize(width, height)
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(env),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one call, no locks
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Close the window; a program that still runs in it is sent SIGHUP by the system."""
        for descriptor in {self.master, self._slave} - {-1}:
            os.close(descriptor)
        self.master = self._slave = -1

    @property
    def text(self) -> str:
        """All rows, scrolled away or visible, without the bar at the end."""
        rows = self.emulator.rows()
        if rows and "←" in rows[-1]:
            rows.pop()
        return "\n".join(rows).rstrip("\n")

    @property
    def here(self) -> str:
        """The row that the cursor is in."""
        return self.emulator.here

    def type(self, keys: str) -> None:
        """Type, and wait for nothing."""
        data = keys.encode()
        while data:
            select.select([], [self.master], [], LIMIT)
            sent = os.write(self.master, data[:1000])
            data = data[sent:]
            self.pump(0)

    def pump(self, seconds: float = 0.01) -> bool:
        """Take in what was written, waiting so long for something at most; False when there was nothing."""
        if self.master < 0 or not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            text = self._decoder.decode(os.read(self.master, 1 << 16))
        except OSError:  # the last process has closed the terminal
            return False
        self.raw += text
        *asked, rest = text.split(_WHERE)
        for part in asked:
            self.emulator.feed(part)
            cursor = self.emulator.screen.cursor
            os.write(self.master, f"\x1b[{cursor.y + 1};{cursor.x + 1}R".encode())
        self.emulator.feed(rest)
        return True

    def until(self, condition: Callable[[], Any], what: str = "") -> float:
        """Wait until the condition holds; returns how many seconds it took."""
        began = monotonic()
        while not condition():
            if monotonic() - began > LIMIT:
                raise AssertionError(f"waited in vain{f' for {what}' if what else ''}:\n{self.text}")
            self.pump()
        return monotonic() - began

    def shows(self, text: str) -> float:
        """Wait until the text is on the screen or above it."""
        return self.until(lambda: text in self.text, repr(text))

    def prompt(self, line: str = "") -> float:
        """Wait until the cursor stands in a prompt that holds just this."""
        return self.until(lambda: self.here == f">>> {line}".rstrip(), f"the prompt with {line!r}")

    def ask(self, prompt: str) -> str:
        """Type a line and Enter, wait for the next empty prompt; returns the rows in between."""
        above = len(self.text.split("\n"))
        self.type(prompt)
        self.prompt(prompt)
        self.type("\r")
        self.until(lambda: self.here != f">>> {prompt}")
        self.prompt()
        return "\n".join(self.text.split("\n")[above:-1])

    def end(self) -> int:
        """Wait for the program's end; returns its exit code."""
        self.until(lambda: self.process.poll() is not None, "the end of the program")
        while self.pump(0):
            pass
        assert self.process.returncode is not None
        return self.process.returncode

    def resize(self, width: int, height: int) -> None:
        """Give the window another size; the program is told by SIGWINCH."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.emulator.resize(width, height)

    def assert_as_found(self) -> None:
        """Check that the terminal's modes are what they were, and that nothing else was left behind."""
        assert termios.tcgetattr(self._slave) == self.modes
        self.emulator.assert_unchanged()
        assert self.raw.count("\x1b[?2004h") == self.raw.count("\x1b[?2004l")

    def left_over(self) -> bytes:
        """What the program has left unread, which the shell would take for typed text."""
        tty.setraw(self._slave)
        return os.read(self._slave, 4096) if select.select([self._slave], [], [], 0)[0] else b""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        self.process.send_signal(number)
