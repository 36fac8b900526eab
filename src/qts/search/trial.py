"""One trial: a backtest of given parameters over given days, a pure function of its key."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from qts.db.datadir import DATABASE_NAME
from qts.errors import InputError, QtsError
from qts.ids import shared_randomness
from qts.market.contracts import Feed
from qts.market.feed_view import reread, source_of
from qts.performance import Close, daily_returns
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.assessment import session_closes, sessions_a_year
from qts.runtime.session.result import ResultValues, failures_of
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import search_plan, within
from qts.runtime.wiring.stores import stored_run
from qts.search.contracts import MOST_ANSWER_BYTES, Answer, Job, Setup, Window, encode

_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of its own is made there
_MOST_REASON: Final = 500


class Trials:
    """The trials of one study in this process; its input is opened once, and kept in memory where it can be.

    Raises InputError when the input is another than that of the ``setup``, and what opening it raises.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._plan = search_plan(setup.options, setup.files, setup.format)
        self._feed: Feed = self._plan.open_feed()
        if self._feed.source_id != setup.source_id:
            raise InputError(f"{self._feed.name} has changed since the study began; begin another study")
        self._calendar = next(iter(self._feed.instruments.values())).calendar
        self._is_known_next_day = bool(getattr(source_of(self._feed), "is_known_next_day", False))

    def answer(self, job: Job) -> bytes:
        """Run ``job`` and return its answer, encoded, at most 64 KiB.

        What the strategy raises, and an input without values in the window, is an answer too.
        """
        try:
            found = self._traded(job)
        except QtsError as error:
            found = Answer(key=job.key, failed=_short(str(error)))
        except MemoryError:
            found = Answer(key=job.key, failed="it took more memory than is allowed")
        data = encode(found)
        if len(data) > MOST_ANSWER_BYTES:
            count = len(found.days)
            data = encode(Answer(key=job.key, failed=f"{count:,} sessions are too many for one trial"))
        return data

    def _traded(self, job: Job) -> Answer:
        days: list[int] = []
        returns: list[float] = []
        trips = won = fills = days_a_year = 0
        for window in job.windows:
            with tempfile.TemporaryDirectory(prefix="qts-trial-", dir=_scratch()) as directory:
                values, closes = self._session(job, window, Path(directory))
            if failures := [text for text, _ in failures_of(values.strategies)]:
                return Answer(key=job.key, failed=_short(failures[0]))
            if values.performance is None:
                return Answer(key=job.key, failed=_short("; ".join(values.notes)))
            for day, value in daily_returns(Decimal(values.equity_start), closes):
                days.append(day.toordinal())
                returns.append(value)
            trips += values.performance.trips.count
            won += values.performance.trips.won
            fills += values.fills
            days_a_year = sessions_a_year(self._calendar, closes[-1].day) if closes else days_a_year
        return Answer(
            key=job.key,
            days=tuple(days),
            returns=tuple(returns),
            trips=trips,
            won=won,
            fills=fills,
            days_a_year=days_a_year,
        )

    def _session(self, job: Job, window: Window, directory: Path) -> tuple[ResultValues, Sequence[Close]]:
        """Trade one window; return the result, and the equity at each session's close."""
        options = msgspec.structs.replace(
            self._setup.options,
            data_dir=directory,
            strategies=(self._setup.strategy,),
            params=tuple(f"{name}={text}" for name, text in job.params.items()),
            seed=job.seed,
            strict=True,
            first_day=window.first,
            last_day=window.last,
        )
        plan = msgspec.structs.replace(self._plan, options=options, open_feed=lambda: self._opened(options))
        with shared_randomness(job.seed):
            result = run_session(plan, progress=_unseen, stop=StopFlag())
        with stored_run(directory / DATABASE_NAME) as store:
            rows = store.equity_curve()
        return result.values, session_closes(rows, self._calendar, is_known_next_day=self._is_known_next_day)

    def _opened(self, options: Options) -> Feed:
        again = reread(self._feed)
        return within(self._plan.open_feed() if again is None else again, options)


def _scratch() -> str | None:
    """Return the directory for what a trial writes: in memory where the system has one; None: the usual one."""
    return str(_IN_MEMORY) if _IN_MEMORY.is_dir() else None


def _short(text: str) -> str:
    return text if len(text) <= _MOST_REASON else f"{text[: _MOST_REASON - 1]}…"


def _unseen(share: float | None, moment_ns: int, /) -> None:
    """Show no progress: a trial is one step of the search."""
