"""The examples of README and docs/ run as they stand, as scripts of their own; nothing survives them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.demo.process import DemoProcess

DOCS = Path(__file__).parents[2] / "docs"
Run = Callable[[str], "subprocess.CompletedProcess[str]"]


def examples(page: str) -> list[str]:
    """The Python blocks of a page of the documentation, in order."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(examples("library.md"))))
def test_an_example_of_the_library(service: DemoProcess, run_script: Run, number: int) -> None:
    """It prints what it is to print, says nothing on stderr, and ends well."""
    text = examples("library.md")[number]
    service.set_behaviour({"models": {"*": {"reply": "It is so."}}, "any_model": True})
    done = run_script(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert "It is so." in done.stdout
    if "LAYERS" in text or text == examples("library.md")[-2]:
        # The paper's scripts: four models in every layer but the last.
        bodies = [request["body"] for request in service.requests()]
        # A name that the service does not list is asked for one token first.
        models = [body["model"] for body in bodies if body["max_tokens"] > 1]
        assert len(models) == (9 if "LAYERS" in text else 5)
        assert models[-1] == "mistralai/Mixtral-8x22B-Instruct-v0.1"


@pytest.mark.parametrize("number", range(len(examples("../README.md"))))
def test_an_example_of_the_readme(service: DemoProcess, run_script: Run, number: int) -> None:
    """So do those of the README."""
    text = examples("../README.md")[number]
    service.set_behaviour({"models": {"*": {"reply": "It is so."}}, "any_model": True})
    done = run_script(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert "It is so." in done.stdout


@pytest.mark.parametrize("guard", ["", "if __name__ == '__main__':\n    "])
def test_a_script_that_closes_nothing(service: DemoProcess, run_script: Run, guard: str) -> None:
    """Guarded or not it runs once, ends by itself, quietly, and its workers with it."""
    done = run_script(
        "from bot import Mixture\nmoa = Mixture(reference_models=['a'], aggregator='judge')\n"
        f"{guard}print(moa.ask('why?').reply)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the reply\n", "")


def test_a_worker_of_another_pool_cannot_ask(run_script: Run) -> None:
    """Where no process can be started it says so, instead of waiting for ever."""
    done = run_script(
        "import multiprocessing\nfrom bot import Mixture, errors\n"
        "def ask(prompt):\n    try:\n        return Mixture(demo=True).ask(prompt).reply\n"
        "    except errors.UsageError as error:\n        return error.message\n"
        "if __name__ == '__main__':\n    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(ask, ['why?']))\n"
    )
    assert "daemonic" in done.stdout


def test_importing_the_package_costs_nothing(run_script: Run) -> None:
    """`import bot` brings nothing else along; the library is imported with the first look at it."""
    done = run_script(
        "import sys\nbefore = set(sys.modules)\nimport bot\n"
        "print(sorted(set(sys.modules) - before))\nbot.Mixture\nprint('bot.api.library' in sys.modules)\n"
        "print('together' in sys.modules, 'typer' in sys.modules)\n"
    )
    assert done.stdout.splitlines() == ["['bot']", "True", "False False"]
