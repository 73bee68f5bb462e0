"""Tables for terminals and for other programs."""

from __future__ import annotations

from rich.cells import cell_len

from bot.text.table import aligned, tab_separated, table

COLUMNS = {
    "name": ["a", "東京の天気"],
    "empty": ["", ""],
    "n": ["5", "1,000"],
    "text": ["one two three four five six", "x\x1b[2J\ty"],
}


def test_columns_are_aligned() -> None:
    """Columns are as wide as their widest cell, also with wide characters; empty ones are left out."""
    assert table(COLUMNS, 80, flexible="text", right=["n"]) == (
        "name            n  text\na               5  one two three four five six\n東京の天気  1,000  x y\n"
    )


def test_a_narrow_window_drops_columns_then_cuts() -> None:
    """Dispensable columns go before the flexible one is cut, and no line is wider than the window."""
    lines = table(COLUMNS, 24, flexible="text", dispensable=["n"]).splitlines()
    assert lines == ["name        text", "a           one two thr…", "東京の天気  x y"]
    for width in range(1, 60):
        rows = table(COLUMNS, width, flexible="text", dispensable=["n"]).splitlines()
        assert all(cell_len(row) <= width for row in rows)


def test_tab_separated_lines_are_whole() -> None:
    """Whatever stands in a cell, a row is one line and its cells are told apart by the tabs."""
    assert tab_separated([["a\tb", "c\nd"], ["\x1b[31me", ""]]) == "a b\tc d\ne\t\n"


def test_aligned_rows() -> None:
    """Numbers stand at the right of their column, and no line ends in blanks."""
    assert aligned([["x", "figure", ""], ["long", "5", "n"]], {1}) == ["x     figure", "long       5  n"]
