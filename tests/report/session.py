"""A small session made by hand: what the report is shown in these tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.clock import NS_PER_S, to_ns
from qts.db.contracts import EquityRow, RefusalRow, RunRow, SafetyRow, StateRow
from qts.execution.contracts import Order, OrderState
from qts.ledger.contracts import LedgerRow
from qts.performance import Close, Performance, Period, RoundTrip, performance
from qts.runtime.persistence.charts_file import Benchmark, Candles, Charts, Line
from qts.runtime.session.result import ResultValues, SessionFacts
from qts.strategy.contracts import Side
from tests.execution.orders import order_with

HOUR_NS = 3600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
START_NS = to_ns(datetime(2018, 1, 22, tzinfo=UTC))  # 09:00 in Korea


def sample(ts_ns: int, equity: int, state: str = "BALANCED", safety: str = "NORMAL") -> EquityRow:
    """An equity sample, half of it in SCALP, three tenths in SWING, the rest in PORTFOLIO."""
    whole = Decimal(equity)
    scalp, swing = whole * 5 / 10, whole * 3 / 10
    return EquityRow(ts_ns, whole, whole, scalp, swing, whole - scalp - swing, state, safety)


def fill(
    number: int,
    *,
    side: Side = Side.BUY,
    qty: int = 10,
    price: int = 50_000,
    pool: Pool = Pool.SCALP,
    realized: int = -75,
    symbol: str = "005930",
    ts_ns: int | None = None,
    order_id: str | None = None,
) -> LedgerRow:
    """Fill ``number`` with a fee of 75 and, for a sale, a tax of 1,500."""
    return LedgerRow(
        broker="sim",
        execution_id=f"x{number}",
        ts_ns=START_NS + number * HOUR_NS if ts_ns is None else ts_ns,
        symbol=symbol,
        side=side,
        qty=Decimal(qty),
        price=Decimal(price),
        amount=Decimal(qty * price),
        fee=Decimal(75),
        tax=Decimal(1_500 if side is Side.SELL else 0),
        realized_pnl=Decimal(realized),
        strategy=pool.value.lower(),
        pool=pool,
        order_id=order_id or f"o{number}",
    )


def order_of(row: LedgerRow, *, forced: bool = False, reason: str = "a reason") -> Order:
    return order_with(
        client_order_id=row.order_id,
        decision_id="d",
        approval_id="a",
        strategy=row.strategy,
        pool=row.pool,
        symbol=row.symbol,
        side=row.side,
        qty=row.qty,
        limit=None,
        decision_price=row.price,
        state=OrderState.FILLED,
        filled=row.qty,
        ts_ns=row.ts_ns,
        ts_update_ns=row.ts_ns,
        forced=forced,
        reason=reason,
    )


def state_row(seq: int, before: str, after: str, reason: str, actor: str = "rule") -> StateRow:
    return StateRow(seq, START_NS + seq * HOUR_NS, before, after, reason, f'{{"actor": "{actor}"}}')


def safety_row(seq: int, before: str, after: str, code: str, reason: str) -> SafetyRow:
    return SafetyRow(seq, START_NS + seq * HOUR_NS, before, after, code, "rule", reason)


def transfer(number: int, amount: int = 250_000) -> Transfer:
    ts_ns = START_NS + number * DAY_NS
    return Transfer(f"t{number}", ts_ns, Pool.SCALP, Pool.SWING, Decimal(amount), "to_targets", "toward its target")


def invariants(held: Iterable[int] = (1, 4), broken: Iterable[int] = ()) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {
        f"inv{number:02d}": {"ok": None, "checks": 0, "last": None} for number in range(1, 26)
    }
    for number in held:
        rows[f"inv{number:02d}"] = {"ok": True, "checks": 7, "last": "2018-01-22T06:30:00+00:00"}
    for number in broken:
        row = {"ok": False, "checks": 3, "last": "2018-01-22T06:30:00+00:00", "detail": "off by one"}
        rows[f"inv{number:02d}"] = row
    return rows


def state_basis(**changes: Any) -> dict[str, Any]:
    """What the operating state was judged on in two trading days: no volatility, no long course."""
    never = dict.fromkeys(("vix", "market_circuit_breaker", "cagr", "capital_growth_pct", "win_rate_30d"))
    basis: dict[str, Any] = {
        "enabled": True,
        "judged_by": "account",
        "volatility": {"source": "none", "value": 17.5, "measured": False, "measured_since": None},
        "known_since": {"drawdown_pct": "2018-01-22", "daily_loss_pct": "2018-01-22", **never},
        "trading_days": 2,
        "days_without_entry": 0,
        "waits": "",
    }
    return basis | changes


def result(**changes: Any) -> dict[str, Any]:
    """The result of a session in which nothing happened."""
    counts = dict.fromkeys(("accepted", "handled", "dropped", "collapsed", "sampled", "rejected"), 0)
    waited = dict.fromkeys(("p50", "p99", "p999", "max"), 0.0)
    empty = {
        "rows": 0,
        "events_by_priority": dict.fromkeys(("P0", "P1", "P2", "P3"), 0),
        "queues": {name: dict(counts) for name in ("P0", "P1", "P2", "P3")},
        "latency_us_by_priority": {name: dict(waited) for name in ("P0", "P1", "P2", "P3")},
        "p0_latency_us": dict(waited),
        "lost_p0": 0,
        "orders": 0,
        "fills": 0,
        "ledger_rows": 0,
        "duplicate_fills": 0,
        "quarantined": {"count": 0, "first": None},
        "forced_exits": 0,
        "currency": "KRW",
        "time_zone": "KST +0900",
        "equity_start": "100000000",
        "equity_end": "100000000",
        "fees": "0",
        "taxes": "0",
        "pools": {
            "SCALP": {"total": "40000000", "realized_pnl": "0", "unrealized_pnl": "0"},
            "SWING": {"total": "35000000", "realized_pnl": "0", "unrealized_pnl": "0"},
            "PORTFOLIO": {"total": "25000000", "realized_pnl": "0", "unrealized_pnl": "0"},
        },
        "positions": {},
        "operating_state": "BALANCED",
        "safety_state": "NORMAL",
        "state_basis": state_basis(),
        "transitions": [],
        "refusals": {},
        "orders_unfilled": {},
        "rows_refused": {},
        "rows_refused_examples": {},
        "safety_changes": [],
        "halted_strategies": [],
        "notes": [],
        "risk_limits": {"exposure_limit": "0.95", "symbol_weight_limit": "0.15"},
        "max_price_age_s": 5.0,
        "invariants": invariants(()),
        "wall_s": 1.25,
        "events_per_s": 0,
        "report": None,
        "run_id": "0123456789abcdef",
        "command": "replay",
        "seed": 7,
        "source": "csv:abc",
        "config_hash": "c0ffee",
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:00:02+00:00",
        "finished": True,
        "settings_of_the_command": {},
    }
    return empty | changes


def facts_of(values: dict[str, Any], **parts: Any) -> SessionFacts:
    nothing: dict[str, Any] = {
        "equity": [],
        "ledger": [],
        "states": [],
        "safety": [],
        "orders": [],
        "transfers": [],
    }
    run = RunRow("0123456789abcdef", "replay", 7, "csv:abc", "c0ffee", "2026-01-01T00:00:00+00:00", True)
    return SessionFacts(result=msgspec.convert(values, ResultValues, strict=False), run=run, **(nothing | parts))


def empty_session() -> SessionFacts:
    """No sample, no fill, no transition, nothing checked."""
    return facts_of(result())


def traded_session(**changes: Any) -> SessionFacts:
    """Ten days, three fills (the last one forced), two states, one warning, one transfer."""
    bought = fill(1)
    swing = fill(2, pool=Pool.SWING, qty=3, price=51_000)
    sold = fill(30, side=Side.SELL, price=52_000, realized=18_425)
    curve = [
        sample(START_NS + hour * HOUR_NS, 100_000_000 + hour * 90, "BALANCED" if hour < 100 else "DEFENSIVE")
        for hour in range(240)
    ]
    pools = {
        "SCALP": {"total": "40018350", "realized_pnl": "18350", "unrealized_pnl": "0"},
        "SWING": {"total": "35002925", "realized_pnl": "-75", "unrealized_pnl": "3000"},
        "PORTFOLIO": {"total": "25000000", "realized_pnl": "0", "unrealized_pnl": "0"},
    }
    queues = {
        "P0": {"accepted": 5, "handled": 5, "dropped": 0, "collapsed": 0, "sampled": 0, "rejected": 0},
        "P1": {
            "accepted": 90_000,
            "handled": 89_000,
            "dropped": 0,
            "collapsed": 1_000,
            "sampled": 0,
            "rejected": 0,
        },
        "P2": {"accepted": 40, "handled": 40, "dropped": 0, "collapsed": 0, "sampled": 0, "rejected": 0},
        "P3": {"accepted": 8, "handled": 8, "dropped": 0, "collapsed": 0, "sampled": 0, "rejected": 0},
    }
    waited = {"p50": 10.5, "p99": 120.25, "p999": 300.0, "max": 812.75}
    values = result(
        rows=90_123,
        events_by_priority={name: row["handled"] for name, row in queues.items()},
        queues=queues,
        latency_us_by_priority=dict.fromkeys(queues, waited),
        orders=4,
        fills=3,
        ledger_rows=3,
        forced_exits=1,
        equity_end="100021275",
        fees="225",
        taxes="1500",
        pools=pools,
        positions={"005930": "3"},
        operating_state="DEFENSIVE",
        safety_state="WARNING",
        refusals={"BELOW_STATE_THRESHOLD": 12, "MARKET_CLOSED": 30},
        rows_refused={"crossed_book": 4},
        notes=["no closed days are known for 2014"],
        invariants=invariants(),
        settings_of_the_command={"risk.symbol_weight_limit": "0.60"},
    )
    parts: dict[str, Any] = {
        "equity": curve,
        "ledger": [bought, swing, sold],
        "states": [state_row(1, "BALANCED", "DEFENSIVE", "BalancedToDefensive: vix 37.32 > 30")],
        "safety": [safety_row(1, "NORMAL", "WARNING", "GR020", "daily loss 3.1 %")],
        "orders": [order_of(bought), order_of(swing), order_of(sold, forced=True, reason="the engine sleeps")],
        "transfers": [transfer(1)],
    }
    return facts_of(values | changes.pop("values", {}), **(parts | changes))


def round_trip(
    begun: int = 1, ended: int = 3, *, symbol: str = "005930", result: int = 18_350, strategy: str = "scalp"
) -> RoundTrip:
    """Ten shares bought at 50,000 on day ``begun`` and sold on day ``ended``, costs of 1,650 in the result."""
    return RoundTrip(
        strategy=strategy,
        symbol=symbol,
        begun_ns=START_NS + begun * DAY_NS,
        ended_ns=START_NS + ended * DAY_NS,
        bought=Decimal(500_000),
        sold=Decimal(500_000 + result + 1_650),
        costs=Decimal(1_650),
        entry_price=Decimal(50_000),
        result=Decimal(result),
        low=Decimal(49_000),
        high=Decimal(53_000),
    )


def candles_of(symbol: str = "005930", count: int = 10, span: int = 1) -> Candles:
    """A candle a day, rising by 100 on even days and falling by 100 on odd ones, each 50,000 at its open."""
    closes = [50_100.0 if day % 2 == 0 else 49_900.0 for day in range(count)]
    return Candles(
        symbol=symbol,
        span=span,
        times_ns=[START_NS + day * DAY_NS for day in range(count)],
        open=[50_000.0] * count,
        high=[53_000.0] * count,
        low=[49_000.0] * count,
        close=closes,
        volume=[1_000.0] * count,
    )


def refusal(day: int, *, reason: str = "SYMBOL_WEIGHT_LIMIT", symbol: str = "005930") -> RefusalRow:
    ts_ns = START_NS + day * DAY_NS
    return RefusalRow(f"d{day}", ts_ns, "scalp", symbol, Side.BUY, reason, "12% of 10%")


def performance_of(trips: Iterable[RoundTrip], *, is_compared: bool = True) -> Performance:
    """The figures of forty days that each gained 10,000 of 100,000,000, beside a benchmark that never moved."""
    first = date(2018, 1, 22)
    days = [first + timedelta(days=place) for place in range(40)]
    closes = [Close(day, Decimal(100_010_000 + 10_000 * place)) for place, day in enumerate(days)]
    still = [Close(day, Decimal(100_000_000)) for day in days]
    nothing = Decimal(0)
    period = Period(Decimal(100_000_000), closes, list(trips), nothing, nothing, nothing)
    return performance(period, days_a_year=252, benchmark=still if is_compared else None)


def plain_session(
    *,
    trips: list[RoundTrip] | None = None,
    candles: list[Candles] | None = None,
    lines: list[Line] | None = None,
    ledger: list[LedgerRow] | None = None,
    refusals: list[RefusalRow] | None = None,
    is_compared: bool = True,
    **values: Any,
) -> SessionFacts:
    """A backtest of ten days in the plain profile: one round trip, with a gain, of ten shares; flat at the end."""
    bought = fill(1, ts_ns=START_NS + DAY_NS)
    sold = fill(2, side=Side.SELL, price=52_000, realized=18_425, ts_ns=START_NS + 3 * DAY_NS)
    rows = [bought, sold] if ledger is None else ledger
    trips = [round_trip()] if trips is None else trips
    found = performance_of(trips, is_compared=is_compared)
    money = {"total": "100018350", "realized_pnl": "18350", "unrealized_pnl": "0"}
    none = {"total": "0", "realized_pnl": "0", "unrealized_pnl": "0"}
    written = result(
        command="backtest",
        profile="plain",
        equity_end="100018350",
        cash="100018350",
        cash_available="100018350",
        fees="150",
        taxes="1500",
        orders=2,
        fills=2,
        ledger_rows=2,
        pools={"SCALP": money, "SWING": none, "PORTFOLIO": none},
        invariants=invariants(),
        settings_of_the_command={"risk.symbol_weight_limit": "1"},
    )
    facts = facts_of(
        written | values,
        equity=[sample(START_NS + day * DAY_NS, 100_000_000 + 2_000 * day) for day in range(10)],
        ledger=rows,
        orders=[order_of(row) for row in rows],
        refusals=[] if refusals is None else refusals,
        charts=Charts(
            lines=[] if lines is None else lines,
            candles=[candles_of()] if candles is None else candles,
            benchmark=Benchmark(days=["2018-01-22", "2018-01-31"], equity=[1e8, 1.1e8]) if is_compared else None,
            trips=trips,
        ),
    )
    return msgspec.structs.replace(facts, result=msgspec.structs.replace(facts.result, performance=found))
