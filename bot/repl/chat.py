"""The loop: a line is read, and is a command or a prompt; until the end of input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot import __version__
from bot.cli.attachments import attach
from bot.errors import ExitCode, FailureKind, MoaError
from bot.events import AggregatorStarted, Event
from bot.mixture import Control
from bot.program import Program
from bot.repl.commands import Quit, Room, run_command
from bot.repl.line import Line
from bot.turn import interrupts, show, view_for

if TYPE_CHECKING:
    from bot.cli.streams import Streams
    from bot.settings.settings import Settings


async def chat(settings: Settings, streams: Streams) -> ExitCode:
    """Hold a conversation on the terminal until the user leaves."""
    async with Program(settings, streams.say, streams.stderr if settings.verbose else None) as program:
        session = program.session()
        room = Room(program, session, streams)
        line = Line(streams)
        if not settings.quiet:
            streams.say(_greeting(program))
        files = settings.file
        while True:
            text = await line.read()
            if text is None:
                return ExitCode.DONE
            try:
                if text.startswith("/") and not text.startswith("//"):
                    run_command(room, text)
                    continue
                prompt = attach(text[1:] if text.startswith("//") else text, files)
                files = ()
                await _turn(room, prompt)
            except Quit:
                return ExitCode.DONE
            except MoaError as error:
                room.say(error.message)
                for hint in error.hint.splitlines():
                    room.say(f"  {hint}")


async def _turn(room: Room, prompt: str) -> None:
    """Answer a prompt. A first Ctrl-C stops waiting for references, or the reply; a second the turn."""
    control = Control()
    view = view_for(room.program.settings, room.streams, room.session, keep=True)
    watch = _Watch(control)
    with interrupts(watch.pressed):
        result = await show(room.session, prompt, _Watched(view, watch), room.program.log, control)
    if result.failure is not None and result.failure.kind is FailureKind.KEY_REFUSED:
        room.say("The service does not accept the key; `moa-bot config show` says where it comes from.")


class _Watch:
    """Decides what a Ctrl-C means at this moment of the turn."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._replying = False

    def event(self, event: Event) -> None:
        """Follow the turn."""
        if isinstance(event, AggregatorStarted):
            self._replying = True

    def pressed(self) -> None:
        """Take a Ctrl-C."""
        if self._replying or self._control.hurried:
            self._control.stop()
        else:
            self._control.hurry()


class _Watched:
    """A view that lets the watch see the events too."""

    def __init__(self, view: View, watch: _Watch) -> None:
        self._view, self._watch = view, watch

    def on(self, event: Event) -> None:
        """Show an event."""
        self._watch.event(event)
        self._view.on(event)

    def tick(self) -> None:
        """Let clocks go on."""
        self._view.tick()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._view.close()


def _greeting(program: Program) -> str:
    plan = program.settings.plan()
    models = len(plan.layers[0]) if plan.layers else 0
    rounds = len(plan.layers)
    demo = " · demonstration programs, not language models" if program.settings.demo else ""
    mixture = f"{models} models × {rounds} → {plan.aggregator.model.rpartition('/')[2]}"
    return f"moa-bot {__version__} · {program.settings.preset.name}: {mixture}{demo} · /help"


if TYPE_CHECKING:
    from bot.render.view import View
