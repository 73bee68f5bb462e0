"""Small images and PDFs for tests, made here."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def picture(file_format: str = "PNG", size: tuple[int, int] = (64, 48), **more: Any) -> bytes:
    """Return an image file of one colour."""
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.new("RGB", size, "teal").save(buffer, file_format, **more)
    return buffer.getvalue()


def pdf(*pages: str) -> bytes:
    """Return a PDF with these pages, each one line of ASCII text; "" is an empty page."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        font = "<< /Font << /F1 3 0 R >> >>"
        content = f"{5 + 2 * index} 0 R"
        page = "/Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]"
        objects.append(f"<< {page} /Resources {font} /Contents {content} >>")
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n" + "".join(
        f"{at:010} 00000 n \n" for at in offsets
    )
    end = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + table.encode() + end.encode()


def write_pictures(folder: Path, names: Sequence[str] = ("cat.png",)) -> None:
    """Write images of these names into a folder."""
    for name in names:
        (folder / name).write_bytes(picture())
