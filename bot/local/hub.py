"""Fetches a model's file from the Hugging Face hub, once; later it is here.

The size is said beforehand, progress on the way. What has come of a fetch that was broken off is
kept, and the next one goes on from there (the hub's own client begins anew); the whole is checked
against the checksum that the hub names. What that client has in its cache is used as it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from bot.errors import MoaError
from bot.local.model_files import HubFile
from bot.settings.paths import data_dir

STEP = 10
"""Progress is told every so many per cent."""
_PIECE = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATIENCE = 15.0
_REDIRECTS = 4
_PARTIAL, _NO_SUCH_RANGE = 206, 416

Say = Callable[[str], None]


def folder_of_fetched(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where fetched files are kept."""
    return data_dir(environ) / "models"


def fetched(wanted: HubFile, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file if it is on this computer already; the hub is not asked."""
    own = folder_of_fetched(environ) / wanted.repo / wanted.file
    if own.is_file():
        return own
    from huggingface_hub import try_to_load_from_cache

    with _told(wanted):
        found = try_to_load_from_cache(wanted.repo, wanted.file)
    return Path(found) if isinstance(found, str) else None


def fetch(
    wanted: HubFile,
    say: Say,
    *,
    hub: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Return the file's path, fetched if need be. It blocks.

    `hub` is another address of the hub than the usual one; `stopped` breaks the fetch off when it
    returns true. MoaError, which names the file and the cause, when it cannot be had.
    """
    if here := fetched(wanted, environ):
        return here
    with _told(wanted):
        return _Fetch(wanted, say, hub, stopped).into(folder_of_fetched(environ) / wanted.repo / wanted.file)


class _Fetch:
    """One file on its way."""

    def __init__(self, wanted: HubFile, say: Say, hub: str | None, stopped: Callable[[], bool]) -> None:
        from huggingface_hub import hf_hub_url

        self._wanted, self._say, self._stopped = wanted, say, stopped
        self._url = hf_hub_url(wanted.repo, wanted.file, endpoint=hub)
        self._size, self._sum = self._known()
        self._told = 0

    def _known(self) -> tuple[int, str]:
        """Return the file's size in bytes and its checksum, as the hub names them."""
        import httpx

        headers = {**_headers(), "Accept-Encoding": "identity"}
        for _ in range(_REDIRECTS):
            answer = httpx.head(self._url, headers=headers, timeout=_PATIENCE)
            to = answer.headers.get("location", "")
            # A repository that was renamed; elsewhere lies only the file itself.
            if not (answer.is_redirect and to.startswith("/")):
                break
            self._url = str(answer.url.join(to))
        if answer.is_error:
            raise _refused(self._wanted, answer.status_code, answer.headers.get("x-error-code", ""))
        size = answer.headers.get("x-linked-size") or answer.headers.get("content-length") or "0"
        named = answer.headers.get("x-linked-etag") or answer.headers.get("etag") or ""
        return int(size), named.removeprefix("W/").strip('"')

    def into(self, path: Path) -> Path:
        """Fetch it to this path; it is there only when it is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # The sum is in the name: the parts of two versions of a file must not be put together.
        mark = re.sub(r"[^0-9A-Za-z]", "", self._sum)[:16]
        part = path.with_name(f"{path.name}.{mark}.part")
        begun = part.stat().st_size if part.exists() else 0
        more = f", {begun / 1e9:.2f} GB of it are here" if begun else ""
        self._say(f"Fetching {self._wanted.file} of {self._wanted.repo}: {self._size / 1e9:.2f} GB{more}.")
        free = shutil.disk_usage(path.parent).free
        if self._size - begun > free:
            raise MoaError(
                f"{self._wanted}: {self._size / 1e9:.1f} GB do not fit on the disk.",
                hint=f"{free / 1e9:.1f} GB are free: make room, or name a smaller file.",
            )
        self._load(part, begun)
        self._check(part)
        part.replace(path)
        return path

    def _load(self, part: Path, begun: int) -> None:
        """Add to the part what is missing of it."""
        import httpx

        headers = _headers()
        if begun:
            headers["Range"] = f"bytes={begun}-"
        with httpx.stream(
            "GET", self._url, headers=headers, follow_redirects=True, timeout=_PATIENCE
        ) as answer:
            if answer.status_code == _NO_SUCH_RANGE:
                return  # all of it is here; the sum will say whether it is right
            answer.raise_for_status()
            goes_on = answer.status_code == _PARTIAL
            done = begun if goes_on else 0
            with part.open("ab" if goes_on else "wb") as file:
                for piece in answer.iter_raw(_PIECE):
                    file.write(piece)
                    done += len(piece)
                    self._tell(done)
                    if self._stopped():
                        raise _StoppedError

    def _tell(self, done: int) -> None:
        percent = min(100, 100 * done // self._size) if self._size else 0
        if percent // STEP > self._told // STEP:
            self._told = percent
            self._say(f"  {self._wanted.file}: {percent} % of {self._size / 1e9:.2f} GB")

    def _check(self, part: Path) -> None:
        """Compare the part with the size and the checksum named; one that differs is removed."""
        size = part.stat().st_size
        if size < self._size:
            raise MoaError(f"{self._wanted}: only {size:,} of {self._size:,} bytes came.", hint="Try again.")
        if not _SHA256.fullmatch(self._sum):
            return  # a small file: its sum is one of git's, of another kind
        digest = hashlib.sha256()
        with part.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        if digest.hexdigest() != self._sum:
            part.unlink()
            raise MoaError(
                f"{self._wanted}: what came is not the file: its checksum differs.", hint="Try again."
            )


def _headers() -> dict[str, str]:
    """Return what the hub's own client sends along: who asks, and the user's token if there is one."""
    headers: Mapping[str, str] = import_module("huggingface_hub.utils").build_hf_headers()
    return dict(headers)


class _StoppedError(Exception):
    """Nobody waits for the file any longer."""


@contextmanager
def _told(wanted: HubFile) -> Iterator[None]:
    """Turn what goes wrong on the way into one line that names the file and what to do."""
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as problem:
        raise _refused(wanted, problem.response.status_code) from None
    except httpx.HTTPError:
        raise MoaError(
            f"{wanted}: it is not on this computer yet, and the Hugging Face hub cannot be reached.",
            hint="Connect to the network for the first use, or name a file that is here: local:PATH.gguf.",
        ) from None
    except _StoppedError:
        raise MoaError(f"{wanted}: the fetch was stopped; the next one goes on from there.") from None
    except OSError as problem:
        raise MoaError(f"{wanted}: cannot be fetched: {problem.strerror or problem}.") from None
    except ValueError:
        raise MoaError(f"{wanted}: not a name that a file on the Hugging Face hub can have.") from None


def _refused(wanted: HubFile, status: int, code: str = "") -> MoaError:
    """Return the error for an answer that is not the file; `code` is the hub's own word for it."""
    page = f"https://huggingface.co/{wanted.repo}"
    match code:
        case "GatedRepo":
            return MoaError(
                f"{wanted}: its makers want to be asked first.",
                hint=f"Accept their terms at {page}, and set HF_TOKEN to your token.",
            )
        case "RepoNotFound":
            return MoaError(
                f"{wanted}: the hub has no {wanted.repo} that you may see.", hint="Is it spelt so?"
            )
        case "EntryNotFound":
            return MoaError(f"{wanted}: {wanted.repo} has no such file.", hint=f"See {page}/tree/main")
        case _:
            return MoaError(f"{wanted}: the Hugging Face hub answered with status {status}.")
