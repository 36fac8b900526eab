"""The port of a session's store: the book of record of one run, as plain functions that never suspend.

A run writes *batches*: records and, when there is one, the checkpoint that belongs to them. A batch is one
transaction: wholly there or not at all. Its number counts from 1 within the run, without gaps, over all lives of
the run.

Who calls: the session's one :class:`~qts.runtime.persistence.store_writer.StoreWriter`, and before it begins and
after it ends the code that opens, resumes and closes the run. Which thread is the caller's affair: a store starts
none and may be used from any, by one at a time. A call may last as long as the disk does; none needs an event loop.

Every method raises StorageError, with what to do, when its promise cannot be kept: the disk is full or fails, the
file is damaged, a row breaks a rule of the schema. What it was asked to write is then not written, and the store
can be used further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from qts.capital.contracts import Transfer
from qts.db.adapter import RunCopy
from qts.db.batch import Batch
from qts.db.contracts import (
    ActionRow,
    BatchRow,
    BookingRow,
    ConfigRow,
    DayCloseRow,
    DecisionRow,
    EquityRow,
    Execution,
    HoldingCloseRow,
    LedgerRow,
    PoolRow,
    PositionRow,
    QuarantineRow,
    Record,
    RefusalRow,
    RunRow,
    SafetyRow,
    StageRow,
    StateRow,
    StrategyFile,
)
from qts.execution.contracts import Order
from qts.execution.past import PastOrders
from qts.ledger.closes import OpeningBalances
from qts.ledger.past import PastFacts
from qts.market.contracts import Bar


class PastReader(PastFacts, PastOrders, Protocol):
    """A reader of single facts: those of the account, and orders."""


class SessionStore(Protocol):
    """The book of record of one run; see the module for who calls it and what it raises.

    Readers of rows that are only appended take ``since``: how many rows of that kind, in the order of writing, the
    caller has already; 0 for all. Readers of rows that are replaced take ``since_ns``: rows last changed at that
    moment (ns since 1970 UTC, by the session's clock) or later; 0 for all.
    """

    # -- the run -----------------------------------------------------------------------------------------------

    def open_run(self, run: RunRow, files: Sequence[StrategyFile] = ()) -> None:
        """Write down the run that the store belongs to, and the files that its strategies are made of.

        Where the run's broker is real, this is written down with it: from then on no row but a bar is deleted, and
        :meth:`commit` refuses an order that would be what it was before.

        The same run again changes nothing. Raises StateError when the store belongs to another one.
        """
        ...

    def run(self) -> RunRow | None:
        """Return the run that the store belongs to; None before :meth:`open_run`."""
        ...

    def strategy_files(self) -> Sequence[StrategyFile]:
        """Return the files that the run's strategies were made of when it began, by strategy and name."""
        ...

    def finish_run(self, result: str) -> None:
        """Mark the run finished, with its ``result`` as JSON. Raises StateError when none was opened."""
        ...

    def accept_config(self, row: ConfigRow) -> None:
        """Write down a configuration: durable when it returns, and never taken back by :meth:`rewind`.

        Raises StorageError for a version that is there.
        """
        ...

    def configs(self) -> Sequence[ConfigRow]:
        """Return every configuration that the run has had in force, by version."""
        ...

    def verify_history(self, *, only_new: bool = False) -> str:
        """Raise StorageError, naming table and row, when a stored row is not what was written.

        ``only_new`` looks at the rows since the last look, otherwise at all of them and at the file itself. Return
        a sentence on rows older than the means to verify them; "" for none.
        """
        ...

    # -- writing -----------------------------------------------------------------------------------------------

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        """Write one batch in one transaction, durable when it returns, and return its number (seq).

        ``checkpoint`` takes the place of the one before; None leaves that one. ``inbox`` names the P0 events whose
        effect is in the batch: they are kept with it (:meth:`batches`) and judge nothing here. That an event has
        no effect twice is the affair of the records' own keys: a ledger row, an approval, a transfer or a
        transition that is there already raises StorageError, and so does an order without the approval that names
        it. A transfer stands before the rows of its two pools: the row of its source shows whether it was covered.
        Raises ContractError for what is no record.
        """
        ...

    @property
    def checkpoint_number(self) -> int:
        """Return the number of the newest checkpoint, from 1 over all lives of the run; 0 for none.

        Reads no disk.
        """
        ...

    def checkpoint(self) -> bytes | None:
        """Return the newest checkpoint; None for none."""
        ...

    def rewind(self) -> None:
        """Put back exactly what stood at the newest checkpoint; without one, nothing of the run.

        Only for a run whose broker is simulated and rewound with it: the batches behind the checkpoint are written
        again when they are executed again, under the same numbers. Raises StateError for any other: what a real
        broker did stays done.
        """
        ...

    # -- reading -----------------------------------------------------------------------------------------------

    def batches(self, since: int = 0) -> Sequence[BatchRow]:
        """Return the batches in the order of their numbers."""
        ...

    def ledger(self, since: int = 0) -> Sequence[LedgerRow]:
        """Return the booked fills in the order of booking."""
        ...

    def actions(self, since: int = 0) -> Sequence[ActionRow]:
        """Return the splits and dividends in the order of booking."""
        ...

    def bookings(self, since: int = 0) -> Sequence[BookingRow]:
        """Return the bookings (deposits, true-ups, what is EXTERNAL, reversals) in the order of booking."""
        ...

    def day_closes(self, since: int = 0) -> Sequence[DayCloseRow]:
        """Return the closes of days in their order."""
        ...

    def holding_closes(self, since: int = 0) -> Sequence[HoldingCloseRow]:
        """Return the holdings at closes, each at those before which it had changed, in the order of writing."""
        ...

    def opening(self) -> OpeningBalances | None:
        """Return the newest close with every holding as it stood then; None before the first close.

        It is never newer than the newest checkpoint, and the rows of the book that it covers are those up to its
        marks.
        """
        ...

    def orders(self, since_ns: int = 0) -> Sequence[Order]:
        """Return the orders as they last stood, by client order id."""
        ...

    def open_orders(self) -> Sequence[Order]:
        """Return the orders that have not ended, by client order id."""
        ...

    def executions(self, since_ns: int = 0) -> Sequence[Execution]:
        """Return the executions as they last stood, by id."""
        ...

    def stages(self, since: int = 0) -> Sequence[StageRow]:
        """Return what stages of executions answered, in the order of writing."""
        ...

    def positions(self, since_ns: int = 0) -> Sequence[PositionRow]:
        """Return what is held, by strategy and symbol, flat ones too."""
        ...

    def pools(self, since_ns: int = 0) -> Sequence[PoolRow]:
        """Return the pools, by name."""
        ...

    def transfers(self, since: int = 0) -> Sequence[Transfer]:
        """Return the moves of cash between pools in the order of booking; one transfer counts once."""
        ...

    def state_history(self, since: int = 0) -> Sequence[StateRow]:
        """Return the transitions of the operating state in their order."""
        ...

    def safety_history(self, since: int = 0) -> Sequence[SafetyRow]:
        """Return what moved safety, or was raised without moving it, in its order."""
        ...

    def equity_curve(self, since: int = 0) -> Sequence[EquityRow]:
        """Return the samples of the account in the order of time."""
        ...

    def refusals(self, since: int = 0) -> Sequence[RefusalRow]:
        """Return the intents that became no order, in the order of refusal."""
        ...

    def quarantine(self, since: int = 0) -> Sequence[QuarantineRow]:
        """Return the notices that were not booked, in the order of arrival."""
        ...

    def decisions(self, since: int = 0) -> Sequence[DecisionRow]:
        """Return the approvals that orders left with, in the order of writing."""
        ...

    def bars(self) -> Sequence[Bar]:
        """Return the finished bars in the order of writing; of each series at least those that are kept."""
        ...

    def keep_bars(self, kept: Mapping[str, int]) -> None:
        """Keep the last bars of every symbol, so many of each interval; others may be deleted with a checkpoint.

        Called once before the first commit that has a bar, after :meth:`rewind`; without it every bar is kept. The
        bars of the newest checkpoint stay until the next one, so that rewinding finds them.
        """
        ...

    # -- followers ---------------------------------------------------------------------------------------------

    def follow(self, followers: Sequence[str]) -> None:
        """Keep what is committed from now on in the outbox, until each of ``followers`` is done with it.

        Called once, after :meth:`open_run` or :meth:`rewind` and before the first commit; without it nothing is
        kept. A follower of before that is not named is forgotten. Names are short and plain ("postgres").
        """
        ...

    @property
    def offered(self) -> int:
        """Return the number of the newest batch that :meth:`pending` may give, 0 for none; reads no disk.

        May be asked on any thread.
        """
        ...

    @property
    def outbox_bytes(self) -> int:
        """Return the bytes of the batches that are kept for followers; reads no disk, on any thread."""
        ...

    def pending(self, follower: str, most: int, most_bytes: int = 1 << 20) -> Sequence[Batch]:
        """Return batches that the follower is not done with, in the order of their numbers.

        At most ``most``, and only the first of them when it alone is longer than ``most_bytes``. None does not mean
        that the follower has all: what was committed before :meth:`follow` is given by :meth:`copy` alone.

        Of a simulated broker only those that a checkpoint covers: what may be taken back is shown to none.
        May be called on the follower's thread while another one commits.
        """
        ...

    def done(self, follower: str, seq: int) -> None:
        """Note that the follower has all batches up to ``seq``; never falls. Takes no lock and writes no disk.

        May be called on the follower's thread. The next commit, or :meth:`close`, stores it and lets go of what
        every follower has; after a kill before that, batches are offered a second time.
        """
        ...

    def copy(self) -> AbstractContextManager[RunCopy]:
        """Return everything of the run as of the newest batch that :meth:`pending` may offer, for a new follower.

        For use on the follower's thread while another one commits; what commits meanwhile is not in it.
        """
        ...

    def past(self) -> PastReader:
        """Return the reader with which account and orders find single facts of closed days.

        It may be asked on the session's thread while another one writes: what it is asked for was committed. It
        reads no disk before the first question.
        """
        ...

    def close(self) -> None:
        """Close the store; what was committed is safe without it. May be called twice."""
        ...
