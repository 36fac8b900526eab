"""What a session is asked to do, before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from qts.errors import InputError
from qts.market.contracts import Feed
from qts.market.files.feed_opener import AS_IT_IS
from qts.market.files.reading import ReadAs
from qts.strategy.contracts import Strategy

SEEDS: Final = (-(2**63), 2**63 - 1)
"""The least and the greatest seed: what a column of the store holds."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user chose. ``speed`` None is as fast as it goes; ``data_dir`` None is ./qts-data/<run>.

    ``strict`` stops the session at the first error of a strategy. ``read_as`` declares how the texts of a CSV file
    are to be read. ``outputs`` are the files that will be written beside the data directory, by what they are ("the
    report").

    Raises :class:`~qts.errors.InputError` for a seed that the store cannot hold.
    """

    seed: int = 7
    strategies: tuple[str, ...] = ()
    data_dir: Path | None = None
    resume: bool = False
    config_dir: Path | None = None
    overrides: Mapping[str, str] = {}
    speed: float | None = None
    outputs: Mapping[str, Path] = {}
    read_as: ReadAs = AS_IT_IS
    strict: bool = False

    def __post_init__(self) -> None:
        if not SEEDS[0] <= self.seed <= SEEDS[1]:
            raise InputError(f"--seed {self.seed}: must be a whole number from {SEEDS[0]} to {SEEDS[1]}")


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One session: where prices come from, who trades by default, and how time passes.

    ``paced`` runs on the event loop in real (or accelerated) time; otherwise the virtual clock decides.
    ``judged_by_index``: the operating state follows the feed's index and volatility values instead of the
    account's own course. ``overrides_for`` gives settings the command itself makes, shown in the report.
    ``recording`` is the file that ``open_feed`` reads, None when there is none.
    """

    command: str
    options: Options
    open_feed: Callable[[], Feed]
    default_strategies: Callable[[], Sequence[Strategy]]
    overrides_for: Callable[[Feed], Mapping[str, str]] = lambda feed: {}
    judged_by_index: bool = False
    paced: bool = False
    recording: Path | None = None
