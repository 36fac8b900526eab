"""What the report works out from the facts, by hand-made numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.ledger.bookings import BookingNote, booking_row
from qts.ledger.contracts import BookingKind
from qts.report.report_data import (
    ReportData,
    Status,
    deepest_drawdown,
    invariants_of,
    most_traded,
    number,
    own_checks,
    rounded,
    running_drawdowns,
    spans,
    zoom_window,
)
from qts.strategy.contracts import Side

from .session import (
    DAY_NS,
    HOUR_NS,
    START_NS,
    empty_session,
    facts_of,
    fill,
    invariants,
    order_of,
    result,
    sample,
    traded_session,
)

HUNDRED = Decimal(100)


class TestDrawdown:
    def test_is_measured_from_the_highest_equity_so_far(self) -> None:
        curve = [sample(START_NS + i, equity) for i, equity in enumerate((100, 120, 90, 130, 117))]
        assert running_drawdowns(curve, HUNDRED) == [0, 0, Decimal("0.25"), 0, Decimal("0.1")]

    def test_the_deepest_one_names_its_peak_and_its_trough(self) -> None:
        curve = [sample(START_NS + i, equity) for i, equity in enumerate((100, 120, 90, 130, 117))]
        deepest = deepest_drawdown(curve, HUNDRED)
        assert deepest is not None
        assert (deepest.share, deepest.amount) == (Decimal("0.25"), 30)
        assert (deepest.peak_ns, deepest.trough_ns) == (START_NS + 1, START_NS + 2)

    def test_the_opening_capital_is_the_first_peak(self) -> None:
        deepest = deepest_drawdown([sample(START_NS, 80)], HUNDRED)
        assert deepest is not None
        assert deepest.share == Decimal("0.2")

    def test_without_samples_nothing_is_claimed(self) -> None:
        assert deepest_drawdown([], HUNDRED) is None

    @settings(max_examples=50)
    @given(st.lists(st.integers(1, 10**12), min_size=1, max_size=40))
    def test_the_deepest_is_the_largest_of_the_running_ones(self, course: list[int]) -> None:
        curve = [sample(START_NS + i, equity) for i, equity in enumerate(course)]
        deepest = deepest_drawdown(curve, HUNDRED)
        assert deepest is not None
        assert deepest.share == max(running_drawdowns(curve, HUNDRED))


class TestSpans:
    def test_a_run_lasts_until_the_next_one_begins(self) -> None:
        found = spans([("A", 0), ("A", 10), ("B", 20), ("A", 30), ("A", 45)])
        assert [(run.name, run.first_ns, run.last_ns) for run in found] == [
            ("A", 0, 20),
            ("B", 20, 30),
            ("A", 30, 45),
        ]

    def test_shares_of_time_follow_them(self) -> None:
        curve = [
            sample(START_NS, 1),
            sample(START_NS + 3 * HOUR_NS, 1, "DEFENSIVE"),
            sample(START_NS + 4 * HOUR_NS, 1),
        ]
        data = ReportData(facts_of(result(), equity=curve))
        assert data.shares_of_time() == {"BALANCED": 0.75, "DEFENSIVE": 0.25}

    def test_no_time_has_no_shares(self) -> None:
        assert ReportData(empty_session()).shares_of_time() == {}


class TestZoom:
    def curve(self, quiet: int, busy: int, per_busy_day: int) -> ReportData:
        """``quiet`` days of one sample, then ``busy`` days of several."""
        rows = [sample(START_NS + day * DAY_NS, 1) for day in range(quiet)]
        for day in range(quiet, quiet + busy):
            rows += [sample(START_NS + day * DAY_NS + hour * HOUR_NS, 1) for hour in range(per_busy_day)]
        return ReportData(facts_of(result(), equity=rows))

    def test_covers_the_days_with_six_samples_or_more(self) -> None:
        zoom = self.curve(quiet=20, busy=2, per_busy_day=6).zoom
        assert zoom is not None
        assert zoom.first_ns == START_NS + 20 * DAY_NS
        assert zoom.last_ns == START_NS + 21 * DAY_NS + 5 * HOUR_NS

    def test_five_samples_a_day_are_no_intraday_data(self) -> None:
        assert self.curve(quiet=20, busy=2, per_busy_day=5).zoom is None

    def test_most_of_a_session_is_no_closer_look(self) -> None:
        assert self.curve(quiet=2, busy=10, per_busy_day=8).zoom is None

    def test_a_single_day_is_shown_once(self) -> None:
        assert self.curve(quiet=0, busy=1, per_busy_day=8).zoom is None

    def test_nothing_has_no_window(self) -> None:
        assert zoom_window([], None) is None


class TestFills:
    def test_the_most_traded_symbol_wins_and_the_name_decides_a_draw(self) -> None:
        assert most_traded([fill(1, symbol="B"), fill(2, symbol="A"), fill(3, symbol="B")]) == "B"
        assert most_traded([fill(1, symbol="B"), fill(2, symbol="A")]) == "A"
        assert most_traded([]) is None

    def test_forced_is_what_the_order_says(self) -> None:
        mine, rule = fill(1), fill(2)
        data = ReportData(
            facts_of(result(), ledger=[mine, rule], orders=[order_of(mine), order_of(rule, forced=True)])
        )
        assert [data.is_forced(row) for row in (mine, rule)] == [False, True]


class TestInvariants:
    def test_held_broken_and_not_checked_are_three_things(self) -> None:
        rows = invariants_of(invariants(held=(1,), broken=(2,)))
        assert [row.status for row in rows[:3]] == [Status.HELD, Status.BROKEN, Status.NOT_CHECKED]
        assert rows[1].detail == "off by one"
        assert len(rows) == 25

    def test_true_without_a_single_check_is_not_checked(self) -> None:
        lie = {"inv01": {"ok": True, "checks": 0, "last": None}}
        assert invariants_of(lie)[0].status is Status.NOT_CHECKED


class TestOwnChecks:
    def statuses(self, **changes: object) -> dict[str, Status]:
        return {check.name: check.status for check in own_checks(traded_session(values=changes))}

    def test_a_true_result_holds_in_every_sum(self) -> None:
        found = self.statuses()
        assert found.pop("Realised PORTFOLIO = sum of its fills' results") is Status.NOT_CHECKED  # it had no fill
        assert set(found.values()) == {Status.HELD}

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"fills": 4}, "Fills reported = rows of the ledger"),
            ({"fees": "226"}, "Fees = sum of the fills' fees"),
            ({"taxes": "1499"}, "Taxes = sum of the fills' taxes"),
            ({"equity_end": "100021276"}, "Equity at the end = sum of the pools"),
            ({"positions": {"005930": "4"}}, "Positions = sum of their fills"),
            ({"positions": {}}, "Positions = sum of their fills"),
        ],
    )
    def test_one_unit_off_breaks_exactly_its_own_sum(self, change: dict[str, object], name: str) -> None:
        found = self.statuses(**change)
        assert [key for key, status in found.items() if status is Status.BROKEN] == [name]

    def test_bookings_of_pools_are_part_of_every_sum(self) -> None:
        # Given a true result, a true-up of 25 won of fees that it tells, and a share of EXTERNAL
        pools = traded_session().result.pools
        scalp = {**pools["SCALP"], "realized_pnl": "18325", "total": "40018325"}
        told = {"fees": "250", "equity_end": "100021250", "pools": {**pools, "SCALP": scalp}}
        charged = booking_row(
            BookingKind.FEE, "main", BookingNote("s", 1, "kim", "day end"), Pool.SCALP, fee=Decimal(25)
        )
        of_others = booking_row(
            BookingKind.OPENING,
            "main",
            BookingNote("s", 1, "kim", ""),
            None,
            symbol="1",
            qty=Decimal(1),
            cost=Decimal(1),
        )
        facts = traded_session(values=told, bookings=[charged, of_others])
        assert [check.name for check in own_checks(facts) if check.status is Status.BROKEN] == []
        # Then without its row the sums differ
        facts = traded_session(values=told)
        assert [check.name for check in own_checks(facts) if check.status is Status.BROKEN] == [
            "Fees = sum of the fills' fees",
            "Realised SCALP = sum of its fills' results",
        ]

    def test_a_pool_that_earned_nothing_by_its_fills_may_not_claim_a_result(self) -> None:
        pools = traded_session().result.pools | {
            "PORTFOLIO": {"total": "25000000", "realized_pnl": "1", "unrealized_pnl": "0"}
        }
        found = self.statuses(pools=pools)
        assert found["Realised PORTFOLIO = sum of its fills' results"] is Status.BROKEN

    def test_with_nothing_to_add_up_nothing_is_claimed(self) -> None:
        found = {check.name: check.status for check in own_checks(empty_session())}
        assert found.pop("Equity at the end = sum of the pools") is Status.HELD
        assert set(found.values()) == {Status.NOT_CHECKED}

    def test_sales_count_against_purchases(self) -> None:
        rows = [fill(1, qty=10), fill(2, side=Side.SELL, qty=10, pool=Pool.SCALP)]
        checks = own_checks(facts_of(result(fills=2), ledger=rows))
        held = next(check for check in checks if check.name == "Positions = sum of their fills")
        assert (held.status, held.recomputed) == (Status.HELD, "flat")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("100000000", "100,000,000"),
        ("-4067379.50", "-4,067,379.5"),
        ("0", "0"),
        ("0.00010", "0.0001"),
        ("1E+3", "1,000"),
    ],
)
def test_numbers_are_exact_and_grouped(amount: str, text: str) -> None:
    assert number(amount) == text


@pytest.mark.parametrize(
    ("amount", "told"),
    [("114295962", "114,295,962"), ("5.0", "5"), ("-179.71375975", "-179.71"), ("0.005", "0.00")],
)
def test_a_headline_has_at_most_two_digits_behind_the_point(amount: str, told: str) -> None:
    assert rounded(Decimal(amount)) == told


@pytest.mark.parametrize("zone", ["KST +0900", "EST -0500", "UTC +0000"])
@given(ts_ns=st.integers(-(10**18), 3 * 10**18))
def test_the_day_of_a_moment_is_that_of_its_time(zone: str, ts_ns: int) -> None:
    data = ReportData(facts_of(result(time_zone=zone)))
    assert data.local_day(ts_ns) == data.local(ts_ns).date()
