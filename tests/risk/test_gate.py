"""The pre-trade gate: each rule at both sides of its threshold, with numbers worked by hand."""

from __future__ import annotations

import itertools
import types
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.errors import ConfigError
from qts.ids import CounterIds
from qts.market.contracts import Phase
from qts.risk.config import RiskConfig
from qts.risk.contracts import Approved, Refusal, Refused
from qts.risk.gate import RiskGate
from qts.risk.rules import ENTRY_RULES, EXIT_RULES, FORCED_EXIT_RULES
from qts.safety.contracts import SafetyState
from qts.state.contracts import STATE_PROPERTIES, OperatingState
from qts.strategy.contracts import Side
from tests.risk.requests import MAX_AGE, NOW, D, NoBand, entry, gate, holding, instrument, leave, view

NAN = D("NaN")


def refusal(request: Any, seen: Any, **config: Any) -> tuple[Refusal, str]:
    verdict = gate(**config).evaluate(request, seen)
    assert isinstance(verdict, Refused), f"expected a refusal, got {verdict}"
    assert verdict.request is request
    assert verdict.detail
    return verdict.reason, verdict.code


def passes(request: Any, seen: Any, **config: Any) -> bool:
    verdict = gate(**config).evaluate(request, seen)
    assert isinstance(verdict, Approved), f"expected an approval, got {verdict}"
    return verdict.request is request


class TestApproval:
    def test_names_the_request_the_configuration_and_its_end(self) -> None:
        request = entry()
        verdict = gate(approval_ttl_ms=250).evaluate(request, view())
        assert verdict == Approved("ok-1", request, "hash-1", NOW + 250_000_000)

    def test_is_fresh_each_time(self) -> None:
        asked = gate()
        verdicts = [asked.evaluate(entry(), view()) for _ in range(3)]
        assert [v.approval_id for v in verdicts if isinstance(v, Approved)] == ["ok-1", "ok-2", "ok-3"]

    def test_a_refusal_uses_no_id(self) -> None:
        asked = gate()
        asked.evaluate(entry(), view(phase=Phase.CLOSED))
        verdict = asked.evaluate(entry(), view())
        assert isinstance(verdict, Approved)
        assert verdict.approval_id == "ok-1"


class TestLimits:
    """Base × multiplier 1.2 / 1.0 / 0.5 for weight, losses and position size; exposure is not scaled."""

    @pytest.mark.parametrize(
        ("state", "weight", "warning", "loss", "size", "positions", "trades", "multiplier"),
        [
            (OperatingState.AGGRESSIVE, "0.18", "0.036", "0.06", "0.24", 20, 50, "1.2"),
            (OperatingState.BALANCED, "0.15", "0.03", "0.05", "0.20", 15, 30, "1"),
            (OperatingState.DEFENSIVE, "0.075", "0.015", "0.025", "0.10", 10, 10, "0.5"),
        ],
    )
    def test_of_each_state(
        self,
        state: OperatingState,
        weight: str,
        warning: str,
        loss: str,
        size: str,
        positions: int,
        trades: int,
        multiplier: str,
    ) -> None:
        limits = gate().limits(state)
        assert limits.exposure_limit == D("0.95")
        assert limits.symbol_weight_limit == D(weight)
        assert limits.daily_loss_warning == D(warning)
        assert limits.daily_loss_limit == D(loss)
        assert limits.position_size_limit == D(size)
        assert (limits.max_positions, limits.max_daily_trades) == (positions, trades)
        assert limits.multiplier == D(multiplier)

    def test_no_fraction_is_scaled_above_the_whole(self) -> None:
        limits = gate(symbol_weight_limit=0.9, position_size_limit=1.0).limits(OperatingState.AGGRESSIVE)
        assert (limits.symbol_weight_limit, limits.position_size_limit) == (D(1), D(1))

    def test_values_are_printed_as_written(self) -> None:
        values = gate().values()
        assert (values["exposure_limit"], values["symbol_weight_limit"]) == ("0.95", "0.15")
        assert set(values) == set(RiskConfig.__struct_fields__)
        assert gate().config == RiskConfig()

    def test_contradicting_settings_make_no_gate(self) -> None:
        with pytest.raises(ConfigError, match=r"risk\.daily_loss_warning: .* 0\.06 must be below .* 0\.05"):
            gate(daily_loss_warning=0.06)

    def test_a_state_without_properties_makes_no_gate(self) -> None:
        known = {OperatingState.BALANCED: STATE_PROPERTIES[OperatingState.BALANCED]}
        with pytest.raises(ConfigError, match=r"AGGRESSIVE.*DEFENSIVE"):
            RiskGate(RiskConfig(), known, "h", CounterIds("x"))


class TestPermission:
    @pytest.mark.parametrize("safety", [SafetyState.NORMAL, SafetyState.WARNING])
    def test_normal_and_warning_trade(self, safety: SafetyState) -> None:
        assert passes(entry(), view(safety=safety))

    @pytest.mark.parametrize("safety", [SafetyState.FAIL, SafetyState.LOCKDOWN])
    def test_fail_and_lockdown_let_only_exits_leave(self, safety: SafetyState) -> None:
        assert refusal(entry(), view(safety=safety)) == (Refusal.SAFETY_BLOCKS_ENTRIES, "")
        assert passes(leave(), holding(safety=safety))
        assert passes(leave(forced=True), holding(safety=safety))

    def test_an_unknown_safety_state_blocks(self) -> None:
        assert refusal(entry(), view(safety=None))[0] is Refusal.SAFETY_BLOCKS_ENTRIES

    def test_critical_only_mode_lets_only_exits_leave(self) -> None:
        assert refusal(entry(), view(critical_only=True)) == (Refusal.CRITICAL_ONLY_MODE, "GR090")
        assert passes(leave(), holding(critical_only=True))

    def test_a_server_that_is_behind_lets_only_exits_leave(self) -> None:
        why = "the server is behind: it lacks 5 batches, the oldest for 5.1 s (limits 1,000 and 5 s)"
        assert refusal(entry(), view(store_behind=why)) == (Refusal.STORE_BEHIND, "")
        assert passes(leave(), holding(store_behind=why))
        assert passes(leave(forced=True), holding(store_behind=why))

    def test_books_that_were_not_compared_with_the_broker_s_let_only_exits_leave(self) -> None:
        why = "the line to the broker was lost"
        assert refusal(entry(), view(not_compared=why)) == (Refusal.BROKER_NOT_COMPARED, "")
        assert passes(leave(), holding(not_compared=why))
        assert passes(leave(forced=True), holding(not_compared=why))

    def test_defensive_takes_exits_only(self) -> None:
        seen = {"state": OperatingState.DEFENSIVE}
        assert refusal(entry(), view(**seen)) == (Refusal.NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE, "GR082")
        assert passes(leave(), holding(**seen))

    @pytest.mark.parametrize(
        ("pool", "sleeping"), [(Pool.SCALP, "scalp_engine_active"), (Pool.SWING, "swing_engine_active")]
    )
    def test_a_sleeping_engine_opens_nothing(self, pool: Pool, sleeping: str) -> None:
        balanced = msgspec.structs.replace(STATE_PROPERTIES[OperatingState.BALANCED], **{sleeping: False})
        properties = {**STATE_PROPERTIES, OperatingState.BALANCED: balanced}
        asked = RiskGate(RiskConfig(), properties, "h", CounterIds("x"))
        for other in Pool:
            verdict = asked.evaluate(entry(pool=other), view())
            assert isinstance(verdict, Refused) == (other is pool)
            if isinstance(verdict, Refused):
                assert verdict.reason is Refusal.ENGINE_INACTIVE
        assert isinstance(asked.evaluate(leave(pool=pool), holding()), Approved)

    def test_forcing_does_not_loosen_an_entry(self) -> None:
        request = entry(forced=True)
        assert refusal(request, view(safety=SafetyState.FAIL))[0] is Refusal.SAFETY_BLOCKS_ENTRIES


class TestSymbolAndQuantity:
    @pytest.mark.parametrize("request_", [entry(symbol="5930"), leave(), leave(forced=True)])
    def test_an_unknown_symbol_never_leaves(self, request_: Any) -> None:
        assert refusal(request_, holding(instrument=None)) == (Refusal.UNKNOWN_SYMBOL, "")

    @pytest.mark.parametrize("qty", ["0.5", "-100", "99.9", "NaN", "Infinity", "sNaN"])
    def test_only_whole_lots_leave(self, qty: str) -> None:
        assert refusal(entry(qty=D(qty)), view())[0] is Refusal.QTY_BELOW_LOT

    @pytest.mark.parametrize("qty", ["0", "-1", "0.5", "NaN", "sNaN"])
    @pytest.mark.parametrize("forced", [False, True])
    def test_of_exits_too(self, qty: str, forced: bool) -> None:
        assert refusal(leave(qty=D(qty), forced=forced), holding())[0] is Refusal.QTY_BELOW_LOT

    def test_the_lot_is_the_instruments(self) -> None:
        seen = view(instrument=instrument(lot="10"))
        assert passes(entry(qty=D(110)), seen)
        assert refusal(entry(qty=D(105)), seen) == (Refusal.QTY_BELOW_LOT, "")


class TestPrice:
    @pytest.mark.parametrize("price", [None, D(0), D(-1), NAN, D("Infinity"), D("sNaN"), D("-0.0")])
    @pytest.mark.parametrize("request_", [entry(), leave(), leave(forced=True)])
    def test_an_unknown_or_senseless_one_never_leaves(self, price: Decimal | None, request_: Any) -> None:
        seen = holding() if request_.reduce_only else view()
        assert refusal(request_, msgspec.structs.replace(seen, price=price))[0] is Refusal.PRICE_UNUSABLE

    @pytest.mark.parametrize("field", ["limit", "decision_price"])
    @pytest.mark.parametrize("price", [D(0), D(-100), NAN, D("Infinity")])
    def test_of_the_request_too(self, field: str, price: Decimal) -> None:
        assert refusal(entry(**{field: price}), view())[0] is Refusal.PRICE_UNUSABLE

    @pytest.mark.parametrize("age", [0, MAX_AGE])
    def test_as_old_as_its_limit_is_fresh(self, age: int) -> None:
        assert passes(entry(), view(price_ts_ns=NOW - age))

    @pytest.mark.parametrize("age", [MAX_AGE + 1, -1, 10**18, -(10**18)])
    def test_older_or_from_the_future_may_close_but_not_open(self, age: int) -> None:
        assert refusal(entry(), view(price_ts_ns=NOW - age))[0] is Refusal.PRICE_STALE
        assert passes(leave(), holding(price_ts_ns=NOW - age))
        assert passes(leave(forced=True), holding(price_ts_ns=NOW - age))

    @pytest.mark.parametrize("request_", [entry(limit=D(50_050)), leave(limit=D(49_950))])
    def test_a_limit_off_the_grid_never_leaves(self, request_: Any) -> None:
        assert refusal(request_, holding())[0] is Refusal.OFF_TICK_GRID

    def test_a_market_price_off_the_grid_is_the_markets_own(self) -> None:
        assert passes(entry(limit=None), view(price=D(50_050)))

    @pytest.mark.parametrize("price", [35_000, 65_000])
    def test_on_the_edge_of_the_band_trades(self, price: int) -> None:
        assert passes(entry(limit=None, qty=D(10)), view(price=D(price)))

    @pytest.mark.parametrize("price", [34_999, 65_001])
    def test_outside_the_band_may_close_but_not_open_at_market(self, price: int) -> None:
        assert refusal(entry(limit=None), view(price=D(price)))[0] is Refusal.PRICE_OUTSIDE_BAND
        assert passes(leave(), holding(price=D(price)))

    @pytest.mark.parametrize(("limit", "fits"), [(65_000, True), (65_100, False)])
    def test_a_limit_outside_the_band_never_leaves(self, limit: int, fits: bool) -> None:
        orders = [entry(limit=D(limit), qty=D(10)), leave(limit=D(limit)), leave(limit=D(limit), forced=True)]
        for order in orders:
            verdict = gate().evaluate(order, holding(price=D(64_000)))
            assert isinstance(verdict, Approved) == fits
            if isinstance(verdict, Refused):
                assert verdict.reason is Refusal.PRICE_OUTSIDE_BAND

    @pytest.mark.parametrize("base", [None, NAN, D(0)])
    def test_a_band_around_an_unknown_base_price_opens_nothing(self, base: Decimal | None) -> None:
        assert refusal(entry(), view(base_price=base))[0] is Refusal.PRICE_OUTSIDE_BAND
        assert passes(leave(), holding(base_price=base))
        assert passes(leave(limit=D(50_000)), holding(base_price=base))

    @pytest.mark.parametrize("base", [None, D(1)])
    def test_where_there_is_no_band_the_base_price_does_not_matter(self, base: Decimal | None) -> None:
        free = instrument(ticks=NoBand())
        assert passes(entry(), view(instrument=free, base_price=base))
        assert passes(leave(limit=D(50_000)), holding(instrument=free, base_price=base))

    @pytest.mark.parametrize(("limit", "fits"), [(51_500, True), (51_600, False), (40_000, True)])
    def test_a_buy_limit_may_lie_three_percent_above_the_price(self, limit: int, fits: bool) -> None:
        verdict = gate().evaluate(entry(limit=D(limit)), view())
        assert (verdict.reason if isinstance(verdict, Refused) else None) == (
            None if fits else Refusal.LIMIT_TOO_FAR
        )

    @pytest.mark.parametrize(("limit", "fits"), [(48_500, True), (48_400, False), (60_000, True)])
    def test_a_sell_limit_may_lie_three_percent_below_it(self, limit: int, fits: bool) -> None:
        verdict = gate().evaluate(leave(limit=D(limit)), holding())
        assert (verdict.reason if isinstance(verdict, Refused) else None) == (
            None if fits else Refusal.LIMIT_TOO_FAR
        )
        assert passes(leave(limit=D(limit), forced=True), holding())


class TestMarketAndKeys:
    @pytest.mark.parametrize("request_", [entry(), leave(), leave(forced=True)])
    def test_a_closed_market_takes_nothing(self, request_: Any) -> None:
        seen = holding(phase=Phase.CLOSED) if request_.reduce_only else view(phase=Phase.CLOSED)
        assert refusal(request_, seen)[0] is Refusal.MARKET_CLOSED

    @pytest.mark.parametrize("phase", [Phase.ORDER_ENTRY, Phase.CONTINUOUS, Phase.CLOSING_AUCTION])
    def test_every_phase_that_takes_orders_takes_them(self, phase: Phase) -> None:
        assert passes(entry(), view(phase=phase))

    @pytest.mark.parametrize("request_", [entry(), leave(), leave(forced=True)])
    def test_an_order_of_unknown_fate_holds_up_its_key(self, request_: Any) -> None:
        seen = holding(unknown_order=True)
        assert refusal(request_, seen)[0] is Refusal.UNRESOLVED_ORDER

    @pytest.mark.parametrize("request_", [entry(), leave()])
    def test_the_same_wish_is_not_sent_twice(self, request_: Any) -> None:
        assert refusal(request_, holding(working_same_side=True))[0] is Refusal.DUPLICATE_INTENT

    def test_a_forced_exit_joins_a_working_one(self) -> None:
        seen = holding(working_same_side=True, holding_working_sells=D(40))
        assert passes(leave(qty=D(60), forced=True), seen)
        assert refusal(leave(qty=D(61), forced=True), seen) == (Refusal.NOTHING_TO_SELL, "GR040")

    def test_no_entry_against_ones_own_working_exit(self) -> None:
        assert refusal(entry(), view(working_other_side=True)) == (Refusal.CONFLICTING_SIGNALS, "GR030")
        assert passes(leave(), holding(working_other_side=True))

    @pytest.mark.parametrize("request_", [entry(), leave()])
    def test_nothing_of_the_strategy_s_own_stands_in_the_way_of_a_forced_exit(self, request_: Any) -> None:
        assert refusal(request_, holding(forced_out=True)) == (Refusal.CONFLICTING_SIGNALS, "GR030")
        assert passes(leave(forced=True), holding(forced_out=True))


class TestReduceOnly:
    def test_sells_what_is_held_and_no_more(self) -> None:
        assert passes(leave(qty=D(100)), holding())
        assert refusal(leave(qty=D(101)), holding()) == (Refusal.NOTHING_TO_SELL, "GR040")

    def test_counts_what_is_already_leaving(self) -> None:
        seen = holding(holding_working_sells=D(30))
        assert passes(leave(qty=D(70)), seen)
        assert refusal(leave(qty=D(71)), seen)[0] is Refusal.NOTHING_TO_SELL
        assert refusal(leave(qty=D(1)), holding(holding_working_sells=D(100)))[0] is Refusal.NOTHING_TO_SELL

    @pytest.mark.parametrize("forced", [False, True])
    def test_sells_no_more_than_others_have_left_at_the_broker(self, forced: bool) -> None:
        seen = holding(left_there=D(40))
        assert passes(leave(qty=D(40), forced=forced), seen)
        assert refusal(leave(qty=D(41), forced=forced), seen) == (Refusal.NOTHING_TO_SELL, "GR040")
        assert refusal(leave(qty=D(1), forced=forced), holding(left_there=D(0)))[0] is Refusal.NOTHING_TO_SELL
        plenty = holding(left_there=D(400))
        assert passes(leave(qty=D(100), forced=forced), plenty)
        assert refusal(leave(qty=D(101), forced=forced), plenty)[0] is Refusal.NOTHING_TO_SELL

    @pytest.mark.parametrize("held", [D(0), D(-5), NAN])
    def test_without_a_known_long_holding_there_is_nothing_to_sell(self, held: Decimal) -> None:
        for forced in (False, True):
            assert refusal(leave(forced=forced), view(holding=held)) == (Refusal.NOTHING_TO_SELL, "GR040")

    def test_a_sell_that_does_not_promise_to_reduce_never_leaves(self) -> None:
        assert refusal(leave(reduce_only=False), holding()) == (Refusal.NOTHING_TO_SELL, "GR040")

    def test_a_short_that_came_out_of_order_can_be_covered(self) -> None:
        short = view(holding=D(-50))
        assert passes(leave(side=Side.BUY, qty=D(50), forced=True), short)
        assert refusal(leave(side=Side.BUY, qty=D(51), forced=True), short)[0] is Refusal.NOTHING_TO_SELL

    def test_a_cover_buys_no_more_than_working_buys_leave(self) -> None:
        short = view(holding=D(-50), holding_working_buys=D(20), working_same_side=True)
        assert passes(leave(side=Side.BUY, qty=D(30), forced=True), short)
        assert refusal(leave(side=Side.BUY, qty=D(31), forced=True), short) == (Refusal.NOTHING_TO_SELL, "GR040")

    @pytest.mark.parametrize("held", [D(0), D(5)])
    def test_where_nothing_is_short_nothing_is_bought_back(self, held: Decimal) -> None:
        seen = view(holding=held, holding_working_buys=D(0))
        assert refusal(leave(side=Side.BUY, qty=D(1), forced=True), seen) == (Refusal.NOTHING_TO_SELL, "GR040")
        covering = view(holding=D(-50), working_same_side=True)
        assert refusal(leave(side=Side.BUY, qty=D(50), forced=True), covering)[0] is Refusal.NOTHING_TO_SELL

    def test_a_cover_without_a_short_would_be_an_entry_in_disguise(self) -> None:
        for held in (D(0), D(10)):
            assert refusal(leave(side=Side.BUY, qty=D(1)), view(holding=held))[0] is Refusal.NOTHING_TO_SELL


class TestRates:
    """15 orders a second, 8 of them kept for exits: entries stop at 7, exits at 15, forced exits never."""

    def test_entries_leave_room_for_exits(self) -> None:
        assert passes(entry(), view(orders_last_second=6))
        assert refusal(entry(), view(orders_last_second=7))[0] is Refusal.ORDER_RATE_LIMIT

    def test_exits_have_the_whole_rate(self) -> None:
        assert passes(leave(), holding(orders_last_second=14))
        assert refusal(leave(), holding(orders_last_second=15))[0] is Refusal.ORDER_RATE_LIMIT

    def test_a_forced_exit_does_not_wait_for_it(self) -> None:
        assert passes(leave(forced=True), holding(orders_last_second=1_000))

    def test_entries_stop_at_the_open_orders_limit(self) -> None:
        assert passes(entry(), view(open_orders=49))
        assert refusal(entry(), view(open_orders=50))[0] is Refusal.OPEN_ORDERS_LIMIT
        assert passes(leave(), holding(open_orders=50))


class TestMoney:
    def test_symbol_weight_of_fifteen_percent(self) -> None:
        # 300 × 50,000 = 15,000,000 = 15 % of 100,000,000
        assert passes(entry(qty=D(300)), view())
        assert refusal(entry(qty=D(301)), view()) == (Refusal.SYMBOL_WEIGHT_LIMIT, "GR010")

    def test_symbol_weight_counts_what_is_there(self) -> None:
        assert passes(entry(), view(symbol_exposure=D(10_000_000)))
        assert refusal(entry(), view(symbol_exposure=D(10_000_001))) == (Refusal.SYMBOL_WEIGHT_LIMIT, "GR010")

    def test_symbol_weight_of_eighteen_percent_in_aggressive(self) -> None:
        bold = view(state=OperatingState.AGGRESSIVE)
        assert passes(entry(qty=D(360)), bold)
        assert refusal(entry(qty=D(361)), bold)[0] is Refusal.SYMBOL_WEIGHT_LIMIT

    def test_exposure_of_ninety_five_percent(self) -> None:
        assert passes(entry(), view(exposure=D(90_000_000)))
        assert refusal(entry(), view(exposure=D(90_000_001))) == (Refusal.EXPOSURE_LIMIT, "GR001")

    def test_exposure_is_not_scaled_by_the_state(self) -> None:
        bold = {"state": OperatingState.AGGRESSIVE}
        assert passes(entry(), view(exposure=D(90_000_000), **bold))
        assert refusal(entry(), view(exposure=D(90_000_001), **bold))[0] is Refusal.EXPOSURE_LIMIT

    @pytest.mark.parametrize("purse", ["cash", "pool_available"])
    def test_amount_fee_and_rounding_fit_into_pool_and_cash(self, purse: str) -> None:
        # 100 × 50,000 = 5,000,000; fee 0.1 % = 5,000; rounding 1
        assert passes(entry(), view(**{purse: D(5_005_001)}))
        assert refusal(entry(), view(**{purse: D(5_005_000)})) == (Refusal.INSUFFICIENT_CAPITAL, "GR061")

    def test_without_a_limit_half_a_percent_is_added(self) -> None:
        # 100 × 50,250 = 5,025,000; fee 5,025; rounding 1
        assert passes(entry(limit=None), view(cash=D(5_030_026)))
        assert refusal(entry(limit=None), view(cash=D(5_030_025)))[0] is Refusal.INSUFFICIENT_CAPITAL

    def test_a_locked_pool_opens_nothing(self) -> None:
        assert refusal(entry(), view(pool_locked=True)) == (Refusal.INSUFFICIENT_CAPITAL, "GR061")
        assert passes(leave(), holding(pool_locked=True))

    @pytest.mark.parametrize(
        "purse", ["equity", "day_open_equity", "cash", "pool_available", "exposure", "symbol_exposure"]
    )
    @pytest.mark.parametrize("amount", [NAN, D("Infinity"), D("sNaN")])
    def test_an_account_that_is_not_known_may_close_but_not_open(self, purse: str, amount: Decimal) -> None:
        assert refusal(entry(), view(**{purse: amount}))[0] is Refusal.INSUFFICIENT_CAPITAL
        assert passes(leave(), holding(**{purse: amount}))

    @pytest.mark.parametrize("purse", ["equity", "day_open_equity"])
    @pytest.mark.parametrize("amount", [0, -1])
    def test_without_equity_nothing_is_opened(self, purse: str, amount: int) -> None:
        assert refusal(entry(), view(**{purse: D(amount)}))[0] is Refusal.INSUFFICIENT_CAPITAL

    def test_a_daily_loss_at_its_limit_ends_the_days_entries(self) -> None:
        # 5 % of 100,000,000 lost at 95,000,000
        assert passes(entry(), view(equity=D(95_000_001)))
        assert refusal(entry(), view(equity=D(95_000_000))) == (Refusal.DAILY_LOSS_LIMIT, "GR020")
        assert passes(leave(), holding(equity=D(50_000_000)))

    def test_the_daily_loss_limit_is_scaled(self) -> None:
        bold = {"state": OperatingState.AGGRESSIVE}  # 6 %
        assert passes(entry(), view(equity=D(94_000_001), **bold))
        assert refusal(entry(), view(equity=D(94_000_000), **bold))[0] is Refusal.DAILY_LOSS_LIMIT

    def test_a_gain_is_no_loss(self) -> None:
        assert passes(entry(), view(equity=D(200_000_000)))


class TestCounts:
    @pytest.mark.parametrize(
        ("state", "limit", "code"),
        [(OperatingState.AGGRESSIVE, 50, "GR080"), (OperatingState.BALANCED, 30, "GR062")],
    )
    def test_entries_a_day(self, state: OperatingState, limit: int, code: str) -> None:
        assert passes(entry(), view(state=state, entries_today=limit - 1))
        assert refusal(entry(), view(state=state, entries_today=limit)) == (Refusal.DAILY_TRADE_LIMIT, code)

    @pytest.mark.parametrize(("state", "limit"), [(OperatingState.AGGRESSIVE, 20), (OperatingState.BALANCED, 15)])
    def test_open_positions(self, state: OperatingState, limit: int) -> None:
        assert passes(entry(), view(state=state, open_positions=limit - 1))
        assert refusal(entry(), view(state=state, open_positions=limit))[0] is Refusal.MAX_POSITIONS

    def test_adding_to_a_position_opens_none(self) -> None:
        assert passes(entry(), view(open_positions=15, has_position=True))

    def test_no_count_holds_up_an_exit(self) -> None:
        assert passes(leave(), holding(entries_today=10_000, open_positions=10_000, open_orders=10_000))


class TestNoRoomForOneLot:
    """Sizing answers 0 when nothing fits; the refusal names the limit that left no room."""

    @pytest.mark.parametrize(
        ("changes", "reason", "code"),
        [
            ({"symbol_exposure": D(15_000_000)}, Refusal.SYMBOL_WEIGHT_LIMIT, "GR010"),
            ({"exposure": D(95_000_000)}, Refusal.EXPOSURE_LIMIT, "GR001"),
            ({"pool_available": D(0)}, Refusal.INSUFFICIENT_CAPITAL, "GR061"),
            ({"pool_available": D(60_000)}, Refusal.QTY_BELOW_LOT, ""),  # 20 % of it is 12,000
        ],
    )
    def test_is_reported(self, changes: dict[str, Decimal], reason: Refusal, code: str) -> None:
        assert refusal(entry(qty=D(0)), view(**changes)) == (reason, code)


class TestMoreThanThereIs:
    """Where a symbol may have all equity (a plain backtest) cash is its only limit, and a refusal says so."""

    ALL = types.MappingProxyType({"symbol_weight_limit": 1.0, "exposure_limit": 1.0, "position_size_limit": 1.0})

    def test_a_share_dearer_than_all_cash_is_told_with_the_amounts(self) -> None:
        # 1 × 50,000; fee 0.1 % = 50; rounding 1
        poor = view(equity=D(40_000), day_open_equity=D(40_000), cash=D(40_000), pool_available=D(40_000))
        verdict = gate(**self.ALL).evaluate(entry(qty=D(0)), poor)
        assert isinstance(verdict, Refused)
        assert (verdict.reason, verdict.code) == (Refusal.INSUFFICIENT_CAPITAL, "GR061")
        assert verdict.detail == (
            "not even one lot fits: 1 of 005930 at 50000 may cost 50051, "
            "more than there is: 40000 (cash 40000, free 40000)"
        )

    @pytest.mark.parametrize("purse", ["cash", "pool_available"])
    def test_so_is_a_quantity_that_costs_more_than_either_purse(self, purse: str) -> None:
        # 1,500 × 50,000 = 75,000,000; fee 75,000; rounding 1
        enough = {"cash": D(75_075_001), "pool_available": D(75_075_001)}
        assert passes(entry(qty=D(1_500)), view(**enough), **self.ALL)
        short = {**enough, purse: D(75_075_000)}
        assert refusal(entry(qty=D(1_500)), view(**short), **self.ALL)[0] is Refusal.INSUFFICIENT_CAPITAL

    def test_it_is_told_before_a_weight_of_all_equity(self) -> None:
        # 2,001 × 50,000 = 100,050,000 is more than equity and than cash
        held = {"cash": D(100_000_000), "pool_available": D(100_000_000)}
        assert refusal(entry(qty=D(2_001)), view(**held), **self.ALL)[0] is Refusal.INSUFFICIENT_CAPITAL

    def test_a_limit_below_all_equity_is_still_named_first(self) -> None:
        poor = view(equity=D(40_000), day_open_equity=D(40_000), cash=D(40_000), pool_available=D(40_000))
        assert refusal(entry(qty=D(0)), poor)[0] is Refusal.SYMBOL_WEIGHT_LIMIT


def test_no_exit_rule_counts_the_day_or_asks_for_permission_or_money() -> None:
    names = {rule.__name__ for rule in (*EXIT_RULES, *FORCED_EXIT_RULES)}
    assert names.isdisjoint(
        {
            "safety_blocks_entries",
            "critical_only_mode",
            "store_behind",
            "broker_not_compared",
            "state_blocks_entries",
            "engine_inactive",
            "too_many_trades",
            "too_many_positions",
            "too_many_open_orders",
            "daily_loss",
            "pool_locked",
            "price_stale",
            "symbol_over_weight",
            "exposure_over_limit",
            "capital_too_small",
        }
    )
    assert {rule.__name__ for rule in FORCED_EXIT_RULES} < {rule.__name__ for rule in EXIT_RULES}
    assert len(set(ENTRY_RULES)) == len(ENTRY_RULES)


def test_only_exits_leave_in_every_state_that_takes_exits_only() -> None:
    """Every safety × operating state × kind of order: entries only where both allow them, exits everywhere."""
    for safety, state in itertools.product(SafetyState, OperatingState):
        may_enter = safety in (SafetyState.NORMAL, SafetyState.WARNING) and state is not OperatingState.DEFENSIVE
        seen = holding(safety=safety, state=state)
        for forced in (False, True):
            assert isinstance(gate().evaluate(entry(forced=forced), seen), Approved) == may_enter
            assert isinstance(gate().evaluate(leave(forced=forced), seen), Approved)


amounts = st.integers(0, 120_000_000).map(D)
small = st.integers(0, 400).map(D)


@settings(max_examples=300)
@given(
    safety=st.sampled_from(SafetyState),
    state=st.sampled_from([*OperatingState, OperatingState.BALANCED, OperatingState.AGGRESSIVE]),
    equity=amounts,
    cash=amounts,
    pool=amounts,
    exposure=amounts,
    symbol_exposure=amounts,
    held=small,
    leaving=small,
    qty=small,
    limit=st.none() | st.integers(480, 520).map(lambda n: D(100 * n)),
    side=st.sampled_from(Side),
    reduce_only=st.booleans(),
    forced=st.booleans(),
)
def test_what_is_approved_keeps_every_promise(
    safety: SafetyState,
    state: OperatingState,
    equity: Decimal,
    cash: Decimal,
    pool: Decimal,
    exposure: Decimal,
    symbol_exposure: Decimal,
    held: Decimal,
    leaving: Decimal,
    qty: Decimal,
    limit: Decimal | None,
    side: Side,
    reduce_only: bool,
    forced: bool,
) -> None:
    request = entry(qty=qty, limit=limit, side=side, reduce_only=reduce_only, forced=forced)
    seen = view(
        safety=safety,
        state=state,
        equity=equity,
        day_open_equity=max(equity, D(1)),
        cash=cash,
        pool_available=pool,
        exposure=exposure,
        symbol_exposure=symbol_exposure,
        holding=held,
        holding_working_sells=leaving,
    )
    verdict = gate().evaluate(request, seen)
    if isinstance(verdict, Refused):
        return
    assert qty >= 1
    if reduce_only:
        assert side is Side.SELL
        assert qty + leaving <= held
        return
    assert side is Side.BUY
    assert safety in (SafetyState.NORMAL, SafetyState.WARNING)
    assert state is not OperatingState.DEFENSIVE
    amount = qty * (D(50_000) if limit is None else limit)
    weight = D("0.18") if state is OperatingState.AGGRESSIVE else D("0.15")
    assert amount + amount // 1000 <= min(cash, pool)
    assert exposure + amount <= D("0.95") * equity
    assert symbol_exposure + amount <= weight * equity
