"""Fees and taxes of fills, trued up to the broker's totals of a day: once, and to the day that they are about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.capital.contracts import Pool
from qts.clock import from_ns
from qts.db.contracts import Record
from qts.execution.contracts import Fill
from qts.ledger.contracts import Charges
from qts.market.contracts import Quote
from qts.market.krx import KST
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_account_opening import agreed

DAY_NS = 24 * 3_600 * 10**9
DAY = from_ns(kst(9)).astimezone(KST).date()
"""A Thursday."""
NEXT = DAY + timedelta(days=1)


def quote(at_ns: int) -> Quote:
    return Quote(SYMBOL, at_ns, bid=D(150_000), ask=D(150_100), bid_size=D(10_000), ask_size=D(10_000))


@asynccontextmanager
async def session(directory: Path, broker: ScriptedBroker) -> AsyncIterator[LiveRig]:
    async with live(directory, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        yield rig


async def bought(rig: LiveRig, broker: ScriptedBroker, *, fee: int = 225) -> None:
    """Ten shares of ours, and four of the owner's by hand, whose fees are estimates: 225 and 90."""
    strategy = rig.kernel.host.contexts[0].strategy
    assert isinstance(strategy, ScriptedStrategy)
    await rig.show(quote(kst(9, 0, 5)))
    strategy.wants(Side.BUY, qty=10)
    await rig.show(quote(kst(9, 0, 6)))
    key = broker.placed[-1].request.client_order_id
    broker.trade_by_hand(fill_of(key, "s-1", 10, fee))
    broker.trade_by_hand(fill_of("by hand", "x-1", 4, 90))
    await rig.show(quote(kst(9, 0, 8)))


def fill_of(order: str, execution: str, qty: int, fee: int, at_ns: int = kst(9, 0, 7)) -> Fill:
    return Fill("scripted", execution, order, SYMBOL, Side.BUY, D(qty), D(150_100), D(fee), D(0), at_ns, last=True)


def charged(rig: LiveRig) -> list[tuple[str, str, str, int]]:
    """Return kind, owner, day and amount of the stored true-ups."""
    return [
        (row.kind.value, "EXTERNAL" if row.pool is None else row.pool.value, row.day, int(row.fee + row.tax))
        for row in rig.store.bookings()
        if row.kind.value in ("FEE", "TAX")
    ]


async def test_the_brokers_totals_are_booked_after_the_close_by_what_each_was_charged(tmp_path: Path) -> None:
    # Given fees of 225 of ours and 90 of the owner's, and a broker that charges 350 in fees and 3 in tax that day
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        broker.charged[DAY] = Charges(D(350), D(3))
        before, cash = rig.kernel.shared.equity(), rig.kernel.shared.account.external.cash
        # When the day is over
        await rig.show(quote(kst(9) + DAY_NS))
        # Then 35 more are divided 225 : 90 in whole won, the tax is the named pool's, and both are of that day
        assert broker.asked_charges == [DAY]
        assert charged(rig) == [
            ("FEE", "SCALP", DAY.isoformat(), 25),
            ("FEE", "EXTERNAL", DAY.isoformat(), 10),
            ("TAX", "PORTFOLIO", DAY.isoformat(), 3),
        ]
        account = rig.kernel.shared.account
        assert (account.fees_total, account.taxes_total, account.external.cash) == (250, 3, cash - 10)
        assert rig.kernel.shared.equity() == before - 28
        stored = [row for row in rig.store.bookings() if row.day == DAY.isoformat() and row.kind.value == "FEE"]
        assert {from_ns(row.ts_ns).astimezone(KST).date() for row in stored} == {DAY}
        assert rig.kernel.components.charges.days == ()
        # And it is told how far they are from the broker's cash, from which it has taken the estimates
        told = f"has {broker.books.cash} of settled cash, pools and EXTERNAL {account.broker_cash}"
        assert account.broker_cash == broker.books.cash - 38
        assert any(told in line.message for line in rig.logged)
        # And the books agree
        await rig.kernel.auditor.run_full_audit(rig.clock.time_ns())
        assert agreed(rig.kernel) == [True] * 4


async def test_a_broker_that_does_not_say_is_asked_the_next_days(tmp_path: Path) -> None:
    # Given a broker that tells the charges of a day the morning after
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        await rig.show(quote(kst(16)))
        assert (charged(rig), rig.kernel.components.charges.days) == ([], (DAY.isoformat(),))
        broker.is_up = False
        rig.kernel.components.charges.ask_again()
        await rig.drain()
        broker.is_up = True
    # When the process was killed over night, and the next one starts
    broker.charged[DAY] = Charges(D(350), D(0))
    async with session(tmp_path, broker) as rig:
        await rig.drain()
        # Then they are booked to their day, once
        assert charged(rig) == [("FEE", "SCALP", DAY.isoformat(), 25), ("FEE", "EXTERNAL", DAY.isoformat(), 10)]
        await rig.show(quote(kst(10) + DAY_NS))
        assert len(charged(rig)) == 2
    async with session(tmp_path, broker) as rig:
        rig.kernel.components.charges.on_day_over(DAY)
        await rig.drain()
        # And asked again they are what is booked
        assert len(charged(rig)) == 2


async def test_each_day_is_trued_up_by_its_own_fills(tmp_path: Path) -> None:
    # Given two days with fees of 315 and of 40, of which the broker charges 350 and 44
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        broker.charged = {DAY: Charges(D(350), D(0)), NEXT: Charges(D(44), D(0))}
        await rig.show(quote(kst(10) + DAY_NS))
        broker.trade_by_hand(fill_of("by hand", "x-3", 1, 40, kst(10) + DAY_NS + 1))
        # When both are over
        await rig.show(quote(kst(16) + DAY_NS))
        # Then the second is asked for alone, of what came behind the close of the first
        assert broker.asked_charges == [DAY, NEXT]
        assert charged(rig)[2:] == [("FEE", "EXTERNAL", NEXT.isoformat(), 4)]
        assert rig.kernel.components.charges.days == ()


async def test_without_its_money_the_cash_is_not_compared(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with session(tmp_path, broker) as rig:
        broker.charged[DAY], broker.told_balance = Charges(D(1), D(0)), lambda: None
        rig.kernel.components.charges.on_day_over(DAY)
        await rig.drain()
        assert any("the settled cash is not compared" in line.message for line in rig.logged)
        assert charged(rig) == [("FEE", "PORTFOLIO", DAY.isoformat(), 1)]


async def test_a_fill_that_comes_late_has_its_day_asked_for_again(tmp_path: Path) -> None:
    # Given a day whose totals are booked, of which the broker had not reported one fill by hand
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        broker.charged[DAY] = Charges(D(350), D(0))
        await rig.show(quote(kst(9) + DAY_NS))
        assert [row[3] for row in charged(rig)] == [25, 10]
        # When it reports it, with an estimate of 20
        broker.trade_by_hand(fill_of("by hand", "x-2", 1, 20, kst(9, 0, 9)))
        await rig.show(quote(kst(10) + DAY_NS))
        # Then the 20 are taken back by what each was charged, 250 : 120 in whole won, the rest from the named pool
        rest = charged(rig)[2:]
        assert sum(row[3] for row in rest) == -20
        assert {row[2] for row in rest} == {DAY.isoformat()}
        stored = [row for row in rig.store.bookings() if row.kind.value == "FEE"][2:]
        assert {from_ns(row.ts_ns).astimezone(KST).date() for row in stored} == {DAY}
        assert rig.kernel.shared.account.fees_total + fees_of_external(rig) == 350


def fees_of_external(rig: LiveRig) -> D:
    return sum((row.fee for row in rig.store.bookings() if row.pool is None), D(0))


@pytest.mark.parametrize("told", [Charges(D("NaN"), D(0)), Charges(D(1), D("Infinity"))])
async def test_what_is_no_amount_is_not_booked(tmp_path: Path, told: Charges) -> None:
    broker = ScriptedBroker()
    broker.charged[DAY] = told
    async with session(tmp_path, broker) as rig:
        rig.kernel.components.charges.on_day_over(DAY)
        await rig.drain()
        assert (charged(rig), rig.kernel.components.charges.days) == ([], (DAY.isoformat(),))


async def test_so_many_days_wait_and_no_more(tmp_path: Path) -> None:
    async with session(tmp_path, ScriptedBroker()) as rig:
        charges = rig.kernel.components.charges
        for number in range(11):
            charges.on_day_over(date(2026, 1, 1) + timedelta(days=number))
        await rig.drain()
        assert (len(charges.days), charges.days[0]) == (10, "2026-01-02")
        assert any("has not told the fees and taxes of 2026-01-01" in line.message for line in rig.logged)


async def test_nothing_is_booked_while_the_book_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a fill that is booked while the rows of the day are read
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        broker.charged[DAY] = Charges(D(350), D(0))
        record, read = rig.kernel.shared.record, rig.kernel.shared.record.on_store

        async def on_store(call):  # type: ignore[no-untyped-def]
            found = await read(call)
            broker.publish(fill_of("by hand", "x-7", 1, 5))
            await rig.until(lambda: rig.kernel.shared.account.external.qty(SYMBOL) == 5)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(record, "on_store", on_store)
            assert not await rig.kernel.components.charges._true_up(DAY.isoformat(), broker.charged[DAY], kst(16))
        # Then nothing is booked of what was read
        assert charged(rig) == []


async def test_the_exact_charges_of_a_simulated_exchange_are_not_asked_for(tmp_path: Path) -> None:
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}) as rig:
        await rig.show(quote(kst(9, 0, 5)), quote(kst(9) + DAY_NS))
        assert rig.kernel.components.charges.days == ()
        assert not rig.kernel.due.charges


async def test_a_pool_without_the_cash_has_its_fees_paid_by_the_others(tmp_path: Path) -> None:
    # Given a pool whose cash is held back to the last 5 won by an open order, and 25 more in fees of yesterday
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        account = rig.kernel.shared.account
        cash = account.available(Pool.SCALP) - 5
        assert account.reserve("o-1", "scripted", Pool.SCALP, SYMBOL, Side.BUY, D(1), cash, cash)
        broker.charged[DAY] = Charges(D(350), D(30))
        rig.kernel.components.charges.on_day_over(DAY)
        # When the broker tells them
        await rig.drain()
        # Then it pays what it has, and the named pool the rest: no pool falls below 0 over it
        assert charged(rig) == [
            ("FEE", "SCALP", DAY.isoformat(), 5),
            ("FEE", "EXTERNAL", DAY.isoformat(), 10),
            ("FEE", "PORTFOLIO", DAY.isoformat(), 20),
            ("TAX", "PORTFOLIO", DAY.isoformat(), 30),
        ]
        assert account.available(Pool.SCALP) == 0


async def test_what_is_executed_after_the_close_is_trued_up_with_the_next_day(tmp_path: Path) -> None:
    # Given a day whose charges the broker has told after its close
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        broker.charged[DAY] = Charges(D(315), D(0))
        await rig.show(quote(kst(16)))
        assert (rig.kernel.components.charges.days, charged(rig)) == ((), [])
        # When the owner buys by hand after hours, for a fee of 40 that is an estimate
        broker.trade_by_hand(fill_of("after hours", "x-9", 1, 40, kst(16, 30)))
        await rig.show(quote(kst(16, 31)))
        # Then what was told before is not held against it
        assert (rig.kernel.components.charges.days, charged(rig)) == ((DAY.isoformat(),), [])
        # But what the broker says at the next close is
        broker.charged[DAY] = Charges(D(360), D(0))
        await rig.show(quote(kst(16) + DAY_NS))
        assert charged(rig) == [
            ("FEE", "SCALP", DAY.isoformat(), 3),
            ("FEE", "EXTERNAL", DAY.isoformat(), 1),
            ("FEE", "PORTFOLIO", DAY.isoformat(), 1),
        ]


async def test_rows_that_are_not_of_the_book_put_no_true_up_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a session that always has a sample of its equity to write
    broker = ScriptedBroker()
    broker.books.cash = D(101_000_000)
    async with session(tmp_path, broker) as rig:
        await bought(rig, broker)
        record, checkpoint = rig.kernel.shared.record, rig.kernel.shared.record.checkpoint

        async def with_more_to_write(records: Sequence[Record] = ()) -> None:
            await checkpoint(records)
            rig.kernel.components.curve.sample(rig.clock.time_ns())

        monkeypatch.setattr(record, "checkpoint", with_more_to_write)
        broker.charged[DAY] = Charges(D(350), D(0))
        # When the charges of the day are asked for
        rig.kernel.components.charges.on_day_over(DAY)
        assert await rig.kernel.components.charges.ask(rig.clock.time_ns()) is True
        # Then they are booked, and the broker was asked once
        assert (broker.asked_charges, rig.kernel.components.charges.days) == ([DAY], ())
