"""Days at the double of KIS on which answers, notices and lines are lost: what is booked of them, what is recorded.

The record has all that KIS has sent about prices: a replay of a day with simulated fills shows strategies the
trades that the session has shown them, in the same order, and gives the same bytes each time. And it has the steps
of the session: done again they decide, order and book the same.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qts.db.datadir import DATABASE_NAME, STEPS_NAME
from qts.db.find_run import run_in
from qts.execution.contracts import OrderState
from qts.ledger.verification import verify
from qts.market.day_record import files_of
from qts.runtime.persistence.book_reader import read_book
from qts.runtime.session.result import SessionResult
from qts.runtime.wiring.stores import stored_run
from tests.doubles.kis import KST
from tests.effort import examples
from tests.sim.kis_days import SYMBOL, DaysAtKis, seen_in

HOLIDAYS = {"2026-10-09"}
CALLS = ("http_504_after", "cut_before", "ack_lost", "timed_out_301", "http_504_before", "timeout_after")
"""What happens to the answer of an order, a day each: those that are lost, and orders that never came."""
NOTICES = ("notice_dropped", "notice_doubled")


def trading_days(count: int) -> list[datetime]:
    """Return so many days of trading from the 7th of October 2026 on."""
    begin = datetime(2026, 10, 7, tzinfo=KST)
    days = (begin + timedelta(days=number) for number in range(2 * count + 4))
    return [day for day in days if day.weekday() < 5 and f"{day:%Y-%m-%d}" not in HOLIDAYS][:count]


DAYS = trading_days(examples(2, whole=20))


class Recorded:
    """The days, as they were at the double and in the session."""

    def __init__(self, world: DaysAtKis) -> None:
        self.world = world
        self.result: SessionResult
        self.unknown = 0
        """Orders whose answer was missing."""

    async def script(self) -> None:
        world = self.world
        for number, day in enumerate(DAYS):
            world.leap(day, "09:01")
            await world.until(world.is_registered, "all registrations")
            await self._trade(2)
            await self._lose_an_answer(CALLS[number % len(CALLS)])
            world.kis.fault(NOTICES[number % len(NOTICES)], kind="fill")
            await self._trade(2)
            world.kis.sockets.cut()
            await self._trade(1)
            for hhmm in ("15:21", "15:31", "15:33"):
                world.leap(day, hhmm)
            await world.until(lambda closed=number + 1: len(world.closed) == closed, f"the close of {day}")
            world.leap(day, "20:01")

    async def _trade(self, fills: int) -> None:
        """Let prices come until so many more are executed at KIS, and all of them are booked."""
        world = self.world
        least = len(world.kis.books.fills) + fills
        await world.trade_until(lambda: len(world.kis.books.fills) >= least, f"{fills} fills at KIS")
        await world.until(
            lambda: world.fills == len(world.kis.books.fills) and not len(world.kernel.shared.orders), "its booking"
        )

    async def _lose_an_answer(self, name: str) -> None:
        world = self.world
        orders = world.kernel.shared.orders
        fault = world.kis.fault(name, on="order-cash")
        await world.trade_until(lambda: fault.fired > 0, name)
        await world.until(
            lambda: any(one.state is OrderState.UNKNOWN for one in list(orders)) or not len(orders), name
        )
        self.unknown += 1
        await world.until(lambda: not len(orders), "its fate")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with pytest.MonkeyPatch.context() as patch:
        start = DAYS[0].replace(hour=8, minute=50)
        directory = tmp_path_factory.mktemp("kis")
        world = DaysAtKis(directory, patch, start, paper=False, list_lag_s=(0.0, 1.0))
        world.settings |= {"broker.kis.visibility_lag_s": "2", "broker.kis.answer_s": "2"}
        made = Recorded(world)
        made.result = world.run(made.script)
        yield made


def trades_of(directory: Path, day: datetime) -> list[str]:
    """Return the trades that the strategy of a session was shown on a day."""
    lines = seen_in(directory).read_text().splitlines()
    return [line for line in lines if line.startswith(f"{day:%Y-%m-%d} ")]


def rows_of(directory: Path) -> list[list[Any]]:
    with stored_run(directory / DATABASE_NAME) as store:
        return [list(store.decisions()), list(store.orders()), list(store.ledger())]


def test_what_was_executed_is_booked_once_whatever_was_lost(recorded: Recorded) -> None:
    values, kis = recorded.result.values, recorded.world.kis
    assert {CALLS[number % len(CALLS)] for number in range(len(DAYS))} <= set(kis.faults.happened)
    assert {NOTICES[number % len(NOTICES)] for number in range(len(DAYS))} <= set(kis.faults.happened)
    assert recorded.unknown == len(DAYS)
    holding = kis.account.holdings.get(SYMBOL)
    assert int(values.positions.get(SYMBOL, 0)) == (0 if holding is None else holding.qty)
    assert Decimal(values.cash or 0) == kis.account.cash_after_settlement
    assert values.quarantined["count"] == 0
    assert [name for name, one in values.invariants.items() if one["ok"] is False] == []
    assert verify(read_book(run_in(recorded.world.directory))).differences == ()


@pytest.mark.parametrize("day", DAYS, ids=[f"{day:%Y-%m-%d}" for day in DAYS])
def test_a_replay_of_a_day_shows_its_trades_and_gives_the_same_bytes_each_time(
    recorded: Recorded, day: datetime
) -> None:
    shown = trades_of(recorded.world.directory, day)
    one, other = (recorded.world.replay(f"{day:%m-%d}-{name}", day.date()) for name in ("one", "other"))
    assert len(shown) > 20
    assert trades_of(one, day) == trades_of(other, day) == shown
    assert all(rows_of(one))
    assert rows_of(one) == rows_of(other)
    assert (one / "session.log.jsonl").read_bytes() == (other / "session.log.jsonl").read_bytes()


def test_the_steps_of_all_days_decide_order_and_book_the_same(recorded: Recorded) -> None:
    repeated = recorded.world.repeat("repeated")

    assert (repeated.difference, repeated.until) == (None, "")
    with stored_run(recorded.world.directory / DATABASE_NAME) as store:
        assert repeated.rows["decisions"] == len(store.decisions()) > len(DAYS)
        assert repeated.rows["ledger"] == len(store.ledger()) > 4 * len(DAYS)
        assert repeated.rows["safety_history"] == len(store.safety_history()) > 0


def test_the_steps_of_the_first_day_do_what_was_done_until_its_end(recorded: Recorded) -> None:
    repeated = recorded.world.repeat("first-day", DAYS[0].date())

    assert (repeated.difference, repeated.until) == (None, f"at the end of {DAYS[0]:%Y-%m-%d}")
    with stored_run(recorded.world.directory / DATABASE_NAME) as store:
        assert 0 < repeated.rows["ledger"] < len(store.ledger())


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("a", '"number":"', '"number":"9'),
        ("p", '"price":"', '"price":"1'),
        ("v", '"price":"', '"price":"1'),
    ],
    ids=["an answer to an order", "a notice", "a trade"],
)
def test_one_line_of_a_record_that_was_changed_is_found(
    recorded: Recorded, tmp_path: Path, kind: str, old: str, new: str
) -> None:
    changed = tmp_path / "run"
    shutil.copytree(recorded.world.directory, changed)
    number = change_a_line(changed, kind, old, new)

    difference = recorded.world.repeat(f"changed-{kind}", of=changed).difference

    assert difference is not None
    assert difference.step >= number
    assert difference.recorded != difference.repeated


def change_a_line(directory: Path, kind: str, old: str, new: str) -> int:
    """Replace a text in the first step of a kind that has it; return the number of that step."""
    path = files_of(directory / STEPS_NAME, f"{DAYS[0]:%Y-%m-%d}")[0]
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.split(" ")[1] == kind and old in line)
    lines[at] = lines[at].replace(old, new, 1)
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return at
