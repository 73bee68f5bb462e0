"""A mark on every process of a test, and proof that none survives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faulty import Tag


@pytest.fixture
def tag() -> Iterator[Tag]:
    """The mark; at the end of the test no process may carry it."""
    mark = Tag()
    yield mark
    assert mark.none_left(), "processes survived the test"
