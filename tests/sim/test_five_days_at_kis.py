"""Five trading days with real money at the double of KIS, in one session over nights, a holiday and a weekend."""

from __future__ import annotations

import base64
import gzip
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from qts.db.find_run import run_in
from qts.ledger.verification import verify
from qts.market.day_record import days_of
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.book_reader import read_book
from qts.runtime.session.result import SessionResult
from tests.doubles.kis import KST
from tests.sim.kis_days import SYMBOL, DaysAtKis

DAYS = tuple(datetime(2026, 10, day, tzinfo=KST) for day in (7, 8, 12, 13, 14))
"""Two days, a holiday before a weekend, three days."""


class Week:
    """The five days: what happened on them, as seen at the double and in the session."""

    def __init__(self, world: DaysAtKis) -> None:
        self.world = world
        self.result: SessionResult
        self.held: list[dict[str, int]] = []
        """Entries that each part of the session holds itself, after each close."""
        self.positions: list[tuple[int, int]] = []
        """Shares held here and at KIS in each night; an odd number of fills leaves some."""
        self.tokens: list[int] = []
        """Tokens that KIS had given by each night."""
        world.on_close = lambda kernel: self.held.append(held_by_part(kernel))

    async def script(self) -> None:
        for number, day in enumerate(DAYS, 1):
            await self._day(number, day)
            self._note()
            if number < len(DAYS):
                await self._night(day, DAYS[number])

    async def _day(self, number: int, day: datetime) -> None:
        world, before = self.world, self.world.fills
        await world.until(world.is_connected, "a connection in the morning")
        world.leap(day, "09:01")
        await world.trade_until(lambda: world.fills >= before + 2, "two fills")
        world.kis.sockets.cut()
        await world.trade_until(lambda: world.fills >= before + 3, "a fill after a cut")
        await world.until(lambda: not len(world.kernel.shared.orders), "no open order")
        for hhmm in ("15:21", "15:31", "15:33"):
            world.leap(day, hhmm)
        await world.until(lambda: len(world.closed) == number, f"the close of {day:%Y-%m-%d}")

    async def _night(self, day: datetime, next_day: datetime) -> None:
        """KIS is down at night: no call is answered, no connection is taken."""
        world = self.world
        world.leap(day, "20:01")
        world.kis.down()
        await world.until(lambda: not world.is_connected(), "the end of the line")
        world.leap(next_day, "07:30")
        world.kis.down(on=False)
        world.leap(next_day, "08:50")

    def _note(self) -> None:
        holding = self.world.kis.account.holdings.get(SYMBOL)
        ours = self.world.kernel.shared.account.broker_positions().get(SYMBOL, 0)
        self.positions.append((int(ours), 0 if holding is None else holding.qty))
        self.tokens.append(self.world.kis.access.issued)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    with pytest.MonkeyPatch.context() as patch:
        start = DAYS[0].replace(hour=8, minute=50)
        world = DaysAtKis(tmp_path_factory.mktemp("kis"), patch, start, paper=False)
        made = Week(world)
        made.result = world.run(made.script)
        yield made


def test_each_day_has_its_trades_its_close_its_reports_and_its_record(week: Week) -> None:
    directory, names = week.world.directory, [f"{day:%Y-%m-%d}" for day in DAYS]
    fills = week.world.closed
    assert all(later - before >= 3 for before, later in pairwise([0, *fills]))
    with closing(sqlite3.connect(directory / "qts.sqlite")) as connection:
        closes = connection.execute("SELECT day, fills FROM day_closes ORDER BY id").fetchall()
    assert [date.fromisoformat(day).isoformat() for day, _ in closes] == names
    assert [count for _, count in closes] == fills
    reports = {path.name for path in (directory / "days").iterdir()}
    assert reports == {f"{name}.{language}.txt" for name in names for language in ("en", "ko")}
    assert set(names) <= set(days_of(directory / "feed"))


def test_the_token_is_renewed_once_a_day_and_no_call_is_made_with_one_that_has_ended(week: Week) -> None:
    assert week.tokens == [1, 2, 3, 4, 5]
    assert "EGW00123" not in (week.world.directory / "session.log.jsonl").read_text()


def test_the_line_is_made_again_after_every_cut_and_night_with_an_approval_key_that_is_valid(week: Week) -> None:
    cuts, nights = len(DAYS), len(DAYS) - 1
    assert week.world.feed.live_view().connections > cuts + nights
    assert len(week.world.kis.access.approvals) in (nights, len(DAYS)), "one lasts for a day"


def test_the_books_of_the_session_and_those_of_kis_are_the_same(week: Week) -> None:
    values, kis = week.result.values, week.world.kis
    assert [ours for ours, _ in week.positions] == [theirs for _, theirs in week.positions]
    assert any(ours for ours, _ in week.positions), "shares are held over a night"
    assert values.fills == len(kis.books.fills)
    assert Decimal(values.cash or 0) == kis.account.cash_after_settlement, "with fees and taxes to the won"
    assert (values.duplicate_fills, values.quarantined["count"]) == (0, 0)
    assert not any(code in (week.world.directory / "session.log.jsonl").read_text() for code in ("FS070", "FS041"))


def test_every_check_of_the_books_is_sound(week: Week) -> None:
    assert [name for name, one in week.result.values.invariants.items() if one["ok"] is False] == []
    assert verify(read_book(run_in(week.world.directory))).differences == ()


def held_by_part(kernel: Kernel) -> dict[str, int]:
    """Return how many entries each part of a session at KIS has in containers of its own."""
    feed: Any = kernel.shared.feed
    parts = {field.name: getattr(kernel.components, field.name) for field in fields(kernel.components)}
    parts |= {field.name: getattr(kernel.shared, field.name) for field in fields(kernel.shared)}
    parts |= {"websocket": feed._websocket, "registrations": feed._websocket.registrations}
    parts |= {"decoder": feed._decoder, "notices of KIS": feed._notices, "known orders": feed._notices._known}
    return {name: own_entries(part) for name, part in parts.items()}


def own_entries(part: object) -> int:
    """Return how many entries the containers have that are attributes of ``part``."""
    names = {name for one in type(part).__mro__ for name in getattr(one, "__slots__", ())}
    values = [getattr(part, name, None) for name in {*names, *getattr(part, "__dict__", {})}]
    return sum(len(one) for one in values if isinstance(one, dict | list | set | deque))


def test_no_part_of_a_session_holds_more_for_the_values_that_have_passed(week: Week) -> None:
    # What is kept, up to a bound, is of orders: three days after the second have few of them, and many values
    orders = week.world.closed[4] - week.world.closed[1]
    assert week.result.values.rows > 10 * 4 * orders
    for name in week.held[0]:
        early, late = max(one[name] for one in week.held[:2]), max(one[name] for one in week.held[2:])
        assert late <= early + 4 * orders, name


def test_no_secret_is_in_anything_that_the_session_leaves(week: Week) -> None:
    """Neither as it is, nor encoded, nor half of it: not in the book, the log, the reports or the record."""
    keys, access = week.world.kis.keys, week.world.kis.access
    long = [keys.appkey, keys.appsecret, *access.tokens, *access.approvals]
    assert len(long) > len(DAYS), "tokens and keys of the line too"
    hidden = {keys.account, keys.hts_id}
    for secret in long:
        hidden |= {secret[: len(secret) // 2], secret[len(secret) // 2 :], quote(secret, safe="")}
    hidden |= {base64.b64encode(secret.encode()).decode().rstrip("=")[:-1] for secret in (keys.account, *long)}
    files = [path for path in week.world.directory.rglob("*") if path.is_file()]
    assert {"qts.sqlite", "session.log.jsonl", "view.json"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        text = content.decode("latin-1")
        assert [secret for secret in hidden if secret in text] == [], path
