"""What the demonstration models say."""

from __future__ import annotations

import time

import pytest
from running import in_time

from bot.demo import DEMO_REFERENCES
from bot.demo.aggregator import aggregate
from bot.demo.chat_reader import ParsedChat, key_terms, parse_chat
from bot.demo.exact import exact_facts
from bot.demo.models import REFERENCE_PROGRAMS, reference_answer
from bot.demo.statements import NOT_A_MODEL, merge_statements, split_statements

PROMPT = "Why do cats purr, and is it always a good sign? Cats purr at 25 * 3 Hz."


def reading(prompt: str = PROMPT, *, system: str = "", references: tuple[str, ...] = ()) -> ParsedChat:
    """Return the chat with this prompt, with answers of an earlier round."""
    read = parse_chat([{"role": "user", "content": prompt}])
    return ParsedChat(prompt, (), system, references, read.terms, read.kind)


def first_round(prompt: str = PROMPT) -> tuple[str, ...]:
    """All answers of a first round."""
    return tuple(reference_answer(model, reading(prompt)) for model in DEMO_REFERENCES)


def test_each_model_has_its_program() -> None:
    """The announced names are those of the programs."""
    assert tuple(REFERENCE_PROGRAMS) == DEMO_REFERENCES
    assert len(DEMO_REFERENCES) >= 5


def test_models_answer_differently() -> None:
    """No two answers are alike, and each makes statements of its own."""
    answers = first_round()
    assert len({answer.splitlines()[0] for answer in answers}) == len(answers)
    alone = [point for point in merge_statements(answers) if len(point.answers) == 1]
    assert {next(iter(point.answers)) for point in alone} == set(range(len(answers)))


@pytest.mark.parametrize("model", DEMO_REFERENCES)
@pytest.mark.parametrize("prompt", [PROMPT, "", "短い詩を書いて", "?!", "a" * 5000, "*" * 300, "hi\n" * 1000])
def test_answers_are_short_honest_and_repeatable(model: str, prompt: str) -> None:
    """Any prompt gets the same short answer each time, which says that it is not a language model's."""
    answer = reference_answer(model, reading(prompt))
    assert answer == reference_answer(model, reading(prompt))
    assert NOT_A_MODEL in answer
    assert len(answer.split()) < 250
    assert len(answer) < 3000


@pytest.mark.parametrize("model", DEMO_REFERENCES)
def test_a_second_round_is_a_visible_revision(model: str) -> None:
    """With answers of an earlier round, a model says how many it read, and adds a statement from them."""
    foreign = "- Purring also mends bones, some say.\n- Kittens purr within days."
    before = reference_answer(model, reading())
    after = reference_answer(model, reading(references=(before, foreign, foreign)))
    assert "3 answers" in after
    assert "Purring also mends bones" in after
    assert after.startswith(before.split("\n\n*demo/")[0])


def test_a_system_prompt_is_reflected() -> None:
    """At least one model, and the aggregator, show that they were given the user's system prompt."""
    read = reading(system="Answer in verse.")
    assert "Answer in verse." in reference_answer("demo/reader", read)
    assert "Answer in verse." in aggregate(
        reading(system="Answer in verse.", references=("A point is made.",))
    )


def test_earlier_turns_are_read() -> None:
    """In a second turn the earlier prompt is mentioned, by the reader and by the aggregator."""
    read = parse_chat(
        [
            {"role": "user", "content": "What is rust?"},
            {"role": "assistant", "content": "Iron oxide."},
            {"role": "user", "content": [{"type": "text", "text": "How is it removed?"}]},
        ]
    )
    assert read.prompt == "How is it removed?"
    assert "What is rust?" in reference_answer("demo/reader", read)
    assert "What is rust?" in aggregate(read)


def test_the_aggregator_composes_its_reply_out_of_the_answers() -> None:
    """Shared statements come first with their number, then those of single answers and open questions."""
    answers = (
        "Intro:\n\n- The moon causes most of the tides on Earth.\n- Is the sun involved?",
        "The moon causes the tides, most of them, on Earth. Coasts shape their height.",
        "1. Spring tides come with a full moon.\n\n```\ncode is no point at all\n```",
    )
    reply = aggregate(reading("Why are there tides?", references=answers))
    shared, single, questions = (
        reply.index("The moon causes"),
        reply.index("Coasts shape"),
        reply.index("Is the sun"),
    )
    assert "2 of 3" in reply
    assert shared < single < questions
    assert "Spring tides" in reply
    assert "code is no point" not in reply
    assert reply.count("The moon causes") == 1
    assert NOT_A_MODEL in reply
    assert reply.count("\n#") >= 2


def test_the_aggregator_names_no_model() -> None:
    """A reply made of the demonstration answers names no model, and is neither short nor long."""
    reply = aggregate(reading(references=first_round()))
    assert "demo/" not in reply
    assert 80 <= len(reply.split()) <= 260


@pytest.mark.parametrize("answers", [(), ("",), ("?",), ("```\nx\n```",), ("<script>" * 3000,)])
def test_the_aggregator_always_replies(answers: tuple[str, ...]) -> None:
    """No answers, or answers without a usable sentence, still give a reply."""
    assert NOT_A_MODEL in aggregate(reading(references=answers))


def test_what_is_not_a_statement() -> None:
    """Headings, labels, introductions, code, tables and notices are not statements."""
    answer = (
        "# Title of it\n\n**A bold label here**\n\nSee this list here:\n\n- First true point.\n"
        f"| a | b |\n\nTwo sentences here. Another one here.\n\n*x is a program, {NOT_A_MODEL}.*"
    )
    assert split_statements(answer) == ["First true point.", "Two sentences here.", "Another one here."]


def test_key_terms_are_counted() -> None:
    """Content words are counted, ignoring case; stop words are left out."""
    assert key_terms("The cat and the Cat saw a dog")[:2] == (("cat", 2), ("saw", 1))


@pytest.mark.parametrize(
    ("prompt", "fact"),
    [
        ("What is 17 × 23 + 4?", "17 × 23 + 4 = 395"),
        ("(2 + 3) * 4", "(2 + 3) × 4 = 20"),
        ("what is 2**10", "2 ^ 10 = 1,024"),
        ("what is 12 divided by 8", "12 / 8 = 1.5"),
        ("10 / 3", "10 / 3 = about 3.333333"),
        ("What is 15% of 80?", "15 % of 80 = 12"),
        (
            "How many r's are in strawberry?",
            "“strawberry” holds the letter “r” 3 times among its 10 letters.",
        ),
        ("how many days from 2024-02-28 to March 1, 2024", "From 2024-02-28 to 2024-03-01 it is 2 days."),
        ("1 May 2026?", "2026-05-01 is a Friday."),
    ],
)
def test_exact_things_are_right(prompt: str, fact: str) -> None:
    """Sums, letters and dates in a prompt are computed."""
    assert fact in exact_facts(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "9 ** 9 ** 9",
        "1 / 0",
        "call 555-1234",
        "2024-13-45",
        "(((((1 + ",
        "05 + 1",
        "10**60 * 10**60",
        "24/7 service",
    ],
)
def test_what_is_not_a_sum(prompt: str) -> None:
    """What is too large, impossible, or not a sum is not computed."""
    assert exact_facts(prompt) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["(" * 5000, "1" * 5000, "1 + " * 2000, "1 " * 3000, " - 1" * 2000, "how many " * 900]
)
def test_no_prompt_makes_the_exact_things_slow(text: str) -> None:
    """The patterns take linear time on texts that are made to slow them down."""
    start = time.process_time()
    exact_facts(text)
    assert in_time(time.process_time() - start, 0.5)
