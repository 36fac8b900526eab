"""Sessions on the live feed of KIS, from the command's plan to the stored result, against the double."""

from __future__ import annotations

import asyncio
import gzip
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.db.datadir import DATABASE_NAME
from qts.errors import BrokerUnavailable, InputError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.repetition import repeat_session
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.session.session_view import SessionView, read_view
from qts.runtime.wiring.plans import live_plan, paper_plan, replay_plan
from qts.runtime.wiring.stores import stored_run
from tests.doubles.kis import KisDouble, Settings
from tests.servers.fixtures import Database

WORDS = "I trade real money"
BUYER = """
from qts.kit import Intent, Side, Strategy

class Buyer(Strategy):
    symbols = ("005930",)
    bars = {"1d": 3}
    def on_start(self, ctx):
        self.done = False
    def on_quote(self, ctx, quote):
        if self.done or quote.ask is None or quote.last is None:
            return ()
        self.done = True
        return [Intent(quote.symbol, Side.BUY, 1.0, qty=10, reason="to hold some")]
    def on_order(self, ctx, news):
        if not news.sent:
            self.done = False
"""


@contextmanager
def on_thread(script: Callable[[KisDouble], Coroutine[Any, Any, object]], **given: Any) -> Iterator[KisDouble]:
    """Serve a double on a thread of its own and run ``script`` there until the block ends."""
    kis = KisDouble(settings=Settings(paper_per_s=18), **given)
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with kis:
            playing = asyncio.create_task(script(kis))
            ready.set()
            while not over.is_set():
                await asyncio.sleep(0.005)
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield kis
    finally:
        over.set()
        thread.join(30)


def settings_for(kis: KisDouble, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the settings of a session on ``kis``, and put its keys into the environment."""
    kind = "paper" if kis.is_paper else "live"
    keys = kis.keys
    for name, text in (
        ("APP_KEY", keys.appkey),
        ("APP_SECRET", keys.appsecret),
        ("ACCOUNT", f"{keys.account}-{keys.product}"),
        ("HTS_ID", keys.hts_id),
    ):
        monkeypatch.setenv(f"QTS_KIS_{kind.upper()}_{name}", text)
    return {
        "broker.kis.account": kind,
        "state.enabled": "false",
        "runtime.equity_start": "50000000",
        f"broker.kis.{kind}_rest": kis.rest_url,
        f"broker.kis.{kind}_websocket": kis.ws_url,
        "broker.kis.paper_requests_per_s": "15",
        "broker.kis.stream.command_ms": "1",
    }


def real_money(settings: dict[str, str], directory: Path) -> Path:
    """Move what real money needs out of ``settings`` into a file, and return the directory of it."""
    directory.mkdir()
    account = settings.pop("broker.kis.account")
    (directory / "broker.yaml").write_text(f"kis:\n  account: {account}\n  confirmation: {WORDS}\n")
    return directory


async def quotes(kis: KisDouble) -> None:
    """Let prices come every 20 ms."""
    while True:
        kis.market.trade("005930", 70_000, 5)
        kis.market.quote("005930", 69_900, 70_000)
        await asyncio.sleep(0.02)


def test_simulated_fills_on_live_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """given prices of KIS, when a strategy buys 10 shares, then the simulated exchange fills them at the ask"""
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "run"
    stop = StopFlag()
    with on_thread(quotes, seed=3) as kis:
        settings = settings_for(kis, monkeypatch)
        options = Options(strategies=(f"{strategy}:Buyer",), data_dir=directory, overrides=settings)

        def stop_when_filled(share: float | None, moment_ns: int) -> None:
            view = read_view(directory)
            if view is not None and view.counts.fills:
                stop.request()

        result = run_session(
            paper_plan(options, "kis", None), progress=stop_when_filled, stop=stop, machine=kis.clock
        )

    assert result.values.fills == 1
    assert result.values.positions == {"005930": "10"}
    view = read_view(directory)
    assert view is not None
    assert view.mode == "paper"
    assert result.values.source.startswith("live broker=sim ")


@pytest.mark.parametrize("paper", [True, False])
def test_orders_at_the_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paper: bool) -> None:
    """given an account at KIS, when a strategy buys 10 shares, then KIS fills them and its notice is booked

    And when the session is resumed, then it holds them and buys no others.
    """
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "run"
    with on_thread(quotes, seed=3, paper=paper) as kis:
        settings = settings_for(kis, monkeypatch)
        files = real_money(settings, tmp_path / "config")

        def session(*, resume: bool, until: Callable[[SessionView], bool]) -> SessionResult:
            stop = StopFlag()

            def stop_when_done(share: float | None, moment_ns: int) -> None:
                view = read_view(directory)
                if view is not None and view.pid == os.getpid() and until(view):
                    stop.request()

            options = Options(
                strategies=(f"{strategy}:Buyer",),
                data_dir=directory,
                config_dir=files,
                overrides=settings,
                resume=resume,
            )
            words = "" if paper else WORDS
            plan = live_plan(options, "kis", paper_account=paper, confirmation=words)
            return run_session(plan, progress=stop_when_done, stop=stop, machine=kis.clock)

        result = session(resume=False, until=lambda view: view.counts.fills > 0)
        rows = read_view(directory).counts.rows  # type: ignore[union-attr]
        resumed = session(resume=True, until=lambda view: view.counts.rows > rows + 10)
        bought = [order for order in kis.books.today() if order.side == "02"]

    assert [(order.qty, order.filled) for order in bought] == [(10, 10)]
    assert result.values.positions == resumed.values.positions == {"005930": "10"}
    assert resumed.values.run_id == result.values.run_id
    assert resumed.values.safety_state == "NORMAL"
    view = read_view(directory)
    assert view is not None
    assert view.mode == ("paper account" if paper else "live")
    assert result.values.mode == view.mode
    log = (directory / "session.log.jsonl").read_text()
    assert ("PAPER ACCOUNT" if paper else "LIVE: real money") in log
    for secret in (kis.keys.appkey, kis.keys.appsecret, kis.keys.account, kis.keys.hts_id):
        assert secret not in log
        assert secret not in result.to_json()


def test_a_fill_that_no_notice_tells_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """given notices of fills that are dropped and a line that is lost, then the books of KIS show the fill"""
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "run"
    stop = StopFlag()

    async def drops(kis: KisDouble) -> None:
        kis.fault("notice_dropped", kind="fill", times=None)
        prices = asyncio.create_task(quotes(kis))
        try:
            while not kis.books.today():
                await asyncio.sleep(0.01)
            kis.sockets.sessions[0].cut()
            await prices
        finally:
            prices.cancel()

    with on_thread(drops, seed=3) as kis:
        settings = settings_for(kis, monkeypatch)
        files = real_money(settings, tmp_path / "config")
        options = Options(
            strategies=(f"{strategy}:Buyer",), data_dir=directory, config_dir=files, overrides=settings
        )

        def stop_when_filled(share: float | None, moment_ns: int) -> None:
            view = read_view(directory)
            if view is not None and view.counts.fills and view.feed is not None and view.feed.connections > 1:
                stop.request()

        plan = live_plan(options, "kis", paper_account=False, confirmation=WORDS)
        result = run_session(plan, progress=stop_when_filled, stop=stop, machine=kis.clock)

    assert result.values.positions == {"005930": "10"}
    # safety changes once for a lost line: by the broker's report or by the feed's gap, whichever is handled first
    assert {"AN010", "AN050"} & {row["code"] for row in result.values.safety_changes}
    everything = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    )
    for secret in (kis.keys.appkey, kis.keys.appsecret, kis.keys.account, kis.keys.hts_id):
        assert secret.encode() not in everything


def test_what_was_sent_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """given a session on KIS, when its record is replayed twice, then both replays buy the same, byte for byte"""
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER)  # which enters once it has three days, from before the session
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "run"
    stop = StopFlag()
    with on_thread(quotes, seed=3) as kis:
        settings = settings_for(kis, monkeypatch)
        options = Options(strategies=(f"{strategy}:Buyer",), data_dir=directory, overrides=settings)

        def stop_when_filled(share: float | None, moment_ns: int) -> None:
            view = read_view(directory)
            if view is not None and view.counts.fills:
                stop.request()

        run_session(paper_plan(options, "kis", None), progress=stop_when_filled, stop=stop, machine=kis.clock)

    def replayed(name: str) -> SessionResult:
        options = Options(
            strategies=(f"{strategy}:Buyer",), data_dir=tmp_path / name, overrides={"state.enabled": "false"}
        )
        plan = replay_plan(options, [directory], None)
        return run_session(plan, progress=lambda share, moment_ns: None, stop=StopFlag())

    one, other = replayed("one"), replayed("other")

    assert one.values.positions == {"005930": "10"}
    assert one.values.rows > 10
    with (
        stored_run(tmp_path / "one" / DATABASE_NAME) as first,
        stored_run(tmp_path / "other" / DATABASE_NAME) as second,
    ):
        assert list(first.ledger()) == list(second.ledger())
        assert list(first.orders()) == list(second.orders())
        assert len(first.orders()) == 1
    assert one.values.run_id == other.values.run_id


def test_a_session_with_simulated_fills_is_repeated_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """given a session that has kept its steps, then repeating them decides, orders and books the same"""
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, stop = tmp_path / "run", StopFlag()
    with on_thread(quotes, seed=3) as kis:
        settings = settings_for(kis, monkeypatch)
        options = Options(strategies=(f"{strategy}:Buyer",), data_dir=first, overrides=settings)

        def stop_when_filled(share: float | None, moment_ns: int) -> None:
            view = read_view(first)
            if view is not None and view.counts.fills:
                stop.request()

        run_session(paper_plan(options, "kis", None), progress=stop_when_filled, stop=stop, machine=kis.clock)
    again = msgspec.structs.replace(options, data_dir=tmp_path / "again")

    repeated = repeat_session(again, first, progress=lambda *_: None, stop=StopFlag())

    assert (repeated.difference, repeated.until) == (None, "")
    assert (repeated.rows["ledger"], repeated.rows["orders"]) == (1, 1)
    changed = msgspec.structs.replace(again, seed=8, data_dir=tmp_path / "third")
    with pytest.raises(InputError, match="with its strategies"):
        repeat_session(changed, first, progress=lambda *_: None, stop=StopFlag())


@pytest.mark.parametrize("is_there", [False, True])
def test_wrong_keys_leave_nothing_and_the_same_command_begins_with_the_right_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """given a directory with a file of its user, or none, then that is all that is there after a refusal"""
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER.replace('    bars = {"1d": 3}\n', ""))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "runs" / "one"
    if is_there:
        directory.mkdir(parents=True)
        (directory / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with on_thread(quotes, seed=3, paper=True) as kis:
        settings = settings_for(kis, monkeypatch)
        options = Options(strategies=(f"{strategy}:Buyer",), data_dir=directory, overrides=settings)

        def run(stop: StopFlag) -> SessionResult:
            plan = live_plan(options, "kis", paper_account=True, confirmation="")
            return run_session(plan, progress=lambda share, ns: stop.request(), stop=stop, machine=kis.clock)

        monkeypatch.setenv("QTS_KIS_PAPER_APP_SECRET", "x" * 180)
        with pytest.raises(BrokerUnavailable, match="EGW00105"):
            run(StopFlag())
        left = [one for one in sorted(tmp_path.rglob("*")) if tmp_path / "cache" not in (one, *one.parents)]
        assert left == before
        monkeypatch.setenv("QTS_KIS_PAPER_APP_SECRET", kis.keys.appsecret)
        run(StopFlag())
    assert (directory / DATABASE_NAME).is_file()


def test_the_values_of_a_session_are_recorded_on_a_server_once_each(
    book_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """given a session that is stopped and resumed, then each of both is a recording of what it has seen"""
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER.replace('    bars = {"1d": 3}\n', ""))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    taken = 0
    with on_thread(quotes, seed=3) as kis:
        settings = settings_for(kis, monkeypatch)
        for resume in (False, True):
            stop, directory = StopFlag(), tmp_path / "run"
            options = Options(
                strategies=(f"{strategy}:Buyer",), data_dir=directory, overrides=settings, resume=resume,
                record=True, db=book_database.url,
            )  # fmt: skip
            least = taken + 20

            def stop_when_seen(share: float | None, moment_ns: int) -> None:
                view = read_view(directory)  # noqa: B023 - the same in both
                if view is not None and view.counts.rows >= least:  # noqa: B023 - called within the turn
                    stop.request()  # noqa: B023 - called within the turn

            run_session(paper_plan(options, "kis", None), progress=stop_when_seen, stop=stop, machine=kis.clock)
            view = read_view(directory)
            assert view is not None
            taken = view.counts.rows
    assert book_database.query("SELECT DISTINCT symbol FROM qts.tick_data") == [("005930",)]
    stored = book_database.query("SELECT count(*) FROM qts.tick_data")[0][0]
    recordings = book_database.query("SELECT count(*) FROM qts.tick_recordings")[0][0]
    assert (stored, recordings) == (taken, 2)
