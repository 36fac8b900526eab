"""The audit finds each kind of damage, names it, and is silent about a sound account."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.execution.contracts import Order
from qts.ledger.account import Account
from qts.ledger.audit import INVARIANTS, AuditResult, Claims, ProvenRows, audit
from qts.strategy.contracts import Side

from .book import BALANCED, SAMSUNG, account, at, fill, order, transfer

MARK = at(1100)


class Session:
    """10 bought at 1,000, 4 sold at 1,100, one sale of 3 working; 1,000 won moved from SWING to SCALP."""

    def __init__(self) -> None:
        self.book: Account = account()
        self.book.reserve("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(10), D(1000), D(10_020))
        fills = [
            fill("x-1", "BUY", 10, 1000, fee=15, order="o-1"),
            fill("x-2", "SELL", 4, 1100, fee=6, tax=8, order="o-2", ts=1),
        ]
        effects = [self.book.apply_fill(each, strategy="ema", pool=Pool.SCALP) for each in fills]
        self.ledger = [effect.ledger for effect in effects if effect is not None]
        self.transfers = [transfer("t-1", Pool.SWING, Pool.SCALP, 1_000)]
        self.book.transfer(self.transfers[0])
        self.book.reserve("o-3", "ema", Pool.SCALP, SAMSUNG, Side.SELL, D(3), D(0), D(0))
        self.book.reserve("o-4", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(1), D(1000), D(1_002))
        self.orders = [
            order("o-1", "BUY", 10, state="FILLED", filled=10),
            order("o-2", "SELL", 4, state="FILLED", filled=4),
            order("o-3", "SELL", 3, state="WORKING", filled=0),
            order("o-4", "BUY", 1, state="UNKNOWN", filled=0),
        ]

    def claims(self) -> Claims:
        return Claims(
            equity=self.book.equity(MARK),
            cash=self.book.cash,
            positions=self.book.positions(),
            holdings=self.book.position_rows(),
            pools=self.book.pools(MARK, BALANCED),
            reservations=self.book.open_reservations,
            fills_applied=self.book.fills_applied,
            broker_positions={SAMSUNG: D(6)},
        )

    def audit(self, **instead: object) -> AuditResult:
        facts = {
            "initial": self.book.initial,
            "quantum": D(1),
            "ledger": self.ledger,
            "transfers": self.transfers,
            "orders": self.orders,
            "claims": self.claims(),
            "mark": MARK,
        }
        return audit(**(facts | instead))  # type: ignore[arg-type]

    def broken(self, **changes: object) -> AuditResult:
        """The audit of claims with some of them changed."""
        return self.audit(claims=msgspec.structs.replace(self.claims(), **changes))


@pytest.fixture
def session() -> Session:
    return Session()


def found(result: AuditResult) -> list[tuple[int, str]]:
    return [(finding.invariant, finding.subject) for finding in result.findings]


def changed(row: object, **changes: object) -> object:
    return msgspec.structs.replace(row, **changes)  # type: ignore[type-var]


def test_a_sound_account_has_no_finding_and_every_invariant_was_compared(session: Session) -> None:
    result = session.audit()
    assert result.findings == ()
    assert result.ok
    assert all(result.holds(number) is True for number in INVARIANTS)


def test_an_invariant_that_was_not_compared_is_neither_true_nor_false(session: Session) -> None:
    assert session.audit().holds(25) is None


def test_holdings_without_a_mark_are_taken_at_cost(session: Session) -> None:
    blind = at(None)
    claims = msgspec.structs.replace(
        session.claims(), equity=session.book.equity(blind), pools=session.book.pools(blind, BALANCED)
    )
    assert session.audit(claims=claims, mark=blind).ok


def test_a_won_too_much_equity_is_found_in_both_sums(session: Session) -> None:
    result = session.broken(equity=session.claims().equity + 1)
    assert found(result) == [(1, "equity of pools"), (1, "equity of origin")]
    assert result.holds(1) is False
    assert result.holds(4) is True


def test_cash_that_is_not_the_sum_of_flows_is_found(session: Session) -> None:
    assert found(session.broken(cash=D(0))) == [(1, "cash")]


def test_a_pool_that_is_more_than_its_parts_is_found(session: Session) -> None:
    pools = dict(session.claims().pools)
    pools[Pool.SWING] = msgspec.structs.replace(pools[Pool.SWING], available=pools[Pool.SWING].available - 1)
    assert found(session.broken(pools=pools)) == [(1, "SWING parts")]


def test_money_created_in_a_pool_is_found(session: Session) -> None:
    pools = dict(session.claims().pools)
    scalp = pools[Pool.SCALP]
    pools[Pool.SCALP] = msgspec.structs.replace(scalp, total=scalp.total + 1, available=scalp.available + 1)
    assert found(session.broken(pools=pools)) == [(1, "SCALP total"), (1, "equity of pools")]


def test_a_result_that_is_not_the_sum_of_its_rows_is_found(session: Session) -> None:
    pools = dict(session.claims().pools)
    pools[Pool.SCALP] = msgspec.structs.replace(pools[Pool.SCALP], realized_pnl=D(0))
    assert found(session.broken(pools=pools)) == [(1, "SCALP realized_pnl")]


def test_a_row_whose_result_was_altered_is_found(session: Session) -> None:
    altered = [changed(session.ledger[0], realized_pnl=D(0)), session.ledger[1]]
    assert (1, "equity of origin") in found(session.audit(ledger=altered))


def test_a_transfer_applied_twice_is_found(session: Session) -> None:
    result = session.audit(transfers=session.transfers * 2)
    assert (2, "transfer t-1") in found(result)
    assert (1, "SWING total") in found(result)


@pytest.mark.parametrize(
    ("changes", "words"), [({"amount": D(0)}, "amount 0"), ({"target": Pool.SWING}, "stays in SWING")]
)
def test_a_transfer_that_moves_nothing_is_found(session: Session, changes: dict[str, object], words: str) -> None:
    result = session.audit(transfers=[changed(session.transfers[0], **changes)])
    assert any(f.invariant == 2 and words in f.detail for f in result.findings)


def test_a_pool_below_zero_is_found() -> None:
    session = Session()
    session.book.apply_fill(fill("x-3", "BUY", 1, 500_000, order="o-4", ts=2), strategy="ema", pool=Pool.SCALP)
    result = session.audit(claims=session.claims())
    assert (2, "SCALP available") in found(result)


def test_reserved_cash_that_no_order_holds_is_found(session: Session) -> None:
    without = [r for r in session.claims().reservations if r.order_id != "o-4"]
    assert found(session.broken(reservations=without)) == [(3, "SCALP reserved")]


@pytest.mark.parametrize("state", ["FILLED", "CANCELLED", "REJECTED", "NOT_SENT", "FILLED_LATE"])
def test_a_reservation_of_a_final_order_is_found(session: Session, state: str) -> None:
    session.orders[2] = order("o-3", "SELL", 3, state=state, filled=0)
    result = session.audit()
    assert found(result) == [(3, "reservation o-3")]
    assert result.findings[0].detail == f"its order is {state}"


@pytest.mark.parametrize("state", ["INTENT", "UNKNOWN", "WORKING", "PARTIAL"])
def test_a_reservation_of_an_order_that_can_still_fill_is_right(session: Session, state: str) -> None:
    session.orders[2] = order("o-3", "SELL", 3, state=state, filled=0)
    assert session.audit().ok


def test_a_reservation_of_an_unknown_order_is_found(session: Session) -> None:
    result = session.audit(orders=session.orders[:3])
    assert found(result) == [(3, "reservation o-4")]
    assert result.findings[0].detail == "its order is unknown"


def test_a_position_that_is_not_the_sum_of_fills_is_found(session: Session) -> None:
    assert found(session.broken(positions={SAMSUNG: D(7)})) == [(4, f"position {SAMSUNG}")]
    assert found(session.broken(positions={})) == [(4, f"position {SAMSUNG}")]
    ghost = {SAMSUNG: D(6), "000660": D(1)}
    assert found(session.broken(positions=ghost)) == [(4, "position 000660")]


def test_a_broker_that_holds_something_else_is_found(session: Session) -> None:
    assert found(session.broken(broker_positions={SAMSUNG: D(5)})) == [(4, f"broker's {SAMSUNG}")]
    assert found(session.broken(broker_positions={})) == [(4, f"broker's {SAMSUNG}")]


def test_a_broker_that_was_not_asked_is_not_compared(session: Session) -> None:
    asked, not_asked = session.audit(), session.broken(broker_positions=None)
    assert not_asked.ok
    assert not_asked.checks[4] == asked.checks[4] - 1


def test_a_cost_that_is_a_quantum_off_is_found(session: Session) -> None:
    # 6 at 1,000 cost 6,000
    (holding,) = session.claims().holdings
    near = [msgspec.structs.replace(holding, cost=holding.cost + D("0.9"))]
    off = [msgspec.structs.replace(holding, cost=holding.cost + 1)]
    assert (4, f"cost ema/{SAMSUNG}") not in found(session.broken(holdings=near))
    result = session.broken(holdings=off)
    assert (4, f"cost ema/{SAMSUNG}") in found(result)
    assert any("claimed 6001, recomputed 6000.000000" in f.detail for f in result.findings)


def test_a_holding_that_is_missing_is_found(session: Session) -> None:
    result = session.broken(holdings=[])
    assert (4, f"holding ema/{SAMSUNG}") in found(result)
    assert (4, f"cost ema/{SAMSUNG}") in found(result)


def test_a_holding_that_was_never_filled_is_found(session: Session) -> None:
    ghost = msgspec.structs.replace(session.claims().holdings[0], strategy="ghost")
    result = session.broken(holdings=[*session.claims().holdings, ghost])
    assert (4, f"holding ghost/{SAMSUNG}") in found(result)


def test_a_fill_stored_twice_is_found(session: Session) -> None:
    result = session.audit(ledger=[*session.ledger, session.ledger[0]])
    assert {(5, "fill sim/x-1"), (5, "fills applied")} <= set(found(result))


def test_a_book_that_knows_another_number_of_fills_is_found(session: Session) -> None:
    assert found(session.broken(fills_applied=3)) == [(5, "fills applied")]


def test_an_order_filled_beyond_its_quantity_is_found_unless_it_was_flagged(session: Session) -> None:
    session.orders[0] = order("o-1", "BUY", 9, state="FILLED", filled=10)
    result = session.audit()
    assert found(result) == [(6, "order o-1")]
    assert result.findings[0].detail == "filled 10 of 9"
    session.orders[0] = order("o-1", "BUY", 9, state="FILLED", filled=10, note="Overfill: broker says 10")
    assert session.audit().ok


def test_a_fill_of_an_order_that_was_not_stored_is_found(session: Session) -> None:
    assert found(session.audit(orders=session.orders[1:])) == [(6, "order o-1")]


def test_an_order_that_claims_other_fills_is_found(session: Session) -> None:
    session.orders[1] = order("o-2", "SELL", 4, state="FILLED", filled=3)
    assert found(session.audit()) == [(6, "order o-2 filled")]
    session.orders[1:] = [
        *Session().orders[1:2],
        order("o-3", "SELL", 3, state="WORKING", filled=1),
        *session.orders[3:],
    ]
    assert found(session.audit()) == [(6, "order o-3 filled")]


def _costs(fills: Sequence[tuple[str, int, int]]) -> AuditResult:
    book = account()
    rows = []
    for i, (side, qty, price) in enumerate(fills):
        effect = book.apply_fill(fill(f"x-{i}", side, qty, price, ts=i), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        rows.append(effect.ledger)
    claims = Claims(
        equity=book.equity(MARK),
        cash=book.cash,
        positions=book.positions(),
        holdings=book.position_rows(),
        pools=book.pools(MARK, BALANCED),
        reservations=(),
        fills_applied=len(rows),
    )
    filled = sum(qty for _, qty, _ in fills)
    one = order("o-1", "BUY", filled, state="FILLED", filled=filled)
    return audit(
        initial=book.initial, quantum=D(1), ledger=rows, transfers=(), orders=[one], claims=claims, mark=MARK
    )


@pytest.mark.parametrize(
    "fills",
    [
        [("BUY", 3, 100), ("SELL", 5, 120)],
        [("SELL", 3, 100), ("BUY", 5, 120), ("SELL", 1, 130)],
        [("BUY", 1, 100), ("BUY", 2, 101), ("SELL", 1, 110), ("SELL", 2, 90), ("BUY", 7, 99)],
    ],
)
def test_short_turned_and_reopened_holdings_agree_with_the_recomputation(fills: list[tuple[str, int, int]]) -> None:
    assert _costs(fills).findings == ()


# -- rows added to what was proven ---------------------------------------------------------------------------------


def proven(session: Session, fills: int, moved: int = 0) -> ProvenRows:
    """Return the sums of the first ``fills`` rows and ``moved`` transfers, taken over unchecked."""
    sums = ProvenRows(session.book.initial, D(1))
    sums.add(session.ledger[:fills], session.transfers[:moved], session.orders)
    return sums


def rest(session: Session, sums: ProvenRows, orders: Sequence[Order] = ()) -> AuditResult:
    return sums.audit(
        ledger=session.ledger[sums.fills :],
        transfers=session.transfers[sums.transfers :],
        orders=orders,
        claims=session.claims(),
        mark=MARK,
    )


def test_rows_added_to_proven_sums_are_judged_like_all_rows(session: Session) -> None:
    for fills in range(3):
        for moved in range(2):
            sums = proven(session, fills, moved)

            assert rest(session, sums, session.orders).findings == ()
            assert (sums.fills, sums.transfers) == (2, 1)


def test_only_new_rows_and_changed_orders_are_checked_again(session: Session) -> None:
    """One fill, its order, no transfer; pools, holdings and reservations every time."""
    whole = session.audit().checks

    checks = rest(session, proven(session, fills=1, moved=1)).checks

    assert checks[1] == whole[1] == 12  # three of each pool, and three sums
    assert checks[2] == 3  # no pool is below zero
    assert checks[5] == 2  # one key, and the number of fills
    assert checks[6] == 3  # stored, within its quantity, what it says it filled


def test_a_new_fill_that_is_stored_already_is_found(session: Session) -> None:
    sums = proven(session, fills=2, moved=1)

    result = sums.audit(ledger=session.ledger[:1], transfers=(), orders=(), claims=session.claims(), mark=MARK)

    assert {(5, "fill sim/x-1"), (5, "fills applied")} <= set(found(result))


def test_a_transfer_that_was_proven_is_not_applied_again(session: Session) -> None:
    sums = proven(session, fills=2, moved=1)

    result = sums.audit(ledger=(), transfers=session.transfers, orders=(), claims=session.claims(), mark=MARK)

    assert (2, "transfer t-1") in found(result)


def test_an_account_that_changed_without_a_row_is_found_by_the_proven_sums(session: Session) -> None:
    sums = proven(session, fills=2, moved=1)
    claims = msgspec.structs.replace(session.claims(), cash=session.book.cash + 1)

    result = sums.audit(ledger=(), transfers=(), orders=(), claims=claims, mark=MARK)

    assert found(result) == [(1, "cash")]


def test_an_order_that_changed_alone_is_compared_with_its_proven_fills(session: Session) -> None:
    sums = proven(session, fills=2, moved=1)

    result = rest(session, sums, [order("o-2", "SELL", 4, state="FILLED", filled=3)])

    assert found(result) == [(6, "order o-2 filled")]


def test_an_older_fill_does_not_follow(session: Session) -> None:
    """Costs depend on the order in time: x-1 was before x-2."""
    sums = proven(session, fills=2)

    assert not sums.follow(session.ledger[:1])
    assert sums.follow(session.ledger[1:])
    assert ProvenRows(session.book.initial, D(1)).follow(session.ledger)


@given(
    fills=st.lists(
        st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 9), st.integers(900, 1100)), max_size=12
    ),
    cuts=st.lists(st.integers(0, 12), max_size=4),
)
def test_however_rows_are_portioned_the_last_audit_says_the_same(
    fills: list[tuple[str, int, int]], cuts: list[int]
) -> None:
    # Given a book of fills in the order of time, long and short
    book = account()
    orders = [order(f"o-{n}", side, qty, state="FILLED", filled=qty) for n, (side, qty, _) in enumerate(fills)]
    ledger = []
    for n, (side, qty, price) in enumerate(fills):
        effect = book.apply_fill(
            fill(f"x-{n}", side, qty, price, fee=n, order=f"o-{n}", ts=n), strategy="ema", pool=Pool.SCALP
        )
        assert effect is not None
        ledger.append(effect.ledger)

    def claims() -> Claims:
        return Claims(
            equity=book.equity(MARK),
            cash=book.cash,
            positions=book.positions(),
            holdings=book.position_rows(),
            pools=book.pools(MARK, BALANCED),
            reservations=book.open_reservations,
            fills_applied=book.fills_applied,
        )

    facts = {"claims": claims(), "mark": MARK}
    whole = audit(initial=book.initial, quantum=D(1), ledger=ledger, transfers=(), orders=orders, **facts)  # type: ignore[arg-type]

    # When the rows come in portions
    sums, begin = ProvenRows(book.initial, D(1)), 0
    for end in sorted(cut for cut in cuts if cut < len(fills)):
        sums.audit(ledger=ledger[begin:end], transfers=(), orders=orders[begin:end], **facts)  # type: ignore[arg-type]
        begin = end
    last = sums.audit(ledger=ledger[begin:], transfers=(), orders=orders[begin:], **facts)  # type: ignore[arg-type]

    # Then
    assert set(last.findings) == set(whole.findings)
    assert sums.fills == len(fills)
