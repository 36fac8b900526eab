"""Parts of the account that an operator has cut off: which orders belong to one, and until when."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import ContractError
from qts.safety.scoped_stops import Scope, ScopedStop, ScopedStops, ScopeKind, scope_of, stop_row, stops_of

AT = 1_769_043_600_000_000_000  # 2026-01-22 01:00:00 UTC
STRATEGIES = {"fast": "SCALP", "quick": "SCALP", "slow": "SWING"}
SYMBOLS = ("A", "B")
SCOPES = [
    *(Scope(ScopeKind.STRATEGY, name) for name in STRATEGIES),
    *(Scope(ScopeKind.SYMBOL, symbol) for symbol in SYMBOLS),
    *(Scope(ScopeKind.POOL, pool) for pool in ("SCALP", "SWING")),
]


def stop(scope: Scope, *, liquidate: bool = False) -> ScopedStop:
    return ScopedStop(scope, liquidate, "kim", "drill", AT)


@pytest.mark.parametrize(
    ("given", "covered"),
    [
        ({"strategy": "fast"}, {("fast", "A"), ("fast", "B")}),
        ({"symbol": "A"}, {("fast", "A"), ("quick", "A"), ("slow", "A")}),
        ({"pool": "SCALP"}, {("fast", "A"), ("fast", "B"), ("quick", "A"), ("quick", "B")}),
    ],
)
def test_a_scope_covers_what_it_names_and_nothing_else(
    given: dict[str, str], covered: set[tuple[str, str]]
) -> None:
    scope = scope_of(**given)
    assert scope is not None
    assert {(s, x) for s, pool in STRATEGIES.items() for x in SYMBOLS if scope.covers(s, x, pool)} == covered


def test_no_scope_is_everything_and_two_are_none() -> None:
    assert scope_of() is None
    with pytest.raises(ContractError, match=r"strategy fast and pool SCALP: give one stop for each"):
        scope_of(strategy="fast", pool="SCALP")


def test_a_stop_says_who_gave_it_and_why() -> None:
    assert str(stop(Scope(ScopeKind.POOL, "SWING"))) == (
        "pool SWING is stopped since 2026-01-22 01:00:00 UTC by kim: drill"
    )


@pytest.mark.parametrize(("liquidate", "holdings"), [(True, "sell"), (False, "keep")])
def test_a_stop_as_plain_values(liquidate: bool, holdings: str) -> None:
    assert stop_row(stop(Scope(ScopeKind.POOL, "SWING"), liquidate=liquidate)) == {
        "scope": "pool",
        "name": "SWING",
        "holdings": holdings,
        "operator": "kim",
        "reason": "drill",
        "since": "2026-01-22T01:00:00+00:00",
    }


Step = tuple[bool, Scope]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(SCOPES)), max_size=20))
def test_a_part_is_cut_off_as_long_as_one_of_its_stops_was_not_released(steps: list[Step]) -> None:
    stops, model = ScopedStops(), set[Scope]()
    for stopped, scope in steps:
        if stopped:
            stops.put(stop(scope))
            model.add(scope)
        else:
            assert (stops.release(scope) is not None) == (scope in model)
            model.discard(scope)
        restored = ScopedStops()
        restored.import_state(msgspec.msgpack.decode(msgspec.msgpack.encode(stops.export_state())))
        for name, pool in STRATEGIES.items():
            for symbol in SYMBOLS:
                cut_off = any(one.covers(name, symbol, pool) for one in model)
                assert (stops.covering(name, symbol, pool) is not None) == cut_off
                assert stops.covering(name, symbol, pool) == restored.covering(name, symbol, pool)


def test_the_same_scope_again_is_the_newer_stop() -> None:
    stops = ScopedStops()
    scope = Scope(ScopeKind.SYMBOL, "A")
    stops.put(stop(scope))
    stops.put(stop(scope, liquidate=True))
    assert [one.liquidate for one in stops] == [True]
    assert stops_of(None) == []
