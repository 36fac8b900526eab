"""The live side of a session: the feed that pushes, its clock, and what the session trades at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

from qts.clock import PacedClock
from qts.config.tree import QtsConfig
from qts.db.reading import StoreReader
from qts.errors import StorageError
from qts.market.contracts import LiveFeed
from qts.market.series.history import RowHistory
from qts.market.series.wanted import WantedBars
from qts.runtime.drivers.standard_output import say
from qts.runtime.kernel import Kernel
from qts.runtime.session.run_identity import live_source_id
from qts.runtime.steps.lines import BrokerFacts
from qts.runtime.steps.repeater import StepRepeater
from qts.runtime.wiring.brokers import BrokerConnection

ReadHistory: TypeAlias = Callable[[Sequence[WantedBars], int, Path], Awaitable[RowHistory]]
"""Reads wanted bars from before a moment (ns since 1970, UTC), and keeps them in the directory of a session that is
recorded. Raises BrokerUnavailable, DataError."""
_BEGUN: Final = " begun="


class Teller:
    """Tells people what a feed or a broker has to say: on standard error, and in the log once there is one.

    May be called on any thread.
    """

    def __init__(self) -> None:
        self.to: Callable[[str], None] = say

    def __call__(self, text: str) -> None:
        """Pass on one sentence."""
        self.to(text)


class Connect(Protocol):
    """Makes the connection to the broker of a session."""

    def __call__(self, config: QtsConfig, directory: Path, run_id: str, seed: int) -> BrokerConnection:
        """Make it for the session in ``directory``; nothing is sent before the session connects."""
        ...


class Repeats(NamedTuple):
    """The recorded steps of a session, with its run and the source that its run id was made of."""

    steps: StepRepeater
    run_id: str
    source_id: str


@dataclass
class LiveSource:
    """A live feed with its clock, which is the session's as well, and the way to the broker.

    ``broker``, ``account`` and ``mode`` identify the session, see
    :func:`~qts.runtime.session.run_identity.live_source_id`. ``is_simulated``: fills are simulated. ``money``: what
    is traded with, for people, such as "LIVE: real money"; "" for simulated fills. ``follow`` is called once the
    session has its kernel, before its first value. ``read_history`` reads the bars that strategies want from before
    a moment; None: there are none. ``records_steps``: the session keeps its steps, and ``clock`` is one that is
    held. ``repeats``: the steps that are repeated in the place of running the feed; None: none are. ``facts``: what
    a record of them has to say of the broker; None: its fills are simulated. ``close``
    releases what both have opened, at the end and after a failure.
    """

    feed: LiveFeed
    clock: PacedClock
    teller: Teller
    broker: str
    account: str
    mode: str
    is_simulated: bool
    connect: Connect
    follow: Callable[[Kernel], None] = lambda kernel: None
    read_history: ReadHistory | None = None
    close: Callable[[], Awaitable[object]] | None = None
    money: str = ""
    records_steps: bool = False
    repeats: Repeats | None = None
    facts: BrokerFacts | None = None

    def source_id(self, database: Path | None) -> str:
        """Return the source id of a session that begins now, or that of an unfinished one like it in ``database``.

        None, or a file that cannot be read: there is none.
        """
        if self.repeats is not None:
            return self.repeats.source_id
        begins = live_source_id(
            broker=self.broker, account=self.account, mode=self.mode, begun_ns=self.clock.time_ns()
        )
        if database is not None and database.exists():
            try:
                with StoreReader(database) as store:
                    run = store.run()
            except StorageError:
                return begins  # opening it says what is wrong with it
            if run is not None and not run.finished and _alike(run.source_id, begins):
                return run.source_id
        return begins


def _alike(one: str, other: str) -> bool:
    """Return whether two source ids differ at most in when their sessions began."""
    return _BEGUN in one and one.partition(_BEGUN)[0] == other.partition(_BEGUN)[0]
