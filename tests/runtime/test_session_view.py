"""What a session shows of itself: true, private, whole at any moment, and without an effect on the session."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from qts.clock import ManualClock, from_ns
from qts.db.contracts import RunRow
from qts.errors import StorageError
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.persistence import view_file
from qts.runtime.persistence.view_file import ViewFile
from qts.runtime.session.session_view import SessionView, read_view
from qts.runtime.session.view_builder import view_of
from qts.state.contracts import ManualOverride, OperatingState
from qts.strategy.contracts import Side
from qts.strategy.targets import Cancel, Target
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst, with_ten
from tests.sim.sessions import book_of, run, spike_plan

MakeRig = Callable[..., Rig]
RUN = RunRow("run-1", "run", 7, "script", "config", "2026-01-22T00:00:00+00:00", finished=False)
MACHINE = ManualClock(from_ns(1_800_000_000_000_000_000))


def shown(rig: Rig) -> SessionView:
    return view_of(rig.kernel, RUN, "paper", "", MACHINE)


def test_the_view_tells_account_positions_and_working_orders(rig_of: MakeRig) -> None:
    # Given ten shares bought at 150,100 and a bid far below the market
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(kst(10), 3)
    scripted.wants(Side.BUY, qty=1, limit=149_000)
    rig.quotes(now + 1_000_000_000, 1)
    # When the bid rises to 151,000
    rig.quote(now + 5_000_000_000, 151_000)
    view = shown(rig)
    # Then 10 x 150,100 = 1,501,000 were paid, worth 1,510,000 now
    (position,) = view.positions
    assert (position.strategy, position.symbol, position.qty) == ("scripted", SYMBOL, 10)
    assert (position.average_cost, position.mark) == (D(150_100), D(151_000))
    assert (position.value, position.unrealized_pnl) == (D(1_510_000), D(9_000))
    assert view.equity == view.cash + 1_510_000 == rig.shared.equity()
    (order,) = view.orders
    assert (order.side, order.qty, order.filled, order.limit, order.state) == ("BUY", 1, 0, D(149_000), "WORKING")
    assert (view.counts.orders, view.counts.fills) == (2, 1)
    assert sum(pool.total for pool in view.pools) == view.equity
    assert (view.pid, view.mode, view.ended) == (os.getpid(), "paper", "")
    assert (view.clock_ns, view.written_ns) == (rig.clock.time_ns(), MACHINE.time_ns())
    assert [queue.priority for queue in view.queues] == ["P0", "P1", "P2", "P3"]


def test_a_holding_without_a_price_has_no_value(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)
    rig.shared.last.quotes.clear()
    (position,) = shown(rig).positions
    assert (position.mark, position.value, position.unrealized_pnl) == (None, None, None)


def test_the_view_names_states_and_causes(rig_of: MakeRig) -> None:
    rig = rig_of(ScriptedStrategy())
    rig.quote(kst(10))
    rig.kernel.on_code("FS020", "a computed value is not a number")
    view = shown(rig)
    assert (view.safety.state, view.operating.state) == ("FAIL", "DEFENSIVE")
    assert view.safety.since_ns == view.operating.since_ns == rig.clock.time_ns()
    (cause,) = view.safety_causes
    assert (cause.code, cause.count, cause.detail) == ("FS020", 1, "a computed value is not a number")
    assert [change.code for change in view.safety_changes] == ["FS020"]
    assert "FS020" in view.safety.why
    assert [(change.before, change.after) for change in view.operating_changes] == [("BALANCED", "DEFENSIVE")]


def test_the_view_tells_targets_and_cancels_that_changed_nothing(rig_of: MakeRig) -> None:
    # Given a strategy that wants the ten shares it has, and two cancels that meet no order
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    now = with_ten(rig, scripted)
    scripted.intents.extend([Target(SYMBOL, 10), Cancel("none"), Cancel("none either")])
    rig.quotes(now + 1_000_000_000, 2)

    counts = shown(rig).counts

    assert (counts.targets_reached, counts.cancels_of_nothing) == (1, 2)


def test_a_look_does_not_end_an_override_that_is_over(rig_of: MakeRig) -> None:
    # Given an override whose time has passed without a query of the state
    rig = rig_of(ScriptedStrategy())
    now = rig.clock.now()
    rig.shared.state.apply_override(
        ManualOverride(OperatingState.DEFENSIVE, "drill", "kim", now, now + timedelta(hours=1))
    )
    rig.clock.advance(timedelta(hours=2))
    before = rig.shared.state.history
    # When a view is made, then nothing has changed
    assert shown(rig).operating.state == "DEFENSIVE"
    assert rig.shared.state.history == before


def test_the_view_travels_without_loss(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)
    view = shown(rig)
    assert msgspec.json.decode(msgspec.json.encode(view), type=SessionView) == view


# -- the file ----------------------------------------------------------------------------------------------------


def test_the_file_is_its_owners_alone_and_replaced_as_a_whole(
    rig_of: MakeRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_file, "EVERY_NS", 0)
    rig = rig_of(ScriptedStrategy())
    file = ViewFile(tmp_path, rig.kernel, RUN, "paper", MACHINE)
    file.write_if_due()
    first = (tmp_path / "view.json").stat()
    assert stat.S_IMODE(first.st_mode) == 0o600
    # Given a reader that has it open
    with open(tmp_path / "view.json", "rb") as held:
        rig.quote(kst(10))
        file.write_if_due()
        # Then the new one is another file: the reader sees the old one to its end
        assert (tmp_path / "view.json").stat().st_ino != first.st_ino
        assert json.loads(held.read())["clock_ns"] == kst(0)
    view = read_view(tmp_path)
    assert view is not None
    assert view.clock_ns == kst(10)
    run_to_completion(file.end("finished"))
    assert json.loads((tmp_path / "view.json").read_text())["ended"] == "finished"
    assert [path.name for path in tmp_path.glob("view*")] == ["view.json"]


def test_within_a_second_no_second_view_is_written(
    rig_of: MakeRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows = [5_000_000_000]
    monkeypatch.setattr(view_file, "stopwatch_ns", lambda: shows[0])
    rig = rig_of(ScriptedStrategy())
    file = ViewFile(tmp_path, rig.kernel, RUN, "paper", MACHINE)
    written = []
    for later_ns in (0, 999_999_999, 1):
        shows[0] += later_ns
        file.write_if_due()
        written.append((tmp_path / "view.json").stat().st_ino)
    assert written[0] == written[1] != written[2]


def test_a_directory_that_takes_no_file_does_not_end_the_session(rig_of: MakeRig, tmp_path: Path) -> None:
    rig = rig_of(ScriptedStrategy())
    file = ViewFile(tmp_path / "missing", rig.kernel, RUN, "paper", MACHINE)
    file.write_if_due()

    last = run_to_completion(file.end("stopped"))

    assert (last.ended, last.run_id) == ("stopped", RUN.run_id)  # it is told all the same
    assert not (tmp_path / "missing").exists()


async def test_the_last_view_stands_whatever_was_still_being_written(rig_of: MakeRig, tmp_path: Path) -> None:
    # Given a disk that does not take the view before the last: a FIFO without a reader
    rig = rig_of(ScriptedStrategy())
    file = ViewFile(tmp_path, rig.kernel, RUN, "paper", MACHINE)
    os.mkfifo(tmp_path / "view.json.new")
    file.write_if_due()
    # when the session ends and the disk goes on
    ending = asyncio.create_task(file.end("finished"))
    await asyncio.sleep(0)
    assert not ending.done()
    reader = os.open(tmp_path / "view.json.new", os.O_RDONLY | os.O_NONBLOCK)
    await ending
    os.close(reader)
    # then the last view is the one that is kept
    view = read_view(tmp_path)
    assert view is not None
    assert view.ended == "finished"


def test_a_session_that_is_looked_at_all_the_time_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(spike_plan(tmp_path / "seldom"))
    monkeypatch.setattr(view_file, "EVERY_NS", 0)
    run(spike_plan(tmp_path / "always"))
    assert book_of(tmp_path / "always") == book_of(tmp_path / "seldom")
    view = read_view(tmp_path / "always")
    assert view is not None
    assert view.ended == "finished"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b"\xff"])
def test_what_another_version_has_written_is_no_view(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "view.json").write_bytes(content)
    assert read_view(tmp_path) is None


def test_nothing_is_waited_for_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert read_view(tmp_path) is None
    os.mkfifo(tmp_path / "view.json")
    with pytest.raises(StorageError, match="no regular file"):
        read_view(tmp_path)


def test_a_view_written_by_an_earlier_version_is_still_read(rig_of: MakeRig, tmp_path: Path) -> None:
    # Given the view of a run of an earlier version: the slow handlers under their earlier key, and no later fields
    written = json.loads(msgspec.json.encode(shown(rig_of(ScriptedStrategy()))))
    assert "overstays" in written
    for later in ("note_values", "symbol_names"):
        del written[later]
    (tmp_path / "view.json").write_text(json.dumps(written))
    # When it is read
    view = read_view(tmp_path)
    # Then it is a view, without what was not known then
    assert view is not None
    assert view.run_id == "run-1"
    assert (view.note_values, view.symbol_names) == ((), {})
