"""The book of record and the audit add exactly, in whatever decimal context their caller lives."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.ledger.account import Account
from qts.ledger.audit import Claims, audit
from qts.ledger.contracts import FillEffect
from qts.money import MAX_DECIMALS, MAX_WHOLE_DIGITS, PRECISION
from qts.strategy.contracts import Side

from .book import BALANCED, SAMSUNG, at, fill

ROUNDINGS = (decimal.ROUND_UP, decimal.ROUND_DOWN, decimal.ROUND_CEILING, decimal.ROUND_05UP)
ALL_TRAPS = (*decimal.getcontext().traps,)


@contextmanager
def context(precision: int, rounding: str, trapped: bool) -> Iterator[None]:
    """The thread as a strategy or a library may leave it."""
    traps = list(ALL_TRAPS) if trapped else []
    hostile = decimal.Context(precision, rounding, Emin=-9, Emax=9, capitals=0, clamp=1, flags=[], traps=traps)
    with decimal.localcontext(hostile):
        yield


def numbers(digits: int, decimals: int) -> st.SearchStrategy[D]:
    """Decimals above 0 with up to ``digits`` digits in all, up to ``decimals`` of them behind the point."""
    return st.builds(
        lambda unscaled, places: D(unscaled).scaleb(-places, decimal.Context(prec=200)),
        st.integers(1, 10**digits - 1),
        st.integers(0, decimals),
    )


PRICES = numbers(MAX_WHOLE_DIGITS, MAX_DECIMALS)
FILLS = st.lists(
    st.tuples(
        st.sampled_from(("BUY", "SELL")),
        PRICES,
        PRICES,
        numbers(12, MAX_DECIMALS),
        numbers(12, MAX_DECIMALS),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=12,
)
CONTEXTS = st.tuples(st.integers(1, 6), st.sampled_from(ROUNDINGS), st.booleans())


def opened(opening: D, quantum: D) -> Account:
    return Account(opening=opening, quantum=quantum, split={Pool.SCALP: D(1)}, remainder=Pool.SCALP)


def claims_of(book: Account, mark: D) -> Claims:
    return Claims(
        equity=book.equity(at(mark)),
        cash=book.cash,
        positions=book.positions(),
        holdings=book.position_rows(),
        pools=book.pools(at(mark), BALANCED),
        reservations=book.open_reservations,
        fills_applied=book.fills_applied,
    )


@settings(max_examples=150, deadline=None)
@given(FILLS, st.integers(1, 10**18), st.sampled_from((D(1), D("0.01"), D("0.00000001"))), PRICES, CONTEXTS)
def test_account_audit_and_fractions_agree_to_the_last_digit_under_any_context(
    rows: list[tuple[str, D, D, D, D, int]], opening: int, quantum: D, mark: D, hostile: tuple[int, str, bool]
) -> None:
    with context(*hostile):
        book = opened(D(opening), quantum)
        effects: list[FillEffect] = []
        for number, (side, qty, price, fee, tax, ts) in enumerate(rows):
            one = fill(f"x-{number}", side, qty, price, fee=fee, tax=tax, ts=ts)
            effect = book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
            assert effect is not None
            effects.append(effect)
        claims = claims_of(book, mark)
        findings = audit(
            initial=book.initial,
            quantum=quantum,
            ledger=[effect.ledger for effect in effects],
            transfers=(),
            orders=(),
            claims=claims,
            mark=at(mark),
        ).findings
    cash, held = Fraction(opening), Fraction(0)
    for side, qty, price, fee, tax, _ in rows:
        sign = 1 if side == "BUY" else -1
        cash -= sign * Fraction(qty) * Fraction(price) + Fraction(fee) + Fraction(tax)
        held += sign * Fraction(qty)
    assert Fraction(claims.cash) == cash
    assert Fraction(claims.equity) == cash + held * Fraction(mark)
    assert Fraction(claims.positions.get(SAMSUNG, D(0))) == held
    assert [found for found in findings if found.invariant in (1, 4)] == []


@pytest.mark.parametrize("trapped", [False, True])
def test_eight_decimals_are_kept_in_an_account_of_a_quadrillion(trapped: bool) -> None:
    """Given 10^15 in cash, when 0.00000001 at 0.00000001 is bought, then 10^-16 is gone: 31 digits."""
    with context(3, decimal.ROUND_UP, trapped):
        book = opened(D(10**15), D("0.00000001"))
        book.apply_fill(fill("x-1", "BUY", D("1E-8"), D("1E-8")), strategy="ema", pool=Pool.SCALP)
        cash = book.cash
    assert cash == D("999999999999999.9999999999999999")


def test_the_widest_numbers_of_input_fit_into_the_precision() -> None:
    """Given prices and sizes of 45 digits, when the rest of a holding is valued, then nothing is rounded."""
    widest = D("9" * MAX_WHOLE_DIGITS + "." + "9" * MAX_DECIMALS)
    book = opened(D(1000), D("0.01"))
    for number, (side, qty) in enumerate((("BUY", widest), ("BUY", widest), ("SELL", D("1E-30")))):
        assert book.apply_fill(fill(f"x-{number}", side, qty, widest), strategy="ema", pool=Pool.SCALP)
    assert Fraction(book.cash) == 1000 - (2 * Fraction(widest) - Fraction(1, 10**30)) * Fraction(widest)
    assert PRECISION == 147


@pytest.mark.parametrize("name", ["qty", "price", "fee", "tax"])
@pytest.mark.parametrize("value", [D(10**MAX_WHOLE_DIGITS), D(1).scaleb(-MAX_DECIMALS - 1)])
def test_a_fill_that_no_exact_sum_takes_is_refused_before_anything_changes(name: str, value: D) -> None:
    book = opened(D(1000), D(1))
    sound = fill("x-1", "BUY", 1, 1)
    bad = msgspec.structs.replace(sound, **{name: value})
    with pytest.raises(ContractError, match=f"{name} may have 15 digits before and 30 behind the point"):
        book.apply_fill(bad, strategy="ema", pool=Pool.SCALP)
    assert (book.cash, book.fills_applied, book.positions()) == (1000, 0, {})


def test_reservations_give_back_exactly_what_they_held() -> None:
    """Given 100 reserved for 3 pieces, when one is filled, then ⌈100 × 2 / 3⌉ = 67 stay held, in any context."""
    with context(1, decimal.ROUND_DOWN, False):
        book = opened(D(1000), D(1))
        assert book.reserve("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(3), D(33), D(100))
        book.apply_fill(fill("x-1", "BUY", D(1), D(33), order="o-1"), strategy="ema", pool=Pool.SCALP)
        held, available = book.reserved(Pool.SCALP), book.available(Pool.SCALP)
    assert (held, available) == (67, 900)
