"""What a refusal says, and the cases of a rule that lie just on either side of its edge."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from qts.risk.config import RiskConfig
from qts.risk.contracts import AccountView, Approved, OrderRequest, OrderType, Refused
from qts.risk.duplicates import Duplicates
from qts.risk.rejects import Rejects
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.risk.requests import NOW, D, Decimal, Grid100, entry, gate, holding, instrument, leave, view

S = 1_000_000_000
SHORT: dict[str, Any] = {"holding": D(-100)}


def said(request: OrderRequest, seen: AccountView, **config: Any) -> str:
    """Return code and detail of a refusal; "" of an approval."""
    verdict = gate(**config).evaluate(request, seen)
    return f"{verdict.code} {verdict.detail}".strip() if isinstance(verdict, Refused) else ""


def cover(**changes: Any) -> OrderRequest:
    return leave(**{"side": Side.BUY, **changes})


@pytest.mark.parametrize(
    ("request_", "seen", "told"),
    [
        (leave(reduce_only=False), holding(), "GR040 a SELL must be reduce_only, positions are long only"),
        (entry(), view(critical_only=True), "GR090 critical-only mode: only cancels and exits leave"),
        (
            leave(qty=D(61)),
            holding(holding_working_sells=D(40)),
            "GR040 SELL 61 would reduce more than the 60 that is left: holding 100, already leaving 40",
        ),
        (
            leave(),
            holding(holding_working_sells=D(140)),
            "GR040 SELL 100 would reduce more than the 0 that is left: holding 100, already leaving 140",
        ),
        (
            cover(qty=D(61)),
            view(**SHORT, holding_working_buys=D(40)),
            "GR040 BUY 61 would reduce more than the 60 that is left: holding -100, already leaving 40",
        ),
        (
            cover(qty=D(101)),
            view(**SHORT, holding_working_sells=D(7)),
            "GR040 BUY 101 would reduce more than the 100 that is left: holding -100, already leaving 0",
        ),
        (
            leave(qty=D(31)),
            holding(left_there=D(30)),
            "GR040 SELL 31 is more than the 30 that is left at the broker: "
            "others have sold some of what strategies hold",
        ),
        (entry(), view(price_ts_ns=NOW - 5_000_001_000), "the latest price is 5,000.001 ms old, limit 5,000 ms"),
        (entry(), view(price_ts_ns=NOW - 15_000_000, max_age_ns=0), "the latest price is 15 ms old, limit 0 ms"),
        (entry(), view(price_ts_ns=NOW - 1, max_age_ns=0), "the latest price is 0 ms old, limit 0 ms"),
        (entry(), view(price_ts_ns=NOW + 1_500_000), "the latest price is 1.5 ms in the future"),
        (entry(limit=D(50_050)), view(), "limit 50050 is not on the grid of 100"),
        (
            entry(limit=None, stop_price=D(50_050), type=OrderType.STOP),
            view(),
            "stop price 50050 is not on the grid of 100",
        ),
        (leave(), holding(flattened="kim's flatten"), "GR030 005930 of two-ema is being sold: kim's flatten"),
        (entry(), view(open_orders=1), "1 order is open, limit 1"),
        (entry(), view(open_orders=2), "2 orders are open, limit 1"),
    ],
)
def test_a_refusal_says_what_was_asked_and_what_is_allowed(
    request_: OrderRequest, seen: AccountView, told: str
) -> None:
    assert said(request_, seen, **({"max_open_orders": 1} if seen.open_orders else {})) == told


@pytest.mark.parametrize(
    ("request_", "seen"),
    [
        (leave(qty=D(60)), holding(holding_working_sells=D(40))),
        (leave(qty=D(1)), holding(holding=D(1))),
        (leave(qty=D(1)), holding(left_there=D(1))),
        (leave(qty=D(30)), holding(left_there=D(30))),
        (cover(qty=D(60)), view(**SHORT, holding_working_buys=D(40))),
        (entry(qty=D(1)), view()),
        (entry(qty=D(10)), view(instrument=instrument(lot="10"))),
    ],
)
def test_what_is_just_allowed_leaves(request_: OrderRequest, seen: AccountView) -> None:
    assert said(request_, seen) == ""


@pytest.mark.parametrize("left", [100, 130])
def test_as_much_as_strategies_hold_being_left_there_limits_nothing(left: int) -> None:
    """What is asked beyond is refused for the holding then, not for what others have sold."""
    assert "would reduce more than the 100" in said(leave(qty=D(101)), holding(left_there=D(left)))


def test_nothing_is_no_part_of_a_holding() -> None:
    assert said(leave(qty=D(0)), holding(holding=D(0))).startswith("GR040 SELL 0 would reduce more than the 0")
    assert said(leave(qty=D(0)), holding(left_there=D(0))).startswith("GR040 SELL 0 is more than the 0")


class TestStopPrices:
    """At a price of 50,000."""

    @pytest.mark.parametrize(
        ("stop", "told"),
        [
            (50_100, ""),
            (50_000, "the stop price 50000 of a BUY must be above the price 50000"),
            (49_900, "the stop price 49900 of a BUY must be above the price 50000"),
        ],
    )
    def test_a_purchase_waits_above_the_price(self, stop: int, told: str) -> None:
        assert said(entry(limit=None, stop_price=D(stop), type=OrderType.STOP), view()) == told

    @pytest.mark.parametrize(
        ("stop", "told"),
        [
            (49_900, ""),
            (50_000, "the stop price 50000 of a SELL must be below the price 50000"),
            (50_100, "the stop price 50100 of a SELL must be below the price 50000"),
        ],
    )
    def test_a_sale_waits_below_it(self, stop: int, told: str) -> None:
        assert said(leave(stop_price=D(stop), type=OrderType.STOP), holding()) == told

    def test_what_a_purchase_may_cost_is_that_of_its_stop_price(self) -> None:
        # Given 40,000,000 free: 600 at 60,000 are 36,000,000, but with the allowance of 5 % and fees 37,837,801
        request = entry(qty=D(100), limit=None, stop_price=D(60_000), type=OrderType.STOP)
        few = view(pool_available=D(6_306_300))
        assert "it may cost 6306301" in said(request, few, market_order_allowance=0.05)
        assert said(request, view(pool_available=D(6_306_301)), market_order_allowance=0.05) == ""

    @pytest.mark.parametrize(
        ("changes", "refused"),
        [
            ({"stop_price": D(34_900)}, True),  # below the band of 35,000 to 65,000
            ({"stop_price": D(35_000)}, False),
            ({"limit": D(65_100)}, True),
            ({"limit": D(52_500)}, False),
        ],
    )
    def test_an_exit_stays_within_a_known_band(self, changes: dict[str, Any], refused: bool) -> None:
        kind = OrderType.STOP if "stop_price" in changes else OrderType.LIMIT
        asked = leave(**changes, type=kind)
        assert ("outside today's band" in said(asked, holding())) is refused
        assert "band" not in said(asked, holding(base_price=None))


class TestAccount:
    def test_an_account_of_one_won_is_known(self) -> None:
        poor = view(equity=D(1), day_open_equity=D(1))
        assert said(entry(), poor).startswith("GR010")  # it is too heavy, not unknown
        for gone in ({"equity": D(0)}, {"day_open_equity": D(0)}):
            assert said(entry(), view(**gone)).startswith("the account is not known")

    def test_a_price_of_one_is_usable(self) -> None:
        cheap = {"price": D(1), "base_price": D(1), "price_ts_ns": NOW}
        assert "prices must be" not in said(entry(limit=None, decision_price=D(1)), view(**cheap))

    @pytest.mark.parametrize("purse", ["cash", "pool_available"])
    def test_where_a_symbol_may_be_everything_only_money_limits_it(self, purse: str) -> None:
        few = view(**{purse: D(5_005_000)})
        everything = {"symbol_weight_limit": 1.0, "exposure_limit": 1.0}
        assert "100 of 005930 at 50000 may cost 5005001, more than there is: 5005000" in said(
            entry(), few, **everything
        )
        assert said(entry(), view(**{purse: D(5_005_001)}), **everything) == ""

    def test_a_state_is_told_by_its_name(self) -> None:
        assert said(entry(), view(safety=SafetyState.FAIL)) == "safety is FAIL: only cancels and exits leave"


class TestDay:
    class FineOn(Grid100):
        """Every price is on the grid of one day, none on that of another."""

        def is_valid(self, price: Decimal, day: date) -> bool:
            return day == date(2026, 1, 23)

    def test_the_date_is_the_market_s_at_that_moment_or_the_one_that_is_given(self) -> None:
        # Given 2026-01-23 00:00 UTC
        seen = view(instrument=instrument(ticks=self.FineOn()))
        assert isinstance(gate().evaluate(entry(), seen), Approved)
        assert isinstance(gate().evaluate(entry(), seen, date(2026, 1, 22)), Refused)


class TestRejects:
    def rejected(self, times: int) -> Rejects:
        rejects = Rejects()
        for number in range(times):
            rejects.rejected("A", f"o-{number}", "x" * 300, number * 1_000, RiskConfig(), is_exit=False)
        return rejects

    def test_a_stop_stays_after_more_rejects(self) -> None:
        rejects = self.rejected(6)
        assert rejects.stop_of("A").startswith("6 orders of A in a row")
        assert rejects.stopped == {"A": "x" * 200}

    def test_how_many_there_were_in_a_row_is_told(self) -> None:
        assert (self.rejected(3).in_a_row("A"), self.rejected(3).in_a_row("B")) == (3, 0)

    def test_only_a_stopped_symbol_is_released(self) -> None:
        assert not self.rejected(0).release("A")
        assert not self.rejected(4).release("A")
        assert self.rejected(5).release("A")

    def test_until_when_an_order_waits_is_told_to_the_millisecond(self) -> None:
        rejects = Rejects()
        rejects.rejected("A", "o", "no", NOW + 1_500_000, RiskConfig(), is_exit=False)
        assert rejects.wait_of("A", NOW + 1_500_000, None) == (
            "an order of A was rejected, 1 in a row: the next waits until 00:00:01.001 UTC"
        )

    def test_a_restart_knows_what_was_counted(self) -> None:
        rejects = Rejects()
        rejects.import_state(self.rejected(1).export_state())
        assert rejects.rejected("A", "o-0", "again", 5, RiskConfig(), is_exit=False) is None

    def test_the_first_wait_may_be_the_longest(self) -> None:
        assert RiskConfig(reject_wait_s=60, reject_wait_max_s=60).problems() == []
        (problem,) = RiskConfig(reject_wait_s=61, reject_wait_max_s=60).problems()
        assert problem == ("reject_wait_s", "reject_wait_s 61 must not be above reject_wait_max_s 60, its longest")


class TestDuplicates:
    def test_the_one_that_came_again_is_the_newest(self) -> None:
        # Given A, B, and A again: the window is over for B first
        made = Duplicates()
        made.add(entry(strategy="a"), 0, S)
        made.add(entry(strategy="b"), 1, S)
        made.add(entry(strategy="a"), S, S)
        made.add(entry(strategy="c"), S + 1, S)
        assert [row[0] for row in made.export_state(S + 1)] == ["a", "c"]

    def test_a_restart_on_a_clock_that_is_behind_goes_on_from_its_own(self) -> None:
        made = Duplicates()
        made.import_state([["two-ema", "005930", "BUY", "100", "50000", None, 400]], 1_000)
        assert made.since_ns(entry(), 900) == 400
        assert made.since_ns(entry(), 1_100) == 500
