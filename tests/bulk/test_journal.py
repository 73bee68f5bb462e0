"""The journal of a run: what is in it survives, is found again, and belongs to one process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fake_models import layers, make_plan

from bot.bulk.journal import Journal, key_of
from bot.bulk.run_folder import differences, lock, mixture_of
from bot.errors import Failure, FailureKind, MoaError
from bot.messages import Agent, Completion, Endpoint, Message, Request, Usage

REQUEST = Request(
    Endpoint("together", "https://example.com/v1", "very-secret-key"),
    "some/model",
    (Message("system", "be brief"), Message("user", "why?\ud800")),
    temperature=0.7,
    max_tokens=100,
)
ANSWER = Completion(
    "because",
    reasoning="hm",
    usage=Usage(3, 4, None),
    finish_reason="stop",
    seconds=1.5,
    top_logprobs=(("m", -0.1), ("M", -2.3)),
)


@contextmanager
def journal_at(folder: Path) -> Iterator[Journal]:
    journal = Journal(folder / "calls.jsonl")
    yield journal
    journal.close()


def test_an_answer_is_found_again(tmp_path: Path) -> None:
    """What was added is answered from the file by the next process, whole, with what was asked."""
    key = key_of(REQUEST, "")
    with journal_at(tmp_path) as journal:
        journal.add(key, REQUEST, ANSWER, 0.25, retries=1)
        assert journal.answer(key) == ANSWER
    with journal_at(tmp_path) as journal:
        assert journal.answer(key) == ANSWER
        assert (journal.spent, journal.unpriced) == (0.25, 0)
    text = (tmp_path / "calls.jsonl").read_text()
    asked = [json.loads(line)["content"] for line in text.splitlines() if "content" in line]
    assert asked == [[[message.role, message.content] for message in REQUEST.messages]]
    assert "very-secret-key" not in text


def test_failures_are_kept_but_asked_again(tmp_path: Path) -> None:
    """A passing failure is on record and answers nothing; one that would come again does."""
    passing = Failure(FailureKind.TIMEOUT, "nothing came", "some/model")
    settled = Failure(FailureKind.CONTEXT_LENGTH, "too long", "some/model", limit=4096)
    with journal_at(tmp_path) as journal:
        journal.add("a", REQUEST, passing, 0.0)
        journal.add("b", REQUEST, settled, 0.0)
    with journal_at(tmp_path) as journal:
        assert journal.answer("a") is None
        assert journal.answer("b") == settled
    assert (tmp_path / "calls.jsonl").read_text().count('"failure":') == 2


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_costs_that_line_alone(tmp_path: Path, cut: int) -> None:
    """Whatever a crash leaves of the last line, the lines before it and those to come are whole."""
    file = tmp_path / "calls.jsonl"
    with journal_at(tmp_path) as journal:
        journal.add("a", REQUEST, ANSWER, None)
        journal.add("b", REQUEST, ANSWER, None)
    file.write_bytes(file.read_bytes()[:-cut])
    with journal_at(tmp_path) as journal:
        assert journal.answer("a") == ANSWER
        journal.add("c", REQUEST, ANSWER, None)
    with journal_at(tmp_path) as journal:
        assert journal.answer("a") == journal.answer("c") == ANSWER
        assert journal.answer("b") == (ANSWER if cut == 1 else None)


def test_the_same_conversation_is_written_once(tmp_path: Path) -> None:
    """Six models that are asked the same take the room of one conversation."""
    file = tmp_path / "calls.jsonl"
    with journal_at(tmp_path) as journal:
        for number in range(6):
            journal.add(str(number), replace(REQUEST, model=f"m{number}"), ANSWER, None)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sum("content" in line for line in lines) == 1


def test_keys_tell_apart_what_decides_an_answer() -> None:
    """Model, service, messages, parameters and sample make the key; timeouts and secrets do not."""
    others = [
        replace(REQUEST, model="other"),
        replace(REQUEST, endpoint=Endpoint("openai", "https://example.com/v1")),
        replace(REQUEST, endpoint=Endpoint("together", "https://example.org/v1")),
        replace(REQUEST, messages=(Message("user", "why?"),)),
        replace(REQUEST, temperature=0.0),
        replace(REQUEST, max_tokens=1),
        replace(REQUEST, seed=1),
        replace(REQUEST, extra={"logprobs": True}),
    ]
    keys = {key_of(each, "") for each in [REQUEST, *others]} | {key_of(REQUEST, "2")}
    assert len(keys) == len(others) + 2
    same = replace(
        REQUEST, timeout=1.0, delta_interval=3.0, endpoint=replace(REQUEST.endpoint, key="another")
    )
    assert key_of(same, "") == key_of(REQUEST, "")


def test_runs_of_version_0_1_are_continued() -> None:
    """Keys of calls and the manifest's mixture are what version 0.1 wrote, so that its runs resume."""
    assert key_of(REQUEST, "") == "3d59835a67cca5998fe0dc2f25ae5925"
    assert key_of(REQUEST, "2") == "c03b73aeba8adc4fe4145cd4a0abd62d"
    agent = dict.fromkeys(("system", "temperature", "max_tokens", "reasoning"), None)
    limits = {"max_tokens": 10, "reference_max_tokens": 10}
    plan = make_plan(layers("a"), instruction="I", placement="system", **limits)
    assert mixture_of(replace(plan, placement="prompt"))["placement"] == "prompt"
    assert mixture_of(plan) == {
        "layers": [[{"model": "a", "endpoint": "together", **agent}]],
        "aggregator": {"model": "judge", "endpoint": "together", **agent},
        "temperature": 0.7,
        "max_tokens": 10,
        "reference_max_tokens": 10,
        "min_references": 1,
        "seed": None,
        "instruction": "a83dd0ccbffe39d071cc317ddf6e97f5c6b1c87af91919271f9fa140b0508c6c",
        "system": None,
        "depth": {"early_stop": False, "adaptive": False, "agreement": 0.75},
        "light_aggregator": None,
        "ranking": None,
    }


def test_what_is_not_used_does_not_stand_in_a_manifest() -> None:
    """Later versions have further options; a run that uses none of them is still the same mixture."""
    plan = make_plan(layers("a"))
    later = {"order", "reply_format", "on_demand", "tools", "tool_rounds", "tools_for_all", "reply_fields"}
    assert not later & mixture_of(plan).keys()
    used = mixture_of(replace(plan, order="rotated"))
    assert used["order"] == "rotated"
    assert differences(used, mixture_of(plan)) == differences(mixture_of(plan), used) == "order"


def test_a_mode_with_instructions_of_its_own_is_another_mixture() -> None:
    """Mode, judge and digests of the instructions decide the answers, and so belong to the manifest."""
    plan = make_plan(layers("a"), mode="fusion", instructions={"compare": "C", "fuse": "F"})
    manifest = mixture_of(plan)
    assert (manifest["mode"], manifest["judge"], set(manifest["instructions"])) == (
        "fusion",
        None,
        {"compare", "fuse"},
    )
    assert manifest != mixture_of(replace(plan, instructions={"compare": "other", "fuse": "F"}))
    assert manifest != mixture_of(replace(plan, judge=Agent("other")))
    ranking = mixture_of(make_plan(layers("a"), mode="rank", instructions={"rank": "R"}))
    assert "mode" not in ranking
    assert ranking["ranking"]


def test_a_service_on_this_computer_is_known_by_its_name() -> None:
    """A port that changes from run to run does not make a run start afresh."""
    here = [
        replace(REQUEST, endpoint=Endpoint("demo", f"http://127.0.0.1:{port}/v1")) for port in (4000, 5000)
    ]
    assert key_of(here[0], "") == key_of(here[1], "")


def test_a_second_process_is_refused(tmp_path: Path, tagged: dict[str, str]) -> None:
    """Two runs never write into one folder; the end of the first, however it ends, frees it."""
    code = (
        "import sys; from pathlib import Path; from bot.bulk.run_folder import lock\n"
        "held = lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=tagged,
    )
    with other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(MoaError, match="another run"):
            lock(tmp_path)
        other.kill()
    with lock(tmp_path):
        pass


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A journal in a place where there can be none is an error in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(MoaError, match="journal"):
        Journal(tmp_path / "file" / "calls.jsonl")
