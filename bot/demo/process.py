"""The offline service in a child process.

    start_demo() ─► python … serve --child ─► one line of JSON on its stdout: its address
         └ holds its stdin: when this process ends, however it dies, the pipe closes and the child ends too

Imports neither asyncio nor h11: the main process starts the service on the way to the prompt.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bot.errors import ConfigError, MoaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_START_TIMEOUT: Final = 20.0
_STOP_TIMEOUT: Final = 2.0
_HTTP_TIMEOUT: Final = 30.0
_CHILD: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from bot.demo.__main__ import main; sys.exit(main())"
)


class DemoProcess:
    """A child process with the service. Use it as a context manager, or call `stop`."""

    def __init__(self, behaviour_file: Path | None = None, *, inspect: bool = False) -> None:
        # -P keeps the working folder off sys.path: a folder named `bot` in there must not be run.
        command = [sys.executable, "-P", "-c", _CHILD, str(Path(__file__).parents[2]), "serve", "--child"]
        command += ["--behaviour", str(behaviour_file)] if behaviour_file else []
        command += ["--inspect"] if inspect else []
        self._base_url = ""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Keeps the terminal's Ctrl-C away, also before the child ignores it.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def base_url(self) -> str:
        """The address for an OpenAI-compatible client; waits until the service listens.

        Raises ConfigError for a wrong behaviour file, MoaError when the service does not start.
        """
        if not self._base_url:
            self._base_url = self._wait_for_start()
        return self._base_url

    @property
    def url(self) -> str:
        """`base_url` without its `/v1`, as the together SDK expects it."""
        return self.base_url.removesuffix("/v1")

    def stop(self) -> None:
        """End the service and wait until it has ended; a second call does nothing."""
        process = self._process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        for end in (None, process.terminate, process.kill):
            if end is not None:
                end()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                continue
            return

    def requests(self) -> list[dict[str, Any]]:
        """Return the chat requests that the service has received (only with `inspect`)."""
        return list(self._inspect("GET", "/demo/requests"))

    def clear_requests(self) -> None:
        """Clear the list of requests (only with `inspect`)."""
        self._inspect("DELETE", "/demo/requests")

    def connections(self) -> dict[str, int]:
        """Return {"opened": …, "open": …}, without this request's connection (only with `inspect`)."""
        return dict(self._inspect("GET", "/demo/connections"))

    def set_behaviour(self, behaviour: Mapping[str, Any]) -> None:
        """Replace the behaviour (only with `inspect`); raises ConfigError."""
        self._inspect("POST", "/demo/behaviour", behaviour)

    def __enter__(self) -> Self:
        """Return itself; the process is running already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the service."""
        self.stop()

    def _wait_for_start(self) -> str:
        timer = threading.Timer(_START_TIMEOUT, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
        finally:
            timer.cancel()
        message = json.loads(line) if line.startswith(b"{") else {}
        if "base_url" in message:
            return str(message["base_url"])
        self.stop()
        kind = ConfigError if message.get("kind") == "ConfigError" else MoaError
        raise kind(message.get("error") or "the offline service did not start", message.get("hint", ""))

    def _inspect(self, method: str, path: str, value: Mapping[str, Any] | None = None) -> Any:
        # Only tests and benchmarks inspect the service.
        from http.client import HTTPConnection  # noqa: PLC0415 - a chat with real models goes without
        from urllib.parse import urlsplit  # noqa: PLC0415 - a chat with real models goes without

        connection = HTTPConnection(urlsplit(self.base_url).netloc, timeout=_HTTP_TIMEOUT)
        try:
            connection.request(method, path, None if value is None else json.dumps(value))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status == 200:  # noqa: PLR2004 - HTTP's own number
            return answer
        message = answer["error"]["message"]
        if answer["error"]["code"] == "invalid_behaviour":
            raise ConfigError(message)
        raise MoaError(message)


def start_demo(
    behaviour_file: Path | None = None, *, inspect: bool = False, wait: bool = True
) -> DemoProcess:
    """Start the service in a child process on a free port of this computer.

    Returns once it listens; with `wait=False` at once, and `base_url` waits.
    Raises ConfigError for a wrong behaviour file, MoaError when the service does not start.
    """
    process = DemoProcess(behaviour_file, inspect=inspect)
    if wait:
        try:
            _ = process.base_url
        except BaseException:
            # Also after Ctrl-C: the child must not be left running.
            process.stop()
            raise
    return process
