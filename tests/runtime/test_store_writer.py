"""The one writer of the store, inline and beside the loop: checkpoints know their rows, a failure is the end."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qts.db.contracts import EquityRow, Record
from qts.errors import ContractError, StateError, StorageError
from qts.event.journal import Journal
from qts.runtime.persistence.store_writer import GroupCommitWriter, InlineWriter
from tests.event.support import until
from tests.event.test_journal import Disk, disk, refuse
from tests.execution.test_working import order

__all__ = ["disk"]


def sample(number: int) -> EquityRow:
    from decimal import Decimal as D

    return EquityRow(number, D(1), D(1), D(0), D(0), D(0), "BALANCED", "NORMAL")


class MemoryStore:
    """A store that keeps what was committed, or fails."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[Any], bytes | None]] = []
        self.inboxes: list[list[str]] = []
        self.full = False

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        if self.full:
            raise StorageError("disk full")
        self.commits.append((list(records), checkpoint))
        self.inboxes.append(list(inbox))
        return len(self.commits)


Kind = type[InlineWriter] | type[GroupCommitWriter]
both = pytest.mark.parametrize("kind", [InlineWriter, GroupCommitWriter])
"""What both writers do; before the loop and behind it the second one works on the calling thread, too."""


def connected(
    store: MemoryStore, kind: Kind = GroupCommitWriter
) -> tuple[InlineWriter | GroupCommitWriter, list[str]]:
    record, told = kind(store), []  # type: ignore[arg-type]
    record.connect(
        lambda: f"book rows {record.book_revision}".encode(),
        lambda: told.append("failed"),
        on_full=lambda: told.append("full"),
    )
    return record, told


async def test_in_real_time_an_intent_goes_out_alone_and_what_waits_goes_with_the_checkpoint() -> None:
    """A fill in a row without the checkpoint that knows of it would be another one after a kill."""
    store = MemoryStore()
    record, _ = connected(store)
    record.write_later(sample(1))
    record.write_later(sample(2))

    await record.write_intent([sample(3)])
    await record.write_intent([])
    await record.checkpoint([sample(4)])

    assert store.commits == [
        ([sample(3)], None),
        ([], None),
        ([sample(1), sample(2), sample(4)], b"book rows 0"),
    ]


async def test_on_the_virtual_clock_intents_and_fills_wait_for_the_checkpoint_in_their_order() -> None:
    # Given an intent, a fill and a sample that were given to the writer
    store = MemoryStore()
    record, _ = connected(store, InlineWriter)
    await record.write_intent([order("intent")])
    await record.book([order("filled")])
    record.write_later(sample(1))
    # then nothing is stored, and the revision of the book has moved with both orders
    assert store.commits == []
    assert not record.is_settled
    assert record.book_revision == 2
    # when a checkpoint is begun, then all of them are in its transaction
    await record.begin_checkpoint()
    assert store.commits == [([order("intent"), order("filled"), sample(1)], b"book rows 2")]
    assert record.is_settled


@pytest.mark.parametrize("write", ["write_intent", "book"])
async def test_on_the_virtual_clock_nothing_waits_behind_a_failure(write: str) -> None:
    # Given a writer whose disk is full
    store = MemoryStore()
    record, told = connected(store, InlineWriter)
    store.full = True
    await record.book([order("a")])
    with pytest.raises(StorageError, match="disk full"):
        await record.begin_checkpoint()
    # when there is room again, then it takes nothing more: the resumed session makes it again
    store.full = False
    with pytest.raises(StorageError, match="disk full"):
        await getattr(record, write)([order("b")])
    assert (store.commits, told) == ([], ["failed"])


@both
async def test_a_checkpoint_knows_of_the_rows_it_is_written_with(kind: Kind) -> None:
    store = MemoryStore()
    record, _ = connected(store, kind)
    record.write_later(order("a"))
    record.write_later(sample(1))

    await record.checkpoint([order("b")])

    assert store.commits == [([order("a"), sample(1), order("b")], b"book rows 2")]
    assert record.book_revision == 2


@both
async def test_from_the_thousandth_waiting_row_on_a_checkpoint_is_asked_for(kind: Kind) -> None:
    record, told = connected(MemoryStore(), kind)
    for number in range(999):
        record.write_later(sample(number))
    assert told == []

    record.write_later(sample(999))
    record.write_later(sample(1_000))

    assert told == ["full", "full"]
    await record.checkpoint()
    record.write_later(sample(1_001))
    assert told == ["full", "full"]


@both
async def test_a_thousand_events_without_rows_ask_for_a_checkpoint_too(kind: Kind) -> None:
    """Reports that change nothing, such as fills that come again, would else be listed without an end."""
    record, told = connected(MemoryStore(), kind)
    for number in range(999):
        record.applied(f"e-{number}")
    assert told == []

    record.applied("e-999")

    assert told == ["full"]


class SlowStore(MemoryStore):
    """A store that commits, on whatever thread it is asked, when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = threading.Semaphore(0)
        self.threads: list[str] = []

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        self.threads.append(threading.current_thread().name)
        batch = list(records)
        assert self.turns.acquire(timeout=60)
        return super().commit(batch, checkpoint, inbox)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def begun(store: SlowStore, transactions: int) -> None:
    """Wait until so many transactions were begun."""
    await until(lambda: len(store.threads) == transactions)


async def test_who_comes_while_a_transaction_runs_shares_the_next_one() -> None:
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        first = asyncio.create_task(record.write_intent([sample(1)]))
        await begun(store, 1)
        others = [
            asyncio.create_task(record.write_intent([sample(2)])),
            asyncio.create_task(record.checkpoint([order("a")])),
            asyncio.create_task(record.write_intent([sample(3)])),
        ]
        await settled()
        store.turns.release()
        await first
        assert not any(task.done() for task in others)
        store.turns.release()
        await asyncio.gather(*others)
    assert store.commits == [
        ([sample(1)], None),
        ([sample(2), sample(3), order("a")], b"book rows 1"),
    ]
    assert {name.partition("_")[0] for name in store.threads} == {"qts-store"}, "one thread of its own"
    assert len(set(store.threads)) == 1


def is_stored(record: InlineWriter | GroupCommitWriter) -> bool:
    return record.is_book_stored


async def test_the_book_is_stored_while_rows_that_are_not_of_it_wait_or_are_written() -> None:
    """An audit would never be made where a sample of the curve waits at every look."""
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        assert is_stored(record)
        # Given an order in a checkpoint under way
        first = asyncio.create_task(record.checkpoint([order("a")]))
        await begun(store, 1)
        assert not is_stored(record)
        store.turns.release()
        await first
        assert is_stored(record)
        # When a sample waits, and is being written
        record.write_later(sample(1))
        second = asyncio.create_task(record.checkpoint())
        await begun(store, 2)
        # Then the book is stored, and not everything is
        assert (is_stored(record), record.is_settled) == (True, False)
        # And an order that waits meanwhile is not stored by the transaction under way
        record.write_later(order("b"))
        store.turns.release()
        await second
        assert not is_stored(record)
    record.continue_after(7)
    assert is_stored(record)


async def test_a_checkpoint_is_never_one_that_was_begun_before_it_was_asked_for() -> None:
    """Given a checkpoint under way, a fill booked now is not in it and asks for the next."""
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        first = asyncio.create_task(record.checkpoint([order("a")]))
        await begun(store, 1)
        second = asyncio.create_task(record.checkpoint([order("b")]))
        await settled()
        store.turns.release()
        await first
        store.turns.release()
        await second
    assert [made for _, made in store.commits] == [b"book rows 1", b"book rows 2"]


async def test_one_transaction_runs_at_a_time_so_a_checkpoint_is_told_stored_before_the_next_is_made() -> None:
    store, told = SlowStore(), list[str]()
    record = GroupCommitWriter(store)  # type: ignore[arg-type]

    def make() -> bytes:
        told.append("made")
        return b""

    record.connect(make, lambda: None, lambda: told.append("stored"))
    async with record.running():
        tasks = [asyncio.create_task(record.checkpoint()) for _ in range(2)]
        await begun(store, 1)
        late = asyncio.create_task(record.checkpoint())
        for _ in range(3):
            store.turns.release()
        await asyncio.gather(*tasks, late)
    assert told == ["made", "stored"] * 2, "the first two together, then the late one"


async def test_off_the_loop_no_handler_waits_for_a_fill_to_be_stored_and_fills_share_a_transaction() -> None:
    store, stored = SlowStore(), list[str]()
    record = GroupCommitWriter(store)  # type: ignore[arg-type]
    record.connect(
        lambda: f"book rows {record.book_revision}".encode(), lambda: None, lambda: stored.append("stored")
    )
    async with record.running():
        await record.book([order("a")])
        await begun(store, 1)
        await record.book([order("b")])
        await record.book([order("c")])
        assert (store.commits, stored) == ([], [])
        store.turns.release()
        store.turns.release()
    assert store.commits == [([order("a")], b"book rows 1"), ([order("b"), order("c")], b"book rows 3")]
    assert stored == ["stored", "stored"]


async def test_a_checkpoint_does_not_contain_an_order_that_is_just_leaving() -> None:
    """Given an order whose intent is being written, the checkpoint of a fill waits until it has been sent."""
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        record.begin_send()
        intent = asyncio.create_task(record.write_intent([order("intent")]))
        await settled()
        await record.book([order("filled")])
        store.turns.release()
        await intent
        await settled()
        assert store.commits == [([order("intent")], None)]
        record.write_later(order("sent"))
        record.end_send()
        store.turns.release()
    assert store.commits[1:] == [([order("filled"), order("sent")], b"book rows 3")]


async def test_an_intent_does_not_wait_for_a_checkpoint_that_waits_for_another_order() -> None:
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        record.begin_send()
        await record.book([order("filled")])
        await settled()
        intent = asyncio.create_task(record.write_intent([order("intent")]))
        store.turns.release()
        await intent
        assert store.commits == [([order("intent")], None)]
        record.end_send()
        store.turns.release()
    assert store.commits[1:] == [([order("filled")], b"book rows 2")]


async def test_orders_that_leave_one_after_the_other_do_not_postpone_a_checkpoint_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qts.runtime.persistence.store_writer._CHECKPOINT_WAIT_S", 0.01)
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        record.begin_send()
        store.turns.release()
        await record.checkpoint([order("a")])
        assert [made for _, made in store.commits] == [b"book rows 1"]
        record.end_send()


async def test_on_the_loop_a_fill_is_stored_when_its_booking_returns() -> None:
    store = MemoryStore()
    record, _ = connected(store)
    await record.book([order("a")])
    assert store.commits == [([order("a")], b"book rows 1")]


@pytest.mark.parametrize("error", [MemoryError("no memory"), UnicodeEncodeError("utf-8", "x", 0, 1, "surrogate")])
async def test_whatever_breaks_the_writer_is_noticed_and_ends_the_writing(error: Exception) -> None:
    """No caller may wait for a transaction that will never come."""
    store = SlowStore()
    record, told = connected(store)

    def breaks(records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        raise error

    store.commit = breaks  # type: ignore[method-assign]
    async with record.running():
        await record.book([order("a")])
        with pytest.raises(StorageError, match=type(error).__name__):
            await record.checkpoint()
        with pytest.raises(StorageError, match=type(error).__name__):
            record.raise_failure()
    assert told == ["failed"]


async def test_a_checkpoint_that_cannot_be_made_off_the_loop_ends_the_writing_with_a_reason() -> None:
    store, told = SlowStore(), list[str]()
    record = GroupCommitWriter(store)  # type: ignore[arg-type]

    def unsaveable() -> bytes:
        raise ContractError("strategy s: attribute 'x' holds a lambda")

    record.connect(unsaveable, lambda: told.append("failed"), lambda: None)
    async with record.running():
        await record.book([order("a")])
        await settled()
        with pytest.raises(
            StorageError, match="nothing more is written: ContractError: strategy s: attribute 'x' holds a lambda"
        ):
            await record.checkpoint()
    assert (store.commits, told) == ([], ["failed"])


async def test_who_is_cut_off_while_waiting_does_not_take_the_transaction_down() -> None:
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        hasty = asyncio.create_task(record.checkpoint([order("a")]))
        patient = asyncio.create_task(record.write_intent([]))
        await settled()
        hasty.cancel()
        await settled()
        store.turns.release()
        store.turns.release()
        await patient
    assert store.commits[0] == ([order("a")], b"book rows 1")
    record.raise_failure()


async def test_a_failing_transaction_fails_for_everybody_in_it_and_for_all_later_ones() -> None:
    store = SlowStore()
    record, told = connected(store)
    store.full = True
    async with record.running():
        tasks = [asyncio.create_task(record.write_intent([sample(n)])) for n in range(3)]
        await settled()
        for _ in range(3):
            store.turns.release()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, StorageError) for outcome in outcomes)
        with pytest.raises(StorageError):
            await record.checkpoint()
    assert (store.commits, told) == ([], ["failed"])


async def test_leaving_the_block_waits_for_the_transaction_under_way() -> None:
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        task = asyncio.create_task(record.write_intent([sample(1)]))
        await begun(store, 1)
        asyncio.get_running_loop().call_soon(store.turns.release)
    assert store.commits == [([sample(1)], None)]
    await task


@both
async def test_after_a_failure_nothing_is_written_any_more(kind: Kind) -> None:
    store = MemoryStore()
    record, told = connected(store, kind)
    record.raise_failure()  # nothing failed yet
    store.full = True

    with pytest.raises(StorageError, match="disk full"):
        await record.checkpoint([sample(1)])
    store.full = False
    for write in (record.write_intent, record.checkpoint):
        with pytest.raises(StorageError, match="disk full"):
            await write([sample(2)])
    with pytest.raises(StorageError, match="disk full"):
        record.raise_failure()

    assert store.commits == []
    assert told == ["failed"]


@both
async def test_a_checkpoint_before_the_kernel_stands_is_a_mistake(kind: Kind) -> None:
    with pytest.raises(StateError, match="before it was connected"):
        await kind(MemoryStore()).checkpoint()  # type: ignore[arg-type]


async def test_events_are_listed_with_the_batch_that_holds_their_effect() -> None:
    """An intent goes before: it takes no event along."""
    store = MemoryStore()
    record, _ = connected(store)
    record.applied("e-1")
    await record.write_intent([order("intent")])
    await record.book([order("filled")])
    await record.checkpoint()
    assert store.inboxes == [[], ["e-1"], []]


async def test_on_the_virtual_clock_the_events_of_a_group_are_listed_in_their_order() -> None:
    store = MemoryStore()
    record, _ = connected(store, InlineWriter)
    for number in (1, 2):
        record.applied(f"e-{number}")
        await record.book([order(f"filled-{number}")])
    await record.checkpoint()
    await record.checkpoint()
    assert store.inboxes == [["e-1", "e-2"], []]


async def test_the_store_is_read_between_transactions_and_on_their_thread() -> None:
    store = SlowStore()
    record, _ = connected(store)
    async with record.running():
        writing = asyncio.create_task(record.write_intent([order("a")]))
        await begun(store, 1)
        reading = asyncio.create_task(
            record.on_store(lambda: (len(store.commits), threading.current_thread().name))
        )
        await settled()
        assert not reading.done()
        store.turns.release()
        assert await reading == (1, store.threads[0])
        await writing
    assert await record.on_store(threading.current_thread) is threading.main_thread()


async def test_what_reading_raises_reaches_who_asked_and_the_writer_goes_on() -> None:
    store = SlowStore()
    record, _ = connected(store)

    def breaks() -> None:
        raise StorageError("damaged")

    async with record.running():
        with pytest.raises(StorageError, match="damaged"):
            await record.on_store(breaks)
        store.turns.release()
        await record.write_intent([order("a")])
    assert len(store.commits) == 1


# -- beside a journal ------------------------------------------------------------------------------------------


async def test_a_checkpoint_is_stored_only_when_the_journal_holds_what_it_names(tmp_path: Path, disk: Disk) -> None:
    """While the journal's disk hangs a fill waits for neither, an intent for the store, a checkpoint for both."""
    store = SlowStore()
    for _ in range(3):
        store.turns.release()
    with Journal(tmp_path, "0123456789abcdef", checkpointed=True) as journal:
        record = GroupCommitWriter(store)  # type: ignore[arg-type]
        named: list[int] = []

        def make() -> bytes:
            named.append(journal.next_sequence - 1)
            return b"checkpoint"

        record.connect(make, lambda: None, lambda: None, journal)
        async with record.running():
            disk.go.clear()
            journal.append("fill", b"")
            await record.book([order("filled")])
            await record.write_intent([order("intent")])
            assert store.commits == [([order("intent")], None)]
            disk.go.set()
            await record.checkpoint()
            assert journal.synced >= named[0] == 1
        assert store.commits[1] == ([order("filled")], b"checkpoint")


async def test_a_journal_that_fails_meanwhile_is_not_waited_for_and_the_checkpoint_is_made_again(
    tmp_path: Path, disk: Disk
) -> None:
    store, made = MemoryStore(), list[object]()
    with Journal(tmp_path, "0123456789abcdef", checkpointed=True) as journal:
        record = GroupCommitWriter(store)  # type: ignore[arg-type]

        def make() -> bytes:
            made.append(journal.failure)
            return b"with a failure" if journal.failure else b"without"

        record.connect(make, lambda: None, lambda: None, journal)
        disk.go.clear()
        disk.on_sync = refuse(errno.EIO)
        journal.append("fill", b"")
        threading.Timer(0.05, disk.go.set).start()
        await record.checkpoint([order("filled")])
    assert made[0] is None
    assert store.commits == [([order("filled")], b"with a failure")]
