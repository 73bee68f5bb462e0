"""Answers end at turn markers, but not where they are about them; requests hold no marker."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.text.turn_end import TurnEndFilter
from bot.text.turn_markers import ENDS, JOINER, STARTS, defuse, remove_joiners, template_markers


def read(pieces: list[str], own: tuple[str, ...] = ()) -> tuple[str, bool]:
    """Return the text that comes out, and whether the answer ended before the stream."""
    turn_end = TurnEndFilter(own)
    text = ""
    for piece in pieces:
        text += turn_end.feed(piece)
        if turn_end.ended:
            return text, True
    return text + turn_end.close(), turn_end.ended


END = [
    ("Paris.<|im_end|>", "Paris."),
    ("Paris.<|im_end|>\n<|im_start|>user\nAnd Italy?<|im_end|>\n", "Paris."),
    ("Paris.\n<|im_end|>\n<|im_end|>\n", "Paris.\n"),
    ("Paris <|im_end|>\n<|im_start|>user\nAnd", "Paris "),
    ("Paris<|im_end|>I am happy", "Paris"),
    ("Paris.<|im_end|> I am happy", "Paris."),
    ("Paris.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd", "Paris."),
    ("Paris. </s><s>[INST] And Italy? [/INST]", "Paris. "),
    ("Paris.</s>", "Paris."),
    ("Paris.</s>\nuser: And", "Paris."),
    ("Paris. [INST] And Italy? [/INST] Rome", "Paris. "),
    ("Paris.\n[INST] And Italy?", "Paris.\n"),
    ("Paris.<end_of_turn>\n<start_of_turn>user\nAnd", "Paris."),
    ("Paris.<|end|>\n<|user|>\nAnd", "Paris."),
    ("Paris.\n<|user|>\nAnd", "Paris.\n"),
    ("Paris.\n<|user|> And Italy?", "Paris.\n"),
    ("Paris.<|endoftext|>The next document", "Paris."),
    ("Paris.<｜end▁of▁sentence｜><｜User｜>And", "Paris."),
    ("巴黎。<｜User｜>意大利呢", "巴黎。"),
    ("巴黎<|im_end|>\n", "巴黎"),
    ("Paris.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>And", "Paris."),
    ("Paris.<|return|>", "Paris."),
    ("Paris.<|im_end|><|im_user|>user<|im_middle|>And", "Paris."),
    ("Paris.<|observation|>\nx", "Paris."),
    ("Use **Paris**<|im_end|>\n", "Use **Paris**"),
    ('He said "Paris."<|im_end|>\n', 'He said "Paris."'),
    ("It`s Paris.<|im_end|>\n<|im_start|>user", "It`s Paris."),
    ("```\nprint(1)\n```\n<|im_end|>\n", "```\nprint(1)\n```\n"),
    ("```\nprint(1)<|im_end|>", "```\nprint(1)"),
    ("<|im_end|>\n<|im_start|>user\nHi", ""),
    ("<|im_start|>user\nHi<|im_end|>", ""),
    ("[INST] What is it?", ""),
    ("<|im_end|>", ""),
    ("<think>hm<|im_end|>\n<|im_start|>user\n", "<think>hm"),
]
WHOLE = [
    "The token <|im_end|> ends a turn, and <|im_start|> opens one.",
    "`<|im_end|>` ends a turn.",
    "It is called `<|im_end|>`\nand ends a turn.",
    'It is "<|im_end|>".\nIt ends a turn.',
    "It is “<|im_end|>”.",
    "The end token is <|im_end|>.",
    "The end token is <|im_end|>",
    "The end token is **<|im_end|>**, as you know.",
    "Turns end. <|im_end|> marks that.",
    "<|im_end|> marks a turn's end.",
    "<|im_start|> opens a turn.",
    "(<|im_end|> and <|im_start|>)",
    "- <|im_start|>\n- <|im_end|>\n\n1. <|user|>\n",
    "| marker | use |\n|---|---|\n| <|im_end|> | end |\n",
    "They are:\n<|im_start|>\n<|im_end|>\n",
    "A turn is written like this:\n\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n\nThat is it.",
    "```\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n```\nDone.",
    "```\nHello<|im_end|>\n<|im_start|>user\n```\nDone.",
    "A `span` " + "and much text " * 90 + "and `<|im_end|> in` code.",
    '~~~python\nprompt = f"{text}<|im_end|>\\n<|im_start|>assistant"\n~~~\nDone.',
    'Write prompt = "<|im_start|>user\\n" + text.',
    "    <|im_end|>\n    more\n",
    "Write <s>old</s> to strike it out.",
    "<s>old</s>",
    "Write <s>old</s>\n",
    'Write <s class="x">old</s>\nand more.',
    "Write <s>old</s> <s>older</s>\nand more.",
    "Write <S>old</S>\nand <S>older</S> <S>oldest</S>.",
    "<s></s>\nand more.",
    "<p>\n<s>\nold\n</s>\n</p>\n",
    "The closing tag is </s>",
    "End - <|im_end|>\nStart - <|im_start|>\n",
    "EOS = </s>\nBOS = <s>\n",
    "for inst in regs:\n    out[inst] = f(<<sys>>)\n",
    "x[inst] = 1",
    "Use [INST] and [/INST] around it.",
    "特殊标记<|im_end|>表示结束",
    "a <| b |> c, f <|> g, x <s y, [INSTALL], <|x|>",
    "<|im_start",
    "a < b, <answer>4</answer>, <answer 1>",
]
CHANGED = [
    ("<|im_start|>assistant\nParis.", "Paris."),
    ("<|assistant|>\nParis.", "Paris."),
    ("<|assistant|> Paris.", "Paris."),
    ("[gMASK]<sop><|assistant|>\nParis.", "Paris."),
    ("[/INST] Paris.", "Paris."),
    ("<|start_header_id|>assistant<|end_header_id|>\n\nParis.", "Paris."),
    ("<|channel|>final<|message|>Paris.", "Paris."),
    (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Paris.",
        "<think>Hm.</think>Paris.",
    ),
    ("Paris.\n</answer 4 · 0123456789ab>", "Paris.\n"),
    ("<answer 4 of 4 · 0123456789ab>\nParis.\n</answer 4 · 0123456789ab>\n\nIt is.", "Paris.\n\nIt is."),
    ("Paris.\n</answer 2 · …>", "Paris.\n"),
    ("Paris.\n</answer ", "Paris.\n"),
    ("Paris.\n</answer 2 · 0123", "Paris.\n"),
    ("`</answer 2", "`</answer 2"),
    ("```\n</answer 2", "```\n</answer 2"),
    ("`</answer 2 · …>` is ours", "`</answer 2 · …>` is ours"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whole", "expected"),
    [*END, *((text, text) for text in WHOLE), *CHANGED],
    ids=lambda text: repr(text)[:60],
)
def test_any_split_of_the_stream_gives_the_same(whole: str, expected: str) -> None:
    """Wherever the pieces are cut, no part of the marker comes out, and nothing else is lost."""
    ended = (whole, expected) in END
    assert read([whole]) == (expected, ended)
    assert read(list(whole)) == (expected, ended)
    for cut in range(len(whole)):
        assert read([whole[:cut], whole[cut:]]) == (expected, ended)


AS_WRITTEN = (
    *("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>", "<s>", "</s>"),
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<|user|>", "<|end|>", "<|endoftext|>", "[INST]"),
    *("<｜User｜>", "<｜end▁of▁sentence｜>", "[/INST]", "<<SYS>>", "<|START_OF_TURN_TOKEN|>", "<|channel|>"),
    *("<|return|>", "[gMASK]", "<sop>", "<|observation|>", "<|im_middle|>", "[|endofturn|]", "<|turn>"),
    *("<turn|>", "<|fim_prefix|>", "[TOOL_CALLS]", "<seed:eos>"),
    *("<BOS_TOKEN>", "<role>", "</role>", "<extra_id_1>", "<SPECIAL_11>", "<reserved_106>", "<longcat_user>"),
    "[e~[",
)


@pytest.mark.parametrize("marker", AS_WRITTEN)
def test_no_marker_is_left_in_a_request(marker: str) -> None:
    """Whatever a tokenizer may know as a special token gets a joiner, also in the middle of a word."""
    assert defuse(f"a{marker}b") == f"a{marker[0]}{JOINER}{marker[1:]}b"


@pytest.mark.parametrize("marker", [*STARTS, *ENDS])
def test_every_marker_ends_an_answer(marker: str) -> None:
    """Each known marker ends an answer before a next turn."""
    assert read([f"Paris.{marker}\n<|im_end|>\n<|im_start|>user\n"]) == ("Paris.", True)


@pytest.mark.parametrize(
    "text", [*WHOLE, *(text for text, _ in END), "<|fim_prefix|>", "[INST]x[/INST] <<SYS>>"]
)
def test_a_defused_text_comes_back_whole(text: str) -> None:
    """A model that repeats a text from its prompt with the joiners is not cut off; they are taken out."""
    defused = defuse(text)
    assert defuse(defused) == defused
    assert read([defused]) == read(list(defused)) == (text, False)
    assert remove_joiners(defused) == text
    assert json.loads(remove_joiners(json.dumps(defused))) == text


def test_markers_of_a_template_end_an_answer() -> None:
    """A template's own markers count for the model whose template it is."""
    own = template_markers("{% for m in messages %}<|odd_turn|>{{ m.role }}{% endfor %}<|odd_turn|>")
    assert own == ("<|odd_turn|>",)
    assert read(list("Paris.<|odd_turn|>user"), own) == ("Paris.", True)
    assert read(list("Paris.<|odd_turn|>user")) == ("Paris.<|odd_turn|>user", False)


@given(
    st.lists(
        st.sampled_from(["<|im_end|>", "<s>", "</s>", "<", "a", " ", "\n", "`", "```\n", ":", ".", "[/INST]"])
    )
)
def test_the_cuts_make_no_difference(pieces: list[str]) -> None:
    """Whatever comes, the text does not depend on how it is cut."""
    whole = "".join(pieces)
    assert read(pieces)[0] == read([whole])[0] == read(list(whole))[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["<", "<|im_end|>", " <|im_end|> a", "<|im_end|>\n", "[", "`", "<s>", "a", "<answer 1 · x>"]
)
def test_linear_time(unit: str) -> None:
    """200 KB of anything take far less than a second of a worker's time, in pieces or at once."""
    text = "- " + unit * (200_000 // len(unit))
    before = time.process_time()
    read([text])
    read([text[at : at + 10] for at in range(0, len(text), 10)])
    assert time.process_time() - before < 5
