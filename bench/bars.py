"""What time bars cost a replay of trades, and how much memory the windows of a universe take.

``python -m bench.bars [--quick] [--json]``. One file of trades is replayed by turns with a strategy that declares
no bars and with one that declares bars of one and five minutes and does nothing with them. The memory of the bars
of 500 symbols, 250 each of 3 intervals, is compared with that of the same Decimals in tuples.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

import msgspec

from bench.figures import machine, median_ratio, table, targets_table
from bench.suite import run_suite
from qts.clock import NS_PER_S
from qts.ids import seeded
from qts.market.contracts import Bar
from qts.market.files.reading import read_as
from qts.market.series.book import SeriesBook
from qts.market.series.wanted import wanted_bars
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, Profile
from qts.runtime.wiring.plans import replay_plan
from qts.strategy.base_class import Strategy

ROWS, QUICK_ROWS, RUNS, QUICK_RUNS = 300_000, 20_000, 5, 1
STEP_MS = 50
"""Twenty trades a second, as a liquid share or coin has them."""
START_MS = 1_704_067_200_000
SYMBOLS, QUICK_SYMBOLS, BARS, INTERVALS = 500, 20, 250, ("1m", "5m", "1d")
MOST_SHARE, MOST_MEMORY = 0.15, 1.5


class WithoutBars(Strategy):
    """Wants nothing."""


class WithBars(Strategy):
    """Declares bars and wants nothing."""

    bars = {"1m": 200, "5m": 200}  # noqa: RUF012 - as a user writes it
    seen = 0

    def on_bar(self, ctx: Any, bar: Bar) -> Any:
        self.seen += 1


def measure(*, quick: bool = False) -> dict[str, Any]:
    """The share that bars add to the CPU time of a replay, and the ratio of memory."""
    runs, rows = (QUICK_RUNS, QUICK_ROWS) if quick else (RUNS, ROWS)
    took: dict[type, list[float]] = {WithoutBars: [], WithBars: []}
    with tempfile.TemporaryDirectory() as directory:
        trades = _trades(Path(directory, "trades.csv"), rows)
        for turn in range(runs):
            for kind in (WithoutBars, WithBars) if turn % 2 == 0 else (WithBars, WithoutBars):
                place = Path(directory, f"{kind.__name__}-{turn}")
                took[kind].append(_cpu_s(trades, kind, place))
    share = round(median_ratio(took[WithBars], took[WithoutBars]) - 1, 3)
    memory = round(memory_ratio(QUICK_SYMBOLS if quick else SYMBOLS), 3)
    return {
        "machine": machine(),
        "runs": runs,
        "rows": rows,
        "us_per_row": {
            kind.__name__: round(statistics.median(all_) / rows * 1e6, 2) for kind, all_ in took.items()
        },
        "share": share,
        "memory": memory,
        "targets": [
            _target("bars of 1m and 5m, share of a trade row, CPU", share, MOST_SHARE),
            _target("windows, x the same Decimals in tuples", memory, MOST_MEMORY),
        ],
    }


def memory_ratio(symbols: int = SYMBOLS) -> float:
    """The memory of windows of bars, as a ratio of that of tuples of the same Decimals."""
    windows = _bytes(lambda: _windows(symbols))
    return windows / _bytes(lambda: _tuples(symbols))


def _numbers(place: int) -> tuple[Decimal, ...]:
    """Open, high, low, close, volume, value of a bar, each an object of its own."""
    return tuple(Decimal(f"{base + place % 97}.{place % 100:02d}") for base in (100, 110, 90, 105, 1_000, 100_000))


def _tuples(symbols: int) -> list[list[tuple[Decimal, ...]]]:
    return [[_numbers(place) for place in range(BARS)] for _ in range(symbols) for _ in INTERVALS]


def _windows(symbols: int) -> SeriesBook:
    book = SeriesBook(wanted_bars(dict.fromkeys(INTERVALS, BARS), (), "bars"))
    names = [f"S{number}" for number in range(symbols)]
    for name in names:
        for interval in INTERVALS:
            for place in range(BARS):
                opening, high, low, close, volume, value = _numbers(place)
                end_ns = (place + 1) * 60 * NS_PER_S
                start_ns = place * 60 * NS_PER_S + 1
                book.add(
                    Bar(
                        name,
                        end_ns,
                        opening,
                        high,
                        low,
                        close,
                        volume,
                        interval,
                        "2024-01-01",
                        start_ns,
                        value,
                        place + 1_000,
                    )
                )
    return book


def _bytes(make: Callable[[], object]) -> int:
    tracemalloc.start()
    made = make()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return size


def _trades(path: Path, rows: int) -> Path:
    """Write a seeded random walk of trades, as a file of one symbol."""
    rng, level = seeded(1, "bench-bars"), 500_000
    with path.open("w") as file:
        file.write("ts,symbol,bid,ask,last,size\n")
        file.write(f"{START_MS},BTCUSDT,50000.0,50000.1,,\n")  # with quotes, trades are values
        for number in range(rows):
            level += rng.choice((-1, 0, 0, 1))
            ms, size = START_MS + (number + 1) * STEP_MS, rng.randrange(1, 999) / 1000
            file.write(f"{ms},BTCUSDT,,,{level / 10:.1f},{size}\n")
    return path


def _cpu_s(trades: Path, kind: type[Strategy], place: Path) -> float:
    options = Options(
        data_dir=place,
        profile=Profile.PLAIN,
        read_as=read_as(date_format="epoch_ms"),
        overrides={"data.prepared": "off", "runtime.currency": "USDT", "runtime.equity_start": "100000"},
    )
    plan = replay_plan(options, [trades], "csv")

    made = kind()

    begun = process_time()
    run_session(
        msgspec.structs.replace(plan, default_strategies=lambda: (made,)),
        progress=lambda share, moment: None,
        stop=StopFlag(),
    )
    took = process_time() - begun
    if isinstance(made, WithBars) and not made.seen:
        raise SystemExit("no bar was told: what was measured is no replay with bars")
    return took


def _target(what: str, value: float, bar: float) -> dict[str, Any]:
    return {"what": what, "value": value, "bar": bar, "at_least": False, "met": value <= bar, "floor": None}


def show(report: dict[str, Any]) -> str:
    rows = [[name, f"{us} µs"] for name, us in report["us_per_row"].items()]
    rows += [["share of bars", f"{report['share']:.1%}"], ["memory, x tuples", f"{report['memory']}"]]
    return "\n\n".join([table(["bars", "a trade row"], rows), targets_table(report["targets"])])


if __name__ == "__main__":
    sys.exit(run_suite("bars", __doc__, "one run of fewer rows", sys.argv[1:], measure, show))
