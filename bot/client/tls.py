"""Which certificates are trusted: those that SSL_CERT_FILE or SSL_CERT_DIR name, else the system's.

The system's trust store holds what a company's administrators add to it. On macOS and Windows it is
asked through `truststore`; elsewhere it is files that OpenSSL finds, and they are read once: `truststore`
would read them for each connection, which takes 20-70 ms. Where there is none, httpx's certificates
(certifi) are used.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bot.client.proxies import NetworkSettingError

FILE, FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
_BUNDLES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where systems keep their certificates, for a Python whose OpenSSL was built to look elsewhere."""
_HASHED = re.compile(r"[0-9a-f]{8}\.\d")
_CERTIFICATE = re.compile(
    r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*(?:-----END [A-Z0-9 ]{1,40}-----)?"
)
_LARGEST = 16 * 2**20


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context, made once (it takes 20-70 ms). Raises NetworkSettingError."""
    named = certificates_named(os.environ)
    if not named:
        return _system_context()
    if problem := certificate_problem(os.environ):
        raise NetworkSettingError(f"{FILE} or {FOLDER} cannot be used: {problem}")
    try:
        return ssl.create_default_context(cafile=named.get(FILE), capath=named.get(FOLDER))
    except OSError as error:  # ssl.SSLError is one
        raise NetworkSettingError(f"{FILE} or {FOLDER} cannot be used: {_named(named)}: {error}") from error


def certificates_named(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the file and the folder that the environment names, by variable."""
    return {name: value for name in (FILE, FOLDER) if (value := environ.get(name, "").strip())}


def certificate_problem(environ: Mapping[str, str]) -> str:
    """Return why the file or the folder cannot be used, as far as can be seen quickly; "" if it can.

    As with OpenSSL, a folder that is not there does no harm beside a file.
    """
    named = certificates_named(environ)
    if path := named.get(FILE):
        if problem := _file_problem(path):
            return f"{FILE}={path}: {problem}"
    elif (folder := named.get(FOLDER)) and not any(map(os.path.isdir, folder.split(os.pathsep))):
        return f"{FOLDER}={folder}: no such folder"
    return ""


def _file_problem(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST).decode("ascii", "replace")
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    certificates = _CERTIFICATE.findall(content)
    if not certificates:
        return "no certificate in PEM format is in it"
    try:
        # All of them would take as long as `tls_context`.
        for certificate in (certificates[0], certificates[-1]):
            if "TRUSTED" not in certificate:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
    except (OSError, ValueError):
        return "a certificate in it cannot be read"
    return ""


def trust_store(environ: Mapping[str, str]) -> str:
    """Return what is trusted, in words."""
    if named := certificates_named(environ):
        return _named(named)
    if sys.platform in {"darwin", "win32"}:
        return "the system's trust store"
    bundle = _system_bundle()
    return f"the system's trust store ({bundle})" if bundle else "the certificates of certifi"


def _named(named: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in named.items())


def _system_context() -> ssl.SSLContext:
    if sys.platform in {"darwin", "win32"}:
        import truststore  # noqa: PLC0415 - only where the system has no files

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bundle = _system_bundle()
    if not bundle:
        import httpx  # noqa: PLC0415 - `trust_store` is used where httpx is not

        return httpx.create_ssl_context(trust_env=False)
    path = Path(bundle)
    return ssl.create_default_context(
        cafile=bundle if path.is_file() else None, capath=bundle if path.is_dir() else None
    )


def _system_bundle() -> str:
    """Return the file or the folder with the system's certificates, "" where none is found."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return paths.cafile
    if paths.capath and any(_HASHED.fullmatch(file.name) for file in Path(paths.capath).iterdir()):
        return paths.capath
    return next((bundle for bundle in _BUNDLES if Path(bundle).is_file()), "")
