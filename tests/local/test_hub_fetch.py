"""Downloading a model from the hub, with a server on this computer in the hub's place."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_models import CONTEXT, make_model

from bot.errors import ExitCode, MoaError
from bot.local import hub
from bot.local.model_files import HubFile, context_length

CONTENT = bytes(range(256)) * 20_000
WANTED = HubFile("maker/some-model", "q4/file.gguf")


@dataclass
class FakeHub:
    """The server's file, its behaviour, and the requests it received."""

    url: str = ""
    content: bytes = CONTENT
    code: str = ""
    status: int = 200
    break_at: int | None = None
    corrupt: bool = False
    ranges: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, fake: FakeHub, *arguments: object) -> None:
        self.fake = fake
        super().__init__(*arguments)  # type: ignore[arg-type]  # as http.server calls it

    def do_HEAD(self) -> None:
        self.fake.paths.append(self.path)
        if self.path.startswith("/old/"):
            self._head(307, {"Location": self.path.replace("/old/", "/maker/")})
        elif self.fake.status != 200:
            self._head(self.fake.status, {"X-Error-Code": self.fake.code})
        else:
            digest = hashlib.sha256(self.fake.content).hexdigest()
            # As the hub has it: the file lies elsewhere, and what it is stands beside the way there.
            more = {"X-Linked-Size": str(len(self.fake.content)), "X-Linked-ETag": f'"{digest}"'}
            self._head(302, {"Location": f"{self.fake.url}/elsewhere", **more})

    def do_GET(self) -> None:
        if self.path != "/elsewhere":
            self._head(302, {"Location": f"{self.fake.url}/elsewhere"})
            return
        asked = self.headers.get("Range", "")
        self.fake.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-") or 0) if asked else 0
        content = bytes(len(self.fake.content)) if self.fake.corrupt else self.fake.content
        body = content[start:]
        self._head(206 if asked else 200, {"Content-Length": str(len(body))})
        self.wfile.write(body if self.fake.break_at is None else body[: self.fake.break_at])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    """A hub on a free port."""
    fake = FakeHub()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, fake)) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


@pytest.fixture
def get(
    fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, list[str]]]:
    """Download from that hub into a folder of the test; returns the file and the lines shown."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def run(wanted: HubFile = WANTED, stopped: Callable[[], bool] = lambda: False) -> tuple[Path, list[str]]:
        said: list[str] = []
        environ = {"MOA_BOT_HOME": str(tmp_path)}
        return hub.download(wanted, said.append, hub=fake.url, stopped=stopped, environ=environ), said

    return run


@pytest.mark.slow
def test_a_file_is_downloaded_once(fake: FakeHub, get: Callable[..., tuple[Path, list[str]]]) -> None:
    """Its size and progress are shown; the second time the hub is not asked."""
    path, said = get()
    assert path.read_bytes() == CONTENT
    assert said[0] == "Downloading q4/file.gguf of maker/some-model: 0.01 GB."
    assert said[-1] == "  q4/file.gguf: 100 % of 0.01 GB"
    assert get() == (path, [])
    assert len(fake.ranges) == len(fake.paths) == 1
    assert [file.name for file in path.parent.iterdir()] == ["file.gguf"]


def test_all_parts_are_downloaded(get: Callable[..., tuple[Path, list[str]]]) -> None:
    """Of a split model, whichever part is named; the path is that of the first."""
    names = ["file-00001-of-00002.gguf", "file-00002-of-00002.gguf"]
    for name in names:
        path, _ = get(HubFile(WANTED.repo, f"q4/{name}"))
        assert path.name == names[0]
        assert sorted(file.name for file in path.parent.iterdir()) == names


def test_an_interrupted_download_is_resumed(
    fake: FakeHub, get: Callable[..., tuple[Path, list[str]]]
) -> None:
    """Only the missing part is requested."""
    fake.break_at = 2_000_000
    with pytest.raises(MoaError, match=r"maker/some-model/q4/file.gguf: "):
        get()
    fake.break_at = None
    path, said = get()
    assert path.read_bytes() == CONTENT
    assert "0.00 GB of it are here" in said[0]
    start = int(fake.ranges[1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 2_000_000


def test_a_download_is_stopped(fake: FakeHub, get: Callable[..., tuple[Path, list[str]]]) -> None:
    """It stops at the next chunk, and is resumed by the next download."""
    with pytest.raises(MoaError, match="the next one resumes it"):
        get(stopped=lambda: True)
    assert get()[0].read_bytes() == CONTENT
    assert fake.ranges[1].startswith("bytes=")


def test_the_checksum(fake: FakeHub, get: Callable[..., tuple[Path, list[str]]]) -> None:
    """A file with another checksum is refused and deleted."""
    fake.corrupt = True
    with pytest.raises(MoaError, match="its checksum differs"):
        get()
    fake.corrupt = False
    assert get()[0].read_bytes() == CONTENT
    assert fake.ranges == ["", ""]


def test_a_repository_that_was_renamed(get: Callable[..., tuple[Path, list[str]]]) -> None:
    """The redirect to its new name is followed."""
    assert get(HubFile("old/some-model", "q4/file.gguf"))[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "EntryNotFound", "maker/some-model has no such file"),
        (401, "RepoNotFound", "the hub has no maker/some-model that you may see"),
        (403, "GatedRepo", "its owners require you to request access"),
        (500, "", "answered with status 500"),
    ],
)
def test_what_the_hub_refuses(
    fake: FakeHub, get: Callable[..., tuple[Path, list[str]]], status: int, code: str, said: str
) -> None:
    """Each error is one line that names the file."""
    fake.status, fake.code = status, code
    with pytest.raises(MoaError, match=said) as caught:
        get()
    assert caught.value.message.startswith(str(WANTED))


def test_no_hub(fake: FakeHub, get: Callable[..., tuple[Path, list[str]]]) -> None:
    """Without a network, the error says so, and what to do."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        fake.url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(MoaError, match="the Hugging Face hub cannot be reached") as caught:
            get()
    assert "local:PATH.gguf" in caught.value.hint


def test_a_proxy_that_is_none(
    get: Callable[..., tuple[Path, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong proxy address is one line that names its variable."""
    monkeypatch.setenv("http_proxy", "what")
    with pytest.raises(MoaError, match="http_proxy is not the address of a proxy"):
        get()


def test_a_model_of_the_hub_is_downloaded_and_asked(
    fake: FakeHub, moa: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Named local:OWNER/REPO/FILE, it is downloaded at the first use, and then found here."""
    pytest.importorskip("xllamacpp", reason="the engine (extra local) is not installed")
    fake.content = make_model(tmp_path / "made.gguf").read_bytes()
    name = "maker/some-model/tiny.gguf"
    asked = ("ask", "-r", f"local:{name}*2", "-a", f"local:{name}", "--json", "hi")
    # The model's words are random; at temperature 0 they are the same each time, and not empty.
    asked = (*asked[:-1], "--max_tokens", "6", "--temperature", "0", "hi")
    env = {"HF_ENDPOINT": fake.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    first = moa(*asked, env=env)
    assert first.returncode == 0, first.stderr
    assert "Downloading tiny.gguf of maker/some-model: 0.00 GB." in first.stderr
    assert json.loads(first.stdout)["reply"].strip()
    fake.status = 500
    again = moa(*asked, env=env)
    assert again.returncode == 0, again.stderr
    assert "Downloading" not in again.stderr
    assert context_length(name, None) == CONTEXT
    absent = moa(
        "ask", "-r", "local:maker/other/x.gguf", "-a", "a", "hi", env={**env, "TOGETHER_API_KEY": "k"}
    )
    assert absent.returncode == ExitCode.FAILED
    assert "maker/other/x.gguf: the Hugging Face hub answered with status 500" in absent.stderr
