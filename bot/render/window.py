"""The terminal's window: its title, the signal that a long turn is over, and what else it can show.

Returns escape sequences as text; nothing is written here. Titles are sanitised: what comes from a
prompt or a model cannot end the sequence that it stands in.
"""

from __future__ import annotations

import os
import re

from bot.text.sanitise import one_line
from bot.text.wrap import cut_cells

NOTIFY_AFTER = 10.0
"""Seconds: whoever waits longer may have turned to something else."""
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
"""What a terminal sends when its window comes to the front and when another one does."""
REPORT_FOCUS, NO_FOCUS_REPORTS = "\x1b[?1004h", "\x1b[?1004l"
KEEP_TITLE = "\x1b[22;0t"
RESTORE_TITLE = "\x1b]0;\x07\x1b[23;0t"
"""Without a stack of titles in the terminal the title becomes empty, which means its default."""

_LONGEST = 60  # cells of a title
# Terminals that print sequences which they do not know, or have no window.
_PLAIN_TERMINALS = ("dumb", "unknown", "linux", "eterm", "emacs", "cons", "ansi", "sun", "vt1", "vt2", "vt5")
_NOTIFYING_TERMS = ("kitty", "ghostty", "wezterm", "foot")
_TERMS_WITH_LINKS = (*_NOTIFYING_TERMS, "alacritty", "contour", "rio")
_PROGRAMS_WITH_LINKS = (
    "iTerm.app",
    "WezTerm",
    "ghostty",
    "kitty",
    "vscode",
    "Hyper",
    "mintty",
    "rio",
    "Tabby",
)
_TMUX_WITH_LINKS, _VTE_WITH_LINKS = (3, 4), 5000
_NOTIFYING_PROGRAMS = ("iTerm.app", "WezTerm", "ghostty", "kitty", "WarpTerminal")


def has_window() -> bool:
    """Whether the terminal has a title and ignores sequences that it does not know, by $TERM."""
    term = os.environ.get("TERM", "").lower()
    return bool(term) and not term.startswith(_PLAIN_TERMINALS)


def has_links() -> bool:
    """Whether the terminal is known to open the addresses of links (OSC 8)."""
    if not has_window() or "STY" in os.environ:
        return False
    if "TMUX" in os.environ or os.environ["TERM"].startswith(("tmux", "screen")):
        version = re.match(r"(\d+)\.(\d+)", os.environ.get("TERM_PROGRAM_VERSION", ""))
        known = os.environ.get("TERM_PROGRAM") == "tmux" and version is not None
        return known and version is not None and (int(version[1]), int(version[2])) >= _TMUX_WITH_LINKS
    vte = os.environ.get("VTE_VERSION", "")
    return (
        os.environ.get("TERM_PROGRAM") in _PROGRAMS_WITH_LINKS
        or any(name in os.environ["TERM"].lower() for name in _TERMS_WITH_LINKS)
        or any(os.environ.get(name) for name in ("WT_SESSION", "KONSOLE_VERSION", "DOMTERM"))
        or (vte.isdecimal() and int(vte) >= _VTE_WITH_LINKS)
    )


def set_title(text: str) -> str:
    """Return the sequence that gives the window this title."""
    return f"\x1b]0;{cut_cells(one_line(text), _LONGEST)}\x07"


def notification(text: str) -> str:
    """Return a notification (OSC 9) for terminals that are known to show them, for others a bell."""
    term, multiplexed = os.environ.get("TERM", "").lower(), "TMUX" in os.environ or "STY" in os.environ
    shown = os.environ.get("TERM_PROGRAM") in _NOTIFYING_PROGRAMS or any(
        name in term for name in _NOTIFYING_TERMS
    )
    if not shown or multiplexed or term.startswith(("screen", "tmux")) or not has_window():
        return "\x07"
    return f"\x1b]9;moa-bot: {cut_cells(one_line(text), _LONGEST)}\x07"
