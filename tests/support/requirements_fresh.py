"""Checks that requirements.txt is what pip-compile makes of pyproject.toml.

`--write` makes it anew. A newer release of some package on the index is no reason to fail: what
stands in requirements.txt is kept where it still fits, exactly as pip-compile does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOWEST = (3, 11)


def main() -> int:
    """Compile again and compare; returns 1 when the file is stale."""
    current = ROOT / "requirements.txt"
    if sys.version_info[:2] != LOWEST:
        print(f"requirements.txt is compiled with Python {LOWEST[0]}.{LOWEST[1]}: not checked here")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "requirements.txt"
        if current.exists():
            shutil.copy(current, fresh)
        command = ["-m", "piptools", "compile", "--quiet", "--strip-extras", "--no-emit-index-url"]
        command += ["--no-emit-find-links", "--no-emit-trusted-host", "--resolver=backtracking"]
        command += ["--output-file", str(fresh), "pyproject.toml"]
        environment = {
            **os.environ,
            "CUSTOM_COMPILE_COMMAND": "python tests/support/requirements_fresh.py --write",
        }
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, env=environment)
        # The file's own place must not be in it: it differs from checkout to checkout.
        made = fresh.read_text(encoding="utf-8").replace(str(fresh), "requirements.txt")
    if "--write" in sys.argv:
        current.write_text(made, encoding="utf-8")
        return 0
    if not current.exists() or current.read_text(encoding="utf-8") != made:
        print(
            "requirements.txt is not what pyproject.toml says: run this again with --write", file=sys.stderr
        )
        return 1
    print("requirements.txt is fresh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
