"""A session over splits and a dividend: what is held, ordered, valued and shown; numbers worked by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.clock import to_ns
from qts.db.datadir import DATABASE_NAME
from qts.market.actions import CorporateAction, Split
from qts.market.contracts import Bar, MarketValue, Quote
from qts.market.krx import krx_instrument
from qts.report.page import page
from qts.report.report_data import ReportData, Status, own_checks
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import session_facts
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.stores import stored_run
from qts.strategy.contracts import Context, Intent, Side
from tests.sim.sessions import run
from tests.sim.split_session import ACTIONS, FIRST, FIRST_WANTS, ListFeed, Scripted, at, split_plan, two


class Session:
    """A finished session: its strategies, its result and what it stored."""

    def __init__(self, directory: Path, actions: tuple[CorporateAction, ...] = ACTIONS, **overrides: str) -> None:
        self.first, self.second = two()
        plan = split_plan(
            directory / "run",
            actions=actions,
            strategies=(self.first, self.second),
            overrides={name.replace("__", "."): value for name, value in overrides.items()},
        )
        self.result: SessionResult = run(plan)
        with stored_run(directory / "run" / DATABASE_NAME) as store:
            self.ledger = store.ledger()
            self.actions = store.actions()
            self.orders = {order.reason: order for order in store.orders()}
            self.positions = {(row.strategy, row.symbol): row for row in store.positions()}
            self.equity = {row.ts_ns: row for row in store.equity_curve()}
            self.safety = store.safety_history()

    @property
    def broken(self) -> list[Any]:
        invariants = msgspec.to_builtins(self.result.values)["invariants"]
        return [row for row in invariants.values() if row["ok"] is False]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(tmp_path_factory.mktemp("split"))


def test_a_dividend_is_paid_on_the_shares_of_the_close_before_less_its_tax(session: Session) -> None:
    # 7 × 25.004 = 175.028; 15 % of 175.03 are 26.2545
    (paid,) = [row for row in session.actions if row.kind.value == "DIVIDEND"]
    assert (paid.held, paid.amount, paid.tax, paid.realized_pnl) == (7, D("175.03"), D("26.25"), D("148.78"))
    assert paid.ts_ns == at(2, 0) + 1


def test_a_split_multiplies_the_shares_and_pays_fractions(session: Session) -> None:
    # ABC: 7 × 50. DEF, three become one, at a bid of 12: 10 ÷ 3 leave 1 old share, 5 ÷ 3 leave 2
    splits = {(row.strategy, row.symbol): row for row in session.actions if row.kind.value == "SPLIT"}
    assert splits["first", "ABC"].change == 343
    assert (splits["first", "DEF"].change, splits["first", "DEF"].amount) == (-7, 12)
    assert (splits["second", "DEF"].change, splits["second", "DEF"].amount) == (-4, 24)
    assert session.positions["first", "DEF"].qty == 3
    # 10 shares at 12.01, nine of which became three
    assert session.positions["first", "DEF"].cost == D("108.09")


def test_the_account_is_worth_the_same_before_and_after_the_splits(session: Session) -> None:
    # The prices of the ex-date's first quotes are those of the last close: 2475 ÷ 50 = 49.5, 12 × 3 = 36
    before, after = session.equity[at(3, 0) - 60_000_000_000], session.equity[at(3, 1)]
    assert before.equity == after.equity
    # A third of an old share and two thirds are cash now
    assert after.cash - before.cash == 36


def test_a_split_looks_like_no_loss_and_breaks_no_rule(session: Session) -> None:
    values = msgspec.to_builtins(session.result.values)
    assert session.broken == []
    assert session.safety == []
    # The lowest is after the real fall to 48: paid 17,500.07, 180.15 for DEF, 2,475.50 and 9,602.00 for more ABC,
    # received 148.78 and 36; 600 ABC at 48 and 4 DEF at 36 are 28,944
    assert values["extremes"]["lowest_equity"]["amount"] == "99371.06"
    assert values["extremes"]["deepest_drawdown"]["from"].startswith("2024-06-03")


def test_open_orders_are_rescaled_on_the_grid_away_from_the_money(session: Session) -> None:
    buy = session.orders["if it falls"]
    # 2400.73 ÷ 50 = 48.0146, down for a buy; filled when the ask falls to 48.01
    assert (buy.limit, buy.qty, buy.filled, buy.state.value) == (D("48.01"), 200, 200, "FILLED")
    assert buy.note == "split 50:1 on 2024-06-06: 4 left → 200 at 2400.73 → 48.01"
    sell = session.orders["if it rises"]
    # 4 ÷ 3 is one whole share, at 3 × 15.01
    assert (sell.limit, sell.qty, sell.state.value) == (D("45.03"), 1, "WORKING")


def test_an_order_of_which_no_lot_is_left_is_cancelled_and_told(session: Session) -> None:
    order = session.orders["less than one new share"]
    assert order.state.value == "CANCELLED"
    assert "the split 1:3 leaves nothing of 2" in order.note


def test_an_order_that_waits_for_the_next_price_fills_at_that_of_the_ex_date(session: Session) -> None:
    order = session.orders["at the next price, which is of the ex-date"]
    (fill,) = [row for row in session.ledger if row.order_id == order.client_order_id]
    assert (fill.qty, fill.price, fill.trade_date) == (50, D("49.51"), "2024-06-06")


def test_what_is_sold_after_a_split_earns_against_the_divided_cost(session: Session) -> None:
    # 350 at 2500.01 ÷ 50 and 200 at 48.01 cost 27,102.07; 550 at 50 bring 27,500
    sale = session.ledger[-1]
    assert (sale.qty, sale.price, sale.realized_pnl) == (550, 50, D("397.93"))


def test_the_result_shows_dividends_apart_from_what_trades_have_earned(session: Session) -> None:
    values = session.result.values
    assert values.corporate_actions == {
        "rows": 4,
        "dividends": "175.03",
        "dividend_tax": "26.25",
        "paid_for_fractions": "36",
    }
    # 397.93 by the sale, −0.01 by the fraction of DEF, 148.78 by the dividend
    assert values.pools["SCALP"]["realized_pnl"] == "546.7"
    assert values.taxes == "0"


def test_the_report_lists_them_and_its_own_sums_agree(session: Session) -> None:
    facts = session_facts(session.result)
    checks = {check.name: check for check in own_checks(facts)}
    assert {check.status for check in checks.values()} <= {Status.HELD, Status.NOT_CHECKED}
    assert checks["Dividends = sum of their rows"].status is Status.HELD
    text_of_page = page(ReportData(facts))
    for text in ("Splits and dividends", "액면분할·병합과 배당", "split 50:1", "7 → 350", "주당 배당금 25.004"):
        assert text in text_of_page


class TestShown:
    def test_as_traded_prices_jump_by_the_ratio(self, session: Session) -> None:
        assert session.first.shown["ABC"][2:4] == ["2475.00 × 10000", "49.50 × 10000"]
        assert session.first.costs["ABC"][2:4] == ["2500.01", "50.0002"]

    def test_with_split_they_go_on_and_the_own_costs_and_fills_with_them(self, tmp_path: Path) -> None:
        session = Session(tmp_path, runtime__adjust="split")
        # ABC: 49.50 × 50; DEF: 36 ÷ 3; sizes so that price × size stays
        assert session.first.shown["ABC"][1:4] == ["2500.00 × 10000", "2475.00 × 10000", "2475 × 200"]
        assert session.first.shown["DEF"][2:4] == ["12.00 × 10000", "12 × 30000"]
        assert session.first.costs["ABC"][3] == "2500.01"
        assert session.first.fills[-2:] == ["BUY 200 ABC at 2400.5", "SELL 550 ABC at 2500"]
        # And what fills is as traded
        assert session.ledger[-1].price == 50
        assert session.broken == []

    def test_with_total_a_dividend_is_as_if_it_bought_shares_at_the_close(self, tmp_path: Path) -> None:
        session = Session(tmp_path, runtime__adjust="total")
        # 2500 ÷ (2500 − 25.004) × 2475 = 2500.00404…
        factor = D(2500) / (D(2500) - D("25.004"))
        assert session.first.shown["ABC"][1] == "2500.00 × 10000"
        shown = D(session.first.shown["ABC"][2].split(" ")[0])
        assert shown == (factor * 2475).quantize(D("1E-12"))
        # And the split on top of it: 49.50 × 50 × the same
        assert session.first.shown["ABC"][3] == f"{shown} × 200"

    def test_a_limit_is_given_in_shown_prices_and_sent_as_traded(self, tmp_path: Path) -> None:
        wants = {**FIRST_WANTS, (3, 20): msgspec.structs.replace(FIRST_WANTS[2, 21], qty=1, limit=D("13.337"))}
        first = Scripted("first", wants=wants)
        result = run(split_plan(tmp_path / "run", strategies=(first,), overrides={"runtime.adjust": "split"}))
        with stored_run(result.directory / DATABASE_NAME) as store:
            newest = store.orders()[-2]
        # 13.337 × 3 = 40.011, up for a sale
        assert (newest.side.value, newest.qty, newest.limit) == ("SELL", 1, D("40.02"))


def test_no_price_shown_knows_of_an_action_to_come(tmp_path: Path) -> None:
    """What was shown before an ex-date is the same whether or not there is an action on it."""
    with_it, without = (
        Session(tmp_path / "1", runtime__adjust="total"),
        Session(tmp_path / "2", (), runtime__adjust="total"),
    )
    assert with_it.first.shown["ABC"][:2] == without.first.shown["ABC"][:2]
    assert with_it.first.shown["DEF"][:3] == without.first.shown["DEF"][:3]


def test_actions_of_the_first_day_and_of_other_symbols_change_nothing(tmp_path: Path) -> None:
    actions = (
        Split("ABC", FIRST, D(2)),
        Split("ABC", FIRST - timedelta(days=5), D(2)),
        Split("GHI", FIRST + timedelta(days=1), D(2)),
    )
    session = Session(tmp_path, actions)
    assert session.actions == []


@pytest.mark.parametrize(
    "overrides",
    [
        {"broker__sim__lost_answer_probability": "0.6"},
        {"broker__sim__lost_order_probability": "0.5"},
        {"broker__sim__disconnect_probability": "1", "broker__sim__disconnect_ms": "3600000"},
        {"broker__sim__duplicate_fill_probability": "1"},
    ],
    ids=["lost answers", "lost orders", "disconnects", "duplicates"],
)
def test_books_and_broker_agree_over_a_split_whatever_happened_to_the_orders(
    overrides: dict[str, str], tmp_path: Path
) -> None:
    session = Session(tmp_path, **overrides)
    assert len(session.actions) >= 1
    assert session.broken == []


def _samsung_bars() -> list[MarketValue]:
    """Four daily bars of 005930, split 50:1 on the third day; each is known at the close."""
    closes = {"2018-05-02": 2_650_000, "2018-05-03": 2_600_000, "2018-05-04": 51_900, "2018-05-08": 52_600}
    calendar, values = krx_instrument("005930").calendar, []
    for day, close in closes.items():
        at_close = calendar.close(date.fromisoformat(day))
        assert at_close is not None
        price = D(close)
        values.append(Bar("005930", to_ns(at_close), price, price, price, price, D(1_000_000), day=day))
    return values


@pytest.mark.parametrize("known", [True, False])
def test_a_split_of_50_to_1_is_no_impossible_price_when_it_is_known(known: bool, tmp_path: Path) -> None:
    actions = (Split("005930", date(2018, 5, 4), D(50)),) if known else ()
    plan = SessionPlan(
        command="replay",
        options=Options(data_dir=tmp_path / "run"),
        open_feed=lambda: ListFeed(_samsung_bars(), actions, [krx_instrument("005930")]),
        default_strategies=lambda: (Scripted("first", wants={}),),
    )
    values = msgspec.to_builtins(run(plan).values)
    # 51,900 is outside 2,600,000 ± 30 %, and inside 52,000 ± 30 %
    assert bool(values["doubtful_prices"]) is not known


class _AroundMidnight(Scripted):
    """Buys 7 at the third quote, and bids for 4 more, far below, at the sixth; both before midnight."""

    seen = 0

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.seen += 1
        if self.seen == 3:
            return (Intent("ABC", Side.BUY, 1.0, qty=7, reason="to hold"),)
        if self.seen == 6:
            return (Intent("ABC", Side.BUY, 1.0, qty=4, limit=D("2400.73"), reason="if it falls"),)
        return ()


def test_a_paper_session_applies_a_split_at_midnight(tmp_path: Path) -> None:
    """In real time, here 200 times as fast: ten minutes before and after the midnight of the ex-date."""
    midnight, step = at(1, 0), 30_000_000_000
    values: list[MarketValue] = []
    for number in range(-20, 20):
        bid = D(2500) if number <= 0 else D(50)
        values.append(Quote("ABC", midnight + number * step, bid, bid + D("0.01"), D(10_000), D(10_000)))
    split = Split("ABC", FIRST + timedelta(days=1), D(50))
    plan = split_plan(tmp_path / "run", strategies=(_AroundMidnight(wants={}),))
    plan = msgspec.structs.replace(
        plan,
        open_feed=lambda: ListFeed(values, (split,)),
        paced=True,
        options=msgspec.structs.replace(plan.options, speed=200.0, overrides={"risk.approval_ttl_ms": "60000"}),
    )
    result = run(plan)
    with stored_run(result.directory / DATABASE_NAME) as store:
        (row,), orders = store.actions(), {order.reason: order for order in store.orders()}
    assert (row.held, row.change) == (7, 343)
    assert (orders["if it falls"].remaining, orders["if it falls"].limit) == (200, D("48.01"))
    assert [one for one in msgspec.to_builtins(result.values)["invariants"].values() if one["ok"] is False] == []
