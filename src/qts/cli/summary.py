"""The summary of a session for people: what happened, why, and whether every invariant held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from qts.cli.market_time import MarketTime
from qts.performance import Performance
from qts.report.performance_rows import decided_by, performance_rows
from qts.report.report_data import rounded
from qts.report.state_basis import basis_lines
from qts.runtime.persistence.history_rows import with_code
from qts.runtime.session.result import ResultValues, SessionResult, failures_of, latency_cells
from qts.runtime.session.session_plan import PLAIN_TEXT, Profile
from qts.runtime.session.session_view import LIVE, MONEY, SIMULATED
from qts.safety.contracts import SafetyState
from qts.state.reasons import sentence
from qts.wording import counted

_SHOWN_TRANSITIONS = 12


def print_summary(console: Console, result: SessionResult, *, verbose: bool = False) -> None:
    """Print tables on ``console`` with the numbers of ``--json``.

    The invariants that held and the limits in force are printed when an invariant broke, or with ``verbose``, as
    the queues of a backtest are. Where the terminal is too narrow labels and sentences go on in the next line;
    amounts and names are never cut.
    """
    values = result.values
    head = "finished" if result.finished else "stopped, continue with --resume"
    console.rule(f"qts {values.command} · {head}")
    plain = values.profile == Profile.PLAIN.value
    if values.mode in MONEY:
        console.print(MONEY[values.mode], style="bold red" if values.mode == LIVE else "bold", highlight=False)
    elif values.command == "run":
        console.print(SIMULATED, highlight=False)
    console.print(_account(values))
    if plain:
        console.print(f"profile {PLAIN_TEXT}", highlight=False)
    else:
        console.print(_pools(values))
    for one in values.strategies:
        if params := one.get("params"):
            text = ", ".join(f"{name} = {value}" for name, value in params.items())
            console.print(f"parameters of {one['name']}: {text}", highlight=False, markup=False)
    if values.performance is not None:
        console.print(_performance(values, values.performance))
        has_failed = any(failures_of(values.strategies))
        for said in decided_by(values.performance, values.refusals, values.orders, has_failed=has_failed):
            console.print(said.en, highlight=False)
    if verbose or values.command != "backtest":  # a backtest is asked for its result, not for queues
        console.print(_events(values))
        console.print(_latency(values))
    # On the virtual clock nothing waits for a handler: the figures are in --json, they are no warning.
    overruns = values.latency_overstays if values.command == "run" else {}
    for name, one in overruns.items():
        times, longest = counted(one["count"], "time"), f"{one['longest_us']:,.0f} µs"
        console.print(
            f"[dim]slow handler: {name}, {times} over its limit, at most {longest}[/dim]", highlight=False
        )
    for english, _ in () if plain else basis_lines(values.state_basis):
        console.print(f"[dim]{english}[/dim]", highlight=False)
    zone = MarketTime(values.time_zone).zone
    if values.transitions:
        console.print(_transitions("Operating state", values.transitions, zone))
    if values.safety_changes:
        console.print(_transitions("Safety", [_with_code(row) for row in values.safety_changes], zone))
    _strategies(console, values.strategies)
    if (kept := values.quarantined) and kept["count"]:
        first = kept["first"]["notice"]
        text = f"NOT BOOKED: {counted(kept['count'], 'notice')} of the broker, the first: {first}; see the note"
        console.print(text, style="bold red", markup=False, highlight=False)
    for symbol, row in values.doubtful_prices.items():
        if row["in_doubt"]:
            console.print(f"IN DOUBT: impossible prices of {symbol}; see the note", style="bold red")
    if values.refusals:
        console.print(_counts("Rejected signals, by reason", values.refusals))
    needed_none = {
        "target already reached": values.targets_reached,
        "cancel that met no order": values.cancels_of_nothing,
    }
    if any(needed_none.values()):
        console.print(_counts("Signals that needed no order", {name: n for name, n in needed_none.items() if n}))
    if values.orders_unfilled:
        console.print(_counts("Orders without a fill, by reason", values.orders_unfilled))
    if values.rows_refused:
        console.print(_counts("Input rows that could not be used, by reason", values.rows_refused))
        for reason, examples in values.rows_refused_examples.items():
            for one in examples:
                console.print(_refused_row(reason, one), markup=False, highlight=False)
    _invariants(console, values.invariants, verbose=verbose)
    if verbose:
        limits = ", ".join(f"{name} {value}" for name, value in values.risk_limits.items())
        console.print(f"[dim]limits before the state's multiplier: {limits}[/dim]", highlight=False)
    for name, value in () if plain and not verbose else values.settings_of_the_command.items():
        console.print(f"[dim]set by this command: {name} = {value}[/dim]", highlight=False)
    for note in values.notes:
        console.print(f"[dim]note: {note}[/dim]", highlight=False)
    console.print(f"[dim]run directory: {result.directory}[/dim]", highlight=False)
    if values.report:
        console.print(f"report: {values.report}", highlight=False)


def _refused_row(reason: str, one: Mapping[str, Any]) -> str:
    """Return the place of a refused row, its value, what is allowed, and what to do where the text shows it."""
    column = f", column {one['column']}" if one["column"] else ""
    remedy = f"; {one['remedy']}" if one["remedy"] else ""
    return (
        f"  {one['file']}, line {one['line']}{column}: {reason} {one['value']!r}; allowed: {one['allowed']}{remedy}"
    )


def _account(values: ResultValues) -> Table:
    start, end = Decimal(values.equity_start), Decimal(values.equity_end)
    table = _table("Account", "", f"{values.currency}")
    table.add_row("equity at the start", rounded(start))
    table.add_row("equity at the end", rounded(end))
    booked = values.bookings or {}
    paid_in, paid_out = Decimal(booked.get("deposits", 0)), Decimal(booked.get("withdrawals", 0))
    if paid_in or paid_out:
        table.add_row("deposits, less withdrawals", rounded(paid_in - paid_out))
    if taken := Decimal(booked.get("contributions", 0)):
        table.add_row("shares taken over, at their value", rounded(taken))
    capital = start + paid_in - paid_out + taken
    table.add_row("result", f"{rounded(end - capital)} ({(end / capital - 1):+.2%})")
    if extremes := values.extremes:
        for label, key in (("max drawdown", "deepest_drawdown"), ("worst day, at its lowest", "worst_day")):
            fall = extremes[key]
            table.add_row(label, f"{rounded(0 - Decimal(fall['amount']))} ({0 - Decimal(fall['share']):.2%})")
        table.add_row("highest exposure", rounded(Decimal(extremes["highest_exposure"]["amount"])))
    table.add_row("fees and taxes", rounded(Decimal(values.fees) + Decimal(values.taxes)))
    if actions := values.corporate_actions:
        received, tax = Decimal(actions["dividends"]), Decimal(actions["dividend_tax"])
        table.add_row("dividends, less tax", f"{rounded(received - tax)} (tax {rounded(tax)})")
        if Decimal(actions["paid_for_fractions"]):
            table.add_row("paid for fractions at splits", rounded(Decimal(actions["paid_for_fractions"])))
    for symbol, qty in booked.get("external_positions", {}).items():
        table.add_row("held at the broker, not ours", f"{qty} {symbol}")
    table.add_row("orders sent", f"{values.orders:,}")
    table.add_row("fills", f"{values.fills:,}")
    plain = values.profile == Profile.PLAIN.value
    if values.forced_exits or not plain:
        table.add_row("exits forced by rule", f"{values.forced_exits:,}")
    if not plain:
        table.add_row("states at the end", f"{values.operating_state}, safety {values.safety_state}")
    elif values.safety_state != SafetyState.NORMAL.value:
        table.add_row("safety at the end", values.safety_state)
    return table


def _performance(values: ResultValues, found: Performance) -> Table:
    versus = ("buy and hold",) if found.versus is not None else ()
    table = _table("Performance", "", "result", *versus)
    table.columns[1].no_wrap = False
    for row in performance_rows(found, values.currency):
        table.add_row(row.label.en, row.ours.en, *((row.benchmark,) if versus else ()))
    return table


def _pools(values: ResultValues) -> Table:
    table = _table("Pools", "pool", "total", "realised", "unrealised")
    for name, row in values.pools.items():
        table.add_row(name, *(rounded(Decimal(row[key])) for key in ("total", "realized_pnl", "unrealized_pnl")))
    return table


def _strategies(console: Console, strategies: Sequence[Mapping[str, Any]]) -> None:
    """Print the halted strategies with their reasons, and the errors with their counts."""
    for text, is_halt in failures_of(strategies):
        console.print(text, style="bold red" if is_halt else "red", markup=False, highlight=False)


def _events(values: ResultValues) -> Table:
    title = f"Events · {values.events_per_s:,}/s, {values.wall_s:.1f} s"
    table = _table(title, "priority", "handled", "dropped", "collapsed", "rejected")
    for name, counts in values.queues.items():
        table.add_row(name, *(f"{counts[key]:,}" for key in ("handled", "dropped", "collapsed", "rejected")))
    return table


def _latency(values: ResultValues) -> Table:
    table = _table("Accept to handler start in µs", "priority", "samples", "p50", "p99", "max")
    for name, counts in values.queues.items():
        table.add_row(name, *latency_cells(values.latency_us_by_priority[name], counts["handled"]))
    return table


def _with_code(row: dict[str, str]) -> dict[str, str]:
    return row | {"reason": f"{with_code(row['code'], row['reason'])} ({row['actor']})"}


def _transitions(title: str, rows: list[dict[str, str]], zone: str) -> Table:
    shown = rows[-_SHOWN_TRANSITIONS:]
    table = _empty(title if len(shown) == len(rows) else f"{title} (last {len(shown)} of {len(rows)})")
    for column in (f"time ({zone})", "from", "to"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold", min_width=12)
    for row in shown:
        table.add_row(f"{row['date']} {row['time']}", row["from"], row["to"], sentence(row["reason"]))
    return table


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    table = _table(title, "reason", "count")
    for reason, count in sorted(counts.items(), key=lambda item: -item[1]):
        table.add_row(reason, f"{count:,}")
    return table


def _invariants(console: Console, invariants: Mapping[str, Mapping[str, Any]], *, verbose: bool) -> None:
    held = [name for name, row in invariants.items() if row["ok"] is True]
    broken = {name: row for name, row in invariants.items() if row["ok"] is False}
    unchecked = [name for name, row in invariants.items() if row["ok"] is None]
    if not broken and not verbose:
        return
    checks = sum(row["checks"] for row in invariants.values())
    console.print(
        f"Invariants: {len(held)} held in {counted(checks, 'check')}", style="green" if not broken else ""
    )
    for name, row in broken.items():
        console.print(f"  BREACHED {name}: {row.get('detail', '')}", style="bold red", highlight=False)
    console.print(f"[dim]  not checked in this session: {', '.join(unchecked) or 'none'}[/dim]", highlight=False)


def _empty(title: str) -> Table:
    """Return a table that fits a terminal of 80 columns and is wide enough for its title."""
    return Table(
        title=title,
        title_justify="left",
        min_width=min(len(title), 80),
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )


def _table(title: str, *columns: str) -> Table:
    table = _empty(title)
    for index, column in enumerate(columns):
        if index == 0:
            table.add_column(column, overflow="fold", min_width=8)
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table
