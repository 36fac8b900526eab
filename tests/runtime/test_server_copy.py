"""What a session knows of the server that follows its book: who waits, who is refused, what is told."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest

from qts.db.config import StoreConfig
from qts.db.follower import Follower, FollowerState, FollowerStatus
from qts.errors import Unavailable
from qts.runtime.persistence.server_copy import SERVER_STATES, ServerCopy

FINE = FollowerStatus("postgres", "PostgreSQL 18.6", FollowerState.FOLLOWING, "", 10, 10, 0.0, 0)
BEHIND = msgspec.structs.replace(FINE, newest=15, lag_s=5.1, waiting_bytes=300)
AWAY = msgspec.structs.replace(BEHIND, state=FollowerState.AWAY, reason="db:5432 does not answer")
SERVER = StoreConfig(durability="server", wait_ms=5)


class Stub:
    """A follower whose state a test sets."""

    def __init__(self, status: FollowerStatus = FINE) -> None:
        self.status = status
        self.asked: list[int] = []
        self.answer: Future[int] = Future()
        self.wakes = 0

    @property
    def is_following(self) -> bool:
        return self.status.state is FollowerState.FOLLOWING

    def until(self, seq: int) -> Future[int]:
        self.asked.append(seq)
        return self.answer

    def wake(self) -> None:
        self.wakes += 1

    def run_changed(self) -> None:
        self.wakes += 100


def copy_of(stub: Stub, config: StoreConfig = SERVER, *, in_real_time: bool = True, **more: Any) -> ServerCopy:
    follower: Follower = stub  # type: ignore[assignment]
    return ServerCopy(follower, config, in_real_time=in_real_time, **more)


async def test_without_a_server_nothing_is_asked_and_no_one_waits() -> None:
    copy = ServerCopy(None, SERVER, in_real_time=True)
    copy.committed()
    copy.run_changed()
    copy.look()
    assert (copy.why_behind(), await copy.confirmed(), copy.view(), copy.is_waited_for) == ("", "", None, False)


@pytest.mark.parametrize(("durability", "in_real_time"), [("local", True), ("server", False)])
async def test_no_one_waits_with_local_durability_or_on_the_virtual_clock(
    durability: Any, in_real_time: bool
) -> None:
    stub = Stub(AWAY)
    copy = copy_of(stub, StoreConfig(durability=durability), in_real_time=in_real_time)
    assert (copy.why_behind(), await copy.confirmed(), stub.asked) == ("", "", [])


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (FINE, ""),
        (msgspec.structs.replace(BEHIND, lag_s=5.0), ""),  # the limit itself is allowed
        (msgspec.structs.replace(FINE, newest=1_010), ""),
        (BEHIND, "the server is behind: it lacks 5 batches, the oldest for 5.1 s (limits 1,000 and 5 s)"),
        (
            msgspec.structs.replace(FINE, newest=1_011),
            "the server is behind: it lacks 1,001 batches, the oldest for 0.0 s (limits 1,000 and 5 s)",
        ),
        (
            AWAY,
            "the server is AWAY: db:5432 does not answer; it lacks 5 batches, the oldest for 5.1 s (limits 1,000 "
            "and 5 s)",
        ),
    ],
)
def test_entries_are_refused_while_the_server_is_away_or_behind_a_limit(status: FollowerStatus, why: str) -> None:
    assert copy_of(Stub(status)).why_behind() == why


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (FINE, ""),
        (BEHIND, "STORE_BEHIND: the server is behind, and store.durability = server; exits leave"),
        (AWAY, "STORE_BEHIND: the server is AWAY, and store.durability = server; exits leave"),
    ],
)
def test_an_operator_reads_why_no_entry_leaves(status: FollowerStatus, why: str) -> None:
    assert copy_of(Stub(status)).why_no_entries() == why
    assert copy_of(Stub(status), StoreConfig(durability="local")).why_no_entries() == ""


async def test_an_order_waits_until_the_server_has_everything_committed_so_far() -> None:
    stub = Stub()
    copy = copy_of(stub)
    stub.answer.set_result(10)
    assert await copy.confirmed() == ""
    assert stub.asked == [10]
    view = copy.view()
    assert view is not None
    assert (view.waits, view.late) == (1, 0)


async def test_an_order_gives_up_after_the_setting_and_cancels_what_it_waited_for() -> None:
    stub = Stub()
    copy = copy_of(stub)
    assert await copy.confirmed() == "the server did not have the order within 5 ms"
    assert stub.answer.cancelled()
    view = copy.view()
    assert view is not None
    assert (view.waits, view.late) == (1, 1)


async def test_an_order_does_not_wait_for_a_server_known_to_be_away() -> None:
    stub = Stub(AWAY)
    copy = copy_of(stub, StoreConfig(durability="server", wait_ms=5_000))
    stub.answer.set_exception(Unavailable("db:5432 does not answer"))
    assert (await copy.confirmed()).startswith("the server is AWAY: db:5432 does not answer")


def test_an_operator_is_told_once_for_each_episode() -> None:
    told: list[str] = []
    stub = Stub()
    copy = copy_of(stub, StoreConfig(outbox_alarm_mb=1), tell=told.append)
    for status in (FINE, BEHIND, BEHIND, AWAY, FINE, AWAY, AWAY):
        stub.status = status
        copy.look()
    assert [text.split(":")[0] for text in told] == [
        "the server is behind",
        "the server follows again",
        "the server is AWAY",
    ]
    assert told[0].endswith("; the session goes on without it")
    # When more waits than the limit of an alarm
    told.clear()
    for size in (1 << 20, (1 << 20) + 1, 5 << 20, 0):
        stub.status = msgspec.structs.replace(AWAY, waiting_bytes=size)
        copy.look()
    assert told == ["1 MB wait for the server; nothing of it is lost", "less waits for the server again"]


def test_a_replay_is_told_of_no_lag() -> None:
    told: list[str] = []
    copy = copy_of(Stub(BEHIND), in_real_time=False, tell=told.append)
    copy.look()
    assert told == []


def test_the_view_has_what_the_follower_and_the_orders_say() -> None:
    copy = copy_of(Stub(AWAY))
    view = copy.view()
    assert view is not None
    assert (view.state, view.applied, view.newest, view.lag_batches, view.lag_s) == ("AWAY", 10, 15, 5, 5.1)
    assert (view.reason, view.waiting_bytes, view.durability) == ("db:5432 does not answer", 300, "server")


def test_the_states_of_metrics_are_those_of_a_follower() -> None:
    assert tuple(state.value for state in FollowerState) == SERVER_STATES
    assert "qts.db.follower" in sys.modules
