"""``qts db``: the database server that follows runs: its schema, its runs, copies into and out of it.

Everything that does work is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from qts.cli.db_sheets_cmd import (
    add_sheets,
    altered_lines,
    compare_both,
    config_of,
    move_all,
    one_url,
    show_comparison,
)
from qts.cli.settings import add_settings, overrides_of
from qts.errors import InvariantBreach
from qts.wording import counted, printable

if TYPE_CHECKING:
    from qts.db.access import Access
    from qts.db.adapter import DataSourceAdapter
    from qts.db.tools.statuses import ServerStatus
    from qts.db.tools.verify import Verification

_T = TypeVar("_T")
SHOWN_DIFFERENCES = 20
_OF_VERIFICATION = ("run_id", "applied", "newest", "rows", "waiting", "is_live")


def add_parser(subparsers: Any) -> None:
    """Add ``qts db`` and its commands."""
    parser = subparsers.add_parser(
        "db",
        help="the database server that follows runs: make its schema, compare, import, export, back up",
        description="Works on a database server that follows runs (PostgreSQL, with TimescaleDB or without), or on "
        "a file that takes its place.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    migrate = _command(
        commands,
        "migrate",
        run_migrate,
        "make the schema, or bring it to the newest version",
        "Makes the schema of QTS in the database, or brings it to the newest version, step by step. A step is "
        "there wholly or not at all, so after an interruption the same command goes on.",
    )
    migrate.add_argument(
        "--roles",
        action="store_true",
        help="make the roles qts_migrate, qts_write and qts_read where they are missing, and grant them what is "
        "theirs; needs a user who may create roles",
    )
    status = _command(
        commands,
        "status",
        run_status,
        "the server, its schema, and the runs on it",
        "Shows the server and its version, the versions of the schema, and each run with the newest batch that was "
        "applied.",
    )
    status.add_argument(
        "--data-dir", metavar="DIR", type=Path, help="also how far the server is behind the run in this directory"
    )
    status.add_argument("--json", action="store_true", help="print one JSON object")
    add_sheets(status)
    add_settings(status)
    verify = _command(
        commands,
        "verify",
        run_verify,
        "compare a run in a data directory with the server, row by row",
        "Compares every row of the run with the server, in both directions, and names what differs. Batches that "
        "the server lacks are named; the run of a session that is running is compared as far as the server has "
        "it. Without --data-dir every run of the spreadsheet is compared with the database. Exit code 4 when "
        "anything differs.",
    )
    verify.add_argument(
        "--data-dir", metavar="DIR", type=Path, help="the run's directory; without it spreadsheet and database"
    )
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    add_sheets(verify)
    add_settings(verify)
    moved = _command(
        commands,
        "migrate-from-sheets",
        run_move,
        "copy every run of a spreadsheet into the database",
        "Copies the fills, the positions, the files of strategies and the configurations that a spreadsheet has "
        "into the database, run by run, and says what was copied. A second time it changes nothing. All else of a "
        "run comes from its own book, when its session runs with --db or by qts db import. Exit code 4 when the "
        "database has rows that differ; they are left as they are.",
    )
    add_sheets(moved)
    add_settings(moved)
    imported = _command(
        commands,
        "import",
        run_import,
        "copy runs from their data directories to the server",
        "Copies runs to the server, finished ones or those of running sessions. What is there already stays as it "
        "is, so after an interruption the same command goes on.",
    )
    imported.add_argument("directories", metavar="DIR", type=Path, nargs="+", help="data directories of runs")
    export = _command(
        commands,
        "export",
        run_export,
        "make a data directory of a run on the server",
        "Makes a data directory of a run, which qts status, orders, trades, ledger and export read as any other. "
        "It has no checkpoint and no log: the run cannot be resumed from it.",
    )
    export.add_argument("run", metavar="RUN", help="the id of the run, or its beginning")
    export.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        required=True,
        help="the directory to make; it must not hold anything",
    )
    upkeep = _command(
        commands,
        "upkeep",
        run_upkeep,
        "make bars of recorded market values, and drop those that are older than they are kept",
        "Does what a session with --record does once a minute: makes room for the next days, bars of a minute and "
        "of a day, and drops values after store.tick_retention_days. For a timer, where no such session runs. With "
        "TimescaleDB its own jobs do the work, and are told how long to keep what.",
    )
    add_settings(upkeep)
    backup = _command(
        commands,
        "backup",
        run_backup,
        "save everything of QTS on the server in one file",
        "Saves everything that QTS has on the server, as of one moment, in a new file: by pg_dump where one is "
        "installed that is as new as the server, else as an archive of our own.",
    )
    backup.add_argument("file", metavar="FILE", type=Path, help="the file to make")
    restore = _command(
        commands,
        "restore",
        run_restore,
        "put a backup back into an empty database",
        "Restores what qts db backup saved, into a database without runs. Afterwards sessions send what is newer "
        "when they run again, and qts db verify names what the server lacks.",
    )
    restore.add_argument("file", metavar="FILE", type=Path, help="a file of qts db backup")


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help_text: str, description: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=description)
    command.add_argument(
        "--db",
        metavar="URL",
        default="",
        help="postgresql://user@host:port/database, without a password (docs/guides/postgres.md), or "
        "sqlite:///path/to/file; default: QTS_DB_URL",
    )
    command.set_defaults(func=run)
    return command


def run_migrate(args: argparse.Namespace) -> int:
    """Run ``qts db migrate``: exit code 0; 2 when it cannot be done with this server, schema or user."""
    from qts.db.access import parse
    from qts.db.servers import file_of, require_driver
    from qts.db.tools.open_server import chosen_url
    from qts.errors import InputError

    url = chosen_url(args.db, os.environ)
    path = file_of(url)
    if path is not None:
        from qts.db.sqlite_adapter import migrate_file

        if args.roles:
            raise InputError("--roles: a file has no roles; the rights of its directory say who may use it")
        migrate_file(path)
        print(f"{path}: its schema is the newest")
        return 0
    access = parse(url, os.environ)
    require_driver()
    from qts.db.tools.migrate_server import migrate_server

    def told(what: str, outcome: str) -> None:
        """Print a step as soon as it is done."""
        print(f"{outcome:10} {what}" if what != "note" else f"note       {outcome}", flush=True)

    print(f"migrate    {access.place}")
    done = _run(migrate_server(access, told, with_roles=args.roles))
    print(f"server     {done.server}")
    print(f"schema     version {done.newest}, the newest")
    if done.skipped:
        print(
            f"skipped    {', '.join(done.skipped)}: needs TimescaleDB under its own licence; migrate again with it"
        )
    if done.roles:
        print(f"roles      {', '.join(done.roles)} have what is theirs")
    else:
        print("roles      none are there: only the owner can use the schema; qts db migrate --roles makes them")
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Run ``qts db status``: exit code 0; 2 when the server cannot be used."""
    import msgspec

    from qts.db.access import parse
    from qts.db.servers import SPREADSHEET, file_of, require_driver
    from qts.db.tools.open_server import adapter_for

    config = config_of(args)
    url = one_url(args, os.environ, config)
    path = file_of(url)
    if path is not None or url.startswith(SPREADSHEET):
        from qts.db.tools.statuses import status_of

        adapter = adapter_for(url, os.environ, sheets=config.sheets)
        place = url if path is None else str(path)
        status = _run(_with(adapter, lambda adapter: status_of(adapter, place)))
    else:
        access = parse(url, os.environ)
        require_driver()
        from qts.db.tools.server_status import server_status

        status = _run(server_status(access))
    behind = None if args.data_dir is None else _behind(args.data_dir, status)
    if args.json:
        values = {name: getattr(status, name) for name in ("place", "server", "notes", "schema", "roles")}
        runs = [msgspec.structs.asdict(run) for run in status.runs]
        print(json.dumps({**values, "runs": runs, "data_dir": behind}, ensure_ascii=False))
        return 0
    print("\n".join(_status_lines(status)))
    if behind is not None:
        print(
            f"directory  run {behind['run_id']}: {counted(behind['batches'], 'batch', 'batches')} behind "
            f"(the server has {behind['applied']:,} of {behind['newest']:,})"
        )
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Run ``qts db verify``: exit code 0 when nothing differs, 4 when anything does, 2 when a side has no run."""
    import msgspec

    from qts.db.find_run import run_in
    from qts.db.tools.open_server import adapter_for
    from qts.db.tools.verify import verify

    if args.data_dir is None:
        return show_comparison(_run(compare_both(args)), as_json=args.json)
    config = config_of(args)
    adapter = adapter_for(one_url(args, os.environ, config), os.environ, sheets=config.sheets)
    found = run_in(args.data_dir)
    with _progress("compared") as told:
        done = _run(_with(adapter, lambda opened: verify(opened, found, told)))
    if args.json:
        values = {name: getattr(done, name) for name in _OF_VERIFICATION}
        differences = [msgspec.structs.asdict(one) for one in done.differences]
        values |= {"equal": done.is_equal, "altered": done.altered, "missing": done.missing, "count": done.count}
        print(json.dumps({"directory": str(found.directory), **values, "differences": differences}))
    else:
        print("\n".join(_verification_lines(done, found.directory)))
    return 0 if done.is_equal else InvariantBreach.exit_code


def run_move(args: argparse.Namespace) -> int:
    """Run ``qts db migrate-from-sheets``: exit code 0; 2 when a server cannot be used, 4 when rows differ."""
    return _run(move_all(args))


def _verification_lines(done: Verification, directory: Path) -> Iterator[str]:
    yield f"run    {done.run_id} in {directory} ({'running' if done.is_live else 'as it was stored last'})"
    from qts.db.tools.differences import ALL

    of = "" if done.tables == ALL else f" of {', '.join(done.tables)}"
    yield f"rows   {done.rows:,}{of} compared, up to batch {done.applied:,}"
    if done.missing is not None:
        first, last = done.missing
        where = (
            "they wait in the outbox" if done.waiting else "they are not in the outbox: qts db import copies them"
        )
        yield f"behind the server lacks batches {first:,} to {last:,}; {where}"
    yield from altered_lines(done.altered)
    if not done.count:
        yield "result every row that was compared is the same on both sides"
        return
    yield f"result {counted(done.count, 'difference')}, the first: {done.differences[0]}"
    for one in done.differences[1:SHOWN_DIFFERENCES]:
        yield f"       {one}"
    if done.count > SHOWN_DIFFERENCES:
        yield f"       … and {done.count - SHOWN_DIFFERENCES:,} more"


def run_import(args: argparse.Namespace) -> int:
    """Run ``qts db import``: exit code 0; 2 for a directory without a run, 3 when the server does not take it."""
    from qts.db.find_run import run_in
    from qts.db.tools.import_run import import_run
    from qts.db.tools.open_server import adapter_for, chosen_url

    adapter = adapter_for(chosen_url(args.db, os.environ), os.environ)
    found = [run_in(directory) for directory in args.directories]

    async def work(opened: DataSourceAdapter) -> None:
        """Copy one run after the other."""
        for one in found:
            with _progress(f"{one.directory}: copied") as told:
                done = await import_run(opened, one, told)
            if done.before == done.applied:
                print(f"{one.directory}: run {done.run_id} is there already, up to batch {done.applied:,}")
            else:
                rows = counted(done.rows, "row")
                print(
                    f"{one.directory}: run {done.run_id}, {rows} copied, up to batch {done.applied:,}", flush=True
                )

    _run(_with(adapter, work))
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Run ``qts db export``: exit code 0; 2 when the server has no such run or the directory is not empty."""
    from qts.db.tools.export_run import export_run
    from qts.db.tools.open_server import adapter_for, chosen_url

    adapter = adapter_for(chosen_url(args.db, os.environ), os.environ)
    with _progress("written") as told:
        done = _run(_with(adapter, lambda opened: export_run(opened, args.run, args.data_dir, told)))
    print(
        f"{args.data_dir}: run {done.run.run_id} (qts {done.run.command}), {counted(done.rows, 'row')}, "
        f"up to batch {done.seq:,}"
    )
    print("it has no checkpoint, no log and no charts, so the run cannot be resumed there")
    return 0


def run_upkeep(args: argparse.Namespace) -> int:
    """Run ``qts db upkeep``: exit code 0; 2 when the server cannot be used."""
    access = _access(args)
    from functools import partial

    from qts.clock import SystemClock
    from qts.config.loader import load_config
    from qts.db.ticks.connecting import connect_for_ticks
    from qts.db.ticks.upkeep import TickUpkeep

    store = load_config(args.config, overrides_of(args.set), os.environ).tree.store
    upkeep = TickUpkeep(
        partial(connect_for_ticks, access, "qts upkeep"),
        access.place,
        SystemClock(),
        tick_days=store.tick_retention_days,
        minute_days=store.minute_retention_days,
    )
    done = _run(upkeep.run())
    if done.by_server:
        print("TimescaleDB does it with its own jobs, which know how long to keep what")
        return 0
    print(f"bars     {done.minutes:,} of a minute, {counted(len(done.rolled), 'day')} made into bars of a day")
    days = f": {', '.join(map(str, done.dropped))}" if done.dropped else ""
    print(f"dropped  {counted(len(done.dropped), 'day')} of market values{days}; {done.dropped_minutes:,} bars")
    return 0


def run_backup(args: argparse.Namespace) -> int:
    """Run ``qts db backup``: exit code 0; 2 when the file is there or the server cannot be used."""
    access = _access(args)
    from qts.db.tools.backup import backup

    with _progress("saved") as told:
        done = _run(backup(access, args.file, told))
    size = f"{args.file.stat().st_size / 1_000_000:,.1f} MB"
    if done.rows is None:
        print(f"{args.file}: {size}, by {done.how}")
    else:
        print(f"{args.file}: {size}, {counted(done.rows, 'row')}, as {done.how} ({done.why})")
    print("qts db restore puts it back into an empty database")
    return 0


def run_restore(args: argparse.Namespace) -> int:
    """Run ``qts db restore``: exit code 0; 2 for a file that is no backup and a database that is not empty."""
    access = _access(args)
    from qts.db.tools.restore import restore

    with _progress("restored") as told:
        done = _run(restore(access, args.file, told))
    rows = "" if done.rows is None else f", {counted(done.rows, 'row')}"
    print(f"{access.place}: restored from {args.file}{rows}, by {done.how}")
    for table in done.left_out:
        print(f"note: {table} was left out: here it is made of other tables")
    print("sessions send what is newer when they run again; qts db verify names what the server lacks")
    return 0


def _access(args: argparse.Namespace) -> Access:
    """Return the way to the server. Raises InputError for a file, which is saved by copying it."""
    from qts.db.access import parse
    from qts.db.servers import file_of, require_driver
    from qts.db.tools.open_server import chosen_url
    from qts.errors import InputError

    url = chosen_url(args.db, os.environ)
    if (path := file_of(url)) is not None:
        raise InputError(f"{path} is a file: save it and put it back by copying it while no session runs")
    access = parse(url, os.environ)
    require_driver()
    return access


_ADVICE: Final = {"missing": "; qts db migrate adds what is missing"}
"""What to do about the migrations of a kind, by its name."""


def _status_lines(status: ServerStatus) -> Iterator[str]:
    yield f"server     {status.place}, {status.server}"
    for note in status.notes:
        yield f"note       {note}"
    if status.schema and not status.schema["applied"]:
        yield "schema     there is none yet; qts db migrate makes it"
    else:
        for outcome, names in status.schema.items():
            if names:
                yield f"{outcome:10} {', '.join(names)}" + _ADVICE.get(outcome, "")
    if status.schema:
        yield f"roles      {', '.join(status.roles) or 'none'}"
    for run in status.runs:
        state = "finished" if run.finished else "not finished"
        whole = "" if run.is_whole else ", not whole: a copy was interrupted, or it came from a spreadsheet"
        yield printable(
            f"run        {run.run_id} (qts {run.command}, account {run.account}, {state}): "
            f"{counted(run.applied, 'batch', 'batches')}{whole}"
        )
    if not status.runs:
        yield "run        none"


def _behind(directory: Path, status: ServerStatus) -> dict[str, Any]:
    """Return how far the server is behind the run in a directory."""
    from qts.db.find_run import run_in
    from qts.db.tools.local_runs import run_rows

    with run_rows(run_in(directory)) as local:
        run_id, newest = local.run.run_id, local.seq
    applied = next((run.applied for run in status.runs if run.run_id == run_id), 0)
    return {"run_id": run_id, "applied": applied, "newest": newest, "batches": max(newest - applied, 0)}


async def _with(adapter: DataSourceAdapter, work: Callable[[DataSourceAdapter], Coroutine[Any, Any, _T]]) -> _T:
    """Return what ``work`` returns for the adapter, opened."""
    from qts.db.tools.open_server import opened

    async with opened(adapter) as one:
        return await work(one)


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, with the arithmetic of money."""
    import asyncio

    from qts.db.resolving_loop import ResolvingLoop
    from qts.money import standard_context

    with standard_context(), asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        return runner.run(work)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many rows are done, on standard error so that standard output stays clean."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:  # the library would still print an empty line
        yield lambda rows: None
        return
    with console.status(what) as status:
        yield lambda rows: status.update(f"{what} {counted(rows, 'row')}")
