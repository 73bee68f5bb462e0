"""Reads the header of a GGUF file: architecture, context, memory needed, whether it can chat and is complete.

Only the header is read, never a weight, and a file that cannot be run is reported with its cause
before an engine is started for it. The parts of a split model (NAME-00001-of-00003.gguf, …) are one
model, which is named by its first part. The package `gguf` has a reader too, but that one needs numpy,
takes seconds for a large vocabulary, and fails on a truncated file without saying why.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import stat
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from bot.errors import UsageError
from bot.local.tensor_types import BLOCK_SIZES
from bot.text.turn_markers import template_markers

_Result = TypeVar("_Result")

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MAX_COUNT = 1 << 20
"""Entries or tensors of one file, and items of an array; real files have fewer."""
_MAX_DIMENSIONS = 4
"""Of a tensor, as ggml has it."""
_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_EMBEDS = "an embedding model"
_NO_CHAT = {
    **dict.fromkeys(("bert", "modern-bert", "neo-bert", "eurobert", "nomic-bert", "nomic-bert-moe"), _EMBEDS),
    **dict.fromkeys(("jina-bert-v2", "jina-bert-v3", "gemma-embedding", "llama-embed", "t5encoder"), _EMBEDS),
    "clip": "a vision projector",
    "whisper": "a speech recogniser",
}
"""What models of these architectures are, which the engine cannot generate text with."""
_NO_POOLING, _RANK_POOLING = 0, 4
"""The format's values of pooling_type: those between pool the tokens to an embedding."""
BASE = "a base model, without a chat template"
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)
_CACHE_BYTES = 2
"""Bytes of one number in the cache of keys and values."""
OVERHEAD = 150_000_000
"""Bytes that an engine needs besides weights and cache."""


class ModelFileError(UsageError):
    """A file that is not a model, or not a complete one; names the file and the cause."""

    def __init__(self, path: Path, cause: str, hint: str = "") -> None:
        super().__init__(f"{path}: {cause}.", hint=hint)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model: `size` in bytes of all its parts, `context` in tokens, `cache` in bytes per token of context.

    `turn_markers` are those of its chat template; without `shows_tools`, that has no place for tools.
    `no_chat` says what it is if it cannot chat, such as "an embedding model", else it is "".
    """

    path: Path
    size: int
    architecture: str
    context: int | None
    cache: int
    turn_markers: tuple[str, ...] = ()
    no_chat: str = ""
    shows_tools: bool = False

    def memory(self, tokens: int) -> int:
        """Return about how many bytes it needs with a context of so many tokens."""
        return self.size + self.anonymous_memory(tokens)

    def anonymous_memory(self, tokens: int) -> int:
        """Return how many bytes of that are not the file itself, which is mapped into memory."""
        return OVERHEAD + self.cache * tokens


def part_names(name: str) -> list[str]:
    """Return the names of all parts of the model that a file belongs to; its own if it is the only one."""
    found = _PART.fullmatch(name)
    if found is None or not 1 <= int(found[2]) <= int(found[3]):
        return [name]
    return [f"{found[1]}-{number:05}-of-{found[3]}{found[4]}" for number in range(1, int(found[3]) + 1)]


def read_model(path: Path) -> ModelFile:
    """Read a model's header, and check that no part of it is missing.

    ModelFileError, which names file and cause, for a file that cannot be run.
    """
    first, *more = [path.with_name(name) for name in part_names(path.name)]
    for number, part in enumerate([first, *more], start=1):
        if more and not part.is_file():
            cause = f"incomplete: part {number} of {len(more) + 1} is missing, {part.name}"
            raise _error(path, cause, "Download all parts into one folder.")
    model = _read(first)
    return replace(model, size=model.size + sum(_read_part(part) for part in more))


def _read(path: Path) -> ModelFile:
    state = _stat(path)
    return _read_header(path, state.st_size, state.st_mtime_ns)


def _stat(path: Path) -> os.stat_result:
    try:
        state = path.stat()
    except OSError as problem:
        raise _error(path, f"cannot be read: {problem.strerror or problem}") from None
    if stat.S_ISFIFO(state.st_mode):
        # Opening it would wait for its writer.
        raise _error(path, "not a model, but a named pipe")
    return state


@lru_cache(maxsize=256)
def _read_header(path: Path, size: int, changed: int) -> ModelFile:  # noqa: ARG001 - a changed file is read again
    return _with_reader(path, lambda reader: reader.model(size))


def _read_part(path: Path) -> int:
    """Check a part that is not the first; returns its size in bytes."""
    size = _stat(path).st_size
    _with_reader(path, lambda reader: reader.check_complete(size))
    return size


def _with_reader(path: Path, read: Callable[[_Reader], _Result]) -> _Result:
    try:
        with path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise _error(path, "not a model: it does not begin as a GGUF file does")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return read(_Reader(data, path))
    except (struct.error, IndexError, OverflowError):
        raise _error(path, "truncated: it ends within its header", _DOWNLOAD_AGAIN) from None
    except UnicodeDecodeError:
        raise _error(path, *_DAMAGED) from None
    except OSError as problem:
        raise _error(path, f"cannot be read: {problem.strerror or problem}") from None


_DOWNLOAD_AGAIN = "Download the file again."
_DAMAGED = ("damaged: its header cannot be read", _DOWNLOAD_AGAIN)


def _error(path: Path, cause: str, hint: str = "") -> ModelFileError:
    return ModelFileError(path, cause, hint)


class _Reader:
    """Reads one file's header from its beginning."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data, self._path, self._at = data, path, len(MAGIC)

    def check_complete(self, size: int) -> dict[str, object]:
        """Return the header's entries, after a check that the file of this size has all its tensors."""
        version = self._number("I")
        if version not in _VERSIONS:
            raise _error(self._path, f"GGUF version {version}, which the engine does not know")
        tensors, entries = self._count(), self._count()
        values: dict[str, object] = {}
        for _ in range(entries):
            name = self._text()
            values[name] = self._value(self._number("I"), name)
        needed = self._end_of_tensors(tensors, values)
        if tensors and needed > size:
            sizes = f"it has {size / 1e6:,.1f} MB and should have {needed / 1e6:,.1f} MB"
            raise _error(self._path, f"truncated: {sizes}", _DOWNLOAD_AGAIN)
        return values

    def model(self, size: int) -> ModelFile:
        values = self.check_complete(size)
        kind = values.get("general.type", "model")
        if kind not in {"model", "mmproj"}:
            raise _error(self._path, f"not a language model, but a file of the type {kind}")
        architecture = values.get("general.architecture")
        if not isinstance(architecture, str):
            raise _error(self._path, "not a language model: it does not name its architecture")
        if architecture in _NO_CHAT:
            what = _NO_CHAT[architecture]
            raise _error(self._path, f"not a chat model, but one of the kind {architecture}, {what}")
        context = values.get(f"{architecture}.context_length")
        cache = _cache_per_token(architecture, values)
        template = str(values.get("tokenizer.chat_template", ""))
        tokens = context if isinstance(context, int) else None
        no_chat = _what_instead_of_chat(architecture, values)
        markers, shows_tools = template_markers(template), "tools" in template
        return ModelFile(self._path, size, architecture, tokens, cache, markers, no_chat, shows_tools)

    def _value(self, kind: int, name: str) -> object:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(self._format(kind))
        item_kind, count = self._number("I"), self._count()
        if item_kind == _STRING:
            self._skip_texts(count)
            return None
        code = self._format(item_kind)
        if name.startswith("tokenizer."):
            self._skip(count * struct.calcsize(f"<{code}"))
            return None
        return [self._number(code) for _ in range(count)]

    def _end_of_tensors(self, count: int, values: Mapping[str, object]) -> int:
        """Return where the last tensor ends, in bytes from the beginning of the file."""
        end = 0
        for _ in range(count):
            self._skip(self._number("Q"))
            dimensions = self._number("I")
            if dimensions > _MAX_DIMENSIONS:
                raise _error(self._path, *_DAMAGED)
            weights = math.prod(self._number("Q") for _ in range(dimensions))
            # Of a tensor of an unknown type only the beginning has to be there.
            per_block, size = BLOCK_SIZES.get(self._number("I"), (1, 0))
            end = max(end, self._number("Q") + weights // per_block * size)
        alignment = values.get("general.alignment")
        step = alignment if isinstance(alignment, int) and alignment > 0 else _ALIGNMENT
        return -(-self._at // step) * step + end

    def _format(self, kind: int) -> str:
        if kind not in _FORMATS:
            raise _error(self._path, *_DAMAGED)
        return _FORMATS[kind]

    def _number(self, code: str) -> int:
        [value] = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(f"<{code}")
        return value  # type: ignore[no-any-return]  # `struct` cannot say; floats are never used as counts

    def _count(self) -> int:
        count = self._number("Q")
        if count > _MAX_COUNT:
            raise _error(self._path, *_DAMAGED)
        return count

    def _text(self) -> str:
        start, size = self._at + 8, self._number("Q")
        self._skip(size)
        return self._data[start : start + size].decode()

    def _skip_texts(self, count: int) -> None:
        """Skip strings, each with its length before it; vocabularies have hundreds of thousands."""
        data, at, length_at = self._data, self._at, struct.Struct("<Q").unpack_from
        for _ in range(count):
            at += 8 + length_at(data, at)[0]
        self._skip(at - self._at)

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise IndexError


def _what_instead_of_chat(architecture: str, values: Mapping[str, object]) -> str:
    """Return what a model is that cannot chat, "" for one that can."""
    pooling = values.get(f"{architecture}.pooling_type", _NO_POOLING)
    if pooling == _RANK_POOLING:
        return "a reranker"
    if pooling != _NO_POOLING:
        return _EMBEDS
    template = values.get("tokenizer.chat_template")
    return "" if isinstance(template, str) and template.strip() else BASE


def _cache_per_token(architecture: str, values: Mapping[str, object]) -> int:
    """Return the bytes of the keys and values of one token in all layers, 0 when unknown."""

    def number(name: str, default: int = 0) -> int:
        value = values.get(f"{architecture}.{name}")
        return value if isinstance(value, int) else default

    heads = number("attention.head_count", 1) or 1
    default_length = number("embedding_length") // heads
    width = number("attention.key_length", default_length) + number("attention.value_length", default_length)
    layers = number("block_count")
    kv_heads = values.get(f"{architecture}.attention.head_count_kv")
    # Some models have a different number of heads in each layer.
    total = sum(kv_heads) if isinstance(kv_heads, list) else number("attention.head_count_kv", heads) * layers
    return total * width * _CACHE_BYTES
