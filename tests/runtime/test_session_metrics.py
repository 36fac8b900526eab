"""SessionMetrics: a session as Prometheus reads it, from the view that people see."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal as D

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from qts.broker.gateway.limits.view import LimitCountView
from qts.broker.gateway.view import GatewayView, LaneView
from qts.clock import ManualClock, from_ns
from qts.db.contracts import RunRow
from qts.errors import MissingExtraError
from qts.market.live_view import LiveView
from qts.runtime.caching.cache_view import BREAKER_STATES, CacheView
from qts.runtime.persistence.server_copy import SERVER_STATES, ServerView
from qts.runtime.session.prometheus import SessionMetrics
from qts.runtime.session.session_view import SessionView
from qts.runtime.session.view_builder import view_of
from qts.strategy.contracts import Side
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
RUN = RunRow("run-1", "run", 7, "script", "config", "2026-01-22T00:00:00+00:00", finished=False)
MACHINE = ManualClock(from_ns(1_800_000_000_000_000_000))


def scraped(*views: Callable[[], SessionView | None]) -> CollectorRegistry:
    made = CollectorRegistry()
    for view in views:
        made.register(SessionMetrics(view))
    return made


def reader(view: SessionView) -> Callable[..., float | None]:
    """Return what reads a sample of the account by its name and its other labels."""
    found = scraped(lambda: view)
    return lambda name, labels=None: found.get_sample_value(name, {"account": view.account, **(labels or {})})


def test_amounts_orders_and_states_are_those_of_the_view(rig_of: MakeRig) -> None:
    # Given ten shares bought at 150,100, a bid far below the market, and the bid of the market at 151,000
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(kst(10), 3)
    scripted.wants(Side.BUY, qty=1, limit=149_000)
    rig.quotes(now + 1_000_000_000, 1)
    rig.quote(now + 5_000_000_000, 151_000)
    view = view_of(rig.kernel, RUN, "paper", "", MACHINE)
    # when it is scraped
    read = reader(view)
    # then it says so
    held = {"strategy": "scripted", "pool": view.positions[0].pool, "symbol": SYMBOL}
    assert (read("qts_position", held), read("qts_position_value", held)) == (10, 1_510_000)
    assert read("qts_equity") == float(view.cash) + 1_510_000
    assert read("qts_open_orders", {"state": "WORKING"}) == 1
    assert (read("qts_orders_total"), read("qts_fills_total")) == (2, 1)
    assert (read("qts_targets_reached_total"), read("qts_cancels_of_nothing_total")) == (0, 0)
    assert (read("qts_safety_state", {"state": "NORMAL"}), read("qts_safety_state", {"state": "FAIL"})) == (1, 0)
    pools = [read("qts_pool_total", {"pool": pool.pool}) for pool in view.pools]
    assert sum(total for total in pools if total is not None) == read("qts_equity")
    assert read("qts_strategy_halted", {"strategy": "scripted"}) == 0


def test_a_value_that_is_not_known_is_absent(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)
    rig.shared.last.quotes.clear()
    view = view_of(rig.kernel, RUN, "paper", "", MACHINE)
    held = {"strategy": "scripted", "pool": view.positions[0].pool, "symbol": SYMBOL}
    read = reader(view)
    assert (read("qts_position", held), read("qts_position_value", held)) == (10, None)


def test_two_sessions_of_one_process_do_not_meet(rig_of: MakeRig) -> None:
    # Given the views of two sessions with the same strategy and symbol, on two accounts
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    first = view_of(rig.kernel, RUN, "paper", "", MACHINE)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)
    second = view_of(rig.kernel, msgspec.structs.replace(RUN, account="second"), "paper", "", MACHINE)
    # when one registry has both
    found = scraped(lambda: first, lambda: second)
    # then each sample is of one account
    fills = [found.get_sample_value("qts_fills_total", {"account": name}) for name in ("main", "second")]
    assert fills == [0, 1]
    names = [(one.name, tuple(one.labels.items())) for family in found.collect() for one in family.samples]
    assert len(set(names)) == len(names)


def test_the_server_that_follows_is_there_when_there_is_one(rig_of: MakeRig) -> None:
    # Given the view of a session without a server, and of one whose database is away and whose spreadsheet follows
    alone = view_of(rig_of(ScriptedStrategy()).kernel, RUN, "paper", "", MACHINE)
    server = ServerView(
        "database", "PostgreSQL 18.6", "AWAY", "cut", 7, 12, 6.5, 2_048, "server", waits=4, late=1, slow=2
    )
    sheets = ServerView("sheets", "Google Sheets", "FOLLOWING", "", 12, 12, 0, 0, "local", altered=("row 7",))
    counts = msgspec.structs.replace(alone.counts, refusals={"STORE_BEHIND": 3})
    read = reader(msgspec.structs.replace(alone, servers=(server, sheets), counts=counts))
    # Then its families are there for the second alone
    of = {"server": "database"}
    assert reader(alone)("qts_store_follower_applied", of) is None
    assert [read("qts_store_follower_state", of | {"state": state}) for state in SERVER_STATES] == [0, 0, 1, 0]
    names = ("applied", "lag_batches", "lag_seconds", "outbox_bytes", "altered")
    assert [read(f"qts_store_follower_{name}", of) for name in names] == [7, 5, 6.5, 2_048, 0]
    assert [read(f"qts_store_follower_{name}_total", of) for name in ("waits", "late", "slow")] == [4, 1, 2]
    assert read("qts_store_follower_refused_total") == 3
    # And those of the other one are told apart by its name
    of = {"server": "sheets"}
    assert [read(f"qts_store_follower_{name}", of) for name in names] == [12, 0, 0, 0, 1]
    assert read("qts_store_follower_state", of | {"state": "FOLLOWING"}) == 1


def test_the_cache_is_there_when_there_is_one(rig_of: MakeRig) -> None:
    # Given a session that writes to a cache, and one that writes to none
    without = view_of(rig_of(ScriptedStrategy()).kernel, RUN, "paper", "", MACHINE)
    cache = CacheView("", "AWAY", written=7, waiting=3, dropped={"price": 2}, failures=5, breaker="OPEN")
    read = reader(msgspec.structs.replace(without, cache=cache))
    # Then what became of its values and the breaker are there, and without a cache nothing of it
    states = {state: read("qts_breaker_state", {"name": "cache", "state": state}) for state in BREAKER_STATES}
    assert states == {"CLOSED": 0, "OPEN": 1, "HALF_OPEN": 0}
    assert (read("qts_cache_state", {"state": "AWAY"}), read("qts_cache_state", {"state": "WRITING"})) == (1, 0)
    assert (read("qts_cache_waiting"), read("qts_cache_written_total")) == (3, 7)
    assert (read("qts_cache_failures_total"), read("qts_cache_dropped_total", {"kind": "price"})) == (5, 2)
    assert reader(without)("qts_cache_waiting") is None


def test_before_there_is_a_view_there_is_nothing() -> None:
    assert list(scraped(lambda: None).collect()) == []


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match="metrics"):
        SessionMetrics(lambda: None)


def test_the_lanes_to_a_broker_are_there_when_it_is_not_simulated(rig_of: MakeRig) -> None:
    # Given the view of a session at the simulated exchange, and of one at a broker that is not
    without = view_of(rig_of(ScriptedStrategy()).kernel, RUN, "paper", "", MACHINE)
    lanes = (LaneView("cancel", 0, 3, 0.0), LaneView("entry", 2, 7, 1.5))
    gateway = GatewayView(lanes, in_flight=4, not_sent=2, too_old=1, file_bytes=512)
    read = reader(msgspec.structs.replace(without, gateway=gateway))
    # Then its lanes are there for the second alone
    of = {"lane": "entry"}
    assert reader(without)("qts_gateway_waiting", of) is None
    assert [read(f"qts_gateway_{name}", of) for name in ("waiting", "delay_seconds", "sent_total")] == [2, 1.5, 7]
    assert read("qts_gateway_sent_total", {"lane": "cancel"}) == 3
    assert (read("qts_gateway_in_flight"), read("qts_gateway_file_bytes")) == (4, 512)
    assert (read("qts_gateway_not_sent_total"), read("qts_gateway_too_old_total")) == (2, 1)


def test_limits_that_count_are_shown_with_their_bounds(rig_of: MakeRig) -> None:
    # Given ten shares bought at 150,100 and a bid of 149,100: 10 × 1,000 and the fee are lost
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(kst(10), 3)
    rig.quote(now + 1_000_000_000, 149_100, 149_200)
    # when it is scraped
    read = reader(view_of(rig.kernel, RUN, "paper", "", MACHINE))
    # then what stands and the bounds of the settings are there, by limit and by strategy or pool
    of = {"of": "scripted"}
    lost = read("qts_limit_value", {"limit": "strategy_day_loss", **of})
    assert lost is not None
    assert 10_000 < lost < 10_500
    assert read("qts_limit_bound", {"limit": "strategy_day_loss", **of}) == 5_000_000
    assert read("qts_limit_value", {"limit": "pool_day_loss", "of": "SCALP"}) == lost
    assert read("qts_limit_value", {"limit": "repeated_executions", **of}) == 1
    assert read("qts_limit_bound", {"limit": "repeated_executions", **of}) == 30
    assert read("qts_limit_value", {"limit": "messages_per_day", "of": ""}) == 1
    assert read("qts_limit_bound", {"limit": "messages_per_day", "of": ""}) == 15_000


def test_where_limits_are_off_none_is_shown(rig_of: MakeRig) -> None:
    rig = rig_of(ScriptedStrategy(), settings={"broker.limits.enabled": "false"})
    rig.quote(kst(10))

    view = view_of(rig.kernel, RUN, "paper", "", MACHINE)

    assert view.limit_counts == ()
    assert reader(view)("qts_limit_bound", {"limit": "messages_per_day", "of": ""}) is None


def test_a_loss_that_is_not_known_has_a_bound_and_no_value(rig_of: MakeRig) -> None:
    rig = rig_of(ScriptedStrategy())
    rig.quote(kst(10))
    view = view_of(rig.kernel, RUN, "paper", "", MACHINE)
    unknown = LimitCountView("strategy_day_loss", "scripted", None, D(5))

    read = reader(msgspec.structs.replace(view, limit_counts=(unknown,)))

    of = {"limit": "strategy_day_loss", "of": "scripted"}
    assert (read("qts_limit_value", of), read("qts_limit_bound", of)) == (None, 5)


def test_the_line_of_a_live_feed_is_there_when_there_is_one(rig_of: MakeRig) -> None:
    view = view_of(rig_of(ScriptedStrategy()).kernel, RUN, "paper", "", MACHINE)
    assert reader(view)("qts_feed_up") is None
    line = LiveView(
        name="KIS",
        connected=True,
        since_ns=1,
        connections=3,
        gaps=2,
        registered=("H0STCNT0 005930", "H0STASP0 005930"),
        left_out=("H0STMKO0 005930",),
        asked=(),
        lag_ms=250,
        unknown_layouts={"H0STCNT0 48": 4},
    )

    read = reader(msgspec.structs.replace(view, feed=line))

    names = ("up", "registered", "left_out", "lag_seconds", "connections_total", "gaps_total")
    assert [read(f"qts_feed_{name}") for name in names] == [1, 2, 1, 0.25, 3, 2]
    assert read("qts_feed_unknown_layouts_total") == 4
