"""A reply that has to be JSON: alone and whole in a pipe, a block of code on a terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from bot.events import ReplyDelta, TurnFinished
from bot.messages import Agent, Completion
from bot.render.reply import PipeView, turn_json
from bot.render.terminal_view import TerminalView
from bot.render.turn_text import json_block
from bot.turn_result import Call, Slot, TurnResult, TurnStatus

GOOD = '{"name": "Ada ```", "age": 36}'


def result(status: TurnStatus, reply: str) -> TurnResult:
    partial = "" if status == "done" else "not the JSON that was asked for: it is not JSON"
    call = Call(Slot(2, 0, Agent("judge"), "aggregator"), Completion(reply, partial=partial))
    value = json.loads(reply) if status == "done" else None
    return TurnResult(status, reply, "", "judge", (call,), reply_object=value)


@pytest.mark.parametrize("terminal_err", [False, True])
@pytest.mark.parametrize(("status", "reply", "shown"), [("done", GOOD, GOOD + "\n"), ("partial", "Ada", "")])
def test_in_a_pipe(status: TurnStatus, reply: str, shown: str, *, terminal_err: bool) -> None:
    """Stdout has the JSON, or nothing; why is on stderr."""
    out, err = io.StringIO(), io.StringIO()
    view = (
        TerminalView(out, Console(file=err, force_terminal=True, width=80), is_json=True, keep=False)
        if terminal_err
        else PipeView(out, err, is_json=True)
    )
    if status == "done":
        view.handle_event(ReplyDelta(reply))
    view.handle_event(TurnFinished(result(status, reply)))
    view.close()
    assert out.getvalue() == shown
    assert ("not the JSON that was asked for" in err.getvalue()) is (status == "partial")


@pytest.mark.parametrize(("plain", "rows"), [(False, '  "name": "Ada ```",'), (True, GOOD)])
def test_on_a_terminal(rows: str, *, plain: bool) -> None:
    """JSON on one line is shown on several, as code; a reply that is something else as it is."""
    for status, reply, shown in (("done", GOOD, rows), ("partial", "Ada was 36.", "Ada was 36.")):
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=80, color_system=None)
        view = TerminalView(console, console, is_json=True, plain=plain)
        view.handle_event(TurnFinished(result(status, reply)))  # type: ignore[arg-type]  # of the table
        view.close()
        assert shown in out.getvalue()


@pytest.mark.parametrize("text", ["no JSON", "{no", "3", "", "[link](x)", "[" * 5000])
def test_what_is_no_block(text: str) -> None:
    """Only objects and lists are shown as code."""
    assert json_block(text) == text


def test_json_output() -> None:
    """The value stands beside the text."""
    assert turn_json(result("done", GOOD), conversation_id=None, turn=None)["reply_object"]["age"] == 36
    assert turn_json(result("partial", "x"), conversation_id=None, turn=None)["reply_object"] is None
