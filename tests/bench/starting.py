"""How long until something happens: --version, --help, the prompt, the first request."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time

from common import ROOT, Row, alternating, environment, home, moa, python, seconds_of, simulated

TYPER_APP = """
import typer
app = typer.Typer()
@app.command()
def one(name: str = typer.Option("x", help="A name.")):
    "One."
@app.command()
def two(count: int = typer.Option(1, help="A count.")):
    "Two."
app()
"""
BARE = """
from together import Together
client = Together(api_key="x", base_url="{url}")
client.chat.completions.create(model="model-1", messages=[{{"role": "user", "content": "hi"}}], max_tokens=10)
"""


def measure(*, short: bool) -> list[Row]:
    """Return the rows about starting."""
    times = 3 if short else 9
    nothing, version = alternating(
        [lambda: seconds_of(python("pass"), 1), lambda: seconds_of(moa("--version"), 1)], times
    )
    typer_help, our_help = alternating(
        [
            lambda: seconds_of(
                python(TYPER_APP.replace("app()\n", "") + "\nimport sys; sys.argv = ['x', '--help']; app()"),
                1,
            ),
            lambda: seconds_of(moa("--help"), 1),
        ],
        times,
    )
    imports, prompt = alternating(
        [lambda: seconds_of(python("import prompt_toolkit, typer"), 1), _prompt_seconds], times
    )
    bare, first, all_ = _first_requests(times)
    return [
        Row("--version", "ms", version * 1000, nothing * 1000, nothing * 3000, "≤ 3 × python -c pass"),
        Row("--help", "ms", our_help * 1000, typer_help * 1000),
        Row("start to >>>", "ms", prompt * 1000, imports * 1000, imports * 2000, "≤ 2 × its imports"),
        Row("start to first request", "ms", first * 1000, bare * 1000, bare * 1200, "≤ 1.2 × a bare script"),
        Row("start to sixth request", "ms", all_ * 1000, bare * 1000),
    ]


def _prompt_seconds() -> float:
    """Seconds from the program's start to a prompt that shows a typed key."""
    with home() as folder:
        ours, theirs = pty.openpty()
        started = time.monotonic()
        process = subprocess.Popen(
            moa(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(MOA_BOT_HOME=folder, TOGETHER_API_KEY="x", TERM="xterm-256color"),
            cwd=ROOT,
            start_new_session=True,
        )
        os.close(theirs)
        seen = b""
        typed = False
        while b"~" not in seen.partition(b">>> ")[2]:
            if select.select([ours], [], [], 20)[0]:
                seen += os.read(ours, 65536)
                if b"\x1b[6n" in seen:  # prompt_toolkit asks where the cursor is
                    os.write(ours, b"\x1b[1;1R")
                    seen = seen.replace(b"\x1b[6n", b"")
            if b">>> " in seen and not typed:
                os.write(ours, b"~")
                typed = True
        taken = time.monotonic() - started
        process.kill()
        process.wait()
        os.close(ours)
        return taken


def _first_requests(times: int) -> tuple[float, float, float]:
    """Seconds from start to: a bare script's request, our first, our sixth."""
    six = {f"model-{number}": {"reply": "x"} for number in range(1, 7)}
    arrivals: list[tuple[float, float]] = []
    with simulated(six) as service, home() as folder:

        def bare() -> float:
            return arrived(python(BARE.format(url=service.url)))[0]

        def ours() -> float:
            names = ",".join(six)
            command = moa("ask", "hi", "-r", names, "-a", "model-1")
            found = arrived(
                command, TOGETHER_BASE_URL=service.base_url, TOGETHER_API_KEY="x", MOA_BOT_HOME=folder
            )
            arrivals.append((found[0], found[5]))
            return found[0]

        def arrived(command: list[str], **env: str) -> list[float]:
            service.clear_requests()
            started = time.monotonic()
            subprocess.run(
                command, env=environment(**env), stdin=subprocess.DEVNULL, capture_output=True, check=True
            )
            return [request["time"] - started for request in service.requests()]

        ours()  # Models that have answered before are not looked up in the service's list.
        arrivals.clear()
        floor, first = alternating([bare, ours], times)
    sixth = sorted(last for _, last in arrivals)[len(arrivals) // 2]
    return floor, first, sixth


if __name__ == "__main__":
    for row in measure(short="--short" in sys.argv):
        print(json.dumps(row.__dict__))
