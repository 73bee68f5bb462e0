"""Downloads a model file from the Hugging Face hub, once.

The size is announced first, then the progress. An interrupted download is kept and resumed, and the
complete file is checked against the hub's checksum. The hub's own client does neither: it starts
again from zero, and compares sizes only. A file in that client's cache is used from there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

from bot.client.proxies import NetworkSettingError, proxies_of
from bot.client.tls import tls_context
from bot.errors import MoaError
from bot.local.gguf_header import part_names
from bot.local.model_files import HubFile, downloads_dir, find_downloaded

STEP = 10
"""Progress is announced in steps of so many per cent."""
_PIECE = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT = 15.0
_MAX_REDIRECTS = 4
_PARTIAL, _NO_SUCH_RANGE = 206, 416

Say = Callable[[str], None]


def download(
    hub_file: HubFile,
    say: Say,
    *,
    hub: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Return the file's path, after downloading it if it is not here yet. Blocks.

    Of a split model all parts are downloaded, and the path is that of the first.
    `hub` is another address of the hub than the default; the download ends when `stopped` returns
    true. MoaError, which names the file and the cause, when it fails.
    """
    folder, slash, name = hub_file.file.rpartition("/")
    paths = []
    for part in part_names(name):
        file = HubFile(hub_file.repo, f"{folder}{slash}{part}")
        path = find_downloaded(file, environ)
        if path is None:
            path = downloads_dir(environ) / file.repo / file.file
            with _readable_errors(file):
                _Download(file, say, hub, stopped).save(path)
        paths.append(path)
    return paths[0]


class _Download:
    """The download of one file."""

    def __init__(self, hub_file: HubFile, say: Say, hub: str | None, stopped: Callable[[], bool]) -> None:
        self._hub_file, self._say, self._stopped = hub_file, say, stopped
        self._url = hf_hub_url(hub_file.repo, hub_file.file, endpoint=hub)
        self._size, self._checksum = self._metadata()
        self._announced = 0

    def _metadata(self) -> tuple[int, str]:
        """Return the file's size in bytes and its checksum, from the hub's headers."""
        # With the user's token, if there is one.
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        for _ in range(_MAX_REDIRECTS):
            answer = httpx.head(self._url, headers=headers, timeout=_TIMEOUT, **_network(self._url))
            location = answer.headers.get("location", "")
            # A relative redirect is a renamed repository; an absolute one leads to the file's storage.
            if not (answer.is_redirect and location.startswith("/")):
                break
            self._url = str(answer.url.join(location))
        if answer.is_error:
            raise _refused(self._hub_file, answer.status_code, answer.headers.get("x-error-code", ""))
        size = answer.headers.get("x-linked-size") or answer.headers.get("content-length") or "0"
        etag = answer.headers.get("x-linked-etag") or answer.headers.get("etag") or ""
        return int(size), etag.removeprefix("W/").strip('"')

    def save(self, path: Path) -> None:
        """Download to this path, where the file appears only once it is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # The checksum is in the name, so that parts of two versions of a file are never joined.
        mark = re.sub(r"[^0-9A-Za-z]", "", self._checksum)[:16]
        part = path.with_name(f"{path.name}.{mark}.part")
        start = part.stat().st_size if part.exists() else 0
        resumed = f", {start / 1e9:.2f} GB of it are here" if start else ""
        size = f"{self._size / 1e9:.2f} GB"
        self._say(f"Downloading {self._hub_file.file} of {self._hub_file.repo}: {size}{resumed}.")
        free = shutil.disk_usage(path.parent).free
        if self._size - start > free:
            raise MoaError(
                f"{self._hub_file}: {self._size / 1e9:.1f} GB do not fit on the disk.",
                hint=f"{free / 1e9:.1f} GB are free: make room, or name a smaller file.",
            )
        self._append(part, start)
        self._check(part)
        part.replace(path)

    def _append(self, part: Path, start: int) -> None:
        """Append what is missing to the part, which has `start` bytes."""
        headers = build_hf_headers()
        if start:
            headers["Range"] = f"bytes={start}-"
        with httpx.stream(
            "GET",
            self._url,
            headers=headers,
            follow_redirects=True,
            timeout=_TIMEOUT,
            **_network(self._url),
        ) as answer:
            if answer.status_code == _NO_SUCH_RANGE:
                return  # the part is complete; `_check` tells whether it is right
            answer.raise_for_status()
            resumes = answer.status_code == _PARTIAL
            done = start if resumes else 0
            with part.open("ab" if resumes else "wb") as file:
                for piece in answer.iter_raw(_PIECE):
                    file.write(piece)
                    done += len(piece)
                    self._announce(done)
                    if self._stopped():
                        raise _StoppedError

    def _announce(self, done: int) -> None:
        percent = min(100, 100 * done // self._size) if self._size else 0
        if percent // STEP > self._announced // STEP:
            self._announced = percent
            self._say(f"  {self._hub_file.file}: {percent} % of {self._size / 1e9:.2f} GB")

    def _check(self, part: Path) -> None:
        """Compare the part with the hub's size and checksum; raises MoaError, and deletes a wrong file."""
        size = part.stat().st_size
        if size < self._size:
            raise MoaError(
                f"{self._hub_file}: only {size:,} of {self._size:,} bytes arrived.", hint="Try again."
            )
        if not _SHA256.fullmatch(self._checksum):
            return  # a small file, whose checksum is git's own
        digest = hashlib.sha256()
        with part.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        if digest.hexdigest() != self._checksum:
            part.unlink()
            raise MoaError(f"{self._hub_file}: damaged on the way: its checksum differs.", hint="Try again.")


def _network(url: str) -> dict[str, Any]:
    """Return the proxy and the certificates for a URL, as for all other requests."""
    return {
        "proxy": proxies_of(os.environ).proxy_for(url),
        "verify": tls_context(),
        "trust_env": False,
    }


class _StoppedError(Exception):
    """The download was stopped."""


@contextmanager
def _readable_errors(hub_file: HubFile) -> Iterator[None]:
    """Turn errors into a MoaError that names the file and what to do."""
    try:
        yield
    except NetworkSettingError as problem:
        raise MoaError(f"{hub_file}: cannot be downloaded: {problem}.") from None
    except httpx.HTTPStatusError as problem:
        raise _refused(hub_file, problem.response.status_code) from None
    except httpx.HTTPError:
        raise MoaError(
            f"{hub_file}: it is not on this computer yet, and the Hugging Face hub cannot be reached.",
            hint="Connect to the network for the first use, or name a file that is here: local:PATH.gguf.",
        ) from None
    except _StoppedError:
        raise MoaError(f"{hub_file}: the download was stopped; the next one resumes it.") from None
    except OSError as problem:
        raise MoaError(f"{hub_file}: cannot be downloaded: {problem.strerror or problem}.") from None


def _refused(hub_file: HubFile, status: int, code: str = "") -> MoaError:
    """Return the error for a response with an error status; `code` is the hub's own error code."""
    page = f"https://huggingface.co/{hub_file.repo}"
    match code:
        case "GatedRepo":
            return MoaError(
                f"{hub_file}: its owners require you to request access.",
                hint=f"Request it at {page}, and set HF_TOKEN to your token.",
            )
        case "RepoNotFound":
            return MoaError(
                f"{hub_file}: the hub has no {hub_file.repo} that you may see.", hint="Check the spelling."
            )
        case "EntryNotFound":
            return MoaError(f"{hub_file}: {hub_file.repo} has no such file.", hint=f"See {page}/tree/main")
        case _:
            return MoaError(f"{hub_file}: the Hugging Face hub answered with status {status}.")
