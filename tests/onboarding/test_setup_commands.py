"""`moa-bot keys`, `config`, `presets` and `models` as processes: their output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.demo.process import DemoProcess

if TYPE_CHECKING:
    from pty_window import PtyWindow

KEY = "a-secret-key-0815"
Moa = Callable[..., "subprocess.CompletedProcess[str]"]
Terminal = Callable[..., "PtyWindow"]


def test_a_key_is_kept_and_used(moa: Moa, here: Moa, away: str, home: Path) -> None:
    """A key from a pipe is used by the next question, and shown nowhere."""
    env = {"TOGETHER_BASE_URL": away, "MOA_BOT_REFERENCE_MODELS": "a", "MOA_BOT_AGGREGATOR": "judge"}
    assert moa("ask", "hi", env=env).returncode == 3
    done = here("keys", "set", stdin=f" {KEY}\r\n", env=env)
    assert (done.returncode, done.stdout) == (0, "")
    assert str(home / "keys.toml") in done.stderr
    asked = moa("ask", "hi", env=env)
    assert (asked.returncode, asked.stdout) == (0, "the reply\n")
    said = [
        done,
        asked,
        here("keys", "list", env=env),
        here("keys", "list", "--json"),
        here("config", "show", env=env),
    ]
    assert all(KEY not in each.stdout + each.stderr for each in said)
    assert here("keys", "remove", "together").returncode == 0
    assert moa("ask", "hi", env=env).returncode == 3


def test_the_keyring_of_the_system(keyring: Path, here: Moa, home: Path) -> None:
    """With a keyring the key is in there and not in the file; with --file it is not."""
    assert "system keyring" in here("keys", "set", "openai", stdin=KEY).stderr
    assert KEY not in (home / "keys.toml").read_text(encoding="utf-8")
    assert KEY in keyring.read_text(encoding="utf-8")
    assert "openai\tset\tsystem keyring" in here("keys", "list").stdout
    here("keys", "set", "openai", "--file", stdin=KEY)
    assert KEY in (home / "keys.toml").read_text(encoding="utf-8")
    assert KEY not in keyring.read_text(encoding="utf-8")


def test_where_keys_are(here: Moa) -> None:
    """The list says of each endpoint whether it has a key and where; the environment is named."""
    rows = json.loads(here("keys", "list", "--json", env={"GROQ_API_KEY": KEY}).stdout)
    found = {row["endpoint"]: (row["key"], row["place"]) for row in rows}
    assert found["groq"] == ("set", "environment GROQ_API_KEY")
    assert found["together"] == ("not set", "TOGETHER_API_KEY")
    assert found["ollama"] == ("not needed", "")
    assert "demo" not in found


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["keys", "set", "together", KEY], "", 2),
        (["keys", "set", f"{KEY}-and-much-longer"], "", 2),
        (["keys", "set", "nowhere"], KEY, 2),
        (["keys", "set", "demo"], KEY, 2),
        (["keys", "set"], "", 2),
        (["keys", "set"], f"{KEY}\n{KEY}\n", 3),
        (["keys", "set"], KEY * 10_000, 3),
        (["keys", "set"], "schlüssel", 3),
        (["keys", "remove", "together"], "", 2),
        (["keys", "remove", "nowhere"], "", 2),
    ],
)
def test_keys_used_wrongly(here: Moa, home: Path, arguments: list[str], stdin: str, code: int) -> None:
    """One line and the exit code; no key is repeated, and nothing is kept."""
    done = here(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("moa-bot: ")
    assert KEY not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home / "keys.toml").exists()


def test_a_key_is_asked_for_without_echo(terminal: Terminal, home: Path) -> None:
    """On a terminal it is typed without echo; Ctrl-C ends with 130 and saves nothing."""
    with terminal("keys", "set") as window:
        window.shows("it is not shown")
        window.type(f"{KEY}\r")
        assert window.end() == 0
        assert KEY not in window.raw
        assert "keys.toml" in window.text
    assert KEY in (home / "keys.toml").read_text(encoding="utf-8")
    with terminal("keys", "set", "openai") as window:
        window.shows("it is not shown")
        window.type("\x03")
        assert window.end() == 130
    assert "openai" not in (home / "keys.toml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_config_set_and_unset(here: Moa, home: Path) -> None:
    """What is set is used, comments stay, and what is unset is no longer used."""
    (home / "config.toml").write_text("# mine\n", encoding="utf-8")
    pairs = ["rounds", "2", "presets.mine.aggregator", "a", "presets.mine.reference-models", "b"]
    assert here("config", "set", *pairs).returncode == 2
    pairs[-2] = "presets.mine.reference_models"
    assert here("config", "set", *pairs, "preset", "mine").returncode == 0
    text = (home / "config.toml").read_text(encoding="utf-8")
    assert "# mine" in text
    assert tomllib.loads(text)["presets"]["mine"] == {"aggregator": "a", "reference_models": ["b"]}
    assert f"rounds\t2\t{home / 'config.toml'}" in here("config", "show").stdout
    assert here("config", "unset", "presets.mine").returncode == 2
    assert here("config", "unset", "preset", "presets.mine", "rounds").returncode == 0
    assert (home / "config.toml").read_text(encoding="utf-8").strip() == "# mine"
    assert "rounds is not set" in here("config", "unset", "rounds").stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set", "rounds"], "a value is missing"),
        (["set", "runds", "2"], "rounds"),
        (["set", "rounds", "99"], "rounds"),
        (["set", "json", "true"], "--json"),
        (["set", "preset", "defualt"], "default"),
        (["set", "presets.mine.aggregator", "a"], "both in one go"),
        (["set", "endpoints.x.key", KEY], "unknown key"),
        (["unset", "runds"], "rounds"),
    ],
)
def test_config_used_wrongly(here: Moa, home: Path, arguments: list[str], said: str) -> None:
    """Exit code 2, what is wrong is named, and nothing is written."""
    done = here("config", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert KEY not in done.stderr
    assert not (home / "config.toml").exists()


def editor(folder: Path, *texts: str) -> str:
    """An editor that writes these texts, one each time it is started."""
    script = folder / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        f"left = pathlib.Path({str(folder / 'left')!r})\n"
        f"texts = {list(texts)!r}\n"
        "at = int(left.read_text()) if left.exists() else 0\n"
        "left.write_text(str(at + 1))\n"
        "pathlib.Path(sys.argv[1]).write_text(texts[at])\n",
        encoding="utf-8",
    )
    return f'"{sys.executable}" "{script}"'


@pytest.mark.slow
def test_config_edit(here: Moa, home: Path, tmp_path: Path) -> None:
    """The editor opens the file, and a mistake in it is reported afterwards; $VISUAL wins over $EDITOR."""
    env = {"VISUAL": editor(tmp_path, "rounds = 3\n", "rounds = 99\n"), "EDITOR": "false"}
    assert here("config", "edit", env=env).returncode == 0
    assert (home / "config.toml").read_text(encoding="utf-8") == "rounds = 3\n"
    done = here("config", "edit", env=env)
    assert done.returncode == 2
    assert "rounds" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code"), [("no-such-editor-here", 2), ('"', 2), (f'"{sys.executable}" -c 1/0', 1)]
)
def test_an_editor_that_fails(here: Moa, command: str, code: int) -> None:
    """The failure is reported in one line."""
    done = here("config", "edit", env={"VISUAL": command})
    assert done.returncode == code
    assert "moa-bot: " in done.stderr
    assert "moa-bot itself" not in done.stderr


def test_config_edit_again(terminal: Terminal, home: Path, tmp_path: Path) -> None:
    """On a terminal, after a mistake, the user is asked whether to edit again."""
    env = {"VISUAL": editor(tmp_path, "rounds = 99\n", "rounds = 3\n")}
    with terminal("config", "edit", env=env, width=200) as window:
        window.shows("Edit again?")
        assert "rounds" in window.text
        window.type("\r")
        assert window.end() == 0
    assert (home / "config.toml").read_text(encoding="utf-8") == "rounds = 3\n"


@pytest.mark.slow
def test_presets(here: Moa, home: Path) -> None:
    """Every preset is listed with its models, the one in use and retired ones are marked."""
    (home / "config.toml").write_text(
        "preset = 'mine'\n[presets.mine]\ndescription = \"\\u001b[31mred\"\n"
        "aggregator = 'ollama:x'\nreference_models = ['y*2']\n[presets.mine.agents.y]\ntemperature = 0.2\n",
        encoding="utf-8",
    )
    rows = [line.split("\t") for line in here("presets").stdout.splitlines()]
    assert rows[0][0] == "default"
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["mine"] == ["in use", "red", "x", "y*2"]
    assert by_name["moa"][0] == "retired"
    shown = here("presets", "mine").stdout
    assert "y · temperature 0.2" in shown
    assert str(home / "config.toml") in shown
    assert "\x1b" not in shown
    value = json.loads(here("presets", "mine", "--json").stdout)
    assert [agent["model"] for agent in value["layers"][0]] == ["y", "y"]
    assert value["aggregator"] == {**value["aggregator"], "model": "x", "endpoint": "ollama"}
    presets = json.loads(here("presets", "--json").stdout)
    assert len(presets) == len(rows)
    alike = {preset["name"]: preset["same_family"] for preset in presets}
    assert alike["moa"] == ["Qwen/Qwen1.5-110B-Chat", "Qwen/Qwen1.5-72B-Chat"]
    assert alike["default"] == alike["mine"] == []
    assert "Not all of different families: Qwen/Qwen1.5-110B-Chat" in here("presets", "moa").stdout
    done = here("presets", "mien")
    assert done.returncode == 2
    assert "mine" in done.stderr


def test_models(here: Moa, environment: dict[str, str]) -> None:
    """The live list, sorted, with what the service says; the mixture's are marked, the gone ones named."""
    environment["MOA_BOT_REFERENCE_MODELS"] = "a,gone"
    done = here("models", env=environment)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "together\ta\t8192\t0.5\t2\t\tpreset",
        "together\tb\t\t\t\t\t",
        "together\tjudge\t\t\t\t\tpreset",
        "together\tgone\t\t\t\t\tgone",
    ]
    assert "does not list gone" in done.stderr
    assert KEY not in done.stdout + done.stderr
    found = json.loads(here("models", "JUD", "--json", "--all", env=environment).stdout)
    assert [(row["id"], row["used"]) for row in found["models"]] == [("judge", "preset"), ("gone", "gone")]
    assert "painter" in here("models", "--all", env=environment).stdout


def test_what_the_settings_know_of_models(here: Moa, environment: dict[str, str], home: Path) -> None:
    """Missing context and price come from the settings, but not from another service's prices."""
    (home / "config.toml").write_text(
        "[models.b]\ncontext = 5000\ninput_price = 1\noutput_price = 2\nreasoning = 'toggle'\n"
        "[models.judge]\ninput_price = 1\noutput_price = 2\nendpoint = 'openai'\n",
        encoding="utf-8",
    )
    lines = here("models", "--endpoint", "together", env=environment).stdout.splitlines()
    assert lines[1] == "together\tb\t5000\t1\t2\ttoggle\tpreset"
    assert lines[2] == "together\tjudge\t\t\t\t\tpreset"


def test_models_of_several_endpoints(
    here: Moa, environment: dict[str, str], service: DemoProcess, home: Path
) -> None:
    """Those of the mixture are asked as well; one that fails is reported, and the others are listed."""
    (home / "config.toml").write_text(
        f"[endpoints.mine]\nbase_url = '{service.base_url}'\nkey_env = 'MINE_KEY'\n"
        "[endpoints.far]\nbase_url = 'https://far.example/v1'\nkey_env = 'FAR_KEY'\n",
        encoding="utf-8",
    )
    environment |= {"MOA_BOT_REFERENCE_MODELS": "a,mine:b,far:c", "MINE_KEY": KEY}
    done = here("models", env=environment)
    assert done.returncode == 1
    endpoints = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert endpoints == ["together"] * 3 + ["mine"] * 3
    assert "far" in done.stderr
    assert "FAR_KEY" in done.stderr
    del environment["MOA_BOT_REFERENCE_MODELS"]
    done = here("models", "--everywhere", "-r", "a", env=environment)
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == {"together", "mine"}


@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({"TOGETHER_API_KEY": "wrong-key-0815"}, 3, "key refused"),
        ({"TOGETHER_BASE_URL": "http://127.0.0.1:9/v1"}, 1, "cannot connect"),
        ({"TOGETHER_API_KEY": "", "TOGETHER_BASE_URL": ""}, 3, "TOGETHER_API_KEY"),
        ({"MOA_BOT_ENDPOINT": "nowhere"}, 2, "nowhere"),
    ],
)
def test_models_that_cannot_be_listed(
    here: Moa, environment: dict[str, str], env: dict[str, str], code: int, said: str
) -> None:
    """One line, and the exit code that belongs to it."""
    done = here("models", env={**environment, **env})
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "wrong-key-0815" not in done.stderr


@pytest.mark.parametrize("width", [100, 30])
def test_models_in_a_window(terminal: Terminal, environment: dict[str, str], width: int) -> None:
    """Columns are aligned; a narrow window has fewer of them, and every name is whole."""
    long = "organisation/a-model-with-a-name-of-some-length"
    env = {**environment, "MOA_BOT_REFERENCE_MODELS": f"a,{long}"}
    with terminal("models", env=env, width=width) as window:
        assert window.end() == 0
        lines = window.raw.splitlines()
    assert ("in" in lines[0].split()) == ("$0.5" in window.raw) == (width == 100)
    assert any(line.startswith("✓  a") for line in lines)
    assert any(line.startswith(f"✗  {long}") for line in lines)


def test_models_of_the_offline_service(moa: Moa) -> None:
    """It works with --demo, before or after the command, without a key."""
    for arguments in (["--demo", "models", "read"], ["models", "--demo", "read"]):
        done = moa(*arguments)
        assert (done.returncode, done.stdout) == (0, "demo\tdemo/reader\t131072\t0\t0\t\tpreset\n")
