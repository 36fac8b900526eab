"""A follower sends a server what the local book has committed, whatever happens to the server meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.clock import NS_PER_S, ManualClock, PacedClock, SystemClock, from_ns
from qts.db.ages import Ages
from qts.db.contracts import ConfigRow
from qts.db.follower import Follower, FollowerState
from qts.errors import BatchRefused, Fenced, InputError, StateError, Unavailable
from tests.db import rows
from tests.db.rows import RUN
from tests.db.scripted_server import ScriptedServer
from tests.db.test_outbox import book, followed

NAME = "postgres"
PAUSES = (0.001, 0.005)


class Rig:
    """A store, a server and a follower between them."""

    def __init__(self, path: Path) -> None:
        self.path, self.server, self.count = path, ScriptedServer(), 0
        self.store = followed(path)
        self.follower = self.new_follower()

    def new_follower(self, **more: Any) -> Follower:
        clock = SystemClock()
        given = {"pauses_s": PAUSES, "idle_s": 0.02, "repeats": True} | more
        return Follower(NAME, RUN, self.server.adapter, clock, **given)

    def begin(self) -> None:
        self.follower.connect()
        self.follower.start(self.store)

    def commit(self, count: int = 1) -> int:
        for _ in range(count):
            self.count += 1
            self.store.commit([rows.equity(self.count), rows.position(qty=str(self.count))], b"c")
            self.follower.wake()
        return self.count

    def resume(self) -> None:
        """Kill session and follower, and resume the run with others."""
        self.follower.stop()
        self.server.holder = None
        self.store._connection.close()
        self.store = followed(self.path)
        self.follower = self.new_follower()
        self.begin()

    def drained(self) -> None:
        self.follower.begin_stop().result(20)
        assert self.server.seq == self.store.offered
        assert self.server.rows == book(self.path)

    def until(self, is_so: Callable[[], bool]) -> None:
        clock = PacedClock(from_ns(0))
        clock.wait_until_ns(20 * NS_PER_S, is_so)
        assert is_so(), self.follower.status


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "q.sqlite")
    yield rig
    rig.follower.stop()
    rig.store.close()


def test_everything_that_is_committed_reaches_the_server_in_order(rig: Rig) -> None:
    rig.begin()
    rig.commit(200)
    rig.drained()
    assert rig.server.loads == 0
    assert rig.server.threads == {"qts-follow-postgres"}
    assert sum(rig.server.groups) == 200
    status = rig.follower.status
    assert (status.server, status.applied, status.newest, status.lag_batches, status.lag_s) == (
        "Scripted 1",
        200,
        200,
        0,
        0,
    )


def test_a_large_backlog_goes_in_bounded_groups(rig: Rig) -> None:
    rig.commit(2_500)
    rig.begin()
    rig.drained()
    assert max(rig.server.groups) == 1_000
    assert rig.server.loads == 0


def test_the_run_is_sent_at_the_begin_and_when_it_has_changed(rig: Rig) -> None:
    rig.begin()
    rig.until(lambda: len(rig.server.runs) == 1)
    rig.store.accept_config(ConfigRow(1, "cfg", 5, "start", "first load", "{}"))
    rig.follower.run_changed()
    rig.until(lambda: rig.server.versions == [1])
    rig.store.finish_run("{}")
    rig.follower.run_changed()
    rig.drained()
    assert [run.finished for run in rig.server.runs] == [False, False, True]


def test_a_result_that_comes_while_the_run_is_sent_is_sent_too(rig: Rig) -> None:
    # Given a run that is being sent
    rig.begin()
    rig.until(lambda: len(rig.server.runs) == 1)
    sending, has_ended = threading.Event(), threading.Event()

    def hold(call: str) -> None:
        if call == "put_run" and not has_ended.is_set():
            sending.set()
            has_ended.wait(20)

    rig.server.fails = hold
    rig.follower.run_changed()
    assert sending.wait(20)
    # When its session ends
    rig.store.finish_run("{}")
    rig.follower.run_changed()
    ended = rig.follower.begin_stop()
    has_ended.set()
    ended.result(20)
    # Then the server has its result
    assert [run.finished for run in rig.server.runs] == [False, False, True]


def test_a_server_that_lacks_the_beginning_is_given_everything_once(rig: Rig) -> None:
    # Given a run that went on without a follower
    rig.store.close()
    rig.store = rows.opened(rig.path)
    rig.commit(3)
    rig.store.close()
    rig.store = followed(rig.path)
    # When it is followed, before and after another commit
    rig.begin()
    rig.until(lambda: rig.server.seq == 3)
    rig.commit()
    rig.drained()
    assert rig.server.loads == 1


def test_a_lost_answer_is_settled_by_asking(rig: Rig) -> None:
    rig.begin()
    rig.server.loses = {"apply"}
    rig.commit(3)
    rig.drained()
    assert not rig.server.loses
    assert sum(rig.server.groups) in (3, 6)  # sent a second time at most; nothing changes by that


def test_a_server_that_is_away_is_sent_everything_when_it_is_back(rig: Rig) -> None:
    rig.begin()
    rig.commit()
    rig.until(lambda: rig.server.seq == 1)
    rig.server.away()
    rig.commit(50)
    rig.until(lambda: rig.follower.status.state is FollowerState.AWAY)
    status = rig.follower.status
    assert "postgresql://db/qts does not answer" in status.reason
    assert status.lag_batches == 50
    assert status.waiting_bytes > 0
    assert status.lag_s > 0
    rig.server.back()
    rig.until(lambda: rig.server.seq == 51)
    rig.drained()


def test_a_server_that_is_away_at_the_start_holds_up_no_session(rig: Rig) -> None:
    rig.server.away()
    assert rig.follower.connect() is None
    rig.follower.start(rig.store)
    rig.commit(3)
    rig.server.back()
    rig.until(lambda: rig.server.seq == 3)
    rig.drained()


def test_at_the_end_no_one_waits_for_a_server_that_is_away(rig: Rig) -> None:
    rig.begin()
    rig.server.away()
    rig.commit()
    rig.until(lambda: rig.follower.status.state is FollowerState.AWAY)
    rig.follower.begin_stop().result(20)
    assert rig.server.seq == 0
    # And the next life of the run catches up
    rig.server.back()
    rig.resume()
    rig.drained()
    assert rig.server.seq == 1


def test_a_server_restored_to_yesterday_is_given_what_it_lacks(rig: Rig) -> None:
    rig.begin()
    rig.commit(5)
    rig.until(lambda: rig.server.seq == 5)
    yesterday = {name: dict(table) for name, table in rig.server.rows.items()}
    rig.commit(5)
    rig.until(lambda: rig.store._followed()._done[NAME] == 10)
    rig.commit()  # and the outbox no longer has what it had
    rig.server.back_to(5, yesterday)
    rig.until(lambda: rig.server.seq == 11)
    rig.commit()
    rig.drained()
    assert rig.server.loads == 1


def test_a_run_that_is_begun_again_is_compared_when_it_gets_as_far(rig: Rig) -> None:
    # Given a server that has four batches of this run
    rig.begin()
    rig.commit(4)
    rig.drained()
    # When the same run begins again in an empty directory, and has batches of another cut
    rig.follower.stop()
    rig.store.close()
    rig.path = rig.path.with_name("again.sqlite")
    rig.store, rig.follower, rig.count = followed(rig.path), rig.new_follower(), 0
    rig.begin()
    rig.until(lambda: rig.follower.status.state is FollowerState.REFUSED)
    assert "the server has batch 4 of this run, and the local book ends with 0" in rig.follower.status.reason
    for number in (1, 3, 4, 5):
        rig.store.commit([rows.equity(at) for at in ((1, 2) if number == 1 else (number,))], b"c")
        rig.store.commit([rows.position(qty=str(number))], b"c")
        rig.follower.wake()
    rig.until(lambda: rig.server.seq == 8)
    rig.drained()
    assert rig.server.loads == 1


def test_the_older_book_of_a_real_broker_is_not_sent(rig: Rig) -> None:
    rig.server.seq = 7
    rig.follower = rig.new_follower(repeats=False)
    rig.begin()
    rig.until(lambda: rig.follower.status.state is FollowerState.REFUSED)
    assert "older than what the server has" in rig.follower.status.reason
    assert "apply" not in rig.server.calls


def test_another_life_of_a_session_in_real_time_is_not_mixed_with_this_one(rig: Rig) -> None:
    # Given a server that has the run as it was begun on another day
    rig.server.seq = 1
    rig.server.runs = [msgspec.structs.replace(RUN, started_at="2026-01-01T09:00:00+09:00")]
    # When a session in real time that was begun today is followed
    rig.commit(3)
    rig.follower = rig.new_follower(repeats=False)
    rig.begin()
    # Then nothing of it is sent
    rig.until(lambda: rig.follower.status.state is FollowerState.REFUSED)
    assert "was begun at 2026-01-01T09:00:00+09:00" in rig.follower.status.reason
    assert {"apply", "load", "put_run"}.isdisjoint(rig.server.calls)


@pytest.mark.parametrize(
    ("error", "kind"), [(InputError("no database qts"), InputError), (BatchRefused("a row"), BatchRefused)]
)
def test_what_cannot_be_used_at_the_start_is_told_at_once(
    rig: Rig, error: Exception, kind: type[Exception]
) -> None:
    def refuse(call: str) -> None:
        raise error

    rig.server.fails = refuse
    with pytest.raises(kind, match=str(error)):
        rig.follower.connect()
    assert not [t for t in threading.enumerate() if t.name.startswith("qts-follow")]


def test_another_process_that_writes_the_run_is_told_at_once(rig: Rig) -> None:
    rig.server.holder = object()
    with pytest.raises(StateError, match="is written by another process"):
        rig.follower.connect()


def test_our_own_lost_connection_is_waited_for(rig: Rig) -> None:
    # Given a server that has not noticed that our connection is gone, and does not end it for us
    rig.begin()
    rig.commit()
    rig.until(lambda: rig.server.seq == 1)
    old = rig.server.holder

    def held(call: str) -> None:
        rig.server.holder = old
        if call == "applied":
            raise Fenced("it is written by another process")

    def lost(call: str) -> None:
        rig.server.fails = held
        raise Unavailable("cut")

    rig.server.fails = lost
    rig.commit()
    rig.until(lambda: rig.follower.status.state is FollowerState.REFUSED)
    assert "another process" in rig.follower.status.reason
    # When it does
    rig.server.back()
    rig.server.holder = None
    rig.commit()
    rig.until(lambda: rig.server.seq == 3)
    rig.drained()


def test_a_claim_is_continued_over_connections_that_are_lost(rig: Rig) -> None:
    # Given a server that does not answer three times
    rig.begin()
    rig.commit()
    rig.until(lambda: rig.server.seq == 1)
    left = [3]

    def lost(call: str) -> None:
        if left[0]:
            left[0] -= 1
            raise Unavailable("cut")

    rig.server.fails = lost
    # When it answers again, then it is sent the rest under the claim of before
    rig.commit()
    rig.until(lambda: rig.server.seq == 2)
    assert rig.server.calls.count("claim") == 1
    rig.drained()


def test_a_process_that_took_over_is_not_fought(rig: Rig) -> None:
    rig.begin()
    rig.commit()
    rig.until(lambda: rig.server.seq == 1)
    rig.server.epoch += 1
    rig.commit()
    rig.until(lambda: rig.follower.status.state is FollowerState.REFUSED)
    rig.follower.begin_stop().result(20)
    assert rig.server.calls.count("claim") == 1
    assert "epoch 1 has ended" in rig.follower.status.reason
    assert rig.server.seq == 1


def test_a_run_that_another_process_took_over_meanwhile_is_not_taken_back(rig: Rig) -> None:
    # Given a follower whose connection is lost, and another process that has claimed its run until then
    rig.begin()
    rig.commit()
    rig.until(lambda: rig.server.seq == 1)
    tries = 0

    def written_by_the_other(call: str) -> None:
        nonlocal tries
        tries += 1
        raise Unavailable("cut") if tries == 1 else Fenced("it is written by process 7")

    rig.server.epoch += 1
    rig.server.fails = written_by_the_other
    rig.until(lambda: tries >= 4)
    rig.commit()
    # When the other one has ended
    rig.server.holder = None
    rig.server.back()
    # Then the first one claims nothing, and writes nothing of what it did beside it
    rig.until(lambda: "epoch 1 has ended" in rig.follower.status.reason)
    assert rig.server.calls.count("claim") == 1
    assert rig.server.seq == 1
    assert rig.follower.status.state is FollowerState.REFUSED


def test_a_row_that_is_refused_is_shown_and_keeps_its_place(rig: Rig) -> None:
    rig.begin()

    def refuse(call: str) -> None:
        if call == "apply":
            raise BatchRefused("equity_curve, row 1: NaN")

    rig.server.fails = refuse
    rig.commit(2)
    rig.until(lambda: rig.follower.status.state is FollowerState.REFUSED)
    assert rig.follower.status.reason == "equity_curve, row 1: NaN"
    rig.server.back()
    rig.resume()
    rig.drained()


def test_a_defect_of_an_adapter_ends_the_follower_alone(rig: Rig) -> None:
    rig.begin()

    def fail(call: str) -> None:
        raise KeyError(call)

    rig.server.fails = fail
    rig.commit()
    rig.until(lambda: rig.follower.status.state is FollowerState.REFUSED)
    assert "ended by KeyError" in rig.follower.status.reason
    assert rig.commit() == 2
    with pytest.raises(Unavailable):
        rig.follower.until(2).result(20)


def test_until_is_done_with_the_batch_and_fails_when_no_one_should_wait(rig: Rig) -> None:
    with pytest.raises(Unavailable, match="not open"):
        rig.follower.until(1).result(0)
    rig.begin()
    rig.until(lambda: rig.follower.is_following)
    seq = rig.commit()
    assert rig.follower.until(seq).result(20) == seq
    assert rig.follower.until(seq).result(0) == seq
    given_up = rig.follower.until(seq + 1)
    given_up.cancel()
    assert not rig.follower._waiters
    waiting = rig.follower.until(seq + 1)
    rig.server.away()
    rig.commit()
    with pytest.raises(Unavailable, match="does not answer"):
        waiting.result(20)
    with pytest.raises(Unavailable, match="does not answer"):
        rig.follower.until(seq + 1).result(0)


def test_a_follower_that_is_asked_to_end_as_it_begins_sends_the_run_too(rig: Rig) -> None:
    # Given a finished run that the server lacks, and a follower that sees its begin and its end at once
    rig.commit(2)
    rig.store.finish_run("{}")
    rig.follower.connect()
    rig.follower._store = rig.store
    # When it ends
    rig.drained()
    # Then the server has the run as well as its batches
    assert [run.finished for run in rig.server.runs] == [True]


def test_a_follower_that_ends_before_it_begins_sends_nothing(rig: Rig) -> None:
    rig.follower.connect()
    rig.follower.begin_stop().result(20)
    assert rig.server.runs == []


def test_a_follower_is_stopped_in_the_middle_of_anything(rig: Rig) -> None:
    rig.begin()
    rig.commit(20)
    rig.follower.stop()
    rig.follower.stop()
    rig.follower.wake()
    rig.follower.run_changed()
    assert rig.follower.begin_stop().done()
    rig.resume()
    rig.drained()


@pytest.mark.parametrize("seed", range(4))
def test_faults_of_any_kind_lose_and_double_nothing(seed: int, rig: Rig) -> None:
    # Given a server each of whose calls may fail before or after its effect, and a session that may be killed
    draw = random.Random(seed)

    def fail(call: str) -> None:
        chance = draw.random()
        if chance < 0.15:
            raise Unavailable("cut")
        if chance < 0.3:
            rig.server.loses = {draw.choice(["apply", "load", "put_run"])}

    with suppress(Unavailable):
        rig.begin()
    rig.server.fails = fail
    for _ in range(60):
        rig.commit(draw.randint(0, 5))
        if draw.random() < 0.1:
            rig.resume()
        if draw.random() < 0.3:
            rig.until(lambda: rig.follower.status.lag_batches == 0)
    # When the faults end
    rig.server.back()
    rig.server.loses = set()
    rig.until(lambda: rig.follower.status.lag_batches == 0 and rig.follower.is_following)
    # Then the server has the book
    rig.drained()


def test_a_lag_is_the_age_of_the_oldest_batch() -> None:
    ages = Ages()
    for seq in range(1, 10_001):
        ages.note(seq, seq * 10)
    assert ages.oldest_ns(200_000) == 200_000 - 10
    assert len(ages._offered) <= 1_024
    ages.applied(9_999)
    assert 200_000 - 100_000 <= ages.oldest_ns(200_000) <= 200_000 - 50_000  # merged with older ones
    ages.applied(10_000)
    assert ages.oldest_ns(200_000) == 0
    ages.note(10_000, 5)
    ages.note(10_001, 150_000)
    assert ages.oldest_ns(200_000) == 50_000


def test_the_lag_is_of_the_machines_time(tmp_path: Path) -> None:
    clock, server = ManualClock(from_ns(0)), ScriptedServer()
    store = followed(tmp_path / "q.sqlite")
    follower = Follower(NAME, RUN, server.adapter, clock, pauses_s=(0.001,))
    server.away()
    follower.connect()
    follower.start(store)
    store.commit([rows.equity(1)], b"c")
    follower.wake()
    clock.set_ns(6 * NS_PER_S)
    assert follower.status.lag_s == 6.0
    follower.stop()
    store.close()


def test_calls_for_batches_that_take_long_are_counted(rig: Rig) -> None:
    # Given a server that takes 0.4 s for the first call with batches, and 0.6 s for the others
    clock = ManualClock(from_ns(NS_PER_S))
    durations = iter([400_000_000, 600_000_000, 600_000_000])
    rig.server.fails = lambda call: clock.set_ns(clock.time_ns() + next(durations)) if call == "apply" else None
    follower = Follower(NAME, RUN, rig.server.adapter, clock, pauses_s=PAUSES, idle_s=0.02, repeats=True)
    follower.connect()
    follower.start(rig.store)
    # When it is sent three batches, each by itself
    for number in (1, 2, 3):
        rig.store.commit([rows.equity(number)], b"c")
        follower.wake()
        rig.until(lambda number=number: rig.server.seq == number)
    follower.begin_stop().result(20)
    # Then two calls were slow
    assert follower.status.slow == 2
    follower.stop()


def test_a_server_is_asked_what_was_changed_when_it_has_everything_and_after_each_interval(rig: Rig) -> None:
    # Given a follower that asks every 300 s of its clock
    clock = ManualClock(from_ns(0))
    more: dict[str, Any] = {"pauses_s": PAUSES, "idle_s": 0.01, "repeats": True, "check_s": 300}
    rig.follower = Follower(NAME, RUN, rig.server.adapter, clock, **more)

    def looks() -> int:
        return rig.server.calls.count("altered")

    # When the server has everything, Then it is asked the first time
    rig.server.found = ("row 1",)
    rig.begin()
    rig.commit(3)
    rig.until(lambda: rig.follower.status.altered == ("row 1",))
    assert looks() == 1
    # And not again before the interval is over
    rig.server.found = ("row 1", "row 2")
    clock.set_ns(299 * NS_PER_S)
    rig.commit(2)
    rig.until(lambda: rig.server.seq == 5)
    assert looks() == 1
    clock.set_ns(300 * NS_PER_S)
    rig.until(lambda: rig.follower.status.altered == ("row 1", "row 2"))
    # And it says so when all is as it was again
    rig.server.found = ()
    clock.set_ns(600 * NS_PER_S)
    rig.until(lambda: rig.follower.status.altered == ())
    assert looks() == 3
    rig.drained()


def test_a_server_that_leaves_alone_what_was_changed_is_given_everything_again(rig: Rig) -> None:
    # Given a server in which someone changes rows, so that it begins again with none of the run
    def fail(call: str) -> None:
        if call == "altered" and rig.server.found:
            rig.server.back_to(0, {})

    rig.server.fails = fail
    rig.server.found = ("row 1",)
    rig.follower = rig.new_follower(check_s=300)
    # When it is asked what was changed
    rig.begin()
    rig.commit(3)
    rig.until(lambda: rig.server.loads == 1)
    # Then it is told, and the server is given the whole book
    assert rig.follower.status.altered == ("row 1",)
    rig.drained()


def test_a_server_that_is_not_needed_is_opened_again_whatever_is_wrong_with_it(rig: Rig) -> None:
    # Given a server that refuses what only a person can put right
    def refuse(call: str) -> None:
        raise InputError("the credentials were revoked")

    rig.server.fails = refuse
    rig.follower = rig.new_follower(is_needed=False)
    # When it is connected, Then that is no error, and what it has is not known
    assert rig.follower.connect() is None
    rig.follower.start(rig.store)
    rig.commit(3)
    status = rig.follower.status
    assert (status.state, status.reason) == (FollowerState.REFUSED, "the credentials were revoked")
    assert not status.is_known
    # And when it was put right, it is sent everything
    rig.server.back()
    rig.until(lambda: rig.follower.status.is_known and rig.follower.is_following)
    rig.drained()
