"""Reads images that go along with a prompt: checked, turned upright, and scaled to what models can use."""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings

from bot.errors import UsageError, needs_extra
from bot.messages import Image

MAX_SIDE = 2048
"""Pixels: the longer side of an image that is sent; larger ones are scaled down."""
_QUALITY = 90
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
_SIGNATURES = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP", re.DOTALL)
_DATA_URL = re.compile(r"\s*data:image/[a-z0-9+.-]+(?:;[a-z-]+=[^;,]*)*;base64,", re.IGNORECASE)
_ORIENTATION = 0x0112


def is_image(raw: bytes) -> bool:
    """Whether a file's bytes begin as those of a PNG, JPEG, WebP or GIF."""
    return _SIGNATURES.match(raw) is not None


def read_image(raw: bytes, name: str) -> Image:
    """Return the image, its longer side `MAX_SIDE` at most, of a moving one the first frame.

    UsageError, which names it, for a damaged image or one that is too large, and without Pillow.
    """
    with needs_extra("files"):
        import PIL.Image  # noqa: PLC0415 - an extra, and slow to import
        import PIL.ImageOps  # noqa: PLC0415
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(io.BytesIO(raw), formats=list(_TYPES)) as opened:
                file_format, (width, height) = opened.format or "", opened.size
                moving = getattr(opened, "n_frames", 1) > 1
                turned = opened.getexif().get(_ORIENTATION, 1) != 1
                opened.load()
                if max(opened.size) > MAX_SIDE or moving or turned:
                    image = PIL.ImageOps.exif_transpose(opened)
                    image.thumbnail((MAX_SIDE, MAX_SIDE))
                    file_format = "PNG" if file_format == "GIF" or moving else file_format
                    raw, (width, height) = _encoded(image, file_format), image.size
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError, MemoryError):
        raise UsageError(f"{name}: an image of too many pixels.") from None
    except (OSError, ValueError, SyntaxError, EOFError):
        raise UsageError(f"{name}: a damaged image.") from None
    return Image(data_url(raw, _TYPES[file_format]), name, width, height)


def data_url(raw: bytes, media_type: str) -> str:
    """Return bytes as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(raw).decode('ascii')}"


def read_data_url(url: str, name: str) -> Image:
    """Return the image of a data URL, as `read_image` does. UsageError."""
    found = _DATA_URL.match(url)
    try:
        raw = _decoded(url[found.end() :]) if found else b""
    except (binascii.Error, ValueError):
        raw = b""
    if not is_image(raw):
        raise UsageError(f"{name}: expected a PNG, JPEG, WebP or GIF image in base64.")
    return read_image(raw, name)


def _decoded(encoded: str) -> bytes:
    """Return the bytes of base64 in one line or several, with or without its padding. ValueError."""
    encoded = "".join(encoded.split()).rstrip("=")
    return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)


def _encoded(image: object, file_format: str) -> bytes:
    import PIL.Image  # noqa: PLC0415 - as above

    assert isinstance(image, PIL.Image.Image)  # noqa: S101 - its type is that of an extra
    buffer = io.BytesIO()
    image.save(buffer, file_format, quality=_QUALITY)
    return buffer.getvalue()
