"""``qts safety``: the safety state with its causes, and the meaning of every code.

Everything that does work is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qts.cli.operator_cmd import add_command, add_scope
from qts.cli.run_selection import SAFETY_FILE, add_run_option, run_line, selected_run
from qts.cli.stop_cmd import add_alias
from qts.errors import DataError, InputError
from qts.wording import counted

if TYPE_CHECKING:
    from qts.runtime.control.commands import Command
    from qts.safety.scoped_stops import ScopedStop


def add_parser(subparsers: Any) -> None:
    """Add ``safety`` with its commands ``show``, ``codes``, ``stop`` and ``release``."""
    safety = subparsers.add_parser("safety", help="the safety state and the codes behind it")
    safety.set_defaults(func=lambda args: _usage(safety))
    commands = safety.add_subparsers(title="commands", metavar="COMMAND")
    show = commands.add_parser("show", help="the stored safety state, its causes and its history")
    add_run_option(show)
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(func=run_show)
    codes = commands.add_parser("codes", help="every code: its meaning, its effect, how to recover")
    codes.add_argument("code", nargs="*", metavar="CODE", help="only these, such as FS050 (default: all)")
    codes.add_argument("--json", action="store_true", help="print a list of objects")
    codes.set_defaults(func=run_codes)
    add_alias(commands)
    release = add_command(
        commands,
        "release",
        _release,
        "release a lockdown of a running session, or one part that was stopped",
        asks_broker=True,
    )
    add_scope(release, "release")


def _release(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Release

    return Release(
        operator=args.operator,
        reason=args.reason,
        strategy=args.only_strategy,
        symbol=args.only_symbol,
        pool=args.only_pool,
    )


def load_safety(data_dir: Path) -> dict[str, Any]:
    """Return what the run in ``data_dir`` stored last, as ``SafetyStateManager.restore_state`` takes it.

    Raises :class:`~qts.errors.DataError` when there is none.
    """
    from qts.runtime.persistence.run_reader import checkpoint_part
    from qts.state.store import FileStateStore

    stored = checkpoint_part(data_dir, "safety") or FileStateStore(data_dir / SAFETY_FILE).load()
    if stored is None:
        raise DataError(f"{data_dir} holds no safety state ({SAFETY_FILE}); give the directory of a run")
    return stored


def load_stops(data_dir: Path) -> list[ScopedStop]:
    """Read the scoped stops in force at the last checkpoint of the run in ``data_dir``, oldest first."""
    from qts.runtime.persistence.run_reader import checkpoint_part
    from qts.safety.scoped_stops import stops_of

    return stops_of(checkpoint_part(data_dir, "stops"))


def run_show(args: argparse.Namespace) -> int:
    """Run ``qts safety show``: exit code 0, or 2 when there is no run."""
    import msgspec

    from qts.cli.market_time import MarketTime
    from qts.cli.status_screen import stop_text
    from qts.clock import ManualClock, from_ns
    from qts.runtime.persistence.run_reader import states_config
    from qts.safety.scoped_stops import stop_row
    from qts.safety.state import SafetyStateManager

    meant = selected_run(args.data_dir)
    data_dir = meant.directory
    stored = load_safety(data_dir)
    clock = ManualClock(from_ns(int(stored.get("as_of_ns", 0))))
    manager = SafetyStateManager(states_config(data_dir).safety, clock=clock)
    manager.restore_state(stored)
    now, stops = manager.snapshot(), load_stops(data_dir)
    if args.json:
        shown = {
            "run": str(data_dir),
            "snapshot": now,
            "history": manager.history,
            "stops": [stop_row(stop) for stop in stops],
        }
        print(json.dumps(msgspec.to_builtins(shown), ensure_ascii=False, indent=2))
        return 0
    print(run_line(meant))
    time = MarketTime.of_run(data_dir)
    print(f"safety {now.state.value} since {time.second(now.since_ns)}")
    print(f"next   {now.next_step}")
    for stop in stops:
        print(f"stop   {stop_text(stop, time)}")
    for cause in now.causes:
        print(f"cause  {cause.code} seen {counted(cause.count, 'time')}, last {time.second(cause.last_ns)}")
    for change in manager.history[-10:]:
        moved = f"{change.from_state.value} → {change.to_state.value}"
        print(f"{time.second(change.ts_ns)}  {moved}  {change.actor}  {change.reason}")
    return 0


def run_codes(args: argparse.Namespace) -> int:
    """Run ``qts safety codes``: exit code 0, or 2 for a code that is in no catalogue."""
    import msgspec

    from qts.safety.codes import CATALOGUE

    unknown = [code for code in args.code if code not in CATALOGUE]
    if unknown:
        raise InputError(
            f"{', '.join(unknown)}: there is no such code; 'qts safety codes' lists all. A session treats an "
            "unknown one by its prefix: FS as FAIL, GR and AN as WARNING"
        )
    entries = [CATALOGUE[code] for code in args.code] or list(CATALOGUE.values())
    if args.json:
        print(json.dumps(msgspec.to_builtins(entries), ensure_ascii=False, indent=2))
        return 0
    for entry in entries:
        print(f"{entry.code}  {entry.target.value:8}  {entry.meaning}")
        print(f"       does: {entry.action}; clears: {entry.clears}; recover: {entry.recovery}")
    return 0


def _usage(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 2
