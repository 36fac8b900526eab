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
from qts.runtime.persistence.server_copies import ServerCopies
from qts.runtime.persistence.server_copy import SERVER_STATES, ServerCopy

FINE = FollowerStatus("database", "PostgreSQL 18.6", FollowerState.FOLLOWING, "", 10, 10, 0.0, 0)
BEHIND = msgspec.structs.replace(FINE, newest=15, lag_s=5.1, waiting_bytes=300)
AWAY = msgspec.structs.replace(BEHIND, state=FollowerState.AWAY, reason="db:5432 does not answer")
AWAY_SHEETS = msgspec.structs.replace(AWAY, name="sheets", reason="Google Sheets does not answer")
SERVER = StoreConfig(durability="server", wait_ms=5)


class Stub:
    """A follower whose state a test sets."""

    def __init__(self, status: FollowerStatus = FINE) -> None:
        self.status = status
        self.name = status.name
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


def copies_of(*stubs: Stub, config: StoreConfig = SERVER, **more: Any) -> ServerCopies:
    followers: Any = stubs
    return ServerCopies(followers, config, in_real_time=True, **more)


async def test_without_a_server_nothing_is_asked_and_no_one_waits() -> None:
    copies = copies_of()
    copies.committed()
    copies.run_changed()
    copies.look()
    assert (copies.why_behind(), await copies.confirmed(), copies.views(), copies.is_waited_for) == (
        "",
        "",
        (),
        False,
    )


async def test_every_server_is_told_and_only_the_database_is_waited_for() -> None:
    # Given a database that has everything, and a spreadsheet that is away
    database, sheets = Stub(), Stub(AWAY_SHEETS)
    copies = copies_of(database, sheets)
    database.answer.set_result(10)

    # When a batch is committed and an order asks
    copies.committed()
    copies.run_changed()

    # Then both are told, entries may leave, and the order has waited for the database alone
    assert (database.wakes, sheets.wakes) == (101, 101)
    assert (copies.why_behind(), copies.why_no_entries(), await copies.confirmed()) == ("", "", "")
    assert (database.asked, sheets.asked) == ([10], [])
    assert [(one.name, one.state, one.durability, one.waits) for one in copies.views()] == [
        ("database", "FOLLOWING", "server", 1),
        ("sheets", "AWAY", "local", 0),
    ]


async def test_a_spreadsheet_alone_holds_nothing_up() -> None:
    copies = copies_of(Stub(AWAY_SHEETS))
    assert (copies.is_waited_for, copies.why_behind(), await copies.confirmed()) == (False, "", "")


def test_the_spreadsheet_has_a_limit_of_its_own() -> None:
    # Given a spreadsheet that lacks 5 batches, the oldest for a minute; and then for longer than its limit of 300 s
    told: list[str] = []
    stub = Stub(msgspec.structs.replace(FINE, name="sheets", newest=2_000, lag_s=60.0))
    copies = copies_of(stub, tell=told.append)
    copies.look()
    assert told == []
    stub.status = msgspec.structs.replace(stub.status, lag_s=300.1)
    copies.look()
    assert told == [
        "Google Sheets is behind: it lacks 1,990 batches, the oldest for 300.1 s (limit 300 s); the session goes "
        "on without it"
    ]


def test_a_server_that_is_being_opened_is_told_only_where_entries_are_refused_meanwhile() -> None:
    opening = msgspec.structs.replace(FINE, state=FollowerState.CONNECTING, newest=12)
    for name, durability, count in (("sheets", "local", 0), ("database", "local", 0), ("database", "server", 1)):
        told: list[str] = []
        stub = Stub(msgspec.structs.replace(opening, name=name))
        copy_of(stub, StoreConfig(durability=durability), tell=told.append).look()  # type: ignore[arg-type]
        assert len(told) == count, (name, durability)


@pytest.mark.parametrize("in_real_time", [True, False])
def test_rows_that_someone_changed_there_are_told_once_for_each_episode(in_real_time: bool) -> None:
    told: list[str] = []
    fine = msgspec.structs.replace(FINE, name="sheets")
    stub = Stub(fine)
    copy = copy_of(stub, in_real_time=in_real_time, tell=told.append)
    row = "t_ledger, row 7, qty: 10 here, 11 on the server"
    for altered in ((), (row,), (row, "one more"), ()):
        stub.status = msgspec.structs.replace(fine, altered=altered)
        copy.look()
    assert told == [
        f"Google Sheets had rows that someone changed there, and the local book holds what is true: {row}",
        "Google Sheets has every row as it was sent again",
    ]


def test_a_server_that_was_never_asked_is_not_said_to_lack_anything() -> None:
    copy = copy_of(Stub(msgspec.structs.replace(AWAY, is_known=False, applied=0)))
    assert copy.why_behind() == (
        "the server is AWAY: db:5432 does not answer; it was not asked yet what it has of 15 batches"
    )
    assert not copy.view().is_known


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
    assert (view.waits, view.late) == (1, 0)


async def test_an_order_gives_up_after_the_setting_and_cancels_what_it_waited_for() -> None:
    stub = Stub()
    copy = copy_of(stub)
    assert await copy.confirmed() == "the server did not have the order within 5 ms"
    assert stub.answer.cancelled()
    view = copy.view()
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


def test_an_operator_is_told_that_much_waits_and_for_whom() -> None:
    told: list[str] = []
    database, sheets = Stub(FINE), Stub(AWAY_SHEETS)
    copies = copies_of(database, sheets, config=StoreConfig(outbox_alarm_mb=1), tell=told.append)
    copies.look()
    told.clear()
    for size in (1 << 20, (1 << 20) + 1, 5 << 20, 0):
        sheets.status = msgspec.structs.replace(AWAY_SHEETS, waiting_bytes=size)
        copies.look()
    assert told == ["1 MB wait for Google Sheets; nothing of it is lost", "less waits in the outbox again"]


def test_a_replay_is_told_of_no_lag() -> None:
    told: list[str] = []
    copy = copy_of(Stub(BEHIND), in_real_time=False, tell=told.append)
    copy.look()
    assert told == []


def test_the_view_has_what_the_follower_and_the_orders_say() -> None:
    copy = copy_of(Stub(AWAY))
    view = copy.view()
    assert (view.state, view.applied, view.newest, view.lag_batches, view.lag_s) == ("AWAY", 10, 15, 5, 5.1)
    assert (view.reason, view.waiting_bytes, view.durability) == ("db:5432 does not answer", 300, "server")


def test_the_states_of_metrics_are_those_of_a_follower() -> None:
    assert tuple(state.value for state in FollowerState) == SERVER_STATES
    assert "qts.db.follower" in sys.modules
