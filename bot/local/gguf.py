"""What a GGUF file says of itself: its kind, its context, the memory it will take, whether it is whole.

Only the head of the file is read, never a weight. A file that cannot be loaded is told here, with
its cause, before any engine is started for it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.errors import UsageError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MOST = 1 << 20
"""Entries or tensors of one file; no honest file has so many."""
_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Of each type of tensor: how many weights are in a block, and how many bytes a block has.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip
_NO_CHAT = frozenset({"clip", "bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "t5encoder", "whisper"})
_CACHE_BYTES = 2
"""A number in the cache of keys and values."""
OVERHEAD = 150_000_000
"""Bytes that an engine takes beside weights and cache."""


class ModelFileError(UsageError):
    """A file that is no model, or not a whole one; names the file and the cause."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model in a file. `size` in bytes, `context` in tokens, `cache` in bytes for each of them."""

    path: Path
    size: int
    architecture: str
    context: int | None
    cache: int

    def memory(self, tokens: int) -> int:
        """Return about how many bytes it takes, weights and all, with a context of so many tokens."""
        return self.size + self.anonymous(tokens)

    def anonymous(self, tokens: int) -> int:
        """Return how many bytes of that are not the file itself, mapped into memory."""
        return OVERHEAD + self.cache * tokens


def read_model(path: Path, *, whole: bool = True) -> ModelFile:
    """Read a file's head; with `whole` also make sure that nothing of the rest is missing.

    ModelFileError, which names file and cause, for what cannot be run.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if file.read(4) != MAGIC:
                raise _error(path, "not a model: it does not begin as a GGUF file does")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data, path).model(size, whole=whole)
    except (struct.error, IndexError):
        raise _error(path, "truncated: it ends before its head does", _FETCH_AGAIN) from None
    except UnicodeDecodeError:
        raise _error(path, "damaged: its head cannot be read", _FETCH_AGAIN) from None
    except OSError as problem:
        raise _error(path, f"cannot be read: {problem.strerror or problem}") from None


_FETCH_AGAIN = "Fetch the file again."


def _error(path: Path, cause: str, hint: str = "") -> ModelFileError:
    return ModelFileError(f"{path}: {cause}.", hint=hint)


class _Reader:
    """Reads one file's head from its beginning."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data, self._path, self._at = data, path, len(MAGIC)

    def model(self, size: int, *, whole: bool) -> ModelFile:
        version = self._number("I")
        if version not in _VERSIONS:
            raise _error(self._path, f"GGUF version {version}, which the engine does not know")
        tensors, entries = self._count(), self._count()
        values = self._entries(entries, whole=whole)
        kind = values.get("general.architecture")
        if not isinstance(kind, str):
            raise _error(self._path, "not a language model: it does not say which architecture it has")
        if kind in _NO_CHAT:
            raise _error(self._path, f"not a model to chat with, but one of the kind {kind}")
        if whole:
            needed = self._end_of_tensors(tensors, values)
            if needed > size:
                has = f"it has {size / 1e6:,.1f} MB and should have {needed / 1e6:,.1f} MB"
                raise _error(self._path, f"truncated: {has}", _FETCH_AGAIN)
        context = values.get(f"{kind}.context_length")
        cache = _cache(kind, values)
        return ModelFile(self._path, size, kind, context if isinstance(context, int) else None, cache)

    def _entries(self, count: int, *, whole: bool) -> dict[str, object]:
        values: dict[str, object] = {}
        for _ in range(count):
            name = self._text()
            if not whole and name.startswith("tokenizer.") and "general.architecture" in values:
                break  # the vocabulary is long, and what is wanted stands before it
            values[name] = self._value(self._number("I"), name)
        return values

    def _value(self, kind: int, name: str) -> object:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(self._format(kind))
        inner, count = self._number("I"), self._count()
        if inner == _STRING:
            for _ in range(count):
                self._skip(self._number("Q"))
            return None
        code = self._format(inner)
        if name.startswith("tokenizer."):
            self._skip(count * struct.calcsize(f"<{code}"))
            return None
        return [self._number(code) for _ in range(count)]

    def _end_of_tensors(self, count: int, values: Mapping[str, object]) -> int:
        """Return where the last tensor ends, in bytes from the beginning of the file."""
        end = 0
        for _ in range(count):
            self._skip(self._number("Q"))
            weights = 1
            for _ in range(self._number("I")):
                weights *= self._number("Q")
            block, size = _BLOCKS.get(self._number("I"), (1, 0))
            end = max(end, self._number("Q") + weights // block * size)
        alignment = values.get("general.alignment")
        step = alignment if isinstance(alignment, int) and alignment > 0 else _ALIGNMENT
        return -(-self._at // step) * step + end

    def _format(self, kind: int) -> str:
        if kind not in _FORMATS:
            raise _error(self._path, "damaged: its head cannot be read", _FETCH_AGAIN)
        return _FORMATS[kind]

    def _number(self, code: str) -> int:
        [value] = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(f"<{code}")
        return value  # type: ignore[no-any-return]  # `struct` cannot say; floats are never used as counts

    def _count(self) -> int:
        count = self._number("Q")
        if count > _MOST:
            raise _error(self._path, "damaged: its head cannot be read", _FETCH_AGAIN)
        return count

    def _text(self) -> str:
        start, size = self._at + 8, self._number("Q")
        self._skip(size)
        return self._data[start : start + size].decode()

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise IndexError


def _cache(kind: str, values: Mapping[str, object]) -> int:
    """Return the bytes that keys and values of one token take in all layers, 0 when unknown."""

    def number(name: str, default: int = 0) -> int:
        value = values.get(f"{kind}.{name}")
        return value if isinstance(value, int) else default

    heads = number("attention.head_count", 1) or 1
    each = number("embedding_length") // heads
    width = number("attention.key_length", each) + number("attention.value_length", each)
    layers = number("block_count")
    shared = values.get(f"{kind}.attention.head_count_kv")
    # Some models have another number of heads in each layer.
    total = sum(shared) if isinstance(shared, list) else number("attention.head_count_kv", heads) * layers
    return total * width * _CACHE_BYTES
