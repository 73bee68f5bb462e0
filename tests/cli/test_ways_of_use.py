"""The three ways of use, from outside: what goes in, what comes out, and the exit code."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pictures_made import picture
from running import LIMIT, in_time, wait
from services import conversation

from bot.demo.process import DemoProcess
from bot.demo.references import split_prompt

KEY = "very-secret-key-4711"
Bot = Callable[..., "subprocess.CompletedProcess[str]"]
Moa = Bot
"""Runs the program without the service's environment."""


def prompts(service: DemoProcess) -> list[str]:
    """The prompts that the aggregator was asked, in order."""
    bodies = [request["body"] for request in service.requests()]
    return [split_prompt(body["messages"][-1]["content"])[0] for body in bodies if body["model"] == "judge"]


def test_ask_prints_the_reply_and_nothing_else(program: Bot) -> None:
    """In a pipe, stdout is the reply and one newline; stderr stays silent when all is well."""
    done = program("ask", "why?")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the reply\n", "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "prompt"),
    [
        (["ask", "why", "so?"], "", "why so?"),
        (["ask"], "all of\nthis\n", "all of\nthis"),
        (["ask", "-"], "all of\nthis", "all of\nthis"),
        (["ask", "do this"], "to that\n", "do this\n\nto that"),
        (["ask", "--rounds", "1", "why?"], "", "why?"),
        (["ask", "--", "-v is what?"], "", "-v is what?"),
    ],
)
def test_what_ask_asks(bot: Bot, service: DemoProcess, arguments: list[str], stdin: str, prompt: str) -> None:
    """Words, standard input, or the words and then standard input."""
    assert bot(*arguments, stdin=stdin).returncode == 0
    assert prompts(service) == [prompt]


TO = '[prompts.to]\ntext = "{tone} to {lang}: {input}"\n[prompts.other]\ntext = "other"\n'


def templates_file() -> None:
    """Give the program two templates."""
    file = Path(os.environ["MOA_BOT_HOME"], "config.toml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(TO, "utf-8")


@pytest.mark.parametrize(
    ("arguments", "stdin", "asked"),
    [
        (["ask", "-t", "to", "--field", "lang=x", "--field", "tone=y", "hi"], "", ["y to x: hi"]),
        (["-t", "to", "--field", "lang=x", "--field", "tone=y", "ask", "hi"], "", ["y to x: hi"]),
        (["-t", "other", "--field", "lang=x", "ask", "-t", "to", "--field", "tone=y"], "hi", ["y to x: hi"]),
        (["-t", "to", "--field=lang=x", "--field=tone=z", "ask", "--field=tone=y"], "hi", ["y to x: hi"]),
        (["-t", "to", "--field=lang=x", "--field=tone=y"], "one\ntwo\n", ["y to x: one", "y to x: two"]),
    ],
)
def test_templates(
    bot: Bot, service: DemoProcess, arguments: list[str], stdin: str, asked: list[str]
) -> None:
    """Their options stand before or after the command; in a pipe each prompt fills one."""
    templates_file()
    assert bot(*arguments, stdin=stdin).returncode == 0
    assert prompts(service) == asked


@pytest.mark.parametrize("arguments", [["-t", "to", "models"], ["--field", "a=b", "batch", "x.jsonl"]])
def test_templates_of_other_commands(here: Moa, arguments: list[str]) -> None:
    """They have no prompt to fill: no option is ignored in silence."""
    templates_file()
    done = here(*arguments)
    assert (done.returncode, "Templates are for prompts" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments", [["--schema", "n int", "ask"], ["--schema", "x str", "ask", "--schema", "n int"]]
)
def test_a_schema_before_the_command(bot: Bot, service: DemoProcess, arguments: list[str]) -> None:
    """The nearer one counts."""
    bot(*arguments, "how many?")
    formats = [r["body"]["response_format"] for r in service.requests() if r["body"]["model"] == "judge"]
    assert list(formats[0]["json_schema"]["schema"]["properties"]) == ["n"]


def test_files_go_along(bot: Bot, service: DemoProcess, tmp_path: Path) -> None:
    """An attached text file follows the words under its name."""
    (tmp_path / "notes.txt").write_text("line 1\nline 2\n", encoding="utf-8")
    assert bot("ask", "-f", str(tmp_path / "notes.txt"), "sum up").returncode == 0
    assert prompts(service) == ["sum up\n\nFile notes.txt:\n```\nline 1\nline 2\n```"]


def test_files_that_prompts_name(bot: Bot, service: DemoProcess, tmp_path: Path) -> None:
    """In an argument, in a prompt that is piped in and in a single line on stdin; not in a document."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"in {name}", encoding="utf-8")
    named = f"sum up @{tmp_path}/a.txt"
    done = bot("ask", "--json", named, stdin=f"see @{tmp_path}/b.txt")
    [attached] = json.loads(done.stdout)["attachments"]
    assert attached == {"name": f"{tmp_path}/a.txt", "kind": "text", "bytes": 8, "tokens": attached["tokens"]}
    assert f"attached: {tmp_path}/a.txt (1 line, about {attached['tokens']} tokens)" in done.stderr
    assert bot("ask", stdin=named).returncode == 0
    assert bot("ask", stdin=f"{named}\nand so on").returncode == 0
    assert bot(stdin=f"one @nothing\n{named}\nthree @{tmp_path}/x.bin\n").returncode == 0
    file = f"File {tmp_path}/a.txt:\n```\nin a.txt\n```"
    assert prompts(service) == [
        f"{named}\n\nsee @{tmp_path}/b.txt\n\n{file}",
        f"{named}\n\n{file}",
        f"{named}\nand so on",
        "one @nothing",
        f"{named}\n\n{file}",
        f"three @{tmp_path}/x.bin",
    ]


def test_an_image_goes_to_models_that_see(bot: Bot, service: DemoProcess, tmp_path: Path) -> None:
    """As a data URL, also when the conversation is resumed; who does not see is told; nobody: not asked."""
    settings = tmp_path / "config.toml"
    here = {"MOA_BOT_HOME": str(tmp_path)}
    (tmp_path / "cat.png").write_bytes(picture())
    (tmp_path / "x").mkdir()
    named = f"what is @{tmp_path}/cat.png"
    refused = bot("ask", "--json", named, env=here)
    record = json.loads(refused.stdout)
    assert (refused.returncode, record["status"], service.requests()) == (1, "failed", [])
    assert "no model of this mixture is known to see images: a, b, judge" in record["error"]
    settings.write_text("[models.a]\nvision = true\n", encoding="utf-8")
    done = bot("ask", "--json", named, env=here)
    [attached] = json.loads(done.stdout)["attachments"]
    assert (attached["kind"], attached["bytes"]) == ("image", len(picture()))
    assert bot("ask", "--continue", "and its colour?", env=here).returncode == 0
    label = f"[image: {tmp_path}/cat.png, 64x48]"
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    parts = [
        {"type": "text", "text": f"{named}\n\n{label}"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    for body in (request["body"] for request in service.requests()):
        asked = next(each for each in body["messages"] if each["role"] == "user")["content"]
        assert asked == parts if body["model"] == "a" else "You cannot see this image" in asked
    assert len(service.requests()) == 6
    shown = bot("history", "export", json.loads(done.stdout)["conversation_id"], env=here)
    assert label in shown.stdout


def test_a_page_that_a_prompt_names(bot: Bot, service: DemoProcess, tmp_path: Path) -> None:
    """Its text goes along, by the rules of the tool: an address of this network only where it is allowed."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"Cats purr.")

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as site:
        serving = threading.Thread(target=site.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{site.server_address[1]}/cats"
        here = {"MOA_BOT_HOME": str(tmp_path)}
        refused = bot("ask", f"sum up @{url}", env=here)
        assert (refused.returncode, service.requests()) == (2, [])
        assert f"{url}: 127.0.0.1 is not a public address" in refused.stderr
        (tmp_path / "config.toml").write_text("[web]\nallow_private = true\n", encoding="utf-8")
        done = bot("ask", "--json", f"sum up @{url}.", env=here)
        site.shutdown()
        serving.join()
    assert f"fetching {url}" in done.stderr
    [page] = json.loads(done.stdout)["attachments"]
    assert (page["kind"], page["bytes"]) == ("page", 10)
    assert prompts(service) == [f"sum up @{url}.\n\nPage {url}:\n```\nCats purr.\n```"]


def test_a_file_of_one_prompt_of_many_that_cannot_be_attached(
    bot: Bot, service: DemoProcess, tmp_path: Path
) -> None:
    """That prompt fails, with --json as an object too; the others are answered."""
    (tmp_path / "x.bin").write_bytes(b"\0")
    done = bot("--json", stdin=f"one\ntwo @{tmp_path}/x.bin\nthree")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    assert [record["status"] for record in records] == ["done", "failed", "done"]
    assert "x.bin: not a text file" in records[1]["error"]
    assert prompts(service) == ["one", "three"]


@pytest.mark.parametrize(
    ("name", "data"), [("gone.txt", None), ("image.png", b"\x89PNG\0"), ("latin.txt", b"\xe9")]
)
def test_files_that_cannot_go_along(bot: Bot, tmp_path: Path, name: str, data: bytes | None) -> None:
    """A missing or binary file is a usage error that names it; nothing is asked."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    done = bot("ask", "-f", str(tmp_path / name), "sum up")
    assert done.returncode == 2
    assert name in done.stderr
    assert done.stdout == ""


def test_prompts_piped_in_are_turns_of_one_conversation(program: Bot, service: DemoProcess) -> None:
    """A line each, three quotes for more lines, no final newline needed; only replies come out."""
    done = program(stdin='one\n\n"""\ntwo\nlines\n"""\nthree')
    assert (done.returncode, done.stdout, done.stderr) == (0, "the reply\n" * 3, "")
    assert prompts(service) == ["one", "two\nlines", "three"]
    last = service.requests()[-1]["body"]["messages"]
    assert [message["role"] for message in last].count("assistant") == 2


def test_nul_separated_prompts(bot: Bot, service: DemoProcess) -> None:
    """With --null, prompts may hold lines, and are asked to the letter."""
    assert bot("-0", stdin="one\nline\n\0two\0\n three \n").returncode == 0
    assert prompts(service) == ["one\nline\n", "two", "\n three \n"]


def test_one_failing_prompt_among_several(program: Bot, service: DemoProcess) -> None:
    """It is reported on stderr, the rest are answered, and the exit code is 1."""
    fails = {"failures": [{"status": 400, "contains": "two", "message": "no such luck"}]}
    service.set_behaviour({"models": {"a": fails, "b": fails, "judge": {"reply": "the reply"}}})
    done = program(stdin="one\ntwo\nthree\n")
    assert done.returncode == 1
    assert done.stdout == "the reply\n" * 2
    assert "no such luck" in done.stderr
    assert prompts(service) == ["one", "three"]


def test_empty_input(bot: Bot, service: DemoProcess) -> None:
    """Nothing piped in is no prompt: the chat says so and ends well, ask calls it a mistake."""
    done = bot(stdin="")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no prompt" in done.stderr
    done = bot("ask", stdin="  \n")
    assert (done.returncode, done.stdout) == (2, "")
    assert service.requests() == []


def test_utf8_cut_in_half(bot: Bot, service: DemoProcess) -> None:
    """A half character becomes U+FFFD instead of stopping anything."""
    assert bot(stdin=b"caf\xc3").returncode == 0
    assert prompts(service) == ["caf\ufffd"]


def test_a_prompt_of_a_megabyte(bot: Bot, service: DemoProcess) -> None:
    """It goes through whole."""
    prompt = "word " * 200_000
    assert bot(stdin=prompt + "\n").returncode == 0
    assert len(prompts(service)[0]) == len(prompt)


def test_a_closed_pipe_ends_quietly(
    start: Callable[..., subprocess.Popen[bytes]], environment: dict[str, str]
) -> None:
    """When the reader goes away, the program ends without a word of complaint."""
    process = start([], env=environment)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"the reply\n"
    process.stdout.close()
    process.stdin.write(b"two\nthree\n")
    process.stdin.close()
    assert wait(process, 20) == 0
    assert process.stderr
    assert process.stderr.read() == b""


def test_a_silent_pipe_is_explained(
    start: Callable[..., subprocess.Popen[bytes]], environment: dict[str, str]
) -> None:
    """Words and a stdin that stays open and silent: it says what it waits for, and goes on after it."""
    process = start(["ask", "do this"], env=environment)
    assert process.stderr
    assert b"waiting for the end of standard input" in process.stderr.readline()
    out, _ = process.communicate(b"to that", timeout=LIMIT)
    assert (process.returncode, out) == (0, b"the reply\n")


def test_json_tells_all(bot: Bot) -> None:
    """One object a reply: references by round, tokens, cost, and the id to go on with."""
    done = bot("--json", "--rounds", "2", stdin="one\ntwo\n")
    assert done.returncode == 0
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["reply"] == "the reply"
    assert first["model"] == "judge"
    assert [
        [(ref["model"], ref["text"], ref["error"]) for ref in layer] for layer in first["references"]
    ] == [[("a", "from a", None), ("b", "from b", None)]] * 2
    assert all(ref["tokens"] > 0 and ref["seconds"] >= 0 for layer in first["references"] for ref in layer)
    usage = first["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert first["cost"] is None
    assert first["conversation_id"] == second["conversation_id"]
    assert (first["turn"], second["turn"]) == (1, 2)


def test_json_of_a_failed_turn(bot: Bot, service: DemoProcess) -> None:
    """Lines and prompts stay side by side: a failed one has no reply, and an error."""
    service.set_behaviour(
        {"models": {"a": {"failures": [{"status": 500}]}, "b": {"failures": [{"status": 404}]}, "judge": {}}}
    )
    done = bot("ask", "--json", "why?")
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["reply"] is None
    assert "404" in record["error"] or "no such model" in record["error"]
    assert [ref["text"] for ref in record["references"][0]] == [None, None]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "2", "ask", "why?"],
        ["ask", "--rounds", "2", "why?"],
        ["--rounds", "1", "ask", "why?", "--rounds", "2"],
        ["--max-tokens", "9", "ask", "why?", "--rounds=2"],
        ["ask", "why?", "--reference-models", "a*2", "--rounds", "2"],
    ],
)
def test_options_on_both_sides_in_both_spellings(
    bot: Bot, service: DemoProcess, arguments: list[str]
) -> None:
    """Wherever they stand, they count; the nearer one wins."""
    assert bot(*arguments).returncode == 0
    assert len(service.requests()) == 5


def test_a_failed_reference_is_reported(bot: Bot, service: DemoProcess) -> None:
    """The reply comes, and stderr names who was left out and why; --quiet says nothing."""
    service.set_behaviour(
        {
            "models": {
                "a": {"failures": [{"status": 403, "message": "not you"}]},
                "b": {},
                "judge": {"reply": "ok"},
            }
        }
    )
    done = bot("ask", "why?")
    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert "a left out" in done.stderr
    assert "not you" in done.stderr
    assert bot("ask", "--quiet", "why?").stderr == ""


def test_without_a_key(moa: Callable[..., Any]) -> None:
    """No key, no --demo: exit code 3 within a second, and every way on is named."""
    started = time.monotonic()
    done = moa("ask", "hi")
    assert in_time(time.monotonic() - started, 1.0)
    assert (done.returncode, done.stdout) == (3, "")
    for way in ("TOGETHER_API_KEY", "https://api.together.ai", "--endpoint", "--demo"):
        assert way in done.stderr


def test_a_refused_key(program: Bot) -> None:
    """Exit code 3, in one line, and the key itself is nowhere."""
    done = program("ask", "hi", env={"TOGETHER_API_KEY": "wrong-key-0815"})
    assert (done.returncode, done.stdout) == (3, "")
    assert "key refused" in done.stderr
    assert "wrong-key-0815" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "hi", "--rounds", "none"], "rounds"),
        (["ask", "hi", "--rounds", "-1"], "rounds"),
        (["ask", "hi", "--temperature", "9"], "temperature"),
        (["ask", "hi", "--preset", "defualt"], "default"),
        (["ask", "hi", "--no-such-option"], "No such option"),
        (["what is this?"], 'moa-bot ask "what is this?"'),
        (["aks"], "There is no command 'aks'. Did you mean 'ask'?"),
        (["hello"], 'To ask that: moa-bot ask "hello …"'),
        (["hello", "to", "you", "--rounds", "2"], 'To ask that: moa-bot ask "hello to you"'),
        (["what", "is", "$HOME?"], "To ask that: moa-bot ask 'what is $HOME?'"),
        (["help", "nothing"], "There is no command 'nothing'."),
        (["help", "me", "sort", "this"], 'To ask that: moa-bot ask "help me sort this"'),
        (["ask", "hi", "-c", "--resume", "abc"], "--resume"),
        (["ask", "hi", "--no_save", "--continue"], "--no_save"),
    ],
)
def test_wrong_usage(bot: Bot, arguments: list[str], said: str) -> None:
    """Exit code 2, and what is wrong is named; never a traceback."""
    done = bot(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [[], ["ask"], ["history"], ["history", "list"]])
def test_help_as_a_command(bot: Bot, command: list[str]) -> None:
    """`help COMMAND` is `COMMAND --help`, also with options before it."""
    page = bot(*command, "--help").stdout
    assert page.startswith("Usage: moa-bot")
    assert bot("help", *command).stdout == page
    assert bot("--rounds", "2", "help", *command).stdout == page


def test_words_that_are_prompts_in_a_pipe(bot: Bot, service: DemoProcess) -> None:
    """What is a command at the prompt is a prompt like others where it is piped in."""
    assert bot(stdin="help\nexit\n").stdout == "the reply\nthe reply\n"
    asked = [r["body"]["messages"][-1]["content"] for r in service.requests() if r["body"]["model"] == "a"]
    assert asked == ["help", "exit"]


def test_continue_and_resume(bot: Bot, service: DemoProcess) -> None:
    """Both go on with what was said, say what they resumed, and take the first letters of an id."""
    first = json.loads(bot("ask", "--json", "my name is Ada").stdout)["conversation_id"]
    bot("ask", "another conversation")
    done = bot("--resume", first[:4], "ask", "--json", "what is it?")
    assert f"Resumed {first}: my name is Ada (1 turn)" in done.stderr
    assert json.loads(done.stdout)["conversation_id"] == first
    done = bot("ask", "-c", "and now?")
    assert f"Resumed {first}" in done.stderr
    last = service.requests()[-1]["body"]
    assert conversation(last)[::2] == [
        "my name is Ada",
        "what is it?",
        "and now?",
    ]


def test_a_resumed_conversation_keeps_its_mixture(moa: Moa) -> None:
    """ask and a pipe use the stored rounds and models; options given now win."""
    options = ["--rounds", "2", "-r", "demo/reader"]
    assert moa("--demo", *options, "ask", "one").returncode == 0
    asked = json.loads(moa("--demo", "ask", "-c", "two", "--json").stdout)
    piped = json.loads(moa("--demo", "-c", "--json", stdin="three\n").stdout)
    for reply in (asked, piped):
        assert [[call["model"] for call in calls] for calls in reply["references"]] == [["demo/reader"]] * 2
    given = json.loads(moa("--demo", "ask", "-c", "--rounds", "1", "four", "--json").stdout)
    assert [[call["model"] for call in calls] for calls in given["references"]] == [["demo/reader"]]


def test_a_resumed_conversation_needs_only_its_own_keys(here: Moa, service: DemoProcess) -> None:
    """A conversation at a service that needs no key goes on without a key for the default service."""
    config = f'[endpoints.here]\nbase_url = "{service.base_url}"\nheaders.authorization = "Bearer {KEY}"\n'
    home = Path(here("config", "path").stdout.strip())
    home.parent.mkdir(exist_ok=True)
    home.write_text(config, encoding="utf-8")
    assert here("ask", "-r", "here:a", "-a", "here:judge", "one").returncode == 0
    done = here("ask", "-c", "two")
    assert (done.returncode, done.stdout) == (0, "the reply\n")


def test_no_save_keeps_nothing(bot: Bot, tmp_path: Path) -> None:
    """Neither a conversation nor a word of it is on the disk afterwards."""
    assert bot("ask", "--no_save", "a very private matter").returncode == 0
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not [path for path in files if b"private" in path.read_bytes()]
    assert bot("history", "list").stdout == ""


def test_history_commands(bot: Bot, tmp_path: Path) -> None:
    """List, show, search, export, import and delete do what they say."""
    made = json.loads(bot("ask", "--json", "why do cats purr").stdout)["conversation_id"]
    assert made in bot("history", "list").stdout
    assert json.loads(bot("history", "list", "--json").stdout)[0]["id"] == made
    shown = bot("history", "show", made[:4], "--references").stdout
    assert "why do cats purr" in shown
    assert "from a" in shown
    assert made in bot("history", "search", "purr").stdout
    assert json.loads(bot("history", "search", "PURR cats", "--json").stdout)
    out = tmp_path / "one.json"
    assert bot("history", "export", made, "--format", "json", "-o", str(out)).returncode == 0
    assert "the reply" in bot("history", "export", made, "--format", "markdown").stdout
    wrong = bot("history", "export", made, "-o", str(tmp_path / "x.xyz"))
    assert wrong.returncode == 2
    assert "markdown, json, jsonl, html" in " ".join(wrong.stderr.split())
    assert not (tmp_path / "x.xyz").exists()
    (tmp_path / "bad.json").write_text("{}")
    assert (
        "bad.json: this is not an exported conv"
        in bot("history", "import", str(tmp_path / "bad.json")).stderr
    )
    assert bot("history", "delete", made).returncode == 0
    assert bot("history", "show", made).returncode != 0
    back = bot("history", "import", str(out)).stdout.strip()
    assert "from b" in bot("history", "show", back, "--references").stdout
    assert bot("history", "delete", "--older-than", "30d").returncode == 0
    assert back in bot("history", "list").stdout


def test_the_log_has_a_line_per_call_and_no_secrets(bot: Bot, tmp_path: Path) -> None:
    """Model, round, status, seconds, tokens; never prompt, answer or key, which is in no file at all."""
    assert bot("ask", "a private matter").returncode == 0
    log = tmp_path / "home" / "logs" / "moa-bot.log"
    lines = log.read_text(encoding="utf-8").splitlines()
    calls = [line for line in lines if "| done |" in line]
    assert len(calls) == 3
    assert "round 1 | reference | together | a | done |" in calls[0] + calls[1]
    assert "tokens" in calls[0]
    everything = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert KEY.encode() not in everything
    assert "private matter" not in log.read_text(encoding="utf-8")
    assert "the reply" not in log.read_text(encoding="utf-8")
    assert log.stat().st_mode & 0o077 == 0


def test_verbose_shows_the_log(bot: Bot) -> None:
    """--verbose puts the lines on stderr as well, without the key."""
    done = bot("ask", "--verbose", "hi")
    assert done.stdout == "the reply\n"
    assert "round 1 | reference | together | a | done" in done.stderr
    assert KEY not in done.stderr


def test_a_damaged_store_is_set_aside(bot: Bot, tmp_path: Path) -> None:
    """The answer comes, stderr says where the broken file is, its bytes are there, saving goes on."""
    (tmp_path / "home").mkdir(exist_ok=True)
    file = tmp_path / "home" / "conversations.db"
    file.write_bytes(b"this is no database, " * 100)
    done = bot("ask", "hi")
    assert (done.returncode, done.stdout) == (0, "the reply\n")
    assert "conversations.db.damaged-1" in done.stderr
    assert file.with_name("conversations.db.damaged-1").read_bytes() == b"this is no database, " * 100
    assert "hi" in bot("history", "list").stdout


def test_a_newer_store_is_left_alone(bot: Bot, tmp_path: Path) -> None:
    """A database of a newer version: a clear message, the chat goes on unsaved, the file stays as it was."""
    assert bot("ask", "hi").returncode == 0
    file = tmp_path / "home" / "conversations.db"
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version=99")
    database.close()
    before = file.read_bytes()
    done = bot("ask", "hello again")
    assert (done.returncode, done.stdout) == (0, "the reply\n")
    assert "newer moa-bot" in done.stderr
    assert file.read_bytes() == before


def test_a_locked_store_costs_only_the_saving(program: Bot, tmp_path: Path) -> None:
    """While another program holds the lock, the answer comes, and it says that the turn is not saved."""
    assert program("ask", "hi").returncode == 0
    database = sqlite3.connect(tmp_path / "home" / "conversations.db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    done = program("ask", "hello again")
    database.execute("ROLLBACK")
    database.close()
    assert (done.returncode, done.stdout) == (0, "the reply\n")
    assert "locked by another program" in done.stderr


def test_everything_of_a_turn_is_stored(bot: Bot, service: DemoProcess, tmp_path: Path) -> None:
    """Each call is kept with round, role, model, status, error, text, thinking, tokens and times."""
    service.set_behaviour(
        {
            "models": {
                "a": {"reply": "from a", "reasoning": "hm"},
                "b": {"failures": [{"status": 404}]},
                "judge": {"reply": "the reply"},
            }
        }
    )
    bot("ask", "why?")
    database = sqlite3.connect(tmp_path / "home" / "conversations.db")
    rows = database.execute(
        "SELECT round, role, model, status, text, reasoning, completion_tokens, seconds "
        "FROM calls ORDER BY round, slot"
    ).fetchall()
    database.close()
    assert [row[:6] for row in rows] == [
        (1, "reference", "a", "done", "from a", "hm"),
        (1, "reference", "b", "failed", "", ""),
        (2, "aggregator", "judge", "done", "the reply", ""),
    ]
    assert rows[0][6]
    assert rows[0][7] is not None
