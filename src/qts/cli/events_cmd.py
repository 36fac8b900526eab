"""``qts events``: show and retry the P0 events in the journal of a run and its dead letters.

Everything that does work is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qts.errors import DataError
from qts.wording import counted

if TYPE_CHECKING:
    from qts.cli.market_time import MarketTime
    from qts.event.contracts import Event
    from qts.event.dead_letter import DeadLetter
    from qts.event.journal_recovery import JournalEntry, JournalReport

JOURNAL = "journal"
STATUSES = ("accepted", "applied", "parked", "withdrawn", "reopened")
LAST = 20


def add_parser(subparsers: Any) -> None:
    """Add ``events`` with ``journal list|show|replay`` and ``dead-letter list|show|replay``."""
    events = subparsers.add_parser("events", help="the journal of P0 events and the dead letters of a run")
    events.set_defaults(func=lambda args: _usage(events))
    kinds = events.add_subparsers(title="commands", metavar="COMMAND")

    journal = kinds.add_parser("journal", help="every P0 event that was accepted, with its status")
    journal.set_defaults(func=lambda args: _usage(journal))
    commands = journal.add_subparsers(title="commands", metavar="COMMAND")
    listing = _command(commands, "list", "counts, files, problems and the newest events", run_journal_list)
    listing.add_argument("--status", choices=STATUSES, help="only events with this status")
    listing.add_argument(
        "--last", type=int, default=LAST, metavar="N", help=f"show the newest N (default {LAST}, 0 = all)"
    )
    show = _command(commands, "show", "one event with its payload", run_journal_show)
    show.add_argument("which", metavar="EVENT", help="its number or its id")
    replay = _command(commands, "replay", "make the next start handle events again", run_journal_replay)
    replay.add_argument("which", metavar="EVENT", nargs="+", help="numbers or ids of applied or parked events")

    letters = kinds.add_parser("dead-letter", help="events whose handler failed finally")
    letters.set_defaults(func=lambda args: _usage(letters))
    commands = letters.add_subparsers(title="commands", metavar="COMMAND")
    _command(commands, "list", "every dead letter with its error", run_letters_list)
    show = _command(commands, "show", "one dead letter with its payload", run_letters_show)
    show.add_argument("which", metavar="EVENT", help="the event's id")
    replay = _command(commands, "replay", "make the next start try them again", run_letters_replay)
    replay.add_argument("which", metavar="EVENT", nargs="+", help="ids of events; every letter of each is tried")


def run_journal_list(args: argparse.Namespace) -> int:
    """Run ``qts events journal list``: exit code 4 when the journal contradicts itself."""
    from qts.cli.market_time import MarketTime

    report = _report(args.data_dir)
    entries = [one for one in report.entries.values() if args.status in (None, one.status_name)]
    shown = entries[-args.last :] if args.last > 0 else entries
    if args.json:
        _print_json(_summary(report) | {"shown": [_row(one) for one in shown]})
    else:
        _print_journal(report, shown, len(entries), MarketTime.of_run(args.data_dir))
    return 4 if report.problems else 0


def run_journal_show(args: argparse.Namespace) -> int:
    """Run ``qts events journal show``: exit code 2 when there is no such event."""
    entry = _find(_report(args.data_dir), args.which)
    shown = _row(entry) | {"event": _event_object(_event(entry))}
    _print_object(shown, args)
    return 0


def run_journal_replay(args: argparse.Namespace) -> int:
    """Run ``qts events journal replay``: exit code 2 for events that wait already, or while the run is running."""
    report = _report(args.data_dir)
    chosen = _once_each(_find(report, which) for which in args.which)
    _refuse_waiting(chosen)
    _reopen(args.data_dir, report, chosen)
    _print_reopened(chosen, as_json=args.json)
    return 0


def run_letters_list(args: argparse.Namespace) -> int:
    """Run ``qts events dead-letter list``: exit code 0, also when there is none."""
    from qts.cli.market_time import MarketTime

    letters = _letters(args.data_dir)
    if args.json:
        _print_json([_letter_row(letter) for letter in letters])
    elif letters:
        _print_letters(letters, MarketTime.of_run(args.data_dir))
    else:
        print("no dead letters")
    return 0


def run_letters_show(args: argparse.Namespace) -> int:
    """Run ``qts events dead-letter show``: exit code 2 when there is no such letter."""
    letter = _letter(args.data_dir, args.which)
    _print_object(_letter_row(letter) | {"event": _event_object(letter.event)}, args)
    return 0


def run_letters_replay(args: argparse.Namespace) -> int:
    """Run ``qts events dead-letter replay`` for every letter of the events, one for each handler that failed.

    Exit code 2 for events the journal does not hold (only P0 is there) and for those that are waiting already.
    """
    letters = [_letter(args.data_dir, which) for which in args.which]
    report = _report(args.data_dir)
    by_id = {entry.record.event_id: entry for entry in report.entries.values()}
    chosen = []
    for letter in letters:
        entry = by_id.get(letter.event.event_id)
        if entry is None:
            raise DataError(
                f"event {letter.event.event_id} ({letter.event.priority.name}) is not in the journal, which holds "
                "P0 alone and deletes files in which nothing is open; it can be tried again only by the process "
                "that runs (dispatcher.replay_dead_letter)"
            )
        chosen.append(entry)
    chosen = _once_each(chosen)
    _refuse_waiting(chosen)
    _reopen(args.data_dir, report, chosen)
    _print_reopened(chosen, as_json=args.json)
    return 0


def _command(commands: Any, name: str, text: str, run: Any) -> Any:
    parser = commands.add_parser(name, help=text)
    parser.add_argument("--data-dir", metavar="DIR", type=Path, required=True, help="the run's directory")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)
    return parser


def _usage(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 2


# -- reading ---------------------------------------------------------------------------------------------------


def journal_directory(data_dir: Path) -> Path:
    """Return the directory of the journal: ``data_dir`` itself or the one in it that holds journal files.

    Raises DataError when there is none.
    """
    from qts.event.journal_segments import segment_paths

    inside = sorted(path for path in data_dir.glob("*") if path.is_dir()) if data_dir.is_dir() else []
    for directory in (data_dir / JOURNAL, data_dir, *inside):
        if directory.is_dir() and segment_paths(directory):
            return directory
    raise DataError(f"{data_dir} holds no journal; 'qts run' keeps one in its --data-dir, a replay does not")


def _report(data_dir: Path) -> JournalReport:
    from qts.event.journal_recovery import read_journal

    return read_journal(journal_directory(data_dir))


def _find(report: JournalReport, which: str) -> JournalEntry:
    found = [e for e in report.entries.values() if which in (str(e.record.sequence), e.record.event_id)]
    if not found:
        numbers = (
            f"its numbers go from {min(report.entries)} to {max(report.entries)}"
            if report.entries
            else "it is empty"
        )
        raise DataError(f"the journal holds no event {which!r}; {numbers}")
    return found[-1]


def _event(entry: JournalEntry) -> Event | None:
    from qts.errors import ContractError
    from qts.event.codec import unpack_event

    try:
        return unpack_event(entry.record.body)
    except ContractError:
        return None


def _letters(data_dir: Path) -> list[DeadLetter]:
    """Return the dead letters from the file beside the journal, else from the run's last checkpoint."""
    from qts.event.dead_letter import DeadLetter, read_letters
    from qts.event.journal_bridge import DEAD_LETTERS
    from qts.runtime.persistence.run_reader import checkpoint_part

    files = [
        data_dir / JOURNAL / DEAD_LETTERS,
        data_dir / DEAD_LETTERS,
        *sorted(data_dir.glob(f"*/{DEAD_LETTERS}")),
    ]
    for path in files:
        if path.exists():
            return read_letters(path)[0]
    part = checkpoint_part(data_dir, "dispatcher")
    if part is None and not data_dir.is_dir():
        raise DataError(f"{data_dir} is not a directory; give the directory of a run")
    return [DeadLetter.load(stored) for stored in part["dead_letters"]["letters"]] if part else []


def _letter(data_dir: Path, event_id: str) -> DeadLetter:
    letters = _letters(data_dir)
    for letter in letters:
        if letter.event.event_id == event_id:
            return letter
    known = ", ".join(letter.event.event_id for letter in letters[:10]) or "none"
    raise DataError(f"no dead letter of event {event_id!r}; there are: {known}")


def _once_each(entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    return list({entry.record.sequence: entry for entry in entries}.values())


def _refuse_waiting(chosen: Iterable[JournalEntry]) -> None:
    for entry in chosen:
        if entry.status_name in ("accepted", "reopened"):
            raise DataError(
                f"event {entry.record.sequence} ({entry.record.event_id}) is {entry.status_name}: "
                "the next start handles it anyway"
            )


def _reopen(data_dir: Path, report: JournalReport, chosen: Iterable[JournalEntry]) -> None:
    from qts.event.journal import Journal
    from qts.event.journal_segments import Mark

    with Journal(journal_directory(data_dir), report.run_id) as journal:
        for entry in chosen:
            journal.mark_done(entry.record.sequence, Mark.REOPENED)


# -- showing ---------------------------------------------------------------------------------------------------


def _summary(report: JournalReport) -> dict[str, Any]:
    words = [entry.status_name for entry in report.entries.values()]
    torn = report.torn
    return {
        "run_id": report.run_id,
        "files": [path.name for _, path in report.segments],
        "events": len(words),
        **{status: words.count(status) for status in STATUSES},
        "told_again": report.repeated,
        "torn": None if torn is None else {"file": torn.path.name, "offset": torn.offset, "bytes": torn.size},
        "problems": report.problems,
    }


def _row(entry: JournalEntry) -> dict[str, Any]:
    event = _event(entry)
    return {
        "sequence": entry.record.sequence,
        "event_id": entry.record.event_id,
        "type": "not readable" if event is None else event.event_type.value,
        "about": _about(event),
        "time": None if event is None else event.timestamp.isoformat(),
        "source": None if event is None else event.source,
        "status": entry.status_name,
        "file": entry.path.name,
        "offset": entry.record.offset,
    }


def _about(event: Event | None) -> str:
    from qts.event.ordering_keys import order_key

    return "" if event is None else order_key(event) or ""


def _event_object(event: Event | None) -> dict[str, Any] | None:
    from qts.event.codec import encode_event

    if event is None:
        return None
    kind, priority, source, payload, *_ = encode_event(event)
    return {
        "type": kind,
        "priority": priority,
        "source": source,
        "event_id": event.event_id,
        "time": event.timestamp.isoformat(),
        "requires_ack": event.requires_ack,
        "payload": None if payload is None else payload[1],
    }


def _letter_row(letter: DeadLetter) -> dict[str, Any]:
    from qts.clock import from_ns

    return {
        "event_id": letter.event.event_id,
        "type": letter.event.event_type.value,
        "about": _about(letter.event),
        "handler": letter.handler,
        "attempts": letter.attempts,
        "time": from_ns(letter.time_ns).isoformat(),
        "error": letter.error,
    }


def _print_journal(report: JournalReport, shown: list[JournalEntry], matching: int, time: MarketTime) -> None:
    from rich.markup import escape

    from qts.cli.console import Screen

    console, summary = Screen(highlight=False), _summary(report)
    counts = ", ".join(f"{summary[status]} {status}" for status in STATUSES if summary[status])
    console.print(
        f"run {report.run_id}: {counted(summary['events'], 'event')} in {counted(len(report.segments), 'file')} "
        f"({counts or 'none'})"
    )
    if report.torn is not None:
        size, offset = counted(report.torn.size, "byte"), report.torn.offset
        console.print(
            f"{escape(report.torn.path.name)} ends with an incomplete record, {size} from offset {offset} on; the "
            "next start cuts it off"
        )
    if report.repeated:
        console.print(
            f"{report.repeated:,} of them were sent again by a source without an acknowledgement; the unique key "
            "of a fill makes it count once"
        )
    for problem in report.problems:
        console.print(f"PROBLEM: {escape(problem)}")
    if shown:
        columns = ("sequence", "event_id", "type", "about", "time", "status")
        rows = [_in_market_time(_row(entry), time) for entry in shown]
        console.print(_table(f"The newest {len(shown):,} of {matching:,}", columns, rows))


def _print_letters(letters: list[DeadLetter], time: MarketTime) -> None:
    from qts.cli.console import Screen

    columns = ("event_id", "type", "about", "handler", "attempts", "time", "error")
    rows = [_in_market_time(_letter_row(letter), time) for letter in letters]
    Screen(highlight=False).print(_table(counted(len(rows), "dead letter"), columns, rows))


def _table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(row[column])) for column in columns))
    return table


def _in_market_time(row: dict[str, Any], time: MarketTime) -> dict[str, Any]:
    """Return ``row`` with its time on the market's clock."""
    if row["time"] is None:
        return row
    return row | {"time": time.microsecond(datetime.fromisoformat(row["time"]))}


def _print_object(row: dict[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        _print_json(row)
        return
    from qts.cli.market_time import MarketTime

    for name, value in _in_market_time(row, MarketTime.of_run(args.data_dir)).items():
        if isinstance(value, dict):
            print(f"{name}:")
            print(json.dumps(value, ensure_ascii=False, indent=2))
        else:
            print(f"{name + ':':10} {value}")


def _print_reopened(chosen: list[JournalEntry], *, as_json: bool) -> None:
    ids = [entry.record.event_id for entry in chosen]
    if as_json:
        _print_json({"reopened": ids})
    else:
        print(f"the next start with --resume handles {counted(len(ids), 'event')} again: {', '.join(ids)}")


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))
