"""The full audit: judged at a moment at which memory and rows speak of the same book, or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.broker.contracts import BrokerOrder
from qts.capital.contracts import Pool
from qts.event.contracts import Event, EventPriority, EventType
from qts.event.handlers import CallbackHandler
from qts.execution.contracts import OrderCancelled
from qts.ledger.contracts import LedgerRow
from qts.market.contracts import Quote
from qts.runtime.drivers.sync import run_to_completion
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.event.support import until
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, command, kst

MakeRig = Callable[..., Rig]


def with_holding(
    rig_of: MakeRig, scripted: ScriptedStrategy | None = None, settings: dict[str, str] | None = None
) -> Rig:
    scripted = scripted or ScriptedStrategy()
    rig = rig_of(scripted, settings=settings)
    rig.quote(kst(10))
    scripted.wants(Side.BUY, qty=10)
    rig.quote(kst(10, 0, 1))
    rig.quote(kst(10, 0, 2))
    assert rig.shared.account.fills_applied == 1
    return rig


def audit(rig: Rig) -> bool:
    return run_to_completion(rig.kernel.auditor.run_full_audit(rig.clock.time_ns()))


def checks(rig: Rig) -> int:
    return int(rig.kernel.invariants.summary()["inv25"]["checks"])


def test_at_rest_everything_is_judged(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of)
    before = checks(rig)

    assert audit(rig)

    assert checks(rig) == before + 1


def quote(second: int) -> Quote:
    """A deep one, at so many seconds past ten o'clock."""
    return Quote(SYMBOL, kst(10, 0, second), bid=D(150_000), ask=D(150_100), bid_size=D(10_000), ask_size=D(10_000))


@asynccontextmanager
async def beside_the_loop(directory: Path) -> AsyncIterator[LiveRig]:
    """Ten shares held, and the store on its own thread."""
    scripted = ScriptedStrategy()
    async with live(directory, strategies=(scripted,), settings={}) as rig:
        scripted.wants(Side.BUY, qty=10)
        await rig.show(*(quote(second) for second in range(3)))
        assert rig.kernel.shared.account.positions() == {SYMBOL: 10}
        async with rig.kernel.shared.record.running():
            yield rig


async def full(rig: LiveRig) -> bool:
    return await rig.kernel.auditor.run_full_audit(rig.clock.time_ns())


async def test_beside_the_loop_a_fill_that_waits_to_be_handled_puts_it_off(tmp_path: Path) -> None:
    """The broker's book has it already, ours has not: that is no breach."""
    async with beside_the_loop(tmp_path) as rig:
        assert await full(rig)
        handled = asyncio.Event()
        dispatcher = rig.kernel.dispatcher
        dispatcher.register_handler(
            EventPriority.P0_CRITICAL, CallbackHandler(lambda event: handled.wait(), "slow")
        )

        dispatcher.publish(EventType.ORDER_CANCELLED, OrderCancelled("sim", "o-x", "005930", 1, "gone"))
        assert not await full(rig)

        handled.set()
        await rig.until(lambda: not dispatcher.stats.is_busy)
        assert await full(rig)


def meanwhile(rig: LiveRig, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen on the loop while the next full audit reads the ledger on the store's thread."""
    read, loop = rig.store.ledger, asyncio.get_running_loop()

    def ledger(since: int = 0) -> Sequence[LedgerRow]:
        done = threading.Event()
        loop.call_soon_threadsafe(lambda: (happens(), done.set()))
        assert done.wait(60)
        return read(since)

    monkeypatch.setattr(rig.store, "ledger", ledger)


async def test_beside_the_loop_a_book_that_does_not_change_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with beside_the_loop(tmp_path) as rig:
        meanwhile(rig, monkeypatch, lambda: None)

        assert await full(rig)

        summary = rig.kernel.invariants.summary()
        assert summary["inv25"]["checks"] == 1
        assert all(row["ok"] is not False for row in summary.values())


async def test_beside_the_loop_a_fill_booked_while_the_rows_are_read_is_no_breach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given rows without it and an account with it, nothing is judged until they speak of the same moment."""
    async with beside_the_loop(tmp_path) as rig:
        record = rig.kernel.shared.record
        await record.checkpoint()
        (order,) = await record.on_store(rig.store.orders)
        meanwhile(rig, monkeypatch, lambda: record.write_later(order))

        assert not await full(rig)

        assert rig.kernel.invariants.summary()["inv25"]["checks"] == 0
        assert rig.kernel.shared.safety.current_state is SafetyState.NORMAL


async def test_a_fill_that_comes_while_the_broker_is_asked_for_its_orders_is_no_breach(tmp_path: Path) -> None:
    # Given an open order at a broker that takes its time to answer
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings={}, broker=broker) as rig:
        strategy.wants(Side.BUY, qty=1)
        await rig.show(quote(0))
        (order,) = rig.kernel.shared.orders
        ask = broker.orders

        async def orders() -> Sequence[BrokerOrder]:
            broker.fill(order.client_order_id, 1, 150_100, kst(10))
            await rig.until(lambda: rig.kernel.shared.account.fills_applied == 1)
            return await ask()

        broker.orders = orders  # type: ignore[method-assign]
        async with rig.kernel.shared.record.running():
            # when the order is filled between the two questions of an audit
            audited = await rig.kernel.auditor.run_full_audit(rig.clock.time_ns())
    # then nothing is judged by books of two moments
    assert not audited
    assert rig.kernel.invariants.summary()["inv25"]["ok"] is not False
    assert rig.kernel.shared.safety.current_state is SafetyState.NORMAL


async def test_a_sample_of_the_curve_that_comes_during_an_audit_does_not_postpone_it(tmp_path: Path) -> None:
    # Given an accelerated session, in which a sample is due at every look of the audit
    broker = ScriptedBroker()
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        record, ask = rig.kernel.shared.record, broker.orders

        async def orders() -> Sequence[BrokerOrder]:
            rig.kernel.components.curve.sample(rig.clock.time_ns())
            assert not record.is_settled
            return await ask()

        broker.orders = orders  # type: ignore[method-assign]
        async with record.running():
            # Then the audit is made: the book is stored
            assert await rig.kernel.auditor.run_full_audit(rig.clock.time_ns())


async def test_events_held_for_an_operator_do_not_postpone_the_audit_without_end(tmp_path: Path) -> None:
    def breaks(event: Event) -> None:
        raise RuntimeError("cannot")

    async with beside_the_loop(tmp_path) as rig:
        dispatcher = rig.kernel.dispatcher
        dispatcher.register_handler(EventPriority.P0_CRITICAL, CallbackHandler(breaks, "broken"))
        for _ in range(2):
            dispatcher.publish(EventType.ORDER_CANCELLED, OrderCancelled("sim", "o-x", "005930", 1, "gone"))
        await rig.until(lambda: dispatcher.queue_stats()["P0_CRITICAL"]["dead_lettered"] == 1)
        await rig.kernel.shared.record.checkpoint()
        assert dispatcher.queue_stats()["P0_CRITICAL"]["size"] == 1

        assert await full(rig)


# -- the day's audit -----------------------------------------------------------------------------------------------


def tamper(rig: Rig) -> None:
    """Make the stored fill one of eleven shares, as a program could that writes to the file."""
    connection = rig.store._connection
    connection.execute("DROP TRIGGER t_ledger_is_append_only")
    connection.execute("UPDATE t_ledger SET qty = '11'")


def proven_then_tampered(rig_of: MakeRig) -> Rig:
    """Given ten shares held since Thursday the 22nd, whose row was found sound and is altered afterwards."""
    rig = with_holding(rig_of)
    rig.quote(kst(15, 33))
    assert rig.invariant(4)["ok"] is True
    tamper(rig)
    return rig


def test_the_day_s_audit_reads_no_row_again_where_nothing_is_new(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a flat account whose first day was audited
    rig = rig_of()
    rig.quote(kst(15, 33))
    money, compared, reads = rig.invariant(1)["checks"], checks(rig), list[int]()
    monkeypatch.setattr(rig.store, "ledger", lambda since=0: reads.append(since) or ())

    # When two more days close
    rig.quote(kst(15, 33, day=23))
    rig.quote(kst(15, 33, day=26))

    # Then the broker's book is compared each day, and nothing else
    assert reads == []
    assert rig.invariant(1)["checks"] == money
    assert checks(rig) == compared + 2


def test_the_day_s_audit_adds_the_new_rows_to_the_proven_ones(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a day with one fill that was audited, and another on the next day
    scripted = ScriptedStrategy()
    rig = with_holding(rig_of, scripted)
    rig.quote(kst(15, 33))
    scripted.wants(Side.SELL, qty=4)
    rig.quotes(kst(10, day=23), 3)
    since, read = list[int](), rig.store.ledger
    monkeypatch.setattr(rig.store, "ledger", lambda first=0: since.append(first) or read(first))
    keys = rig.invariant(5)["checks"]

    # When that day closes
    rig.quote(kst(15, 33, day=23))

    # Then only the rows behind the first are read: one key, and how many fills there are
    assert since == [1]
    assert rig.invariant(5)["checks"] == keys + 2
    assert rig.invariant(4)["ok"] is True


def test_an_account_that_changes_without_a_row_is_found_at_the_same_day_s_close(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of)
    rig.quote(kst(15, 33))
    rig.shared.account._cash[Pool.SCALP] += 1

    rig.quote(kst(15, 33, day=23))

    assert rig.invariant(1)["ok"] is False


def test_a_broker_that_holds_something_else_is_found_on_a_day_without_news(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(15, 33))
    rig.exchange._positions[SYMBOL] = D(5)

    rig.quote(kst(15, 33, day=23))

    assert rig.invariant(25)["ok"] is False
    assert rig.shared.safety.current_state is SafetyState.FAIL


def test_a_row_that_is_altered_after_it_was_proven_is_found_at_the_end_of_the_month(rig_of: MakeRig) -> None:
    """January 2026 ends with Friday the 30th."""
    rig = proven_then_tampered(rig_of)
    for day in (23, 26, 27, 28, 29):
        rig.quote(kst(15, 33, day=day))
    assert rig.invariant(4)["ok"] is True

    rig.quote(kst(15, 33, day=30))

    assert rig.invariant(4)["ok"] is False
    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN


def test_it_is_found_when_safety_falls_to_fail(rig_of: MakeRig) -> None:
    rig = proven_then_tampered(rig_of)

    rig.kernel.on_code("FS030", "drill")
    rig.quote(kst(10, day=23))

    assert rig.invariant(4)["ok"] is False


def test_it_is_found_at_the_end_of_the_session(rig_of: MakeRig) -> None:
    rig = proven_then_tampered(rig_of)

    run_to_completion(rig.kernel.finish())

    assert rig.invariant(4)["ok"] is False


AT_THE_END = {"runtime.audits": "end"}


def test_a_replay_whose_books_are_audited_at_its_end_audits_at_no_close(rig_of: MakeRig) -> None:
    """January 2026 ends with Friday the 30th."""
    # Given a holding and an account that lost a won without a row
    rig = with_holding(rig_of, settings=AT_THE_END)
    rig.shared.account._cash[Pool.SCALP] += 1
    before, stored = checks(rig), rig.store.checkpoint_number

    # When the month passes
    for day in (22, 23, 26, 27, 28, 29, 30):
        rig.quote(kst(15, 33, day=day))

    # Then nothing was audited or stored for it, and the end finds it
    assert (checks(rig), rig.store.checkpoint_number) == (before, stored)
    run_to_completion(rig.kernel.finish())
    assert checks(rig) == before + 1
    assert rig.invariant(1)["ok"] is False
    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN


def test_it_audits_them_too_when_safety_falls_to_fail_and_at_each_close_while_that_lasts(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of, settings=AT_THE_END)
    before = checks(rig)

    rig.kernel.on_code("FS030", "drill")
    rig.quote(kst(10, 1))
    assert checks(rig) == before + 1
    rig.quote(kst(15, 33))

    assert checks(rig) == before + 2


def test_it_audits_them_before_a_release(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of, settings=AT_THE_END)
    rig.shared.account._cash[Pool.SCALP] += 1

    rig.command(command("release"))

    assert rig.invariant(1)["ok"] is False


def test_it_is_found_at_the_next_close_where_new_rows_do_not_fit(rig_of: MakeRig) -> None:
    """A finding is not judged on the proven sums: the whole book is read, and shows the other damage too."""
    rig = proven_then_tampered(rig_of)
    rig.shared.account._cash[Pool.SCALP] += 1

    rig.quote(kst(15, 33, day=23))

    assert rig.invariant(1)["ok"] is False
    assert rig.invariant(4)["ok"] is False


def test_a_breach_is_judged_on_the_whole_book_every_day_until_it_is_gone(rig_of: MakeRig) -> None:
    # Given a breach found on the 23rd
    rig = with_holding(rig_of)
    rig.quote(kst(15, 33))
    rig.exchange._positions[SYMBOL] = D(5)
    rig.quote(kst(15, 33, day=23))
    assert rig.shared.safety.current_state is SafetyState.FAIL
    whole = rig.invariant(5)["checks"]

    # When the next day closes in FAIL
    rig.exchange._positions[SYMBOL] = D(rig.held())
    rig.quote(kst(15, 33, day=26))

    # Then every key was checked again
    assert rig.invariant(5)["checks"] > whole


def test_beside_the_loop_the_day_s_audit_reads_what_is_new(tmp_path: Path) -> None:
    """Fills are compared with their keys and their number: two checks of the first audit, none of the second."""

    async def twice() -> tuple[list[int], list[int]]:
        async with beside_the_loop(tmp_path) as rig:
            found, asked = list[int](), list[int]()
            read = rig.store.ledger
            rig.store.ledger = lambda since=0: asked.append(since) or read(since)  # type: ignore
            for _ in range(2):
                assert await rig.kernel.auditor.run_daily_audit(rig.clock.time_ns())
                found.append(int(rig.kernel.invariants.summary()["inv05"]["checks"]))
            return found, asked

    assert asyncio.run(twice()) == ([2, 2], [0])


async def test_a_day_is_closed_although_a_fill_is_booked_in_the_last_moment_of_its_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an order whose rest fills while the audit of the close comes to its end
    broker = ScriptedBroker()
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        kernel, account = rig.kernel, rig.kernel.shared.account
        strategy = kernel.host.contexts[0].strategy
        assert isinstance(strategy, ScriptedStrategy)
        strategy.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        key = broker.placed[-1].request.client_order_id
        broker.fill(key, 4, 150_100, kst(10, 0, 1))
        audit = kernel.auditor.run_daily_audit

        async def overtaken(now_ns: int) -> bool:
            audited: bool = await audit(now_ns)
            monkeypatch.undo()  # once
            one = broker.fill(key, 6, 150_100, kst(10, 0, 2))
            await until(lambda: account.has_booked(one))
            return audited

        monkeypatch.setattr(kernel.auditor, "run_daily_audit", overtaken)
        # When the day is over
        await rig.show(quote(5 * 3_600 + 40 * 60))
        # Then it is closed with that fill, once the books are found sound again
        assert account.last_close is not None
        assert (account.last_close.day, account.last_close.fills) == ("2026-01-22", 2)


@pytest.mark.parametrize("is_simulated", [True, False])
async def test_books_are_sound_after_a_restart_with_targets_that_were_reloaded(
    tmp_path: Path, is_simulated: bool
) -> None:
    # Given a session whose pools were opened 40:35:25, and whose targets were reloaded since
    broker = None if is_simulated else ScriptedBroker()
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        await rig.show(quote(0))
        await rig.kernel.shared.record.checkpoint()
    reloaded = {"state.properties.balanced.swing_allocation_range": "[0.4, 0.5]"}
    # When it is resumed with these
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings=reloaded, broker=broker) as rig:
        await rig.drain()
        assert await full(rig)
        # Then its books are those of the division of then
        cash = [rig.kernel.shared.account.pool_cash(pool) for pool in Pool]
        assert cash == [40_000_000, 35_000_000, 25_000_000]
        assert rig.kernel.shared.safety.current_state is SafetyState.NORMAL
