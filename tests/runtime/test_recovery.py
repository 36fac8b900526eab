"""A session with a real broker that was killed: it goes on from what is on disk and from the broker's own books.

Each test kills the session at one step, by dropping everything that is not on disk, and starts it again. Then our
book equals the broker's, and no id was given twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal as D
from pathlib import Path

import pytest
from msgspec.structs import replace

from qts.broker.contracts import NotSimulated
from qts.clock import ManualClock, from_ns
from qts.config.loader import load_config
from qts.db.contracts import DecisionRow, LedgerRow, Record, RunRow, SafetyRow
from qts.db.sqlite import SqliteStore
from qts.errors import StateError
from qts.event.journal import Journal
from qts.event.payloads import LogWrite
from qts.execution.contracts import AckStatus, Order, OrderAck, OrderState
from qts.market.contracts import Quote
from qts.market.last_values import LastValues
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.replay_driver import run_virtual
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.kernel import Kernel
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.persistence.recovery import RewindAndReplay, RollForward, resume_point
from qts.runtime.wiring.brokers import BrokerConnection
from qts.runtime.wiring.components import make_components
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, ScriptFeed, kst

RUN = "0123456789abcdef"


class Killed(BaseException):
    """The process ends here."""


class Disk(SqliteStore):
    """The session's store. ``without_checkpoint``: the batch in which the process dies is cut short.

    A real one is written whole or not at all; here the rows are there and their checkpoint is the older one.
    """

    without_checkpoint: Callable[[Sequence[Record]], bool] = staticmethod(lambda records: False)
    before_commit: Callable[[Sequence[Record]], None] = staticmethod(lambda records: None)

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        self.before_commit(records)
        if self.without_checkpoint(records):
            super().commit(records, None, inbox)
            raise Killed
        return super().commit(records, checkpoint, inbox)


class RunningSession:
    """A process of the session, on what the processes before it have left on disk."""

    def __init__(
        self,
        directory: Path,
        broker: ScriptedBroker,
        *,
        journalled: bool,
        strategy: type[ScriptedStrategy] = ScriptedStrategy,
        settings: Mapping[str, str] | None = None,
        set_back_ns: int = 0,
    ) -> None:
        loaded = load_config(None, settings or {}, {})
        self.broker, self.scripted, report_relay = broker, strategy(), ReportRelay()
        broker.publish = report_relay
        self.store = Disk(directory / "live.sqlite", durability="NORMAL")
        resumed = self.store.run() is not None
        if not resumed:
            self.store.open_run(RunRow(RUN, "test", 7, "script", loaded.hash, "", False))
        self.logged: deque[LogWrite] = deque(maxlen=1_000)
        self.journal = Journal(directory / "journal", RUN, checkpointed=True) if journalled else None
        checkpoint = resume_point(self.store, is_simulated=False) if resumed else None
        start_ns = kst(0) if checkpoint is None else decode(checkpoint)["parts"]["clock"]
        self.clock = ManualClock(from_ns(start_ns - set_back_ns))
        self.kernel = Kernel(
            make_components(
                run_id=RUN,
                seed=7,
                config=loaded.tree,
                config_hash=loaded.hash,
                feed=ScriptFeed(),
                connection=BrokerConnection(broker, NotSimulated(), LastValues(), report_relay, clock=broker.clock),
                strategies=(self.scripted,),
                store=self.store,
                clock=self.clock,
                log=self.logged.append,
                judged_by_index=False,
                inline=True,
                journal=self.journal,
            )
        )
        self.shared = self.kernel.shared
        if resumed:
            run_to_completion(self.kernel.restore(checkpoint, self.store, None))
            run_to_completion(self.kernel.drain())
        else:
            run_to_completion(self.kernel.start(None))

    def quote(self, second: float) -> None:
        bid, ask, size = D(150_000), D(150_100), D(10_000)
        quote = Quote(SYMBOL, kst(10, 0, second), bid=bid, ask=ask, bid_size=size, ask_size=size)
        run_virtual(self.kernel, iter([quote]), lambda share, moment: None, StopFlag(), None)

    def buys(self, second: float = 1) -> None:
        """Ten shares are asked for at a quote; they cost 1,501,000 won at most some more."""
        self.quote(second - 1)
        self.scripted.wants(Side.BUY, qty=10)
        self.quote(second)

    def order(self) -> Order:
        run_to_completion(self.shared.record.checkpoint())
        (order,) = self.store.orders()
        return order

    def ledger(self) -> list[LedgerRow]:
        return list(self.store.ledger())

    def held(self) -> int:
        return int(self.shared.account.holding("scripted", SYMBOL))

    def resolves(self) -> None:
        """Let a session ask after its unknown orders until the broker's books have spoken twice."""
        for second in (70, 140, 210):
            self.quote(second)
        run_to_completion(self.kernel.drain())

    def is_free(self) -> bool:
        return not self.shared.account.open_reservations


class Session:
    """Processes of one session, one after the other; the broker outlives them."""

    def __init__(
        self,
        directory: Path,
        broker: ScriptedBroker | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory
        self._settings = settings
        self.broker = ScriptedBroker() if broker is None else broker
        self.strategy: type[ScriptedStrategy] = ScriptedStrategy
        self._processes: list[RunningSession] = []

    def restart(self, *, journalled: bool = False, set_back_ns: int = 0) -> RunningSession:
        """Kill the running session, if any, and start one with what is on disk, its clock set back."""
        self.kill()
        made = RunningSession(
            self._directory,
            self.broker,
            journalled=journalled,
            strategy=self.strategy,
            settings=self._settings,
            set_back_ns=set_back_ns,
        )
        self._processes.append(made)
        return self._processes[-1]

    def kill(self) -> None:
        if self._processes:
            self._processes[-1].store.close()
            journal = self._processes[-1].journal
            if journal is not None:
                journal.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.kill()


@contextmanager
def killed() -> Iterator[None]:
    with pytest.raises(Killed):
        yield


def dies(*_: object) -> None:
    raise Killed


def test_killed_when_the_intent_is_written_and_nothing_was_sent(session: Session) -> None:
    """Absent from the broker's books twice: it was never sent, gives back its money and keeps its id."""
    first = session.restart()
    session.broker.receives = False
    session.broker.before_answer = dies
    with killed():
        first.buys()
    written = first.store.orders()[0].client_order_id

    session.broker.receives, session.broker.before_answer = True, lambda approved: None
    again = session.restart()
    assert [order.state for order in again.shared.orders] == [OrderState.UNKNOWN]
    assert not again.is_free()
    again.resolves()

    assert again.order().state is OrderState.NOT_SENT
    assert again.is_free()
    again.buys(221)
    assert [approved.request.client_order_id for approved in session.broker.placed].count(written) == 1
    run_to_completion(again.shared.record.checkpoint())
    assert len({row.approval_id for row in again.store.decisions()}) == len(again.store.decisions()) == 2


def test_an_order_that_no_checkpoint_knows_counts_against_the_limits_of_the_day(session: Session) -> None:
    first = session.restart()
    session.broker.before_answer = dies
    with killed():
        first.buys()

    day = session.restart().shared.day

    assert day.entries == 1
    assert day.orders_within(1_000_000_000, kst(10, 0, 1)) == 1
    assert session.restart().shared.day.entries == 1


def test_killed_when_it_was_sent_and_not_answered(session: Session) -> None:
    first = session.restart()
    session.broker.before_answer = dies
    with killed():
        first.buys()

    session.broker.before_answer = lambda approved: None
    again = session.restart()
    again.resolves()

    assert again.order().state is OrderState.WORKING
    assert len(session.broker.placed) == 1


def test_killed_after_the_answer_was_lost(session: Session) -> None:
    first = session.restart()
    session.broker.answers.append(AckStatus.UNKNOWN)
    first.buys()

    again = session.restart()
    again.resolves()

    assert again.order().state is OrderState.WORKING
    assert len(session.broker.placed) == 1


def placed(session: Session, *, journalled: bool = False) -> tuple[RunningSession, str]:
    running = session.restart(journalled=journalled)
    running.buys()
    order = running.order()
    assert order.state is OrderState.WORKING
    return running, order.client_order_id


def test_a_fill_that_was_journalled_and_not_stored_is_applied(session: Session) -> None:
    """A real broker does not tell it again: here not even when it is asked."""
    first, key = placed(session, journalled=True)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2))
    session.broker.books.fills.clear()
    assert first.journal is not None
    first.journal.flush()

    again = session.restart(journalled=True)

    assert [(row.order_id, row.qty) for row in again.ledger()] == [(key, 10)]
    assert again.held() == session.broker.books.held[SYMBOL] == 10
    assert again.order().state is OrderState.FILLED
    assert again.is_free()


def test_a_fill_that_the_broker_knows_and_the_rows_lack_is_booked_once(session: Session) -> None:
    _, key = placed(session)
    session.kill()
    session.broker.fill(key, 4, 150_100, kst(10, 0, 2), told=False)

    again = session.restart()
    third = session.restart()

    assert [row.qty for row in third.ledger()] == [4]
    assert third.held() == again.held() == 4
    assert third.order().state is OrderState.PARTIAL


def test_a_fill_that_came_before_the_checkpoint_and_was_never_told_is_booked(session: Session) -> None:
    """The order has ended here, and its fill is older than what the checkpoint knows."""
    first, key = placed(session)
    session.broker.fill(key, 4, 150_100, kst(10, 0, 2), told=False)
    session.broker.end(key, kst(10, 0, 3))
    run_to_completion(first.kernel.drain())
    first.quote(30)
    assert first.order().state is OrderState.CANCELLED

    again = session.restart()

    assert again.held() == 4
    assert again.order().state is OrderState.FILLED_LATE


def test_a_fill_journalled_and_sent_again_is_booked_once(session: Session) -> None:
    first, key = placed(session, journalled=True)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2))
    assert first.journal is not None
    first.journal.flush()

    again = session.restart(journalled=True)

    assert len(again.ledger()) == 1
    assert again.held() == 10


def test_a_fill_that_is_stored_and_in_no_checkpoint_is_not_taken_back(session: Session) -> None:
    first, key = placed(session)
    first.store.without_checkpoint = lambda records: any(isinstance(record, LedgerRow) for record in records)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2))
    with killed():
        run_to_completion(first.kernel.drain())

    again = session.restart()

    assert [row.qty for row in again.ledger()] == [10]
    assert again.held() == 10
    assert again.shared.account.cash == 100_000_000 - sum(row.amount + row.fee + row.tax for row in again.ledger())
    assert again.order().state is OrderState.FILLED
    assert again.is_free()


def test_it_goes_on_from_the_opening_balances_and_the_rows_since(session: Session) -> None:
    # Given four shares bought, a closed day, and six more whose fill is stored in no checkpoint
    first, key = placed(session)
    session.broker.fill(key, 4, 150_100, kst(10, 0, 2))
    run_to_completion(first.kernel.drain())
    assert first.kernel.components.closes.close(kst(15, 32))
    run_to_completion(first.shared.record.checkpoint())
    first.store.without_checkpoint = lambda records: any(isinstance(record, LedgerRow) for record in records)
    session.broker.fill(key, 6, 150_100, kst(10, 0, 3))
    with killed():
        run_to_completion(first.kernel.drain())

    # When it goes on
    again = session.restart()

    # Then the first fill is part of what it opened with, and the second one is in memory
    account = again.shared.account
    assert (again.held(), account.fills_applied, len(account._booked.fills)) == (10, 2, 1)
    assert account.cash == 100_000_000 - sum(row.amount + row.fee + row.tax for row in again.ledger())
    assert again.order().state is OrderState.FILLED
    assert again.is_free()
    # And the first one told again is a duplicate
    before = again.kernel.execution_reports.duplicates
    session.broker.publish(session.broker.books.fills[0])
    run_to_completion(again.kernel.drain())
    assert (again.kernel.execution_reports.duplicates, again.held()) == (before + 1, 10)


def test_of_safety_the_stricter_of_row_and_checkpoint_holds(session: Session) -> None:
    first = session.restart()
    first.quote(0)
    first.store.without_checkpoint = lambda records: any(isinstance(record, SafetyRow) for record in records)
    with killed():
        first.kernel.on_code("FS104", "stopped by hand")
        run_to_completion(first.kernel.drain())

    again = session.restart()

    assert again.shared.safety.current_state is SafetyState.LOCKDOWN
    run_to_completion(again.shared.record.checkpoint())
    numbers = [row.seq for row in again.store.safety_history()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_order_at_the_broker_that_is_not_ours_is_named(session: Session) -> None:
    _, key = placed(session)
    foreign = session.broker.books.orders[key]
    session.broker.books.orders["theirs"] = replace(
        foreign, client_order_id=None, ref=replace(foreign.ref, number="app-1"), side=Side.SELL, qty=D(3)
    )

    again = session.restart()

    assert f"order app-1 at scripted is not ours: SELL 3 {SYMBOL}" in [line.message for line in again.logged]


def test_until_the_broker_can_be_asked_no_entry_leaves_and_what_is_held_is_sold(session: Session) -> None:
    # Given ten shares held, an order executed while the session is away, and a broker that does not tell it
    placed(session)
    session.broker.fill(session.broker.placed[0].request.client_order_id, 10, 150_100, kst(10, 0, 2))
    session.broker.is_up = False
    running = session.restart()
    assert running.kernel.unresolved.not_compared
    # when an entry is wanted, then it is refused
    running.quote(61)
    running.scripted.wants(Side.BUY, qty=5)
    running.quote(62)
    assert running.kernel.counters.refusals == {"BROKER_NOT_COMPARED": 1}
    assert len(session.broker.placed) == 1
    # When it can be asked, then what it shows is booked, and entries leave again
    session.broker.is_up = True
    running.quote(123)
    running.quote(124)
    assert (running.held(), running.kernel.unresolved.not_compared) == (10, "")
    running.scripted.wants(Side.BUY, qty=5)
    running.quote(125)
    assert len(session.broker.placed) == 2


def test_a_late_answer_to_an_order_that_no_one_knows_any_more_changes_nothing(session: Session) -> None:
    running, _ = placed(session)
    before = list(running.shared.orders.remembered())

    running.kernel.unresolved.adopt(OrderAck(AckStatus.ACCEPTED, "o-of-long-ago"), kst(10, 0, 5))

    assert list(running.shared.orders.remembered()) == before


def test_a_store_of_a_real_broker_is_never_rewound(session: Session) -> None:
    running, _ = placed(session)
    with pytest.raises(StateError, match="is not rewound"):
        running.store.rewind()


def test_the_broker_says_how_a_session_recovers(session: Session, rig_of: Callable[..., Rig]) -> None:
    assert isinstance(session.restart().kernel.components.recovery, RollForward)
    assert isinstance(rig_of().kernel.components.recovery, RewindAndReplay)


@pytest.mark.parametrize(("rejected", "state"), [(False, OrderState.CANCELLED), (True, OrderState.REJECTED)])
def test_an_order_that_ended_at_the_broker_in_between_ends_here(
    session: Session, rejected: bool, state: OrderState
) -> None:
    """The broker has reported it to no one and does not report it again; what it held is free."""
    _, key = placed(session)
    session.kill()
    session.broker.fill(key, 4, 150_100, kst(10, 0, 2), told=False)
    session.broker.end(key, kst(10, 0, 3), rejected=rejected, told=False)

    again = session.restart()

    assert (again.order().state, again.order().filled) == (state, D(4))
    assert again.held() == 4
    assert again.is_free()


def test_an_unknown_order_that_ended_at_the_broker_is_not_adopted_as_one_that_works(session: Session) -> None:
    first = session.restart()
    session.broker.answers.append(AckStatus.UNKNOWN)
    first.buys()
    (key,) = session.broker.books.orders
    session.broker.fill(key, 4, 150_100, kst(10, 0, 2), told=False)
    session.broker.end(key, kst(10, 0, 3), told=False)

    first.resolves()

    assert (first.order().state, first.order().filled) == (OrderState.CANCELLED, D(4))
    assert first.held() == 4
    assert first.order().venue_refs == (session.broker.books.orders[key].ref,)
    assert first.is_free()


def without_ids(session: Session) -> None:
    """From now on the broker keeps no ids of its clients."""
    broker = session.broker
    broker.capabilities = replace(broker.capabilities, client_order_ids=False)


def test_an_unknown_order_that_may_be_one_of_two_nameless_ones_at_the_broker_stays_unknown(
    session: Session,
) -> None:
    first = session.restart()
    session.broker.answers.append(AckStatus.UNKNOWN)
    first.buys()
    without_ids(session)
    session.broker.order_by_hand(SYMBOL, Side.BUY, 10, kst(10, 0, 1))

    first.resolves()

    assert first.order().state is OrderState.UNKNOWN
    assert not first.is_free()


def test_an_order_is_known_by_its_number_where_the_broker_keeps_no_ids(session: Session) -> None:
    _, key = placed(session)
    without_ids(session)

    again = session.restart()
    again.quote(30)
    run_to_completion(again.kernel.auditor.run_full_audit(kst(10, 1)))

    assert not [line.message for line in again.logged if "is not ours" in line.message]
    assert again.kernel.invariants.summary()["inv12"]["ok"]
    session.broker.end(key, kst(10, 0, 3), told=False)
    assert session.restart().order().state is OrderState.CANCELLED


def test_absence_counts_only_when_the_broker_would_show_the_order(session: Session) -> None:
    session.broker.capabilities = replace(session.broker.capabilities, visibility_lag_ns=100 * 1_000_000_000)
    first = session.restart()
    session.broker.receives = False
    session.broker.answers.append(AckStatus.UNKNOWN)
    first.buys()

    first.quote(70)
    first.quote(130)
    assert first.order().state is OrderState.UNKNOWN
    first.quote(190)
    assert first.order().state is OrderState.NOT_SENT


def test_of_orders_that_have_ended_the_last_are_remembered(session: Session) -> None:
    """One that was open at the checkpoint has ended last, and may hear of a late fill."""
    first, key = placed(session)
    first.store.without_checkpoint = lambda records: any(isinstance(record, LedgerRow) for record in records)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2))
    with killed():
        run_to_completion(first.kernel.drain())
    (order,) = first.store.orders()
    for number in range(1_000):
        ended_before = replace(
            order,
            request=replace(order.request, client_order_id=f"x-{number}", ts_ns=order.ts_intent_ns + 1),
            approval_id=f"y-{number}",
            state=OrderState.NOT_SENT,
            ts_update_ns=order.ts_intent_ns + 2,
        )
        decision = DecisionRow(f"y-{number}", f"z-{number}", f"x-{number}", kst(10), kst(11), "", "{}")
        SqliteStore.commit(first.store, [decision, ended_before])

    again = session.restart()

    assert again.shared.orders.get(key) == order
