"""The dispatcher beside its peers in one run: throughput, P0 under load, memory.

``python -m bench.dispatcher [--quick] [--json] [--out DIR] [--loop auto|asyncio|uvloop]``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import journal, latency, memory, peers, throughput
from bench.figures import QUICK_RUNS, RUNS, about, machine, median_ratio, micros, rate, table, targets_table
from bench.loads import HOSTILE_NAMES, LOADS, QUICK_LOADS
from bench.plots import draw, headline
from bench.producers import SOURCES
from bench.suite import parser_of, print_report

PEER_EVENTS = 60_000
QUICK_PEER_LOADS = ("idle", "flood")
NewLoop = Callable[[], asyncio.AbstractEventLoop]
BARS = (
    "throughput ≥ 1.5 × nautilus MessageBus.publish",
    "flood: loop p99 ≤ 100 µs; thread, process p99 ≤ 1 ms since due",
    "hostile: loop, process p99 ≤ 200 µs, p99.9 ≤ 2 ms; thread p99 ≤ 1 ms since due",
    "P0 lost or handled twice: 0; memory ≤ 64 MB",
)


def measure(*, quick: bool = False, loop: str = "auto") -> dict[str, Any]:
    """Everything, as plain data."""
    name, new_loop = loop_named(loop)
    runs = QUICK_RUNS if quick else RUNS
    report: dict[str, Any] = {"machine": machine() | {"loop": name}, "runs": runs, "quick": quick}
    report["memory"] = memory.measure()
    report["throughput"], report["peers"] = measure_throughput(runs, 30_000 if quick else 60_000, new_loop)
    report["latency"] = latency.measure(
        QUICK_LOADS if quick else LOADS, runs, 200 if quick else latency.COUNT, new_loop
    )
    report["floor"] = latency.floor(runs, 200 if quick else latency.COUNT, new_loop)
    report["journal"] = journal.measure(runs, quick, new_loop)
    report["peers"]["latency"] = peer_latency(0.1 if quick else 1.0, 200 if quick else latency.COUNT, new_loop)
    report["targets"] = judge(report)
    return report


def measure_throughput(runs: int, events: int, new_loop: NewLoop) -> tuple[dict[str, Any], dict[str, Any]]:
    """QTS and peers in turns, so that a busy minute hits them all."""
    cases = throughput.cases(events, new_loop)
    found, missing = peers.available()
    for peer in found:
        for made in (True, False):
            cases[f"{peer.name}|{'made' if made else 'ready'}"] = _peer_case(peer, made, events, new_loop)
    rates = throughput.runs_of(cases, runs)
    ours = {name: values for name, values in rates.items() if "|" not in name}
    theirs: dict[str, Any] = {}
    for name, values in rates.items():
        if "|" in name:
            peer_name, _, how = name.partition("|")
            row = theirs.setdefault(peer_name, {})
            row[how] = throughput.median(values)
            row[f"ratio_{how}"] = median_ratio(ours[f"P1 {how}"], values)
    return (
        {name: throughput.median(values) for name, values in ours.items()},
        {"throughput": theirs, "missing": missing},
    )


def _peer_case(peer: type[peers.Peer], made: bool, events: int, new_loop: NewLoop) -> Callable[[], float]:
    many = events if peer is peers.NautilusBus else min(events, PEER_EVENTS)

    def case() -> float:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(peer().rate(many, made=made))

    return case


def peer_latency(share: float, count: int, new_loop: NewLoop) -> dict[str, Any]:
    """P0 from another process under the loads a peer can be given, once: these waits are seconds, not noise."""
    found: dict[str, Any] = {}
    for peer in peers.available()[0]:
        if peer is peers.NautilusBus:
            continue
        for load, jobs in peers.PEER_LOADS.items():
            if share < 1 and load not in QUICK_PEER_LOADS:
                continue
            with asyncio.Runner(loop_factory=new_loop) as runner:
                figures = runner.run(peers.p0_latency(peer(), jobs(share), count))
            found.setdefault(peer.name, {})[load] = figures
    return found


def judge(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each bar beside what was measured; ``met`` None when it could not be measured here."""
    rows = []

    def add(
        what: str, value: float | None, bar: float, *, at_least: bool = False, floor: float | None = None
    ) -> None:
        met = None if value is None else (value >= bar if at_least else value <= bar)
        rows.append({"what": what, "value": value, "bar": bar, "at_least": at_least, "met": met, "floor": floor})

    bus = report["peers"]["throughput"].get(peers.NautilusBus.name)
    add("P1 made, ratio to nautilus MessageBus.publish", bus["ratio_made"] if bus else None, 1.5, at_least=True)
    for load, row in report["latency"].items():
        if load.startswith("flood"):
            bounds = {"loop": (100.0, None), "thread": (1_000.0, None), "process": (1_000.0, None)}
        elif load in HOSTILE_NAMES:
            bounds = {"loop": (200.0, 2_000.0), "thread": (1_000.0, None), "process": (200.0, 2_000.0)}
        else:
            continue
        for source, (p99, p999) in bounds.items():
            figures, floor = row[source][headline(source)], report["floor"][source][headline(source)]
            add(f"{load}: P0 from {source}, p99 µs", figures["p99"], p99, floor=floor["p99"])
            if p999 is not None:
                add(f"{load}: P0 from {source}, p99.9 µs", figures["p999"], p999, floor=floor["p999"])
    p0_rows = [row["p0"] for row in report["latency"].values()]
    add("P0 lost", sum(counters["lost"] for counters in p0_rows), 0)
    add("P0 handled twice", sum(counters["twice"] for counters in p0_rows), 0)
    add("memory with all queues full, MB", report["memory"]["mb"], 64)
    return rows + journal.judge(report["journal"])


def show(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    parts = [f"{about(report)} Loop: {report['machine']['loop']}."]
    parts.append(_show_throughput(report))
    parts.append(_show_latency(report))
    parts.extend(journal.show(report["journal"]))
    parts.append(
        f"memory with all queues full: {report['memory']['mb']} MB (process {report['memory']['process_mb']} MB)"
    )
    parts.append(targets_table(report["targets"]))
    parts.extend(f"{name}: left out, {why}" for name, why in report["peers"]["missing"].items())
    return "\n\n".join(parts)


def _show_throughput(report: dict[str, Any]) -> str:
    rows = []
    ours = report["throughput"]
    for name in throughput.KINDS:
        loop = ours[f"{name} made, on the loop"]
        rows.append([f"QTS {name}", rate(ours[f"{name} made"]), rate(ours[f"{name} ready"]), rate(loop), ""])
    for name, row in report["peers"]["throughput"].items():
        rows.append([name, rate(row["made"]), rate(row["ready"]), "", f"{row['ratio_made']:.2f} ×"])
    rows.append(["(bare function call)", rate(ours["bare call, made"]), "", "", ""])
    return table(["throughput, one thread", "made", "ready", "made, on loop", "QTS P1 is"], rows)


def _show_latency(report: dict[str, Any]) -> str:
    rows = []
    for load, row in {"no dispatcher at all": report["floor"], **report["latency"]}.items():
        for source in SOURCES:
            due, sent = row[source]["from_due_us"], row[source]["from_sent_us"]
            rows.append(
                [
                    f"{load} · P0 from {source}",
                    *(micros(due[key]) for key in ("p50", "p99", "p999", "max")),
                    *(micros(sent[key]) for key in ("p50", "p99")),
                    str(row["p0"]["lost"]),
                    "",
                ]
            )
    for peer, loads in report["peers"]["latency"].items():
        for load, row in loads.items():
            due, ours = row["from_due_us"], report["latency"].get(load)
            ratio = due["p99"] / ours["process"]["from_due_us"]["p99"] if ours else None
            rows.append(
                [
                    f"{peer} · {load} · P0 from process",
                    *(micros(due[key]) for key in ("p50", "p99", "p999", "max")),
                    "",
                    "",
                    str(row["lost"]),
                    f"{ratio:,.1f} ×" if ratio else "",
                ]
            )
    header = ["wait of P0", "due p50", "p99", "p99.9", "max", "sent p50", "p99", "lost", "QTS p99 is shorter"]
    return table(header, rows)


def loop_named(name: str) -> tuple[str, NewLoop]:
    """The kind of event loop asked for; "auto" is what a session uses: uvloop where it is installed."""
    if name in ("auto", "uvloop"):
        try:
            import uvloop

            return "uvloop", uvloop.new_event_loop
        except ImportError:
            if name == "uvloop":
                raise SystemExit("uvloop is not installed: pip install -e '.[fast]'") from None
    return "asyncio", asyncio.new_event_loop


def main(argv: list[str]) -> int:
    parser = parser_of("dispatcher", __doc__, "fewer runs and loads; half a minute")
    parser.add_argument("--out", type=Path, default=Path("bench/out"), help="where plots are written")
    parser.add_argument("--loop", choices=("auto", "asyncio", "uvloop"), default="auto")
    chosen = parser.parse_args(argv)
    report = measure(quick=chosen.quick, loop=chosen.loop)
    report["plots"] = [str(path) for path in draw(report, chosen.out)]
    return print_report(report, show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
