"""Moves toward targets, worked by hand. Equity 100,000,000 won, so a day moves at most 5,000,000."""

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from qts.capital.config import CapitalConfig
from qts.capital.contracts import CapitalPool, Pool, PoolState
from qts.capital.rebalance import Plan, moves_to_targets

CONFIG = CapitalConfig()
BALANCED = {Pool.SCALP: D("0.40"), Pool.SWING: D("0.35"), Pool.PORTFOLIO: D("0.25")}
DEFENSIVE = {Pool.SCALP: D("0.10"), Pool.SWING: D("0.20"), Pool.PORTFOLIO: D("0.70")}
M = 1_000_000


def pool(name: Pool, total: int, available: int | None = None, state: PoolState = PoolState.ACTIVE) -> CapitalPool:
    free = total if available is None else available
    zero = D(0)
    return CapitalPool(
        name, D(total), D(free), D(total - free), zero, zero, zero, zero, zero, zero, pool_state=state
    )


def pools(scalp: int, swing: int, portfolio: int) -> dict[Pool, CapitalPool]:
    return {
        Pool.SCALP: pool(Pool.SCALP, scalp),
        Pool.SWING: pool(Pool.SWING, swing),
        Pool.PORTFOLIO: pool(Pool.PORTFOLIO, portfolio),
    }


def plan(
    have: dict[Pool, CapitalPool], targets: dict[Pool, D], moved: int = 0, config: CapitalConfig = CONFIG
) -> Plan:
    return moves_to_targets(have, targets, sum((p.total for p in have.values()), D(0)), D(moved), config)


def amounts(result: Plan) -> list[tuple[str, str, int]]:
    return [(move.source.value, move.target.value, int(move.amount)) for move in result.moves]


def test_pools_at_their_targets_stay() -> None:
    assert plan(pools(40 * M, 35 * M, 25 * M), BALANCED) == Plan((), ())


def test_an_excess_within_the_days_limit_moves_whole() -> None:
    # SCALP has 44, wants 40: 4 over; PORTFOLIO lacks 3, SWING lacks 1
    result = plan(pools(44 * M, 34 * M, 22 * M), BALANCED)
    assert amounts(result) == [("SCALP", "PORTFOLIO", 3 * M), ("SCALP", "SWING", 1 * M)]
    assert [move.code for move in result.moves] == ["", ""]
    assert result.moves[0].reason == "PORTFOLIO toward its target of 25.00%"


def test_entering_defensive_moves_five_percent_and_says_that_the_rest_waits() -> None:
    # wanted 10/20/70: SWING is 15 over, SCALP 30 over, PORTFOLIO lacks 45; SWING gives before SCALP
    result = plan(pools(40 * M, 35 * M, 25 * M), DEFENSIVE)
    assert amounts(result) == [("SWING", "PORTFOLIO", 5 * M)]
    assert result.moves[0].code == "GR053"
    assert "reduced from 15,000,000" in result.moves[0].reason
    assert "the day's limit leaves 5,000,000" in result.moves[0].reason
    assert [(w.source, w.amount, w.code) for w in result.waiting] == [(Pool.SCALP, D(30 * M), "GR054")]


def test_portfolio_gives_before_swing_and_swing_before_scalp() -> None:
    # everything wants to be in SWING: PORTFOLIO 2 over, SCALP 2 over
    result = plan(pools(42 * M, 31 * M, 27 * M), BALANCED)
    assert amounts(result) == [("PORTFOLIO", "SWING", 2 * M), ("SCALP", "SWING", 2 * M)]


def test_what_moved_today_counts_against_the_limit() -> None:
    assert amounts(plan(pools(44 * M, 31 * M, 25 * M), BALANCED, moved=2 * M)) == [("SCALP", "SWING", 3 * M)]
    spent = plan(pools(44 * M, 31 * M, 25 * M), BALANCED, moved=5 * M)
    assert spent.moves == ()
    assert spent.waiting[0].code == "GR054"


def test_a_move_of_exactly_the_smallest_transfer_leaves_and_a_smaller_one_waits() -> None:
    at = plan(pools(40 * M + 100_000, 35 * M - 100_000, 25 * M), BALANCED)
    below = plan(pools(40 * M + 99_999, 35 * M - 99_999, 25 * M), BALANCED)
    assert amounts(at) == [("SCALP", "SWING", 100_000)]
    assert below.moves == ()
    assert below.waiting[0].reason == "99,999 from SCALP to SWING waits: less than the smallest transfer of 100,000"


def test_only_available_cash_moves() -> None:
    have = pools(44 * M, 31 * M, 25 * M) | {Pool.SCALP: pool(Pool.SCALP, 44 * M, available=1_500_000)}
    result = plan(have, BALANCED)
    assert amounts(result) == [("SCALP", "SWING", 1_500_000)]
    assert result.moves[0].code == "GR053"
    assert "SCALP has 1,500,000 available" in result.moves[0].reason


def test_an_overdrawn_pool_gives_nothing() -> None:
    have = pools(44 * M, 31 * M, 25 * M) | {Pool.SCALP: pool(Pool.SCALP, 44 * M, available=-1)}
    assert plan(have, BALANCED).moves == ()


def test_a_pool_keeps_its_minimum_share() -> None:
    # SWING may not go under 10 % = 10,000,000 although its target is 5 %
    have = pools(60 * M, 12 * M, 28 * M)
    targets = {Pool.SCALP: D("0.60"), Pool.SWING: D("0.05"), Pool.PORTFOLIO: D("0.35")}
    result = plan(have, targets)
    assert amounts(result) == [("SWING", "PORTFOLIO", 2 * M)]
    assert "SWING must keep 10,000,000" in result.moves[0].reason


def test_a_pool_keeps_its_minimum_amount() -> None:
    # equity 10,000,000: PORTFOLIO has 3,200,000, wants 2,500,000, must keep 3,000,000
    result = plan(pools(3_600_000, 3_200_000, 3_200_000), BALANCED)
    assert amounts(result) == [("PORTFOLIO", "SWING", 200_000)]
    assert result.moves[0].code == "GR053"


def test_a_receiver_never_passes_its_maximum_share() -> None:
    # SWING may hold 50 %; the target asks for 60 %
    targets = {Pool.SCALP: D("0.20"), Pool.SWING: D("0.60"), Pool.PORTFOLIO: D("0.20")}
    assert amounts(plan(pools(32 * M, 48 * M, 20 * M), targets)) == [("SCALP", "SWING", 2 * M)]


def test_a_locked_pool_neither_gives_nor_receives() -> None:
    have = pools(44 * M, 31 * M, 25 * M)
    giver = have | {Pool.SCALP: pool(Pool.SCALP, 44 * M, state=PoolState.LOCKED)}
    taker = have | {Pool.SWING: pool(Pool.SWING, 31 * M, state=PoolState.LOCKED)}
    assert plan(giver, BALANCED).moves == ()
    assert "SCALP is locked" in plan(giver, BALANCED).waiting[0].reason
    assert plan(taker, BALANCED) == Plan((), ())


def test_an_account_without_equity_moves_nothing() -> None:
    assert moves_to_targets(pools(0, 0, 0), BALANCED, D(0), D(0), CONFIG) == Plan((), ())


def test_targets_that_do_not_sum_to_one_are_normalised() -> None:
    doubled = {name: share * 2 for name, share in BALANCED.items()}
    have = pools(44 * M, 31 * M, 25 * M)
    assert amounts(plan(have, doubled)) == amounts(plan(have, BALANCED))


def test_without_floors_a_small_account_in_another_currency_moves_too() -> None:
    have = {
        Pool.SCALP: pool(Pool.SCALP, 42_000),
        Pool.SWING: pool(Pool.SWING, 33_000),
        Pool.PORTFOLIO: pool(Pool.PORTFOLIO, 25_000),
    }
    assert amounts(plan(have, BALANCED)) == []
    assert amounts(plan(have, BALANCED, config=CONFIG.without_amounts())) == [("SCALP", "SWING", 2_000)]


TOTALS = st.integers(0, 200 * M)


@given(st.lists(TOTALS, min_size=3, max_size=3), st.lists(st.integers(0, 100), min_size=3, max_size=3), st.data())
def test_no_limit_is_ever_passed(totals: list[int], free_pct: list[int], data: st.DataObject) -> None:
    targets = data.draw(st.sampled_from([BALANCED, DEFENSIVE]))
    have = {
        name: pool(name, total, available=total * pct // 100)
        for name, total, pct in zip(Pool, totals, free_pct, strict=True)
    }
    equity = D(sum(totals))
    moved = D(data.draw(st.integers(0, 10 * M)))
    moves = moves_to_targets(have, targets, equity, moved, CONFIG).moves
    assert sum((m.amount for m in moves), D(0)) + moved <= max(equity * CONFIG.daily_transfer_limit, moved)
    after = {name: p.total for name, p in have.items()}
    for move in moves:
        assert move.amount == move.amount.to_integral_value() >= CONFIG.min_transfer
        after[move.source] -= move.amount
        after[move.target] += move.amount
    assert sum(after.values()) == equity
    for name in Pool:
        given_away = sum((m.amount for m in moves if m.source is name), D(0))
        received = sum((m.amount for m in moves if m.target is name), D(0))
        limits = CONFIG.limits(name)
        assert given_away <= max(have[name].available, D(0))
        assert not (given_away and received)
        if given_away:
            assert after[name] >= max(limits.min_amount, equity * limits.min_share)
        if received:
            assert after[name] <= equity * limits.max_share
        # never past the target: the distance only shrinks
        assert abs(after[name] - equity * targets[name]) <= abs(have[name].total - equity * targets[name]) + 1
