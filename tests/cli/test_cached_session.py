"""``--cache``: what a session shows is on a Valkey server, for commands on any machine, and expires with it."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from qts.cli import session
from qts.cli.main import main
from qts.db.reading import StoreReader
from qts.runtime.session.session import run_session
from qts.runtime.session.session_view import read_view
from tests.cli.command_line import own_directory, run_qts
from tests.cli.test_followed_session import TURNS, steady
from tests.effort import EVERY_KILL
from tests.servers.proxy import Proxy
from tests.servers.valkey import Valkey
from tests.sim.recordings import FIRST_DAY, row, walk, write

__all__ = ["own_directory"]
ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "cache.md"
KILLS = 200 if EVERY_KILL else 5
WIPES = 100


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """A day of 300 quotes."""
    return write(tmp_path / "tape.csv", walk(300, days=1))


@pytest.fixture
def turns(tmp_path: Path) -> str:
    """A strategy that buys and sells by turns."""
    path = tmp_path / "turns.py"
    path.write_text(TURNS)
    return f"{path}:Turns"


class Live:
    """A paper session in a process of its own that trades for minutes, and writes to a cache."""

    def __init__(self, tmp_path: Path, url: str, *more: str) -> None:
        strategy = tmp_path / "turns.py"
        strategy.write_text(TURNS)
        opening = FIRST_DAY.replace(hour=9, minute=0, second=1)
        lines, bid = [], 150_000
        for number in range(20_000):
            bid += 100 if number % 9 else -700
            lines.append(
                row(opening.replace(minute=number // 60 % 60, hour=9 + number // 3600, second=number % 60), bid)
            )
        tape = write(tmp_path / "long.csv", lines)
        self.directory = tmp_path / "live"
        self._log = (tmp_path / "live.err").open("wb")
        command = ("run", "--feed", str(tape), "--speed", "40", "--strategy", f"{strategy}:Turns", "--cache", url)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qts.cli.main", *command, "--data-dir", str(self.directory), *more],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            cwd=tmp_path,
        )

    def until(self, what: Any) -> None:
        """Wait until ``what`` is so, while the session lives."""
        while not what():
            assert self.process.poll() is None, (self.directory.parent / "live.err").read_text()
            time.sleep(0.05)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self._log.close()


@pytest.fixture
def live(tmp_path: Path, valkey: Valkey) -> Iterator[Live]:
    session = Live(tmp_path, valkey.url())
    yield session
    session.end(signal.SIGKILL)


def test_the_demo_with_a_cache_has_the_results_that_it_has_without(
    valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    code, alone, _ = run_qts(capsys, "demo", "--json", "--data-dir", "alone")
    assert code == 0

    # When it runs with one that loses everything at a hundred random moments
    draw, wiped = random.Random(7), 0

    def wipe(share: float | None, moment_ns: int) -> None:
        nonlocal wiped
        if wiped < WIPES and share is not None and share < 0.9 and draw.random() < 0.2:
            wiped += 1
            valkey.ask("FLUSHALL")

    code, with_it = _run_with_progress(wipe, "demo", "--json", "--data-dir", "cached", "--cache", valkey.url())

    # Then its results are the same
    assert (code, wiped) == (0, WIPES)
    by_itself = json.loads(alone)
    assert with_it["fills"] > 200
    assert steady(with_it) == steady(by_itself)
    assert [note for note in with_it["notes"] if not note.startswith("cache: ")] == by_itself["notes"]
    # And what is there at the end is what is in the book
    assert valkey.ask("HGET", "qts:main:view", "json") == Path("cached/view.json").read_text()
    with StoreReader(Path("cached/qts.sqlite")) as store:
        orders, fills = store.orders(), store.ledger()
    last = orders[-1]
    order = valkey.ask("HGETALL", f"qts:main:ord:{{{last.client_order_id}}}")
    assert (order["status"], Decimal(order["filled_qty"])) == (last.state.value, last.filled)
    day = fills[-1].trade_date
    assert valkey.ask("SCARD", f"qts:main:trades:{{{day}}}") == sum(row.trade_date == day for row in fills)
    assert valkey.ask("HGET", "qts:main:risk", "daily_pnl") is not None
    # And everything ends by itself
    assert all(valkey.ask("PTTL", key) != -1 for key in valkey.ask("KEYS", "*"))
    # And orders of unknown fate that a view shows are read with the orders
    unknown = {"order_id": "o-9", "strategy": "one", "symbol": "005930", "side": "BUY", "qty": "10", "filled": "0"}
    unknown |= {"limit": "150000", "since_ns": 1, "asked": 3, "next_s": 0.8, "cash": "1500225", "shares": "0"}
    unknown |= {"currency": "KRW"}
    view = json.loads(valkey.ask("HGET", "qts:main:view", "json")) | {"unknown_orders": [unknown]}
    valkey.ask("HSET", "qts:main:view", "json", json.dumps(view))
    out = run_qts(capsys, "orders", "--json", "--cache", valkey.url())[1]
    assert json.loads(out)["unknown_orders"] == [unknown]


def test_commands_on_another_machine_show_a_session_that_runs(
    live: Live, valkey: Valkey, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a machine that has the cache alone, and a session that holds shares
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cache = ("--cache", valkey.url())
    live.until(lambda: valkey.ask("EXISTS", "qts:main:view"))
    live.until(lambda: (valkey.ask("HGET", "qts:main:pos:{005930}", "qty") or "0") != "0")

    # Then its status is the screen that the machine itself shows, and says where it comes from
    code, out, err = run_qts(capsys, "status", *cache)
    assert (code, err) == (0, "")
    first, *_ = out.splitlines()
    assert first.startswith("qts run, run ")
    assert " running · from the cache of Valkey " in first
    assert " s old" in first
    assert "\naccount    main\n" in out
    assert "\nPools\n" in out
    assert "\nQueues, accept to handler start\n" in out
    code, out, _ = run_qts(capsys, "status", *cache, "--json")
    told = json.loads(out)
    assert told["run"]["pid"] == live.process.pid
    assert told["cache"]["account"] == "main"
    assert told["view"]["cache"]["state"] == "WRITING"
    code, out, _ = run_qts(capsys, "status", *cache, "--csv")
    assert next(csv.DictReader(io.StringIO(out)))["life"] == "running"

    # And positions and orders are those of the book
    def shows_a_position() -> bool:
        code, out, _ = run_qts(capsys, "positions", *cache)
        return code == 0 and "average cost" in out

    live.until(shows_a_position)
    live.until(lambda: len(valkey.ask("KEYS", "qts:main:ord:*")) >= 3)
    code, out, err = run_qts(capsys, "orders", *cache, "--csv", "--last", "3", "--account", "main")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [one["strategy"] for one in rows] == ["turns"] * 3
    assert err.startswith("account main · from the cache of Valkey ")
    assert live.end() == 130
    with StoreReader(live.directory / "qts.sqlite") as store:
        booked = {one.client_order_id: one for one in store.orders()}
    assert all(Decimal(one["filled"]) <= booked[one["order_id"]].filled for one in rows)


def test_watch_shows_it_again_until_ctrl_c(
    live: Live, valkey: Valkey, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    live.until(lambda: valkey.ask("EXISTS", "qts:main:view"))
    with subprocess.Popen(
        [sys.executable, "-m", "qts.cli.main", "status", "--cache", valkey.url(), "--watch", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as watching:
        assert watching.stdout is not None
        times = [json.loads(watching.stdout.readline())["view"]["written_ns"] for _ in range(3)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 0
    assert times == sorted(set(times))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_session_that_ends_leaves_nothing_that_does_not_expire(
    number: signal.Signals, live: Live, valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    live.until(lambda: len(valkey.ask("KEYS", "*")) > 5)
    live.end(number)

    assert all(valkey.ask("PTTL", key) != -1 for key in valkey.ask("KEYS", "*"))
    # And once its view is gone no one takes it for a session
    valkey.ask("DEL", "qts:main:view")
    code, _, err = run_qts(capsys, "positions", "--cache", valkey.url(), "--account", "main")
    assert code == 2
    assert err.count("\n") == 1
    assert "the cache has no session of account main under the prefix 'qts'" in err


def test_a_view_that_is_too_old_or_of_another_version_is_not_shown(
    valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a view from the day on which the clock of that machine thinks it is
    an_hour_ago = time.time_ns() - 3_600_000_000_000
    valkey.ask("HSET", "qts:main:view", "at_ns", an_hour_ago, "json", "{}")
    code, _, err = run_qts(capsys, "status", "--cache", valkey.url())
    assert code == 3
    assert "the cache has a view of account main that is 3,600," in err
    assert "it may be 5,100 ms old at most" in err

    valkey.ask("HSET", "qts:main:view", "at_ns", time.time_ns(), "json", "{}")
    code, _, err = run_qts(capsys, "status", "--cache", valkey.url())
    assert code == 2
    assert "is that of another version of QTS" in err

    valkey.ask("HSET", "qts:main:view", "at_ns", "yesterday")
    code, _, err = run_qts(capsys, "status", "--cache", valkey.url())
    assert code == 2
    assert "is none of QTS" in err


def test_a_holding_of_which_the_cache_has_nothing_now_is_not_known_and_not_none(
    valkey: Valkey, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a session that has ended with two shares, of which only its last view is left
    strategy = tmp_path / "once.py"
    strategy.write_text(TURNS.replace("self.seen % 10 == 0", "self.seen == 10"))
    given = ("replay", str(tape), "--strategy", f"{strategy}:Turns", "--data-dir", "run")
    assert run_qts(capsys, *given)[0] == 0
    view = Path("run/view.json").read_text()
    (held,) = json.loads(view)["positions"]
    assert (held["symbol"], held["qty"]) == ("005930", "2")

    def told(*form: str) -> tuple[int, str, str]:
        valkey.ask("HSET", "qts:main:view", "at_ns", time.time_ns(), "json", view)
        return run_qts(capsys, "positions", "--cache", valkey.url(), *form)

    # Then no form of the list is an empty one that looks like the truth
    code, out, _ = told()
    assert (code, out.count("\n")) == (3, 1)
    assert out.endswith(" · not known now: 005930\n")
    code, out, _ = told("--json")
    assert (code, json.loads(out)["cache"]["unknown"]) == (3, ["005930"])
    code, _, err = told("--csv")
    assert code == 3
    assert "not known now: 005930" in err

    # Nor is it where the value is from the future
    valkey.ask("HSET", "qts:main:pos:{005930}", "at_ns", 1 << 62, "qty", 2, "avg_price", 100, "updated_at", 1)
    code, _, err = told("--csv")
    assert code == 3
    assert "not known now: 005930" in err


def test_several_accounts_are_named(valkey: Valkey, capsys: pytest.CaptureFixture[str]) -> None:
    for account in ("main", "second"):
        valkey.ask("HSET", f"qts:{account}:view", "at_ns", time.time_ns(), "json", "{}")
    code, _, err = run_qts(capsys, "orders", "--cache", valkey.url())
    assert code == 2
    assert "the cache has sessions of 2 accounts: main, second; name one by --account" in err


@pytest.mark.parametrize("command", ["demo", "replay", "run", "status", "positions", "orders"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://user@127.0.0.1/qts", "which is that of a database, not of a cache"),
        ("redis://:secret@127.0.0.1:6379/0", "QTS_CACHE_PASSWORD"),
        ("127.0.0.1:6379", "redis://"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_and_exit_code_2(
    command: str, url: str, said: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--feed", str(tape)) if command == "run" else (str(tape),) if command == "replay" else ()
    code, out, err = run_qts(capsys, command, *more, "--cache", url)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "secret" not in err
    assert not Path("qts-data").exists()


def test_a_wrong_password_is_refused_before_anything_is_written(
    own_valkey: Valkey, tape: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own_valkey.ask("CONFIG", "SET", "requirepass", "right")
    monkeypatch.setenv("QTS_CACHE_PASSWORD", "wrong-one")
    for command in (("replay", str(tape)), ("status",), ("orders",)):
        code, out, err = run_qts(capsys, *command, "--cache", own_valkey.url())
        assert (code, out) == (2, "")
        assert "password" in err
        assert "wrong-one" not in err
    assert not Path("qts-data").exists()


def test_a_command_for_a_cache_that_does_not_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "positions"):
        code, out, err = run_qts(capsys, command, "--cache", "redis://127.0.0.1:1/0")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "127.0.0.1:1" in err
        assert "see that the server runs" in err


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--cache", "redis://127.0.0.1:1/0", "--data-dir", "run"),
        ("status", "--account", "main"),
        ("trades", "--cache", "redis://127.0.0.1:1/0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_qts(capsys, *words)
    assert code == 2
    assert err


def test_a_server_that_is_killed_again_and_again_changes_no_result(
    own_valkey: Valkey,
    tape: Path,
    turns: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a replay by itself, and a cache that is tried again at once
    command = ("replay", str(tape), "--strategy", turns, "--json")
    code, alone, _ = run_qts(capsys, *command, "--data-dir", "alone")
    assert code == 0
    eager = ("--set", "cache.breaker_pause_s=0.01", "--set", "cache.breaker_failures=2")
    draw, killed, left, number = random.Random(7), 0, 0, 0

    def kill(share: float | None, moment_ns: int) -> None:
        nonlocal killed, left
        if left and draw.random() < 0.7:
            killed, left = killed + 1, left - 1
            own_valkey.kill()
            own_valkey.start()

    # When the server is killed while sessions run
    while killed < KILLS:
        number, left = number + 1, min(3, KILLS - killed)
        given = (*command, *eager, "--cache", own_valkey.url(), "--data-dir", f"{number}")
        code, told = _run_with_progress(kill, *given)
        assert code == 0

        # Then each has the same result, and the server has nothing that is not in the book
        assert steady(told) == steady(json.loads(alone))
        with StoreReader(Path(f"{number}/qts.sqlite")) as store:
            booked = {one.client_order_id: one for one in store.orders()}
            days = [row.trade_date for row in store.ledger()]
        for key in own_valkey.ask("KEYS", "*:ord:*"):
            order = booked[key.split("{")[1].rstrip("}")]
            assert Decimal(own_valkey.ask("HGET", key, "filled_qty")) <= order.filled
        for key in own_valkey.ask("KEYS", "*:trades:*"):
            assert own_valkey.ask("SCARD", key) <= days.count(key.split("{")[1].rstrip("}"))


def _run_with_progress(progress: Any, *argv: str) -> tuple[int, Any]:
    """Run a command of a session with a receiver of its progress; return exit code and result."""
    told = io.StringIO()

    def watched(plan: Any, **given: Any) -> Any:
        return run_session(plan, **(given | {"progress": progress}))

    with mock.patch.object(session, "run_session", watched), mock.patch.object(sys, "stdout", told):
        code = main(list(argv))
    return code, json.loads(told.getvalue())


@pytest.mark.parametrize("fault", ["silent", "cut", "refused", "slow"])
def test_a_connection_that_fails_in_mid_run_changes_no_result(
    fault: str, valkey: Valkey, tape: Path, turns: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("replay", str(tape), "--strategy", turns, "--json")
    code, alone, _ = run_qts(capsys, *command, "--data-dir", "alone")
    assert code == 0
    with Proxy(valkey.port) as proxy:
        begun = False

        def fail(share: float | None, moment_ns: int) -> None:
            nonlocal begun
            if not begun:
                begun = True
                if fault == "silent":
                    proxy.silence()
                elif fault == "cut":
                    proxy.cut()
                elif fault == "refused":
                    proxy.refuse()
                else:
                    proxy.delay(0.5, "both")

        url = valkey.url(port=proxy.port)
        code, told = _run_with_progress(fail, *command, "--cache", url, "--data-dir", "cached")

    assert code == 0
    assert begun
    assert steady(told) == steady(json.loads(alone))


# The guide, its compose file and its program


def test_the_users_of_the_guide_may_what_it_says(
    own_valkey: Valkey, tape: Path, turns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = re.findall(r"'(user [^']*)'", GUIDE.read_text("utf-8"))
    assert [line.split()[1] for line in lines] == ["default", "qts", "page"]
    for line in lines[1:]:
        own_valkey.ask("ACL", "SETUSER", *line.split()[1:])
    writer, reader = own_valkey.url(user="qts"), own_valkey.url(user="page")

    # Given a session that writes as the one
    monkeypatch.setenv("QTS_CACHE_PASSWORD", "a-long-password")
    code, _, err = run_qts(capsys, "replay", str(tape), "--strategy", turns, "--cache", writer, "--data-dir", "run")
    assert code == 0, err
    view = read_view(Path("run"))
    assert view is not None
    assert view.cache is not None
    assert (view.cache.state, view.cache.failures) == ("WRITING", 0)

    # Then the other one reads, and does not write
    monkeypatch.setenv("QTS_CACHE_PASSWORD", "another-one")
    for command in ("status", "positions", "orders"):
        code, out, err = run_qts(capsys, command, "--cache", reader)
        assert code == 0, err
        assert "Valkey" in out
    code, _, err = run_qts(capsys, "replay", str(tape), "--strategy", turns, "--cache", reader, "--data-dir", "no")
    assert code == 2
    assert "let the ACL of the server give this user its keys" in err
    assert not Path("no").exists()


def test_the_compose_file_opens_the_server_to_this_machine_alone_and_holds_no_password() -> None:
    path = ROOT / "examples" / "cache" / "compose.yaml"
    (server,) = yaml.safe_load(path.read_text("utf-8"))["services"].values()
    assert [port.split(":")[0] for port in server["ports"]] == ["127.0.0.1"]
    assert "--aclfile" in server["command"]
    assert "pass" not in server["command"]
    assert "examples/cache/compose.yaml" in GUIDE.read_text("utf-8")


def test_the_program_of_the_guide_shows_risk_positions_and_prices(
    valkey: Valkey, tape: Path, turns: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("replay", str(tape), "--strategy", turns, "--cache", valkey.url(), "--data-dir", "run")
    assert run_qts(capsys, *command)[0] == 0
    known = {name: text for name, text in os.environ.items() if not name.startswith("QTS_")}
    path = os.pathsep.join(filter(None, sys.path))

    def said(**more: str) -> str:
        program = str(ROOT / "examples" / "read_cache.py")
        return subprocess.check_output(
            [sys.executable, program], text=True, env=known | {"PYTHONPATH": path} | more
        )

    assert "QTS_CACHE_URL=redis://127.0.0.1:6379/0 python examples/read_cache.py 005930" in said()
    first, second = said(QTS_CACHE_URL=valkey.url()).splitlines()
    assert re.fullmatch(r"result of the day -?[\d,.]+, \d+ fills, \d+ ms old", first)
    assert second.startswith("005930: holds ")
    # And of a position that is not there it does not say that nothing is held
    valkey.ask("DEL", "qts:main:pos:{005930}")
    valkey.ask("HSET", "qts:main:risk", "at_ns", time.time_ns(), "daily_pnl", 0, "trade_count", 0)
    assert "005930: holds what the cache does not know now, last " in said(QTS_CACHE_URL=valkey.url())
    assert "cannot connect" in said(QTS_CACHE_URL="redis://127.0.0.1:1/0")
