"""One event loop is around a whole session, and the session makes it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from qts.errors import StateError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from tests.sim.sessions import spike_plan


async def test_a_session_in_a_thread_with_a_loop_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"run it in a thread where none runs \(asyncio.to_thread\)"):
        run_session(spike_plan(tmp_path / "run"), progress=lambda share, moment_ns: None, stop=StopFlag())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("paced", [False, True])
def test_one_loop_is_there_from_the_opening_of_the_input_to_the_end(tmp_path: Path, paced: bool) -> None:
    """given a session on either clock, when its input is opened and while it is driven, then the same loop runs"""
    plan, stop = spike_plan(tmp_path / "run"), StopFlag()
    loops: list[asyncio.AbstractEventLoop] = []
    opens = plan.open_feed

    def open_feed():  # type: ignore[no-untyped-def]
        loops.append(asyncio.get_running_loop())
        return opens()

    def progress(share: float | None, moment_ns: int) -> None:
        loops.append(asyncio.get_running_loop())
        stop.request()

    plan = msgspec.structs.replace(plan, open_feed=open_feed, paced=paced, command="run" if paced else plan.command)
    run_session(plan, progress=progress, stop=stop)

    assert len(loops) >= 2
    assert len(set(map(id, loops))) == 1
    assert loops[0].is_closed()
