"""Whether a tool may run is asked only when nobody types, and answered only by a key that stands alone."""

from __future__ import annotations

import asyncio

import pytest
from fake_tools import COMMIT
from prompt_toolkit.key_binding import KeyPress
from virtual_time import run

from bot.repl.permission_question import CHOICES, PermissionQuestion, shown_arguments


async def asked(presses: list[tuple[float, str]]) -> tuple[str, float, str, list[float]]:
    """Ask while keys are pressed at these seconds; returns decision, time, typed text, questions."""
    loop = asyncio.get_running_loop()
    start, kept, said = loop.time(), list[KeyPress](), list[tuple[float, str]]()
    question = PermissionQuestion(lambda text: said.append((loop.time() - start, text)), kept.append)
    for at, keys in presses:
        for place, key in enumerate(keys):
            loop.call_at(start + at + place / 1000, question.press, KeyPress(key))
    await asyncio.sleep(0.01)
    decision = await question.ask(COMMIT, {"message": "x"})
    ended = loop.time() - start
    await asyncio.sleep(100)
    typed = "".join(press.key for press in kept)
    return decision, round(ended, 1), typed, [round(at, 1) for at, text in said if CHOICES in text]


@pytest.mark.parametrize(
    ("presses", "decision", "at", "typed", "questions"),
    [
        ([(3, "o")], "once", 3.5, "", [0.0]),
        ([(3, "c")], "conversation", 3.5, "", [0.0]),
        ([(3, "n")], "never", 3.5, "", [0.0]),
        ([(3, "d")], "no", 3.5, "", [0.0]),
        # Right after the question comes up, a key was meant for something else.
        ([(0.2, "o"), (5, "n")], "never", 5.5, "o", [0.0, 2.2]),
        # Typing: the question waits, whatever the letters are.
        ([(0.0, "h"), (1, "i"), (2, "o"), (9, "o")], "once", 9.5, "hio", [4.0]),
        # Typing begins while the question stands, with a letter that could be an answer.
        ([(3, "o"), (3.2, "n"), (3.4, "c"), (9, "d")], "no", 9.5, "onc", [0.0, 5.4]),
        ([(3, "once"), (9, "o")], "once", 9.5, "once", [0.0, 5.0]),
        ([(3, "x"), (9, "c")], "conversation", 9.5, "x", [0.0, 5.0]),
        ([(3, "y"), (3.1, "e"), (3.2, "s"), (20, "n")], "never", 20.5, "yes", [0.0, 5.2]),
        # After the answer, keys are text again.
        ([(3, "o"), (4, "o"), (9, "n")], "once", 3.5, "on", [0.0]),
    ],
)
def test_keys(
    presses: list[tuple[float, str]], decision: str, at: float, typed: str, questions: list[float]
) -> None:
    """One key alone is an answer; everything else stays for the next prompt, and the question comes again."""
    found = run(asked(presses))
    assert found == (decision, at, typed, questions)


def test_a_cancelled_question_keeps_what_was_typed() -> None:
    """Ctrl-C ends the question; a key that was not yet an answer is not lost."""

    async def work() -> str:
        kept: list[KeyPress] = []
        question = PermissionQuestion(lambda _: None, kept.append)
        asking = asyncio.create_task(question.ask(COMMIT, {}))
        await asyncio.sleep(3)
        question.press(KeyPress("o"))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.wait({asking})
        question.press(KeyPress("k"))
        return "".join(press.key for press in kept)

    assert run(work()) == "ok"


def test_arguments_are_shown_whole_and_do_nothing() -> None:
    """Control characters are shown as text; of very long ones both ends, so that nothing hides at the end."""
    assert shown_arguments({"a": "x\x1b[2J\u202e", "b": 1}) == '{"a": "x\\u001b[2J", "b": 1}'
    long = shown_arguments({"text": "x" * 5000, "then": "rm -rf /"})
    assert long.endswith('"then": "rm -rf /"}')
    assert "characters …]" in long
    assert len(long) < 2_100
