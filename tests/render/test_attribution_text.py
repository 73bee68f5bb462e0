"""How a trace looks in windows of any width, in a pipe and as JSON."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console
from running import LIMIT

from bot.attribution.attribution import Attribution, attribute
from bot.render.attribution import CAVEAT, NO_PROPOSALS, attribution_json, attribution_lines, attribution_text

PURR = "Purring is a self-regulating behaviour that calms the cat."
HURT = "It is not always a good sign, because hurt cats purr as well."
VET = "Take it to a veterinarian if it hides and refuses to eat."
REPLY = f"{PURR}\n\n{HURT}\n\n{VET}\n\n```python\npurr(cat)\nsleep()\n```\n"
PROPOSALS = [
    ("DeepSeek-V4-Pro", f"{PURR} {HURT}\n\n```\npurr(cat)\nsleep()\n```"),
    ("GLM-5.2", HURT),
    ("gpt-oss-120b", "```\npurr(cat)\nsleep()\n```"),
]
TRACE = attribute(REPLY, PROPOSALS)
HOSTILE = "a\x1b[2Jb\x07 \x9b31mc\td\re \x1b]52;c;AAAA\x07[bold]f[/abc] end of it"
WIDE = attribute(
    "東京の天気はどうですか。" * 3, [("東京モデル" * 9, "東京の天気はどうですか。"), ("b", "雨")]
)
MANY = attribute(REPLY, [(f"model-{number}", f"{PURR} {number}") for number in range(64)])
EVIL = attribute(f"{HOSTILE}\n\n```\n{HOSTILE}\n{HOSTILE}\n```", [(HOSTILE, HOSTILE), ("[red]b[/red]", HURT)])


def test_a_window_of_80_cells() -> None:
    """Bars of similarity, the highest first; blocks and who says the same; who agrees; what it is worth."""
    assert attribution_lines(TRACE, 80) == EXPECTED


EXPECTED = [
    "  similarity to the reply                    BLEU  edit  tf-idf  share",
    "  DeepSeek-V4-Pro  ████████████████▎          .68   .68     .72    50%",
    "  GLM-5.2          ██████▍                    .27   .29     .54    16%",
    "  gpt-oss-120b     ████▋                      .19   .12     .32     4%",
    "",
    "  1  Purring is a self-regulating b…  DeepSeek-V4-Pro alone",
    "  2  It is not always a good sign, …  DeepSeek-V4-Pro, GLM-5.2 say the same",
    "  3  Take it to a veterinarian if i…  nobody: the aggregator's own",
    "  4  code: purr(cat) …                DeepSeek-V4-Pro, gpt-oss-120b say the same",
    "",
    "  proposals among themselves (tf-idf)",
    "                        1    2    3",
    "  1  DeepSeek-V4-Pro    ·  .69  .47",
    "  2  GLM-5.2          .69    ·  .12",
    "  3  gpt-oss-120b     .47  .12    ·",
    "",
    "  30% of the reply is similar to none of them.",
    "  Similar wording is not proof: models can say the same without having read each",
    "  other, and a paraphrase may match no proposal.",
]


def test_a_narrow_window_loses_columns() -> None:
    """Narrow windows lose edits, then TF-IDF, then shares, then the bars, never names and BLEU."""
    heads = {width: attribution_lines(TRACE, width)[0].split()[1:] for width in (80, 50, 44, 36, 24)}
    assert heads == {
        80: ["to", "the", "reply", "BLEU", "edit", "tf-idf", "share"],
        50: ["to", "the", "reply", "BLEU", "tf-idf", "share"],
        44: ["to", "the", "reply", "BLEU", "share"],
        36: ["to", "the", "reply", "BLEU"],
        24: ["BLEU"],
    }
    assert all(any("█" in line for line in attribution_lines(TRACE, width)) for width in (80, 50, 44, 36))
    assert not any("█" in line for line in attribution_lines(TRACE, 24))


@pytest.mark.parametrize("width", [1, 2, 3, 5, *range(8, 130, 7)])
@pytest.mark.parametrize("traced", [TRACE, WIDE, MANY, EVIL], ids=["plain", "wide", "many", "hostile"])
def test_no_line_is_wider_than_the_window(traced: Attribution, width: int) -> None:
    """At any width no line is wider than the window, wide characters and many models included."""
    lines = attribution_lines(traced, width)
    assert lines
    assert [line for line in lines if cell_len(line) > width] == []


def test_nothing_that_a_terminal_obeys() -> None:
    """Escape sequences and markup in names and texts come out as harmless text, in every form."""
    stream = io.StringIO()
    console = Console(file=stream, color_system=None, width=200, markup=True, emoji=True)
    console.print(attribution_text(EVIL, 200), soft_wrap=True)
    for text in (
        stream.getvalue(),
        "\n".join(attribution_lines(EVIL, None)),
        "\n".join(attribution_lines(EVIL, 200)),
    ):
        assert not set(text) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
        assert "[bold]f[/abc]" in text
        assert "[red]b[/red]" in text


def test_colours_add_nothing_but_colour() -> None:
    """The styled text reads as the plain lines."""
    plain = [line.rstrip() for line in attribution_text(TRACE, 80).plain.split("\n")]
    assert plain == attribution_lines(TRACE, 80)
    assert attribution_text(TRACE, 80).spans


def test_a_pipe_gets_fields() -> None:
    """In a pipe nothing is cut or padded: fields with tabs between, proposals first, then blocks."""
    lines = attribution_lines(TRACE, None)
    first = TRACE.proposals[0]
    assert lines[0].split("\t") == [
        "DeepSeek-V4-Pro",
        *(f"{value:.4f}" for value in (first.bleu, first.edit, first.tfidf, first.share)),
    ]
    assert lines[3] == ""
    assert lines[4:7] == [
        f"1\tDeepSeek-V4-Pro\t{PURR}",
        f"2\tDeepSeek-V4-Pro, GLM-5.2\t{HURT}",
        f"3\t\t{VET}",
    ]
    assert lines[7] == "4\tDeepSeek-V4-Pro, gpt-oss-120b\tpurr(cat) sleep()"


def test_an_aggregator_alone() -> None:
    """Without proposals the trace says so, and nothing else."""
    assert attribution_lines(attribute(REPLY, []), 100) == [f"  {NO_PROPOSALS}"]


def test_one_two_and_all() -> None:
    """One proposal, both of two, and all of three are worded as such."""
    lines = "\n".join(attribution_lines(attribute(PURR, [("a", PURR)]), 100))
    assert "a says the same" in lines
    assert "themselves" not in lines
    assert "both say the same" in "\n".join(
        attribution_lines(attribute(PURR, [("a", PURR), ("b", PURR)]), 100)
    )
    three = attribute(PURR, [(name, PURR) for name in "abc"])
    assert "all 3 say the same" in "\n".join(attribution_lines(three, 100))


def test_many_models_are_counted() -> None:
    """As many models as fit are named, the others counted; the matrix gives way to its extremes."""
    proposals = [(f"model-{number}", PURR if number < 20 else HURT) for number in range(30)]
    lines = attribution_lines(attribute(PURR, proposals), 80)
    assert any(line.endswith("  model-0, model-1 and 18 more say the same") for line in lines)
    assert any(line.startswith("  most alike  1.0  model-0, model-1") for line in lines)
    assert any(line.startswith("  least alike") and "model-20" in line for line in lines)


def test_json_holds_everything() -> None:
    """The JSON has all figures, blocks and texts, and survives a round trip."""
    value = json.loads(json.dumps(attribution_json(TRACE)))
    assert [proposal["name"] for proposal in value["proposals"]] == [name for name, _ in PROPOSALS]
    assert set(value["proposals"][0]) == {"name", "bleu", "edit", "tfidf", "share"}
    assert [block["kind"] for block in value["blocks"]] == ["paragraph"] * 3 + ["code"]
    assert [[said["name"] for said in block["said_by"]] for block in value["blocks"]] == [
        ["DeepSeek-V4-Pro"],
        ["DeepSeek-V4-Pro", "GLM-5.2"],
        [],
        ["DeepSeek-V4-Pro", "gpt-oss-120b"],
    ]
    assert value["blocks"][3]["text"] == "purr(cat)\nsleep()"
    assert value["blocks"][3]["line"] == 7
    assert value["agreement"][0][0] == 1
    assert value["own_share"] == round(TRACE.own, 4)
    assert value["notes"] == [CAVEAT]


@pytest.mark.slow
def test_importing_it_is_cheap() -> None:
    """Importing the package loads none of the libraries that it uses."""
    script = (
        "import sys, bot.attribution.proposals, bot.render.attribution, bot.cli.trace; "
        "print({'rich', 'markdown_it', 'sacrebleu', 'rapidfuzz', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT, check=True
    )
    assert done.stdout.strip() == "set()"
