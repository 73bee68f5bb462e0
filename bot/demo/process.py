"""The offline service in a child process: started, found, stopped, and never left behind.

    start_demo() ─► python … serve --child ─► one line of JSON on its stdout: where it listens
         └ holds its stdin: when this process is gone, however it died, the pipe ends and so does it

It imports neither asyncio nor h11: the program's main process starts the service on its way to
the prompt.
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

_START: Final = 20.0
_STOP: Final = 2.0
_PATIENCE: Final = 30.0
_RUN: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from bot.demo.__main__ import main; sys.exit(main())"
)


class DemoProcess:
    """A running child process with the service. Use it as a context manager, or call `stop`."""

    def __init__(self, behaviour_file: Path | None = None, *, inspect: bool = False) -> None:
        # -P keeps the working folder off the path: a folder named `bot` in there must not be run.
        command = [sys.executable, "-P", "-c", _RUN, str(Path(__file__).parents[2]), "serve", "--child"]
        command += ["--behaviour", str(behaviour_file)] if behaviour_file else []
        command += ["--inspect"] if inspect else []
        self._base_url = ""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Out of reach of the terminal's Ctrl-C, also before the child can ignore it.
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
        """The root of the service: `base_url` without its `/v1`, as the together SDK wants it."""
        return self.base_url.removesuffix("/v1")

    def stop(self) -> None:
        """End the service and wait until it is gone; a second call does nothing."""
        process = self._process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        for end in (None, process.terminate, process.kill):
            if end is not None:
                end()
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                continue
            return

    def requests(self) -> list[dict[str, Any]]:
        """Return the chat requests that the service received (with `inspect` only)."""
        return list(self._inspect("GET", "/demo/requests"))

    def forget_requests(self) -> None:
        """Clear the list of requests (with `inspect` only)."""
        self._inspect("DELETE", "/demo/requests")

    def connections(self) -> dict[str, int]:
        """Return {"opened": …, "open": …}, this look not counted (with `inspect` only)."""
        return dict(self._inspect("GET", "/demo/connections"))

    def programme(self, behaviour: Mapping[str, Any]) -> None:
        """Replace the behaviour (with `inspect` only); raises ConfigError."""
        self._inspect("POST", "/demo/behaviour", behaviour)

    def __enter__(self) -> Self:
        """Return itself; the process runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the service."""
        self.stop()

    def _wait_for_start(self) -> str:
        alarm = threading.Timer(_START, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
        finally:
            alarm.cancel()
        news = json.loads(line) if line.startswith(b"{") else {}
        if "base_url" in news:
            return str(news["base_url"])
        self.stop()
        message = news.get("error") or "the offline service did not start"
        kind = ConfigError if news.get("kind") == "ConfigError" else MoaError
        raise kind(message, news.get("hint", ""))

    def _inspect(self, method: str, path: str, value: Mapping[str, Any] | None = None) -> Any:
        from http.client import HTTPConnection
        from urllib.parse import urlsplit

        connection = HTTPConnection(urlsplit(self.base_url).netloc, timeout=_PATIENCE)
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

    Returns once it listens; with `wait` off at once, and the first look at `base_url` waits.
    Raises ConfigError for a wrong behaviour file, MoaError when the service does not start.
    """
    process = DemoProcess(behaviour_file, inspect=inspect)
    if wait:
        try:
            _ = process.base_url
        except BaseException:
            # Also Ctrl-C while waiting: nothing may be left behind.
            process.stop()
            raise
    return process
