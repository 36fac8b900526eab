"""The account guards at both sides of each threshold, worked by hand on 100,000,000 won."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.safety import guards
from qts.safety.codes import CATALOGUE
from qts.safety.guards import AccountHealth, GuardLimits, account_guards, is_surely_well

EQUITY = Decimal(100_000_000)


def health(**changes: Any) -> AccountHealth:
    return AccountHealth(**{"equity": EQUITY, "day_open_equity": EQUITY, "exposure": Decimal(0), **changes})


def codes(found: AccountHealth, **limits: Decimal) -> list[str]:
    return [code for code, _ in account_guards(found, GuardLimits(**limits))]


def test_a_healthy_account_raises_nothing() -> None:
    assert account_guards(health()) == ()


@pytest.mark.parametrize(
    ("exposure", "expected"),
    [
        (95_000_000, []),  # exactly 95 %
        (95_000_001, ["GR001"]),
        (114_000_000, ["GR001"]),  # exactly 1.2 × 95,000,000
        (114_000_001, ["FS051"]),  # a fail-safe instead of the guardrail
    ],
)
def test_exposure(exposure: int, expected: list[str]) -> None:
    assert codes(health(exposure=Decimal(exposure))) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(15_000_000, []), (15_000_001, ["GR010"]), (-15_000_001, ["GR010"])]
)
def test_symbol_weight(value: int, expected: list[str]) -> None:
    held = (("005930", Decimal(value)), ("000660", Decimal(1)))
    assert codes(health(symbol_values=held)) == expected


@pytest.mark.parametrize(
    ("equity", "expected"),
    [
        (97_000_001, []),  # −2.999999 %
        (97_000_000, ["GR020"]),  # −3 %
        (95_000_000, ["GR020"]),  # exactly 5 %: not beyond
        (94_999_999, ["FS052"]),
        (103_000_000, []),
    ],
)
def test_daily_loss_against_the_opening_equity(equity: int, expected: list[str]) -> None:
    assert codes(health(equity=Decimal(equity))) == expected


@pytest.mark.parametrize(
    ("equity", "expected"), [(1, ["FS052"]), (0, ["FS050", "FS052"]), (-1, ["FS050", "FS052"])]
)
def test_equity_at_or_below_zero_is_a_fail_safe(equity: int, expected: list[str]) -> None:
    assert codes(health(equity=Decimal(equity))) == expected


def test_the_worst_moment_since_the_last_check_counts() -> None:
    """Whether it is this moment or an earlier one."""
    earlier = (Decimal(95_000_001), EQUITY)
    assert codes(health(exposure=Decimal(10), highest_exposure=earlier)) == ["GR001"]
    assert codes(health(exposure=Decimal(95_000_001), highest_exposure=(Decimal(10), EQUITY))) == ["GR001"]
    lost = health(equity=Decimal(98_000_000), lowest_equity=Decimal(96_000_000))
    assert codes(lost) == ["GR020"]
    assert codes(health(equity=Decimal(96_000_000), lowest_equity=Decimal(98_000_000))) == ["GR020"]


def test_one_won_of_equity_is_equity() -> None:
    one = health(
        equity=Decimal(1), day_open_equity=Decimal(1), exposure=Decimal(1), symbol_values=(("A", Decimal(1)),)
    )
    assert codes(one) == ["GR001", "GR010"]  # 1 of 1 is more than 0.95, and more than 0.15
    assert codes(health(equity=Decimal(0), day_open_equity=Decimal(1), exposure=Decimal(0))) == ["FS050", "FS052"]


def test_with_no_equity_exposure_and_weight_are_not_computed() -> None:
    gone = health(
        equity=Decimal(0), exposure=Decimal(5), symbol_values=(("A", Decimal(5)),), day_open_equity=Decimal(0)
    )
    assert codes(gone) == ["FS050"]


@pytest.mark.parametrize("field", ["equity", "day_open_equity", "exposure"])
@pytest.mark.parametrize(
    ("value", "code"), [(None, "FS030"), (Decimal("NaN"), "FS020"), (Decimal("Infinity"), "FS020")]
)
def test_unknown_and_unusable_amounts_are_fail_safes(field: str, value: Decimal | None, code: str) -> None:
    found = account_guards(health(**{field: value}))
    assert [c for c, _ in found] == [code]
    assert found[0][1].split()[0] == field


@pytest.mark.parametrize(("value", "code"), [(None, "FS030"), (Decimal("NaN"), "FS020")])
def test_an_unknown_symbol_value_is_named(value: Decimal | None, code: str) -> None:
    assert account_guards(health(symbol_values=(("005930", value),)))[0][0] == code


def test_the_limits_in_force_are_the_callers() -> None:
    """DEFENSIVE halves the loss limits: from 1.5 % it warns, beyond 2.5 % it fails."""
    half = {"daily_loss": Decimal("0.025"), "daily_loss_warning": Decimal("0.015")}
    assert codes(health(equity=Decimal(98_500_000)), **half) == ["GR020"]
    assert codes(health(equity=Decimal(97_499_999)), **half) == ["FS052"]


def test_positions_signals_and_mode() -> None:
    found = account_guards(
        health(
            position_differences=(("005930", Decimal(10), Decimal(9)), ("000660", Decimal(5), Decimal(5))),
            sells_without_position=("035420",),
            conflicting_symbols=("005380",),
            critical_only=True,
        )
    )
    assert [code for code, _ in found] == ["FS070", "GR030", "GR040", "GR090"]
    assert [detail for _, detail in found] == [
        "005930: ledger 10, broker 9",
        "005380",
        "035420: sell without a position",
        "only risk-reducing work goes on",
    ]


@pytest.mark.parametrize(
    ("took", "expected"),
    [
        (None, []),
        (29.9, []),
        (30.0, ["AN040"]),  # 3 × 10 ms
        (50.0, ["AN040"]),  # at the limit
        (50.1, ["FS060"]),
        (float("nan"), ["FS020"]),
        (float("inf"), ["FS060"]),
    ],
)
def test_cycle_time(took: float | None, expected: list[str]) -> None:
    assert codes(health(cycle_ms=took, expected_cycle_ms=10.0, cycle_limit_ms=50.0)) == expected


def test_a_cycle_time_that_is_no_number_says_so() -> None:
    assert account_guards(health(cycle_ms=float("nan"))) == (("FS020", "cycle time is NaN"),)


def test_a_cycle_time_without_limits_says_nothing() -> None:
    assert codes(health(cycle_ms=1e9)) == []


def test_every_code_a_guard_can_give_is_in_the_catalogue() -> None:
    named = set(re.findall(r'yield "([A-Z]{2}\d{3})"', inspect.getsource(guards)))
    assert len(named) == 14
    assert named <= set(CATALOGUE)


# -- the short answer ----------------------------------------------------------------------------------------------


def surely_well(**changes: Any) -> bool:
    """At 100,000,000 won at the opening and now, 15,000,000 in one symbol, and nothing worse since."""
    facts: dict[str, Any] = {
        "equity": EQUITY,
        "exposure": Decimal(15_000_000),
        "lowest": EQUITY,
        "worst": (Decimal(15_000_000), EQUITY),
        "opening": EQUITY,
        "limits": GuardLimits(),
    } | changes
    return is_surely_well(facts.pop("equity"), facts.pop("exposure"), **facts)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"exposure": Decimal(15_000_001)}, False),  # one symbol may be above its weight
        ({"lowest": Decimal(97_000_001)}, True),
        ({"lowest": Decimal(97_000_000)}, False),
        ({"equity": Decimal(97_000_000), "exposure": Decimal(0)}, False),
        ({"worst": (Decimal(95_000_000), EQUITY)}, True),
        ({"worst": (Decimal(95_000_001), EQUITY)}, False),
        ({"opening": Decimal(0)}, False),
        ({"lowest": Decimal(0)}, False),
        ({"lowest": Decimal(0), "equity": Decimal(0), "exposure": Decimal(0)}, False),
        ({"lowest": Decimal(-1), "exposure": Decimal(0), "opening": Decimal(-50)}, False),
        ({"equity": Decimal("NaN")}, False),
        ({"exposure": Decimal("Infinity")}, False),
    ],
)
def test_the_short_answer_leaves_every_doubt_to_the_guards(changes: dict[str, Any], expected: bool) -> None:
    assert surely_well(**changes) is expected


@pytest.mark.parametrize(("amount", "expected"), [(1, True), (0, False)])
@pytest.mark.parametrize("of", [("lowest",), ("equity",), ("opening", "equity", "lowest")])
def test_what_is_gone_is_not_well_however_much_may_be_lost(
    of: tuple[str, ...], amount: int, expected: bool
) -> None:
    twice = GuardLimits(daily_loss=Decimal(2), daily_loss_warning=Decimal(2))
    changes = {"exposure": Decimal(0), **dict.fromkeys(of, Decimal(amount))}
    assert surely_well(**changes, limits=twice) is expected


AMOUNTS = st.one_of(
    st.integers(96, 105).map(Decimal),
    st.integers(-10, 130).map(Decimal),
    st.sampled_from([Decimal("NaN"), Decimal("Infinity")]),
)
SHARES = st.sampled_from([Decimal("0.03"), Decimal("0.05"), Decimal("0.15"), Decimal("0.95"), Decimal("1.2")])


@given(
    equity=AMOUNTS,
    lowest=AMOUNTS,
    worst=st.tuples(AMOUNTS, AMOUNTS),
    opening=AMOUNTS,
    symbols=st.lists(st.integers(0, 60).map(Decimal), max_size=3),
    limits=st.builds(
        GuardLimits, exposure=SHARES, symbol_weight=SHARES, daily_loss_warning=SHARES, daily_loss=SHARES
    ),
)
def test_where_the_short_answer_is_well_the_guards_find_nothing(
    equity: Decimal,
    lowest: Decimal,
    worst: tuple[Decimal, Decimal],
    opening: Decimal,
    symbols: list[Decimal],
    limits: GuardLimits,
) -> None:
    exposure = sum(symbols, Decimal(0))
    if is_surely_well(equity, exposure, lowest=lowest, worst=worst, opening=opening, limits=limits):
        found = AccountHealth(
            equity=equity,
            day_open_equity=opening,
            exposure=exposure,
            lowest_equity=lowest,
            highest_exposure=worst,
            symbol_values=tuple((str(number), value) for number, value in enumerate(symbols)),
        )
        assert account_guards(found, limits) == ()
