"""Model files: their headers, what can be wrong with them, and which file a name means."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONTEXT, LAYERS, WIDTH, make_model

from bot.errors import ExitCode, UsageError
from bot.local.engine_cache import available_memory
from bot.local.gguf_header import OVERHEAD, ModelFileError, read_model
from bot.local.model_files import HubFile, context_length, find_model_file, list_models

gguf: Any = pytest.importorskip("gguf", reason="the extra local is not installed")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def test_what_a_model_says_of_itself(tiny: Path) -> None:
    """Architecture, context, and the memory needed: weights, and the cache of each token."""
    model = read_model(tiny)
    assert (model.architecture, model.context, model.size) == ("llama", CONTEXT, tiny.stat().st_size)
    assert model.cache == LAYERS * WIDTH * 2 * 2
    assert model.memory(100) == model.size + OVERHEAD + 100 * model.cache
    assert read_model(tiny, complete=False) == model


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "not a model"),
        (3, "not a model"),
        (20, "truncated: it ends within its header"),
        (5000, "truncated: it ends within its header"),
        (300_000, "truncated: it has 0.3 MB and should have 0."),
        (-1, "truncated: it has 0."),
    ],
)
def test_truncated_files(tiny: Path, tmp_path: Path, size: int, said: str) -> None:
    """A truncated file is an error that names it, and says what is missing."""
    part = tmp_path / "part.gguf"
    part.write_bytes(tiny.read_bytes()[:size])
    with pytest.raises(ModelFileError) as caught:
        read_model(part)
    assert caught.value.message.startswith(f"{part}: {said}")
    assert caught.value.exit_code is ExitCode.USAGE


def model_of_one_tensor(path: Path, kind: Any) -> tuple[int, int]:
    """Write a model with one tensor of 1024 weights of this type; returns its bounds in the file."""
    import numpy as np

    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.ones(1024 // per_block * size, np.uint8)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tensor("output.weight", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    end = path.stat().st_size - -len(data) % gguf.GGUF_DEFAULT_ALIGNMENT
    return end - len(data), end


@pytest.mark.parametrize("kind", gguf.GGML_QUANT_SIZES, ids=lambda kind: kind.name)
def test_every_type_of_tensor(tmp_path: Path, kind: Any) -> None:
    """For every tensor type, a complete file is accepted, and one without its last byte is not."""
    file = tmp_path / "model.gguf"
    _, end = model_of_one_tensor(file, kind)
    assert read_model(file).architecture == "llama"
    os.truncate(file, end)
    assert read_model(file).size == end
    os.truncate(file, end - 1)
    with pytest.raises(ModelFileError, match="truncated: it has"):
        read_model(file)


@pytest.mark.parametrize("kind", ["IQ4_XS", "MXFP4"])
def test_a_type_of_unknown_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Without the package `gguf` a complete file is accepted, and one that ends before its tensor is not."""
    file = tmp_path / "model.gguf"
    start, end = model_of_one_tensor(file, gguf.GGMLQuantizationType[kind])
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert read_model(file).size >= end
    os.truncate(file, start - 1)
    with pytest.raises(ModelFileError, match="truncated"):
        read_model(file)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    """A file that is no model, or no chat model, is an error that says so."""
    wrong = tmp_path / "wrong.gguf"
    wrong.write_text("hello, this is a text", encoding="utf-8")
    old = tmp_path / "old.gguf"
    old.write_bytes(b"GGUF" + (1).to_bytes(4, "little") + bytes(40))
    vision = make_model(tmp_path / "mmproj.gguf", architecture="clip")
    for file, cause in ((wrong, "not a model"), (old, "GGUF version 1"), (vision, "of the kind clip")):
        with pytest.raises(ModelFileError, match=cause) as caught:
            read_model(file)
        assert str(file) in caught.value.message
    with pytest.raises(ModelFileError, match=r"cannot be read: No such file"):
        read_model(tmp_path / "absent.gguf")


@settings(max_examples=60)
@given(st.integers(4, 2000), st.binary(min_size=1, max_size=8))
def test_damaged_headers(tiny: Path, tmp_path: Path, place: int, noise: bytes) -> None:
    """Any header is read, or is an error of one line."""
    data = bytearray(tiny.read_bytes())
    data[place : place + len(noise)] = noise
    file = tmp_path / "damaged.gguf"
    file.write_bytes(data)
    said = str(file)
    try:
        size = read_model(file).size
    except ModelFileError as error:
        size, said = len(data), error.message
    assert size == len(data)
    assert said.startswith(str(file))


def test_which_file_a_name_means(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, a name in the models folder with or without its suffix, or a file on the hub."""
    monkeypatch.chdir(tmp_path)
    assert find_model_file(str(tiny), None) == tiny
    assert find_model_file("tiny.gguf", tiny.parent) == find_model_file("tiny", tiny.parent) == tiny
    assert find_model_file("o/r/f.gguf", None) == HubFile("o/r", "f.gguf")
    assert find_model_file("o/r/q4/f.gguf", tiny.parent) == HubFile("o/r", "q4/f.gguf")
    nested = tmp_path / "o" / "r" / "f.gguf"
    nested.parent.mkdir(parents=True)
    nested.write_bytes(b"")
    assert find_model_file("o/r/f.gguf", None) == nested
    for name in ("absent.gguf", "o/absent.gguf", "./o/r/absent.gguf", "/o/r/absent.gguf", "o/r/absent"):
        with pytest.raises(UsageError, match="there is no such file"):
            find_model_file(name, None)


def test_the_models_in_a_folder(tiny: Path, tmp_path: Path) -> None:
    """Models are listed by their paths; later parts, other files and unusable names are skipped."""
    (tmp_path / "sub").mkdir()
    for name in ("b.gguf", "sub/a.gguf", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf", "x,y.gguf"):
        (tmp_path / name).write_bytes(tiny.read_bytes())
    (tmp_path / "wrong.gguf").write_text("no model", encoding="utf-8")
    (tmp_path / "readme.md").write_text("no model", encoding="utf-8")
    assert [name for name, _ in list_models(tmp_path)] == ["b.gguf", "big-00001-of-00002.gguf", "sub/a.gguf"]
    assert context_length("b", tmp_path) == CONTEXT
    assert context_length("absent", tmp_path) is None
    with pytest.raises(UsageError, match="there is no such folder"):
        list_models(tmp_path / "absent")


def test_the_memory_that_is_free() -> None:
    """A plausible number of bytes, or None."""
    free = available_memory()
    assert free is None or 0 <= free < 1e15
