"""A holding that sales have made short is bought back by every forced exit: what is missing, and never more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qts.capital.contracts import Pool
from qts.event.contracts import EventType
from qts.execution.contracts import EmergencyStop
from qts.risk.contracts import OrderType
from qts.runtime.control.commands import Flatten
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.runtime.books_rig import PRICE, bought, told
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_recovery import RunningSession, Session


class InPortfolio(ScriptedStrategy):
    """A strategy of the pool that is active in every state: it alone is sold by no state."""

    def __init__(self) -> None:
        super().__init__("scripted", Pool.PORTFOLIO)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    made.strategy = InPortfolio
    yield made
    made.kill()


def short(session: Session, qty: int) -> tuple[RunningSession, str]:
    """Have ten shares bought and offered, and ``qty`` more of them sold than that; return the sale too."""
    running, buy = bought(session)
    fills(session, running, buy, 10, 2)
    running.scripted.wants(Side.SELL, qty=10)
    running.quote(3)
    sale = session.broker.placed[-1].request.client_order_id
    sells(session, running, sale, 10, qty)
    assert running.held() == -qty
    assert not running.shared.protective.reasons()
    return running, sale


def sells(session: Session, running: RunningSession, sale: str, *parts: int) -> None:
    for part in parts:
        session.broker.fill(sale, part, PRICE, kst(10, 0, 4))
    told(running)


def stops(running: RunningSession, second: float = 5) -> None:
    stop = EmergencyStop("alice", "enough", kst(10, 0, second))
    running.kernel.dispatcher.publish(EventType.EMERGENCY_STOP, stop, "alice")
    running.quote(second)


def purchases(session: Session) -> list[tuple[str, int]]:
    """Return the orders that buy back, with their quantities; each only reduces, and is at the market."""
    back = [one.request for one in session.broker.placed if one.request.side is Side.BUY][1:]
    assert all(one.reduce_only and one.forced and one.type is OrderType.MARKET for one in back)
    return [(one.client_order_id, int(one.qty)) for one in back]


def fills(session: Session, running: RunningSession, key: str, qty: int, second: float) -> None:
    session.broker.fill(key, qty, PRICE, kst(10, 0, second))
    told(running)


def stays_flat(session: Session, running: RunningSession) -> bool:
    before = len(session.broker.placed)
    for second in (300, 380, 460):
        running.quote(second)
    is_over = not running.shared.protective.reasons() and running.is_free()
    return is_over and running.held() == 0 and len(session.broker.placed) == before


def test_an_emergency_stop_buys_what_is_missing_and_ends_flat(session: Session) -> None:
    running, _ = short(session, 5)

    stops(running)

    ((key, qty),) = purchases(session)
    assert qty == 5
    fills(session, running, key, 5, 6)
    assert stays_flat(session, running)


def test_a_halted_strategy_s_short_holding_is_bought_back(session: Session) -> None:
    running, _ = short(session, 5)

    running.scripted.fail_with = [ValueError("broken")] * 10
    for second in range(5, 15):
        running.quote(second)

    assert "its strategy was halted" in running.shared.protective.reasons()["scripted", SYMBOL]
    assert [qty for _, qty in purchases(session)] == [5]


def test_what_a_working_purchase_buys_back_already_is_not_bought_twice(session: Session) -> None:
    # Given two that are short, and an order of two that buys them back and works
    running, sale = short(session, 2)
    stops(running)
    ((first, qty),) = purchases(session)
    assert qty == 2

    # When three more are sold than were offered
    sells(session, running, sale, 3)
    assert running.held() == -5
    running.quote(70)

    # Then the three wait for the end of the order over two, and both make it flat
    assert [key for key, _ in purchases(session)] == [first]
    assert session.broker.cancels == []
    fills(session, running, first, 2, 71)
    running.quote(72)
    (_, (second, qty)) = purchases(session)
    assert qty == 3
    fills(session, running, second, 3, 73)
    assert stays_flat(session, running)


def test_of_a_purchase_that_ends_early_the_rest_is_bought(session: Session) -> None:
    running, _ = short(session, 5)
    stops(running)
    ((first, _),) = purchases(session)
    fills(session, running, first, 2, 6)
    running.quote(70)
    assert len(purchases(session)) == 1  # it still buys the other three
    session.broker.end(first, kst(10, 1, 11))
    told(running)

    running.quote(140)

    (_, (second, qty)) = purchases(session)
    assert qty == 3
    fills(session, running, second, 3, 141)
    assert stays_flat(session, running)


def test_an_exit_of_a_purchase_that_nothing_is_short_for_is_refused(session: Session) -> None:
    running, _ = short(session, 5)
    stops(running)
    ((key, _),) = purchases(session)
    fills(session, running, key, 5, 6)

    stops(running, 80)

    assert [qty for _, qty in purchases(session)] == [5]


def test_a_restart_continues_it_and_buys_nothing_twice(session: Session) -> None:
    running, _ = short(session, 5)
    stops(running)
    run_to_completion(running.shared.record.checkpoint())

    again = session.restart()
    for second in (70, 140):
        again.quote(second)

    ((key, qty),) = purchases(session)
    assert qty == 5
    fills(session, again, key, 5, 141)
    assert stays_flat(session, again)


def test_flatten_buys_back_what_is_missing_and_what_it_tells_has_a_minus(session: Session) -> None:
    running, _ = short(session, 5)

    answer, progress = run_to_completion(
        running.kernel.components.flattens.execute(Flatten(operator="kim", reason="drill", name=SYMBOL))
    )
    running.quote(5)

    assert answer.answer.endswith("to be sold, or bought back where it is short: scripted -5 005930")
    ((key, qty),) = purchases(session)
    assert qty == 5
    fills(session, running, key, 2, 6)
    (row,) = progress.report().holdings
    assert (row.asked, row.sold, row.left, row.held) == ("-5", "-2", "-3", "-3")
    assert row.why == f"order {key} over 3 buys back (PARTIAL)"
    fills(session, running, key, 3, 7)
    running.quote(70)
    (row,) = progress.report().holdings
    assert (row.sold, row.left, progress.report().complete) == ("-5", "0", True)
    assert len(running.shared.protective) == 0
    assert stays_flat(session, running)


def test_flatten_of_shares_that_a_late_sale_makes_short_buys_nothing(session: Session) -> None:
    """What was to be sold is sold; what is short since then was not asked for."""
    running, buy = bought(session)
    fills(session, running, buy, 10, 2)
    run_to_completion(
        running.kernel.components.flattens.execute(Flatten(operator="kim", reason="drill", name=SYMBOL))
    )
    running.quote(3)
    sale = session.broker.placed[-1].request.client_order_id

    sells(session, running, sale, 10, 2)
    running.quote(70)

    assert (running.held(), purchases(session)) == (-2, [])
    assert len(running.shared.protective) == 0


def test_it_leaves_when_the_pool_has_no_cash_for_it(session: Session) -> None:
    running, _ = short(session, 5)
    account, pool = running.shared.account, running.kernel.signals.pools["scripted"]
    price = account.available(pool)
    assert account.reserve("other", "scripted", pool, SYMBOL, Side.BUY, price, price, price)
    assert account.available(pool) == 0

    stops(running)

    assert [qty for _, qty in purchases(session)] == [5]
