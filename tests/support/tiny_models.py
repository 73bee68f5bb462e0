"""Tiny models in GGUF files: two layers of a llama with random weights and one token for each byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

WIDTH, LAYERS, HEADS, INNER = 64, 2, 4, 128
CONTEXT = 2048
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
# As the format has them: unknown, control, byte.
_UNKNOWN, _CONTROL, _BYTE = 2, 3, 6


def make_model(
    path: Path,
    seed: int = 0,
    architecture: str = "llama",
    template: str | None = TEMPLATE,
    keys: Mapping[str, str | int] = MappingProxyType({}),
) -> Path:
    """Write a model of half a megabyte that answers with random bytes; `keys` are further header entries."""
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed: no models can be made")
    import numpy as np

    random = np.random.default_rng(seed)
    writer: Any = gguf.GGUFWriter(str(path), architecture)
    writer.add_name(path.stem)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if template is not None:
        writer.add_chat_template(template)
    for key, value in keys.items():
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", (random.standard_normal(shape) * 0.3).astype(np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    add("token_embd", len(tokens), WIDTH)
    add("output", len(tokens), WIDTH)
    norm("output_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}.{name}", WIDTH, WIDTH)
        for name, shape in (("gate", (INNER, WIDTH)), ("up", (INNER, WIDTH)), ("down", (WIDTH, INNER))):
            add(f"{block}.ffn_{name}", *shape)
        norm(f"{block}.attn_norm")
        norm(f"{block}.ffn_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
