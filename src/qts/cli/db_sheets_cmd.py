"""``qts db`` for a spreadsheet beside the database: which one a command means, moving runs, comparing both."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from qts.cli.settings import overrides_of
from qts.errors import InputError, InvariantBreach
from qts.wording import counted, printable

if TYPE_CHECKING:
    from qts.config.tree import QtsConfig
    from qts.db.adapter import DataSourceAdapter
    from qts.db.tools.compare_servers import Comparison
    from qts.db.tools.move_from_sheets import Moved

SHOWN_DIFFERENCES: Final = 20
_OF_COMPARISON: Final = ("run_id", "sheet_applied", "database_applied", "rows", "count")


def add_sheets(command: argparse.ArgumentParser) -> None:
    """Add the option that names a spreadsheet."""
    command.add_argument(
        "--sheets",
        metavar="ID",
        default="",
        help="a spreadsheet of Google Sheets: its ID, or sheets://ID; its credentials are in the file that "
        "QTS_SHEETS_CREDENTIALS names; default: QTS_SHEETS_ID",
    )


def config_of(args: argparse.Namespace) -> QtsConfig:
    """Return the settings that a command is given."""
    from qts.config.loader import load_config

    return load_config(args.config, overrides_of(args.set), os.environ).tree


def urls_of(args: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the URLs of the database and the spreadsheet that are named, by options or by the environment."""
    from qts.db.access import URL
    from qts.db.config import DATABASE, SHEETS
    from qts.runtime.wiring.server import refuse_sheets_as_database, sheets_url_of

    found = {DATABASE: args.db or environ.get(URL, ""), SHEETS: sheets_url_of(args.sheets, environ)}
    refuse_sheets_as_database(found[DATABASE])
    return {name: url for name, url in found.items() if url}


def one_url(args: argparse.Namespace, environ: Mapping[str, str], config: QtsConfig) -> str:
    """Return the URL of the one server that a command means: the option's, else the one that the mode reads.

    Raises InputError when two are given, or none.
    """
    from qts.db.hybrid import VARIABLE, HybridAdapter
    from qts.db.tools.open_server import chosen_url

    urls = urls_of(args, environ)
    if args.db and args.sheets:
        raise InputError("--db and --sheets are two servers, and one is looked at; give one of them")
    if args.db or args.sheets:
        return urls["database" if args.db else "sheets"]
    if not urls:
        return chosen_url("", environ)
    return HybridAdapter(urls, config.store.data_source_mode, environ.get(VARIABLE, "")).reader


def both_adapters(args: argparse.Namespace) -> tuple[DataSourceAdapter, DataSourceAdapter]:
    """Return the adapters of spreadsheet and database, not open. Raises InputError when one is missing."""
    from qts.db.tools.open_server import adapter_for

    config, urls = config_of(args), urls_of(args, os.environ)
    if "sheets" not in urls:
        raise InputError("no spreadsheet is named: give --sheets ID, or set QTS_SHEETS_ID to it")
    if "database" not in urls:
        raise InputError(
            "no database is named: give --db postgresql://user@host/database, or set QTS_DB_URL to such a URL"
        )
    return (
        adapter_for(urls["sheets"], os.environ, sheets=config.sheets),
        adapter_for(urls["database"], os.environ),
    )


async def compare_both(args: argparse.Namespace) -> list[Comparison]:
    """Return what differs between spreadsheet and database, by run."""
    from qts.db.tools.compare_servers import compare_servers
    from qts.db.tools.open_server import opened

    if "sheets" not in urls_of(args, os.environ):
        raise InputError(
            "nothing is named that could be compared: give --data-dir DIR for the run in a directory and the "
            "server, or --sheets ID for a spreadsheet and the database"
        )
    sheet, database = both_adapters(args)
    async with opened(sheet), opened(database):
        return await compare_servers(sheet, database)


def show_comparison(found: list[Comparison], *, as_json: bool) -> int:
    """Print it, and return the exit code: 0 when nothing differs, else 4."""
    import msgspec

    if as_json:
        rows = [
            {name: getattr(one, name) for name in _OF_COMPARISON}
            | {"equal": one.is_equal, "altered": one.altered}
            | {"differences": [msgspec.structs.asdict(row) for row in one.differences]}
            for one in found
        ]
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for one in found:
            print("\n".join(_comparison_lines(one)))
    return 0 if all(one.is_equal for one in found) else InvariantBreach.exit_code


def altered_lines(altered: Sequence[str]) -> Iterator[str]:
    """Iterate over lines that say what someone changed in a spreadsheet."""
    for place, sentence in enumerate(altered[:SHOWN_DIFFERENCES]):
        yield f"{'       ' if place else 'edited '}{printable(sentence)}"
    if len(altered) > SHOWN_DIFFERENCES:
        yield f"       … and {len(altered) - SHOWN_DIFFERENCES:,} more"


def _comparison_lines(one: Comparison) -> Iterator[str]:
    from qts.db.tools.compare_servers import SHEET_AND_DATABASE

    rows = ", ".join(f"{name} {counted(count, 'row')}" for name, count in one.rows.items())
    yield printable(f"run    {one.run_id}: {rows} in the spreadsheet, compared with the database")
    own = f"up to {one.database_applied:,}" if one.database_applied else "none of its own book yet"
    yield f"batch  in the spreadsheet up to {one.sheet_applied:,}, in the database {own}"
    yield from altered_lines(one.altered)
    if not one.count:
        yield "result every row of the spreadsheet is the same on both sides, 0 differences"
        return
    first, *others = one.differences
    yield f"result {counted(one.count, 'difference')}, the first: {first.between(SHEET_AND_DATABASE)}"
    for row in others[: SHOWN_DIFFERENCES - 1]:
        yield f"       {row.between(SHEET_AND_DATABASE)}"
    if one.count > SHOWN_DIFFERENCES:
        yield f"       … and {one.count - SHOWN_DIFFERENCES:,} more"


async def move_all(args: argparse.Namespace) -> int:
    """Move the runs of the spreadsheet, print each, and return the exit code: 4 when rows differ, else 0."""
    from qts.db.tools.move_from_sheets import move_from_sheets
    from qts.db.tools.open_server import opened

    sheet, database = both_adapters(args)
    async with opened(sheet), opened(database):
        found = await move_from_sheets(sheet, database, lambda one: print("\n".join(_move_lines(one)), flush=True))
    return InvariantBreach.exit_code if any(one.differ for one in found) else 0


def _move_lines(one: Moved) -> Iterator[str]:
    rows = ", ".join(f"{name} {counted(count, 'row')}" for name, count in one.moved.items())
    run = printable(f"run    {one.run_id} of account {one.account}")
    yield f"{run}: moved {rows}" if rows else f"{run}: every row is there already, nothing was moved"
    if one.differ:
        yield f"differ {counted(one.differ, 'row')}, which were left as they are: qts db verify names them"
    if one.applied < one.seq:
        yield (
            f"rest   a spreadsheet has {', '.join(one.rows)} alone: all else comes from the run's own book, when "
            "its session runs with --db, or by qts db import; until then the run counts as not whole"
        )
