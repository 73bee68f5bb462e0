"""What docs/service.md says about the service is true."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from running import LIMIT

from bot.cli.serve import PORT, serve
from bot.serve.request_schema import MoaOptions

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def test_its_options_are_the_commands() -> None:
    """The table names every option of the command's own, and no other."""
    named = re.findall(r"^\| `--(\w+)", PAGE, re.MULTILINE)
    context, *own = inspect.signature(serve).parameters
    assert context == "ctx"
    assert named == own[: own.index("preset")]
    assert f":{PORT}/v1" in PAGE


def test_its_request_options_are_those_that_are_read() -> None:
    """The table of `moa` has every key."""
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(MoaOptions.model_fields)


def test_its_example_runs(serve: Callable[..., Any], tagged: dict[str, str]) -> None:
    """The client of the first page gets its reply."""
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    text = example.replace(f"http://127.0.0.1:{PORT}/v1", serve().url)
    done = subprocess.run(
        [sys.executable, "-c", text], env=tagged, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (done.stdout, done.stderr) == ("the reply, in seven words or so\n", "")
