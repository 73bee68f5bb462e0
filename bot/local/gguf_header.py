"""Reads the header of a GGUF file: architecture, context, memory needed, and whether the file is complete.

Only the header is read, never a weight, and a file that cannot be run is reported with its cause
before an engine is started for it. The package `gguf` has a reader too, but that one needs numpy,
takes seconds for a large vocabulary, and fails on a truncated file without saying why.
So only its table of tensor types is used, and only when a model is about to be loaded.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.errors import UsageError
from bot.text.turn_markers import template_markers

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MAX_COUNT = 1 << 20
"""Entries or tensors of one file, and items of an array; real files have fewer."""
_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_NO_CHAT = frozenset({"clip", "bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "t5encoder", "whisper"})
_CACHE_BYTES = 2
"""Bytes of one number in the cache of keys and values."""
OVERHEAD = 150_000_000
"""Bytes that an engine needs besides weights and cache."""


class ModelFileError(UsageError):
    """A file that is not a model, or not a complete one; names the file and the cause."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model in a file: `size` in bytes, `context` in tokens, `cache` in bytes per token of context.

    `turn_markers` are those of its chat template; they are known once the whole header is read.
    """

    path: Path
    size: int
    architecture: str
    context: int | None
    cache: int
    turn_markers: tuple[str, ...] = ()

    def memory(self, tokens: int) -> int:
        """Return about how many bytes it needs with a context of so many tokens."""
        return self.size + self.anonymous_memory(tokens)

    def anonymous_memory(self, tokens: int) -> int:
        """Return how many bytes of that are not the file itself, which is mapped into memory."""
        return OVERHEAD + self.cache * tokens


def read_model(path: Path, *, complete: bool = True) -> ModelFile:
    """Read a file's header; with `complete` also check that no part of the file is missing.

    ModelFileError, which names file and cause, for a file that cannot be run.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if file.read(4) != MAGIC:
                raise _error(path, "not a model: it does not begin as a GGUF file does")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data, path).model(size, complete=complete)
    except (struct.error, IndexError):
        raise _error(path, "truncated: it ends within its header", _DOWNLOAD_AGAIN) from None
    except UnicodeDecodeError:
        raise _error(path, *_DAMAGED) from None
    except OSError as problem:
        raise _error(path, f"cannot be read: {problem.strerror or problem}") from None


_DOWNLOAD_AGAIN = "Download the file again."
_DAMAGED = ("damaged: its header cannot be read", _DOWNLOAD_AGAIN)


def _error(path: Path, cause: str, hint: str = "") -> ModelFileError:
    return ModelFileError(f"{path}: {cause}.", hint=hint)


class _Reader:
    """Reads one file's header from its beginning."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data, self._path, self._at = data, path, len(MAGIC)

    def model(self, size: int, *, complete: bool) -> ModelFile:
        version = self._number("I")
        if version not in _VERSIONS:
            raise _error(self._path, f"GGUF version {version}, which the engine does not know")
        tensors, entries = self._count(), self._count()
        values = self._entries(entries, complete=complete)
        architecture = values.get("general.architecture")
        if not isinstance(architecture, str):
            raise _error(self._path, "not a language model: it does not name its architecture")
        if architecture in _NO_CHAT:
            raise _error(self._path, f"not a chat model, but one of the kind {architecture}")
        if complete:
            needed = self._end_of_tensors(tensors, values)
            if needed > size:
                sizes = f"it has {size / 1e6:,.1f} MB and should have {needed / 1e6:,.1f} MB"
                raise _error(self._path, f"truncated: {sizes}", _DOWNLOAD_AGAIN)
        context = values.get(f"{architecture}.context_length")
        cache = _cache_per_token(architecture, values)
        markers = template_markers(str(values.get("tokenizer.chat_template", "")))
        tokens = context if isinstance(context, int) else None
        return ModelFile(self._path, size, architecture, tokens, cache, markers)

    def _entries(self, count: int, *, complete: bool) -> dict[str, object]:
        values: dict[str, object] = {}
        for _ in range(count):
            name = self._text()
            if not complete and name.startswith("tokenizer.") and "general.architecture" in values:
                break  # the vocabulary is long, and what is needed stands before it
            values[name] = self._value(self._number("I"), name)
        return values

    def _value(self, kind: int, name: str) -> object:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(self._format(kind))
        item_kind, count = self._number("I"), self._count()
        if item_kind == _STRING:
            for _ in range(count):
                self._skip(self._number("Q"))
            return None
        code = self._format(item_kind)
        if name.startswith("tokenizer."):
            self._skip(count * struct.calcsize(f"<{code}"))
            return None
        return [self._number(code) for _ in range(count)]

    def _end_of_tensors(self, count: int, values: Mapping[str, object]) -> int:
        """Return where the last tensor ends, in bytes from the beginning of the file."""
        blocks = _block_sizes()
        end = 0
        for _ in range(count):
            self._skip(self._number("Q"))
            weights = 1
            for _ in range(self._number("I")):
                weights *= self._number("Q")
            # Of a tensor of an unknown type only the beginning has to be there.
            per_block, size = blocks.get(self._number("I"), (1, 0))
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

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise IndexError


def _block_sizes() -> Mapping[int, tuple[int, int]]:
    """Return (weights per block, bytes per block) by tensor type; empty without the package `gguf`."""
    try:
        from gguf import GGML_QUANT_SIZES  # noqa: PLC0415 - an extra, which imports numpy
    except ModuleNotFoundError:
        return {}
    return {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}


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
