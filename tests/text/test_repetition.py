"""Text that repeats itself without end is found early; tables, code, lists, verse and digits are not."""

from __future__ import annotations

import gzip
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.text.repetition import MIN_CHARACTERS, MIN_CHARACTERS_WITHOUT_LETTERS, RepetitionDetector

PROSE = "The mixture asks several models and merges what they say.\n"


def repetition(text: str, size: int = 7) -> int | None:
    detector = RepetitionDetector()
    for place in range(0, len(text), size):
        detector.feed(text[place : place + size])
    return detector.end


@pytest.mark.parametrize(
    ("start", "unit", "kept"),
    [
        (PROSE, "I hope this helps!\n", "I hope this helps!"),
        (PROSE, "very ", "very"),
        ("", "<end_of_turn>\n", "<end_of_turn>"),
        ("", "the ", "the"),
        (PROSE, "哈", "哈"),
        (PROSE, "A line.\nAnother line.\n\n", "Another line."),
        (PROSE, "\n\nQuestion: What is 2 + 2?\nAnswer: It is 4.", "It is 4."),
        ("It says", " and on", "and on"),
        (PROSE, "user: hello\nassistant: hello\n" * 10, "assistant: hello"),
        ("```python\n", "    print('again')\n", "print('again')"),
        (PROSE, "| a | b |\n", "| a | b |"),
        (PROSE, "0, ", "0,"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000_000])
def test_loops(start: str, unit: str, kept: str, size: int) -> None:
    """A unit that follows itself is found soon, wherever the pieces are cut; the first one stays."""
    text = start + unit * (8_000 // len(unit))
    end = repetition(text, size)
    assert end is not None
    assert text[:end].rstrip().endswith(kept)
    assert len(start.rstrip()) < end <= len(start) + 2 * len(unit)


@pytest.mark.parametrize("number", ["{}.", "{})", "({})", "[{}]", "**{}.**", "- {}.", "> **{}**:", "#{}:"])
def test_numbered_lines_that_say_the_same(number: str) -> None:
    """The numbers of a list do not make equal lines different, however they are written."""
    text = PROSE + "".join(f"{number.format(n)} Call the customer again.\n" for n in range(1, 100))
    end = repetition(text)
    assert end is not None
    assert text[:end] == PROSE + f"{number.format(1)} Call the customer again."


def test_a_loop_is_found_early() -> None:
    """No more than a few hundred tokens of a loop are waited for."""
    detector = RepetitionDetector()
    fed = 0
    while detector.end is None:
        detector.feed("and again ")
        fed += len("and again ")
    assert MIN_CHARACTERS <= fed < 2 * MIN_CHARACTERS


@pytest.mark.slow
def test_megabytes_in_one_piece() -> None:
    """A text in which something always seems to repeat takes a moment: 2.8 MB took a minute of CPU."""
    paragraph = "".join(random.Random(1).choices("abcdefghij ", k=3_000))
    detector, began = RepetitionDetector(), time.process_time()
    detector.feed(paragraph * 950)
    assert time.process_time() - began < 6.0


SHUFFLE = random.Random(3)
TABLE = "| n | square | cube |\n|---|---|---|\n"
NO_LOOPS = {
    "prose": PROSE * 3 + "It costs more and is not always better. " * 2,
    "table of squares": TABLE + "".join(f"| {n} | {n**2} | {n**3} |\n" for n in range(300)),
    "table of equal rows": TABLE + "| yes | no | yes |\n" * 60,
    "multiplication": "".join(f"{a} x {b} = {a * b}\n" for a in range(1, 13) for b in range(1, 13)),
    "schedule": "".join(f"- **Week {n}**: run 5 km, rest, swim 1 km, rest\n" for n in range(1, 53)),
    "code of zeros": "```c\nint board[64][8] = {\n" + "    {0, 0, 0, 0, 0, 0, 0, 0},\n" * 64 + "};\n```\n",
    "code of asserts": "```python\n" + "".join(f"assert f({n}) == {n}\n" for n in range(150)) + "```\n",
    "closing brackets": "```lisp\n" + ")" * 300 + "\n```",
    "empty cells": TABLE + "|   |   |   |\n" * 100,
    "rule": "Title\n" + "=" * 500 + "\n" + "-" * 500 + "\n",
    "pi and zeros": "3." + "0" * 1_500,
    "random bits": "".join(SHUFFLE.choice("01") for _ in range(6_000)),
    "third": "0." + "3" * 2_000,
    "chorus": ("Hallelujah, hallelujah,\n" * 8 + "He sang all night and day.\n") * 4,
    "ninety-nine bottles": "".join(
        f"{n} bottles of beer on the wall, {n} bottles of beer.\nTake one down and pass it around, "
        f"{n - 1} bottles of beer on the wall.\n\n"
        for n in range(99, 0, -1)
    ),
    "twenty times": "I will not talk in class.\n" * 20,
    "nursery rhyme": "\n".join(
        f"And on that farm he had a {animal}, E-I-E-I-O.\nWith a {noise}-{noise} here and a {noise}-{noise} "
        f"there,\nHere a {noise}, there a {noise}, everywhere a {noise}-{noise}.\n"
        for animal, noise in [("cow", "moo"), ("pig", "oink"), ("duck", "quack"), ("horse", "neigh")] * 2
    ),
    "log lines": "".join(f"2026-01-01T00:00:{n:02} INFO request served in {n % 7} ms\n" for n in range(60)),
    "json": json.dumps([{"id": n, "name": "item", "price": 1.0, "tags": []} for n in range(100)], indent=1),
    "laughter": "ha" * 200,
    "checkboxes": "- [ ] \n" * 100,
}


@pytest.mark.parametrize("text", NO_LOOPS.values(), ids=NO_LOOPS)
def test_no_false_alarm(text: str) -> None:
    """What repeats for a reason is left whole, also with prose around it."""
    assert repetition(text) is None
    assert repetition(PROSE + text + PROSE) is None


@given(st.text(max_size=3_000), st.integers(1, 5_000))
def test_any_text(text: str, size: int) -> None:
    """Any text can be watched in pieces of any size, with the same result."""
    assert repetition(text, size) == repetition(text, 400)


def test_digits_need_a_longer_loop_than_words() -> None:
    """A loop without letters is one when it is longer than anything of use."""
    assert repetition("0" * (MIN_CHARACTERS_WITHOUT_LETTERS - 1)) is None
    assert repetition("0" * (MIN_CHARACTERS_WITHOUT_LETTERS + 1_000)) is not None


@pytest.mark.slow
def test_recorded_answers(recorded: Path) -> None:
    """Of the answers published with the paper these four are cut, each a loop to any reader."""
    found = []
    with gzip.open(recorded / "alpaca_eval" / "recorded_answers.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            found += [
                (number, name)
                for name, answer in json.loads(line)["outputs"].items()
                if repetition(answer, 50) is not None
            ]
    assert found == [
        (282, "MoA-repo/Qwen-72B-round-1"),  # one character, 1,590 times
        (535, "Qwen1.5-72B-Chat"),  # five characters, 800 times
        (624, "Mixtral-8x22B-Instruct-v0.1"),  # a list of the same words again and again
        (655, "wizardlm-70b"),  # a tune whose last four bars never end
    ]
