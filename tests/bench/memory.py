"""Memory of the whole program with six workers: as a library, and as a chat in its terminal.

Beside it: one process that has asked one model with the SDK.

Proportional set size: a page that several processes share counts once. All are measured from
outside, while the same other processes run.
"""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
from common import MODELS, ROOT, Row, environment, home, moa, python, simulated
from pty_window import PtyWindow

ONE_PROCESS = """
from together import Together
client = Together(api_key="x", base_url="{url}")
client.chat.completions.create(model="judge", messages=[{{"role": "user", "content": "hi"}}], max_tokens=10)
"""
LIBRARY = """
from bot import Mixture
mixture = Mixture()
mixture.ask("hi")
"""
WAITS = "\nimport sys; print(flush=True); sys.stdin.read()"


def measure(*, short: bool) -> list[Row]:
    """Return the rows about memory."""
    with simulated({name: {"reply": "x"} for name in (*MODELS, "judge")}) as service, home() as folder:
        env = environment(
            MOA_BOT_HOME=folder,
            TOGETHER_BASE_URL=service.base_url,
            TOGETHER_API_KEY="x",
            MOA_BOT_REFERENCE_MODELS=",".join(MODELS),
            MOA_BOT_AGGREGATOR="judge",
            MOA_BOT_ROUNDS="2",
            MOA_BOT_NUM_PROC="6",
            TERM="xterm-256color",
        )
        one_process = _of_script(ONE_PROCESS.format(url=service.url), env)
        library, chat = _of_script(LIBRARY, env), _of_chat(env)
    return [
        Row("memory of the library with six", "MB", library, one_process),
        Row("memory of a chat with six", "MB", chat, one_process, 4 * one_process, "≤ 4 × one SDK process"),
    ]


def _of_script(code: str, env: dict[str, str]) -> float:
    process = subprocess.Popen(
        python(code + WAITS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=ROOT
    )
    assert process.stdout
    process.stdout.readline()
    try:
        return _megabytes(process.pid)
    finally:
        process.communicate(b"")


def _of_chat(env: dict[str, str]) -> float:
    """After two turns, at the prompt."""
    with PtyWindow(moa(), env) as window:
        window.prompt()
        window.ask("hi")
        window.ask("and now?")
        return _megabytes(window.process.pid)


def _megabytes(pid: int) -> float:
    main = psutil.Process(pid)
    family = [main, *main.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in family) / 2**20


if __name__ == "__main__":
    for row in measure(short="--short" in sys.argv):
        print(json.dumps(row.__dict__, ensure_ascii=False))
