"""Describes a session before anything is opened: the user's options, and the plan of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from qts.clock import Clock
from qts.errors import InputError
from qts.market.contracts import Feed, LiveFeed
from qts.market.files.feed_opener import AS_IT_IS
from qts.market.files.reading import ReadAs
from qts.market.series.wanted import WantedBars
from qts.market.with_history import StoredRows
from qts.runtime.strategies.observer import StrategyObserver
from qts.strategy.contracts import Strategy

if TYPE_CHECKING:
    from qts.config.tree import QtsConfig
    from qts.db.follower import OpenAdapter
    from qts.runtime.caching.publisher import OpenCache
    from qts.runtime.session.live_source import LiveSource

OpenLive: TypeAlias = Callable[["QtsConfig", Sequence[Strategy], Clock], "LiveSource"]
AnyFeed: TypeAlias = Feed | LiveFeed
FindRows: TypeAlias = Callable[[Sequence[WantedBars], Feed], StoredRows | None]
SEEDS: Final = (-(2**63), 2**63 - 1)
"""Smallest and largest seed: the range of a column of the store."""


class Profile(str, Enum):
    """The rules a session trades under: all of QTS's, or none but those that protect the account."""

    RULES = "rules"
    PLAIN = "plain"


PLAIN_TEXT: Final = "plain: all cash in one pool, no operating state, no limits but cash"
"""The plain profile in words."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The user's choices. ``speed`` None is as fast as possible; ``data_dir`` None is ./qts-data/<run>.

    ``params`` sets parameters of strategies, each NAME=VALUE or CLASS.NAME=VALUE. ``strict`` stops the session at
    the first error of a strategy. ``read_as`` declares how the texts of a CSV file are parsed. ``outputs`` are the
    files written outside the data directory, by their name in messages ("the report"). ``first_day`` and
    ``last_day`` bound what is read of a recording, in its market's days; None: from its start, to its end.
    ``benchmark`` compares the result with buying and holding. ``history`` are files, or folders of bars, whose rows
    from before the session warm up strategies that declare bars. ``db``: the URL of the database that follows the
    book, ``sheets``: the spreadsheet; "" for those of the environment, or none. ``record`` stores the market values
    of the session in the database; ``recording`` is the number of the one that is replayed from there, None where
    there is only one. ``cache``: the URL of the cache that the session is made known in; "" for that of the
    environment, or none. ``day``: the day of the record of a session that is replayed, or up to which its steps are
    repeated; None: the only one, all.

    Raises :class:`~qts.errors.InputError` for a seed that the store cannot hold.
    """

    seed: int = 7
    strategies: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    data_dir: Path | None = None
    resume: bool = False
    config_dir: Path | None = None
    overrides: Mapping[str, str] = {}
    speed: float | None = None
    outputs: Mapping[str, Path] = {}
    read_as: ReadAs = AS_IT_IS
    strict: bool = False
    profile: Profile = Profile.RULES
    first_day: date | None = None
    last_day: date | None = None
    benchmark: Literal["hold"] | None = None
    history: tuple[Path, ...] = ()
    db: str = ""
    sheets: str = ""
    record: bool = False
    recording: int | None = None
    cache: str = ""
    day: date | None = None

    def __post_init__(self) -> None:
        if not SEEDS[0] <= self.seed <= SEEDS[1]:
            raise InputError(f"--seed {self.seed}: must be a whole number from {SEEDS[0]} to {SEEDS[1]}")


class NamedServers(msgspec.Struct, frozen=True):
    """The servers that are named: what makes the adapter of each, by the name of its follower.

    ``mode``: what the environment says of which of them follow; "" for nothing. See
    :class:`~qts.db.hybrid.HybridAdapter`.
    """

    openers: Mapping[str, OpenAdapter] = {}
    mode: str = ""


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of one session: its feed, its default strategies, and how time passes.

    ``paced`` runs on the event loop in real (or accelerated) time; otherwise the virtual clock decides.
    ``judged_by_index``: the operating state follows the feed's index and volatility values instead of the
    account's own equity. ``overrides_for`` returns settings that the command itself makes, shown in the report.
    ``own_identity`` identifies the default strategies in the run id, where that is not the command alone.
    ``reads_again``: after the session its input is read again, for what the report draws of prices.
    ``recordings`` are the files and folders that ``open_feed`` reads, () when there are none.
    ``servers``: those that are named to follow the book.
    ``open_cache`` makes the client of the cache that the session is made known in; None: there is none.
    ``stored_rows`` finds the rows of a server from before the first value of a feed, which it uses up, for the bars
    that are wanted; it returns None, and has told why, where there are none. None: there is no such server.
    ``observer`` sees the calls of strategies and what they want; None: none does.
    ``open_live`` opens a live feed, and what it trades at, in the place of ``open_feed``, for a configuration, the
    strategies and the machine's clock; such a session is paced. None: the feed is pulled.
    """

    command: str
    options: Options
    open_feed: Callable[[], Feed]
    default_strategies: Callable[[], Sequence[Strategy]]
    overrides_for: Callable[[AnyFeed], Mapping[str, str]] = lambda feed: {}
    judged_by_index: bool = False
    paced: bool = False
    own_identity: Sequence[str] = ()
    reads_again: bool = False
    recordings: tuple[Path, ...] = ()
    observer: StrategyObserver | None = None
    servers: NamedServers = NamedServers()
    open_cache: OpenCache | None = None
    stored_rows: FindRows | None = None
    open_live: OpenLive | None = None
