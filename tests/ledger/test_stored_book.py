"""A book and its store: whatever fails or kills the process, an effect is in both wholly or in neither.

Every kind of entry is booked, each in a transaction of its own. A process that begins again has the oldest
checkpoint and the rows since; it is told all news again and ends in the same book.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from decimal import Decimal as D
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

import qts
from qts.capital.contracts import Pool
from qts.db.contracts import Record, RunRow
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from qts.ledger.account import Account
from qts.ledger.bookings import booking_row
from qts.ledger.contracts import BookingEffect, BookingKind, TransferOutcome
from qts.market.actions import Dividend, Split
from tests.effort import EVERY_CALL, EVERY_KILL
from tests.ledger.book import BALANCED, SAMSUNG, account, bust, fill, note, transfer

PACKAGE = str(Path(qts.__file__).parent)
HYNIX = "000660"
RUN = RunRow("0123456789abcdef", "run", 7, "source", "config", "2026-01-02T09:00:00+09:00", False)
Fact = Callable[[Account], Sequence[Record]]


def ours(execution: str, side: str, qty: int, price: int, ts: int, *, fee: int = 3, tax: int = 0) -> Fact:
    one = fill(execution, side, qty, price, fee=fee, tax=tax, ts=ts)

    def apply(book: Account) -> Sequence[Record]:
        effect = book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        return () if effect is None else effect.records

    return apply


def of_bookings(book: Callable[[Account], BookingEffect | Iterable[BookingEffect] | None]) -> Fact:
    def apply(account: Account) -> Sequence[Record]:
        effects = book(account)
        found = (effects,) if isinstance(effects, BookingEffect) else effects or ()
        return [record for effect in found for record in effect.records]

    return apply


def moved(book: Account) -> Sequence[Record]:
    one = transfer("0123456789abcdef-t-1", Pool.SWING, Pool.SCALP, 500, 5)
    return (one, *book.pool_rows()) if book.transfer(one) is TransferOutcome.APPLIED else ()


def split(book: Account) -> Sequence[Record]:
    one = Split(SAMSUNG, date(2018, 5, 4), D(5), D(2))
    effects = book.apply_split(one, ts_ns=60, lot=D(1), price=D(900))
    return [record for effect in effects for record in effect.records]


def dividend(book: Account) -> Sequence[Record]:
    effects = book.pay_dividend(Dividend(SAMSUNG, date(2018, 6, 1), D(30)), ts_ns=70, tax=lambda paid: paid // 7)
    return [record for effect in effects for record in effect.records]


def taken_back_before(book: Account) -> Sequence[Record]:
    """The reversal comes first; no row shows it before its fill is there."""
    assert book.reverse(bust(fill("x-4", "BUY", 2, 1_000, fee=3, ts=65), ts=66)) is None
    return ours("x-4", "BUY", 2, 1_000, 65)(book)


def row_of(kind: BookingKind, reference: str, **amounts: D) -> Fact:
    row = booking_row(kind, "main", note(reference, 80), Pool.SWING, day="2018-05-04", **amounts)
    return of_bookings(lambda book: book.book(row))


BY_HAND = fill("h-1", "BUY", 4, 500, fee=2, order="by hand", symbol=HYNIX, ts=20)
FACTS: dict[str, Fact] = {
    "opening": of_bookings(
        lambda book: book.adopt(
            D(1_500_000), {SAMSUNG: (D(7), D(9_001)), HYNIX: (D(3), D(100))}, note("opening", 1)
        )
    ),
    "fill": ours("x-1", "BUY", 11, 1_000, 10),
    "sale": ours("x-2", "SELL", 4, 1_100, 30, tax=9),
    "late fill": ours("x-3", "BUY", 2, 990, 15),
    "fill of others": of_bookings(lambda book: book.book_external(BY_HAND, actor="rule", reason="not ours")),
    "transfer": moved,
    "deposit": of_bookings(
        lambda book: book.deposit(D(9_000), note("c-1", 40), weights=BALANCED, remainder=Pool.SWING)
    ),
    "withdrawal": of_bookings(
        lambda book: book.withdraw(D(700), note("c-2", 41), weights=BALANCED, remainder=Pool.SWING)
    ),
    "takeover": of_bookings(
        lambda book: book.take_over(HYNIX, D(2), note("c-3", 50), strategy="ema", pool=Pool.SCALP, price=D(510))
    ),
    "split": split,
    "split of EXTERNAL": of_bookings(
        lambda book: book.split_external(
            Split(SAMSUNG, date(2018, 5, 4), D(5), D(2)), note("s-1", 60), lot=D(1), price=D(900)
        )
    ),
    "fill that was taken back before": taken_back_before,
    "dividend": dividend,
    "fees of a day": row_of(BookingKind.FEE, "day", fee=D(7)),
    "taxes of a day": row_of(BookingKind.TAX, "day", tax=D(-2)),
    "interest": row_of(BookingKind.ADJUSTMENT, "i-1", amount=D(11)),
    "reversal": of_bookings(lambda book: book.reverse(bust(BY_HAND, ts=90))),
}
"""In the order in which they are told; each is told again and books nothing more."""


class Failing:
    """A connection of a store that calls ``at`` with the number of each statement before it is executed."""

    def __init__(self, connection: sqlite3.Connection, at: Callable[[int], None]) -> None:
        self._connection = connection
        self._at = at
        self._number = 0

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self._number += 1
        self._at(self._number)
        return self._connection.execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        self._number += 1
        self._at(self._number)
        return self._connection.executemany(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Process:
    """A process with a book and its store: it begins with the checkpoint and the rows in ``path``."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path, durability="NORMAL")
        self.book = account()
        checkpoint = self.store.checkpoint()
        if checkpoint is None:
            self.store.open_run(RUN)
            self.store.commit(self.book.pool_rows(), msgspec.msgpack.encode(self.book.export_state()))
        else:
            self.book.roll_forward(
                msgspec.msgpack.decode(checkpoint),
                ledger=self.store.ledger(),
                transfers=self.store.transfers(),
                actions=self.store.actions(),
                bookings=self.store.bookings(),
            )

    def told(self, fact: Fact) -> None:
        records = fact(self.book)
        if records:
            self.store.commit(records)

    def told_all(self) -> None:
        for fact in FACTS.values():
            self.told(fact)

    def close(self) -> None:
        self.store.close()


def left_in(path: Path) -> dict[str, Any]:
    """What a process that begins with ``path`` has in its book and its store, which agree."""
    process = Process(path)
    book, store = process.book, process.store
    held = dict.fromkeys(book.position_rows())
    assert dict.fromkeys(store.positions()) == held
    assert sorted(store.pools(), key=str) == sorted(book.pool_rows(), key=str)
    assert store.verify_history() == ""
    kinds = ("ledger", "transfers", "actions", "bookings")
    left = {name: list(getattr(store, name)()) for name in kinds}
    left |= {"held": sorted(map(str, held)), "pools": sorted(map(str, book.pool_rows()))}
    left |= {"external": (book.external.cash, book.external.costs(), book.external.positions())}
    process.close()
    return left


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose run has begun, with its first checkpoint."""
    path = tmp_path_factory.mktemp("empty") / "q.sqlite"
    Process(path).close()
    return path


@pytest.fixture(scope="module")
def stages(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The store before each fact, and what is left when that and nothing more is booked."""
    folder = tmp_path_factory.mktemp("stages")
    path = shutil.copy(empty, folder / "all.sqlite")
    found = {}
    for number, (name, fact) in enumerate(FACTS.items()):
        before = Path(shutil.copy(path, folder / f"{number}.sqlite"))
        process = Process(path)
        process.told(fact)
        process.close()
        found[name] = before, left_in(path)
    found["all"] = path, left_in(path)
    return found


@contextmanager
def failing_call(k: int, error: type[BaseException]) -> Iterator[list[int]]:
    """Raise ``error`` at the ``k``-th call of a function of the package; what is yielded counts them."""
    calls = [0]

    def trace(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls[0] += 1
            if calls[0] == k:
                raise error(f"call {k}")

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield calls
    finally:
        sys.settrace(before)


def some_of(most: int, name: str, *, every: bool) -> list[int]:
    """The last of 1 … ``most`` and one before it, or ``every`` one."""
    numbers = range(1, most + 1)
    if every:
        return list(numbers)
    return sorted({most, random.Random(name).choice(numbers)})


def is_whole(path: Path, name: str, stages: dict[str, tuple[Path, dict[str, Any]]]) -> bool:
    """Whether the fact is in the store wholly; it is not there at all otherwise."""
    names = [*stages]
    left, place = left_in(path), names.index(name)
    nothing_more = stages[names[place - 1]][1] if place else left_in(stages[name][0])
    assert left in (nothing_more, stages[name][1])
    return bool(left == stages[name][1])


def begin_again(path: Path, stages: dict[str, tuple[Path, dict[str, Any]]], subject: str) -> None:
    process = Process(path)
    process.told_all()
    process.told_all()
    process.close()
    assert left_in(path) == stages["all"][1], subject


def test_every_kind_of_entry_is_booked(stages: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    _, left = stages["all"]
    assert {row.kind for row in left["bookings"]} == set(BookingKind)
    assert {row.kind.value for row in left["actions"]} == {"SPLIT", "DIVIDEND"}
    assert (len(left["ledger"]), len(left["transfers"])) == (4, 1)


# What is raised while a generator is closed goes nowhere: the interpreter only reports it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FACTS)
def test_what_fails_at_any_call_is_booked_wholly_or_not_at_all_and_once_when_it_is_told_again(
    name: str, stages: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    before, _ = stages[name]
    process = Process(Path(shutil.copy(before, tmp_path / "counted.sqlite")))
    with failing_call(0, RuntimeError) as calls:
        process.told(FACTS[name])
    process.close()

    for k in some_of(calls[0], name, every=EVERY_CALL):
        # Given a process in which the k-th call of what books the fact fails
        path = Path(shutil.copy(before, tmp_path / f"{k}.sqlite"))
        process = Process(path)
        error = (MemoryError, OSError, sqlite3.OperationalError)[k % 3]
        with suppress(error, StorageError), failing_call(k, error) as reached:
            process.told(FACTS[name])
        assert reached[0] >= k
        process.close()

        # When another begins with the store, then the fact is in it or not, and told again it is booked once
        is_whole(path, name, stages)
        begin_again(path, stages, f"{name}, call {k} of {calls[0]}")


@pytest.mark.parametrize("name", FACTS)
def test_a_statement_that_fails_leaves_nothing_in_the_store(
    name: str, stages: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    for k in some_of(statements_of(name, stages, tmp_path), name, every=EVERY_CALL):
        path = Path(shutil.copy(stages[name][0], tmp_path / f"{k}.sqlite"))
        process = Process(path)

        def fail(number: int, k: int = k) -> None:
            if number == k:
                raise sqlite3.OperationalError("disk I/O error")

        watch(process, fail)
        with pytest.raises(StorageError, match="disk I/O error"):
            process.told(FACTS[name])
        process.close()

        assert not is_whole(path, name, stages)
        begin_again(path, stages, f"{name}, statement {k}")


@pytest.mark.parametrize("name", FACTS)
def test_killed_at_any_statement_the_next_process_ends_in_the_same_book(
    name: str, stages: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    for k in some_of(statements_of(name, stages, tmp_path), name, every=EVERY_KILL):
        path = Path(shutil.copy(stages[name][0], tmp_path / f"{k}.sqlite"))

        killed_at(path, FACTS[name], k)

        assert not is_whole(path, name, stages)
        begin_again(path, stages, f"{name}, statement {k}")


def watch(process: Process, at: Callable[[int], None]) -> None:
    process.store._connection = Failing(process.store._connection, at)  # type: ignore[assignment]


def statements_of(name: str, stages: dict[str, tuple[Path, dict[str, Any]]], folder: Path) -> int:
    """How many statements the transaction of a fact has: BEGIN, those of its rows and its batch, COMMIT."""
    numbers = [0]
    process = Process(Path(shutil.copy(stages[name][0], folder / "statements.sqlite")))
    watch(process, numbers.append)
    process.told(FACTS[name])
    process.close()
    return numbers[-1]


def killed_at(path: Path, fact: Fact, k: int) -> None:
    """Let a child process be told a fact, and kill it before the ``k``-th statement."""
    child = os.fork()
    if child == 0:
        try:
            process = Process(path)
            watch(process, lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == k else None)
            process.told(fact)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"statement {k} was not reached"
    assert os.WTERMSIG(status) == signal.SIGKILL
