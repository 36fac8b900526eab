"""The four rules, each clause at both sides of its threshold."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.safety.contracts import SafetyState
from qts.state.config import StateConfig
from qts.state.contracts import UNKNOWN_METRICS, OperatingState, TransitionMetrics
from qts.state.transition import (
    RULES,
    AggressiveToBalanced,
    BalancedToAggressive,
    BalancedToDefensive,
    DefensiveToBalanced,
    find_applicable_rule,
    rule_rows,
    rules_of,
)

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE
NORMAL, WARNING, FAIL, LOCKDOWN = SafetyState
NAN, INF = math.nan, math.inf

BETTER = TransitionMetrics(drawdown_pct=0.04, vix=19.0, consecutive_profitable_days=3)
"""Everything rule 3 wants."""
GREAT = TransitionMetrics(vix=14.0, cagr=0.11, target_cagr=0.10, capital_growth_pct=0.11, win_rate_30d=0.61)
"""Everything rule 4 wants."""


def with_(metrics: TransitionMetrics, **changes: Any) -> TransitionMetrics:
    return msgspec.structs.replace(metrics, **changes)


class TestAggressiveToBalanced:
    @pytest.mark.parametrize(
        ("changes", "fires"),
        [
            ({}, False),
            ({"drawdown_pct": 0.05}, False),
            ({"drawdown_pct": 0.0501}, True),
            ({"vix": 25.0}, False),
            ({"vix": 25.01}, True),
            ({"consecutive_scalp_losses": 5}, False),
            ({"consecutive_scalp_losses": 6}, True),
            ({"daily_loss_pct": 0.02}, False),
            ({"daily_loss_pct": 0.0201}, True),
            ({"market_circuit_breaker": True}, False),  # not one of its conditions
            ({"vix": INF}, True),
        ],
    )
    def test_any_of_its_conditions_strictly_above(self, changes: dict[str, Any], fires: bool) -> None:
        assert AggressiveToBalanced().evaluate(TransitionMetrics(**changes), NORMAL, 0.0) is fires

    @pytest.mark.parametrize("safety", [WARNING, FAIL])
    def test_safety_alone_does_not_fire_it(self, safety: SafetyState) -> None:
        assert not AggressiveToBalanced().evaluate(TransitionMetrics(), safety, 99.0)


class TestBalancedToDefensive:
    @pytest.mark.parametrize(
        ("changes", "fires"),
        [
            ({}, False),
            ({"drawdown_pct": 0.10}, False),
            ({"drawdown_pct": 0.1001}, True),
            ({"vix": 30.0}, False),
            ({"vix": 30.01}, True),
            ({"market_circuit_breaker": True}, True),
            ({"market_circuit_breaker": None}, False),
            ({"consecutive_scalp_losses": 50, "daily_loss_pct": 0.5}, False),
        ],
    )
    def test_any_of_its_conditions(self, changes: dict[str, Any], fires: bool) -> None:
        assert BalancedToDefensive().evaluate(TransitionMetrics(**changes), NORMAL, 0.0) is fires

    @pytest.mark.parametrize(
        ("safety", "fires"), [(NORMAL, False), (WARNING, True), (FAIL, True), (LOCKDOWN, False)]
    )
    def test_safety_warning_or_worse_fires_it_and_lockdown_evaluates_nothing(
        self, safety: SafetyState, fires: bool
    ) -> None:
        assert BalancedToDefensive().evaluate(UNKNOWN_METRICS, safety, 0.0) is fires


class TestDefensiveToBalanced:
    @pytest.mark.parametrize(
        ("changes", "fires"),
        [
            ({}, True),
            ({"drawdown_pct": 0.0499}, True),
            ({"drawdown_pct": 0.05}, False),
            ({"vix": 19.99}, True),
            ({"vix": 20.0}, False),
            ({"consecutive_profitable_days": 2}, False),
        ],
    )
    def test_all_of_its_conditions(self, changes: dict[str, Any], fires: bool) -> None:
        assert DefensiveToBalanced().evaluate(with_(BETTER, **changes), NORMAL, 5.0) is fires

    @pytest.mark.parametrize(("days", "fires"), [(4.999, False), (5.0, True)])
    def test_held_at_least_five_days(self, days: float, fires: bool) -> None:
        assert DefensiveToBalanced().evaluate(BETTER, NORMAL, days) is fires

    @pytest.mark.parametrize("safety", [WARNING, FAIL, LOCKDOWN])
    def test_only_under_normal(self, safety: SafetyState) -> None:
        assert not DefensiveToBalanced().evaluate(BETTER, safety, 99.0)


class TestBalancedToAggressive:
    @pytest.mark.parametrize(
        ("changes", "fires"),
        [
            ({}, True),
            ({"cagr": 0.10}, False),
            ({"cagr": 0.1001}, True),
            ({"target_cagr": 0.12}, False),
            ({"target_cagr": None}, False),
            ({"target_cagr": -INF}, False),
            ({"cagr": INF}, False),  # an infinite growth is no measurement
            ({"vix": 14.99}, True),
            ({"vix": 15.0}, False),
            ({"capital_growth_pct": 0.10}, False),
            ({"win_rate_30d": 0.60}, False),
        ],
    )
    def test_all_of_its_conditions(self, changes: dict[str, Any], fires: bool) -> None:
        assert BalancedToAggressive().evaluate(with_(GREAT, **changes), NORMAL, 10.0) is fires

    @pytest.mark.parametrize(("days", "fires"), [(9.999, False), (10.0, True)])
    def test_held_at_least_ten_days(self, days: float, fires: bool) -> None:
        assert BalancedToAggressive().evaluate(GREAT, NORMAL, days) is fires

    @pytest.mark.parametrize("safety", [WARNING, FAIL, LOCKDOWN])
    def test_only_under_normal(self, safety: SafetyState) -> None:
        assert not BalancedToAggressive().evaluate(GREAT, safety, 99.0)


class TestUnknown:
    @pytest.mark.parametrize("bad", [None, NAN])
    @pytest.mark.parametrize(
        "field",
        ["drawdown_pct", "vix", "consecutive_profitable_days", "cagr", "capital_growth_pct", "win_rate_30d"],
    )
    def test_an_unknown_value_makes_its_clause_false(self, field: str, bad: float | None) -> None:
        """So nothing fires on it, and no rule that wants all of its conditions can."""
        nothing_else = with_(UNKNOWN_METRICS, **{field: bad})
        assert find_applicable_rule(A, nothing_else, NORMAL, 99.0) is None
        assert find_applicable_rule(B, nothing_else, NORMAL, 99.0) is None
        three = DefensiveToBalanced().evaluate(with_(BETTER, **{field: bad}), NORMAL, 99.0)
        four = BalancedToAggressive().evaluate(with_(GREAT, **{field: bad}), NORMAL, 99.0)
        assert three is (field not in ("drawdown_pct", "vix", "consecutive_profitable_days"))
        assert four is (field not in ("vix", "cagr", "capital_growth_pct", "win_rate_30d"))

    @pytest.mark.parametrize("vix", [-0.01, -INF])
    def test_a_negative_vix_is_no_calm_market(self, vix: float) -> None:
        assert not DefensiveToBalanced().evaluate(with_(BETTER, vix=vix), NORMAL, 99.0)
        assert not BalancedToAggressive().evaluate(with_(GREAT, vix=vix), NORMAL, 99.0)

    def test_an_unknown_value_does_not_hide_a_known_danger(self) -> None:
        assert AggressiveToBalanced().evaluate(with_(UNKNOWN_METRICS, vix=26.0), NORMAL, 0.0)

    def test_an_unknown_safety_state_counts_as_fail(self) -> None:
        rule = find_applicable_rule(B, GREAT, "PERFECT", 99.0)  # type: ignore[arg-type]
        assert rule is not None
        assert rule.to_state is D


class TestTheRulesTogether:
    def test_danger_comes_first(self) -> None:
        """GREAT metrics in a deep drawdown meet rules 2 and 4; rule 2 wins."""
        both = with_(GREAT, drawdown_pct=0.11)
        assert BalancedToAggressive().evaluate(both, NORMAL, 99.0)
        rule = find_applicable_rule(B, both, NORMAL, 99.0)
        assert rule is not None
        assert rule.name == "BalancedToDefensive"
        assert [rule.name for rule in RULES] == [
            "AggressiveToBalanced",
            "BalancedToDefensive",
            "DefensiveToBalanced",
            "BalancedToAggressive",
        ]

    @pytest.mark.parametrize("state", OperatingState)
    def test_lockdown_evaluates_nothing(self, state: OperatingState) -> None:
        for metrics in (GREAT, BETTER, TransitionMetrics(vix=80.0), UNKNOWN_METRICS):
            assert find_applicable_rule(state, metrics, LOCKDOWN, 99.0) is None

    def test_thresholds_come_from_the_configuration(self) -> None:
        config = msgspec.convert({"aggressive_to_balanced": {"vix": 22}}, StateConfig)
        metrics = TransitionMetrics(vix=23.0)
        assert find_applicable_rule(A, metrics, NORMAL, 0.0) is None
        assert find_applicable_rule(A, metrics, NORMAL, 0.0, rules_of(config)) is not None

    @given(
        state=st.sampled_from(OperatingState),
        safety=st.sampled_from([WARNING, FAIL, LOCKDOWN]),
        metrics=st.builds(
            TransitionMetrics,
            *(st.one_of(st.none(), st.floats()) for _ in range(4)),
            st.one_of(st.none(), st.booleans()),
            *(st.one_of(st.none(), st.floats()) for _ in range(5)),
        ),
        days=st.floats(0, 1000),
    )
    def test_under_warning_or_worse_no_rule_leads_to_a_bolder_state(
        self, state: OperatingState, safety: SafetyState, metrics: TransitionMetrics, days: float
    ) -> None:
        rule = find_applicable_rule(state, metrics, safety, days)
        assert rule is None or rule.to_state.boldness < state.boldness


class TestWhatTheySay:
    def test_the_reason_names_the_rule_and_the_numbers(self) -> None:
        text = AggressiveToBalanced().reason(TransitionMetrics(vix=26.5, daily_loss_pct=0.03))
        assert text == "AggressiveToBalanced: vix 26.5 > 25, daily_loss_pct 0.03 > 0.02"

    def test_a_reason_of_safety_alone(self) -> None:
        rule = BalancedToDefensive()
        assert rule.reason(TransitionMetrics(), WARNING, 1.0) == "BalancedToDefensive: safety WARNING"
        assert rule.reason(TransitionMetrics()) == "BalancedToDefensive: safety state"
        on = TransitionMetrics(market_circuit_breaker=True)
        assert rule.reason(on, NORMAL, 1.0) == "BalancedToDefensive: market_circuit_breaker on"

    def test_a_reason_with_a_target_and_a_duration(self) -> None:
        text = BalancedToAggressive().reason(GREAT, NORMAL, 12.5)
        assert "cagr 0.11 > target_cagr 0.1" in text
        assert text.endswith("safety NORMAL, held 12.5 ≥ 10 days")

    def test_the_forecast_says_which_clause_holds_and_by_how_much_it_fails(self) -> None:
        clauses = {
            clause.name: clause
            for clause in BalancedToAggressive().forecast(with_(GREAT, vix=17.5, win_rate_30d=None), WARNING, 4.0)
        }
        assert (clauses["vix"].holds, clauses["vix"].gap) == (False, -2.5)
        assert (clauses["cagr"].holds, clauses["cagr"].threshold) == (True, 0.10)
        assert (clauses["win_rate_30d"].holds, clauses["win_rate_30d"].value, clauses["win_rate_30d"].gap) == (
            False,
            None,
            None,
        )
        assert "unknown" in clauses["win_rate_30d"].text
        assert (clauses["safety"].holds, clauses["safety"].value) == (False, "WARNING")
        assert (clauses["held_days"].holds, clauses["held_days"].gap) == (False, 6.0)

    def test_the_forecast_of_unknown_things(self) -> None:
        clauses = {c.name: c for c in BalancedToDefensive().forecast(UNKNOWN_METRICS, NORMAL, 0.0)}
        assert clauses["market_circuit_breaker"].value == "unknown"
        assert not clauses["safety"].holds
        target = BalancedToAggressive().forecast(with_(GREAT, target_cagr=None), NORMAL, 0.0)[0]
        assert (target.holds, target.threshold, target.gap) == (False, "target_cagr", None)

    def test_the_reference_rows_are_made_from_the_rules(self) -> None:
        rows = rule_rows()
        assert rows[0] == (
            "AggressiveToBalanced",
            "AGGRESSIVE",
            "BALANCED",
            "any",
            "drawdown_pct > 0.05; vix > 25; consecutive_scalp_losses > 5; daily_loss_pct > 0.02",
        )
        assert rows[1][4] == "drawdown_pct > 0.1; vix > 30; market_circuit_breaker; safety WARNING or worse"
        assert rows[3][4].startswith("cagr > target_cagr; vix < 15")
        assert rows[3][4].endswith("safety NORMAL; held ≥ 10 days")
