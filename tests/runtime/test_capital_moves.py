"""Capital that came or went: what earlier equity is compared with, levels, figures, and what people are shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.cli.status_screen import _capital
from qts.clock import to_ns
from qts.ledger.contracts import LedgerRow
from qts.market.krx import KST, KrxCalendar
from qts.report.report_data import moves_of, paid_in, running_drawdowns
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Adopt
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.metrics.capital_move import CapitalMove
from qts.runtime.session.assessment import Books, assess
from qts.runtime.session.view_builder import view_of
from qts.strategy.levels import Away
from tests.ledger.book import account, fill, note
from tests.runtime.rig import SYMBOL, Rig
from tests.runtime.test_position_triggers import bought, sales
from tests.runtime.test_session_bookings import close_of
from tests.runtime.test_session_metrics import MACHINE, RUN, reader

MakeRig = Callable[..., Rig]
S = 1_000_000_000


@pytest.mark.parametrize(
    ("before", "after", "amount", "carried"),
    [
        (80, 40, 100, 50),  # a fifth was lost, and a fifth stays lost
        (80, 120, 100, 150),
        (3, 2, 10, 7),  # 6.67 in whole won
        (80, 40, 80, 40),
        (0, 40, 100, 140),  # of nothing there is no share
        (-5, 40, 100, 145),
        (80, 0, 100, 20),
    ],
)
def test_an_earlier_equity_is_carried_over_as_the_share_that_it_was(
    before: int, after: int, amount: int, carried: int
) -> None:
    assert CapitalMove(D(before), D(after), D(1)).carried(D(amount)) == carried


@given(
    before=st.integers(1, 10**12),
    after=st.integers(1, 10**12),
    one=st.integers(0, 10**12),
    two=st.integers(0, 10**12),
)
def test_what_was_higher_stays_higher(before: int, after: int, one: int, two: int) -> None:
    move = CapitalMove(D(before), D(after), D(1))
    low, high = sorted((one, two))
    assert move.carried(D(low)) <= move.carried(D(high))


def test_levels_are_measured_from_the_new_average_cost(rig_of: MakeRig) -> None:
    # Given ten shares bought at 150,100 with a stop 2 % below, 147,000, and ten of EXTERNAL that have cost 140,100
    rig, _, now = bought(rig_of, stop=Away(share=0.02))
    rig.shared.account.book_external(fill("x", "BUY", 10, 140_100, symbol=SYMBOL, ts=now), actor="rule", reason="")
    # When the strategy takes them over, so that its shares have cost 145,100 each
    command = Adopt(operator="kim", reason="test", id="adopt-123", symbol=SYMBOL, strategy="scripted")
    run_to_completion(CommandHandler(rig.kernel).execute(command))
    bound = rig.kernel.triggers.of("scripted", SYMBOL)
    # Then the stop is 2 % below that: 142,198, on the grid of 100 142,100
    assert bound is not None
    assert bound.prices[0] == 142_100
    rig.quote(now + S, 146_900)
    assert sales(rig) == []


def test_shares_that_came_are_no_profit_and_their_trade_begins_at_the_market() -> None:
    # Given 7 shares at 50,000 that are EXTERNAL, and a million won
    book = account()
    bookings = [one.booking for one in book.adopt(D(1_500_000), {SYMBOL: (D(7), D(350_000))}, note("opening"))]
    at = to_ns(datetime(2026, 1, 22, 10, tzinfo=KST))
    # When they are taken over at 60,000, 420,000 in all, and sold at 61,000 the next day
    taken = book.take_over(SYMBOL, D(7), note("c-1", at), strategy="ema", pool=Pool.SCALP, price=D(60_000))
    bookings += [one.booking for one in taken]
    sale = book.apply_fill(
        fill("1", "SELL", 7, 61_000, symbol=SYMBOL, ts=at + 86_400 * S), strategy="ema", pool=Pool.SCALP
    )
    assert sale is not None
    rows: list[LedgerRow] = [sale.ledger]
    closes = [close_of(22, 1_420_000), close_of(23, 1_427_000)]
    found = assess(Books(D(1_000_000), closes, rows, [], bookings=bookings), KrxCalendar(), risk_free=0.0)
    # Then 7,000 were earned on 1,420,000, by a trade of 7,000
    assert found.performance is not None
    assert round(float(found.performance.total_return.value or 0), 6) == round(7_000 / 1_420_000, 6)
    assert [(trip.bought, trip.result) for trip in found.trips] == [(420_000, 7_000)]
    # And the report draws no fall and measures the gain against what was paid in
    assert moves_of(bookings) == [(at, D(420_000))]
    assert paid_in(D(1_000_000), {"deposits": "5", "contributions": "420000", "withdrawals": "2"}) == 1_420_003


def test_a_withdrawal_is_drawn_as_no_drawdown() -> None:
    # Given 100 won, of which 20 are lost, and half of the rest withdrawn before the third sample
    rows = [close_of(22, 100), close_of(23, 80), close_of(26, 40)]
    moves = [(rows[1].ts_ns + 1, D(-40))]
    assert [float(one) for one in running_drawdowns(rows, D(100), moves)] == [0, 0.2, 0.2]
    assert [float(one) for one in running_drawdowns(rows, D(100))] == [0, 0.2, 0.6]


def test_people_and_prometheus_see_what_came_and_what_is_not_ours(rig_of: MakeRig) -> None:
    # Given 10 shares of EXTERNAL, of which 4 were taken over at 150,000
    rig, _, now = bought(rig_of)
    rig.shared.account.book_external(fill("x", "BUY", 10, 140_100, symbol=SYMBOL, ts=now), actor="rule", reason="")
    equity = rig.shared.equity()
    command = Adopt(operator="kim", reason="test", id="adopt-123", symbol=SYMBOL, strategy="scripted", qty=D(4))
    run_to_completion(CommandHandler(rig.kernel).execute(command))
    # When it is looked at
    view = view_of(rig.kernel, RUN, "paper", "", MACHINE)
    read = reader(view)
    # Then 600,000 are paid in beside the opening, and no result
    assert (view.paid_in, view.equity - view.paid_in) == (100_600_000, equity - 100_000_000)
    assert list(_capital(view)) == [
        ("capital", "600,000 taken over"),
        ("not ours", "cash -1,401,000, 6 005930 that cost 840,600"),
    ]
    assert (read("qts_paid_in"), read("qts_external_cash"), read("qts_charges_due")) == (100_600_000, -1_401_000, 0)
    assert read("qts_external_position", {"symbol": SYMBOL}) == 6
