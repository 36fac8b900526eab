"""A callback of the event loop that raises ends the session: it may be the one that goes on with the events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.errors import HalfDoneError
from qts.market.contracts import Quote
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.strategy.contracts import Context, Intent
from tests.runtime.paper import files_in, paper
from tests.sim.sessions import Restless


class Schedules(Restless):
    """Puts a callback on the loop at every quote, as long as ``callback`` is there."""

    callback: ClassVar[Callable[[], None] | None] = None

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        if Schedules.callback is not None:
            asyncio.get_running_loop().call_soon(Schedules.callback)
        return super().on_quote(ctx, quote)


def fail() -> None:
    raise MemoryError("none left")


def session(data_dir: Path, files: Path, *, resume: bool = False) -> SessionResult:
    plan = paper(data_dir, files, resume=resume)
    plan = msgspec.structs.replace(plan, default_strategies=lambda: [Schedules("restless", Pool.SCALP, 23)])
    stop = StopFlag()
    return run_session(plan, progress=lambda share, moment_ns: stop.request() if resume else None, stop=stop)


def test_a_callback_of_the_loop_that_raises_ends_the_session_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_in(tmp_path / "config")
    # Given a session in which something on the loop fails outside every handler
    monkeypatch.setattr(Schedules, "callback", staticmethod(fail))
    # when it runs, then it ends and says where
    with pytest.raises(HalfDoneError, match=r"a callback of the event loop.*MemoryError: none left.*--resume"):
        session(tmp_path / "run", files)
    # and the next process goes on, until it is stopped
    monkeypatch.setattr(Schedules, "callback", None)
    assert session(tmp_path / "run", files, resume=True).values.rows > 0
