"""Runs the command of an MCP server, and ends it and all it started when the program is gone.

    python supervise_server.py DESCRIPTOR COMMAND ARGUMENT…

The other end of the pipe DESCRIPTOR is held by the program alone: it closes however the program ends, killed
included. The server has this process's stdin, stdout and stderr, and is in its process group. POSIX only;
imports nothing of the program.
"""

import os
import select
import signal
import sys
import time

_GRACE, _POLL = 1.0, 0.02
"""Seconds between SIGTERM and SIGKILL, and between two looks at whether the server has ended."""


class ServerEndedError(Exception):
    """The command has ended."""


def main() -> int:
    """Run the command until it ends or the program does; returns its exit status."""

    def ended(*_: object) -> None:
        raise ServerEndedError

    program = int(sys.argv[1])
    os.set_inheritable(program, False)  # noqa: FBT003 - takes no names
    # This process outlives the signal that it sends to its own group.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        signal.signal(signal.SIGCHLD, ended)
        os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
        # The server's are the only ends of these pipes.
        os.close(0)
        os.close(1)
        select.select([program], [], [])
    except ServerEndedError:
        # The program kills the rest of the group when it has read the status.
        return os.waitstatus_to_exitcode(os.wait()[1]) % 256
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and os.waitpid(-1, os.WNOHANG)[0] == 0:
        time.sleep(_POLL)
    # This process as well.
    os.killpg(0, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
