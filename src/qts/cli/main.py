"""``qts``: find the command, run it, turn errors into one clear line and an exit code.

Exit codes: 0 done · 1 an unexpected error, or qts check or qts data holidays found something · 2 unusable input ·
3 the store failed, the broker does not answer or refuses the keys, or a session ended by an unexpected error that
is in its log · 4 an invariant was breached · 5 a strategy was halted · 75 the session hung and was ended (continue
with --resume) · 130 stopped by the user (continue with --resume).
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence

from qts.cli import (
    capital_cmd,
    check_cmd,
    config_cmd,
    data_cmd,
    db_cmd,
    docs_cmd,
    events_cmd,
    export_cmd,
    flatten_cmd,
    ledger_cmd,
    optimize_cmd,
    reconcile_cmd,
    safety_cmd,
    session_cmd,
    state_cmd,
    status_cmd,
    stop_cmd,
)
from qts.cli.distribution import foreign_distribution, version, warning_about
from qts.cli.output import (
    NO_ROOM,
    OUT_OF_FILES,
    RAISE_LIMIT,
    closed_pipe_ignored,
    drop_output,
    occupy_standard_descriptors,
    ran_out_of_files,
    replace_unencodable,
)
from qts.errors import QtsError, StorageError

STOPPED_BY_USER = 130
YOUNG_OBJECTS = 10_000
"""New objects before the garbage collector runs by itself: importing makes many, and hardly any garbage."""


def build_parser() -> argparse.ArgumentParser:
    """Build the whole command line; modules that do work are imported only by the command that runs."""
    parser = argparse.ArgumentParser(
        prog="qts",
        description="An automated trading runtime: trades an account by rules, all day, unattended.",
        epilog="Start with: qts demo, or qts data sample 005930.csv and qts backtest",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (
        session_cmd,
        check_cmd,
        optimize_cmd,
        export_cmd,
        status_cmd,
        ledger_cmd,
        stop_cmd,
        flatten_cmd,
        reconcile_cmd,
        capital_cmd,
        state_cmd,
        safety_cmd,
        events_cmd,
        data_cmd,
        db_cmd,
        config_cmd,
        docs_cmd,
    ):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    gc.set_threshold(YOUNG_OBJECTS)
    occupy_standard_descriptors()
    replace_unencodable()
    parser = build_parser()
    args = parser.parse_args(argv)
    if not (args.version or hasattr(args, "func")):
        parser.print_help()
        return 2
    _warn_of_foreign_distribution()
    code = 0  # also when the reader of a pipe has left
    try:
        with closed_pipe_ignored():
            code = _show_version() if args.version else int(args.func(args))
    except QtsError as error:
        if ran_out_of_files(error):  # no fault of the input, whatever the file was for
            print(f"qts: {error}; {RAISE_LIMIT}", file=sys.stderr)
            return StorageError.exit_code
        print(f"qts: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("qts: stopped", file=sys.stderr)
        return STOPPED_BY_USER
    except OSError as error:
        if error.errno in OUT_OF_FILES:
            print(f"qts: cannot open {error.filename or 'a file'}: {RAISE_LIMIT}", file=sys.stderr)
            return StorageError.exit_code
        if error.errno not in NO_ROOM:
            raise
        drop_output()
        print(f"qts: cannot write {error.filename or 'what is to be shown'}: {error.strerror}", file=sys.stderr)
        return StorageError.exit_code
    return code


def _show_version() -> int:
    print(f"qts {version()}")
    return 0


def _warn_of_foreign_distribution() -> None:
    foreign = foreign_distribution(sys.path)
    if foreign is not None:
        print(f"qts: {warning_about(foreign)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
