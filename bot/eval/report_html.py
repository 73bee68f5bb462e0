"""The report as one HTML file that needs nothing else: tables, remarks, pictures as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from bot.eval.report import TITLES, Summary, Table, details, remarks, table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #8884; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.note { color: #a40; }
svg { max-width: 100%; height: auto; background: #fff; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd; } .note { color: #fa6; } }
"""


def page(summaries: Sequence[Summary], pictures: Mapping[str, str]) -> str:
    """Return the page; `pictures` are SVG elements by name, which begins with the benchmark's."""
    parts = []
    for benchmark, title in TITLES.items():
        runs = [summary for summary in summaries if summary["benchmark"] == benchmark]
        if not runs:
            continue
        parts.append(f"<h2>{escape(title)}</h2>{_table(table(benchmark, runs))}")
        parts += [f'<p class="note">{escape(line)}</p>' for line in remarks(runs)]
        parts += [f"<figure>{svg}</figure>" for name, svg in pictures.items() if name.startswith(benchmark)]
        parts += [_table(detail) for detail in details(benchmark, runs)]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Mixture of Agents: evaluations</title><style>{_STYLE}</style></head><body>"
        "<h1>Mixture of Agents: evaluations</h1>"
        "<p>± is the standard error; beside every figure stands how many of the expected judgments it is"
        " made from. Published figures are those of the paper and of the leaderboard.</p>"
        f"{''.join(parts)}</body></html>\n"
    )


def _table(rows: Table) -> str:
    head, *body = ["".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) for tag, row in _tagged(rows)]
    lines = "".join(f"<tr>{line}</tr>" for line in body)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _tagged(rows: Table) -> list[tuple[str, list[str]]]:
    return [("td" if index else "th", row) for index, row in enumerate(rows)]
