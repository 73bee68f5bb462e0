"""The demonstration reference models: six small programs that answer a prompt in six ways.

Each is a function from a `ParsedChat` to Markdown, and returns the same text for the same chat. They
work with the words of the prompt, know nothing about the world, and say so. When the chat holds the
answers of an earlier round, a model adds statements that its own answer lacks. The aggregator is in
a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bot.demo.chat_reader import ParsedChat, content_words, quote, words_in
from bot.demo.exact import exact_facts, size_of
from bot.demo.scripted import SCRIPTED_ANSWERS, is_scripted
from bot.demo.statements import NOT_A_MODEL, Statement, merge_statements, split_statements
from bot.text.numbers import plural

AnswerFunction = Callable[[ParsedChat], str]

_MAX_LENGTH: Final = 240

_OUTLINES: Final = {
    "compare": ("what each side is", "where they agree", "where they differ", "which to choose when"),
    "why": ("what is observed", "the causes, nearest first", "how each cause could be tested", "exceptions"),
    "how": ("what is needed beforehand", "the steps in order", "where it usually fails", "how to check it"),
    "text": ("who speaks and to whom", "the opening", "the turn in the middle", "the close and its tone"),
    "list": (
        "what counts as a member",
        "the members, most telling first",
        "borderline cases",
        "what is left out",
    ),
    "what": ("a definition in one sentence", "an example", "the limits of the term", "why it matters"),
    "other": ("what is wanted", "what is known already", "the answer itself", "what follows from it"),
}
_STEPS: Final = {
    "compare": ("Name the measures that count.", "Put both sides beside each other, measure by measure."),
    "why": (
        "Write down what is observed and when.",
        "Collect possible causes and strike out those that do not fit.",
    ),
    "how": (
        "Lay out what is needed and check that it is there.",
        "Do the smallest step that can be checked first.",
    ),
    "text": ("Fix reader, tone and length in one sentence.", "Write a fast draft without looking back."),
    "list": ("Say what belongs on the list and what does not.", "Collect freely, then order by importance."),
    "what": ("Look for the shortest definition that holds.", "Find one example inside it and one outside."),
    "other": (
        "Say in one sentence what a good answer would settle.",
        "Split it into two or three smaller questions.",
    ),
}
_VAGUE_WORDS: Final = """
    always bad best better big cheap early easy enough famous fast few good great healthy important
    late long many modern most much never new normal often old rarely safe short simple small soon
    usually well worst
"""
_VAGUE: Final = frozenset(_VAGUE_WORDS.split())


def outliner(chat: ParsedChat) -> str:
    """Write an outline of what a full answer would need."""
    parts = _OUTLINES[chat.kind]
    sections = [f"{number}. **{part[0].upper()}{part[1:]}**" for number, part in enumerate(parts, start=1)]
    first, second = chat.term(0), chat.term(1)
    advice = [
        f"The answer has to begin with {first} and say early how {second} bears on it.",
        f"One concrete example of {first} is worth more than a second definition.",
        f"The part that decides is the second: {parts[1]}.",
    ]
    if chat.system:
        advice.append(f"The system prompt, {quote(chat.system)}, sets the manner of every part.")
    return "\n\n".join(
        (
            "## Outline of a full answer",
            f"A full answer to {quote(chat.prompt)} would need four parts:",
            "\n".join(sections),
            "Whatever else it says:",
            "\n".join(f"- {line}" for line in advice),
        )
    )


def reader(chat: ParsedChat) -> str:
    """Write a restatement with the key terms and their counts, and the earlier prompts."""
    terms = ", ".join(f"**{term}** ({count})" for term, count in chat.terms[:6]) or "none"
    seen = [f"Key terms, with how often they occur: {terms}.", size_of(chat.prompt)]
    if chat.earlier:
        turns = len(chat.earlier)
        seen.append(
            f"It follows {plural(turns, 'earlier prompt')}, the last of them {quote(chat.earlier[-1])}."
        )
    if chat.system:
        seen.append(f"The system prompt says {quote(chat.system)}; a program can repeat it, not obey it.")
    return (
        "## The request, read closely\n\n"
        f"As I read it, the request {_REQUESTS[chat.kind]} {chat.term(0)}, "
        f"seen together with {chat.term(1)}. What stands in it:\n\n"
        + "\n".join(f"- {line}" for line in seen)
        + f"\n\nIn other words: begin with {chat.term(0)}, and let the rest follow from it."
    )


def sceptic(chat: ParsedChat) -> str:
    """Ask the open questions and name the hidden assumptions of the prompt."""
    first, second = chat.term(0), chat.term(1)
    written = dict.fromkeys(word.casefold() for word in words_in(chat.prompt[:5000]))
    vague = [word for word in written if word in _VAGUE][:2]
    doubts = [f"“{word}” is left open: by what measure, and for whom?" for word in vague]
    doubts += [
        f"Does {first} mean the same to everyone who reads this?",
        f"Is it settled that {first} and {second} belong together, or is that assumed?",
        "Which time, place and person does the request have in mind?",
        "What would count as evidence that an answer is wrong?",
    ]
    return (
        "## Before anyone answers\n\n"
        f"The request takes {first} for granted. These questions are open:\n\n"
        + "\n".join(f"- {doubt}" for doubt in doubts)
        + "\n\nAn answer that leaves them open should say so instead of sounding certain."
    )


def planner(chat: ParsedChat) -> str:
    """Write a step-by-step plan towards an answer."""
    first, second = chat.term(0), chat.term(1)
    steps = [
        *_STEPS[chat.kind],
        f"Treat {first} on its own before {second} comes in.",
        f"One concrete example of {first} is worth more than a second definition.",
        "Read the result once as a reader who disagrees.",
        "Cut every sentence that the reader would not miss.",
    ]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    return f"## A plan in {len(steps)} steps\n\nTo get from {quote(chat.prompt)} to an answer:\n\n{numbered}"


def telegraph(chat: ParsedChat) -> str:
    """Write a short, telegraphic take."""
    terms = [term for term, _ in chat.terms[:4]] or ["nothing much"]
    lines = [f"Subject: {' / '.join(terms)}. STOP.", f"Wanted: {_OUTLINES[chat.kind][1]}. STOP."]
    lines += [f"- {fact}" for fact in exact_facts(chat.prompt)[:3]]
    lines.append(
        "- Begin with the answer, then give the reason.\n"
        "- Which time, place and person does the request have in mind?"
    )
    return "**In short.**\n\n" + "\n\n".join(lines)


def counter(chat: ParsedChat) -> str:
    """State exact facts: sums, letters, words, dates."""
    facts = exact_facts(chat.prompt)
    lines = ["## What can be computed", f"- {size_of(chat.prompt)}"]
    lines += [f"- {fact}" for fact in facts]
    if chat.terms:
        term, count = chat.terms[0]
        share = 100 * count / max(1, len(words_in(chat.prompt)))
        lines.append(
            f"- The commonest telling word is **{term}**, used {count} times: {share:.0f} % of all words."
            if count > 1
            else "- No telling word is used twice."
        )
    if not facts:
        lines.append("- The prompt holds no sum, date or letter to count, so nothing more can be computed.")
    return lines[0] + "\n\n" + "\n".join(lines[1:])


REFERENCE_PROGRAMS: Final[dict[str, AnswerFunction]] = {
    "demo/outliner": outliner,
    "demo/reader": reader,
    "demo/sceptic": sceptic,
    "demo/planner": planner,
    "demo/telegraph": telegraph,
    "demo/counter": counter,
}

_REQUESTS: Final = {
    "compare": "asks for a comparison around",
    "why": "asks for the reasons behind",
    "how": "asks for a way to deal with",
    "text": "asks for a text about",
    "list": "asks for examples of",
    "what": "asks what is to be understood by",
    "other": "is about",
}


def reference_answer(model: str, chat: ParsedChat) -> str:
    """Return the answer of a demonstration reference model; `model` is a key of `REFERENCE_PROGRAMS`."""
    if is_scripted(chat.prompt) and model in SCRIPTED_ANSWERS:
        return SCRIPTED_ANSWERS[model]
    answer = REFERENCE_PROGRAMS[model](chat)
    revision = _revision(model, answer, chat.references)
    vote = f"\n\nANSWER: {_short_answer(model, chat)}" if chat.votes and model != "demo/sceptic" else ""
    return f"{answer}{revision}\n\n*{model} is a small demonstration program, {NOT_A_MODEL}.*{vote}"


def _short_answer(model: str, chat: ParsedChat) -> str:
    """Return what a model votes for: what can be computed, else a key term; each writes it in its own way."""
    facts = [fact.rstrip(".").rpartition(" = ")[2] for fact in exact_facts(chat.prompt) if " = " in fact]
    terms = [term for term, _ in chat.terms]
    answer = facts[0] if facts else terms[-1 if model == "demo/telegraph" else 0] if terms else "nothing"
    return {"demo/planner": f"**{answer}**", "demo/telegraph": f"\\boxed{{{answer}}}"}.get(model, answer)


def _revision(model: str, answer: str, references: tuple[str, ...]) -> str:
    """Return list items with statements from the answers of the earlier round."""
    if not references:
        return ""
    own = [Statement(text, words=content_words(text)) for text in split_statements(answer)]
    missing = [
        each
        for each in merge_statements(references)
        if len(each.text) <= _MAX_LENGTH and not any(mine.is_like(each.words) for mine in own)
    ]
    read = plural(len(references), "answer")
    if not missing:
        return (
            f"\n\n### Second look\n\nRevised: of the {read} I have read, none holds a point that mine lacked."
        )
    # The statement that most answers make, and one that differs from model to model.
    common = max(missing, key=lambda each: len(each.answers))
    others = [each for each in missing if each is not common]
    added = [common, *(others[list(REFERENCE_PROGRAMS).index(model) % len(others) :][:1] if others else ())]
    items = "\n".join(f"- {each.text}" for each in added)
    return f"\n\n### Second look\n\nRevised after reading {read}; I take up what mine lacked:\n\n{items}"
