"""Model files: their headers, what can be wrong with them, and which file a name means."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONTEXT, LAYERS, WIDTH, make_model

from bot.app.load_settings import load_settings
from bot.client.model_list import ModelList
from bot.errors import ExitCode, UsageError
from bot.local import engine_cache
from bot.local.engine_cache import EngineCache, available_memory, usable_cores
from bot.local.gguf_header import OVERHEAD, ModelFileError, part_names, read_model
from bot.local.local_preset import find_local_models
from bot.local.model_files import HubFile, context_length, find_model_file, find_models, listed_models
from bot.local.tensor_types import BLOCK_SIZES
from bot.onboarding.checks import check_model_files
from bot.onboarding.system_checks import Status

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
    assert model.no_chat == ""


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


@pytest.mark.parametrize("number", ["00001-of-00000", "00000-of-00000", "00003-of-00002"])
def test_numbers_that_are_no_parts(tiny: Path, tmp_path: Path, number: str) -> None:
    """A name that only looks like a part's is the model's own."""
    name = f"m-{number}.gguf"
    (tmp_path / name).write_bytes(tiny.read_bytes())
    assert part_names(name) == [name]
    assert [found for found, _ in find_models(tmp_path).models] == [name]


def test_what_is_not_a_regular_file(tiny: Path, tmp_path: Path) -> None:
    """A folder, a named pipe or a link in a circle is left out with the cause, also as a model's part."""
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "part-00001-of-00002.gguf").write_bytes(tiny.read_bytes())
    (tmp_path / "part-00002-of-00002.gguf").mkdir()
    (tmp_path / "good.gguf").write_bytes(tiny.read_bytes())
    expected = ["folder.gguf", "part-00001-of-00002.gguf"]
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe.gguf")
        (tmp_path / "circle.gguf").symlink_to("circle.gguf")
        expected = sorted([*expected, "pipe.gguf", "circle.gguf"])
    found = find_models(tmp_path)
    assert [name for name, _ in found.models] == ["good.gguf"]
    assert sorted(name for name, _ in found.unusable) == expected


@pytest.mark.parametrize("dimensions", [5, 2**31])
def test_a_tensor_of_many_dimensions(tmp_path: Path, dimensions: int) -> None:
    """A damaged number of them does not have half of the file multiplied, which would take hours."""
    file = tmp_path / "damaged.gguf"
    counts = (3).to_bytes(4, "little") + (1).to_bytes(8, "little") + bytes(8)
    name = (1).to_bytes(8, "little") + b"x"
    file.write_bytes(b"GGUF" + counts + name + dimensions.to_bytes(4, "little") + b"\xff" * 5_000_000)
    with pytest.raises(ModelFileError, match="damaged"):
        read_model(file)


def test_a_header_without_anything(tmp_path: Path) -> None:
    """It is complete, but no model."""
    file = tmp_path / "empty.gguf"
    file.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(16))
    with pytest.raises(ModelFileError, match="does not name its architecture"):
        read_model(file)


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


def test_the_table_of_tensor_types() -> None:
    """It is that of the package `gguf`."""
    assert {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()} == BLOCK_SIZES


@pytest.mark.parametrize("kind", ["IQ4_XS", "MXFP4"])
def test_a_type_of_unknown_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Of a type that is not in the table, a file that ends before its tensor is not complete."""
    file = tmp_path / "model.gguf"
    start, end = model_of_one_tensor(file, gguf.GGMLQuantizationType[kind])
    monkeypatch.delitem(BLOCK_SIZES, int(gguf.GGMLQuantizationType[kind]))
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


@pytest.mark.slow
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
    """Models are listed by their paths, parts as one; what cannot be used is named, other files are not."""
    (tmp_path / "sub").mkdir()
    for name in ("b.gguf", "sub/a.gguf", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf", "x,y.gguf"):
        (tmp_path / name).write_bytes(tiny.read_bytes())
    (tmp_path / "wrong.gguf").write_text("no model", encoding="utf-8")
    (tmp_path / "readme.md").write_text("no model", encoding="utf-8")
    found = find_models(tmp_path)
    assert [name for name, _ in found.models] == ["b.gguf", "big-00001-of-00002.gguf", "sub/a.gguf"]
    assert [name for name, _ in found.unusable] == ["wrong.gguf", "x,y.gguf"]
    assert context_length("b", tmp_path) == CONTEXT
    assert context_length("absent", tmp_path) is None
    with pytest.raises(UsageError, match="there is no such folder"):
        find_models(tmp_path / "absent")


def _split(folder: Path, *sizes: int | None) -> None:
    """Write parts of a model, of which so many bytes are there; None: all, -1: the part is missing."""
    whole = make_model(folder / "whole.gguf").read_bytes()
    (folder / "whole.gguf").unlink()
    for number, size in enumerate(sizes, start=1):
        if size != -1:
            (folder / f"big-{number:05}-of-{len(sizes):05}.gguf").write_bytes(whole[:size])


def _like(**given: Any) -> Callable[[Path], Any]:
    return lambda path: make_model(path, **given)


def _cut(path: Path) -> None:
    os.truncate(make_model(path), 250_000)


def _without_template_by_one_letter(path: Path) -> None:
    whole = make_model(path).read_bytes()
    path.write_bytes(whole.replace(b"tokenizer.chat_template", b"tokenizer.chat_templatX"))


_BASE, _EMBEDS = "a base model, without a chat template", "an embedding model"
_OTHERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "base.gguf": (_like(template=None), _BASE),
    "blank.gguf": (_like(template=" \n"), _BASE),
    "letter.gguf": (_without_template_by_one_letter, _BASE),
    "pooled.gguf": (_like(keys={"llama.pooling_type": 3}), _EMBEDS),
    "bert.gguf": (_like(architecture="bert"), _EMBEDS),
    "gemma.gguf": (_like(architecture="gemma-embedding"), _EMBEDS),
    "ranks.gguf": (_like(keys={"llama.pooling_type": 4}), "a reranker"),
    "qwen3-reranker.gguf": (_like(), "by its name no chat model"),
    "mmproj.gguf": (_like(architecture="clip", keys={"general.type": "mmproj"}), "a vision projector"),
    "lora.gguf": (_like(keys={"general.type": "adapter"}), "of the type adapter"),
    "cut.gguf": (_cut, "truncated: it has"),
    "empty.gguf": (lambda path: path.touch(), "not a model"),
    "page.gguf": (lambda path: path.write_text("<html>", encoding="utf-8"), "not a model"),
    "link.gguf": (lambda path: path.symlink_to("gone"), "cannot be read: No such file"),
    "folder.gguf": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "a,b.gguf": (_like(), "rename it"),
    "big-00001-of-00003.gguf": (lambda path: _split(path.parent, None, -1, None), "part 2 of 3 is missing"),
    "big-00001-of-00002.gguf": (lambda path: _split(path.parent, None, 400_000), "truncated: it has 0.4 MB"),
    "big-00002-of-00002.gguf": (lambda path: _split(path.parent, -1, None), "part 1 of 2 is missing"),
}
"""Files that are not asked under --local: how each is made, and what is said of it."""


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege, and errors have other words")
@pytest.mark.parametrize("name", _OTHERS)
def test_what_local_leaves_out(tiny: Path, tmp_path: Path, name: str) -> None:
    """Beside a chat model each of them is left out and named; alone it is an error that names it."""
    make, cause = _OTHERS[name]
    make(tmp_path / name)
    with pytest.raises(UsageError, match="no model in it can chat") as caught:
        find_local_models({}, tmp_path)
    assert cause in caught.value.message
    (tmp_path / "good.gguf").write_bytes(tiny.read_bytes())
    found = find_local_models({}, tmp_path)
    assert {agent.model for agent in found.preset.layers[0]} == {"good.gguf"}
    assert found.left_out.startswith(f"{name} (")
    assert cause in found.left_out
    # A model that can be run is used when it is named.
    readable = {model for model, _ in find_models(tmp_path).models}
    assert set(found.names) == {f"local:{model}" for model in readable}


def test_a_base_model_that_is_named(tmp_path: Path) -> None:
    """It is used, with a warning."""
    pytest.importorskip("xllamacpp", reason="the engine (extra local) is not installed")
    make_model(tmp_path / "base.gguf", template=None)
    said: list[str] = []
    file = asyncio.run(EngineCache(lambda: tmp_path, said.append).prepare("base"))
    assert file.no_chat == _BASE
    assert said == [f"local:base is {_BASE}: its answers may make no sense."]


def test_where_it_is_said(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first prompt, and in the check-up."""
    monkeypatch.setenv("MOA_BOT_HOME", str(tmp_path / "home"))
    folder = tmp_path / "models"
    folder.mkdir()
    make_model(folder / "base.gguf", template=None)
    (folder / "good.gguf").write_bytes(tiny.read_bytes())
    chosen = load_settings({"local": True, "models_dir": folder})
    assert chosen.notices() == (f"Left out of --local, because they cannot chat: base.gguf ({_BASE}).",)
    check = check_model_files(chosen)
    assert check is not None
    assert check.status is Status.WARNING
    assert check.found == f"1 model in {folder}; cannot chat: base.gguf ({_BASE})"
    listed = listed_models(folder)
    assert isinstance(listed, ModelList)
    assert {model.id: model.chats for model in listed.models} == {"base.gguf": False, "good.gguf": True}
    (folder / "base.gguf").unlink()
    check = check_model_files(chosen)
    assert check is not None
    assert check.status is Status.OK


def test_the_parts_of_a_model(tiny: Path, tmp_path: Path) -> None:
    """They are one model, by whichever part it is named, as large as all of them."""
    _split(tmp_path, None, None, None)
    size = tiny.stat().st_size
    [(name, model)] = find_models(tmp_path).models
    assert (name, model.size) == ("big-00001-of-00003.gguf", 3 * size)
    for part in part_names(name):
        assert read_model(tmp_path / part) == model
    [agents] = find_local_models({}, tmp_path).preset.layers
    assert {agent.model for agent in agents} == {name}


def test_the_memory_that_is_free() -> None:
    """A plausible number of bytes, or None."""
    free = available_memory()
    assert free is None or 0 <= free < 1e15


@pytest.mark.parametrize(
    ("affinity", "physical", "quota", "cores"),
    [
        (8, 8, None, 8),
        (8, 4, "max 100000", 4),
        (64, 32, "200000 100000", 2),
        (64, None, "150000 100000", 2),
        (2, 2, "10000 100000", 1),
        (1, 4, "garbage", 1),
    ],
)
def test_cores_that_the_engine_uses(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    affinity: int,
    physical: int | None,
    quota: str | None,
    cores: int,
) -> None:
    """Those of the machine that it may run on, each once, and no more than the container has."""
    monkeypatch.setattr(engine_cache, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr("psutil.cpu_count", lambda *, logical: physical)
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota, encoding="ascii")
    assert usable_cores() == cores
