"""Stops a paper session that trades at every quote, again and again, and tells when its last new order left.

    python -m bench.stop --stops 100 [--speed 60] [--unread] [--json]
    python -m bench.stop --stops 5 --exhausted descriptors|disk

A child runs the session and notes, in a file that both map into memory, when the exchange is given an entry. The
parent stops it by command, by file and by signal in turn, half of them with a sale, looks when the last entry left
after the rename of the file or the return of ``kill()``, and releases it. A stop after which none left counts as 0.
``effect`` is when the stop was carried out: safety locked down, the cancels sent. Times by the machine's monotonic
clock, which both processes share. ``--unread``: the child prints 5 KB a quote into a pipe
that is not read. The bar is 100 ms for the last order, at the 99th percentile.

``--exhausted``: a session for each stop, whose output is not read. Before the stop every descriptor that the child
may have is in use, or no file of it can grow. Either ends its entries by itself sooner or later (by FS062, or by an
intent that cannot be stored, which ends the session), so it is counted how many stops were still carried out.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bench.figures import machine, percentile

WAYS = ("command", "file", "signal")
STRATEGIES = ("one", "two")
BAR_MS = 100.0
ENTRIES, LAST_ENTRY_NS, EFFECTS, LAST_EFFECT_NS, EXHAUSTED = range(5)
RESOURCES = {"descriptors": resource.RLIMIT_NOFILE, "disk": resource.RLIMIT_FSIZE}
QUOTES_PER_S = 2
"""Of market time."""
DAY_S = 6 * 3600
LIMIT_S = 30.0


class DayIsOver(Exception):
    """The tape came to its end: what is left is measured in another session."""


class Shared:
    """Five numbers in a file that both processes map, each written as a whole."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(64))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 64)

    def __getitem__(self, which: int) -> int:
        (value,) = struct.unpack_from("q", self._map, 8 * which)
        return int(value)

    def __setitem__(self, which: int, value: int) -> None:
        struct.pack_into("q", self._map, 8 * which, value)


def write_tape(path: Path) -> None:
    begin = datetime(2026, 1, 22, 9, 1, tzinfo=ZoneInfo("Asia/Seoul"))
    step = timedelta(seconds=1 / QUOTES_PER_S)
    with open(path, "w", encoding="utf-8") as file:
        file.write("ts,symbol,bid,ask,bid_size,ask_size\n")
        for number in range(DAY_S * QUOTES_PER_S):
            bid = 150_000 + number % 3 * 100
            file.write(f"{(begin + number * step).isoformat()},005930,{bid},{bid + 100},500,500\n")


def exhaust(what: str) -> None:
    """Leave this process no free descriptor, or no file that can grow."""
    room = 0
    if what == "descriptors":
        room = max(map(int, os.listdir("/proc/self/fd"))) + 1
    resource.setrlimit(RESOURCES[what], (room, resource.getrlimit(RESOURCES[what])[1]))
    with suppress(OSError):
        while what == "descriptors":
            os.open(os.devnull, os.O_RDONLY)  # as something that leaks them


def child(directory: Path, speed: float, *, unread: bool, exhausted: str) -> None:
    """The session, with two ears: where an entry is handed to the exchange, and where a stop is carried out."""
    from qts.broker.sim.exchange import SimExchange
    from qts.capital.contracts import Pool
    from qts.cli.kill_signals import kill_by_signal
    from qts.errors import QtsError
    from qts.runtime.control.stop_flag import StopFlag
    from qts.runtime.control.stops import Stops
    from qts.runtime.drivers.standard_output import redirected_output
    from qts.runtime.session.session import run_session
    from qts.runtime.session.session_plan import Options
    from qts.runtime.wiring.plans import paper_plan
    from qts.strategy.contracts import Intent, Side

    shared = Shared(directory / "shared")
    place, carry_out = SimExchange.place, Stops.on_event

    async def placed(self: Any, approved: Any) -> Any:
        answer = await place(self, approved)
        if not approved.request.reduce_only:
            shared[LAST_ENTRY_NS] = time.monotonic_ns()
            shared[ENTRIES] += 1
        return answer

    async def carried_out(self: Any, event: Any) -> None:
        await carry_out(self, event)
        shared[LAST_EFFECT_NS] = time.monotonic_ns()
        shared[EFFECTS] += 1

    SimExchange.place, Stops.on_event = placed, carried_out  # type: ignore[method-assign]

    class Busy:
        symbols: Sequence[str] = ()
        pool = Pool.SWING

        def __init__(self, name: str) -> None:
            self.name = name

        def on_start(self, ctx: Any) -> None:
            """Nothing to prepare."""

        def on_quote(self, ctx: Any, quote: Any) -> Iterable[Intent]:
            if unread:
                print("x" * 5_000)
            if ctx.holding(quote.symbol) >= 20:
                return (Intent(quote.symbol, Side.SELL, 1.0),)
            return (Intent(quote.symbol, Side.BUY, 1.0, qty=1),)

        def on_bar(self, ctx: Any, bar: Any) -> Iterable[Intent]:
            return ()

        def on_fill(self, ctx: Any, fill: Any) -> None:
            """It looks at its holding."""

    state = "state.properties"
    settings = {f"{state}.{name}.max_daily_trades": "100000" for name in ("aggressive", "balanced", "defensive")}
    options = Options(data_dir=directory / "run", speed=speed, overrides=settings)
    plan = paper_plan(options, str(directory / "tape.csv"), None)

    def strategies() -> list[Any]:
        return [Busy(name) for name in STRATEGIES]

    import msgspec

    plan = msgspec.structs.replace(plan, default_strategies=strategies)
    stop = StopFlag()

    def no_more(number: int, frame: object) -> None:
        exhaust(exhausted)
        shared[EXHAUSTED] = 1

    if exhausted:
        signal.signal(signal.SIGHUP, no_more)
    signal.signal(signal.SIGTERM, lambda number, frame: stop.request())
    with kill_by_signal(stop.kill, listens=True), redirected_output():
        try:
            run_session(plan, progress=lambda share, moment: None, stop=stop)
        except QtsError:  # as the command does; the interpreter's own traceback would wait for its reader
            raise SystemExit(3) from None


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    until = time.monotonic() + LIMIT_S
    while not condition():
        if process.poll() is not None:
            raise DayIsOver(f"the session ended with {process.returncode} while the bench waited for {what}")
        if time.monotonic() > until:
            raise SystemExit(f"nothing in {LIMIT_S:g} s: {what}")
        time.sleep(0.002)


def stopped_by(way: str, directory: Path, pid: int, *, sell: bool) -> int:
    """Stop the session; the moment (ns) at which the rename or ``kill()`` had returned."""
    from qts.runtime.control.command_files import write_command
    from qts.runtime.control.commands import Stop

    if way == "command":
        write_command(directory, Stop(operator="bench", reason="measure", liquidate=sell))
    elif way == "file":
        draft = directory / "draft"
        draft.touch()
        os.replace(draft, directory / "operator" / ("stop-sell" if sell else "stop-keep"))
    else:
        os.kill(pid, signal.SIGUSR2 if sell else signal.SIGUSR1)
    return time.monotonic_ns()


def release(directory: Path, process: subprocess.Popen[bytes]) -> None:
    from qts.runtime.control.command_files import write_command
    from qts.runtime.control.commands import Release

    while True:
        answer = write_command(directory, Release(operator="bench", reason="next"))
        wait_for(answer.exists, process, "the answer to the release")
        if json.loads(answer.read_text("utf-8"))["done"]:
            return


def measure(stops: int, speed: float, *, unread: bool) -> dict[str, Any]:
    times: dict[str, list[tuple[int, int]]] = {way: [] for way in WAYS}
    begun, entries, sessions = time.monotonic(), 0, 0
    while any(len(measured) < stops for measured in times.values()):
        sessions += 1
        before = sum(map(len, times.values()))
        entries += one_session(times, stops, speed, unread=unread)
        if sum(map(len, times.values())) == before:
            raise SystemExit("a whole session went by without a single stop")
    rows = {way: row_of(times[way]) for way in WAYS}
    worst = max(row["last_entry_ms"]["p99"] for row in rows.values())
    return {
        "machine": machine(),
        "speed": speed,
        "unread": unread,
        "sessions": sessions,
        "entries": entries,
        "took_s": round(time.monotonic() - begun, 1),
        "ways": rows,
        "p99_of_bar": round(worst / BAR_MS, 3),
    }


def one_session(times: dict[str, list[tuple[int, int]]], stops: int, speed: float, *, unread: bool) -> int:
    """Stop one session until there are enough, or its day is over; how many entries it has sent."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_tape(directory / "tape.csv")
        shared = Shared(directory / "shared")
        command = [sys.executable, "-m", "bench.stop", "--child", name, "--speed", str(speed)]
        process = subprocess.Popen(
            command + ["--unread"] * unread,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if unread else None,
        )
        try:
            while (done := sum(map(len, times.values()))) < stops * len(WAYS):
                one_stop(times[WAYS[done % len(WAYS)]], WAYS[done % len(WAYS)], directory, shared, process)
        except DayIsOver as over:
            print(over, file=sys.stderr)
        finally:
            process.terminate()
            process.wait()
        return shared[ENTRIES]


def exhausted_stop(way: str, exhausted: str, speed: float, *, sell: bool) -> tuple[int, bool]:
    """How long after the stop (ns) an entry left, 0: none did; and whether the stop was carried out."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_tape(directory / "tape.csv")
        shared = Shared(directory / "shared")
        command = [sys.executable, "-m", "bench.stop", "--child", name, "--speed", str(speed), "--unread"]
        process = subprocess.Popen(
            [*command, "--exhausted", exhausted], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            wait_for(lambda: shared[ENTRIES] >= 5, process, "five entries")
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: shared[EXHAUSTED] > 0, process, "the end of the room")
            at_ns = stopped_by(way, directory / "run", process.pid, sell=sell)
            with suppress(DayIsOver):
                wait_for(lambda: shared[EFFECTS] > 0, process, "the effect")
            time.sleep(0.15)  # whatever is still to come
            return max(shared[LAST_ENTRY_NS] - at_ns, 0), shared[EFFECTS] > 0
        finally:
            process.kill()
            process.communicate()


def measure_exhausted(stops: int, speed: float, exhausted: str) -> int:
    worst = 0.0
    for way in WAYS:
        measured = [exhausted_stop(way, exhausted, speed, sell=number % 2 == 0) for number in range(stops)]
        times = sorted(ns for ns, _ in measured)
        worst = max(worst, times[-1] / 1e6)
        done, later = sum(carried_out for _, carried_out in measured), sum(ns > 0 for ns in times)
        print(
            f"{way:8} {stops} stops, {done} carried out, {later} with a later entry, "
            f"the last of them after {times[-1] / 1e6:.3f} ms",
            flush=True,
        )
    return 0 if worst <= BAR_MS else 1


def one_stop(
    times: list[tuple[int, int]], way: str, directory: Path, shared: Shared, process: subprocess.Popen[bytes]
) -> None:
    seen, effects = shared[ENTRIES], shared[EFFECTS]
    wait_for(lambda: shared[ENTRIES] >= seen + 5, process, "five entries")
    at_ns = stopped_by(way, directory / "run", process.pid, sell=len(times) % 2 == 0)
    wait_for(lambda: shared[EFFECTS] > effects, process, "the effect")
    time.sleep(0.15)  # whatever is still to come
    measured = max(shared[LAST_ENTRY_NS] - at_ns, 0), shared[LAST_EFFECT_NS] - at_ns
    release(directory / "run", process)
    times.append(measured)


def row_of(times: Sequence[tuple[int, int]]) -> dict[str, Any]:
    entries, effects = sorted(one for one, _ in times), sorted(one for _, one in times)
    return {
        "stops": len(times),
        "with_a_later_entry": sum(one > 0 for one in entries),
        "last_entry_ms": figures(entries),
        "effect_ms": figures(effects),
    }


def figures(ordered: Sequence[int]) -> dict[str, float]:
    shares = {"p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99), "max": ordered[-1]}
    return {name: round(value / 1e6, 3) for name, value in shares.items()}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stop", description=__doc__)
    parser.add_argument("--stops", type=int, default=100, help="of each way (default 100)")
    parser.add_argument("--speed", type=float, default=60.0, help="times real time (default 60)")
    parser.add_argument("--unread", action="store_true", help="leave the output of the child unread")
    parser.add_argument("--exhausted", choices=[*RESOURCES], default="", help="leave the child nothing of this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.child is not None:
        child(chosen.child, chosen.speed, unread=chosen.unread, exhausted=chosen.exhausted)
        return 0
    if chosen.exhausted:
        return measure_exhausted(chosen.stops, chosen.speed, chosen.exhausted)
    report = measure(chosen.stops, chosen.speed, unread=chosen.unread)
    if chosen.json:
        print(json.dumps(report))
    else:
        for way, row in report["ways"].items():
            print(f"{way:8} {row['stops']} stops, {row['with_a_later_entry']} with a later entry")
            for name in ("last_entry_ms", "effect_ms"):
                print(f"    {name:14} " + "  ".join(f"{key} {value:8.3f}" for key, value in row[name].items()))
        print(f"p99 of the last entry is {report['p99_of_bar']} of the bar of {BAR_MS:g} ms")
    return 0 if report["p99_of_bar"] <= 1 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
