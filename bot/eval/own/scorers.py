r"""Scorers that need no judge: a reply and its target, or targets, to a score of 0 or 1.

    exact       the final answer is the target, however it is written: 1,000 and 1000.0, \boxed{7} and 7
    includes    the target stands in the reply, as whole words, in capitals or not
    number      the same number: units, fractions, percentages, LaTeX (math-verify); `number:0.01` within 1 %
    choice      the letter of an option, A to Z
    regex       the target is a pattern, or `regex:PATTERN` for all questions
    json        equal as JSON values, or `json:SCHEMA.json` for a JSON schema

The final answer is what the last line `ANSWER: …` says, else what is boxed, else the end of the last line,
as with `match` of inspect_ai. Several targets are alternatives: the best counts.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bot.errors import UsageError, needs_extra
from bot.eval.own.numbers import DEFAULT_TOLERANCE, same_number
from bot.text.nearest import did_you_mean
from bot.text.short_answers import answer_line, boxed_answer, same_answer

PATTERN_SECONDS = 1.0
"""A pattern that takes longer on one reply gives no score."""
_LONGEST_ENDING = 12
"""Words at the end of the last line that may be the answer."""
_WITHOUT_BLANKS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_NEGATIONS = frozenset({"not", "minus", "negative", "never", "n't"})
_BRACKET = re.compile(r"[\[{]")
_MOST_TRIES = 200
"""Brackets that may begin the JSON of a reply: a reply of brackets alone would take minutes."""
_FENCED = re.compile(r"```(?:json|JSON)?\s*\n(.*?)```", re.DOTALL)
_AROUND = r"[\s*_`\"'(\[{$\\]*"
_LETTER = _AROUND + r"([A-Z](?=[\s*_`\"')\].:,;}$]|$)|[a-z](?=[*_`\"')\].:,;}$]|\s*$))"
"""A small letter needs a sign behind it: "the answer is a matter of taste" chooses nothing."""
_SAID = re.compile(
    rf"(?:(?i:\b(?:answer|option|choice)\b)[\s*_`]*(?i:is|:|=)?|答案[是为為]?)[\s*_`:：]*(?i:option\b)?{_LETTER}"
)
_NAMED = re.compile(
    rf"{_AROUND}([A-Z])[*_`\"')\]}}]*\s+is\s+(?:(?:clearly|the)\s+)*(?:correct|right|best|answer)\b"
)
_CLOSING = re.compile(
    r"(?:\b(?i:is|be|choose|chose|pick|select|say|with|but|thus|so|therefore)|[:=→])(?i:\s+option)?"
    r"[\s*_`\"'(\[{$\\]+([A-Z])[\s*_`\"')\]}.!$]*$"
)
_WRAPPER = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|operatorname|mbox)\s*(?=\{)")
_OPENING = re.compile(r"[\s*_`\"'(\[]*([A-Z](?=[*_`\"'\],;}]|\s*$)|[A-Za-z](?=[*_`]*[).:]))")


@dataclass(frozen=True, slots=True)
class Scored:
    """A score from 0 to 1; None where there is none, `error` then says why."""

    score: float | None
    error: str = ""


_WRONG = Scored(0.0)

Rule = Callable[[str, str], Scored]
"""Scores a reply by one target."""


@dataclass(frozen=True, slots=True)
class RuleScorer:
    """A scorer by rule. `name` is as it was given; `needs_target`: without a target there is no score."""

    name: str
    rule: Rule
    needs_target: bool = True

    def score(self, reply: str, targets: Sequence[str]) -> Scored:
        """Score a reply by the targets, of which the best counts."""
        if self.needs_target and not targets:
            return Scored(None, "the question has no target")
        found = [self.rule(reply, target) for target in targets or ("",)]
        return max(found, key=lambda each: -1.0 if each.score is None else each.score)


def final_answer(reply: str) -> str | None:
    """Return what a reply marks as its answer: its line `ANSWER: …`, else what is boxed, else None."""
    return answer_line(reply) or boxed_answer(reply)


def endings(reply: str) -> list[str]:
    """Return what may be the answer at the end of the last line: its last word, its last two, and so on."""
    lines = [line for line in reply.splitlines() if line.strip(" `~")]
    words = lines[-1].split() if lines else []
    found = []
    for number in range(1, min(len(words), _LONGEST_ENDING) + 1):
        before = words[-number - 1].lower().strip("*_,.;:") if number < len(words) else ""
        if before not in _NEGATIONS and not before.endswith("n't"):
            found.append(" ".join(words[-number:]))
    return found


def _exact(reply: str, target: str) -> Scored:
    answer = final_answer(reply)
    candidates = [reply, *endings(reply)] if answer is None else [answer]
    return _right(any(same_answer(each, target) for each in candidates))


def _includes(reply: str, target: str) -> Scored:
    wanted, text = _folded(target), _folded(reply)
    # Neither 4 in 14 nor 4 in 4.5; a sign of its own, as in C++, is no part of a word. Scripts without blanks
    # between words have no whole words.
    before = r"(?<!\w)(?<!\d[.,])" if _in_words(wanted[:1]) else ""
    after = r"(?!\w)(?![.,]\d)" if _in_words(wanted[-1:]) else ""
    return _right(bool(wanted) and re.search(before + re.escape(wanted) + after, text) is not None)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _in_words(letter: str) -> bool:
    """Return whether a letter is of a script with blanks between words (not Chinese, Japanese, Thai, …)."""
    return letter.isalnum() and not _WITHOUT_BLANKS.match(letter)


def _choice(reply: str, target: str) -> Scored:
    wanted = _OPENING.match(target.strip().upper()) or re.fullmatch(r"\W*([A-Z])\W*", target.strip().upper())
    if wanted is None:
        return Scored(None, "the target is no letter of an option")
    return _right(_letter(reply) == wanted[1])


def _letter(reply: str) -> str | None:
    """Return the letter of the option that a reply chooses, in capitals, None where it chooses none."""
    reply = _WRAPPER.sub("", reply)
    answer = final_answer(reply)
    if answer is not None:
        found = re.match(rf"(?i:option\b)?{_LETTER}", answer)
        return found[1].upper() if found else None
    if alone := re.fullmatch(r"[\W_]*([A-Za-z])[\W_]*", reply):
        return alone[1].upper()
    said = list(_SAID.finditer(reply))
    if said:
        return said[-1][1].upper()
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    for line in dict.fromkeys((*lines[-1:], *lines[:1])):
        if found := _OPENING.match(line) or _NAMED.match(line) or _CLOSING.search(line):
            return found[1].upper()
    return None


def _pattern_rule(fixed: str) -> Rule:
    with needs_extra("eval"):
        import regex  # noqa: PLC0415 - an extra

    def rule(reply: str, target: str) -> Scored:
        try:
            return _right(regex.search(fixed or target, reply, timeout=PATTERN_SECONDS) is not None)
        except TimeoutError:
            return Scored(None, f"the pattern took longer than {PATTERN_SECONDS:g} s")
        except regex.error as error:
            return Scored(None, f"the pattern cannot be read: {error}")

    if fixed:
        try:
            regex.compile(fixed)
        except regex.error as error:
            raise UsageError(f"--scorer regex: the pattern cannot be read: {error}") from None
    return rule


def read_json(reply: str) -> Any:
    """Return the JSON value in a reply: all of it, or a code block, or its longest object or list.

    Raises ValueError where there is none.
    """
    for text in (reply, *reversed(_FENCED.findall(reply))):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            continue
    found: list[tuple[int, Any]] = []
    end = tried = 0
    while (start := _BRACKET.search(reply, end)) and tried < _MOST_TRIES:
        tried += 1
        try:
            value, end = json.JSONDecoder().raw_decode(reply, start.start())
            found.append((end - start.start(), value))
        except (ValueError, RecursionError):
            end = start.end()
    if found:
        return max(found, key=lambda each: each[0])[1]
    raise ValueError("there is no JSON in the reply")


def _equal(first: Any, second: Any) -> bool:
    """Return whether two JSON values are the same: 1 and 1.0 are, 1 and true are not."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second)


def _json(reply: str, target: str) -> Scored:
    try:
        wanted = json.loads(target)
    except ValueError:
        return Scored(None, "the target is no JSON")
    try:
        return _right(_equal(read_json(reply), wanted))
    except ValueError:
        return _WRONG


def _schema_rule(file: str) -> Rule:
    with needs_extra("eval"):
        import jsonschema  # noqa: PLC0415 - an extra

    try:
        schema = json.loads(Path(file).expanduser().read_text(encoding="utf-8"))
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema)
    except (OSError, ValueError, jsonschema.SchemaError) as error:
        reason = error.message if isinstance(error, jsonschema.SchemaError) else error
        raise UsageError(f"--scorer json: {file} is no JSON schema that can be read: {reason}") from None
    validator = kind(schema)

    def rule(reply: str, target: str) -> Scored:  # noqa: ARG001 - every rule has a target
        try:
            return _right(validator.is_valid(read_json(reply)))
        except ValueError:
            return _WRONG

    return rule


def _number_rule(argument: str) -> Rule:
    with needs_extra("eval"):
        import math_verify  # type: ignore[import-untyped,unused-ignore]  # noqa: F401, PLC0415 - an extra
    try:
        tolerance = float(argument) if argument else DEFAULT_TOLERANCE
    except ValueError:
        tolerance = -1.0
    if not 0 <= tolerance < 1:
        raise UsageError(f"--scorer number: expected a tolerance such as 0.01, found {argument}")

    @lru_cache(maxsize=10_000)  # the proposals of an arm are the replies of others
    def rule(reply: str, target: str) -> Scored:
        answer = final_answer(reply)
        return _right(
            same_number(reply if answer is None else answer, target, tolerance, endings(answer or reply))
        )

    return rule


def _right(right: bool) -> Scored:  # noqa: FBT001 - what it makes a score of
    return Scored(float(right))


RULES = ("exact", "includes", "number", "choice", "regex", "json")
JUDGED = ("rubric", "pairwise")
"""The scorers that need a judge."""
SCORERS = (*RULES, *JUDGED)


def rule_scorer(spec: str) -> RuleScorer:
    """Return the scorer of "NAME" or "NAME:ARGUMENT". UsageError for another name or a wrong argument."""
    name, _, argument = spec.partition(":")
    if name not in RULES:
        raise UsageError(
            f"--scorer: there is no scorer {name}. {did_you_mean(name, SCORERS)}".rstrip(),
            hint=f"Scorers: {', '.join(SCORERS)}.",
        )
    if argument and name not in {"number", "regex", "json"}:
        raise UsageError(f"--scorer {name}: it has no argument, found {argument}")
    if name == "number":
        return RuleScorer(spec, _number_rule(argument))
    if name == "regex":
        return RuleScorer(spec, _pattern_rule(argument), needs_target=not argument)
    if name == "json" and argument:
        return RuleScorer(spec, _schema_rule(argument), needs_target=False)
    return RuleScorer(spec, {"exact": _exact, "includes": _includes, "choice": _choice, "json": _json}[name])
