"""What of a request a service refuses, read from its error: a field, the system role, repeated roles.

Pure. Services word this in many ways, so the error's fields (`param`, `code`, pydantic's `loc`) are
looked at first, then its words. A value that is out of range is not a field that is refused: what the
user set is not silently left out, unless the service says that nothing but its default is accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from bot.client.error_body import WRAPPERS, error_layers
from bot.client.service_data import read_json
from bot.messages import Request

SYSTEM_ROLE = "system role"
ALTERNATING_ROLES = "alternating roles"
LENGTHS = ("max_tokens", "max_completion_tokens")
RESPONSE_FORMAT = "response_format"
CACHE_CONTROL = "cache_control"
"""The field of a cache mark, which makes a message's content a list of parts."""

_LONGEST = 4000
"""Characters of an error that are looked at."""
_BEFORE, _AFTER = 80, 100
"""Characters around a field's name in which the words of a refusal are looked for."""
_CODES = frozenset(
    {"unsupported_parameter", "unknown_parameter", "unknown_field", "extra_forbidden", "value_error.extra"}
)
_ALIASES = {"include_usage": "stream_options"}
_COMMON_WORDS = frozenset({"reasoning", "think", "thinking", "tools", "stop", "user", "n"})
"""Fields whose names are words of any sentence: they count only between quotation marks."""

_REFUSED = re.compile(
    r"(?:un|not )(?:supported|known|recogni[sz]ed|expected)|incompatible|disabled|disallow|forbid"
    r"|n(?:o|'|’)t (?:be |an? |currently |yet )?"
    r"(?:support|allow|permitt|accept|enabl|availabl|valid|compatib|implement|recogni[sz])"
    r"|cannot (?:be )?(?:set|used|specified|find)|(?:must|should) not be|must be (?:omitted|null|unset)"
    r"|extra(?:neous)? (?:input|field|key)|(?:invalid|no such) (?:field|param|argument)"
    r"|deprecated|no longer|does not (?:take|have|exist)"
)
_VALUE = re.compile(
    r"between|maximum|minimum|at (?:most|least)|too (?:large|small|high|low|long|many)|\brange\b|exceed"
    r"|(?:greater|less|more|larger|smaller|higher|lower|fewer) than|[<>≤≥]=? ?\d|\bup to\b"
)
_DEFAULT_ONLY = re.compile(
    r"\bonly\b.{0,40}\bdefault\b|\bonly \d(?:\.\d{1,3})? is (?:allowed|supported)"
    r"|\bonly (?:be (?:set to )?)?1(?:\.0)?\b(?! ?(?:to|-|or) )"
    r"|must be (?:set to |equal to )?(?:1(?:\.0)?\b(?! ?(?:to|-|or|and) )|the default)"
)
_ACCEPTED = re.compile(
    r"expected one of|did you mean|\buse\b|\binstead\b"
    r"|(?<!not )(?<!un)(?:allowed|supported|valid|permitted|accepted) (?:\w+ )?(?:are|is|include)\b"
)
"""What follows names fields that are accepted."""

_THINKING = ("reasoning", "reasoning_effort", "chat_template_kwargs", "think", "thinking")
_NO_THINKING = re.compile(
    r"n(?:o|'|’)t support (?:thinking|reasoning)"
    r"|\b(?:thinking|reasoning)\b.{0,40}(?:mandatory|cannot be disabled|n(?:o|'|’)t supported)"
)
_TOOL_USE = r"\b(?:tool|function)[ _-]?(?:use|choice|calling|calls?)\b"
_NO_TOOLS = re.compile(
    rf"(?:not?\b|n[’']t|cannot|without|unsupported|disabled)[^.]{{0,60}}{_TOOL_USE}|{_TOOL_USE}[^.]{{0,60}}"
    r"(?:not (?:be )?(?:support|enabl|allow|availab|implement)|n[’']t support|unsupported|requires? --)"
    r"|does(?: not|n[’']t) (?:support|have|accept|allow) (?:any )?(?:tools|functions)\b"
    r"|\btools (?:are|is) not (?:support|enabl|allow|availab)|\btools? param requires\b"
    r"|\bunsupported param: tools\b"
)
"""That a model or server cannot call tools."""
_FORMAT = (
    r"\b(?:response[ _]?format|json[ _]?(?:schema|object|mode|output)|structured[ _]?output|grammar)s?\b"
)
_NO_FORMAT = re.compile(
    rf"(?:\bnot?\b|n[’']t|cannot|invalid|unsupported|unavailable|disabled|unknown|failed)[^.]{{0,80}}{_FORMAT}"
    rf"|{_FORMAT}.{{0,80}}(?:\bnot\b|n[’']t|unsupported|unavailable|disabled|unknown|invalid|failed)"
)
"""That a model or server cannot write JSON of a given form, or not of this form."""
_NO = r"(?:not|n't|n’t|cannot|never)\b.{0,20}(?:support|allow|permit|accept|enabl|availab|valid|us)\w*"
_WRONG = r"(?:unsupported|disallowed|invalid|unknown|unexpected)"
_Q = r"['\"`]?"
_SYSTEM_MESSAGE = rf"\bsystem{_Q}[ _]?(?:role|message|prompt|instruction)s?"
_TWO_ROLES = (
    rf"[:\s\[(]{{0,3}}{_Q}user{_Q} ?(?:and|or|,|/) ?{_Q}(?:assistant|model)\b"
    rf"(?!{_Q},? ?(?:and |or )?{_Q}system)"
)
_SYSTEM = re.compile(
    rf"{_SYSTEM_MESSAGE}.{{0,40}}(?:{_NO}|{_WRONG})|(?:{_WRONG}|{_NO}|\bno) ?.{{0,30}}{_SYSTEM_MESSAGE}"
    rf"|{_WRONG}[^.]{{0,20}}\broles?\b[^.]{{0,20}}\bsystem\b|\brole {_Q}system\b.{{0,20}}(?:{_NO}|{_WRONG})"
    rf"|\brole\b.{{0,20}}{_NO}.{{0,10}}\bsystem\b"
    rf"|\bonly{_TWO_ROLES}|\b(?:must|should) be(?: either| one of)?{_TWO_ROLES}"
    rf"|{_Q}system{_Q}. supported values are{_TWO_ROLES}"
    rf"|{_Q}system{_Q} is not (?:one of|an? (?:valid|supported|allowed))"
    r"|developer instruction is not enabled"
    r"|(?:first message must be|must (?:start|begin) with)[^.]{0,12}\buser\b"
)
_TEXT_ONLY = re.compile(
    r"\bcontents?\b.{0,80}\b(?:valid|expected|must be|should be|only)\b.{0,20}\bstrings?\b"
)
_ROLE_WORD = r"\b(?:roles?|messages?|turns?|users?|assistants?)\b"
_ALTERNATING = re.compile(
    rf"{_ROLE_WORD}.{{0,60}}\balternat(?:e|es|ing)\b|\balternat(?:e|es|ing)\b.{{0,40}}{_ROLE_WORD}|interleav"
    rf"|consecutive (?:user|assistant|messages|roles)|same role|unexpected role {_Q}\w{{1,20}}{_Q} after"
    r"|(?:2|two) or more (?:user|assistant)|(?:user|assistant) messages in a row"
)


def find_refusal(request: Request, body: str, status: int = 400) -> str:
    """Return what of the request the error in `body` refuses, "" when that cannot be told.

    A field that was sent, SYSTEM_ROLE, or ALTERNATING_ROLES. Of a `status` of 500 or more only the
    roles and tools: llama.cpp answers so when a model's chat template does not accept them.
    """
    found = (_refused_by(request, error, body, status) for error in _errors(body))
    return next(filter(None, found), "")


def _refused_by(request: Request, error: Mapping[str, object], body: str, status: int) -> str:
    """Return what one error object refuses."""
    message = error.get("message") or error.get("detail") or error.get("msg") or error.get("error") or body
    text = (message if isinstance(message, str) else json.dumps(message))[:_LONGEST].lower()
    if isinstance(metadata := error.get("metadata"), dict) and isinstance(raw := metadata.get("raw"), str):
        text += f" {raw[:_LONGEST].lower()}"  # OpenRouter: what the model's own service said
    text = text.replace(request.model.lower(), "the model")
    if _ALTERNATING.search(text):
        return ALTERNATING_ROLES
    if any(each.role == "system" for each in request.messages) and _SYSTEM.search(text):
        return SYSTEM_ROLE
    sent = sent_fields(request)
    if "tools" in sent and _NO_TOOLS.search(text):
        return "tools"
    if status >= 500:  # noqa: PLR2004 - HTTP's classes
        return ""
    for name, refusal in ((RESPONSE_FORMAT, _NO_FORMAT), (CACHE_CONTROL, _TEXT_ONLY)):
        if name in sent and refusal.search(text):
            return name
    return _by_fields(error, text, sent) or _by_words(text, sent) or _thinking(text, sent)


def sent_fields(request: Request) -> tuple[str, ...]:
    """Return the fields of the request's body that it could go without."""
    endpoint = request.endpoint
    names = ["temperature", endpoint.max_tokens_field, *request.extra]
    if request.seed is not None:
        names.append("seed")
    if request.cache_key and endpoint.cache_key_field:
        names.append(endpoint.cache_key_field)
    if any(message.cache_mark for message in request.messages):
        names.append(CACHE_CONTROL)
    return tuple(name for name in names if name not in endpoint.rejects)


def _errors(body: str) -> list[Mapping[str, object]]:
    """Return the error objects in a body, those within one another too; [{}] where there is none."""
    try:
        layers = error_layers(read_json(body))
    except ValueError:
        layers = []
    return [each for each in layers if not any(isinstance(each.get(name), dict) for name in WRAPPERS)] or [{}]


def _by_fields(error: Mapping[str, object], text: str, sent: Iterable[str]) -> str:
    """Return the field that the error's own fields name."""
    for name, code, said in _named(error, text):
        if name in sent and (code in _CODES or _is_refusal(said)):
            return name
    return ""


def _named(error: Mapping[str, object], text: str) -> Iterator[tuple[str, object, str]]:
    """Yield (field, code, message) of an error: one, or one for each mistake that pydantic found."""
    if isinstance(param := error.get("param"), str):
        yield _field(param), error.get("code"), text
    detail = error.get("detail")
    for item in detail if isinstance(detail, list) else ():
        if isinstance(item, dict) and isinstance(place := item.get("loc"), list):
            for part in place:
                yield _field(str(part)), item.get("type"), str(item.get("msg"))[:_LONGEST].lower()


def _field(param: str) -> str:
    name = re.split(r"[.\[]", param[:100].removeprefix("body."), maxsplit=1)[0]
    return _ALIASES.get(name, name)


def _by_words(text: str, sent: Iterable[str]) -> str:
    """Return the first field that is named beside the words of a refusal."""
    text = _ACCEPTED.split(text, maxsplit=1)[0]
    names = [*sent, *(alias for alias, name in _ALIASES.items() if name in sent)]
    if not names:
        return ""
    mention = re.compile(rf"(?<![\w/-])({'|'.join(map(re.escape, names))})(?![\w/-])")
    for found in mention.finditer(text):
        start, end = found.span()
        quoted = text[start - 1 : start] in {"'", '"', "`"} and text[end : end + 1] in {"'", '"', "`"}
        if found[1] in _COMMON_WORDS and not quoted:
            continue
        if _is_refusal(text[max(0, start - _BEFORE) : end + _AFTER]):
            return _ALIASES.get(found[1], found[1])
    return ""


def _thinking(text: str, sent: Iterable[str]) -> str:
    """Return the field that sets the thinking where the error says that thinking cannot be set."""
    return next((name for name in sent if name in _THINKING), "") if _NO_THINKING.search(text) else ""


def _is_refusal(text: str) -> bool:
    """Whether the words say that a field is not accepted, rather than its value."""
    if _DEFAULT_ONLY.search(text):
        return True
    return bool(_REFUSED.search(text)) and not _VALUE.search(text)
