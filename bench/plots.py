"""Two pictures of one dispatcher measurement: throughput as bars, P0 p99 by load on a log scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS, PEER, TARGET = "#1f5fa8", "#b9bfc7", "#c0392b"
SOURCE_STYLE = {"loop": ("o", "#1f5fa8"), "thread": ("s", "#e08214"), "process": ("D", "#35978f")}


def draw(report: dict[str, Any], directory: Path) -> list[Path]:
    """Write the pictures; the paths. Nothing when matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    return [
        _throughput(report, directory / "dispatcher-throughput.png"),
        _latency(report, directory / "dispatcher-p0-latency.png"),
    ]


def _throughput(report: dict[str, Any], path: Path) -> Path:
    from matplotlib import pyplot as plt

    ours = {f"QTS {name}": rate for name, rate in report["throughput"].items() if name.endswith("made")}
    ours |= {f"QTS {name}": rate for name, rate in report["throughput"].items() if name.endswith("on the loop")}
    ours.pop("QTS bare call, made", None)
    peers = {name: rates["made"] for name, rates in report["peers"]["throughput"].items()}
    rows = sorted([*ours.items(), *peers.items()], key=lambda row: row[1])
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.6), layout="constrained")
    rates = [rate / 1e6 for _, rate in rows]
    bars = axes.barh([name for name, _ in rows], rates, color=[OURS if n in ours else PEER for n, _ in rows])
    axes.bar_label(bars, labels=[f"{value:.2f}" for value in rates], padding=4, fontsize=9)
    bus = peers.get("nautilus MessageBus.publish")
    if bus:
        axes.axvline(1.5 * bus / 1e6, color=TARGET, linestyle="--", linewidth=1.2)
        axes.annotate(
            "1.5 × nautilus\nMessageBus",
            (1.5 * bus / 1e6, 0),
            xytext=(5, 2),
            textcoords="offset points",
            color=TARGET,
            fontsize=8.5,
        )
    axes.set_xlabel("million events a second: made, published, handled (one thread; longer is better)")
    axes.set_xlim(0, max(rates) * 1.15)
    axes.set_title("Throughput to a handler that does nothing", loc="left", fontsize=12)
    return _save(figure, axes, path)


def _latency(report: dict[str, Any], path: Path) -> Path:
    from matplotlib import pyplot as plt

    ours = {"no dispatcher at all": report["floor"], **report["latency"]}
    peers = report["peers"]["latency"]
    loads = list(ours)
    figure, axes = plt.subplots(figsize=(11, 0.62 * len(loads) + 2.2), layout="constrained")
    places = {load: len(loads) - 1 - index for index, load in enumerate(loads)}
    for offset, (source, (shape, colour)) in zip((0.2, 0.0, -0.2), SOURCE_STYLE.items(), strict=True):
        values = [ours[load][source][headline(source)]["p99"] for load in loads]
        axes.scatter(
            values,
            [places[load] + offset for load in loads],
            marker=shape,
            color=colour,
            s=44,
            zorder=3,
            label=f"QTS, P0 from {'the loop (since sent)' if source == 'loop' else f'a {source} (since due)'}",
        )
    for shape, (peer, rows) in zip("vX^P", peers.items(), strict=False):
        known = [load for load in loads if load in rows]
        axes.scatter(
            [rows[load]["from_due_us"]["p99"] for load in known],
            [places[load] - 0.2 for load in known],
            marker=shape,
            color="#7d858f",
            s=44,
            zorder=2,
            label=f"{peer}, P0 from a process (since due)",
        )
    axes.set_xscale("log")
    ticks = [10.0**power for power in range(1, 8)]
    largest = max(
        [figures["p99"] for row in ours.values() for s in SOURCE_STYLE for figures in [row[s]["from_due_us"]]]
        + [row["from_due_us"]["p99"] for rows in peers.values() for row in rows.values()]
    )
    axes.set_xticks([tick for tick in ticks if tick <= largest * 10], minor=False)
    axes.set_xticklabels([_round_time(tick) for tick in axes.get_xticks()])
    axes.set_xlim(10, largest * 2.5)
    axes.set_yticks(list(places.values()), list(places))
    for limit, style in ((200.0, ":"), (1_000.0, "--")):
        axes.axvline(limit, color=TARGET, linestyle=style, linewidth=1, zorder=1)
        axes.annotate(
            f"bar {_round_time(limit)}",
            (limit, len(loads) - 0.45),
            color=TARGET,
            fontsize=8.5,
            ha="center",
            va="bottom",
        )
    axes.set_ylim(-0.6, len(loads) - 0.4)
    axes.set_xlabel("p99 until the P0 handler starts (log scale; further left is better)")
    axes.set_title("How long a fill waits under load", loc="left", fontsize=12, pad=18)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8.5, frameon=False)
    return _save(figure, axes, path)


def _round_time(us: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{us / size:.0f} {unit}"
    return f"{us:.0f} µs"


def headline(source: str) -> str:
    """The loop's own timers are late by up to a millisecond, so from there "sent" is what the dispatcher owes."""
    return "from_sent_us" if source == "loop" else "from_due_us"


def _save(figure: Any, axes: Any, path: Path) -> Path:
    from matplotlib import pyplot as plt

    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", zorder=0)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
