"""The recorder of a session against real servers: nothing is lost that had room, and every loss is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from qts.errors import InputError
from qts.market.contracts import Bar, BookUpdate
from qts.market.depth import LazyLevels
from qts.runtime.recording import tick_recorder
from qts.runtime.recording.tick_recorder import TickRecorder
from qts.runtime.recording.wire import Greeting, block_frame, block_of, encode_value
from tests.db.ticks.stores import migrated, quote, shown, trade
from tests.db.ticks.test_tick_store import EVERY_KIND
from tests.servers.fixtures import Database
from tests.servers.proxy import Proxy
from tests.servers.sql import finish

WAIT_S = 20.0


def _migrate(database: Database) -> None:
    finish(migrated(database.url))


def _recorder(url: str, source: str = "csv:abc") -> TickRecorder:
    return TickRecorder(Greeting(url, source, "USDT", 100))


def _count(database: Database) -> int:
    counted: int = database.value("SELECT count(*) FROM qts.tick_data")
    return counted


def _wait_for(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("it did not come about in time")


def test_values_go_through_the_pipe_unchanged() -> None:
    # Given values of every kind
    coded = [encode_value(value) for value in EVERY_KIND]
    # When a block of them is read at the other end
    number, values = block_of(block_frame(7, coded)[4:])
    # Then they are the same
    assert number == 7
    assert [encode_value(value) for value in values] == coded
    assert values[0] == EVERY_KIND[0]


def test_a_session_is_recorded_numbered_within_its_source(database: Database) -> None:
    _migrate(database)
    recorder = _recorder(database.url)
    recorder.start()
    # When 10,000 values come, and a bar, which has no row
    for n in range(1, 10_001):
        recorder.put(trade(f"{n}", f"{n}.5"), n)
    recorder.put(Bar("S", 1, Decimal(1), Decimal(1), Decimal(1), Decimal(1), Decimal(1)), 10_001)
    recorder.close(WAIT_S)
    # Then all are on the server, with their numbers behind that of the recording
    seen = recorder.view()
    assert (seen.state, seen.recorded, seen.waiting, dict(seen.dropped), seen.bars) == ("ended", 10_000, 0, {}, 1)
    assert tuple(database.query("SELECT count(*), min(seq), max(seq) FROM qts.tick_data")[0]) == (
        10_000,
        (1 << 40) + 1,
        (1 << 40) + 10_000,
    )
    # When the same source is recorded a second time, from a later value on
    again = _recorder(database.url)
    again.start()
    for n in range(9_990, 10_003):
        again.put(trade(f"{n}", f"{n}.5"), n)
    again.close(WAIT_S)
    # Then only what is new is added
    assert again.view().recorded == 13
    assert _count(database) == 10_002


def test_a_value_that_cannot_be_stored_is_counted_and_the_rest_recorded(database: Database) -> None:
    _migrate(database)
    recorder = _recorder(database.url)
    recorder.start()
    for n, price in enumerate(("1", "NaN", "0.123456789", "Infinity", "2"), start=1):
        recorder.put(trade(f"{n}", price), n)
    recorder.close(WAIT_S)
    seen = recorder.view()
    assert (seen.recorded, seen.refused) == (2, 3)
    assert seen.why == f"tick_data: S, seq {(1 << 40) + 2}, price NaN: a number is finite"
    assert _count(database) == 2


def test_a_block_that_is_not_full_is_sent_after_a_quarter_of_a_second(database: Database) -> None:
    _migrate(database)
    recorder = _recorder(database.url)
    recorder.start()
    recorder.put(trade("1", "1"), 1)
    _wait_for(lambda: recorder.view().recorded == 1)
    recorder.close(WAIT_S)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.rsplit("/", 1)[0] + "/missing", "database"),
        (lambda url: url, "run qts db migrate on it first"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused_at_the_start(
    database: Database, change: Callable[[str], str], said: str
) -> None:
    recorder = _recorder(change(database.url))
    with pytest.raises(InputError, match=rf"--record: .*{said}"):
        recorder.start()
    recorder.close(WAIT_S)


def test_rights_that_are_taken_away_and_given_back_cost_no_value(database: Database) -> None:
    # Given a recorder whose server takes values
    _migrate(database)
    recorder = _recorder(database.url)
    recorder.start()
    recorder.put(trade("1", "1"), 1)
    _wait_for(lambda: recorder.view().recorded == 1)
    # When the server refuses the next ones for what only a person can put right
    database.execute("ALTER TABLE qts.tick_data RENAME TO elsewhere")
    recorder.put(trade("2", "1"), 2)
    _wait_for(lambda: recorder.view().state == "away")
    assert "elsewhere" not in recorder.view().why
    # And when the process is killed meanwhile, so that another one begins with that server
    os.kill(recorder._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    _wait_for(lambda: recorder.view().restarts == 1)
    # And when it takes them again
    database.execute("ALTER TABLE qts.elsewhere RENAME TO tick_data")
    recorder.put(trade("3", "1"), 3)
    recorder.close(WAIT_S)
    # Then every value is there once
    assert recorder.view().recorded == 3
    assert _count(database) == 3


def test_a_server_that_is_away_costs_the_oldest_and_every_loss_is_counted(
    database: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _migrate(database)
    monkeypatch.setattr(tick_recorder, "MOST_WAITING", 2)
    monkeypatch.setattr(tick_recorder, "MOST_VALUES", 10)
    # Given a server that is away, and room for 2 blocks of 10 besides the 4 that are sent
    proxy.refuse()
    recorder = _recorder(database.by(proxy.port))
    recorder.start()
    assert recorder.view().state == "away"
    for n in range(1, 41):
        recorder.put(trade(f"{n}", "1"), n)
        if n % 10 == 0:
            _wait_for(lambda: not recorder._waiting)
    # When 50 more values come, 30 of A after 20 of B
    for n in range(41, 61):
        recorder.put(trade(f"{n}", "1", symbol="B"), n)
    for n in range(61, 91):
        recorder.put(trade(f"{n}", "1", symbol="A"), n)
    # Then the oldest that wait are dropped
    assert dict(recorder.view().dropped) == {"A": 10, "B": 20}
    # When it is back, Then the others are recorded
    proxy.heal()
    _wait_for(lambda: recorder.view().recorded == 60)
    recorder.close(WAIT_S)
    assert recorder.view().state == "ended"
    assert _count(database) == 60


def test_values_that_come_slowly_while_a_server_is_away_fill_the_blocks_that_wait(
    database: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _migrate(database)
    monkeypatch.setattr(tick_recorder, "FLUSH_S", 0.001)
    monkeypatch.setattr(tick_recorder, "MOST_WAITING", 1)
    # Given a server that is away, and as many blocks on their way as may be
    proxy.refuse()
    recorder = _recorder(database.by(proxy.port))
    recorder.start()
    for n in range(1, tick_recorder.MOST_SENT + 1):
        recorder.put(trade(f"{n}", "1"), n)
        _wait_for(lambda n=n: len(recorder._sent) == n)  # type: ignore[misc]
    # When values come, each long after the one before, so that a block with it might be sent
    pause = threading.Event()
    for n in range(tick_recorder.MOST_SENT + 1, 31):
        recorder.put(trade(f"{n}", "1"), n)
        pause.wait(0.005)
    # Then they are in one block and none is dropped, and all are recorded when it is back
    assert dict(recorder.view().dropped) == {}
    proxy.heal()
    recorder.close(WAIT_S)
    assert _count(database) == 30


def test_the_end_of_a_session_waits_only_so_long_for_a_server(
    database: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _migrate(database)
    monkeypatch.setattr(tick_recorder, "END_S", 0.3)
    proxy.refuse()
    recorder = _recorder(database.by(proxy.port))
    recorder.start()
    for n in range(1, 6):
        recorder.put(trade(f"{n}", "1"), n)
    recorder.close(WAIT_S)
    # Then what did not get there is counted as lost
    assert dict(recorder.view().dropped) == {"S": 5}
    assert recorder.view().waiting == 0


def test_a_recorder_that_is_killed_is_started_again_and_nothing_is_lost_or_doubled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _migrate(database)
    monkeypatch.setattr(tick_recorder, "_RESTART_S", 0.01)
    monkeypatch.setattr(tick_recorder, "MOST_VALUES", 100)
    recorder = _recorder(database.url)
    recorder.start()
    # When the process is killed several times while values come
    for n in range(1, 3_001):
        recorder.put(quote(f"{n}", f"{n}", "9999"), n)
        if n % 1_000 == 0:
            _wait_for(lambda: recorder.view().state == "recording")
            assert recorder._process is not None
            os.kill(recorder._process.pid, signal.SIGKILL)
            _wait_for(lambda n=n: recorder.view().restarts >= n // 1_000)  # type: ignore[misc]
    recorder.close(WAIT_S)
    # Then all values are there, each once
    assert _count(database) == 3_000
    assert recorder.view().restarts >= 3
    assert dict(recorder.view().dropped) == {}


def test_a_recorder_ends_with_a_session_that_is_killed(database: Database, tmp_path: Path) -> None:
    _migrate(database)
    # Given a process with a recorder
    program = textwrap.dedent(f"""
        import sys, threading
        from qts.runtime.recording.tick_recorder import TickRecorder
        from qts.runtime.recording.wire import Greeting
        recorder = TickRecorder(Greeting({database.url!r}, "s", "USDT", 1))
        recorder.start()
        print(recorder._process.pid, flush=True)
        threading.Event().wait()
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as session:
        assert session.stdout is not None
        pid = int(session.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        # When it is killed, Then the recorder ends, too
        session.kill()
        session.wait()
    _wait_for(lambda: not Path(f"/proc/{pid}").exists() or "(zombie)" in Path(f"/proc/{pid}/status").read_text())


def test_levels_that_are_still_text_are_sent_without_being_read() -> None:
    # Given the change of a book as a raw capture gives it
    levels = LazyLevels(b'[["61800.20","1.50"],["61800.1","0.0"]]', {}, {})
    value = BookUpdate("S", 1, levels, (), snapshot=True)
    # When it goes through the pipe
    _, (back,) = block_of(block_frame(1, [encode_value(value)])[4:])
    # Then its numbers have their digits, and it was not read for that
    assert isinstance(back, BookUpdate)
    assert shown(back.bids) == ["(Decimal('61800.20'), Decimal('1.50'))", "(Decimal('61800.1'), Decimal('0.0'))"]
    assert levels._levels is None
