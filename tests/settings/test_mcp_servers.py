"""Servers of config.toml and of files with mcpServers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.errors import ConfigError, UsageError
from bot.settings.config_key import parse_key, parse_value
from bot.settings.mcp_servers import McpServer, all_servers, read_server_file, read_servers
from bot.settings.resolve import resolve


def test_config_file(tmp_path: Path) -> None:
    """Sections [mcp.NAME] and [web] are read with the settings; a disabled server is not there."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[mcp.git]\ncommand = "git-server"\nargs = ["a"]\nenv = {A = "${B}"}\nread_only = ["get_*"]\n'
        '[mcp.docs]\nurl = "https://docs.example/${PATH_PART}"\ntimeout = 5\n'
        '[mcp.off]\ncommand = "x"\ndisabled = true\n'
        '[web]\nallow_hosts = ["wiki.lan"]\n'
    )
    settings = resolve({}, environ={}, config_file=file)
    assert list(settings.mcp_servers) == ["git", "docs"]
    assert settings.web.allow_hosts == ("wiki.lan",)
    git = settings.mcp_servers["git"].expanded({"B": "secret"})
    assert (git.command, git.args, git.env, git.read_only) == (
        "git-server",
        ("a",),
        {"A": "secret"},
        ("get_*",),
    )
    assert settings.mcp_servers["docs"].expanded({"PATH_PART": "mcp"}).url == "https://docs.example/mcp"
    assert "secret" not in repr(git)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[mcp.git]", "mcp.git: expected either command or url"),
        ('[mcp.git]\ncommand = "a"\nurl = "https://b.example"', "expected either command or url"),
        ('[mcp.git]\ncommand = "a"\narg = []', "unknown key"),
        ('[mcp.git]\ncommand = "a"\nargs = "b"', "mcp.git.args: expected a list of texts"),
        ('[mcp.git]\ncommand = "a"\nenv = {A = 1}', "mcp.git.env.A: expected a text"),
        ('[mcp.git]\ncommand = ["a"]', "mcp.git.command: expected a text"),
        ('[mcp.git]\nurl = "ws://a.example"', "mcp.git.url: expected an address"),
        ('[mcp.git]\nurl = "https://a.example/mcp?key=a b"', "mcp.git.url: expected an address"),
        ('[mcp.git]\nurl = "https://me:pass@a.example/mcp"', "mcp.git.url: expected an address"),
        ('[mcp.git]\ncommand = "a"\ntimeout = 0', "mcp.git.timeout"),
        ('[mcp.web]\ncommand = "a"', "expected a name"),
        ('[mcp."a.b"]\ncommand = "a"', "expected a name"),
        ('mcp = "a"', "mcp: expected a table"),
        ('web = "a"', "web: expected a table"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str) -> None:
    """Each is an error of one line that names file and key."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        resolve({}, environ={}, config_file=file)
    assert problem in raised.value.message
    assert str(file) in raised.value.message


def test_files_of_other_programs(tmp_path: Path) -> None:
    """mcp.json is read as other programs write it; config.toml's servers count before those of files."""
    own, more = tmp_path / "mcp.json", tmp_path / "more.json"
    servers = {
        "my server": {"type": "stdio", "command": "a", "env": {"K": "${env:K}"}, "alwaysAllow": ["x"]},
        "@scope/docs": {"type": "http", "url": "https://a.example/mcp", "headers": {"A": "b"}},
        "off": {"command": "b", "disabled": True},
        "search": {"serverUrl": "https://s.example/mcp?key=${KEY}&x=%20y"},
        "other": {"httpUrl": "http://localhost:1/mcp"},
        "git": {"command": "of-mcp-json"},
    }
    own.write_text(json.dumps({"mcpServers": servers}))
    more.write_text(json.dumps({"servers": {"git": {"command": "of-more"}, "x": {"command": "of-more"}}}))
    found = all_servers(tmp_path, (more,), {"x": McpServer("x", "of-config")})
    assert {name: server.command or server.url for name, server in found.items()} == {
        "my_server": "a",
        "scope_docs": "https://a.example/mcp",
        "search": "https://s.example/mcp?key=${KEY}&x=%20y",
        "other": "http://localhost:1/mcp",
        "git": "of-more",
        "x": "of-config",
    }
    assert found["my_server"].expanded({"K": "v"}).env == {"K": "v"}
    assert all_servers(tmp_path / "nothing", (), {}) == {}


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"mcpServers": []}', '{"mcpServers": {"a": {}}}', '{"mcpServers": {"a": 1}}',
             '{"mcpServers": {"a b": {"command": "a"}, "a_b": {"command": "b"}}}',
             '{"mcpServers": {"a": {"type": "sse", "url": "https://a.example"}}}', "[" * 100_000]
)  # fmt: skip
def test_broken_files(tmp_path: Path, text: str) -> None:
    """Each is an error that names the file."""
    file = tmp_path / "mcp.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"mcp\.json"):
        read_server_file(file)
    with pytest.raises(UsageError, match=r"missing\.json"):
        read_server_file(tmp_path / "missing.json")


def test_what_may_be_a_key() -> None:
    """What a server is given, each variable that it names, and the values in its address's query."""
    server = McpServer(
        "git", "a", ("--key=${A}",), {"E": "e ${B}"}, url="https://h/${C}?k=${D}&x=%20y", headers={"H": "h"}
    )
    environ = {"A": "of-a", "B": "of-b", "C": "of-c", "D": "of-d"}
    assert set(server.secrets(environ)) >= {"of-a", "e of-b", "of-b", "of-c", "of-d", " y", "%20y", "h"}
    assert "https" not in repr(server)


def test_a_variable_that_is_not_set() -> None:
    """It is an error that names the server and the variable."""
    server = McpServer("git", "a", args=("${NONE}",))
    with pytest.raises(UsageError, match=r"git: .*NONE is not set"):
        server.expanded({})
    assert read_servers({}) == {}


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("mcp.git.command", "git-server", ("mcp", "git", "command"), "git-server"),
        ("mcp.git.args", "--repository,.", ("mcp", "git", "args"), ["--repository", "."]),
        ("mcp.git.env.TOKEN", "${X}", ("mcp", "git", "env", "TOKEN"), "${X}"),
        ("mcp.git.timeout", "5", ("mcp", "git", "timeout"), 5),
        ("web.search", "exa", ("web", "search"), "exa"),
        ("web.allow_hosts", "a,*.b", ("web", "allow_hosts"), ["a", "*.b"]),
        ("web.allow_private", "yes", ("web", "allow_private"), True),
    ],
)
def test_names_of_settings(name: str, text: str, key: tuple[str, ...], value: object) -> None:
    """`config set` knows them, with the kinds of their values."""
    assert (parse_key(name), parse_value(key, text)) == (key, value)
