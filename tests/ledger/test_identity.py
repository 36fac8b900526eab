"""What makes two notices the same fill: account, broker, trade date, order and execution id, and nothing less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.execution.contracts import Fill
from qts.ledger.account import Account
from qts.ledger.fills import FillId
from tests.ledger.book import account, fill

DAY_NS = 86_400_000_000_000


def book(one: Fill, into: Account) -> bool:
    """Whether it was another fill than those before."""
    return into.apply_fill(one, strategy="ema", pool=Pool.SCALP) is not None


@pytest.mark.parametrize(
    "again",
    [{"order": "o-2"}, {"ts": DAY_NS}, {"broker": "other"}],
    ids=["of another order", "on another day", "of another broker"],
)
def test_the_number_of_an_exchange_that_comes_back_is_another_fill(again: dict[str, object]) -> None:
    into = account()
    book(fill("7", "BUY", 2, 1_000), into)

    assert book(fill("7", "BUY", 3, 1_000, **again), into)  # type: ignore[arg-type]
    assert into.holding("ema", "005930") == 5


def test_the_same_number_of_the_same_order_and_day_is_the_same_fill_whatever_else_it_says() -> None:
    into = account()
    book(fill("7", "BUY", 2, 1_000), into)

    assert not book(fill("7", "BUY", 3, 9_000, ts=DAY_NS - 1), into)
    assert into.holding("ema", "005930") == 2


def test_the_day_is_the_market_s_own() -> None:
    """15:00 UTC is midnight in Seoul: the moment before it and it are two days there, one in London."""
    seoul = Account(
        opening=account().opening,
        quantum=account().quantum,
        split={Pool.SCALP: account().quantum},
        trade_date=lambda ns: str((ns + 9 * DAY_NS // 24) // DAY_NS),
    )
    midnight = 15 * DAY_NS // 24

    assert [book(fill("7", "BUY", 1, 1_000, ts=ts), seoul) for ts in (midnight - 1, midnight)] == [True, True]
    assert [
        book(fill("7", "BUY", 1, 1_000, ts=ts), london) for london in [account()] for ts in (midnight - 1, midnight)
    ] == [True, False]


def test_the_stored_row_says_all_of_it_and_a_restored_account_knows_it() -> None:
    first = account()
    effect = first.apply_fill(fill("7", "BUY", 2, 1_000, ts=DAY_NS), strategy="ema", pool=Pool.SCALP)
    assert effect is not None
    row = effect.ledger
    assert FillId(row.account, row.broker, row.trade_date, row.order_id, row.execution_id) == FillId(
        "main", "sim", "1970-01-02", "o-1", "7"
    )

    second = account()
    second.import_state(first.export_state(), ledger=[row])

    assert not book(fill("7", "BUY", 2, 1_000, ts=DAY_NS), second)
    assert book(fill("7", "BUY", 2, 1_000, ts=2 * DAY_NS), second)


numbers = st.sampled_from(["1", "2", "10"])
notices = st.builds(
    lambda execution, order, day: fill(
        execution, "BUY", 1 + int(order[-1]), 1_000 + int(execution), order=order, ts=day * DAY_NS
    ),
    numbers,
    st.sampled_from(["o-1", "o-2"]),
    st.integers(0, 2),
)


@given(st.lists(notices, max_size=12), st.data())
def test_any_order_and_any_repetition_of_notices_give_the_same_book(told: list[Fill], data: st.DataObject) -> None:
    once = {(one.client_order_id, one.ts_ns, one.execution_id): one for one in told}
    again = data.draw(
        st.permutations([*told, *data.draw(st.lists(st.sampled_from(told), max_size=6) if told else st.just([]))])
    )
    one, other = account(), account()

    for notice in once.values():
        book(notice, one)
    for notice in again:
        book(notice, other)

    assert one.position_rows() == other.position_rows()
    assert one.pool_rows() == other.pool_rows()
    assert one.fills_applied == other.fills_applied == len(once)
