"""``qts config``: check the configuration, show the settings in force, let a session read its files again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from qts.cli.operator_cmd import add_command
from qts.cli.settings import add_settings, overrides_of
from qts.wording import counted

if TYPE_CHECKING:
    from qts.runtime.control.commands import Command


def add_parser(commands: Any) -> None:
    config = commands.add_parser(
        "config",
        help="check the configuration files, show the settings in force",
        description="Files are read from --config DIR, else from $QTS_CONFIG, else from ./config; a setting "
        "that no file gives has its default.",
    )
    verbs = config.add_subparsers(title="commands", metavar="COMMAND", required=True)

    check = verbs.add_parser("check", help="print every problem with file and line; exit code 0 or 2")
    add_settings(check)
    check.set_defaults(func=_check)

    show = verbs.add_parser("show", help="every setting: value, source, meaning, allowed values")
    add_settings(show)
    show.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    show.add_argument(
        "filter", nargs="?", default="", metavar="PREFIX", help="only settings that begin with PREFIX"
    )
    show.set_defaults(func=_show)

    reload = add_command(
        verbs,
        "reload",
        _reload,
        "make a running session read its configuration files again",
        description="Puts in force what may change while a session runs, and names what needs a restart. A limit "
        "that would let more pass waits: the answer names it, and how to confirm it.",
    )
    reload.add_argument(
        "--confirm", default="", metavar="CODE", help="let the limits be raised that the last reload has named"
    )


def _reload(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Reload

    return Reload(operator=args.operator, reason=args.reason, confirm=args.confirm)


def _check(args: argparse.Namespace) -> int:
    import os

    from qts.config.loader import LoadedConfig, examine

    found = examine(args.config, overrides_of(args.set), os.environ)
    if isinstance(found, LoadedConfig):
        where = str(found.directory) if found.directory is not None else "no files, built-in defaults"
        files = ", ".join(f"{name}.yaml" for name in found.documents)
        print(f"configuration is valid: {where}" + (f" ({files})" if files else ""))
        print(f"hash {found.hash}")
        return 0
    for problem in found:
        print(problem)
    print(counted(len(found), "problem"))
    return 2


def _show(args: argparse.Namespace) -> int:
    import os

    from qts.config.document import did_you_mean
    from qts.config.loader import load_config
    from qts.errors import ConfigError

    loaded = load_config(args.config, overrides_of(args.set), os.environ)
    settings = loaded.as_rows()
    rows = [row for row in settings if row.path.startswith(args.filter)]
    if not rows:
        names = [row.path for row in settings]
        groups = dict.fromkeys(name.partition(".")[0] for name in names)
        raise ConfigError(
            f"no setting begins with {args.filter!r}{did_you_mean(args.filter.rstrip('.'), [*groups, *names])}; "
            f"they begin with one of: {', '.join(groups)}"
        )
    if args.json:
        _print_json(loaded.hash, rows)
    else:
        _print_table(loaded.hash, rows)
    return 0


_WIDE = 140
"""Columns that a terminal needs for the settings as a table."""


def _print_json(config_hash: str, rows: Any) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode({"hash": config_hash, "settings": rows})).decode())


def _print_table(config_hash: str, rows: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from qts.cli.console import Screen

    console = Screen()
    if console.width < _WIDE:
        _print_blocks(console, rows)
        console.print(foot_of(config_hash, rows), highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "source", "meaning", "allowed"):
        table.add_column(title, overflow="fold")
    for row in rows:
        cells = (row.path, row.value, row.source, row.description, row.permitted)
        # Text, so that brackets of a value are not taken for markup.
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    console.print(foot_of(config_hash, rows), highlight=False)


def _print_blocks(console: Any, rows: Any) -> None:
    """Print each setting with its value on one line, its meaning and the allowed values below."""
    for row in rows:
        console.print(f"{row.path} = {row.value} ({row.source})", markup=False, highlight=False)
        console.print(
            f"    {row.description}; allowed: {row.permitted}", markup=False, style="dim", highlight=False
        )


def foot_of(config_hash: str, rows: Any) -> str:
    """Return the line below the settings."""
    return f"{counted(len(rows), 'setting')}; 'reloadable' may change while a session runs; hash {config_hash}"
