"""A follower on a spreadsheet: an outbox of days is sent oldest first, and one that is away is caught up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from qts.clock import SystemClock
from qts.db.adapter import DataSourceAdapter
from qts.db.follower import Follower, FollowerState
from tests.db.books import OUTBOX
from tests.db.server.following import until
from tests.db.sheets.rig import LEDGER, Rig, run, seconds
from tests.servers.sheets import Call, Refused, quota


@contextmanager
def following(rig: Rig) -> Iterator[Follower]:
    """The follower of the rig's book, begun as a session begins it; its pauses are short."""

    async def make() -> DataSourceAdapter:
        return rig.adapter()

    follower = Follower(OUTBOX, rig.book.run, make, SystemClock(), pauses_s=(0.002,), is_needed=False)
    follower.connect()
    follower.start(rig.book.store)
    try:
        yield follower
    finally:
        follower.stop()


def has_all(follower: Follower, rig: Rig) -> bool:
    status = follower.status
    return status.state is FollowerState.FOLLOWING and status.applied == rig.book.store.offered


def assert_same(rig: Rig) -> None:
    """Assert that the spreadsheet has the book."""

    async def look() -> None:
        async with rig.opened() as adapter:
            await rig.assert_same(adapter)

    run(look())


def test_an_outbox_of_seven_days_is_sent_oldest_first_at_the_pace_that_is_allowed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a book with 50 batches of each of seven days, none of them sent, and a follower that sends five at once
    monkeypatch.setattr("qts.db.follower._MOST_BATCHES", 5)
    rig.trade(350)
    applied: list[int] = []

    def note(call: Call) -> str:
        if "runs" in rig.sheets.titles and len(rig.sheets.tab("runs").rows) > 1:
            applied.append(int(rig.sheets.tab("runs").cell(1, 3)))
        return ""

    rig.sheets.cut = note
    # When it is begun
    with following(rig) as follower:
        until(lambda: has_all(follower, rig))
    # Then it sends the oldest first, five by five
    assert sorted(set(applied)) == list(range(0, 351, 5))
    assert applied == sorted(applied)
    # and no minute has more than fifty calls, and none is refused
    times = seconds(rig)
    assert len(times) > 140
    assert all(late - early >= 60 for early, late in zip(times, times[50:], strict=False))
    assert 429 not in {call.status for call in rig.sheets.calls}
    assert_same(rig)


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (quota(), FollowerState.AWAY),
        (Refused(503, "UNAVAILABLE", "The service is currently unavailable."), FollowerState.AWAY),
        (Refused(403, "PERMISSION_DENIED", "The caller does not have permission"), FollowerState.REFUSED),
        (Refused(404, "NOT_FOUND", "Requested entity was not found."), FollowerState.REFUSED),
    ],
    ids=["429", "503", "403", "404"],
)
def test_a_spreadsheet_that_does_not_take_batches_is_shown_and_caught_up(
    rig: Rig, fault: Refused, state: FollowerState
) -> None:
    # Given a session that follows, and a spreadsheet that refuses from some moment on
    with following(rig) as follower:
        rig.trade(3)
        follower.wake()
        until(lambda: has_all(follower, rig))
        rig.sheets.always = fault
        # When fills come, then it is shown with its reason, and what was not sent waits
        rig.trade(20)
        follower.wake()
        until(lambda: follower.status.state is state)
        assert fault.status in follower.status.reason
        assert follower.status.lag_batches == 20
        assert follower.status.waiting_bytes > 0
        # and when it takes batches again, it is given all of them
        rig.sheets.always = None
        rig.later(70)
        until(lambda: has_all(follower, rig))
    assert_same(rig)


def test_a_spreadsheet_that_cannot_be_opened_is_followed_later(rig: Rig) -> None:
    # Given a spreadsheet whose key is refused when the session begins
    rig.sheets.is_revoked = True
    with following(rig) as follower:
        rig.trade(5)
        follower.wake()
        until(lambda: follower.status.state is FollowerState.REFUSED)
        assert "invalid_grant" in follower.status.reason
        # When the key is valid again, then it has everything
        rig.sheets.is_revoked = False
        rig.later(70)
        until(lambda: has_all(follower, rig))
    assert_same(rig)


def test_a_tab_that_is_sorted_in_mid_session_is_told_and_written_again(rig: Rig) -> None:
    # Given a session that follows
    with following(rig) as follower:
        rig.trade(9)
        follower.wake()
        until(lambda: has_all(follower, rig))
        # When someone sorts the fills, and more come
        rig.sheets.sort(LEDGER, 1)
        rig.trade()
        follower.wake()
        until(lambda: has_all(follower, rig))
        # Then the notes of the follower say so, and all of it is in a fresh tab
        until(lambda: bool(follower.status.notes))
        assert f"{LEDGER} was moved, sorted or edited" in follower.status.notes[0]
        assert len(rig.sheets.tab(f"{LEDGER} (2)").filled) == 11
    assert_same(rig)
