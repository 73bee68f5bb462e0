"""Which proxy a request goes through: the environment's variables, as they are written everywhere."""

from __future__ import annotations

import pytest

from bot.client.proxies import NetworkSettingError, proxies_of, without_password

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "url", "excepted"),
    [
        # names, with and without dots, in any case
        ("example.com", "https://example.com/v1", True),
        ("example.com", "https://api.example.com/v1", True),
        ("example.com", "https://notexample.com/v1", False),
        (".example.com", "https://api.example.com/v1", True),
        (".example.com", "https://example.com/v1", True),
        ("*.example.com", "https://api.example.com/v1", True),
        ("*.example.com", "https://example.org/v1", False),
        ("EXAMPLE.com", "https://API.Example.COM/v1", True),
        ("example.com.", "https://example.com/v1", True),
        ("example.com", "https://example.com./v1", True),
        ("api-*.example.com", "https://api-7.example.com", True),
        ("bücher.example", "https://xn--bcher-kva.example/v1", True),
        ("localhost", "http://localhost:11434/v1", True),
        ("localhost", "http://127.0.0.1:11434/v1", False),
        # lists: commas, blanks, empty entries
        ("a.example, example.com ,b.example", "https://example.com/v1", True),
        ("a.example example.com", "https://example.com/v1", True),
        (",,", "https://example.com/v1", False),
        ("", "https://example.com/v1", False),
        ("*", "https://example.com/v1", True),
        ("a.example, *", "http://[::1]/v1", True),
        # ports
        ("example.com:8080", "https://example.com:8080/v1", True),
        ("example.com:8080", "https://example.com/v1", False),
        ("example.com:443", "https://example.com/v1", True),
        ("example.com:80", "http://example.com/v1", True),
        ("10.0.0.1:8080", "http://10.0.0.1:8080/v1", True),
        ("10.0.0.1:8080", "http://10.0.0.1:9090/v1", False),
        ("[::1]:8080", "http://[::1]:8080/v1", True),
        ("[::1]:8080", "http://[::1]:9090/v1", False),
        # addresses of both families
        ("10.0.0.1", "http://10.0.0.1/v1", True),
        ("10.0.0.1", "http://10.0.0.10/v1", False),
        ("::1", "http://[::1]:11434/v1", True),
        ("[::1]", "http://[::1]:11434/v1", True),
        ("[0:0:0:0:0:0:0:1]", "http://[::1]/v1", True),
        ("FE80::1", "http://[fe80::1]/v1", True),
        ("192.168.*", "http://192.168.3.4/v1", True),
        ("10.0.0.1", "http://[::ffff:10.0.0.1]/v1", True),
        # blocks
        ("10.0.0.0/8", "http://10.20.30.40:8000/v1", True),
        ("10.0.0.0/8", "http://11.0.0.1/v1", False),
        ("10.1.2.3/8", "http://10.20.30.40/v1", True),
        ("10.0.0.0/255.0.0.0", "http://10.20.30.40/v1", True),
        ("192.168.0.0/16,172.16.0.0/12", "http://172.31.255.1/v1", True),
        ("fd00::/8", "http://[fd12:3456::1]/v1", True),
        ("[fd00::]/8", "http://[fd12:3456::1]/v1", True),
        ("fd00::/8", "http://[fe80::1]/v1", False),
        ("fd00::/8", "http://10.0.0.1/v1", False),
        ("10.0.0.0/8", "http://[fd00::1]/v1", False),
        ("0.0.0.0/0", "http://8.8.8.8/v1", True),
        ("10.0.0.0/8", "https://ten.example/v1", False),
        ("10.0.0.0/99", "http://10.0.0.1/v1", False),
        # with a scheme
        ("https://example.com", "https://example.com/v1", True),
        ("https://example.com", "http://example.com/v1", False),
        # nonsense
        ("[", "https://example.com/v1", False),
        ("example.com:http", "https://example.com/v1", False),
        ("/", "https://example.com/v1", False),
        (".", "https://example.com/v1", False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, excepted: bool) -> None:  # noqa: FBT001 - a column of the table
    """NO_PROXY names hosts, domains, addresses and blocks, in upper case and in lower case."""
    for name in ("NO_PROXY", "no_proxy"):
        proxies = proxies_of({"ALL_PROXY": PROXY, name: no_proxy})
        assert proxies.proxy_for(url) == (None if excepted else PROXY)


@pytest.mark.parametrize(
    ("environ", "of_http", "of_https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": PROXY}, PROXY, None),
        ({"https_proxy": PROXY}, None, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY, PROXY),
        ({"ALL_PROXY": PROXY, "HTTP_PROXY": "socks5://s:1"}, "socks5://s:1", PROXY),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, None, "http://lower:1"),
        ({"HTTPS_PROXY": PROXY, "https_proxy": ""}, None, None),
        ({"HTTPS_PROXY": f"  {PROXY} "}, None, PROXY),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, None, None),
        ({"HTTPS_PROXY": "proxy.example:3128"}, None, PROXY),
        ({"HTTPS_PROXY": "HTTP://proxy.example:3128"}, None, PROXY),
        ({"HTTPS_PROXY": "socks://s:1080"}, None, "socks5://s:1080"),
        ({"HTTPS_PROXY": "socks5h://u:p@s:1080"}, None, "socks5h://u:p@s:1080"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, None, "http://[::1]:3128"),
        ({"HTTPS_PROXY": "[::1]:3128"}, None, "http://[::1]:3128"),
        ({"FTP_PROXY": PROXY, "NO_PROXY": "*"}, None, None),
    ],
)
def test_variables(environ: dict[str, str], of_http: str | None, of_https: str | None) -> None:
    """The scheme's own variable wins over ALL_PROXY, lower case over upper case."""
    proxies = proxies_of(environ)
    assert proxies.proxy_for("http://example.com/v1") == of_http
    assert proxies.proxy_for("https://example.com/v1") == of_https


@pytest.mark.parametrize(
    "value",
    [
        "what", "http://", "ftp://host:21", "socks4://host:1", "http://::1:3128", "http://[::1",
        "http://h:99999", "a b:1",
    ],
)  # fmt: skip
def test_no_address(value: str) -> None:
    """What is no address of a proxy is named by its variable, without the value: it may hold a password."""
    with pytest.raises(NetworkSettingError) as caught:
        proxies_of({"HTTPS_PROXY": value}).proxy_for("https://example.com/v1")
    assert str(caught.value).startswith("HTTPS_PROXY is not the address of a proxy")
    assert value not in str(caught.value).removesuffix("http://host:3128")
    assert proxies_of({"HTTPS_PROXY": value}).proxy_for("http://example.com/v1") is None


def test_passwords_are_not_shown() -> None:
    """Of an address, everything but user and password is shown."""
    assert without_password("http://me:secret@[::1]:3128") == "http://[::1]:3128"
