"""Fixtures for keys, settings and set-up: a service that requires a key, a fake keyring."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.demo.process import DemoProcess
from bot.local import discovery

KEY = "a-secret-key-0815"
MODELS: dict[str, dict[str, Any]] = {
    "a": {"reply": "from a", "facts": {"context_length": 8192, "pricing": {"input": 0.5, "output": 2}}},
    "b": {"reply": "from b"},
    "judge": {"reply": "the reply"},
    "painter": {"facts": {"type": "image"}},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's folder, as MOA_BOT_HOME names it."""
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search in this process finds a service however busy the machine is."""
    monkeypatch.setattr(discovery, "TIMEOUT", 10.0)


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    """Models a, b, judge and painter; the key is required."""
    return offline({"models": MODELS, "require_key": KEY, "demo_models": False})


@pytest.fixture
def environment(service: DemoProcess) -> dict[str, str]:
    """Where the service is, its key, and its mixture."""
    return {
        "TOGETHER_BASE_URL": service.base_url,
        "TOGETHER_API_KEY": KEY,
        "MOA_BOT_REFERENCE_MODELS": "a,b",
        "MOA_BOT_AGGREGATOR": "judge",
    }


@pytest.fixture
def away(service: DemoProcess) -> str:
    """The service's address in a form that does not count as this computer, so that a key is needed."""
    if sys.platform == "win32":
        pytest.skip("Windows does not connect to 0.0.0.0")
    return service.base_url.replace("127.0.0.1", "0.0.0.0")


FAKE = """
import json, os, pathlib
FILE = pathlib.Path(os.environ["FAKE_KEYRING"])

class NoKeyringError(RuntimeError):
    pass

def _all():
    if os.environ.get("FAKE_KEYRING_FAILS"):
        raise NoKeyringError("secret words of a backend")
    return json.loads(FILE.read_text()) if FILE.exists() else {}

def set_password(service, name, key):
    kept = _all()
    if not os.environ.get("FAKE_KEYRING_FORGETS"):
        kept[f"{service}/{name}"] = key
    FILE.write_text(json.dumps(kept))

def get_password(service, name):
    return _all().get(f"{service}/{name}")

def delete_password(service, name):
    kept = _all()
    del kept[f"{service}/{name}"]
    FILE.write_text(json.dumps(kept))
"""


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `keyring` that keeps what it is given in the file that is returned."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "keyring.py").write_text(FAKE, encoding="utf-8")
    file = tmp_path / "keyring.json"
    monkeypatch.setenv("FAKE_KEYRING", str(file))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("keyring", None)
    yield file
    sys.modules.pop("keyring", None)
