"""The six short sessions whose results are held byte for byte, see ``test_digests.py``.

One of each way that values come in: the demo's generator, a CSV file, observer snapshots, a raw capture with depth,
quotes from prepared columns, and those again with an order every few rows. Everything is generated from a seed and
nothing of it depends on the machine, on a path or on the version of the interpreter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S, to_ns
from qts.market.contracts import Bar, Instrument, MarketValue, Quote
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.plans import replay_plan
from qts.strategy.contracts import Context, FillView, Intent, Side, Strategy
from qts.strategy.two_ema import TwoEma
from tests.market.files import samples
from tests.sim import recordings
from tests.sim.sessions import spike_plan

SEED: Final = 7
TENTH: Final = Decimal("0.1")
DAY_ONE: Final = datetime(2024, 1, 1, tzinfo=UTC)


class Alternating:
    """A strategy that trades every ``every`` quotes with both sides, by turns at the market and at its own limit.

    A round: buy at the market, bid at the best bid (such an order waits its turn in the queue or expires), offer at
    the best ask, sell what is left at the market.
    """

    symbols: Sequence[str] = ()

    def __init__(self, name: str, pool: Pool, every: int, qty: Decimal) -> None:
        self.name = name
        self.pool = pool
        self._every = every
        self._qty = qty
        self._quotes = 0
        self._acts = 0

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self._quotes += 1
        if self._quotes % self._every or quote.bid is None or quote.ask is None:
            return ()
        self._acts += 1
        match self._acts % 4:
            case 1:
                return (Intent(quote.symbol, Side.BUY, 0.95, qty=self._qty, reason="at the market"),)
            case 2:
                return (Intent(quote.symbol, Side.BUY, 0.95, qty=self._qty, limit=quote.bid, reason="at the bid"),)
            case 3:
                return (Intent(quote.symbol, Side.SELL, 1.0, limit=quote.ask, reason="at the ask"),)
            case _:
                return (Intent(quote.symbol, Side.SELL, 1.0, reason="enough"),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Note nothing: the context is asked for holdings when they matter."""


class ColumnsFeed:
    """A seeded walk of one market that never closes, kept as a column of levels; ``step_s`` between two quotes."""

    name = "columns"
    declares_volatility = False
    max_age_ns = 120 * NS_PER_S
    rows_refused: Mapping[str, int] = {}

    def __init__(self, rows: int, step_s: int) -> None:
        rng = random.Random(SEED)
        level, self._levels = 50_000, list[int]()
        for _ in range(rows):
            level += rng.choice((-3, -1, 0, 0, 1, 3))
            self._levels.append(level)
        self.source_id = f"columns/{rows}/{step_s}"
        self.instruments = {
            "BTC": Instrument(
                "BTC",
                "USDT",
                Decimal("0.00000001"),
                Decimal("0.001"),
                FixedTicks(TENTH),
                RateCosts(Decimal("0.0005"), Decimal(0), Decimal("0.00000001")),
                AlwaysOpen(),
            )
        }
        self._step_ns = step_s * NS_PER_S
        self._given = 0

    def values(self) -> Iterator[MarketValue]:
        begin = to_ns(DAY_ONE)
        for level in self._levels[self._given :]:
            self._given += 1
            price, size = Decimal(level) / 10, Decimal(1 + level % 5)
            yield Quote("BTC", begin + self._given * self._step_ns, price, price + TENTH, size, size)

    def position(self) -> dict[str, Any]:
        return {"given": self._given}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._given = position["given"]

    def progress(self) -> float | None:
        return self._given / len(self._levels)


def demo(folder: Path) -> SessionPlan:
    """Plan nine days of the demo with strategies that trade far too much."""
    return spike_plan(folder / "run", seed=SEED, overrides={})


def csv(folder: Path) -> SessionPlan:
    """Plan a CSV file: two days of KRX quotes, trades alone, rows that are refused."""
    lines = recordings.walk(1_400, days=2, seed=SEED)
    lines[90:90] = [lines[90].rsplit(",", 1)[0] + ",-5", "yesterday" + lines[91][10:], lines[89]]
    for at in range(20, len(lines), 37):
        moment, symbol, bid, *_ = lines[at].split(",")
        lines[at] = f"{moment},{symbol},,,,,{bid},500"
    path = recordings.write(folder / "quotes.csv", lines)
    return _of_file(path, "csv", folder, lambda: krx_strategies(13), KRX_SETTINGS)


def observer(folder: Path) -> SessionPlan:
    """Plan observer snapshots: two days, three symbols, one of them without bid and ask, rows that are refused."""
    path = samples.write(folder / "observer.jsonl", observer_lines(400))
    return _of_file(path, "observer-jsonl", folder, lambda: krx_strategies(17), KRX_SETTINGS)


def raw_capture(folder: Path) -> SessionPlan:
    """Plan a capture of one perpetual: best quotes, trades, a snapshot, depth changes with a gap, duplicates."""
    path = samples.write(folder / "capture.raw", capture_lines(2_500))
    return _of_file(path, "binance-raw", folder, lambda: (*coin_strategies(40), TwoEma()), COIN_SETTINGS)


def prepared_columns(folder: Path) -> SessionPlan:
    """Plan two days of a quote every 45 s from columns, few orders."""
    return _of_columns(ColumnsFeed(3_840, 45), folder, lambda: coin_strategies(160))


def order_heavy(folder: Path) -> SessionPlan:
    """Plan forty minutes of a quote a second from columns, an order every 50 rows and strategy."""
    return _of_columns(ColumnsFeed(2_400, 1), folder, lambda: (*coin_strategies(50), TwoEma()))


SESSIONS: Final[dict[str, Callable[[Path], SessionPlan]]] = {
    "demo": demo,
    "csv": csv,
    "observer": observer,
    "raw capture": raw_capture,
    "prepared columns": prepared_columns,
    "order-heavy": order_heavy,
}

KRX_SETTINGS: Final = {"risk.symbol_weight_limit": "0.60", "runtime.equity_sample_interval_s": "1800"}
COIN_SETTINGS: Final = {
    "runtime.currency": "USDT",
    "runtime.equity_start": "100000",
    "risk.symbol_weight_limit": "0.60",
    "runtime.equity_sample_interval_s": "600",
    "state.properties.balanced.max_daily_trades": "1000",
}


def observer_lines(steps: int) -> Iterator[bytes]:
    """Yield ``steps`` rounds of three symbols over two days; every hundredth row is unusable."""
    rng = random.Random(SEED)
    close = {"005930": 150_000, "000660": 800_000, "035420": 250_000}
    volume = dict.fromkeys(close, 0)
    for step in range(steps):
        day, within = divmod(step, steps // 2)
        moment = recordings.FIRST_DAY + timedelta(days=day, hours=9, seconds=30 * within)
        for symbol, tick in (("005930", 100), ("000660", 1_000), ("035420", 500)):
            close[symbol] += tick * rng.choice((-2, -1, 0, 1, 2))
            volume[symbol] += rng.randrange(500)
            bid = None if symbol == "035420" else close[symbol] - tick
            ask = None if bid is None else close[symbol]
            price: int | str = close[symbol] if step % 100 or symbol != "000660" else "many"
            yield samples.observed(moment.isoformat(), symbol, price, volume[symbol], bid=bid, ask=ask)


def capture_lines(steps: int) -> Iterator[bytes]:
    """Yield ``steps`` moments a fifth of a second apart, across midnight; one of the depth updates is missing."""
    rng = random.Random(SEED)
    level, update = 618_000, 1_000

    def side(first: int, direction: int, count: int) -> list[list[str]]:
        return [[f"{(first + direction * at) / 10:.2f}", f"{rng.randrange(0, 400) / 100}"] for at in range(count)]

    yield samples.snapshot(0, side(level, -1, 80), side(level + 1, 1, 80), update)
    for step in range(1, steps):
        at_ms = step * 200
        level += rng.choice((-40, -9, 0, 9, 40))
        bid, ask = f"{level / 10:.2f}", f"{(level + 1) / 10:.2f}"
        best = samples.quote(at_ms, bid, ask, u=update + 1, bid_size=f"{rng.randrange(1, 900) / 100}")
        yield best
        if step % 11 == 0:
            yield best
        if step % 3 == 0:
            maker = step % 2 == 0
            yield samples.trade(at_ms + 20, step, bid if maker else ask, f"{step % 17 / 10 + 0.1:.3f}", maker=maker)
        if step % 5 == 0:
            before, update = update, update + 5
            if step != 1_500:
                bids, asks = side(level, -1, 12), side(level + 1, 1, 12)
                yield samples.depth(at_ms + 40, bids, asks, u=update, before=before)
        if step % 500 == 0:
            yield samples.quote(at_ms + 60, "0.00", ask)
            yield samples.snapshot(at_ms + 80, side(level, -1, 80), side(level + 1, 1, 80), update)


def krx_strategies(every: int) -> Sequence[Strategy]:
    """Return one strategy a pool, and the default of a replay."""
    return (*_one_a_pool(every, Decimal(20)), TwoEma())


def coin_strategies(every: int) -> Sequence[Strategy]:
    """Return one strategy a pool for a market of fractions."""
    return _one_a_pool(every, Decimal("0.150"))


def _one_a_pool(every: int, qty: Decimal) -> Sequence[Strategy]:
    return [Alternating(f"alternating-{pool.value.lower()}", pool, every, qty) for pool in Pool]


def _of_file(
    path: Path, format: str, folder: Path, strategies: Callable[[], Sequence[Strategy]], settings: dict[str, str]
) -> SessionPlan:
    plan = replay_plan(Options(seed=SEED, data_dir=folder / "run", overrides=settings), [path], format)
    return msgspec.structs.replace(plan, default_strategies=strategies)


def _of_columns(feed: ColumnsFeed, folder: Path, strategies: Callable[[], Sequence[Strategy]]) -> SessionPlan:
    return SessionPlan(
        command="replay",
        options=Options(seed=SEED, data_dir=folder / "run", overrides=COIN_SETTINGS),
        open_feed=lambda: feed,
        default_strategies=strategies,
    )
