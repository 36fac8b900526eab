"""Sessions that are made known in a cache: what it has of them, and that they are the same without it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.cache.config import CacheConfig
from qts.cache.contracts import (
    CacheWrite,
    Kind,
    LevelsWrite,
    OrderValue,
    PositionValue,
    RiskValue,
    StrategyValue,
    ViewValue,
)
from qts.cache.encoding import V, value_of
from qts.cache.keys import Keys, parse_key
from qts.capital.contracts import Pool
from qts.cli.market_time import MarketTime
from qts.clock import SystemClock, from_ns
from qts.db.reading import StoreReader
from qts.db.sqlite import SqliteStore
from qts.errors import InputError, Unavailable
from qts.execution.working import FINAL_STATES
from qts.market.contracts import Bar, Quote
from qts.market.demo_feed import DemoFeed
from qts.runtime.caching import other_writers, publisher
from qts.runtime.caching.cache_view import BREAKER_STATES, CacheView
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.persistence.session_log import FILE_NAME
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.session.session_view import SessionView, read_view
from qts.runtime.wiring.plans import paper_plan
from qts.strategy.contracts import Context, FillView, Intent, Side
from tests.effort import EVERY_KILL
from tests.runtime.caching.faulty_cache import FaultyCache
from tests.runtime.paper import answers, files_in, paper
from tests.runtime.rig import command
from tests.sim import recordings
from tests.sim.digest_sessions import SESSIONS
from tests.sim.digests import differences, kept_digests, left_by
from tests.sim.sessions import comparable, spike_plan

PATIENT = {"runtime.freshness.generated_ms": "600000", "risk.approval_ttl_ms": "60000"}
KEYS = Keys("qts", "main")


def cached(plan: SessionPlan, cache: FaultyCache) -> SessionPlan:
    return msgspec.structs.replace(plan, open_cache=lambda: cache)


def short(plan: SessionPlan) -> SessionPlan:
    """Return the plan with two days, the second of them quote by quote."""
    day = date(2018, 1, 31)
    days = {"start": date(2018, 1, 30), "end": day, "window_start": day, "window_end": day}
    return msgspec.structs.replace(plan, open_feed=lambda: DemoFeed(7, events_per_day=300, **days))


def on_paper(tmp_path: Path, cache: FaultyCache | None, **settings: str) -> SessionPlan:
    """A session in real time, much faster."""
    plan = paper(tmp_path / "run", files_in(tmp_path / "config"), **settings, **PATIENT)
    options = msgspec.structs.replace(plan.options, speed=2e4)
    plan = short(msgspec.structs.replace(plan, options=options))
    return plan if cache is None else cached(plan, cache)


class Turns:
    """A strategy that buys and sells by turns, at every tenth quote."""

    name = "turns"
    pool = Pool.SWING
    symbols = ()

    def __init__(self) -> None:
        self.seen = 0

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.seen += 1
        if self.seen % 10:
            return ()
        side = Side.BUY if self.seen % 20 else Side.SELL
        return (Intent(quote.symbol, side, 0.95, qty=1 + self.seen % 7, reason="again"),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Remember nothing."""


def trading_on_paper(tmp_path: Path, cache: FaultyCache) -> SessionPlan:
    """Forty minutes in two seconds, in which a strategy buys and sells by turns."""
    opening, rows, bid = recordings.FIRST_DAY.replace(hour=9), [], 150_000
    for number in range(240):
        bid += 100 if number % 7 else -300
        rows.append(recordings.row(opening + timedelta(seconds=10 * (number + 1)), bid))
    tape = recordings.write(tmp_path / "tape.csv", rows)
    options = Options(data_dir=tmp_path / "run", speed=1_200.0, overrides={"risk.approval_ttl_ms": "60000"})
    plan = paper_plan(options, str(tape), None)
    return cached(msgspec.structs.replace(plan, default_strategies=lambda: (Turns(),)), cache)


def run(plan: SessionPlan) -> SessionResult:
    return run_session(plan, progress=lambda share, moment_ns: None, stop=StopFlag())


def found(cache: FaultyCache, of: type[V], kind: Kind) -> dict[str, V]:
    """The values of a kind that the cache has, by name."""

    async def read() -> dict[str, V]:
        values = {}
        async for text in cache.keys("qts:"):
            key, fields = parse_key("qts", text), await cache.get(text)
            value = None if fields is None else value_of(of, fields)
            if key is not None and key.kind is kind and value is not None:
                values[key.name] = value
        return values

    return asyncio.run(read())


def last_view(directory: Path) -> SessionView:
    view = read_view(directory)
    assert view is not None
    return view


def cache_of(directory: Path) -> CacheView:
    """What the last view of a session says of its cache."""
    view = last_view(directory).cache
    assert view is not None
    return view


def digest(result: SessionResult) -> Any:
    """What two equal sessions have in common; what was not cached is a note of one alone."""
    values = msgspec.json.decode(result.to_json())
    values["notes"] = [one for one in values["notes"] if not one.startswith("cache: ")]
    values["note_values"] = [one for one in values["note_values"] if one["code"] != "values-not-cached"]
    return comparable(values)


def test_the_cache_has_what_the_book_has_at_the_end(tmp_path: Path) -> None:
    cache = FaultyCache()
    result = run(cached(spike_plan(tmp_path / "run"), cache))

    with StoreReader(tmp_path / "run/qts.sqlite") as store:
        orders, rows, fills = store.orders(), store.positions(), store.ledger()
    # Every order of the last minute is there, as the book has it
    values = found(cache, OrderValue, Kind.ORDER)
    assert {one.client_order_id: (one.state.value, one.filled, one.strategy) for one in orders} == {
        name: (one.status, one.filled_qty, one.strategy) for name, one in values.items()
    }
    # With the average of its fills
    amounts: dict[str, list[Decimal]] = {}
    for row in fills:
        qty, amount = amounts.setdefault(row.order_id, [Decimal(0), Decimal(0)])
        amounts[row.order_id] = [qty + row.qty, amount + row.amount]
    assert {name: one.avg_fill_price for name, one in values.items() if one.filled_qty} == {
        name: amount / qty for name, (qty, amount) in amounts.items()
    }
    # And positions, risk, parameters and the last view
    held = {name: one.qty for name, one in found(cache, PositionValue, Kind.POSITION).items()}
    assert held == {"005930": sum((row.qty for row in rows), Decimal(0))}
    (risk,) = found(cache, RiskValue, Kind.RISK).values()
    shown = last_view(tmp_path / "run")
    today = f"{MarketTime(shown.time_zone).local(from_ns(shown.clock_ns)):%Y-%m-%d}"
    assert risk.trade_count == sum(row.trade_date == today for row in fills)
    assert risk.exposure_used == sum((one.value or Decimal(0) for one in shown.positions), Decimal(0))
    strategies = found(cache, StrategyValue, Kind.STRATEGY)
    assert {one.name for one in last_view(tmp_path / "run").strategies} == strategies.keys()
    assert strategies["restless-0"].parameters["class"] == "Restless"
    (view,) = found(cache, ViewValue, Kind.VIEW).values()
    assert view.json == (tmp_path / "run/view.json").read_text()
    # And each fill was counted once, on its day
    days = {row.trade_date for row in fills}
    counted = {day: asyncio.run(cache.count(KEYS.trades_of(day), "one more", 1_000)) - 1 for day in days}
    assert counted == {day: sum(row.trade_date == day for row in fills) for day in days}
    assert result.finished


def test_a_replay_has_the_same_result_without_a_cache_with_it_and_with_one_that_loses_everything(
    tmp_path: Path,
) -> None:
    alone = run(spike_plan(tmp_path / "alone"))
    cache, lossy = FaultyCache(), FaultyCache()
    lossy.wipe_now_and_then(seed=1, share=0.5)

    with_it = run(cached(spike_plan(tmp_path / "with"), cache))
    with_lossy = run(cached(spike_plan(tmp_path / "lossy"), lossy))

    assert cache.puts > 5
    assert lossy.wiped > 3
    assert digest(alone) == digest(with_it) == digest(with_lossy)
    log = (tmp_path / "alone" / FILE_NAME).read_bytes()
    assert log == (tmp_path / "with" / FILE_NAME).read_bytes() == (tmp_path / "lossy" / FILE_NAME).read_bytes()


@pytest.mark.parametrize("name", SESSIONS if EVERY_KILL else ["raw capture", "order-heavy"])
def test_the_digests_hold_with_a_cache_that_loses_everything(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, make = FaultyCache(), SESSIONS[name]
    cache.wipe_now_and_then(seed=1, share=0.5)
    monkeypatch.setitem(SESSIONS, name, lambda folder: cached(make(folder), cache))

    assert list(differences(kept_digests()[name], left_by(name, tmp_path))) == []
    assert cache.puts > 0


def test_the_order_book_of_a_market_that_shows_its_depth_is_known(tmp_path: Path) -> None:
    cache, books = FaultyCache(), list[LevelsWrite]()
    cache.before_put = lambda writes: books.extend(one for one in writes if isinstance(one, LevelsWrite))
    run(cached(SESSIONS["raw capture"](tmp_path), cache))

    deep = [one for one in books if len(one.bids) > 1]
    assert deep
    for one in deep:
        bids, asks = ([Decimal(price) for price, _ in side] for side in (one.bids, one.asks))
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert len(bids) <= 10
    # And no older one comes after a newer one
    times = [int(one.fields["timestamp_ms"]) for one in deep]
    assert times == sorted(times)


def test_the_cache_never_knows_more_than_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a disk that takes longer than the publisher needs to look
    commit = SqliteStore.commit

    def slow_commit(store: SqliteStore, *given: Any) -> int:
        time.sleep(0.03)
        return commit(store, *given)

    monkeypatch.setattr(SqliteStore, "commit", slow_commit)
    cache, wrong, looked = FaultyCache(), list[str](), 0

    def look(writes: Sequence[CacheWrite]) -> None:
        """Compare with what is on disk at this moment, which may be more."""
        nonlocal looked
        with StoreReader(tmp_path / "run/qts.sqlite") as store:
            orders = {one.client_order_id: one for one in store.orders()}
            fills = store.ledger()
        for write in writes:
            key = parse_key("qts", write.key)
            assert key is not None
            if key.kind is Kind.ORDER:
                looked += 1
                value, order = value_of(OrderValue, write.fields), orders.get(key.name)
                assert value is not None
                if order is None or value.filled_qty > order.filled:
                    wrong.append(f"{key.name} {value.status} {value.filled_qty}: {order}")
                elif order.state not in FINAL_STATES and value.status in {one.value for one in FINAL_STATES}:
                    wrong.append(f"{key.name} {value.status}: {order.state}")
            elif key.kind is Kind.RISK:
                risk = value_of(RiskValue, write.fields)
                assert risk is not None
                if risk.trade_count > len(fills):
                    wrong.append(f"{risk.trade_count} fills, the book has {len(fills)}")

    cache.before_put = look
    result = run(trading_on_paper(tmp_path, cache))

    assert wrong == []
    assert looked > 10
    assert result.values.fills > 0


def test_a_session_in_real_time_refreshes_what_stands(tmp_path: Path) -> None:
    cache, seen = FaultyCache(), list[tuple[str, int]]()

    def note(writes: Sequence[CacheWrite]) -> None:
        seen.extend((write.key, int(write.fields["at_ns"])) for write in writes if ":strat:" in write.key)

    cache.before_put = note
    # Given parameters that live 60 ms, so that they have to be written again every 20
    plan = on_paper(tmp_path, cache, **{"cache.strategy_ms": "60"})
    run(plan)
    assert len({at_ns for _, at_ns in seen}) > 3
    assert cache_of(tmp_path / "run").state == "WRITING"


@pytest.mark.parametrize("slow_s", [0.05, 5.0, 3_600.0])
def test_a_cache_that_is_slow_or_hangs_changes_no_order_and_the_session_ends(
    slow_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "END_S", 0.05)
    alone = run(short(spike_plan(tmp_path / "alone")))
    cache = FaultyCache()
    cache.delay_s = slow_s

    result = run(cached(short(spike_plan(tmp_path / "slow")), cache))

    assert digest(result) == digest(alone)
    assert cache.puts > 0
    assert cache_of(tmp_path / "slow").failures == 0


def test_a_cache_that_is_away_is_told_once_and_changes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = run(short(spike_plan(tmp_path / "alone")))
    cache = FaultyCache()

    def refuse(call: str) -> None:
        raise Unavailable("127.0.0.1:6379 refuses connections")

    cache.fails = refuse
    capfd.readouterr()
    result = run(cached(short(spike_plan(tmp_path / "away")), cache))

    told = capfd.readouterr().err
    assert told.count("127.0.0.1:6379 refuses connections") == 1
    assert "the session goes on without it" in told
    assert digest(result) == digest(alone)
    view = cache_of(tmp_path / "away")
    assert (view.state, view.written) == ("AWAY", 0)
    assert view.why


def test_an_outage_is_one_warning_and_its_end_one_line(tmp_path: Path) -> None:
    cache = FaultyCache()

    def away_for_a_while(call: str) -> None:
        if 3 <= cache.puts < 6:
            raise Unavailable("127.0.0.1:6379 does not answer")

    cache.fails = away_for_a_while
    settings = {"cache.breaker_failures": "2", "cache.breaker_pause_s": "0.01"}
    run(on_paper(tmp_path, cache, **settings))

    log = (tmp_path / "run" / FILE_NAME).read_text()
    assert log.count("the cache is left alone after") == 1
    assert log.count("the cache answers again") == 1
    assert cache_of(tmp_path / "run").breaker == "CLOSED"


def test_a_cache_that_refuses_what_is_written_is_no_end(tmp_path: Path) -> None:
    alone = run(short(spike_plan(tmp_path / "alone")))
    cache = FaultyCache()

    def full(call: str) -> None:
        if call == "put":
            raise InputError("the server has no room: raise maxmemory")

    cache.fails = full
    result = run(cached(short(spike_plan(tmp_path / "full")), cache))

    assert digest(result) == digest(alone)
    view = cache_of(tmp_path / "full")
    assert view.state == "REFUSED"
    assert "raise maxmemory" in view.why
    assert sum(view.dropped.values()) > 0
    (note,) = [one for one in last_view(tmp_path / "full").note_values if one.code == "values-not-cached"]
    shown = last_view(tmp_path / "full").cache
    assert shown is not None
    assert note.parameters["count"] == sum(n for kind, n in shown.dropped.items() if kind not in ("price", "book"))


def test_another_session_of_the_same_account_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_writers, "WRITERS_MS", 100)
    monkeypatch.setattr(publisher, "_WRITERS_S", 0.02)

    class Shared(FaultyCache):
        """A cache to which another session writes as well."""

        async def count(self, key: str, member: str, ttl_ms: int) -> int:
            await super().count(key, "another session", ttl_ms)
            return await super().count(key, member, ttl_ms)

    run(on_paper(tmp_path, Shared()))

    log = (tmp_path / "run" / FILE_NAME).read_text()
    assert log.count("another session writes to the cache as account main too") == 1
    assert "another session writes" in cache_of(tmp_path / "run").why


def test_fills_that_the_cache_refuses_to_count_hold_nothing_else_up(tmp_path: Path) -> None:
    cache = FaultyCache()

    def taken(call: str) -> None:
        if call == "count":
            raise InputError("another program has put something else there")

    cache.fails = taken
    result = run(cached(short(spike_plan(tmp_path / "run")), cache))

    (note,) = [one for one in last_view(tmp_path / "run").note_values if one.code == "values-not-cached"]
    assert note.parameters["count"] >= result.values.fills > 0
    with StoreReader(tmp_path / "run/qts.sqlite") as store:
        booked = {one.client_order_id for one in store.orders()}
    assert found(cache, OrderValue, Kind.ORDER).keys() == booked


def test_a_cache_that_cannot_be_used_ends_the_session_before_anything_is_written(tmp_path: Path) -> None:
    cache = FaultyCache()

    def wrong(call: str) -> None:
        raise InputError("wrong password")

    cache.fails = wrong
    with pytest.raises(InputError, match="wrong password"):
        run(cached(spike_plan(tmp_path / "run"), cache))
    assert not (tmp_path / "run").exists()


def test_a_stop_works_while_the_cache_is_left_alone(tmp_path: Path) -> None:
    cache = FaultyCache()

    def refuse(call: str) -> None:
        if call != "open":
            raise Unavailable("127.0.0.1:6379 does not answer")

    cache.fails = refuse
    plan = on_paper(tmp_path, cache, **{"cache.breaker_failures": "1"})
    (answer,) = answers(plan, command("stop", liquidate=True))

    assert answer["done"]
    view = last_view(tmp_path / "run")
    assert view.safety.state == "LOCKDOWN"
    assert view.cache is not None
    assert view.cache.breaker in BREAKER_STATES[1:]


def test_a_session_that_is_resumed_makes_known_what_it_had_before(tmp_path: Path) -> None:
    plan, stop = spike_plan(tmp_path / "run"), StopFlag()

    def progress(share: float | None, moment_ns: int) -> None:
        if share is not None and share > 0.5:
            stop.request()

    run_session(plan, progress=progress, stop=stop)
    with StoreReader(tmp_path / "run/qts.sqlite") as store:
        working = {one.client_order_id for one in store.orders() if one.state not in FINAL_STATES}
        qty = sum((row.qty for row in store.positions()), Decimal(0))
    assert working or qty
    cache = FaultyCache()
    first: dict[str, str] = {}

    def note(writes: Sequence[CacheWrite]) -> None:
        for write in writes:
            if ":ord:" in write.key or ":pos:" in write.key:
                first.setdefault(write.key, write.fields.get("qty", ""))

    cache.before_put = note
    run(cached(spike_plan(tmp_path / "run", resume=True), cache))

    assert {KEYS.of(Kind.ORDER, name) for name in working} <= first.keys()
    assert first[KEYS.of(Kind.POSITION, "005930")]


_WITHOUT = """
import sys, threading
from datetime import date, timedelta
from pathlib import Path
import msgspec
from qts.cli import session
from qts.market.contracts import Bar, Quote
from qts.market.demo_feed import DemoFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import demo_plan
plan = demo_plan(Options(data_dir=Path(sys.argv[1])))
assert plan.open_cache is None
day = date(2018, 1, 31)
days = dict(start=date(2018, 1, 30), end=day, window_start=day, window_end=day)
names = set()
def progress(share, moment_ns):
    names.update(thread.name for thread in threading.enumerate())
plan = msgspec.structs.replace(plan, open_feed=lambda: DemoFeed(7, events_per_day=100, **days))
session.run_session(plan, progress=progress, stop=StopFlag())
allowed = {"qts.cache", "qts.cache.config", "qts.runtime.caching", "qts.runtime.caching.cache_view",
    "qts.runtime.caching.session_cache"}
found = {name for name in sys.modules if name.startswith(("redis", "hiredis", "qts.cache", "qts.runtime.caching"))}
print(sorted(found - allowed), [name for name in names if "cache" in name])
"""


def test_without_a_cache_there_is_no_import_and_no_thread(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QTS_")}
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT, str(tmp_path / "run")],
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[] []"


def test_the_clock_of_the_values_is_that_of_the_machine(tmp_path: Path) -> None:
    cache, before = FaultyCache(), SystemClock().time_ns()
    run(cached(short(spike_plan(tmp_path / "run")), cache))
    after = SystemClock().time_ns()
    values = [*found(cache, OrderValue, Kind.ORDER).values(), *found(cache, RiskValue, Kind.RISK).values()]
    assert values
    assert all(before <= one.at_ns <= after for one in values)
    assert CacheConfig().view_ms == 5_000
