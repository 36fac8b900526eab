"""What the rows show of the time since the checkpoint is told to each part of a session once, as if it came now."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qts.db.contracts import DecisionRow, LedgerRow, Record
from qts.db.sqlite import SqliteStore
from qts.errors import StateError
from qts.event.contracts import EventType
from qts.execution.contracts import BrokerDisconnect, OrderState
from qts.execution.protective.contracts import Origin
from qts.market.contracts import Quote
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.persistence import store_writer
from qts.runtime.persistence.checkpoint import decode
from qts.strategy.contracts import Context, Intent, Side, Signal
from qts.strategy.levels import Away
from qts.strategy.order_news import OrderNews
from qts.strategy.targets import Target
from tests.broker.scripted import ScriptedBroker
from tests.event.support import until
from tests.runtime.live_rig import live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, ScriptFeed, kst
from tests.runtime.test_recovery import RunningSession, Session, dies, killed, placed, session
from tests.runtime.test_recovery_bookings import agrees_with_the_broker

__all__ = ["session"]

QUICK = {"event.retry_backoff_ms": "1"}


class Listening(ScriptedStrategy):
    """A scripted strategy that is told of its orders as well."""

    def __init__(self) -> None:
        super().__init__()
        self.news: list[str] = []

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        self.news.append(news.status.value)


def news_of(running: RunningSession) -> list[str]:
    strategy = running.scripted
    assert isinstance(strategy, Listening)
    return strategy.news


def is_fill(records: Sequence[Record]) -> bool:
    return any(isinstance(record, LedgerRow) for record in records)


def killed_behind_a_fill(session: Session) -> tuple[str, int]:
    """Four of ten shares are bought; the row is stored, and the checkpoint is the one of before.

    Return the id of the order, and the revision of the book at that checkpoint.
    """
    first, key = placed(session)
    revision = first.shared.record.book_revision
    first.store.without_checkpoint = is_fill
    session.broker.fill(key, 4, 150_100, kst(10, 0, 1))
    with killed():
        run_to_completion(first.kernel.drain())
    return key, revision


def test_fills_that_are_stored_and_in_no_checkpoint_are_told_once_and_counted(session: Session) -> None:
    # Given two fills: the row of one is stored and its checkpoint lost, the other is at the broker alone
    key, revision = killed_behind_a_fill(session)
    session.broker.fill(key, 6, 150_100, kst(10, 0, 1), told=False)
    # When the session is killed again while it tells them, and a third process goes on
    again = session.restart()
    assert again.shared.record.book_revision > revision, "what was proven of the book before is not all of it"
    third = session.restart()
    # Then the strategy has seen each once, in order, and all counts follow the rows
    assert [int(fill.qty) for fill in third.scripted.fills] == [4, 6]
    assert [fill.partial for fill in third.scripted.fills] == [True, False]
    assert (third.kernel.counters.fills, third.held()) == (2, 10)
    assert agrees_with_the_broker(third)
    # And after a checkpoint that has the telling nothing is told again
    run_to_completion(third.shared.record.checkpoint())
    assert [int(fill.qty) for fill in session.restart().scripted.fills] == [4, 6]


def test_an_order_that_no_checkpoint_knows_is_told_before_what_becomes_of_it(session: Session) -> None:
    # Given an order that is sent and not answered, in no checkpoint
    session.strategy = Listening
    first = session.restart()
    first.quote(0)
    run_to_completion(first.shared.record.checkpoint())
    session.broker.before_answer = dies
    with killed():
        first.buys(2)
    session.broker.before_answer = lambda approved: None
    # When it is filled and what is left cancelled while the session is dead
    (key,) = session.broker.books.orders
    session.broker.fill(key, 4, 150_100, kst(10, 0, 2), told=False)
    session.broker.end(key, kst(10, 0, 3), told=False)
    again = session.restart()
    again.resolves()
    # Then the strategy hears of all of it once, and the session counts one order
    assert news_of(again) == ["SENT", "CANCELLED"]
    assert [int(fill.qty) for fill in again.scripted.fills] == [4]
    assert again.kernel.counters.orders == 1
    assert again.shared.day.entries == 1


def test_a_signal_whose_decision_is_stored_is_not_decided_again(session: Session) -> None:
    """A checkpoint may hold the signal in a queue: it was made before the decision."""
    # Given an order that no checkpoint knows, and that has ended since
    first = session.restart()
    session.broker.before_answer = dies
    with killed():
        first.buys()
    session.broker.before_answer = lambda approved: None
    again = session.restart()
    again.resolves()
    (order,) = again.shared.orders
    session.broker.end(order.client_order_id, kst(10, 3, 30))
    again.quote(240)
    assert again.order().state is OrderState.CANCELLED
    again.shared.base_prices[SYMBOL] = D(150_000)  # a strategy's own signal would have set it
    # When the signal comes again, then nothing leaves; one with another decision would leave
    for decision_id, sent in ((order.decision_id, 1), ("another", 2)):
        signal = Signal(decision_id, "scripted", order.pool, Intent(SYMBOL, Side.BUY, 1.0, qty=10), kst(10, 4))
        again.kernel.dispatcher.publish(EventType.SIGNAL_GENERATED, signal, "scripted")
        run_to_completion(again.kernel.drain())
        assert len(session.broker.placed) == sent, again.kernel.counters.refusals


def wants_with_a_stop(running: RunningSession) -> None:
    running.quote(0)
    running.scripted.intents.append(Target(SYMBOL, 10, stop=Away(1_000)))  # type: ignore[arg-type]
    running.quote(1)


def test_what_an_order_in_no_checkpoint_buys_is_held_with_its_stop(session: Session) -> None:
    # Given a target with a stop whose order is sent, and a kill before any checkpoint knows of it
    first = session.restart()
    session.broker.before_answer = dies
    with killed():
        wants_with_a_stop(first)
    session.broker.before_answer = lambda approved: None
    (key,) = session.broker.books.orders
    # When it is filled, told or not
    again = session.restart()
    again.resolves()
    session.broker.fill(key, 10, 150_100, kst(10, 3, 31))
    run_to_completion(again.kernel.drain())
    # Then the stop is bound to the holding, 1,000 below its cost
    bound = again.kernel.triggers.bound[SYMBOL]["scripted"]
    assert (again.held(), bound.stop) == (10, D(149_100))


def test_an_exit_whose_order_is_stored_alone_goes_on_until_the_holding_is_sold(session: Session) -> None:
    # Given a holding, an exit that a rule requests, and a kill when its order is written and was never received
    first, key = placed(session)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2))
    run_to_completion(first.kernel.drain())
    run_to_completion(first.shared.record.checkpoint())
    session.broker.receives, session.broker.before_answer = False, dies
    with killed():
        first.kernel.exits.request(
            "scripted", SYMBOL, Origin.HALTED, "its strategy was halted", first.clock.time_ns()
        )
        first.quote(3)
        first.kernel.due.pending = True
        run_to_completion(first.kernel.drain())
    session.broker.receives, session.broker.before_answer = True, lambda approved: None
    # When the session goes on, then the order was never sent, and another one is
    again = session.restart()
    assert again.kernel.exits.is_requested("scripted", SYMBOL)
    again.resolves()
    sold = [approved.request for approved in session.broker.placed if approved.request.side is Side.SELL]
    assert [request.forced for request in sold] == [True, True]
    assert sold[0].client_order_id != sold[1].client_order_id


def test_an_order_that_the_broker_does_not_show_any_more_has_ended(session: Session) -> None:
    # Given an order that was accepted, partly filled, and ended while the session was dead
    _, key = placed(session)
    session.kill()
    session.broker.fill(key, 4, 150_100, kst(10, 0, 2), told=False)
    del session.broker.books.orders[key]
    # When the broker, which lists no order that has ended, is asked twice
    again = session.restart()
    assert again.order().state is OrderState.PARTIAL
    again.resolves()
    # Then what was left of it has ended, and nothing is held back
    assert (again.order().state, again.order().filled) == (OrderState.CANCELLED, D(4))
    assert again.is_free()
    assert len(session.broker.placed) == 1


def test_a_fill_that_was_never_told_is_found_while_the_session_lives(session: Session) -> None:
    running, key = placed(session)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2), told=False)
    running.quote(70)
    run_to_completion(running.kernel.drain())
    assert running.held() == 10
    assert [int(fill.qty) for fill in running.scripted.fills] == [10]


def test_a_session_begins_from_rows_that_no_checkpoint_knows(session: Session, tmp_path: Path) -> None:
    # Given a run whose rows are stored, and no checkpoint
    killed_behind_a_fill(session)
    session.kill()
    with closing(sqlite3.connect(tmp_path / "live.sqlite", isolation_level=None)) as file:
        file.execute("DELETE FROM checkpoint")
    # When it is started, then all of it is there, and the strategy is told of everything
    session.strategy = Listening
    again = session.restart()
    assert (again.held(), again.kernel.counters.fills) == (4, 1)
    assert [int(fill.qty) for fill in again.scripted.fills] == [4]
    assert news_of(again) == ["SENT"]
    assert agrees_with_the_broker(again)
    again.buys(30)
    run_to_completion(again.shared.record.checkpoint())
    decisions = again.store.decisions()
    assert len({row.client_order_id for row in decisions}) == len(decisions)
    # And it cannot begin as if nothing had been
    with pytest.raises(StateError, match="a session cannot begin on a store that holds rows"):
        run_to_completion(again.kernel.start(None))


def test_reports_that_come_before_the_session_has_its_memory_back_wait() -> None:
    seen: list[object] = []
    relay, report = ReportRelay(), BrokerDisconnect("scripted", "the line is down", 1)
    with pytest.raises(StateError, match="before the session listened"):
        relay(report)
    relay.connect(seen.append)
    relay(report)
    assert seen == []
    relay.release()
    relay(replace(report, ts_ns=2))
    assert seen == [report, replace(report, ts_ns=2)]


def test_what_differs_at_the_broker_counts_when_two_audits_in_a_row_see_it(session: Session) -> None:
    """A fill that the broker has not told yet is in its positions already."""
    running, key = placed(session)

    def is_sound() -> bool:
        running.clock.set_ns(running.clock.time_ns() + 5_000_000_000)
        run_to_completion(running.kernel.auditor.run_full_audit(running.clock.time_ns()))
        checks = running.kernel.invariants.summary()
        return all(checks[name]["ok"] is not False for name in ("inv04", "inv25"))

    # Given a fill that is not told: the first audit that sees it raises nothing, nor does one that finds it booked
    session.broker.fill(key, 4, 150_100, kst(10, 0, 1), told=False)
    assert is_sound()
    session.broker.publish(session.broker.books.fills[0])
    run_to_completion(running.kernel.drain())
    assert is_sound()
    # When shares are at the broker that no fill explains, then the second one does
    session.broker.books.held[SYMBOL] += 5
    assert is_sound()
    assert not is_sound()


async def test_a_rejection_that_overtakes_its_answer_is_told_once(tmp_path: Path) -> None:
    broker, strategy = ScriptedBroker(), Listening()
    broker.holds_answers = True
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=ScriptFeed()) as rig:
        strategy.wants(Side.BUY, qty=1)
        size = D(10_000)
        await rig.push(Quote(SYMBOL, kst(10), bid=D(150_000), ask=D(150_100), bid_size=size, ask_size=size))
        await rig.until(lambda: broker.waiting)
        (key,) = broker.waiting
        broker.end(key, kst(10), rejected=True)
        await rig.until(lambda: strategy.news == ["SENT", "REJECTED"])
        broker.let_answer()
        await rig.until(lambda: not rig.kernel.sender.in_flight)  # type: ignore[attr-defined]
        await rig.drain()
        assert strategy.news == ["SENT", "REJECTED"]


class SlowDisk:
    """Holds up the first intent until :attr:`goes_on`, and copies the store as the next checkpoint has left it."""

    def __init__(self, copy: Path) -> None:
        self.goes_on, self.is_asked, self.has_copied = threading.Event(), threading.Event(), threading.Event()
        self._copy = copy
        self._commit = SqliteStore.commit

    def commit(self, store: SqliteStore, records: Sequence[Record], *more: Any) -> int:
        if not self.is_asked.is_set() and any(isinstance(record, DecisionRow) for record in records):
            self.is_asked.set()
            assert self.goes_on.wait(60)
        seq = self._commit(store, records, *more)
        if self.goes_on.is_set() and not self.has_copied.is_set() and more[0] is not None:
            with closing(sqlite3.connect(self._copy)) as copy:
                store._connection.backup(copy)
            self.has_copied.set()
        return seq


async def test_an_order_that_a_checkpoint_met_while_its_intent_was_written_is_told_and_not_decided_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs holds a checkpoint back for a second; then it has the order, and its signal to decide."""
    killed_in, goes_on_in = tmp_path / "killed", tmp_path / "goes on"
    for directory in (killed_in, goes_on_in):
        directory.mkdir()
    broker, disk = ScriptedBroker(), SlowDisk(goes_on_in / "rig.sqlite")
    monkeypatch.setattr(SqliteStore, "commit", lambda store, *given: disk.commit(store, *given))
    monkeypatch.setattr(store_writer, "_CHECKPOINT_WAIT_S", 0.0)
    # Given an order whose intent takes long to be written, a checkpoint asked for meanwhile, and a kill after it
    first, again = Listening(), Listening()
    async with (
        live(killed_in, strategies=[first], settings=QUICK, broker=broker, feed=ScriptFeed()) as rig,
        rig.kernel.shared.record.running(),
    ):
        first.wants(Side.BUY, qty=1)
        size = D(10_000)
        await rig.push(Quote(SYMBOL, kst(10), bid=D(150_000), ask=D(150_100), bid_size=size, ask_size=size))
        await until(disk.is_asked.is_set)
        await rig.kernel.shared.record.begin_checkpoint()
        disk.goes_on.set()
        await until(disk.has_copied.is_set)
        await rig.until(lambda: first.news == ["SENT"] and not rig.kernel.sender.in_flight)  # type: ignore[attr-defined]
    shutil.copy(killed_in / "sent", goes_on_in / "sent")
    # When the next process goes on with what was on disk then
    async with live(goes_on_in, strategies=[again], settings=QUICK, broker=broker, feed=ScriptFeed()) as rig:
        await rig.drain()
        # Then the strategy is told of the order once, and nothing else comes of its signal
        assert again.news == ["SENT"]
        assert (len(rig.kernel.shared.orders), rig.kernel.counters.refusals) == (1, {})
    assert len(broker.placed) == 1


OLDER_THAN_ROWS = {
    "from the rows": "account orders",
    "behind the rows": "counts safety state",
    "told of what the rows show": "counters day extremes trades exits rejects strategies auditor targets watch",
    "asks the broker": "unresolved charges",
    "behind its own file": "gateway",
    "written with a checkpoint alone": "bar_rows moments corporate_actions capital closes limits",
    "of the present, until the next value": "last bases price_bands metrics volatility state_basis in_hand",
    "goes on from its moment": "feed clock due schedule state_evaluation invariants log stops dispatcher exchange",
}
"""What it means for each part of a checkpoint that rows are newer; see docs/concepts/checkpoints.md."""


def test_for_every_part_of_a_checkpoint_it_is_decided_what_newer_rows_mean(session: Session) -> None:
    decided = {name for names in OLDER_THAN_ROWS.values() for name in names.split()}
    stored = session.restart().store.checkpoint()
    assert stored is not None
    assert set(decode(stored)["parts"]) <= decided
