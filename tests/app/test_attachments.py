"""Files that go along with a prompt: read whole, or refused in one line; never waited for without end."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bot.app import attachments
from bot.app.attachments import attach, read_attachment
from bot.errors import UsageError
from bot.settings import bounded_read, files

_POSIX = pytest.mark.skipif(os.name != "posix", reason="devices, pipes and sockets of POSIX")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_read, "OPEN_SECONDS", 0.0)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**10)


_MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "fifo": (os.mkfifo, "pipe from which nothing came"),
    "socket": (_socket, "it is a socket"),
    "folder": (Path.mkdir, "Is a directory"),
    "sparse": (_sparse, "larger than 16 MB"),
    "binary": (lambda path: path.write_bytes(b"a\0b"), "not a text file"),
    "latin-1": (lambda path: path.write_bytes("é".encode("latin-1")), "not a text file in UTF-8"),
    "absent": (lambda _: None, "No such file"),
    "to nowhere": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "to itself": (lambda path: path.symlink_to(path), "symbolic links"),
}


@_POSIX
@pytest.mark.parametrize("kind", _MADE)
def test_what_is_no_text_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what it is, for attached files, instructions and system prompts alike."""
    monkeypatch.chdir(tmp_path)
    make, message = _MADE[kind]
    path = Path("it")
    make(path)
    with pytest.raises(UsageError, match=message) as caught:
        asyncio.run(attach("words", [path]))
    assert len(caught.value.message.splitlines()) == 1
    if kind not in {"binary", "latin-1", "sparse"}:
        with pytest.raises(UsageError, match=message):
            files.read_text(path, "The file")


@_POSIX
@pytest.mark.parametrize(
    ("device", "message"),
    [("/dev/zero", "a device"), ("/dev/urandom", "a device"), ("/dev/full", "a device"), ("a\0b", "null")],
)
def test_devices(device: str, message: str) -> None:
    """A device has no end; only the empty one is read."""
    if "\0" not in device and not Path(device).exists():
        pytest.skip(f"there is no {device}")
    with pytest.raises(UsageError, match=message):
        read_attachment(Path(device))
    assert read_attachment(Path(os.devnull)) == ""


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="the kernel's log is root's on Linux")
def test_a_regular_file_that_waits_at_its_end() -> None:
    """What is there by now is read, or the file is refused; nothing is waited for."""
    with suppress(UsageError):
        read_attachment(Path("/proc/kmsg"))


@_POSIX
def test_a_pipe_that_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program writes into it is read to its end, also where it comes in pieces."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(bounded_read, "OPEN_SECONDS", 60.0)
    # It is held open for reading, so that neither end waits for the other.
    held = os.open(path, os.O_RDWR)

    def write() -> None:
        with path.open("w") as pipe:
            pipe.write("piece " * 50_000)
        os.close(held)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_attachment(path) == "piece " * 50_000
    writer.join()


@_POSIX
def test_a_pipe_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is read from it than a prompt may hold."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(attachments, "MAX_BYTES", 1000)
    held = os.open(path, os.O_RDWR)
    os.write(held, b"x" * 2000)
    with pytest.raises(UsageError, match="larger than"):
        read_attachment(path)
    os.close(held)


@_POSIX
def test_a_pipe_that_stays_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that holds it open and writes nothing is not waited for without end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(bounded_read, "SILENT_SECONDS", 0.0)
    held = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(UsageError, match="pipe from which nothing came"):
            read_attachment(path)
    finally:
        os.close(held)
