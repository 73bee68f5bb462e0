"""Options of a batch that do not fit together."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ray_address", "10.0.0.5:6379"], "--ray_address is the cluster of --engine ray"),
        (["--engine", "ray", "-a", "local:none.gguf"], "--engine ray cannot ask local models"),
    ],
)
def test_options_of_ray(
    here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, options: list[str], words: str
) -> None:
    """That is said before anything is started."""
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps({"prompt": "question"}) + "\n")
    done = here("batch", str(file), "--rounds", "0", *options)
    assert done.returncode == 2
    assert words in done.stderr
