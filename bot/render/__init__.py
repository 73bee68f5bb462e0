"""What people and programs see of a turn: progress, reply, failures, JSON.

    events ──► terminal_view ──► progress ─┐
       │                    └──► markdown ─┴─► live ──► the terminal
       └─────► reply (PipeView, JsonView) ─────► a pipe or a file

Everything here reads `bot.events` and writes text; nothing here decides anything about a turn.
Importing this package or any of its modules loads neither Rich nor the Markdown parser.
"""
