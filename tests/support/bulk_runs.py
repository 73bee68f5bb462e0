"""Evaluations and batches run in process: real settings, folders and journals, a fake way to ask."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from virtual_time import run as run_virtually

from bot.app.known_models import KnownModels
from bot.app.streams import Streams
from bot.batch.batch import BatchOptions
from bot.batch.run import run_batch
from bot.errors import ExitCode
from bot.eval.arms import Study
from bot.eval.benchmark import Stage
from bot.eval.eval_context import EvalOptions
from bot.eval.evaluation import evaluate
from bot.eval.own.run import OwnOptions, run_own
from bot.messages import Ask
from bot.settings.resolve import resolve as resolve_settings
from bot.settings.settings import Settings

ALL: tuple[Stage, ...] = ("generate", "judge", "score")


@dataclass
class BulkRuns:
    """Runs evaluations and batches that ask `ask`; `out` and `err` are what the last one printed."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    out: str = ""
    err: str = ""
    studies: list[Study] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._environ = {"MOA_BOT_HOME": str(self.home), "TOGETHER_API_KEY": "key-for-tests"}

    def settings(self, **given: Any) -> Settings:
        """Return settings of a mixture of "a" and "b" with the aggregator "judge"."""
        mixture = {"reference_models": ["a", "b"], "aggregator": "judge", **given}
        return resolve_settings(mixture, None, self._environ)

    def evaluate(
        self, options: EvalOptions, ask: Ask, stages: tuple[Stage, ...] = ALL, **given: Any
    ) -> ExitCode:
        """Run an evaluation to its end; returns its exit code."""
        streams = self.prepare(ask)
        code = run_virtually(evaluate(self.settings(json=True, **given), streams, options, stages))
        self.keep(streams)
        return code

    def own(self, options: OwnOptions, ask: Ask, **given: Any) -> ExitCode:
        """Run questions of one's own to the end; returns the exit code. `studies` has what was reported."""
        streams = self.prepare(ask)

        def resolve(changes: Mapping[str, object], without: Sequence[str]) -> Settings:
            left_out = {*without, *changes}
            mixture = {"reference_models": ["a", "b"], "aggregator": "judge", **given}
            kept = {name: value for name, value in mixture.items() if name not in left_out}
            return resolve_settings({**kept, **changes}, None, self._environ)

        self.studies = []
        code = run_virtually(run_own(resolve({}, ()), streams, options, resolve, self.studies.append))
        self.keep(streams)
        return code

    def batch(self, options: BatchOptions, ask: Ask, **given: Any) -> ExitCode:
        """Run a batch to its end; returns its exit code."""
        streams = self.prepare(ask)
        code = run_virtually(run_batch(self.settings(**given), streams, options))
        self.keep(streams)
        return code

    @property
    def summary(self) -> dict[str, Any]:
        """The figures that the last evaluation printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def prepare(self, ask: Ask) -> Streams:
        """Have evaluations and batches ask `ask`; returns the streams that they print to."""

        async def open_app(_: AsyncExitStack, settings: Settings, __: Streams) -> SimpleNamespace:
            return SimpleNamespace(
                settings=settings, ask_once=ask, models=KnownModels(settings, self._environ), permitted=None
            )

        for module in ("bot.eval.eval_context", "bot.eval.own.run", "bot.batch.batch"):
            self.monkeypatch.setattr(f"{module}.open_app", open_app)
        return Streams(None, io.StringIO(), io.StringIO(), False, False, False)  # noqa: FBT003 - no terminal

    def keep(self, streams: Streams) -> None:
        """Keep what was printed as `out` and `err`."""
        assert isinstance(streams.stdout, io.StringIO)
        assert isinstance(streams.stderr, io.StringIO)
        self.out, self.err = streams.stdout.getvalue(), streams.stderr.getvalue()
