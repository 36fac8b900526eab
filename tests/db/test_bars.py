"""Finished bars in the store: to the last digit, only as many as windows need, whole after every rewind."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from qts.market.contracts import Bar

from . import rows
from .rows import opened


def bar(number: int, interval: str = "1m", symbol: str = "005930") -> Bar:
    price = D(number)
    return Bar(symbol, number, price, price, price, price, D(1), interval, "2024-03-04", number - 1, None, None)


def numbers(store: SqliteStore, interval: str = "1m", symbol: str = "005930") -> list[int]:
    return [one.ts_ns for one in store.bars() if (one.interval, one.symbol) == (interval, symbol)]


def test_a_bar_comes_back_to_the_last_digit(tmp_path: Path) -> None:
    prices = D("61800.10"), D("61800.200"), D("61799.9"), D("61800"), D("0.0010")
    whole = Bar("BTC", 9, *prices, "1e8$", "2024-03-04", 4, D("61.80010"), 3, True)
    plain = Bar("005930", 10, *prices, "1d")
    store = opened(tmp_path / "q.sqlite")

    store.commit([whole, plain])

    assert [str(one) for one in store.bars()] == [str(whole), str(plain)]
    store.close()


def test_only_the_bars_that_are_kept_stay(tmp_path: Path) -> None:
    # Given a store that keeps twenty bars of a minute
    store = opened(tmp_path / "q.sqlite")
    store.keep_bars({"1m": 20, "1d": 20})
    store.commit([bar(1, "1d")])

    # When a hundred are written, each with a checkpoint
    for number in range(1, 101):
        store.commit([bar(number)], checkpoint=b"c")

    # Then the last twenty are there, not many more, and those of other series are untouched
    kept = numbers(store)
    assert kept[-20:] == list(range(81, 101))
    assert len(kept) <= 20 + 16 + 1
    assert numbers(store, "1d") == [1]
    store.close()


def test_no_bar_is_deleted_without_a_checkpoint(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.keep_bars({"1m": 1})

    for number in range(1, 101):
        store.commit([bar(number)])

    assert numbers(store) == list(range(1, 101))
    store.close()


def test_without_a_number_to_keep_all_stay(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    for number in range(1, 101):
        store.commit([bar(number)], checkpoint=b"c")

    assert numbers(store) == list(range(1, 101))
    store.close()


def test_what_restarts_left_is_deleted_when_the_next_one_begins(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.commit([bar(number) for number in range(1, 101)], checkpoint=b"c")

    store.keep_bars({"1m": 5})

    assert numbers(store) == list(range(96, 101))
    store.close()


def test_a_batch_that_is_refused_leaves_no_bar(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.commit([rows.ledger(), bar(1)])

    with pytest.raises(StorageError):
        store.commit([bar(2), rows.ledger()])

    store.commit([bar(3)])
    assert numbers(store) == [1, 3]
    store.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["commit", "checkpoint"]), st.integers(0, 30)),
        st.tuples(st.sampled_from(["rewind", "reopen"]), st.just(0)),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 20))
def test_the_window_is_that_of_the_checkpoint_after_every_rewind(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], kept: int
) -> None:
    # Given a list of what was written, cut back as the store is rewound
    path = tmp_path_factory.mktemp("store") / "q.sqlite"
    store = opened(path)
    store.keep_bars({"1m": kept})
    written, at_checkpoint = list[int](), list[int]()

    for number, (step, count) in enumerate(steps):
        if step in ("rewind", "reopen"):
            if step == "reopen":
                store.close()
                store = opened(path)
            store.rewind()
            store.keep_bars({"1m": kept})
            written = list(at_checkpoint)
        else:
            new = [number * 100 + place for place in range(count)]
            written += new
            store.commit(list(map(bar, new)), checkpoint=b"c" if step == "checkpoint" else None)
            if step == "checkpoint":
                at_checkpoint = list(written)

        # Then the last bars are always the same
        assert numbers(store)[-kept:] == written[-kept:]
    store.close()
