"""The first start of a session on an account at a broker: what is there and not ours becomes EXTERNAL, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.broker.contracts import Balance, BrokerOrder, BrokerOrderState
from qts.errors import BrokerUnavailable, InputError, QtsError
from qts.execution.contracts import Fill, VenueRef
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.kernel import Kernel
from qts.strategy.contracts import Side
from tests.broker.scripted import DAY, ScriptedBroker
from tests.effort import EVERY_KILL
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_recovery import Disk, Session, dies, killed, session

__all__ = ["session"]

OTHER = "000660"
OPENED = [("OPENING", "", 3_000_000, 0, 0), ("OPENING", OTHER, 0, 3, 601_000), ("OPENING", SYMBOL, 0, 7, 1_050_000)]
EARLIER = Fill(
    "scripted", "x-0", "by hand", SYMBOL, Side.BUY, D(7), D(150_000), D(0), D(0), kst(9, 0, 2), last=True
)


def rows(rig: LiveRig | object) -> list[tuple[str, str, int, int, int]]:
    """Return kind, symbol, cash, shares and cost of the stored bookings, all of EXTERNAL."""
    run_to_completion_of(rig)
    stored = rig.store.bookings()  # type: ignore[attr-defined]
    assert all(row.pool is None for row in stored)
    return sorted((r.kind.value, r.symbol, int(r.amount), int(r.qty), int(r.cost)) for r in stored)


def agreed(kernel: Kernel) -> list[object]:
    """Return whether pools, positions and bookings are what their rows give, and all three counts agree."""
    checks = kernel.invariants.summary()
    return [checks[f"inv{number:02d}"]["ok"] for number in (1, 4, 5, 25)]


def run_to_completion_of(rig: object) -> None:
    if not isinstance(rig, LiveRig):
        run_to_completion(rig.shared.record.checkpoint())  # type: ignore[attr-defined]


def used_before(broker: ScriptedBroker) -> ScriptedBroker:
    """An account with 103,000,000 won, 7 shares at 150,000 and 3 at 200,333.50, of which we get 100,000,000."""
    broker.books.held, broker.books.paid = {SYMBOL: D(7), OTHER: D(3)}, {SYMBOL: D(150_000), OTHER: D("200333.50")}
    broker.books.cash = D(103_000_000)
    broker.books.fills = [EARLIER]
    return broker


async def test_what_the_broker_has_beside_our_capital_is_external(tmp_path: Path) -> None:
    # Given an account with money and shares of its owner
    broker, strategy = used_before(ScriptedBroker()), ScriptedStrategy()
    ref = VenueRef(DAY, "17", "scripted")
    broker.books.orders["by hand"] = BrokerOrder(None, ref, OTHER, Side.SELL, D(3), D(1), BrokerOrderState.OPEN)
    # When a session starts on it for the first time
    async with live(tmp_path, strategies=[strategy], settings={}, broker=broker) as rig:
        account = rig.kernel.shared.account
        # Then 100,000,000 won are ours, and the rest is EXTERNAL: 601,000.50 is 601,000 in whole won
        assert rows(rig) == OPENED
        assert (account.cash, account.external.cash, account.broker_cash) == (100_000_000, 3_000_000, 103_000_000)
        assert account.broker_positions() == {SYMBOL: 7, OTHER: 3}
        # And none of it is ours: no holding, no exposure, no fill
        assert (account.positions(), account.equity(lambda _: D(1))) == ({}, 100_000_000)
        assert strategy.fills == []
        # And the owner's open order is named
        await rig.drain()
        told = [line.message for line in rig.logged]
        assert "order 17 at scripted is not ours: SELL 2 000660" in told
        assert any("EXTERNAL, which is not: cash 3000000; held: 7 005930 for 1050000" in line for line in told)
        # And books and broker agree
        await rig.kernel.auditor.run_full_audit(rig.clock.time_ns())
        assert agreed(rig.kernel) == [True] * 4


def test_it_is_adopted_once(session: Session) -> None:
    # Given a session that has adopted an account, on which the owner had traded the same day
    used_before(session.broker)
    first = session.restart()
    assert rows(first) == OPENED
    # When it is started again, although the owner has paid in and its news come again
    assert session.broker.books.cash is not None
    session.broker.books.cash += 5
    again = session.restart()
    session.broker.publish(EARLIER)
    run_to_completion(again.kernel.drain())
    # Then nothing is adopted twice, and what is in the opening already is no execution of today
    assert rows(again) == OPENED
    assert again.kernel.execution_reports.duplicates == 1
    run_to_completion(again.kernel.auditor.run_full_audit(again.clock.time_ns()))
    assert agreed(again.kernel) == [True] * 4
    # But what is traded by hand from now on is
    session.broker.trade_by_hand(
        Fill("scripted", "x-9", "by hand", SYMBOL, Side.SELL, D(2), D(150_000), D(0), D(0), kst(9, 0, 3), last=True)
    )
    run_to_completion(again.kernel.drain())
    assert again.shared.account.external.positions() == {SYMBOL: 5, OTHER: 3}
    run_to_completion(again.kernel.auditor.run_full_audit(again.clock.time_ns()))
    assert agreed(again.kernel) == [True] * 4


QUERIES = 8


@pytest.mark.parametrize("at", range(QUERIES + 2) if EVERY_KILL else (0, 5, QUERIES, QUERIES + 1))
def test_killed_at_any_step_it_is_adopted_once(session: Session, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process that is killed at its first to last question, before it writes, or right after it wrote
    used_before(session.broker)
    left = [at]

    def step() -> None:
        left[0] -= 1
        if left[0] < 0:
            dies()

    session.broker.before_query = step
    with dies_while_it_writes(monkeypatch, before=at == QUERIES, after=at == QUERIES + 1), killed():
        session.restart()
    # When the next one starts
    session.broker.before_query = lambda: None
    again = session.restart()
    # Then the account is adopted as if nothing had happened, and a third process changes nothing
    assert rows(again) == OPENED
    assert rows(session.restart()) == OPENED
    assert again.shared.account.broker_cash == 103_000_000


@contextmanager
def dies_while_it_writes(monkeypatch: pytest.MonkeyPatch, *, before: bool, after: bool) -> Iterator[None]:
    commit = Disk.commit

    def killing(self: Disk, *args: object) -> None:
        if not before:
            commit(self, *args)  # type: ignore[arg-type]
        dies()

    with monkeypatch.context() as patch:
        if before or after:
            patch.setattr(Disk, "commit", killing)
        yield


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (lambda b: None, "does not say what money the account has"),
        (lambda b: Balance("KRW", None, D(1)), "says nothing of its settled cash; allowed: an amount"),
        (lambda b: Balance("KRW", D(103_000_000), None), "says nothing of its orderable cash"),
        (lambda b: Balance("KRW", D("NaN"), D(1)), "change while they are read|says NaN"),
        (lambda b: Balance("USD", D(103_000_000), D(103_000_000)), "in USD, the session in KRW"),
    ],
)
async def test_without_the_brokers_cash_the_session_does_not_begin(
    tmp_path: Path, says: Callable[[ScriptedBroker], Balance | None], problem: str
) -> None:
    broker = used_before(ScriptedBroker())
    broker.told_balance = lambda: says(broker)
    await does_not_begin(tmp_path, broker, BrokerUnavailable, problem)


@pytest.mark.parametrize("price", [None, D("NaN"), D(-1)])
async def test_without_what_holdings_have_cost_it_does_not_begin(tmp_path: Path, price: D | None) -> None:
    broker = used_before(ScriptedBroker())
    broker.books.paid[OTHER] = price
    await does_not_begin(tmp_path, broker, BrokerUnavailable, "its 3 000660 have cost each|change while they are")


async def test_without_a_line_it_does_not_begin(tmp_path: Path) -> None:
    broker = used_before(ScriptedBroker())
    broker.is_up = False
    await does_not_begin(tmp_path, broker, BrokerUnavailable, "not connected: the session does not begin")


async def test_books_that_change_all_the_time_are_not_adopted(tmp_path: Path) -> None:
    broker = used_before(ScriptedBroker())

    def trades() -> None:
        broker.books.held[OTHER] += 1

    broker.before_query = trades
    await does_not_begin(tmp_path, broker, BrokerUnavailable, "change while they are read")


async def test_books_that_change_no_more_are(tmp_path: Path) -> None:
    # Given a purchase by hand between the answers of orders and of holdings
    broker = used_before(ScriptedBroker())
    one = Fill("scripted", "x-5", "by hand", OTHER, Side.BUY, D(1), D(1_000), D(0), D(0), kst(9), last=True)

    def buys() -> None:
        if broker.calls[-1] == "orders" and len(broker.books.fills) == 1:
            broker.trade_by_hand(one, told=False)

    broker.before_query = buys
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        # Then it is in both: the cash without it was not taken with the shares
        account = rig.kernel.shared.account
        assert (account.external.positions()[OTHER], account.broker_cash) == (4, 102_999_000)
        assert account.has_booked(one)


@pytest.mark.parametrize(
    ("settled", "orderable", "most"), [(99_999_999, 100_000_000, 99_999_999), (103_000_000, 90_000_000, 90_000_000)]
)
async def test_more_than_the_broker_has_is_not_allotted(
    tmp_path: Path, settled: int, orderable: int, most: int
) -> None:
    broker = used_before(ScriptedBroker())
    broker.told_balance = lambda: Balance("KRW", D(settled), D(orderable))
    error = await does_not_begin(tmp_path, broker, InputError, f"allowed: at most {most}")
    assert "runtime.equity_start: 100000000 are allotted" in str(error)
    assert error.exit_code == 2


async def test_part_of_a_won_is_not_allotted(tmp_path: Path) -> None:
    settings = {"runtime.equity_start": "99999999.5"}
    with pytest.raises(InputError, match=r"runtime.equity_start: 99999999.5; allowed .* whole units of 1"):
        async with live(tmp_path, strategies=[], settings=settings, broker=used_before(ScriptedBroker())):
            raise AssertionError("it began")


async def does_not_begin(tmp_path: Path, broker: ScriptedBroker, kind: type[QtsError], problem: str) -> QtsError:
    """Start a session that refuses; nothing is stored, and no order has left."""
    with pytest.raises(kind, match=problem) as refused:
        async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}, broker=broker):
            pytest.fail("it has begun")
    assert (broker.placed, broker.cancels) == ([], [])
    return refused.value


async def test_a_simulated_exchange_has_nothing_of_others(tmp_path: Path) -> None:
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}) as rig:
        assert rows(rig) == []
