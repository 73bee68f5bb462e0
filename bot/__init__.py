"""moa-bot: a chatbot in the terminal whose every answer is a Mixture of Agents (arXiv 2406.04692).

As a library: `from bot import Mixture`. What is named in `__all__` is public, and is imported when
it is first used: `import bot` itself costs nothing.
"""

__version__ = "0.2.0"

__all__ = ["Conversation", "Mixture", "errors", "events"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bot import errors, events
    from bot.api.library import Conversation, Mixture


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - `import bot` imports nothing else

    if name in {"Conversation", "Mixture"}:
        return getattr(import_module("bot.api.library"), name)
    if name in {"errors", "events"}:
        return import_module(f"bot.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
