"""Who writes a run to a spreadsheet: told by its row, as long as a writer is seen, and fenced by the epoch."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from qts.db.sheets.claims import HELD_S
from qts.errors import Fenced
from tests.db.sheets.rig import Rig, Writer, error_of
from tests.servers.sheets import Call


def holder(rig: Rig) -> Any:
    """Who the tab of all runs says to be the writer."""
    return rig.sheets.tab("runs").cell(1, rig.sheets.tab("runs").rows[0].index("holder"))


async def written_by(rig: Rig, monkeypatch: pytest.MonkeyPatch, machine: str, pid: int) -> None:
    """Let a process that was ended without a word have claimed the run."""
    with monkeypatch.context() as other:
        other.setattr("qts.db.sheets.claims.platform.node", lambda: machine)
        other.setattr("qts.db.sheets.claims.os.getpid", lambda: pid)
        adapter = rig.adapter()
    await adapter.open()
    await adapter.claim(rig.book.run, whole_account=False)
    adapter._client.close()
    assert holder(rig).startswith(f"{machine}:{pid}:")


async def test_a_writer_that_ends_gives_its_run_up(rig: Rig) -> None:
    async with rig.writer():
        assert holder(rig)
    assert holder(rig) == ""
    async with rig.writer():
        pass


async def test_a_writer_of_this_machine_is_gone_with_its_process(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run whose writer was a process of this machine that is gone
    import platform

    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    await written_by(rig, monkeypatch, platform.node(), process.pid)
    # Then it can be claimed at once; and not while its process is there
    async with rig.writer():
        pass
    await written_by(rig, monkeypatch, platform.node(), os.getppid())
    error = await error_of(rig.opened_and_claimed())
    assert isinstance(error, Fenced)
    assert f"written by process {os.getppid()} on {platform.node()}; end it, or wait" in str(error)


async def test_a_writer_of_another_machine_is_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run whose writer on another machine is not seen any more
    await written_by(rig, monkeypatch, "elsewhere", 7)
    rig.later(HELD_S - 1)
    assert isinstance(await error_of(rig.opened_and_claimed()), Fenced)
    # Then it can be claimed after ten minutes
    rig.later(2)
    await rig.opened_and_claimed()


async def test_a_writer_that_has_nothing_to_write_is_seen_all_the_same(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a writer that is idle for an hour, and asks every minute as a follower does
    async with rig.writer() as writer:
        rig.sheets.calls.clear()
        for _ in range(60):
            rig.later(60)
            await writer.adapter.applied("run-1")
        # Then no other one may claim its run, and that has cost a call in some minutes
        monkeypatch.setattr("qts.db.sheets.claims.platform.node", lambda: "elsewhere")
        assert isinstance(await error_of(rig.opened_and_claimed()), Fenced)
        assert rig.sheets.made("values:batchUpdate") <= 25


async def test_one_that_was_replaced_writes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a writer that was away for long, and another one that took over
    async with rig.writer() as first:
        rig.trade(2)
        await first.send()
        rig.later(HELD_S + 1)
        monkeypatch.setattr("qts.db.sheets.claims.platform.node", lambda: "elsewhere")
        async with rig.writer() as second:
            rig.trade()
            # When the first one comes back, Then it is told so, and nothing of it is written
            before = rig.sheets.tab("t_ledger run-1").filled
            with pytest.raises(Fenced, match="another process has taken it over"):
                await first.send()
            assert rig.sheets.tab("t_ledger run-1").filled == before
            assert await second.send() == 3
            # and it gives nothing up that is not its own
            await first.adapter.close()
            assert holder(rig).startswith("elsewhere:")
            await rig.assert_same(second.adapter)


async def test_two_that_claim_in_the_same_moment_do_not_both_have_it(rig: Rig) -> None:
    # Given a process that claims the run between our write and our look at it
    async with rig.opened() as other, rig.opened() as ours:
        epoch = 0

        def overtaken(call: Call) -> str:
            if call.kind == "values:batchUpdate":
                rig.sheets.cut = meanwhile
            return ""

        def meanwhile(call: Call) -> str:
            rig.sheets.cut = lambda call: ""
            tab = rig.sheets.tab("runs")
            tab.rows[1] = theirs
            return ""

        epoch = await other.claim(rig.book.run, whole_account=False)
        theirs = list(rig.sheets.tab("runs").rows[1])
        await other.close()
        rig.sheets.cut = overtaken
        # Then the claim is not taken for ours
        error = await error_of(ours.claim(rig.book.run, whole_account=False))
        assert "claimed a run at the same moment" in str(error)
        assert epoch > 0


async def test_runs_that_begin_at_the_same_moment_end_in_rows_of_their_own(rig: Rig) -> None:
    # Given a run whose row was overwritten by another one, which had looked at the same moment
    async with rig.writer() as writer:
        rig.trade(2)
        await writer.send()
        other = msgspec.structs.replace(rig.book.run, run_id="run-2", account="second")
        async with rig.opened() as another:
            await another.put_run(other, (), ())
        tab = rig.sheets.tab("runs")
        tab.rows[1] = tab.rows.pop(2)
        # When it goes on, Then it takes a row of its own, and both are there
        rig.trade()
        await Writer(rig, writer.adapter, writer.epoch).send()
        assert await writer.adapter.runs() == [rig.book.run, other]
        assert await writer.adapter.applied("run-1") == 3
