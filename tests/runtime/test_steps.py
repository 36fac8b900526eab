"""The record of the steps of a session: what it keeps, and what is no whole record."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.clock import HeldClock, PacedClock, from_ns
from qts.config.runtime_config import RuntimeConfig
from qts.errors import DataError
from qts.market.contracts import BookUpdate, FeedGap, Quote
from qts.market.day_record import DayRecord, days_by, files_of
from qts.market.krx import KrxCalendar
from qts.runtime.due_work import DueWork
from qts.runtime.steps.contracts import BREAK, DUE, GAP, GO_ON, VALUE
from qts.runtime.steps.lines import Entry, RecordedSteps, Step, text_of
from qts.runtime.steps.recorder import StepRecorder, head_of
from qts.runtime.steps.repeater import StepRepeater
from tests.runtime.rig import SYMBOL, kst

NOW_NS = kst(10)
QUOTE = Quote(SYMBOL, NOW_NS, bid=D(99), ask=D(101), bid_size=D(1), ask_size=D(2))
BOOK = BookUpdate(SYMBOL, NOW_NS, ((D(99), D(1)),), (), snapshot=True)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[DayRecord[Entry]]:
    made = DayRecord[Entry](
        tmp_path,
        of="the record",
        day_of=days_by(KrxCalendar()),
        head=head_of("run", "source", NOW_NS),
        text_of=text_of,
        tell=print,
    )
    made.begin()
    yield made
    made.close()


def clock_at(ns: int) -> HeldClock:
    clock = HeldClock(PacedClock(from_ns(ns)))
    clock.hold(ns)
    return clock


def test_no_time_passes_between_two_looks() -> None:
    """given a clock that is held, then its thread sees the time of the last look and every other one real time"""
    clock = HeldClock(PacedClock(from_ns(NOW_NS), 1_000.0))

    first = clock.time_ns()
    elsewhere = asyncio.run(asyncio.to_thread(clock.time_ns))

    assert clock.time_ns() == first
    assert elsewhere > first
    assert clock.look() > first
    assert clock.monotonic_ns() == clock.time_ns() - NOW_NS


def test_what_was_taken_is_read_again(tmp_path: Path, record: DayRecord[Entry]) -> None:
    clock, due = clock_at(NOW_NS), DueWork(RuntimeConfig(), NOW_NS)
    recorder = StepRecorder(clock, record)
    recorder.take(VALUE, content=QUOTE)
    recorder.take(VALUE, content=BOOK)
    assert not recorder.is_due(due)
    due.audit_soon()
    assert recorder.is_due(due)
    recorder.take(GAP, content=FeedGap(NOW_NS, "cut", (SYMBOL,)))
    asyncio.run(recorder.turn(GO_ON, "intent"))
    record.close()

    steps = RecordedSteps(tmp_path)

    assert steps.head.run_id == "run"
    assert [(one.kind, one.key, one.content) for one in steps] == [
        (VALUE, "", QUOTE),
        (VALUE, "", BookUpdate(SYMBOL, NOW_NS, [(D(99), D(1))], [], snapshot=True)),
        (DUE, "2", ("audit", "checkpoint")),
        (GAP, "", FeedGap(NOW_NS, "cut", (SYMBOL,))),
        (GO_ON, "intent", None),
    ]
    assert [one.ts_ns for one in steps] == sorted(one.ts_ns for one in steps)


def test_a_record_with_a_hole_is_not_repeated_past_it(tmp_path: Path, record: DayRecord[Entry]) -> None:
    for number in (1, 2, 4):
        record.add(NOW_NS, GO_ON, (number, "intent", None))
    record.close()
    read = []

    with pytest.raises(DataError, match=r"lacks steps from the 3\."):
        read.extend(RecordedSteps(tmp_path))


def test_the_steps_of_a_process_that_resumes_are_left_out(tmp_path: Path, record: DayRecord[Entry]) -> None:
    record.add(NOW_NS, GO_ON, (1, "intent", None))
    record.close()
    resumed = DayRecord[Entry](
        tmp_path,
        of="the record",
        day_of=days_by(KrxCalendar()),
        head=head_of("run", "source", NOW_NS + 1),
        text_of=text_of,
        tell=print,
    )
    resumed.begin()
    resumed.add(NOW_NS + 1, GO_ON, (1, "checkpoint", None))
    resumed.close()

    assert [one.key for one in RecordedSteps(tmp_path)] == ["intent"]
    assert len(files_of(tmp_path, "2026-01-22")) == 2


@pytest.mark.parametrize("line", [b"no step", b"1 v x - {}", b"1 v 1 - {}", b"1 ? 1 - {}"])
def test_what_is_no_step_is_refused(tmp_path: Path, record: DayRecord[Entry], line: bytes) -> None:
    record.add(NOW_NS, GO_ON, (1, "intent", None))
    record.close()
    (path,) = files_of(tmp_path, "2026-01-22")
    head = gzip.decompress(path.read_bytes()).splitlines()[0]
    path.write_bytes(gzip.compress(head + b"\n" + line + b"\n"))

    with pytest.raises(DataError, match="no step"):
        list(RecordedSteps(tmp_path))


def test_a_step_that_is_not_the_next_one_ends_the_repetition() -> None:
    """given a record with a checkpoint next, when the session has written an intent, then it is told"""
    clock = clock_at(NOW_NS)
    repeater = StepRepeater(clock, [Step(NOW_NS + 5, GO_ON, "checkpoint"), Step(NOW_NS + 6, GO_ON, "intent")])

    repeater.take(GO_ON, "checkpoint")
    assert clock.time_ns() == NOW_NS + 5
    with pytest.raises(DataError, match="after 1 steps"):
        repeater.take(VALUE)


def test_what_cannot_be_repeated_ends_it() -> None:
    repeater = StepRepeater(clock_at(NOW_NS), [Step(NOW_NS, BREAK, "an_operator's_command")])

    with pytest.raises(DataError, match="an operator's command"):
        repeater.take(BREAK, "an_operator's_command")
