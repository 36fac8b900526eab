"""Small studies of the tests, and a pool that runs trials in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from qts.runtime.session.session_plan import Options, Profile
from qts.search.begin import Request, definition_of
from qts.search.contracts import Job, Setup, decode
from qts.search.study import Definition, Study
from qts.search.trial import Trials
from tests.sim.daily_bars import SYMBOL, trading_days, write_bars

STRATEGIES = Path(__file__).with_name("strategies.py")
SESSIONS = 60


def request_in(directory: Path, *, params: tuple[str, ...] = ("hold=1..3", "rest=1..2"), **more: Any) -> Request:
    """Return what asks for a study of the first sessions of the sample."""
    file = directory / f"{SYMBOL}.csv"
    if not file.exists():
        write_bars(file, trading_days()[:SESSIONS])
    given: dict[str, Any] = {"min_trades": 1, **more}
    return Request(
        files=(file,),
        format=None,
        strategy=f"{STRATEGIES}:EveryN",
        params=params,
        where=given.pop("where", ()),
        options=given.pop("options", Options(profile=Profile.PLAIN)),
        version="0",
        **given,
    )


def definition_in(directory: Path, **more: Any) -> Definition:
    """Return the definition of such a study."""
    return definition_of(request_in(directory, **more))


def table(study: Study) -> list[bytes]:
    """Return everything that a study has found, in its order."""
    return [msgspec.msgpack.encode(row) for row in study.rows()]


class InlinePool:
    """Runs trials in this process, in whatever order ``order`` gives for the jobs that are there."""

    def __init__(self, setup: Setup, *, backwards: bool = False, most: int | None = None) -> None:
        self._trials = Trials(setup)
        self._backwards, self._most = backwards, most
        self.run_keys: list[str] = []

    def run(self, jobs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes | str]]:
        given = list(jobs) if self._backwards else jobs
        for number, data in reversed(given) if isinstance(given, list) else given:
            if self._most is not None and len(self.run_keys) >= self._most:
                raise KeyboardInterrupt
            job = decode(data, Job)
            self.run_keys.append(job.key)
            yield number, self._trials.answer(job)

    def close(self) -> None:
        """Have no process to end."""
