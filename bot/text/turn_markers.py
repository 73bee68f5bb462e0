"""Turn markers of chat templates (`<|im_end|>`, `[INST]`, …), and how requests are kept free of them.

Servers such as llama.cpp's read a marker as a token even inside a message, so that text with
`<|im_end|>` in it really ends the message. `defuse` puts an invisible character into every marker of
a request; `bot.text.turn_end` takes it out of answers, and ends answers that go on with further turns.
"""

from __future__ import annotations

import re

JOINER = "\u2060"
"""U+2060 WORD JOINER. It has no width, and no tokenizer has a special token with it inside, so that a marker
with it is read as ordinary characters. People see the text unchanged, and it can be taken out of an
answer that quotes the marker; a visible blank would change code that a model is asked to correct."""

STARTS = (
    *("<|im_start|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>", "<|im_sep|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|header_start|>", "<|header_end|>", "<|begin_of_text|>"),
    *("<|start_of_role|>", "<|end_of_role|>", "<|user|>", "<|assistant|>", "<|system|>", "<|observation|>"),
    *("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<start_of_turn>", "<|turn>"),
    *("<|start_of_turn_token|>", "<|user_token|>", "<|chatbot_token|>", "<|system_token|>", "<|bos|>"),
    *("<｜user｜>", "<｜assistant｜>", "<｜begin▁of▁sentence｜>", "<bos>", "[gmask]", "<sop>", "<seed:bos>"),
    *("[|user|]", "[|assistant|]", "[|system|]", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>"),
)
"""Markers that stand before a turn or between its role and its text.

Here in small letters, and found in any, except those that are markers in capitals only.
"""
ENDS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|eom|>", "<|end|>", "<|endoftext|>"),
    *("<|end_of_text|>", "<|return|>", "<|call|>", "<|eos|>", "<|end_of_turn_token|>", "<end_of_turn>"),
    *("<turn|>", "<｜end▁of▁sentence｜>", "<|end_of_sentence|>", "<eos>", "<seed:eos>", "[|endofturn|]"),
    "</s>",
)
"""Markers, in small letters, that stand after a turn."""
ROLES = (
    *("system", "developer", "user", "human", "tool", "ipython", "assistant", "model"),
    *("analysis", "commentary", "final"),
)
"""What stands right after a marker: roles, and the channels of gpt-oss."""

_IN_TEMPLATES = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\n]{1,40}｜>|\[\|[^\[\]|\s]{1,40}\|\]|<(?:start|end)_of_\w{1,20}>"
)
_IN_REQUESTS = re.compile(
    r"<(?=(?:\|[^<>|\s]{1,40}\|?|｜[^<>｜\n]{1,40}｜|turn\||/?s|(?:start|end)_of_\w{1,20}"
    r"|[be]os|[BE]OS_TOKEN|[se]op|seed:[be]os|</?SYS>|/?role|/?longcat_\w{1,20}"
    r"|(?:SPECIAL|extra_id|reserved)_\d{1,4})>)"
    r"|\[(?=e~\[|(?:\|[^\[\]|\s]{1,40}\||/?INST|[gs]?MASK|/?SYSTEM_PROMPT|/?AVAILABLE_TOOLS|TOOL_CALLS|/?TOOL_RESULTS)\])"
)
"""The first character of a marker. Wider than the lists above: any special token is kept out of requests."""
_DEFUSED = re.compile(rf"([<\[])(?:{JOINER}|\\u2060)")


def defuse(text: str) -> str:
    """Return `text` with `JOINER` after the first character of each marker.

    The same text always gives the same result, so that a conversation's requests begin alike.
    """
    return _IN_REQUESTS.sub(lambda found: found[0] + JOINER, text)


def remove_joiners(text: str) -> str:
    """Return `text` as it was before `defuse`, also where JSON has the joiner as an escape."""
    return _DEFUSED.sub(r"\1", text)


def template_markers(template: str) -> tuple[str, ...]:
    """Return the markers in a chat template, each once, in the order of their first occurrence."""
    return tuple(dict.fromkeys(_IN_TEMPLATES.findall(template)))
