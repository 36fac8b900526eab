"""Exits of every origin in a session: one order of a holding at a time, and gone in whatever order they come."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from qts.capital.contracts import Pool
from qts.execution.contracts import OrderState
from qts.execution.protective.contracts import Origin
from qts.notes import in_english, in_korean
from qts.runtime.orders.exit_view import exit_text
from qts.runtime.session.session_view import SessionView
from qts.runtime.session.view_builder import view_of
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.effort import EVERY_CALL
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst, with_ten
from tests.runtime.test_session_metrics import MACHINE, RUN, reader

MakeRig = Callable[..., Rig]
S = 1_000_000_000
FIVE = tuple(origin for origin in Origin if origin is not Origin.SENT_BEFORE)
ORDERS = list(permutations(FIVE))
CHOSEN = ORDERS if EVERY_CALL else random.Random(5).sample(ORDERS, 12)


def shown(rig: Rig, ended: str = "") -> SessionView:
    return view_of(rig.kernel, RUN, "paper", ended, MACHINE)


def exits_open(rig: Rig) -> int:
    return sum(1 for order in rig.shared.orders if order.forced)


@pytest.mark.parametrize("five", CHOSEN, ids=lambda five: "-".join(one.value for one in five))
def test_requests_of_five_origins_for_one_holding_sell_it_once(five: tuple[Origin, ...], rig_of: MakeRig) -> None:
    # Given a holding of ten, and a market that takes two at a time
    rig = rig_of(scripted := ScriptedStrategy())
    now = with_ten(rig, scripted)
    # When every origin wants it gone, one after the other
    for number, origin in enumerate(five, 1):
        rig.kernel.exits.request("scripted", SYMBOL, origin, origin.value, now + number * S)
        rig.kernel.due.pending = True
        rig.quote(now + number * S, size=2)
        assert exits_open(rig) <= 1
    for second in range(6, 12):
        rig.quote(now + second * S, size=2)
        assert exits_open(rig) <= 1
    # Then it was sold once, and nothing is wanted any more
    sold = [order for order in rig.orders() if order.side is Side.SELL]
    assert (rig.held(), sum(int(order.filled) for order in sold)) == (0, 10)
    assert (len(rig.shared.protective), len(rig.shared.orders)) == (0, 0)
    assert {order.state for order in sold} <= {OrderState.FILLED, OrderState.CANCELLED}


def test_an_exit_required_on_another_thread_is_carried_out_on_that_of_the_session(rig_of: MakeRig) -> None:
    rig = rig_of(scripted := ScriptedStrategy())
    now = with_ten(rig, scripted)
    asks = threading.Thread(
        target=rig.kernel.exits.request_soon, args=("scripted", SYMBOL, Origin.HALTED, "a thread says so", now)
    )
    asks.start()
    asks.join()
    assert len(rig.shared.protective) == 0, "nothing happens on the other thread"
    rig.quotes(now + S, 3)
    assert rig.held() == 0


def test_the_order_of_a_part_makes_way_for_the_whole_of_a_stronger_one(rig_of: MakeRig) -> None:
    # Given an order over four of ten that finds one buyer
    rig = rig_of(scripted := ScriptedStrategy())
    now = with_ten(rig, scripted)
    rig.quote(now + S, size=1)
    rig.kernel.exits.request_part("scripted", SYMBOL, Origin.LEVEL, Decimal(4), "four of them")
    rig.kernel.exits.begin_parts([("scripted", SYMBOL)], now + S)
    rig.kernel.due.pending = True
    rig.quote(now + 2 * S, size=1)
    assert [(order.qty, order.forced) for order in rig.shared.orders] == [(4, True)]
    # When an operator wants everything gone
    rig.kernel.exits.request("scripted", SYMBOL, Origin.OPERATOR, "all of it", now + 3 * S)
    rig.kernel.due.pending = True
    rig.quote(now + 3 * S, size=1)
    rig.quotes(now + 4 * S, 4)
    # Then the order over four is cancelled, and one for all that is left follows
    four, rest = [order for order in rig.orders() if order.side is Side.SELL]
    assert four.state is OrderState.CANCELLED
    assert (four.filled + rest.filled, rest.reason, rig.held()) == (10, "all of it", 0)


# -- an escape ----------------------------------------------------------------------------------------------------


def in_portfolio() -> ScriptedStrategy:
    """A strategy of the pool that is active in every state: no state sells anything of it."""
    return ScriptedStrategy("scripted", Pool.PORTFOLIO)


def test_an_escape_raises_its_code_cancels_everything_and_ends_flat(rig_of: MakeRig) -> None:
    rig = rig_of(scripted := in_portfolio())
    now = with_ten(rig, scripted)
    scripted.wants(Side.BUY, qty=5, limit=149_000)
    scripted.wants(Side.SELL, qty=4, limit=160_000)
    now = rig.quotes(now + S, 2)
    assert len(rig.shared.orders) == 2

    rig.kernel.exits.request("scripted", SYMBOL, Origin.ESCAPE, "the time is over", now)
    rig.kernel.due.pending = True
    rig.quotes(now + S, 4)

    assert (rig.held(), len(rig.shared.orders), len(rig.shared.protective)) == (0, 0, 0)
    assert [row.code for row in rig.store.safety_history()] == ["FS092"]
    assert rig.shared.safety.current_state is SafetyState.FAIL


def test_an_escape_in_a_closed_market_waits_alerts_once_and_ends_when_it_opens(rig_of: MakeRig) -> None:
    rig = rig_of(scripted := in_portfolio())
    with_ten(rig, scripted)
    closed = kst(16)
    rig.quote(closed)
    rig.kernel.exits.request("scripted", SYMBOL, Origin.ESCAPE, "the line is not stable", closed)
    rig.kernel.due.pending = True
    for minute in range(1, 6):
        rig.quote(closed + minute * 60 * S)
    (one,) = rig.shared.protective.of(("scripted", SYMBOL))
    assert "CLOSED" in one.why.upper()
    assert [line.message for line in rig.logged if "it is tried again" in line.message] == [
        f"scripted cannot leave {SYMBOL}: the market of {SYMBOL} is CLOSED; it is tried again"
    ]
    assert rig.held() == 10
    view = shown(rig)
    (shows,) = view.exits
    assert exit_text(shows) == (
        f"scripted leaves 10 {SYMBOL}, the market of {SYMBOL} is CLOSED (ESCAPE): the line is not stable"
    )
    assert view.positions[0].leaving == "the line is not stable"
    assert reader(view)("qts_open_exits", {"origin": "ESCAPE"}) == 1
    (note,) = [one for one in shown(rig, "stopped").note_values if one.code == "exit-open-at-end"]
    assert in_english(note).startswith(f"the exit of 10 {SYMBOL} that scripted holds was not over at the end")
    assert f"{SYMBOL} 10주 청산" in in_korean(note)
    rig.quote(kst(8, 31, day=23))
    rig.quotes(kst(9, 0, 1, day=23), 3)
    assert (rig.held(), len(rig.shared.protective)) == (0, 0)


def test_an_escape_goes_on_by_itself_after_a_restart(tmp_path: Path) -> None:
    # Given an escape that waits for the next day, and a session that ends without a word
    rig = Rig(tmp_path, scripted := in_portfolio())
    with_ten(rig, scripted)
    rig.quote(kst(16))
    rig.kernel.exits.request("scripted", SYMBOL, Origin.ESCAPE, "the line is not stable", kst(16))
    rig.kernel.due.pending = True
    rig.quote(kst(16, 1))
    rig.store_now()
    rig.close()
    # When it is resumed
    again = Rig(tmp_path, in_portfolio(), is_resumed=True)
    assert [one.origin for one in again.shared.protective.of(("scripted", SYMBOL))] == [Origin.ESCAPE]
    again.quote(kst(8, 31, day=23))
    again.quotes(kst(9, 0, 1, day=23), 3)
    # Then it ends flat
    assert (again.held(), len(again.shared.protective)) == (0, 0)
    again.close()
