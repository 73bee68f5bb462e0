"""SQL about the images of prompts. Every function takes a connection; transactions are the caller's."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from bot.messages import Image
from bot.store.conversion import storable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from bot.store.rows import TurnId

MAX_BYTES = 8_000_000
"""Bytes of an image that are kept; of a larger one only its hash is, and it is not sent again."""


def insert(connection: sqlite3.Connection, turn: TurnId, images: Sequence[Image]) -> None:
    """Insert the images of a turn's prompt, which are data URLs."""
    for place, image in enumerate(images):
        head, _, encoded = image.url.partition(",")
        data = base64.b64decode(encoded)
        connection.execute(
            """
            INSERT INTO images SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM turns
            WHERE conversation = ? AND number = ?
            """,
            (
                place,
                storable(image.name),
                head.removeprefix("data:").removesuffix(";base64"),
                image.width,
                image.height,
                hashlib.sha256(data).hexdigest(),
                len(data),
                data if len(data) <= MAX_BYTES else None,
                *turn,
            ),
        )


def copy(connection: sqlite3.Connection, source: str, target: str) -> None:
    """Copy the images of a conversation to the turns of the same numbers in another."""
    connection.execute(
        """
        INSERT INTO images SELECT copied.id, place, name, media_type, width, height, sha256, bytes, data
        FROM images JOIN turns ON turns.id = images.turn
        JOIN turns AS copied ON copied.conversation = ? AND copied.number = turns.number
        WHERE turns.conversation = ?
        """,
        (target, source),
    )


def by_turn(
    connection: sqlite3.Connection, conversation: str, first: int, last: int, skip: Callable[[str], None]
) -> dict[int, tuple[Image, ...]]:
    """Return the images of the turns `first` to `last` that were kept, by the number of their turn."""
    rows = connection.execute(
        """
        SELECT number, name, media_type, width, height, sha256, data FROM images
        JOIN turns ON turns.id = images.turn
        WHERE conversation = ? AND number BETWEEN ? AND ? AND data IS NOT NULL ORDER BY number, place
        """,
        (conversation, first, last),
    )
    found: dict[int, tuple[Image, ...]] = {}
    for number, name, media_type, width, height, digest, data in rows:
        if not isinstance(data, bytes) or hashlib.sha256(data).hexdigest() != digest:
            skip(f"an image of turn {number} of conversation {conversation} cannot be read: wrong data")
            continue
        url = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
        found[number] = (*found.get(number, ()), Image(url, name, width, height))
    return found
