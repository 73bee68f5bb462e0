"""The name of an export's file, where none is given."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.history.exports import default_name, named_format
from bot.store import StoredConversation


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Why do cats purr?", "why-do-cats-purr-k7mxyz.md"),
        ("../../etc/passwd", "etc-passwd-k7mxyz.md"),
        ("Warum schnurren Katzen \u4f60\u597d", "warum-schnurren-katzen-\u4f60\u597d-k7mxyz.md"),
        ("a" * 90, "a" * 40 + "-k7mxyz.md"),
        ("?!", "k7mxyz.md"),
        ("CON: ~ -rf", "con-rf-k7mxyz.md"),
    ],
)
def test_default_name(title: str, name: str) -> None:
    """Words of the title and the ID: a plain name in the current folder, whatever the title holds."""
    now = datetime.now(UTC)
    assert default_name(StoredConversation("k7mxyz", title, now, now), "markdown") == name


def test_named_format() -> None:
    """By name or ending, in any case."""
    known = {word: named_format(word) for word in ("json", "JSONL", "md", "HTM", "Markdown", "pdf", "")}
    assert list(known.values()) == ["json", "jsonl", "markdown", "html", "markdown", "", ""]
