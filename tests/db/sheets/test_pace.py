"""How often the API is called: never more than allowed, and less and less while it refuses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from qts.clock import NS_PER_S, to_ns
from qts.errors import Unavailable
from tests.db.sheets.rig import START, Rig, error_of, patiently, rig_at, seconds
from tests.servers.sheets import Refused, quota


async def test_ten_minutes_without_quota_are_waited_for_with_longer_and_longer_pauses(rig: Rig) -> None:
    # Given a writer of a spreadsheet, and a quota that is used up by others for ten minutes
    async with rig.writer() as writer:
        rig.trade(3)
        rig.sheets.calls.clear()
        rig.sheets.always = quota()
        # When its follower tries again every five seconds
        for _ in range(120):
            error = await error_of(writer.send())
            assert isinstance(error, Unavailable)
            assert "429 RESOURCE_EXHAUSTED" in str(error)
            rig.later(5)
        # Then few calls are made, at pauses of 1, 2, 4 … 64 s, and up to a second and a step of 5 s more
        times = seconds(rig)
        pauses = [late - early for early, late in pairwise(times)]
        assert len(times) <= 15
        for pause, least in zip(pauses, (1, 2, 4, 8, 16, 32, *[64] * 20), strict=False):
            assert least <= pause <= least + 6
        # and when there is quota, the spreadsheet has everything, once
        rig.sheets.always = None
        assert await patiently(rig, writer.send) == 3
        await rig.assert_same(writer.adapter)


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_an_error_of_the_server_is_waited_for(rig: Rig, code: int) -> None:
    async with rig.writer() as writer:
        rig.trade(2)
        rig.sheets.answer_with = [Refused(code, "UNAVAILABLE", "try later")] * 3
        assert str(code) in str(await error_of(writer.send()))
        assert await patiently(rig, writer.send) == 2
        await rig.assert_same(writer.adapter)


async def test_a_pause_that_the_server_asks_for_is_kept(rig: Rig) -> None:
    # Given answers that ask for a pause, in seconds, until a moment, without end, and in no known form
    async with rig.writer() as writer:
        for asked, least, most in (
            ("120", 120, 121),
            ("Mon, 05 Jan 2026 02:00:00 GMT", 3_400, 3_602),
            ("99999999999999", 3_600, 3_601),
            ("soon", 0, 66),
        ):
            rig.sheets.answer_with = [quota(Retry_After=asked)]
            rig.sheets.calls.clear()
            # When the follower tries every second
            rig.later(31)  # what was found last counts for half a minute
            begun_ns = rig.clock.ns
            await error_of(writer.adapter.applied("run-1"))
            await patiently(rig, lambda: writer.adapter.applied("run-1"), every_s=1, most=4_000)
            # Then the next call comes behind the pause
            assert least <= (rig.clock.ns - begun_ns) / 1e9 <= most, asked


async def test_no_minute_has_more_calls_than_allowed(tmp_path: Path) -> None:
    # Given a writer that may make ten calls in a minute
    with rig_at(tmp_path, calls_per_minute=10) as rig:
        async with rig.writer() as writer:
            # When it sends 40 batches, one by one
            for _ in range(40):
                rig.trade()
                await writer.send()
            # Then no minute has more than ten calls, and none was refused
            times = seconds(rig)
            assert len(times) > 80
            assert all(late - early >= 60 for early, late in zip(times, times[10:], strict=False))
            assert {call.status for call in rig.sheets.calls} <= {200, 400}
            assert rig.waited_s > 60 * (len(times) / 10 - 2)
            await rig.assert_same(writer.adapter)


async def test_calls_are_spread_behind_the_first_ones(rig: Rig) -> None:
    # Given a writer that may make fifty calls in a minute, and has none behind it
    pace = rig.pacing.pace
    begun = []
    for _ in range(20):
        # When it makes twenty as fast as it may
        await pace.turn()
        begun.append(round((rig.clock.time_ns() - to_ns(START)) / NS_PER_S, 2))
    # Then ten come at once, and the others every 1.2 s
    assert begun == [0] * 10 + [round(1.2 * n, 2) for n in range(1, 11)]
    # and behind a pause of half a minute ten may come at once again
    rig.later(30)
    waited_s = rig.waited_s
    for _ in range(10):
        await pace.turn()
    assert rig.waited_s == waited_s


async def test_two_writers_do_not_come_back_together(rig: Rig) -> None:
    # Given two clients whose first call is refused at the same moment
    moments = []
    for jitter in (1, 2):
        rig.pacing = rig.new_pacing(jitter)
        rig.sheets.answer_with = [quota()] * 4
        adapter = rig.adapter()
        begun_ns = rig.clock.ns
        await patiently(rig, adapter.open, every_s=0.01, most=5_000)
        moments.append(round((rig.clock.ns - begun_ns) / 1e9, 1))
        await adapter.close()
    # Then they are not tried again at the same moments: 1 + 2 + 4 + 8 s, and their own parts of seconds
    assert moments[0] != moments[1]
    assert all(15 <= moment <= 19.2 for moment in moments)


async def test_a_pause_outlives_the_adapter(rig: Rig) -> None:
    # Given a spreadsheet that could not be opened
    rig.sheets.always = quota()
    first, second = rig.adapter(), rig.adapter()
    await error_of(first.open())
    # When the follower makes another adapter at once
    error = await error_of(second.open())
    # Then that one makes no call before the pause is over
    assert "asked again in" in str(error)
    assert rig.sheets.made() == 1
