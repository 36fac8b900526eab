"""Answers that are lost at every call: what was written is looked at, and nothing is there twice or missing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from qts.db.sheets import client
from qts.errors import StateError, Unavailable
from tests.db import rows
from tests.db.books import CONFIGS, FILES
from tests.db.sheets.rig import LEDGER, Rig, Writer, error_of, patiently, rig_at
from tests.effort import EVERY_CALL
from tests.servers.sheets import Call, Sheets

CALLS = 26
"""Calls of the work below when nothing fails, and a few more."""


class Cutting:
    """Cuts the connection of the call with a number, or of that one of a kind, before it is done or behind it."""

    def __init__(self, sheets: Sheets, number: int, when: str, kind: str = "") -> None:
        self.left, self.when, self.kind, self.is_done = number, when, kind, False
        sheets.cut = self

    def __call__(self, call: Call) -> str:
        self.left -= self.kind in ("", call.kind)
        if self.left or self.is_done:
            return ""
        self.is_done = True
        return self.when


async def work(rig: Rig, *, begin_again: bool) -> bool:
    """Do everything that is done with a run, from its claim to a copy; go on behind failures as followers do.

    ``begin_again``: by another adapter each time, as a process does that was killed. Return whether a call failed.
    """
    adapter = rig.adapter()
    failed = False
    batches = len(rig.book.batches())
    for _ in range(100):
        try:
            await adapter.open()
            epoch = await adapter.claim(rig.book.run, whole_account=False)
            await adapter.put_run(rig.book.run, FILES, CONFIGS)
            writer = Writer(rig, adapter, epoch)
            for until in (2, 3, batches):
                applied = await adapter.applied("run-1")
                if applied < until:
                    assert await adapter.apply(writer.batches()[applied:until]) == until
            await writer.load()
            await rig.assert_same(adapter)
            await adapter.close()
            return failed
        except Unavailable:
            failed = True
            rig.later(70)
            if begin_again:
                adapter._client.close()  # a process that is killed gives nothing up
                rig.later(700)  # and counts as alive for ten minutes
                rig.pacing = rig.new_pacing()
            else:
                await adapter.close()
            adapter = rig.adapter()
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("begin_again", [False, True], ids=["goes on", "begins again"])
async def test_a_connection_that_is_cut_at_any_call_loses_and_doubles_nothing(
    tmp_path: Path, when: str, begin_again: bool
) -> None:
    # Given a book with five batches, and a spreadsheet whose connection is cut at one call
    places = range(1, CALLS) if EVERY_CALL else random.Random(f"{when}{begin_again}").sample(range(1, 20), 5)
    cut = 0
    for place in places:
        folder = tmp_path / str(place)
        folder.mkdir()
        with rig_at(folder) as rig:
            rig.trade(5)
            cutting = Cutting(rig.sheets, place, when)
            # When the run is written down, sent, and sent again as a copy, then all of it is there once
            failed = await work(rig, begin_again=begin_again)
            assert failed <= cutting.is_done
            cut += failed
            assert rig.sheets.titles.count(LEDGER) == 1
            assert len(rig.sheets.tab(LEDGER).filled) == 6
    assert cut >= len(places) * 3 // 4


async def test_a_write_whose_answer_was_lost_is_not_made_again(rig: Rig) -> None:
    # Given a batch that was written, and whose answer was lost
    async with rig.writer() as writer:
        rig.trade()
        assert await writer.send() == 1
        rig.trade()
        rig.sheets.cut = lambda call: "after" if call.kind == "values:batchUpdate" else ""
        error = await error_of(writer.send())
        assert "it cannot be reached (ConnectionError)" in str(error)
        # When the follower asks what there is
        rig.sheets.cut = lambda call: ""
        rig.sheets.calls.clear()
        assert await patiently(rig, lambda: writer.adapter.applied("run-1")) == 2
        # Then it is told, and sends nothing
        assert await writer.send() == 2
        assert rig.sheets.made("values:batchUpdate") == 0
        await rig.assert_same(writer.adapter)


async def test_an_answer_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    # Given a spreadsheet that does what it is asked and holds the answer, and a deadline of 0.2 s
    with rig_at(tmp_path, timeout_s=0.2) as rig:
        async with rig.writer() as writer:
            rig.trade()
            rig.sheets.cut = lambda call: "hold" if call.kind == "values:batchUpdate" else ""
            # When a batch is sent, then it is away, by that reason
            assert "no answer within 0.2 s" in str(await error_of(writer.send()))
            # and it goes on over another connection, where the batch is
            rig.sheets.cut = lambda call: ""
            assert await patiently(rig, lambda: writer.adapter.applied("run-1")) == 1
            await rig.assert_same(writer.adapter)


async def test_an_answer_that_comes_a_byte_at_a_time_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_MARGIN_S", 0.2)
    with rig_at(tmp_path, timeout_s=0.2) as rig:
        async with rig.writer() as writer:
            rig.trade()
            # Given an answer whose every byte comes in time, and which has no end
            rig.sheets.cut = lambda call: "drip" if call.kind == "values:batchUpdate" else ""
            assert "no answer within 0.4 s" in str(await error_of(writer.send()))
            # Then it keeps no later call from being made
            rig.sheets.cut = lambda call: ""
            for _ in range(500):  # the thread needs a moment to see it
                try:
                    assert await writer.adapter.applied("run-1") == 1
                    break
                except Unavailable:
                    rig.later(5)
                    await asyncio.sleep(0.01)
            await rig.assert_same(writer.adapter)


async def test_an_answer_of_something_else_is_no_answer(rig: Rig) -> None:
    # Given what answers in the place of Google Sheets: the page of a hotel, or another number of ranges
    async with rig.writer() as writer:
        answers = rig.sheets.answer
        for odd in ({"values": 7}, {"valueRanges": []}, {"valueRanges": [{"values": "x"}] * 9}):
            rig.trade()
            rig.sheets.answer = lambda *_, odd=odd: odd  # type: ignore[method-assign,misc]
            error = await error_of(writer.send())
            # Then it is taken for no answer
            assert isinstance(error, Unavailable), error
            rig.sheets.answer = answers  # type: ignore[method-assign]
            await patiently(rig, writer.send)
        await rig.assert_same(writer.adapter)


async def test_a_batch_that_does_not_fit_into_one_call_counts_when_its_last_part_is_written(rig: Rig) -> None:
    # Given a batch of 10,000 fills, some 3 MB, and a connection that is cut at the second part of it
    async with rig.writer() as writer:
        rig.book.write(*(rows.ledger(f"x-{number}", ts_ns=number) for number in range(10_000)))
        cutting = Cutting(rig.sheets, 2, "before", "values:batchUpdate")
        await error_of(writer.send())
        assert cutting.is_done
        rig.later(5)
        # Then nothing counts
        async with rig.opened() as reader:
            assert await reader.applied("run-1") == 0
            with pytest.raises(StateError, match="not whole"):
                assert [body async for body in reader.bodies("run-1")] == []
        # and it is written again from the first part on
        assert await patiently(rig, writer.send) == 1
        await rig.assert_same(writer.adapter)
        assert len(rig.sheets.tab(LEDGER).filled) == 10_001


async def test_a_closed_adapter_is_asked_no_more(rig: Rig) -> None:
    async with rig.writer() as writer:
        pass
    with pytest.raises(StateError, match="is not open"):
        await writer.adapter.applied("run-1")
    await writer.adapter.close()
