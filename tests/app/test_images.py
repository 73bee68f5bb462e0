"""Images and PDFs that go along with a prompt: what is read, what it becomes, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pypdf
import pytest
from pictures_made import pdf, picture

from bot.app import images
from bot.app.attachments import Prompt, attach, read_file
from bot.app.images import read_data_url
from bot.errors import UsageError
from bot.messages import Image, images_of


def attached(folder: Path, name: str, raw: bytes, words: str = "what is this?") -> Prompt:
    (folder / name).write_bytes(raw)
    return asyncio.run(attach(words, [folder / name]))


def decoded(image: Image) -> Any:
    return PIL.Image.open(io.BytesIO(base64.b64decode(image.url.partition(",")[2])))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_an_image(file_format: str, tmp_path: Path) -> None:
    """Its bytes go as they are, whatever the file is called; the text has its label, with its size."""
    raw = picture(file_format)
    prompt = attached(tmp_path, "cat", raw)
    [file] = prompt.attachments
    assert prompt.text == "what is this?\n\n[image: cat, 64x48]"
    assert (file.kind, file.bytes, file.tokens) == ("image", len(raw), 3 * 2 + 2)
    assert file.image
    head, _, data = file.image.url.partition(",")
    assert head == f"data:image/{file_format.lower()};base64"
    assert base64.b64decode(data) == raw


@pytest.mark.parametrize(
    ("file_format", "size", "sent"),
    [("PNG", (4096, 1024), (2048, 512)), ("JPEG", (1000, 3000), (683, 2048)), ("GIF", (2049, 1), (2048, 1))],
)
def test_a_large_image(
    file_format: str, size: tuple[int, int], sent: tuple[int, int], tmp_path: Path
) -> None:
    """It is scaled to 2,048 pixels at most; the label says what was sent."""
    prompt = attached(tmp_path, "cat", picture(file_format, size))
    [image] = images_of(prompt.attachments)
    assert decoded(image).size == (image.width, image.height) == sent
    assert f"{sent[0]}x{sent[1]}" in prompt.text


def test_a_moving_image_and_a_turned_one(tmp_path: Path) -> None:
    """Of a moving one the first frame is sent; a photo is turned as its camera says."""
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    [image] = images_of(attached(tmp_path, "moving.gif", moving.getvalue()).attachments)
    assert (decoded(image).format, getattr(decoded(image), "n_frames", 1)) == ("PNG", 1)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    [image] = images_of(attached(tmp_path, "turned.jpg", picture("JPEG", exif=exif)).attachments)
    assert decoded(image).size == (image.width, image.height) == (48, 64)


_REFUSED = {
    "cut.png": (picture()[:60], "a damaged image"),
    "empty.jpg": (b"\xff\xd8\xff", "a damaged image"),
    "wrong.webp": (b"RIFF\0\0\0\0WEBPVP8 ", "a damaged image"),
    "bitmap.bmp": (picture("BMP"), r"not a text file.*an image \(PNG, JPEG, WebP, GIF\) or a PDF"),
    "program.exe": (b"MZ\0\0", "not a text file"),
    "archive.zip": (b"PK\3\4\xff\xfe", "not a text file"),
}


def encrypted_pdf() -> bytes:
    """A page behind a password."""
    writer, buffer = pypdf.PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret")
    writer.write(buffer)
    return buffer.getvalue()


_REFUSED_PDFS = {
    "damaged.pdf": (b"%PDF-1.4\nnothing", "cannot be read"),
    "scanned.pdf": (pdf("", ""), "a PDF without text"),
    "encrypted.pdf": (encrypted_pdf(), "it is encrypted, and needs a password"),
}


@pytest.mark.parametrize(
    "name", [*_REFUSED, *(pytest.param(name, marks=pytest.mark.slow) for name in _REFUSED_PDFS)]
)
def test_what_cannot_go_along(name: str, tmp_path: Path) -> None:
    """One line names the file and says why."""
    raw, message = {**_REFUSED, **_REFUSED_PDFS}[name]
    with pytest.raises(UsageError, match=message) as caught:
        attached(tmp_path, name, raw)
    assert name in caught.value.message
    assert len(caught.value.message.splitlines()) == 1


def test_an_image_that_would_fill_the_memory(tmp_path: Path) -> None:
    """A file of a few kilobytes with far too many pixels is refused before they are made."""
    buffer = io.BytesIO()
    PIL.Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(UsageError, match="too many pixels"):
        attached(tmp_path, "bomb.png", buffer.getvalue())


@pytest.mark.slow
def test_a_pdf(tmp_path: Path) -> None:
    """Its text goes along, each page under its number."""
    raw = pdf("the first", "", "the third")
    prompt = attached(tmp_path, "report.pdf", raw)
    assert prompt.text == (
        "what is this?\n\nFile report.pdf:\n```\n[page 1]\nthe first\n\n[page 3]\nthe third\n```"
    )
    [file] = prompt.attachments
    assert (file.name, file.kind, file.bytes, file.image) == ("report.pdf", "pdf", len(raw), None)
    assert asyncio.run(read_file(tmp_path / "report.pdf", "report.pdf")).size == "3 pages"


@pytest.mark.slow
def test_a_pdf_of_very_many_pages(tmp_path: Path) -> None:
    """What is said counts its pages, and how many of them go along."""
    (tmp_path / "book.pdf").write_bytes(pdf(*["a page"] * 201))
    assert asyncio.run(read_file(tmp_path / "book.pdf", "book.pdf")).size == "the first 200 of 201 pages"


def test_without_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    raw = picture()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UsageError) as caught:
        attached(tmp_path, "cat.png", raw)
    assert "moa-bot[files]" in caught.value.hint


def test_names_in_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again, the prompt has each image once, with its label once; one that is gone is kept."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat.png", "dog.png"):
        Path(name).write_bytes(picture())
    prompt = asyncio.run(attach("compare @cat.png with this", [Path("dog.png")]))
    assert "attached: cat.png (64x48, about 8 tokens)" in prompt.notices
    kept = images_of(prompt.attachments)
    assert sorted(image.name for image in kept) == ["cat.png", "dog.png"]
    Path("cat.png").unlink()
    again = asyncio.run(attach(prompt.text, earlier=kept))
    assert again.text == prompt.text
    assert images_of(again.attachments) == kept
    assert asyncio.run(attach("compare", earlier=kept)) == Prompt("compare")


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,",
        "data:image/png;base64,!!",
        "data:text/plain;base64,aGk=",
        "file:///etc/passwd",
    ],
)
def test_data_urls_that_are_no_image(url: str) -> None:
    """Nothing but an image in base64 is read."""
    with pytest.raises(UsageError, match="expected a PNG"):
        read_data_url(url, "image")
    good = images.data_url(picture(), "image/svg+xml")
    assert read_data_url(good, "image").url.startswith("data:image/png;")  # what it is, not what it is called


@pytest.mark.parametrize("width", [76, 1000])
@pytest.mark.parametrize("padding", ["=", ""])
@pytest.mark.parametrize("parameter", ["", ";name=cat.png", ";charset=utf-8"])
def test_data_urls_as_tools_write_them(width: int, padding: str, parameter: str) -> None:
    """Base64 in lines, without its padding; a parameter before it."""
    raw = picture() + b"\0" * (-(len(picture()) - 1) % 3)  # so that there is padding
    encoded = base64.b64encode(raw).decode().rstrip("=") + padding * 2
    lines = "\r\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))
    image = read_data_url(f"data:image/png{parameter};base64,{lines}\n", "image")
    assert image.url == images.data_url(raw, "image/png")
