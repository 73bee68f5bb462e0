"""Models under --local: each that is named has to be a model on this computer.

A name is whole, or a part that only one model has. Capitals, the folder before a file's name, ".gguf"
and Ollama's ":latest" need not be given. A path of a file is a model of the built-in engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.settings.endpoints import LOCAL
from bot.settings.model_names import split_endpoint
from bot.text.nearest import nearest_model
from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.settings.endpoints import EndpointConfig
    from bot.settings.preset import Preset

_SUFFIX = ".gguf"
_ELSEWHERE = (":cloud", "-cloud")
"""How the names end of models that Ollama lists, but that run on its makers' computers."""
_SHOWN = 20
"""How many names a message lists, at most."""


class LocalModels(NamedTuple):
    """What was found on this computer: a mixture, and all models as "ENDPOINT:MODEL".

    `left_out` lists in words the files that are not in the mixture because they cannot chat.
    """

    preset: Preset
    names: tuple[str, ...]
    left_out: str = ""


def runs_elsewhere(model: str) -> bool:
    """Whether a service on this computer passes the model's requests on to another one."""
    return model.casefold().endswith(_ELSEWHERE)


def find_local_model(name: str, names: Sequence[str], endpoints: Mapping[str, EndpointConfig]) -> str:
    """Return the model that `name` means, as "ENDPOINT:MODEL"; `names` are those on this computer.

    UsageError, with the names there are, when it means none of them, or several; also when it names a
    service elsewhere.
    """
    try:
        endpoint, model = split_endpoint(name, endpoints)
    except ValueError as problem:
        raise UsageError(f"expected ENDPOINT:MODEL, found {problem}") from None
    shown = one_line(name)
    if runs_elsewhere(model) or (endpoint and not endpoints[endpoint].runs_here):
        raise UsageError(
            f"{shown} does not run on this computer, and --local asks no model elsewhere.",
            hint=_known(names),
        )
    if endpoint in ("", LOCAL) and model.lower().endswith(_SUFFIX) and Path(model).expanduser().is_file():
        return f"{LOCAL}:{model}"
    among = [each for each in names if not endpoint or each.startswith(f"{endpoint}:")]
    found = _matches(model, among)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f'"{shown}" means several models on this computer.', hint=_known(found))
    if endpoint == LOCAL or (endpoint and not among):
        # A file on the hub, or a service whose models were not looked up: neither is asked elsewhere.
        return name
    near = nearest_model(model, (each.partition(":")[2] for each in among))
    hint = f"Did you mean {one_line(near)}? " if near else ""
    raise UsageError(f'no model "{shown}" on this computer.', hint=hint + _known(among or names))


def _matches(model: str, names: Sequence[str]) -> list[str]:
    """Return the models with this name; without one, those whose names are like it, then contain it."""
    bare = [(each, each.partition(":")[2]) for each in names]
    wanted = _folded(model)
    return (
        [each for each, own in bare if own == model]
        or [each for each, own in bare if _folded(own) == wanted]
        or [each for each, own in bare if _folded(own).rpartition("/")[2] == wanted.rpartition("/")[2]]
        or [each for each, own in bare if wanted in _folded(own)]
    )


def _folded(name: str) -> str:
    return name.replace("\\", "/").casefold().removesuffix(_SUFFIX).removesuffix(":latest")


def _known(names: Sequence[str]) -> str:
    if not names:
        return "There is none."
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Models here: {', '.join(map(one_line, names[:_SHOWN]))}{more}."
