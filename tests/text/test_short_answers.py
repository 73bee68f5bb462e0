"""Short answers: found at the end of a text, and the same when they are only written differently."""

from __future__ import annotations

import time

import pytest
from running import in_time

from bot.text.short_answers import answer_line, normalised, shown_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("ANSWER: 42", "42"),
        ("It is so.\n\nANSWER: 42\n", "42"),
        ("**ANSWER:** 42", "42"),
        ("**ANSWER: 42**", "42**"),
        ("Answer: 42", "42"),
        ("Final answer: 42", "42"),
        ("The final answer: 42", "42"),
        ("> ANSWER： 42", "42"),
        ("ANSWER:\n42", "42"),
        ("ANSWER: 41\nNo, wait.\nANSWER: 42", "42"),
        ("the answer: is unclear to me", "is unclear to me"),
        ("1. ANSWER: 42", "42"),
        ("<b>ANSWER:</b> 42", "42"),
        ("ANTWORT: 42", "42"),
        ("Réponse : 42", "42"),
        ("答案：42", "42"),
        ("ANSWER:\n```\n42\n```", "42"),
        ("ANSWER:\n```python\nf(x)\n```", "f(x)"),
        ("ANSWER:\n\\[\n\\boxed{42}\n\\]", "\\boxed{42}"),
        ("ANSWER:\n$$\n42\n$$", "42"),
        ("ANSWER:\n\n**42**", "**42**"),
        ("ANSWER: ```42```", "```42```"),
        ("ANSWER:\n```\n", None),
        ("I have no answer", None),
        ("ANSWER:", None),
        ("ANSWER: **", None),
        ("ANSWER: " + "x" * 501, None),
        ("The ANSWERS: 42", None),
        ("", None),
    ],
)
def test_the_answer_line(text: str, answer: str | None) -> None:
    """The last such line counts; an answer in running text does not."""
    assert answer_line(text) == answer


SAME = [
    ("1,000", "1000", "1000.0", "1 000", "1'000", "+1000", "1000.", "$1000$",
     "1e3", "1*10^3",
     r"1 \times 10^3", "x = 1000", "**1000**", "`1000`", "１０００", r"\boxed{1,000}"),
    ("42", "42.00", r"\boxed{42}", r"$\boxed{42}$", r"\(42\)", r"\[42\]",
     "“42”", "N = 42", "= 42", "about 42"),
    ("1/2", "0.5", ".5", r"\frac{1}{2}", r"\dfrac12", r"$\frac{1}{2}$", r"x = \tfrac{1}{2}"),
    ("-3", "−3", "–3", "-3.0", r"$-3$", r"\boxed{-3}", "(-3)"),
    ("5 km", "5km", "5 kilometers", "5000 m", "5 Kilometres.", r"5 \text{ km}", r"5\,\mathrm{km}"),
    ("1 hour", "60 minutes", "1 h", "3600 s"),
    ("50%", "50 %", "50 percent", "50 per cent", r"50\%"),
    ("$5", "5 dollars", "5 USD", "$5.00", r"\$5"),
    ("90°", "90 degrees", r"90^\circ", r"90^{\circ}"),
    ("20 °C", "20°C", "20 degrees Celsius", "20 celsius"),
    ("5 apples", "5 apple", "5 Apples."),
    ("B", "b", "(B)", "B)", "B.", "B. Paris", "option B", "Option (B)", "(b) Paris", "**B**"),
    ("Paris", "paris.", "PARIS", "“Paris”", "*Paris*", r"\text{Paris}"),
    ("The Nile", "Nile", "nile.", "the Nile"),
    ("yes", "Yes.", "Yes, it is", "YES!"),
    ("no", "No.", "No – it is not"),
    ("four", "4", "Four.", "4.0"),
    ("1, 2, 3", "1,2,3", "1, 2 and 3", "1, 2, and 3", "(1, 2, 3)"),
    ("x^2 - 1", "x^2-1", "x² − 1", "$x^{2}-1$"),
    (r"\sqrt{2}", r"$\sqrt{2}$", "sqrt(2)", r"\boxed{\sqrt{2}}"),
    (r"\frac{\sqrt{3}}{2}", "(sqrt(3))/2"),
    ("5 March 2024", "March 5, 2024", "March 5th, 2024", "the 5th of March, 2024", "2024-03-05", "2024-3-5",
     "Mar. 5, 2024", "Tuesday, March 5, 2024"),
    ("$5 million", "$5,000,000", "5 million dollars", "US$5 million", "USD 5000000"),
    ("½", "0.5", "1/2"),
    ("1½", "1.5", "1 1/2", "1 ½", "3/2"),
    ("minus 5", "-5", "negative 5", "−5"),
    ("x**2", "x^2", "x²"),
    ("2π", r"2\pi", "2 pi"),
    ("√2", r"\sqrt{2}"),
    ("3·10^8 m/s", r"3 \times 10^8 \text{ m/s}", "3e8 m/s"),
    ("10 square meters", "10 m²", "10 m^2"),
    ("2:1", "2 : 1"),
    ("twenty", "20"),
    ("₹500", "500 rupees"),
]  # fmt: skip
DIFFERENT = [
    ("42", "-42", "4.2", "42%", "42 km", "42 m", "420", "4 2"),
    ("1/2", "2", "12", "1,2"),
    ("2^2", "22", "4"),
    ("B", "C", "Paris", "a"),
    ("yes", "no", "not sure", "none"),
    ("New York", "York", "Newyork"),
    ("[3, 4]", "3, 4", "[4, 3]"),
    ("5 s", "5 min", "5 m"),
    ("x^2-1", "(x-1)(x+1)"),
    ("1900", "1900s"),
    ("5!", "5"),
    ("x**2", "x2", "x*2"),
    ("No, 5", "No, 7", "no"),
    ("3/4/2024", "4/3/2024", "2024-03-04"),
    ("2 1/2", "21/2", "2"),
    ("$5 million", "$5", "5 million"),
]


@pytest.mark.parametrize("answers", SAME, ids=lambda answers: answers[0])
def test_the_same_answer_in_other_writing(answers: tuple[str, ...]) -> None:
    """All of them count for one answer."""
    found = {answer: normalised(answer) for answer in answers}
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("answers", DIFFERENT, ids=lambda answers: answers[0])
def test_different_answers(answers: tuple[str, ...]) -> None:
    """Nothing is taken for the same that may not be."""
    found = {answer: normalised(answer) for answer in answers}
    assert len(set(found.values())) == len(answers), found


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("42", "42"),
        ("**42**.", "42"),
        (r"\boxed{42}", "42"),
        (r"$\boxed{42}$", "42"),
        (r"\(42\)", "42"),
        ("$5", "$5"),
        ("The Nile.", "The Nile"),
        ("42**", "42"),
        ("...", "..."),
        ("5!", "5!"),
        ("Paris!", "Paris"),
        ("2**3", "2**3"),
        ("__init__", "__init__"),
        ("*args", "*args"),
        (r"\boxed{", r"\boxed{"),
    ],
)
def test_the_answer_as_it_is_shown(answer: str, shown: str) -> None:
    """What only surrounds it goes; the writing stays."""
    assert shown_answer(answer) == shown


def test_odd_answers_take_no_time() -> None:
    """Whatever a model writes behind ANSWER is read at once, and never raises."""
    odd = [
        "\\boxed{" * 70,
        "1" * 500,
        "(" * 500,
        "1,000," * 80,
        "$" * 500,
        "\\frac{" * 80,
        "1e999",
        "1/0",
        "9e-999",
    ]
    started = time.perf_counter()
    for text in odd:
        answer = answer_line(f"ANSWER: {text}")
        if answer is not None:
            normalised(answer)
            shown_answer(answer)
    for text in ("answer " * 20_000, "\n" * 20_000 + "answer:", "*" * 20_000, "answer" + " " * 20_000):
        answer_line(text)
    assert in_time(time.perf_counter() - started, 2.0)
