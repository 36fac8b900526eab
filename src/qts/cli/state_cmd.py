"""``qts state``: the operating state with its reasons, and its moves over a history.

Everything that does work is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qts.cli.operator_cmd import add_command
from qts.cli.run_selection import STATE_FILE, add_run_option, run_line, selected_run
from qts.errors import DataError
from qts.wording import counted

if TYPE_CHECKING:
    from qts.cli.market_time import MarketTime
    from qts.runtime.control.commands import Command
    from qts.state.operating_state import OperatingStateManager

MOST_OVERRIDE_DAYS = 7
PLOT_FORMATS = (".png", ".svg", ".html")


def add_parser(subparsers: Any) -> None:
    """Add ``state`` with its commands ``show``, ``backtest``, ``override`` and ``clear-override``."""
    state = subparsers.add_parser("state", help="the operating state: show it, set it, replay it over a history")
    state.set_defaults(func=lambda args: _usage(state))
    commands = state.add_subparsers(title="commands", metavar="COMMAND")
    show = commands.add_parser("show", help="the stored state, why it is so, and what would change it")
    add_run_option(show)
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(func=run_show)
    test = commands.add_parser(
        "backtest",
        help="replay daily closes and volatility through the governor",
        description="Replays a CSV with the columns date, close, vix through the real governor on a virtual clock.",
    )
    test.add_argument(
        "file", metavar="FILE.csv", help="columns date, close, vix in any order and case; others are ignored"
    )
    test.add_argument("--json", action="store_true", help="print a list of {date, time, from, to, reason}")
    test.add_argument("--encoding", metavar="NAME", help="encoding of FILE, such as cp949 (default utf-8)")
    test.add_argument(
        "--delimiter", metavar="MARK", help="comma, semicolon, tab or pipe (default: detected from its first line)"
    )
    test.add_argument("--date-format", metavar="FORM", help="form of its dates, such as %%m/%%d/%%Y")
    test.add_argument("--plot", metavar="OUT", type=Path, help="draw the timeline: OUT.png, OUT.svg or OUT.html")
    test.set_defaults(func=run_backtest)
    override = add_command(
        commands, "override", _override, "set the operating state of a running session for a limited time"
    )
    override.add_argument("state", choices=("AGGRESSIVE", "BALANCED", "DEFENSIVE"), help="the state to hold")
    override.add_argument(
        "--days", type=_days, default=1.0, metavar="N", help="for how long, at most 7 (default 1)"
    )
    add_command(commands, "clear-override", _clear_override, "end the override of a running session")


def _override(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Override

    return Override(operator=args.operator, reason=args.reason, state=args.state, days=args.days)


def _clear_override(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import ClearOverride

    return ClearOverride(operator=args.operator, reason=args.reason)


def load_state(data_dir: Path) -> dict[str, Any]:
    """Return what the run in ``data_dir`` stored last, as ``OperatingStateManager.restore_state`` takes it.

    Raises :class:`~qts.errors.DataError` when there is none.
    """
    from qts.runtime.persistence.run_reader import checkpoint_part
    from qts.state.store import FileStateStore

    stored = checkpoint_part(data_dir, "state") or FileStateStore(data_dir / STATE_FILE).load()
    if stored is None:
        raise DataError(
            f"{data_dir} holds no operating state ({STATE_FILE}); give the directory of a run with --data-dir"
        )
    return stored


def run_show(args: argparse.Namespace) -> int:
    """Run ``qts state show``: exit code 0, or 2 when there is no run."""
    meant = selected_run(args.data_dir)
    data_dir = meant.directory
    manager, basis = _manager_in(data_dir), _basis_in(data_dir)
    if args.json:
        print(
            json.dumps(
                {"run": str(data_dir)} | _show_object(manager) | {"basis": basis}, ensure_ascii=False, indent=2
            )
        )
    else:
        from qts.cli.market_time import MarketTime

        print(run_line(meant))
        _print_state(manager, basis, MarketTime.of_run(data_dir))
    return 0


def run_backtest(args: argparse.Namespace) -> int:
    """Run ``qts state backtest``: exit code 0, or 2 when the file cannot be used."""
    from qts.market.files.reading import read_as
    from qts.state.backtest import SkippedRow, backtest, read_series, transition_rows

    if args.plot is not None and args.plot.suffix.lower() not in PLOT_FORMATS:
        raise DataError(f"--plot {args.plot}: the ending must be one of {', '.join(PLOT_FORMATS)}")
    if args.plot is not None:
        from qts.report.output_path import require_output_path
        from qts.runtime.session.outputs import Input, require_distinct_files

        require_output_path("the plot", args.plot)  # before the work, not after it
        require_distinct_files({"the plot": args.plot}, [Input("the history", Path(args.file))])
    declared = read_as(encoding=args.encoding, delimiter=args.delimiter, date_format=args.date_format)
    examples: list[SkippedRow] = []
    rows, skipped = read_series(args.file, read_as=declared, examples=examples)
    transitions = backtest(rows)
    if skipped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.items())
        print(f"{counted(sum(skipped.values()), 'row')} skipped: {reasons}", file=sys.stderr)
        for one in examples:
            print(f"{args.file}, {one.text()}", file=sys.stderr)
    if args.plot is not None:
        from qts.report.state_plot import write_state_plot

        title = os.fsencode(Path(args.file).name).decode(errors="replace")  # a name need not be text
        write_state_plot(args.plot, rows, transitions, title=title, skipped=skipped)
        print(f"plot written to {args.plot}", file=sys.stderr)
    if args.json:
        print(json.dumps(transition_rows(transitions), ensure_ascii=False, indent=2))
    else:
        _print_backtest(args.file, rows, transitions)
    return 0


def _days(text: str) -> float:
    """Return an override's length in days: above 0, at most 7."""
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= MOST_OVERRIDE_DAYS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of days above 0 and at most {MOST_OVERRIDE_DAYS}"
        )
    return days


def _usage(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 2


def _manager_in(data_dir: Path) -> OperatingStateManager:
    """Return the stored governor under its run's thresholds; its clock stands at the moment of storing."""
    from qts.clock import ManualClock, from_ns
    from qts.runtime.persistence.run_reader import states_config
    from qts.state.operating_state import OperatingStateManager

    stored = load_state(data_dir)
    clock = ManualClock(from_ns(int(stored.get("as_of_ns", 0))))
    manager = OperatingStateManager(states_config(data_dir).state, clock=clock)
    manager.restore_state(stored)
    return manager


def _basis_in(data_dir: Path) -> dict[str, Any] | None:
    """Return the inputs by which the run's operating state was evaluated; None where no run is stored."""
    from qts.runtime.persistence.run_reader import stored_basis

    return stored_basis(data_dir)


def _show_object(manager: OperatingStateManager) -> dict[str, Any]:
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(
        {
            "snapshot": manager.get_snapshot(),
            "statistics": manager.statistics(),
            "forecast": manager.forecast(),
        }
    )
    return shown


def _print_state(manager: OperatingStateManager, basis: dict[str, Any] | None, time: MarketTime) -> None:
    from rich.markup import escape
    from rich.table import Table

    from qts.cli.console import Screen
    from qts.state.reasons import sentence

    console = Screen(highlight=False)
    now, stats = manager.get_snapshot(), manager.statistics()
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (
        (
            "operating state",
            f"{now.state.value} for {now.state_duration_days:.1f} days (as of {time.minute(now.as_of)})",
        ),
        ("before", now.previous_state.value if now.previous_state else "none: this is the first state"),
        ("why", sentence(now.last_record.reason) if now.last_record else "the state of the first start"),
        ("safety", now.safety_state.value + (", trading halted" if now.halted else "")),
        ("override", _override_text(now, time)),
        ("confirmation", _pending_text(now)),
        ("earliest change", f"{time.minute(now.hold_until)} (a move to DEFENSIVE does not wait for it)"),
        ("days in state", ", ".join(f"{state} {days:.1f}" for state, days in stats.days_in_state.items())),
        (
            "transitions",
            f"{stats.transitions_30d} in 30 days, {stats.transitions_total} in total, {stats.forced_total} forced",
        ),
        (
            "average time in a state",
            "unknown" if stats.average_duration_days is None else f"{stats.average_duration_days:.1f} days",
        ),
    ):
        facts.add_row(name, escape(value))
    console.print(facts)
    if basis is not None:
        from qts.report.state_basis import basis_lines

        for english, _ in basis_lines(basis):
            console.print(escape(english))
    console.print(_forecast_table(manager))
    for rule in manager.forecast():
        if rule.held_back_by:
            console.print(f"{rule.rule} waits: {'; '.join(map(sentence, rule.held_back_by))}")
    if stats.last:
        console.print(_transition_table("Last transitions", stats.last, time))


def _override_text(now: Any, time: MarketTime) -> str:
    if now.override is None:
        return "none"
    given = now.override
    until = time.minute(given.expiry_time)
    return f"{given.override_state.value} by {given.operator_id} until {until}: {given.override_reason}"


def _pending_text(now: Any) -> str:
    if now.pending is None:
        return "none pending"
    return f"{now.pending.rule}: met in {counted(now.pending.evaluations, 'evaluation')}"


def _forecast_table(manager: OperatingStateManager) -> Any:
    from rich.table import Table

    table = Table(title="What would change the state", title_justify="left")
    for column in ("rule", "condition", "holds", "change needed"):
        table.add_column(column, overflow="fold")
    for rule in manager.forecast():
        for index, clause in enumerate(rule.clauses):
            table.add_row(
                f"{rule.rule} ({rule.mode})" if index == 0 else "",
                clause.text,
                "yes" if clause.holds else "no",
                "" if clause.gap is None or clause.holds else f"{clause.gap:+.4g}",
            )
        table.add_section()
    return table


def _print_backtest(file: str, rows: Any, transitions: Any) -> None:
    from rich.markup import escape

    from qts.cli.console import Screen
    from qts.cli.market_time import MarketTime
    from qts.state.backtest import days_in_state

    console = Screen(highlight=False)
    console.print(
        f"{escape(file)}: {counted(len(rows), 'day')}, {rows[0].day} to {rows[-1].day}, "
        f"{counted(len(transitions), 'transition')}"
    )
    if transitions:
        console.print(_transition_table("Transitions", transitions, MarketTime()))
    shares = days_in_state(rows, transitions)
    console.print(
        ", ".join(
            f"{state.value} {counted(count, 'day')} ({count / len(rows):.0%})" for state, count in shares.items()
        )
    )


def _transition_table(title: str, records: Any, time: MarketTime) -> Any:
    from rich.markup import escape
    from rich.table import Table

    from qts.clock import from_ns
    from qts.state.reasons import sentence

    table = Table(title=title, title_justify="left")
    for column in ("date", time.zone, "from", "to", "reason"):
        table.add_column(column, overflow="fold")
    for record in records:
        when = time.local(from_ns(record.ts_ns))
        moved = (record.from_state.value, record.to_state.value)
        table.add_row(f"{when:%Y-%m-%d}", f"{when:%H:%M}", *moved, escape(sentence(record.reason)))
    return table
